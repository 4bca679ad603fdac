//! Owners, modes, times and links of files, and paths that cannot leave a target root.
//!
//! Free functions beside [`Host`](crate::Host): the class-aware tools (`fcopy`, `ainsl`, …) are
//! programs of their own that only ever run on the real machine, so the simulated hosts need none
//! of this.

use crate::HostError;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; only [`stat_link`] says so.
    Symlink,
    /// A device, socket or pipe.
    Special,
}

/// What the kernel keeps about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky bits, without the type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of its last change.
    pub modified: SystemTime,
}

impl FileStat {
    /// True for a regular file.
    pub fn is_file(&self) -> bool {
        self.kind == FileKind::File
    }

    /// True for a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// True for a regular file that anybody may execute, which is what root may execute.
    pub fn is_program(&self) -> bool {
        self.is_file() && self.mode & 0o111 != 0
    }
}

/// Turns the error of a system call into one that names the operation and the path.
fn failed<'a>(operation: &'static str, path: &'a str) -> impl FnOnce(io::Error) -> HostError + 'a {
    move |source| HostError::Io { operation, path: path.to_owned(), source }
}

fn convert(meta: io::Result<fs::Metadata>, path: &str) -> Result<Option<FileStat>, HostError> {
    // A link that leads to itself leads to nothing.
    let is_absent = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
    };
    let meta = match meta {
        Err(error) if is_absent(&error) => return Ok(None),
        other => other.map_err(failed("look at", path))?,
    };
    let kind = match meta.file_type() {
        kind if kind.is_file() => FileKind::File,
        kind if kind.is_dir() => FileKind::Directory,
        kind if kind.is_symlink() => FileKind::Symlink,
        _ => FileKind::Special,
    };
    let modified = meta.modified().map_err(failed("look at", path))?;
    let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
    Ok(Some(FileStat { kind, mode, uid, gid, modified }))
}

/// What `path` leads to; `None` if there is nothing, or only a link to nothing.
pub fn stat(path: &str) -> Result<Option<FileStat>, HostError> {
    convert(fs::metadata(path), path)
}

/// What `path` itself is, a link as a link; `None` if there is nothing.
pub fn stat_link(path: &str) -> Result<Option<FileStat>, HostError> {
    convert(fs::symlink_metadata(path), path)
}

/// Where the symbolic link `path` points.
pub fn read_link(path: &str) -> Result<String, HostError> {
    let target = fs::read_link(path).map_err(failed("read the link", path))?;
    let not_text = || io::Error::other("it points to a name that is not UTF-8");
    target.into_os_string().into_string().map_err(|_| failed("read the link", path)(not_text()))
}

/// Sets owner and group, of the link itself if `path` is one and `of_link` is set.
pub fn set_owner(path: &str, uid: u32, gid: u32, of_link: bool) -> Result<(), HostError> {
    let change = if of_link { std::os::unix::fs::lchown } else { chown };
    change(path, Some(uid), Some(gid)).map_err(failed("set the owner of", path))
}

/// [`std::os::unix::fs::chown`], with the type that lchown has.
fn chown(path: &str, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    std::os::unix::fs::chown(path, uid, gid)
}

/// Sets permission, set-id and sticky bits.
pub fn set_mode(path: &str, mode: u32) -> Result<(), HostError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("set mode of", path))
}

/// Sets the times of last access and last change, of the link itself if `of_link` is set.
pub fn set_modified(path: &str, time: SystemTime, of_link: bool) -> Result<(), HostError> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let time = Timespec { tv_sec: seconds, tv_nsec: since.subsec_nanos().into() };
    let times = Timestamps { last_access: time, last_modification: time };
    let flags = if of_link { AtFlags::SYMLINK_NOFOLLOW } else { AtFlags::empty() };
    utimensat(CWD, path, &times, flags)
        .map_err(|errno| failed("set the time of", path)(errno.into()))
}

