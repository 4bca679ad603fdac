//! Files: whole or not at all, and safe on the disk when a call returns.

use crate::HostError;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

fn failed(operation: &'static str, path: &str) -> impl FnOnce(io::Error) -> HostError {
    move |source| HostError::Io { operation, path: path.to_owned(), source }
}

/// True if nothing is at a path, or cannot be because a parent is no directory.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

pub(super) fn read(path: &str) -> Result<Option<Vec<u8>>, HostError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

pub(super) fn read_at(path: &str, offset: u64, length: usize) -> Result<Vec<u8>, HostError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(length);
        file.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(failed("read", path))
}

pub(super) fn write_at(path: &str, offset: u64, bytes: &[u8]) -> Result<(), HostError> {
    let write = || -> io::Result<()> {
        let file = File::options().write(true).open(path)?;
        file.write_all_at(bytes, offset)?;
        file.sync_all()
    };
    write().map_err(failed("overwrite", path))
}

pub(super) fn random_bytes(count: usize) -> Result<Vec<u8>, HostError> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags)
            .map_err(|errno| failed("read", "the kernel's random numbers")(errno.into()))?;
    }
    Ok(bytes)
}

pub(super) fn write(path: &str, content: &[u8], mode: u32) -> Result<(), HostError> {
    let write = || -> io::Result<()> {
        let draft = make_room_beside(path)?;
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.custom_flags(libc::O_NOFOLLOW).open(&draft)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        sync_parent(path)
    };
    write().map_err(failed("write", path))
}

pub(super) fn append(path: &str, content: &[u8]) -> Result<(), HostError> {
    let append = || -> io::Result<()> {
        let is_new = !fs::exists(path)?;
        if is_new {
            make_dirs(parent(path))?;
        }
        let mut options = File::options();
        let mut file = options.append(true).create(true).mode(0o644).open(path)?;
        file.write_all(content)?;
        file.sync_all()?;
        if is_new { sync_parent(path) } else { Ok(()) }
    };
    append().map_err(failed("append to", path))
}

pub(super) fn make_dir(path: &str, mode: u32) -> Result<(), HostError> {
    let make = || -> io::Result<()> {
        if fs::metadata(path).is_ok_and(|found| found.is_dir()) {
            return Ok(());
        }
        make_dirs(parent(path))?;
        fs::create_dir(path)?;
        // The umask does not count here.
        fs::set_permissions(path, Permissions::from_mode(mode))
    };
    make().map_err(failed("make directory", path))
}

pub(super) fn symlink(path: &str, target: &str) -> Result<(), HostError> {
    let link = || -> io::Result<()> {
        let draft = make_room_beside(path)?;
        match fs::remove_file(&draft) {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(target, &draft)?;
        fs::rename(&draft, path)?;
        sync_parent(path)
    };
    link().map_err(failed("link", path))
}

pub(super) fn rename(from: &str, to: &str) -> Result<(), HostError> {
    let rename = || -> io::Result<()> {
        fs::rename(from, to)?;
        sync_parent(to)
    };
    rename().map_err(failed("rename", from))
}

pub(super) fn list(path: &str) -> Result<Vec<String>, HostError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", path)(error)),
    };
    let names: io::Result<Vec<String>> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
    let mut names = names.map_err(failed("list", path))?;
    names.sort();
    Ok(names)
}

/// Removes whatever is at `path`. Everything is opened relative to its directory, links are never
/// followed, and the kernel itself refuses to walk into a mounted file system.
pub(super) fn remove(path: &str) -> Result<(), HostError> {
    let trimmed = path.trim_end_matches('/');
    let Some(name) = Path::new(trimmed).file_name().filter(|_| !trimmed.is_empty()) else {
        let source = io::Error::new(ErrorKind::InvalidInput, "it has no name");
        return Err(failed("remove", path)(source));
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::openat(CWD, parent(trimmed), flags, Mode::empty()) {
        Ok(parent) => parent,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(failed("remove", path)(error.into())),
    };
    let name = name.to_str().expect("invariant: a part of a str is UTF-8");
    remove_at(&parent, name.as_bytes(), trimmed)
}

fn remove_at(parent: &OwnedFd, name: &[u8], path: &str) -> Result<(), HostError> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // EPERM is what POSIX prescribes for a directory, EISDIR what Linux gives.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(failed("remove", path)(mounted_or(error))),
    }
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)
        .map_err(|error| failed("remove", path)(mounted_or(error)))?;
    let entries = rustix::fs::Dir::read_from(directory.as_fd())
        .map_err(|error| failed("remove", path)(error.into()))?;
    for entry in entries {
        let entry = entry.map_err(|error| failed("remove", path)(error.into()))?;
        let child = entry.file_name().to_bytes();
        if matches!(child, b"." | b"..") {
            continue;
        }
        let child_path = format!("{path}/{}", String::from_utf8_lossy(child));
        remove_at(&directory, child, &child_path)?;
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
        .map_err(|error| failed("remove", path)(mounted_or(error)))
}

