//! A private view of the machine for this process: mounts that nobody else sees.

use crate::HostError;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::Command;

/// Variable that says to the program that [`own_processes`] started that its processes are its own.
pub const OWN_PROCESSES: &str = "HOSTWRIGHT_OWN_PROCESSES";

/// True if this process may do everything.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Starts this program again, with the same arguments, as the first of a set of processes that all
/// end with it, and waits for it: its exit status. The program that was started finds the variable
/// [`OWN_PROCESSES`] and goes on where this one has begun.
///
/// Nothing outlives the build then, whatever its scripts have left running and however it ends: the
/// kernel kills the program with the process that waits, and every other process with the program.
/// Mounts of the set ([`own_mounts`]) are gone with its last process, and so is a
/// [loop device](crate::loop_disk).
pub fn own_processes() -> Result<i32, HostError> {
    let program = "/proc/self/exe";
    let failed =
        |operation| move |source| HostError::Io { operation, path: program.to_owned(), source };
    leave_namespace(UnshareFlags::NEWPID)
        .map_err(|errno| failed("make a set of processes for")(errno.into()))?;
    let mut command = Command::new(program);
    // The program may do something else under another name.
    let mut words = std::env::args_os();
    command.arg0(words.next().unwrap_or_else(|| program.into()));
    command.args(words).env(OWN_PROCESSES, "1");
    die_with_parent(&mut command);
    let status = command.status().map_err(failed("start"))?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

#[expect(unsafe_code, reason = "the standard library has no death signals")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes one system call.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

/// Lets `/proc` show the processes of [`own_processes`], if this is the first of them. To be called
/// with [`own_mounts`].
pub fn show_own_processes() -> Result<(), HostError> {
    if std::process::id() != 1 {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).map_err(|errno| HostError::Io {
        operation: "mount",
        path: "/proc".to_owned(),
        source: errno.into(),
    })
}

/// Makes an empty directory at `path`, whose parent must exist, in the view of this process only.
/// What is there already is hidden.
pub fn add_directory(path: &str) -> Result<(), HostError> {
    if Path::new(path).is_dir() {
        return hide(path, &[]);
    }
    let failed = |source| HostError::Io { operation: "add", path: path.to_owned(), source };
    let parent = Path::new(path).parent().unwrap_or(Path::new("/")).display().to_string();
    // An overlay over the parent: the directory itself must not appear on the disk. Its upper layer
    // is in memory; where that is mounted does not matter once the overlay is.
    let layers = "/tmp";
    mount("hostwright", layers, "tmpfs", MountFlags::empty(), Some(c"mode=0755,size=1m"))
        .map_err(|errno| failed(errno.into()))?;
    let overlaid = (|| {
        std::fs::create_dir(format!("{layers}/work"))?;
        std::fs::create_dir(format!("{layers}/upper"))?;
        let data = format!("lowerdir={parent},upperdir={layers}/upper,workdir={layers}/work");
        let data = std::ffi::CString::new(data)?;
        mount("hostwright", &*parent, "overlay", MountFlags::empty(), data.as_c_str())?;
        std::fs::create_dir(path)
    })();
    let unmounted = rustix::mount::unmount(layers, rustix::mount::UnmountFlags::empty());
    overlaid.and(unmounted.map_err(io::Error::from)).map_err(failed)
}

/// Gives this process mounts of its own: what it mounts from now on ends with it. To be called
/// before a second thread exists, which would otherwise stay behind.
pub fn own_mounts() -> Result<(), HostError> {
    let failed = |source: rustix::io::Errno| HostError::Io {
        operation: "make private mounts at",
        path: "/".to_owned(),
        source: source.into(),
    };
    leave_namespace(UnshareFlags::NEWNS).map_err(failed)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(failed)
}

#[expect(unsafe_code, reason = "unshare(2) is unsafe only with CLONE_FILES")]
fn leave_namespace(which: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: namespaces leave the table of file descriptors shared as it was.
    unsafe { unshare_unsafe(which) }
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

    #[test]
    fn root_a_directory_is_added_for_this_process_only() {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::write(directory.path().join("there"), "").unwrap();
        let (parent, path) = (directory.path().to_owned(), directory.path().join("fai"));
        let added = path.to_str().unwrap().to_owned();
        let seen = std::thread::spawn(move || {
            own_mounts().unwrap();
            add_directory(&added).unwrap();
            std::fs::write(format!("{added}/file"), "x").unwrap();
            let names = std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name());
            names.count()
        });
        assert_eq!(seen.join().unwrap(), 2);
        assert!(!path.exists());
    }

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
