//! Mounting with the options of fstab(5), and the table of what is mounted.

use crate::{HostError, MountRequest};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::CString;
use std::io;
use std::thread::sleep;
use std::time::Duration;

/// How often and how long to wait for a file system that is still busy: a program that has just
/// ended may not have let go of it yet.
const BUSY_ATTEMPTS: u32 = 25;
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// Flags of mount(2) by their names in fstab(5), with true where the name takes the flag away.
const FLAGS: [(&str, MountFlags, bool); 20] = [
    ("ro", MountFlags::RDONLY, false),
    ("rw", MountFlags::RDONLY, true),
    ("nosuid", MountFlags::NOSUID, false),
    ("suid", MountFlags::NOSUID, true),
    ("nodev", MountFlags::NODEV, false),
    ("dev", MountFlags::NODEV, true),
    ("noexec", MountFlags::NOEXEC, false),
    ("exec", MountFlags::NOEXEC, true),
    ("sync", MountFlags::SYNCHRONOUS, false),
    ("async", MountFlags::SYNCHRONOUS, true),
    ("dirsync", MountFlags::DIRSYNC, false),
    ("noatime", MountFlags::NOATIME, false),
    ("atime", MountFlags::NOATIME, true),
    ("nodiratime", MountFlags::NODIRATIME, false),
    ("diratime", MountFlags::NODIRATIME, true),
    ("relatime", MountFlags::RELATIME, false),
    ("norelatime", MountFlags::RELATIME, true),
    ("strictatime", MountFlags::STRICTATIME, false),
    ("lazytime", MountFlags::LAZYTIME, false),
    ("silent", MountFlags::SILENT, false),
];

/// Options that are for mount(8), init and the like, not for the kernel.
const FOR_OTHERS: [&str; 11] = [
    "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev",
    "loud",
];

/// An option string taken apart.
#[derive(Debug, PartialEq, Eq)]
struct MountOptions {
    flags: MountFlags,
    bind: bool,
    recursive: bool,
    remount: bool,
    propagation: Option<MountPropagationFlags>,
    data: String,
}

impl MountOptions {
    fn parse(options: &str) -> Self {
        let mut parsed = Self {
            flags: MountFlags::empty(),
            bind: false,
            recursive: false,
            remount: false,
            propagation: None,
            data: String::new(),
        };
        let mut data = Vec::new();
        for option in options.split(',').filter(|option| !option.is_empty()) {
            if let Some((_, flag, takes_away)) = FLAGS.iter().find(|(name, ..)| *name == option) {
                parsed.flags.set(*flag, !takes_away);
            } else if let Some(propagation) = propagation(option) {
                parsed.propagation = Some(propagation);
            } else {
                match option {
                    "bind" => parsed.bind = true,
                    "rbind" => (parsed.bind, parsed.recursive) = (true, true),
                    "remount" => parsed.remount = true,
                    _ if FOR_OTHERS.contains(&option) => {}
                    _ if option.starts_with("x-") || option.starts_with("comment=") => {}
                    _ => data.push(option),
                }
            }
        }
        parsed.data = data.join(",");
        parsed
    }
}

fn propagation(option: &str) -> Option<MountPropagationFlags> {
    let (recursive, kind) = match option.strip_prefix('r') {
        Some(kind) => (MountPropagationFlags::REC, kind),
        None => (MountPropagationFlags::empty(), option),
    };
    let kind = match kind {
        "private" => MountPropagationFlags::PRIVATE,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "shared" => MountPropagationFlags::SHARED,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        _ => return None,
    };
    Some(kind | recursive)
}

/// Mounts; makes the directory.
pub(super) fn mount(request: &MountRequest) -> Result<(), HostError> {
    super::files::make_dir(&request.target, 0o755)?;
    mount_quietly(request).map_err(|source| HostError::Io {
        operation: "mount",
        path: format!("{} on {}", request.source, request.target),
        source,
    })
}