/// Says what EXDEV and EBUSY mean for a removal.
fn mounted_or(error: Errno) -> io::Error {
    match error {
        Errno::XDEV | Errno::BUSY => {
            io::Error::new(ErrorKind::ResourceBusy, "a file system is mounted there")
        }
        other => other.into(),
    }
}

fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

fn make_dirs(path: &str) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// The name under which a new file is made before it takes its place. Always the same for the same
/// file, so that what a power cut leaves behind is overwritten by the next attempt.
fn make_room_beside(path: &str) -> io::Result<String> {
    let directory = parent(path);
    make_dirs(directory)?;
    let name = path.rsplit('/').next().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it has no name"))?;
    Ok(format!("{directory}/.{name}.hostwright-new"))
}

fn sync_parent(path: &str) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().to_str().expect("UTF-8").to_owned();
        (dir, path)
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_with_its_mode() {
        let (_dir, root) = scratch();
        let path = format!("{root}/etc/deep/file");
        assert_eq!(read(&path).expect("reads"), None);
        write(&path, b"one", 0o600).expect("writes");
        write(&path, b"two", 0o4755).expect("writes");
        assert_eq!(read(&path).expect("reads").as_deref(), Some(&b"two"[..]));
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o4755);
        assert_eq!(list(&format!("{root}/etc/deep")).expect("lists"), ["file"]);
    }

    #[test]
    fn writing_replaces_a_link_and_leaves_its_target() {
        let (_dir, root) = scratch();
        write(&format!("{root}/target"), b"old", 0o644).expect("writes");
        symlink(&format!("{root}/link"), "nowhere").expect("links");
        symlink(&format!("{root}/link"), "target").expect("links again");
        write(&format!("{root}/link"), b"new", 0o644).expect("writes");
        assert_eq!(read(&format!("{root}/target")).expect("reads").as_deref(), Some(&b"old"[..]));
        assert!(fs::symlink_metadata(format!("{root}/link")).expect("is there").is_file());
    }

    #[test]
    fn what_a_power_cut_left_is_overwritten() {
        let (_dir, root) = scratch();
        fs::write(format!("{root}/.file.hostwright-new"), "half").expect("writes");
        write(&format!("{root}/file"), b"whole", 0o644).expect("writes");
        assert_eq!(list(&root).expect("lists"), ["file"]);
    }

    #[test]
    fn appending_makes_the_file() {
        let (_dir, root) = scratch();
        let path = format!("{root}/logs/run");
        append(&path, b"a\n").expect("appends");
        append(&path, b"b\n").expect("appends");
        assert_eq!(read(&path).expect("reads").as_deref(), Some(&b"a\nb\n"[..]));
    }

    #[test]
    fn an_existing_directory_keeps_its_mode() {
        let (_dir, root) = scratch();
        let path = format!("{root}/a/b");
        make_dir(&path, 0o1777).expect("makes");
        make_dir(&path, 0o700).expect("is fine");
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777);
    }

    #[test]
    fn removing_a_tree_leaves_what_links_point_to() {
        let (_dir, root) = scratch();
        write(&format!("{root}/keep/file"), b"x", 0o644).expect("writes");
        write(&format!("{root}/tree/a/b/c"), b"x", 0o644).expect("writes");
        symlink(&format!("{root}/tree/a/link"), "../../keep").expect("links");
        symlink(&format!("{root}/entry"), "keep").expect("links");
        remove(&format!("{root}/tree/")).expect("removes");
        remove(&format!("{root}/entry")).expect("removes the link only");
        remove(&format!("{root}/missing/too")).expect("is fine");
        assert_eq!(list(&root).expect("lists"), ["keep"]);
        assert_eq!(list(&format!("{root}/keep")).expect("lists"), ["file"]);
        assert!(remove("/").is_err());
    }

    #[test]
    fn errors_name_what_failed() {
        let error = write("/proc/nothing/here", b"", 0o644).expect_err("proc takes no files");
        assert_eq!(error.to_string(), "cannot write /proc/nothing/here");
    }
}
