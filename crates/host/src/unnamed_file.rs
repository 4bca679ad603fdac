//! A file without a name until it is finished: whatever happens before leaves nothing behind.

use crate::HostError;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A file in a directory, without a name: open(2) with `O_TMPFILE`.
#[derive(Debug)]
pub struct UnnamedFile {
    file: File,
    dir: PathBuf,
}

impl UnnamedFile {
    /// Makes one in `dir`, in whose file system it will get its name.
    pub fn create(dir: &Path) -> Result<Self, HostError> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let opened = rustix::fs::open(dir, flags, Mode::from_raw_mode(0o666));
        let file = File::from(opened.map_err(|errno| failed("make a file in", dir)(errno.into()))?);
        Ok(Self { file, dir: dir.to_owned() })
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A path by which programs that this one starts find the file, as long as this process lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Gives it its name, in place of what had that name. `path` must be in its directory.
    pub fn name(self, path: &Path) -> Result<(), HostError> {
        self.file.sync_all().map_err(failed("write", path))?;
        // linkat(2) replaces nothing, so the file has another name first.
        let number = self.file.as_raw_fd();
        let beside = self.dir.join(format!(".hostwright-{}-{number}", std::process::id()));
        let _ = fs::remove_file(&beside);
        let source = format!("/proc/self/fd/{number}");
        rustix::fs::linkat(CWD, source, CWD, &beside, AtFlags::SYMLINK_FOLLOW)
            .map_err(|errno| failed("name", path)(errno.into()))?;
        fs::rename(&beside, path).map_err(|error| {
            let _ = fs::remove_file(&beside);
            failed("name", path)(error)
        })
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HostError {
    let path = path.display().to_string();
    move |source| HostError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn it_has_no_name_until_it_gets_one_and_replaces_what_had_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, names) =
            (dir.path().join("x.raw"), || fs::read_dir(dir.path()).unwrap().count());
        fs::write(&path, "old").unwrap();
        let unnamed = UnnamedFile::create(dir.path()).unwrap();
        unnamed.file().write_all(b"new").unwrap();
        assert_eq!(fs::read(unnamed.path()).unwrap(), b"new");
        assert_eq!((names(), fs::read(&path).unwrap()), (1, b"old".to_vec()));
        unnamed.name(&path).unwrap();
        assert_eq!((names(), fs::read(&path).unwrap()), (1, b"new".to_vec()));
        drop(UnnamedFile::create(dir.path()).unwrap());
        assert_eq!(names(), 1);
    }
}
