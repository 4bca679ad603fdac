//! A private view of the machine for this process: mounts that nobody else sees.

use crate::HostError;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io;

/// Gives this process mounts of its own: what it mounts from now on ends with it. To be called
/// before a second thread exists, which would otherwise stay behind.
pub fn own_mounts() -> Result<(), HostError> {
    let failed = |source: rustix::io::Errno| HostError::Io {
        operation: "make private mounts at",
        path: "/".to_owned(),
        source: source.into(),
    };
    leave_mount_namespace().map_err(failed)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(failed)
}

#[expect(unsafe_code, reason = "unshare(2) is unsafe only with CLONE_FILES")]
fn leave_mount_namespace() -> rustix::io::Result<()> {
    // SAFETY: CLONE_NEWNS alone leaves the table of file descriptors shared as it was.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }
}

/// Hides everything below a directory behind one in memory that holds only the empty directories
/// `instead`.
pub fn hide(directory: &str, instead: &[&str]) -> Result<(), HostError> {
    let failed = |source| HostError::Io { operation: "hide", path: directory.to_owned(), source };
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("hostwright", directory, "tmpfs", flags, Some(c"mode=0755,size=64k"))
        .map_err(|error| failed(io::Error::from(error)))?;
    for name in instead {
        std::fs::create_dir(format!("{directory}/{name}")).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs in a thread of its own, because the test process has others: the namespace is then that
    /// thread's alone, which is what the test needs.
    #[test]
    fn root_hidden_directories_come_back_with_the_namespace() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("there"), "").unwrap();
        let path = directory.path().to_str().unwrap().to_owned();
        let inside = std::thread::spawn({
            let path = path.clone();
            move || {
                own_mounts().unwrap();
                hide(&path, &["efi"]).unwrap();
                let names = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap());
                names.map(|entry| entry.file_name()).collect::<Vec<_>>()
            }
        });
        assert_eq!(inside.join().unwrap(), ["efi"]);
        assert!(directory.path().join("there").exists());
    }
}
