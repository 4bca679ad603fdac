//! Lays a tree of verified files down below a directory, on all cores.
//!
//! Three passes. Directories first, private to root. Then everything with content, in parallel, in
//! the groups in which the source reads it best. Last hard links, and the owners, modes and times of
//! directories, which the passes before would have changed. Every path is resolved below the root
//! without following links, so that an image cannot write elsewhere. An attempt that was cut off may
//! be repeated: what is in the way is replaced.
//!
//! Making inodes is most of the work, so each costs as few system calls as can be: a file is born
//! with its mode, and its owner is only set where it is not who makes it. Nobody else sees a file
//! below a directory of the tree before it is whole, because that is private until the last pass.

use crate::HostError;
use hostwright_model::image::{Entry, EntryKind, TreeSource};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// How often the caller hears how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// Files of at least this size are sent on their way to the disk at once, so that the sync at the
/// end finds little left to do.
const WRITE_EARLY_BYTES: u64 = 64 * 1024;
/// Of larger files, parts of this size.
const WRITE_EARLY_PART_BYTES: u64 = 8 << 20;
/// Default ACL of a directory: it would change the modes of new files.
const DEFAULT_ACL: &str = "system.posix_acl_default";
/// statfs(2) type of FAT, which has neither owners nor modes.
const FAT_MAGIC: i64 = 0x4d44;

/// The work that the threads share.
struct Layer<'a> {
    root: OwnedFd,
    root_path: &'a str,
    source: &'a dyn TreeSource,
    /// Entries of the parallel pass, as they are best read.
    groups: Vec<Vec<&'a Entry>>,
    next: AtomicUsize,
    maker: Maker,
    written_bytes: AtomicU64,
    stop: AtomicBool,
    first_error: Mutex<Option<HostError>>,
}

/// Lays `source` down below `root`; `on_bytes` hears the sum of the bytes written so far.
pub(super) fn lay(
    root: &str,
    source: &dyn TreeSource,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(), HostError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(root, flags, Mode::empty());
    let root_fd = opened.map_err(|error| HostError::Io {
        operation: "open",
        path: root.to_owned(),
        source: error.into(),
    })?;
    let layer = Layer {
        maker: Maker::of(&root_fd),
        root: root_fd,
        root_path: root,
        source,
        groups: source.groups(),
        next: AtomicUsize::new(0),
        written_bytes: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        first_error: Mutex::new(None),
    };
    layer.each(|entry| entry.kind == EntryKind::Directory, Layer::make_directory)?;
    layer.run_workers(on_bytes)?;
    layer.each(|entry| matches!(entry.kind, EntryKind::Hardlink { .. }), Layer::link)?;
    layer.finish_directories()?;
    on_bytes(layer.written_bytes.into_inner());
    Ok(())
}

impl Layer<'_> {
    fn fail(&self, entry: &Entry, source: io::Error) -> HostError {
        let path = format!("{}/{}", self.root_path, entry.path);
        HostError::Io { operation: "lay down", path, source }
    }

    fn each(
        &self,
        wanted: impl Fn(&Entry) -> bool,
        act: impl Fn(&Self, &Entry) -> io::Result<()>,
    ) -> Result<(), HostError> {
        let mut entries = self.source.entries().iter().filter(|entry| wanted(entry));
        entries.try_for_each(|entry| act(self, entry).map_err(|error| self.fail(entry, error)))
    }

    fn run_workers(&self, on_bytes: &mut dyn FnMut(u64)) -> Result<(), HostError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (at_work, all_done) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let at_work = at_work.clone();
                scope.spawn(move || {
                    self.work_through();
                    drop(at_work);
                });
            }
            drop(at_work);
            while all_done.recv_timeout(REPORT_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                on_bytes(self.written_bytes.load(Ordering::Relaxed));
            }
        });
        let mut error = self.first_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        error.take().map_or(Ok(()), Err)
    }

    fn work_through(&self) {
        let makes_modes = self.maker.makes_modes && have_own_umask();
        let maker = Maker { makes_modes, ..self.maker };
        let mut worker = Worker { layer: self, maker, parent: None };
        while let Some(group) = self.groups.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            for entry in group {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                if let Err(error) = worker.lay(entry) {
                    let mut first =
                        self.first_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    first.get_or_insert(self.fail(entry, error));
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Opens a directory of the tree. Links on the way are refused; mounted file systems are part
    /// of the target.
    fn open_directory(&self, path: &str, access: OFlags) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)?)
    }

    fn make_directory(&self, entry: &Entry) -> io::Result<()> {
        if entry.path.is_empty() {
            return Ok(());
        }
        let (parent, name) = split(&entry.path)?;
        let parent = self.open_directory(parent, OFlags::PATH)?;
        let private = Mode::from_raw_mode(0o700);
        match rustix::fs::mkdirat(&parent, name, private) {
            Err(Errno::EXIST) => {}
            other => return Ok(other?),
        }
        let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
            return Ok(rustix::fs::mkdirat(&parent, name, private)?);
        }
        // It may be one that an earlier attempt had finished.
        let directory = self.open_directory(&entry.path, OFlags::RDONLY)?;
        unless_fat(&directory, rustix::fs::fchmod(&directory, private))?;
        match rustix::fs::fremovexattr(&directory, DEFAULT_ACL) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn link(&self, entry: &Entry) -> io::Result<()> {
        let EntryKind::Hardlink { target } = &entry.kind else { return Ok(()) };
        let (from_parent, from_name) = split(target)?;
        let (parent, name) = split(&entry.path)?;
        let from_parent = self.open_directory(from_parent, OFlags::PATH)?;
        let parent = self.open_directory(parent, OFlags::PATH)?;
        replacing(&parent, name, || {
            rustix::fs::linkat(&from_parent, from_name, &parent, name, AtFlags::empty())
        })
    }

    /// Gives directories what is theirs and waits until the disks have everything.
    fn finish_directories(&self) -> Result<(), HostError> {
        let mut file_systems = BTreeMap::new();
        for entry in self.source.entries().iter().rev() {
            if entry.kind != EntryKind::Directory {
                continue;
            }
            let finish = || -> io::Result<()> {
                let directory = self.open_directory(&entry.path, OFlags::RDONLY)?;
                set_metadata(&directory, entry, Known::default())?;
                let device = rustix::fs::fstat(&directory)?.st_dev;
                file_systems.entry(device).or_insert(directory);
                Ok(())
            };
            let mut finish = finish;
            finish().map_err(|error| self.fail(entry, error))?;
        }
        file_systems.values().chain([&self.root]).try_for_each(|directory| {
            rustix::fs::syncfs(directory).map_err(|error| HostError::Io {
                operation: "sync",
                path: self.root_path.to_owned(),
                source: error.into(),
            })
        })
    }
}

