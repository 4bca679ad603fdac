//! Writes cpio archives in the format that Linux unpacks as an initramfs.
//!
//! The "newc" format of Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's
//! source. An archive is a sequence of entries:
//!
//! ```text
//! 6  magic      070701
//! 8  ino        every number is 8 hexadecimal digits
//! 8  mode       type and permissions
//! 8  uid, 8 gid
//! 8  nlink
//! 8  mtime
//! 8  filesize   length of the content; of the target for a symbolic link
//! 8  major, 8 minor           of the file system
//! 8  rmajor, 8 rminor         of a device node
//! 8  namesize   with its NUL
//! 8  check      0 in this format
//! n  name, NUL, NULs to a multiple of 4
//! n  content, NULs to a multiple of 4
//! ```
//!
//! The last entry is called `TRAILER!!!`. The same archive always gives the same bytes: entries
//! are sorted, inode numbers count from 1, everything belongs to root and carries one given time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

const TRAILER: &str = "TRAILER!!!";

/// What an entry of an archive is.
#[derive(Clone, Debug)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file with this content.
    Bytes(Vec<u8>),
    /// A regular file with the content of this one.
    Copy(PathBuf),
    /// A symbolic link to this target.
    Symlink(String),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

impl Node {
    /// `S_IFMT` of stat(2).
    fn type_bits(&self) -> u32 {
        match self {
            Self::Directory => 0o040_000,
            Self::Bytes(_) | Self::Copy(_) => 0o100_000,
            Self::Symlink(_) => 0o120_000,
            Self::CharDevice { .. } => 0o020_000,
        }
    }
}

/// An archive in the making.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    entries: BTreeMap<String, (u32, Node)>,
}

impl Archive {
    /// Adds or replaces an entry, with permission bits `mode`. `path` is relative to the root.
    /// Directories above it that are not there yet are added with mode 0755.
    pub fn add(&mut self, path: &str, mode: u32, node: Node) {
        for (slash, _) in path.match_indices('/') {
            let parent = path[..slash].to_owned();
            self.entries.entry(parent).or_insert((0o755, Node::Directory));
        }
        self.entries.insert(path.to_owned(), (mode, node));
    }

    /// Paths of all entries, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Writes the archive; every entry gets the modification time `mtime_s`.
    pub fn write_to(&self, out: &mut dyn Write, mtime_s: u32) -> io::Result<()> {
        for (number, (path, (mode, node))) in (1..).zip(&self.entries) {
            let header = Header { ino: number, mode: mode | node.type_bits(), mtime_s };
            match node {
                Node::Directory | Node::CharDevice { .. } => header.write(out, path, node, 0)?,
                Node::Symlink(target) => content(out, &header, path, node, target.as_bytes())?,
                Node::Bytes(bytes) => content(out, &header, path, node, bytes)?,
                Node::Copy(from) => {
                    let mut bytes = Vec::new();
                    File::open(from)?.read_to_end(&mut bytes)?;
                    content(out, &header, path, node, &bytes)?;
                }
            }
        }
        let trailer = Header { ino: 0, mode: 0, mtime_s: 0 };
        trailer.write(out, TRAILER, &Node::Bytes(Vec::new()), 0)
    }
}

struct Header {
    ino: u32,
    mode: u32,
    mtime_s: u32,
}

impl Header {
    fn write(&self, out: &mut dyn Write, name: &str, node: &Node, size: u32) -> io::Result<()> {
        let nlink = if matches!(node, Node::Directory) { 2 } else { 1 };
        let (major, minor) = match node {
            Node::CharDevice { major, minor } => (*major, *minor),
            _ => (0, 0),
        };
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        let (owner, group, mtime) = (0, 0, self.mtime_s);
        let fields = [self.ino, self.mode, owner, group, nlink, mtime, size, 0, 0, major, minor];
        out.write_all(b"070701")?;
        for field in fields.into_iter().chain([name_size, 0]) {
            write!(out, "{field:08X}")?;
        }
        out.write_all(name.as_bytes())?;
        out.write_all(&[0])?;
        const HEADER_BYTES: usize = 6 + 13 * 8;
        pad(out, HEADER_BYTES + name.len() + 1)
    }
}

fn content(
    out: &mut dyn Write,
    header: &Header,
    path: &str,
    node: &Node,
    bytes: &[u8],
) -> io::Result<()> {
    header.write(out, path, node, u32::try_from(bytes.len()).map_err(io::Error::other)?)?;
    out.write_all(bytes)?;
    pad(out, bytes.len())
}

/// NULs from `length` to a multiple of 4.
fn pad(out: &mut dyn Write, length: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..length.wrapping_neg() % 4])
}
