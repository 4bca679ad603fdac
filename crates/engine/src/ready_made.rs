//! Makes a file system ready that has all files of an image in it, for targets that take it as
//! blocks.

use crate::fault::of_host;
use hostwright_host::extents::{self, FileExtent};
use hostwright_host::loop_disk::LoopDisk;
use hostwright_host::unnamed_file::UnnamedFile;
use hostwright_host::{Command, Host, HostError, MountRequest, Tool};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::image::{Entry, EntryKind, ImageOrigin, ImageRef, ReadyMade, TreeSource};
use hostwright_store::{AddOptions, BlockExtent, Store, StoreError, write_blocks};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The one kind of file system that can be made ready: a tool makes it grow and gives it another
/// UUID within a tenth of a second.
pub const FILE_SYSTEM: &str = "ext4";

/// Bytes of a block of the file system.
const BLOCK_BYTES: u64 = 4096;
/// mkfs.ext4's own ratio for file systems that are not small; small ones would get other blocks, too.
const BYTES_PER_INODE: u64 = 16384;
/// A block group is so large; with less than one it would not be like a larger file system.
const GROUP_BYTES: u64 = 128 << 20;
/// Where in the scratch directory the image of the file system is gathered.
const BLOCKS: &str = "blocks";
/// How deep below the root a directory may be for something to be mounted on it.
const MOUNT_POINT_DEPTH: usize = 3;

/// Makes it, and adds it to the store, where it is `NAME.ext4`.
pub fn make(host: &mut dyn Host, store: &Store, image: &ImageRef) -> Result<ReadyMade, Box<Fault>> {
    let dir = PathBuf::from(format!("/var/tmp/hostwright-blocks.{}", std::process::id()));
    let made = make_in(host, store, image, &dir);
    let removed = host.remove(&dir.display().to_string());
    let blocks = made?;
    removed.map_err(|error| Box::new(of_host(&error)))?;
    Ok(ReadyMade::from_labels(&blocks).expect("invariant: its labels were made just now"))
}

fn make_in(
    host: &mut dyn Host,
    store: &Store,
    image: &ImageRef,
    dir: &Path,
) -> Result<ImageRef, Box<Fault>> {
    let source = store.image(image.manifest).map_err(of_store)?;
    let entries = source.entries();
    let size_bytes = size_of(entries);
    let filled = fill(host, &source, size_bytes, dir);
    let (file, files) = filled.map_err(|error| Box::new(of_host(&error)))?;
    let written = extents::data_ranges(file.file());
    let written = written.map_err(|error| Box::new(of_host(&error)))?;
    let blocks = dir.join(BLOCKS);
    write_blocks(&blocks, file.file(), size_bytes, &written, files).map_err(of_store)?;
    let empty = empty_directories(entries);
    let labels = ReadyMade::labels(image.manifest, FILE_SYSTEM, size_bytes, &empty);
    let origin = ImageOrigin { labels, ..image.origin.clone() };
    let options = AddOptions { origin, ..AddOptions::default() };
    let name = ReadyMade::name(&image.name, FILE_SYSTEM);
    store.add_tree(&blocks, &name, &options, &|_, _| {}).map_err(of_store)
}

/// Where each file is, by the number of its entry.
type Places = Vec<(u32, Vec<BlockExtent>)>;

/// Makes the file system in `dir` and lays the image down in it.
fn fill(
    host: &mut dyn Host,
    source: &dyn TreeSource,
    size_bytes: u64,
    dir: &Path,
) -> Result<(UnnamedFile, Places), HostError> {
    let root = dir.join("root").display().to_string();
    host.make_dir(&root, 0o700)?;
    host.make_dir(&dir.join(BLOCKS).display().to_string(), 0o700)?;
    let file = UnnamedFile::create(dir)?;
    let failed =
        |source| HostError::Io { operation: "make a disk image in", path: root.clone(), source };
    file.file().set_len(size_bytes).map_err(failed)?;
    let disk = LoopDisk::attach(file.file())?;
    let device = format!("/dev/{}", disk.name());
    // Without a journal, which each target gets with its own size. What mkfs does not write is never
    // read: nothing may count on zeroes that another disk does not have.
    let words = ["-F", "-q", "-b", "4096", "-I", "256", "-O", "^has_journal"];
    let lazy = ["-E", "nodiscard,lazy_itable_init=1", "-i"];
    let ratio = BYTES_PER_INODE.to_string();
    let make = Command::mkfs(FILE_SYSTEM).args(words).args(lazy).args([&ratio, &device]);
    host.run(&make, &mut |_, _| {})?.success()?;
    host.mount(&MountRequest {
        source: device.clone(),
        target: root.clone(),
        file_system: Some(FILE_SYSTEM.to_owned()),
        options: "noatime".to_owned(),
    })?;
    let laid = host.lay_tree(&root, source, &mut |_| {});
    let found = laid.and_then(|()| places(&root, source.entries()));
    host.unmount(&root)?;
    let found = found?;
    // tune2fs changes the UUID of nothing that was not checked since it was mounted.
    let check = Command::new(Tool::E2fsck).args(["-f", "-p", &device]);
    host.run(&check, &mut |_, _| {})?.success()?;
    disk.detach()?;
    Ok((file, found))
}

/// Where each file with content is.
fn places(root: &str, entries: &[Entry]) -> Result<Places, HostError> {
    let block = |extent: FileExtent| BlockExtent {
        file_block: extent.offset / BLOCK_BYTES,
        block: extent.place / BLOCK_BYTES,
        count: extent.length.div_ceil(BLOCK_BYTES),
    };
    let files = (0..).zip(entries).filter(|(_, entry)| entry.size_bytes() > 0);
    files
        .map(|(number, entry)| {
            let found = extents::of_file(&format!("{root}/{}", entry.path))?;
            Ok((number, found.into_iter().map(block).collect()))
        })
        .collect()
}

/// Room for all files and inodes, in whole groups, and not much more: it can only grow.
fn size_of(entries: &[Entry]) -> u64 {
    let blocks = |entry: &Entry| entry.size_bytes().div_ceil(BLOCK_BYTES) + 1;
    let content: u64 = entries.iter().map(blocks).sum::<u64>() * BLOCK_BYTES;
    let for_content = content + content / 8 + GROUP_BYTES;
    let for_inodes = (entries.len() as u64 + 1024) * BYTES_PER_INODE;
    for_content.max(for_inodes).div_ceil(GROUP_BYTES) * GROUP_BYTES
}

/// Directories with nothing in them that are as mkfs makes the root of a file system.
fn empty_directories(entries: &[Entry]) -> Vec<String> {
    let parent =
        |entry: &Entry| entry.path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
    let parents: BTreeSet<String> = entries.iter().map(parent).collect();
    let is_plain = |entry: &&Entry| {
        let is_root = (entry.mode & 0o7777, entry.uid, entry.gid) == (0o755, 0, 0);
        entry.kind == EntryKind::Directory && is_root && entry.xattrs.is_empty()
    };
    let is_near = |entry: &&Entry| entry.path.split('/').count() <= MOUNT_POINT_DEPTH;
    let empty = entries.iter().filter(|it| !it.path.is_empty() && !parents.contains(&it.path));
    empty.filter(is_plain).filter(is_near).map(|entry| format!("/{}", entry.path)).collect()
}

fn of_store(error: StoreError) -> Box<Fault> {
    let cure = "check the store, its permissions and free space";
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let fault = Fault::new(FaultKind::Environment, "store-io", error.to_string(), cure);
    Box::new(Fault { output: cause.into_iter().collect(), ..fault })
}