/// Who makes the files, and what they get without being asked.
#[derive(Clone, Copy)]
struct Maker {
    uid: u32,
    gid: u32,
    /// True if new files belong to `uid` and `gid`.
    makes_owners: bool,
    /// True if new files have the mode that they are made with.
    makes_modes: bool,
}

impl Maker {
    /// The directory itself is somebody else's and may hand down its group or its ACL; those that
    /// are made below it do not.
    fn of(root: &OwnedFd) -> Self {
        let is_plain = rustix::fs::fstat(root).is_ok_and(|found| found.st_mode & 0o2000 == 0)
            && rustix::fs::fgetxattr(root, DEFAULT_ACL, &mut [0_u8; 0]).is_err();
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            makes_owners: is_plain,
            makes_modes: is_plain,
        }
    }

    /// What a new file needs no call for.
    fn known(&self, entry: &Entry) -> Known {
        Known {
            owner: self.makes_owners && (self.uid, self.gid) == (entry.uid, entry.gid),
            mode: self.makes_modes && entry.mode & 0o7000 == 0,
        }
    }
}

/// What is as it should be already.
#[derive(Clone, Copy, Default)]
struct Known {
    owner: bool,
    mode: bool,
}

/// Gives this thread a file mode creation mask of its own, which masks nothing.
fn have_own_umask() -> bool {
    // SAFETY: what is not shared any more is the mask and the root and working directory, which no
    // code of this thread changes or relies on: it works on descriptors.
    #[expect(unsafe_code, reason = "the mask belongs to the whole process otherwise")]
    let unshared = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) };
    if unshared.is_ok() {
        rustix::process::umask(Mode::empty());
    }
    unshared.is_ok()
}

/// One thread: the directory it worked in last stays open.
struct Worker<'a> {
    layer: &'a Layer<'a>,
    maker: Maker,
    parent: Option<(&'a str, OwnedFd)>,
}

impl<'a> Worker<'a> {
    fn lay(&mut self, entry: &'a Entry) -> io::Result<()> {
        let (parent_path, name) = split(&entry.path)?;
        if self.parent.as_ref().is_none_or(|(open, _)| *open != parent_path) {
            let opened = self.layer.open_directory(parent_path, OFlags::PATH)?;
            self.parent = Some((parent_path, opened));
        }
        let (_, parent) = self.parent.as_ref().expect("invariant: opened just now");
        let known = self.maker.known(entry);
        let nodes = |file_type, major, minor| {
            let device = rustix::fs::makedev(major, minor);
            let mode = Mode::from_raw_mode(0o600);
            replacing(parent, name, || rustix::fs::mknodat(parent, name, file_type, mode, device))
        };
        match &entry.kind {
            EntryKind::File { size, .. } => {
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let mode = if known.mode { entry.mode } else { 0o600 };
                let mode = Mode::from_raw_mode(mode);
                let file =
                    replacing(parent, name, || rustix::fs::openat(parent, name, flags, mode))?;
                return copy(self.layer, entry, *size, &file.into(), known);
            }
            EntryKind::Symlink { target } => {
                replacing(parent, name, || rustix::fs::symlinkat(target.as_str(), parent, name))?;
            }
            EntryKind::CharDevice { major, minor } => {
                nodes(FileType::CharacterDevice, *major, *minor)?;
            }
            EntryKind::BlockDevice { major, minor } => {
                nodes(FileType::BlockDevice, *major, *minor)?;
            }
            EntryKind::Fifo => nodes(FileType::Fifo, 0, 0)?,
            EntryKind::Directory | EntryKind::Hardlink { .. } => {}
        }
        set_metadata_at(parent, name, entry, known)
    }
}