/// Copies content, mode, owner and time of last change to the file `to`.
pub fn copy_whole(from: &str, to: &str) -> Result<(), HostError> {
    fs::copy(from, to).map_err(failed("copy", from))?;
    let Some(meta) = stat(from)? else { return Ok(()) };
    set_owner(to, meta.uid, meta.gid, false)?;
    set_mode(to, meta.mode)?;
    set_modified(to, meta.modified, false)
}

/// Moves a file or link, also from one file system to another.
pub fn move_file(from: &str, to: &str) -> Result<(), HostError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_whole(from, to)?;
            fs::remove_file(from).map_err(failed("remove", from))
        }
        other => other.map_err(failed("move", from)),
    }
}

/// Makes an empty file with a new name in `dir`, readable by its owner only, and gives its path.
pub fn temporary_file(dir: &str, prefix: &str) -> Result<String, HostError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("{dir}/{prefix}.{}.{number}", std::process::id());
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("create", &path)(error)),
        }
    }
}

/// How many symbolic links one path may lead through; Linux has the same limit.
const LINKS_MAX: u32 = 40;

/// Makes `path`, as a program inside `root` would mean it, a path of this system that does not
/// lead out of `root`: links are followed as if `root` were `/`. What does not exist is taken as
/// it is written. The last part is followed only if `follow_last` is set.
pub fn resolve_in_root(root: &str, path: &str, follow_last: bool) -> Result<String, HostError> {
    let root = root.trim_end_matches('/');
    let mut done: Vec<String> = Vec::new();
    let mut open: Vec<String> = parts(path);
    let mut links = 0;
    while let Some(part) = open.pop() {
        if part == ".." {
            done.pop();
            continue;
        }
        done.push(part);
        let here = format!("{root}/{}", done.join("/"));
        let may_follow = follow_last || !open.is_empty();
        let is_link = stat_link(&here)?.is_some_and(|meta| meta.kind == FileKind::Symlink);
        if !(may_follow && is_link) {
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(failed("follow", &here)(io::Error::from(rustix::io::Errno::LOOP)));
        }
        let target = read_link(&here)?;
        done.pop();
        if Path::new(&target).is_absolute() {
            done.clear();
        }
        open.extend(parts(&target));
    }
    Ok(format!("{root}/{}", done.join("/")))
}

/// The parts of a path, the last one first.
fn parts(path: &str) -> Vec<String> {
    let named = |part: &&str| !part.is_empty() && *part != ".";
    path.rsplit('/').filter(named).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_of_a_target_stay_inside_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        fs::create_dir_all(format!("{root}/usr/bin")).unwrap();
        symlink("usr/bin", format!("{root}/bin")).unwrap();
        symlink("/run", format!("{root}/var")).unwrap();
        symlink("../../../../etc/passwd", format!("{root}/escape")).unwrap();
        symlink("/loop", format!("{root}/loop")).unwrap();
        let at = |path, last| resolve_in_root(root, path, last).unwrap();
        assert_eq!(at("/bin/sh", true), format!("{root}/usr/bin/sh"));
        assert_eq!(at("var/lock/x", true), format!("{root}/run/lock/x"));
        assert_eq!(at("/escape", true), format!("{root}/etc/passwd"));
        assert_eq!(at("/escape", false), format!("{root}/escape"));
        assert_eq!(at("../../x", true), format!("{root}/x"));
        assert!(resolve_in_root(root, "/loop", true).is_err());
        symlink("self", format!("{root}/self")).unwrap();
        assert_eq!(stat(&format!("{root}/self")).unwrap(), None);
    }

    #[test]
    fn a_copy_has_mode_and_time_of_its_source() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap();
        let from = format!("{dir}/from");
        fs::write(&from, "text").unwrap();
        set_mode(&from, 0o4751).unwrap();
        set_modified(&from, SystemTime::UNIX_EPOCH + std::time::Duration::new(1000, 7), false)
            .unwrap();
        let to = temporary_file(dir, "to").unwrap();
        copy_whole(&from, &to).unwrap();
        assert_eq!(stat(&to).unwrap(), stat(&from).unwrap());
    }

    #[test]
    fn a_missing_file_is_not_an_error() {
        assert_eq!(stat("/nonexistent/file").unwrap(), None);
    }
}
