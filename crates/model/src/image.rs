//! Images as a machine is told to install them.

use crate::boot_loader::KernelFiles;
use crate::class::ClassList;
use crate::ids::Digest;
use crate::network::Renderer;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

/// What is copied at a time, where copying is needed.
const PART_BYTES: usize = 256 << 10;

/// An image, pinned by the digest of its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageRef {
    /// The name under which it was asked for.
    pub name: String,
    /// BLAKE3 of its manifest.
    pub manifest: Digest,
    /// Bytes of all its files.
    pub content_bytes: u64,
    /// What it was built from.
    pub origin: ImageOrigin,
}

/// Labels of an image that is a ready-made file system.
const READY_MADE_OF: &str = "ready-made.of";
const READY_MADE_TYPE: &str = "ready-made.file-system";
const READY_MADE_BYTES: &str = "ready-made.size-bytes";
const READY_MADE_EMPTY: &str = "ready-made.empty-directories";

/// A file system that was made beforehand with all files of an image in it, and is laid down as
/// blocks: where making inodes is most of the work, that is faster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyMade {
    /// The image with the blocks that belong to no file.
    pub blocks: ImageRef,
    /// Manifest of the image whose files are in it.
    pub of: Digest,
    /// `ext4`.
    pub file_system: String,
    /// Its size; it can grow, not shrink.
    pub size_bytes: u64,
    /// Absolute paths of directories with nothing in them, where something may be mounted.
    pub empty_directories: Vec<String>,
}

impl ReadyMade {
    /// What the labels of `blocks` say, if it is a ready-made file system.
    pub fn from_labels(blocks: &ImageRef) -> Option<Self> {
        let label = |name: &str| blocks.origin.labels.get(name);
        let empty = label(READY_MADE_EMPTY)?.lines().map(str::to_owned);
        Some(Self {
            of: label(READY_MADE_OF)?.parse().ok()?,
            file_system: label(READY_MADE_TYPE)?.clone(),
            size_bytes: label(READY_MADE_BYTES)?.parse().ok()?,
            empty_directories: empty.collect(),
            blocks: blocks.clone(),
        })
    }

    /// The labels for the image of a ready-made file system.
    pub fn labels(
        of: Digest,
        file_system: &str,
        size_bytes: u64,
        empty_directories: &[String],
    ) -> BTreeMap<String, String> {
        let labels = [
            (READY_MADE_OF, of.to_string()),
            (READY_MADE_TYPE, file_system.to_owned()),
            (READY_MADE_BYTES, size_bytes.to_string()),
            (READY_MADE_EMPTY, empty_directories.join("\n")),
        ];
        labels.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The name under which a store has the ready-made file system of the image with this name.
    pub fn name(image: &str, file_system: &str) -> String {
        format!("{image}.{file_system}")
    }
}

/// What an image was built from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageOrigin {
    /// Classes whose packages, files and scripts are in it.
    pub classes: ClassList,
    /// Digest of the config space, where it came from one.
    pub space: Option<Digest>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
}

/// One inode of an image, at one path. The first path of a hard link carries the content, each
/// further one is a [`EntryKind::Hardlink`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path relative to the root, without a leading `/`; empty for the root itself. Bytes that are
    /// not UTF-8 are refused when the image is made.
    pub path: String,
    /// Permission bits, with set-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since the epoch.
    pub mtime: i64,
    /// Extended attributes (capabilities and ACLs are among them).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// What it is.
    pub kind: EntryKind,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its length.
        size: u64,
        /// BLAKE3 of its content.
        digest: Digest,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: String,
    },
    /// Another name of a file.
    Hardlink {
        /// The path that carries the content.
        target: String,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// Content that can be laid down below a root, whoever holds the bytes.
pub trait TreeSource: Sync {
    /// All entries; a directory comes before what is in it, a hard link's target before the link.
    fn entries(&self) -> &[Entry];

    /// The verified content of a file among [`Self::entries`]. Fails if the bytes do not match the
    /// digest.
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>>;

    /// Hands the verified content of a file to `sink`, part by part. A source that has the content
    /// in memory hands it over without copying it.
    fn read_to(
        &self,
        entry: &Entry,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut content = self.open(entry)?;
        let mut buffer = vec![0; PART_BYTES];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => sink(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Everything but directories and hard links, in groups that are best read by one thread each,
    /// and in this order.
    fn groups(&self) -> Vec<Vec<&Entry>> {
        let has_content = |entry: &&Entry| {
            !matches!(entry.kind, EntryKind::Directory | EntryKind::Hardlink { .. })
        };
        self.entries().iter().filter(has_content).map(|entry| vec![entry]).collect()
    }
}

/// A file system that can be laid down block by block, whoever holds the bytes.
pub trait BlockSource: Sync {
    /// Size of the file system.
    fn size_bytes(&self) -> u64;

    /// Sum of what all parts hold.
    fn content_bytes(&self) -> u64;

    /// How many parts there are. Each is read once.
    fn parts(&self) -> usize;

    /// The length of the buffer that every part fits into.
    fn part_bytes_max(&self) -> usize;

    /// Fills `buffer` with verified blocks and says where they go. Fails if the bytes do not match
    /// their digests.
    fn read_part(&self, number: usize, buffer: &mut [u8]) -> io::Result<Vec<BlockRun>>;
}

/// Whole blocks that lie one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRun {
    /// First byte in the file system.
    pub to: u64,
    /// First byte in the buffer.
    pub start: usize,
    /// How many bytes.
    pub bytes: usize,
}

impl Entry {
    /// Length of a regular file; 0 for everything else.
    pub fn size_bytes(&self) -> u64 {
        match self.kind {
            EntryKind::File { size, .. } => size,
            _ => 0,
        }
    }
}

/// What of an image decides how it is installed: a manifest of thousands of files in a few lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageSummary {
    /// Kernels below `/boot`, each with its initramfs; the newest last.
    pub kernels: Vec<KernelFiles>,
    /// Bytes that the files take on a disk: each in whole blocks of 4 KiB, and as much a directory.
    pub occupied_bytes: u64,
    /// Number of inodes.
    pub inodes: u64,
    /// Bytes that directories take with all that is below them, down to the third level and from a
    /// MiB on; absolute paths.
    pub directory_bytes: BTreeMap<String, u64>,
    /// Names of programs that installing may need, sorted; hooks of ifupdown as `if-pre-up.d/NAME`.
    pub programs: BTreeSet<String>,
    /// Parts of boot loaders that are at hand, sorted: `grub/i386-pc`, `systemd-boot/x64`.
    pub loader_parts: BTreeSet<String>,
    /// Programs that are there to configure its network, and would be started.
    pub renderers: Vec<Renderer>,
    /// True if systemd-resolved(8) looks names up.
    pub resolved: bool,
    /// Files that configure the network of whatever the image was made on; absolute paths.
    pub network_files: Vec<String>,
}