/// Copies the verified content and sets what else a file has.
fn copy(
    layer: &Layer<'_>,
    entry: &Entry,
    size_bytes: u64,
    mut file: &File,
    known: Known,
) -> io::Result<()> {
    let (mut written, mut sent) = (0_u64, 0_u64);
    layer.source.read_to(entry, &mut |part| {
        file.write_all(part)?;
        written += part.len() as u64;
        layer.written_bytes.fetch_add(part.len() as u64, Ordering::Relaxed);
        if written - sent >= WRITE_EARLY_PART_BYTES {
            start_writing(file, sent, written - sent);
            sent = written;
        }
        match layer.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("another thread failed")),
            false => Ok(()),
        }
    })?;
    set_metadata(file.as_fd(), entry, known)?;
    if size_bytes >= WRITE_EARLY_BYTES {
        start_writing(file, sent, written - sent);
    }
    Ok(())
}

/// Sends part of a file on its way to the disk. A hint: failing it costs nothing but time.
/// `posix_fadvise` would do the same and then wait for other processors.
fn start_writing(file: &File, offset: u64, bytes: u64) {
    let (Ok(offset), Ok(bytes)) = (offset.try_into(), bytes.try_into()) else { return };
    // SAFETY: the descriptor is open, and the call takes numbers only.
    #[expect(unsafe_code, reason = "rustix has no sync_file_range")]
    let _ = unsafe {
        libc::sync_file_range(file.as_raw_fd(), offset, bytes, libc::SYNC_FILE_RANGE_WRITE)
    };
}

/// Directory and name of a path; refuses names that would lead elsewhere.
fn split(path: &str) -> io::Result<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if matches!(name, "" | "." | "..") || path.starts_with('/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain relative path"));
    }
    Ok((parent, name))
}

/// Makes something; if a left-over of an earlier attempt is in the way, removes that first.
fn replacing<T>(
    parent: &OwnedFd,
    name: &str,
    make: impl Fn() -> rustix::io::Result<T>,
) -> io::Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
            Ok(make()?)
        }
        other => Ok(other?),
    }
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

fn times(entry: &Entry) -> Timestamps {
    let at = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}

/// For an open file or directory. A change of owner clears set-id bits and capabilities, and a
/// change of mode the mask of an ACL: the order matters.
fn set_metadata(file: impl AsFd, entry: &Entry, known: Known) -> io::Result<()> {
    let file = file.as_fd();
    if !known.owner {
        let (uid, gid) = owner(entry);
        unless_fat(file, rustix::fs::fchown(file, uid, gid))?;
    }
    if !known.mode {
        unless_fat(file, rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode & 0o7777)))?;
    }
    for (name, value) in &entry.xattrs {
        let set = rustix::fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty());
        unless_fat(file, set)?;
    }
    Ok(rustix::fs::futimens(file, &times(entry))?)
}

/// For what cannot be opened: links, devices, pipes.
fn set_metadata_at(parent: &OwnedFd, name: &str, entry: &Entry, known: Known) -> io::Result<()> {
    if !known.owner {
        let (uid, gid) = owner(entry);
        rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if !matches!(entry.kind, EntryKind::Symlink { .. }) {
        let mode = Mode::from_raw_mode(entry.mode & 0o7777);
        rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
    }
    for (attribute, value) in &entry.xattrs {
        // There is no setxattrat(2) in the kernels we support.
        let path = format!("/proc/self/fd/{}/{name}", parent.as_raw_fd());
        rustix::fs::lsetxattr(path, attribute.as_str(), value, XattrFlags::empty())?;
    }
    Ok(rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Lets FAT refuse what it cannot store: an EFI system partition is part of many trees.
fn unless_fat(file: impl AsFd, result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::PERM | Errno::OPNOTSUPP) if rustix::fs::fstatfs(&file)?.f_type == FAT_MAGIC => {
            Ok(())
        }
        other => Ok(other?),
    }
}