fn mount_quietly(request: &MountRequest) -> io::Result<()> {
    let options = MountOptions::parse(&request.options);
    let (source, target) = (request.source.as_str(), request.target.as_str());
    let data = CString::new(options.data.as_str())?;
    if options.bind {
        match options.recursive {
            true => rustix::mount::mount_bind_recursive(source, target)?,
            false => rustix::mount::mount_bind(source, target)?,
        }
        // The kernel takes no other flag together with MS_BIND.
        if !options.flags.is_empty() {
            rustix::mount::mount_remount(target, options.flags | MountFlags::BIND, c"")?;
        }
    } else if options.remount {
        rustix::mount::mount_remount(target, options.flags, data.as_c_str())?;
    } else {
        let kind = request.file_system.as_deref().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "no type and no bind option")
        })?;
        rustix::mount::mount(source, target, kind, options.flags, data.as_c_str())?;
    }
    if let Some(propagation) = options.propagation {
        rustix::mount::mount_change(target, propagation)?;
    }
    Ok(())
}

/// Unmounts the top mount at `path`; what is not mounted is fine.
pub(super) fn unmount(path: &str) -> Result<(), HostError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match rustix::mount::unmount(path, UnmountFlags::NOFOLLOW) {
            // EINVAL: it is not a mount point.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(Errno::BUSY) if attempt < BUSY_ATTEMPTS => sleep(BUSY_PAUSE),
            Err(error) => {
                let (path, source) = (path.to_owned(), error.into());
                return Err(HostError::Io { operation: "unmount", path, source });
            }
        }
    }
}

/// Mount points at and below `path`, in the order they were mounted.
pub(super) fn mounts_below(path: &str) -> Result<Vec<String>, HostError> {
    let path = match std::fs::canonicalize(path) {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(HostError::Io { operation: "look up", path: path.to_owned(), source });
        }
    };
    // Of this thread, which may have mounts of its own.
    let table = "/proc/thread-self/mountinfo";
    let text = std::fs::read(table).map_err(|source| HostError::Io {
        operation: "read",
        path: table.to_owned(),
        source,
    })?;
    let below = if path == "/" { path.clone() } else { format!("{path}/") };
    let points = mount_points(&String::from_utf8_lossy(&text));
    Ok(points.into_iter().filter(|point| *point == path || point.starts_with(&below)).collect())
}

/// The mount points in the text of /proc/PID/mountinfo (proc(5)): its fifth field, in which blanks
/// and the like are written as octal numbers.
fn mount_points(table: &str) -> Vec<String> {
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).collect()
}

fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|d| byte == b'\\' && d.iter().all(u8::is_ascii_digit));
        let code = digits.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &behind[3..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_to_the_kernel_or_to_the_file_system() {
        let options = MountOptions::parse(
            "defaults,ro,nosuid,relatime,errors=remount-ro,subvol=@home,nofail,x-gvfs-hide,umask=0077",
        );
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::RELATIME;
        assert_eq!(options.flags, flags);
        assert_eq!(options.data, "errors=remount-ro,subvol=@home,umask=0077");
        assert!(!options.bind && options.propagation.is_none());
    }

    #[test]
    fn a_later_option_wins() {
        assert_eq!(MountOptions::parse("ro,rw").flags, MountFlags::empty());
        assert_eq!(MountOptions::parse("rw,noexec,ro,exec").flags, MountFlags::RDONLY);
    }

    #[test]
    fn bind_and_propagation_are_no_data() {
        let options = MountOptions::parse("rbind,rslave,ro");
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        assert_eq!((options.bind, options.recursive), (true, true));
        assert_eq!(options.propagation, Some(slave));
        assert_eq!(options.data, "");
        let private = MountOptions::parse("bind,private");
        assert_eq!(private.propagation, Some(MountPropagationFlags::PRIVATE));
    }

    #[test]
    fn octal_escapes_of_mountinfo_are_read() {
        let table = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                     30 22 0:5 / /a\\040b\\134c rw,nosuid shared:1 - tmpfs tmpfs rw\n\
                     31 22 0:5 / /odd\\04 rw - tmpfs tmpfs rw\n";
        assert_eq!(mount_points(table), ["/", "/a b\\c", "/odd\\04"]);
    }
}
