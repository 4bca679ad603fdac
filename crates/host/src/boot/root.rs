//! The first mounts, and the way from the initramfs into the tools image.
//!
//! ```text
//! initramfs /            rootfs; cannot be left by pivot_root(2), so the session changes its root
//!   /run/hostwright/tools.squashfs   downloaded
//!   /run/hostwright/lower            the image, mounted through a loop device, read-only
//!   /run/hostwright/upper            tmpfs for what is changed
//!   /newroot                         overlay of the two, with /proc /sys /dev /run bound into it
//! ```

use super::{failed, failed_io};
use crate::HostError;
use crate::loop_disk::LoopDisk;
use rustix::mount::{MountFlags, mount, mount_bind_recursive};
use std::ffi::CString;
use std::fs::{self, File};

/// Mounts proc, sysfs, devtmpfs, devpts and two tmpfs, each unless something is there already.
pub fn mount_first() -> Result<(), HostError> {
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    let table = [
        ("proc", "/proc", quiet, ""),
        ("sysfs", "/sys", quiet, ""),
        ("devtmpfs", "/dev", MountFlags::NOSUID, "mode=0755"),
        ("devpts", "/dev/pts", MountFlags::NOSUID | MountFlags::NOEXEC, "mode=0620,ptmxmode=0666"),
        ("tmpfs", "/dev/shm", MountFlags::NOSUID | MountFlags::NODEV, "mode=1777"),
        ("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, "mode=0755,size=90%"),
        ("tmpfs", "/tmp", MountFlags::NOSUID | MountFlags::NODEV, "mode=1777"),
    ];
    for (kind, dir, flags, options) in table {
        mount_at(kind, kind, dir, flags, options)?;
    }
    // Only machines with UEFI have it; grub-install and efibootmgr look for it.
    if fs::exists("/sys/firmware/efi/efivars").unwrap_or(false) {
        let _absent = mount_at("efivarfs", "efivarfs", "/sys/firmware/efi/efivars", quiet, "");
    }
    Ok(())
}

/// Mounts `image`, a squashfs file, under a writable overlay at `root`, and binds /proc, /sys,
/// /dev and /run into it. `work` is a directory in RAM that stays.
pub fn mount_tools(image: &str, work: &str, root: &str) -> Result<(), HostError> {
    let [lower, upper] = ["lower", "upper"].map(|name| format!("{work}/{name}"));
    let disk = LoopDisk::attach_read_only(&File::open(image).map_err(failed_io("open", image))?)?;
    let device = format!("/dev/{}", disk.name());
    mount_at(&device, "squashfs", &lower, MountFlags::RDONLY | MountFlags::NODEV, "")?;
    mount_at("tmpfs", "tmpfs", &upper, MountFlags::empty(), "mode=0755,size=50%")?;
    for dir in ["changes", "work"] {
        make_dir(&format!("{upper}/{dir}"))?;
    }
    let options = format!("lowerdir={lower},upperdir={upper}/changes,workdir={upper}/work");
    mount_at("overlay", "overlay", root, MountFlags::empty(), &options)?;
    for dir in ["/proc", "/sys", "/dev", "/run"] {
        let target = format!("{root}{dir}");
        make_dir(&target)?;
        mount_bind_recursive(dir, &target).map_err(failed("bind", target))?;
    }
    Ok(())
}

/// Makes `root` the root of this process.
pub fn enter(root: &str) -> Result<(), HostError> {
    rustix::process::chroot(root).map_err(failed("change the root to", root))?;
    std::env::set_current_dir("/").map_err(failed_io("change into", root))
}

/// What the kernel was booted with.
pub fn kernel_command_line() -> Result<String, HostError> {
    fs::read_to_string("/proc/cmdline").map_err(failed_io("read", "/proc/cmdline"))
}

/// Terminals that the kernel writes its messages to, the one behind /dev/console last.
pub fn consoles() -> Vec<String> {
    let text = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    // tty0 is whichever virtual terminal is in front; a shell needs a certain one.
    let device = |name: &str| match name {
        "tty0" => "/dev/tty1".to_owned(),
        name => format!("/dev/{name}"),
    };
    text.split_whitespace().map(device).collect()
}

fn mount_at(
    source: &str,
    kind: &str,
    dir: &str,
    flags: MountFlags,
    options: &str,
) -> Result<(), HostError> {
    make_dir(dir)?;
    let data = CString::new(options).expect("invariant: mount options hold no NUL");
    match mount(source, dir, kind, flags, data.as_c_str()) {
        // The kernel, or an earlier start of this program, has mounted it.
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(errno) => Err(failed("mount", dir)(errno)),
    }
}

fn make_dir(dir: &str) -> Result<(), HostError> {
    fs::create_dir_all(dir).map_err(failed_io("make", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    /// Detaches what the test attached, also when it fails.
    struct Detach(String);

    impl Drop for Detach {
        fn drop(&mut self) {
            let found = Command::new("losetup").args(["-n", "-O", "NAME", "-j", &self.0]).output();
            let found = found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            for device in found.unwrap_or_default().lines() {
                let _ = Command::new("losetup").args(["-d", device]).status();
            }
        }
    }

    /// In a thread with mounts of its own, which end with it.
    #[test]
    fn root_the_tools_image_can_be_changed_and_sees_the_kernels_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        fs::create_dir_all(path("tree/etc")).unwrap();
        fs::write(path("tree/etc/hostname"), "tools\n").unwrap();
        let image = path("tools.squashfs");
        let packed =
            Command::new("mksquashfs").args([&path("tree"), &image, "-quiet"]).output().unwrap();
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let _detach = Detach(image.clone());
        let (work, root) = (path("work"), path("root"));
        let mounted = std::thread::spawn(move || {
            crate::namespace::own_mounts().unwrap();
            mount_tools(&image, &work, &root).unwrap();
            let hostname = format!("{root}/etc/hostname");
            assert_eq!(fs::read_to_string(&hostname).unwrap(), "tools\n");
            fs::write(&hostname, "changed\n").unwrap();
            assert_eq!(fs::read_to_string(&hostname).unwrap(), "changed\n");
            assert!(Path::new(&format!("{root}/proc/self/mounts")).exists());
            assert!(Path::new(&format!("{root}/dev/null")).exists());
        });
        mounted.join().unwrap();
        assert_eq!(fs::read_to_string(path("tree/etc/hostname")).unwrap(), "tools\n");
    }
}
