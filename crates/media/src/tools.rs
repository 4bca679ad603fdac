//! The tools image: what an installation needs beside the agent, as a squashfs that the machine
//! downloads into RAM and changes its root to.
//!
//! Debian packages, without documentation and translations, plus the kernel's modules for disks,
//! file systems and networks.

use crate::archive::{PackageArchive, proxy_settings};
use crate::error::{MediaError, io_error};
use crate::kernel::Kernel;
use crate::selection::Selection;
use hostwright_host::{Command, Host, Tool};
use hostwright_model::installer::TOOLS_MARKER;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Packages beside the essential ones, each with what it is for.
pub const PACKAGES: &[&str] = &[
    // Disks and file systems.
    "btrfs-progs",
    "cryptsetup-bin",
    "dmsetup",
    "dosfstools",
    "e2fsprogs",
    "efibootmgr",
    "f2fs-tools",
    "fdisk",
    "lvm2",
    "mdadm",
    "mount",
    "ntfs-3g",
    "parted",
    "xfsprogs",
    // Keys in the TPM: systemd-cryptenroll and the libraries that it opens.
    "libtss2-esys-3.0.2-0",
    "libtss2-rc0",
    "libtss2-tcti-device0",
    "systemd",
    // Devices.
    "dmidecode",
    "kmod",
    "pciutils",
    "udev",
    // The base system of a classic installation.
    "apt",
    "debootstrap",
    "debian-archive-keyring",
    "gpgv",
    "wget",
    // Base files and images of spaces.
    "bzip2",
    "cpio",
    "curl",
    "rsync",
    "xz-utils",
    "zstd",
    // What class scripts and hooks of config spaces use.
    "dialog",
    "file",
    "gawk",
    "iproute2",
    "iputils-ping",
    "netbase",
    "procps",
    "psmisc",
    // A restart without the firmware.
    "kexec-tools",
    // Whoever works in the rescue shell.
    "less",
    "nano-tiny",
];

/// What dpkg(1) leaves out.
const LEFT_OUT: &[&str] = &[
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/bug/*",
];

/// What is removed from the finished tree: caches, logs, and what says how it was made.
const REMOVED: &[&str] = &[
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d",
    "etc/hostname",
    "etc/resolv.conf",
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig",
    "var/lib/apt/lists",
    "var/log",
];

/// Keeps the names that the kernel gave: an address is already on one of the interfaces.
const LINK_NAMES: &str =
    "[Match]\nOriginalName=*\n\n[Link]\nNamePolicy=keep kernel\nMACAddressPolicy=none\n";

/// Words for apt that stand for everything in the image.
pub(crate) fn wanted() -> Vec<&'static str> {
    std::iter::once("?essential").chain(PACKAGES.iter().copied()).collect()
}

/// Makes the image. `root` is a directory for its tree, which is emptied before and removed after.
pub(crate) fn build(
    host: &mut dyn Host,
    archive: &PackageArchive,
    kernel: &Kernel,
    modules: &Selection,
    root: &Path,
    image: &Path,
) -> Result<(), MediaError> {
    remove(root)?;
    bootstrap(host, archive, kernel, root)?;
    copy_modules(kernel, modules, root)?;
    let base = root.display().to_string();
    let depmod = Command::new(Tool::Depmod).args(["-b", base.as_str(), &kernel.release]);
    host.run(&depmod, &mut |_, _| {})?.success()?;
    tidy(kernel, root)?;
    pack(host, kernel, root, image)?;
    remove(root)
}

fn bootstrap(
    host: &mut dyn Host,
    archive: &PackageArchive,
    kernel: &Kernel,
    root: &Path,
) -> Result<(), MediaError> {
    let include = format!("--include={}", PACKAGES.join(","));
    let mut command = Command::new(Tool::Mmdebstrap)
        .args(["--quiet", "--mode=root", "--variant=essential", "--format=directory"])
        .args(["--architectures=amd64", "--skip=check/empty", &include])
        .args(LEFT_OUT.iter().map(|option| format!("--dpkgopt={option}")))
        .env("SOURCE_DATE_EPOCH", kernel.built_at_s.to_string());
    for setting in proxy_settings(host)? {
        command = command.arg(format!("--aptopt={setting}"));
    }
    let command = command.args([archive.suite().to_owned(), root.display().to_string()]);
    let command = command.args(archive.sources());
    host.run(&command, &mut |_, _| {})?.success()?;
    Ok(())
}

fn copy_modules(kernel: &Kernel, modules: &Selection, root: &Path) -> Result<(), MediaError> {
    // depmod wants to know what is built in, and in which order modules are preferred.
    let lists = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];
    let files = modules.paths.iter().map(String::as_str).chain(lists);
    let to = root.join("usr/lib/modules").join(&kernel.release);
    for file in files {
        let (from, to) = (kernel.modules.join(file), to.join(file));
        let dir = to.parent().expect("invariant: the path has several components");
        fs::create_dir_all(dir).map_err(io_error("make", dir))?;
        fs::copy(&from, &to).map_err(io_error("copy", &from))?;
    }
    Ok(())
}

/// Removes what would differ from build to build, and adds what the agent expects.
fn tidy(kernel: &Kernel, root: &Path) -> Result<(), MediaError> {
    for path in REMOVED {
        remove(&root.join(path))?;
    }
    for dir in ["var/log", "var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "target"]
    {
        let path = root.join(dir);
        fs::create_dir_all(&path).map_err(io_error("make", &path))?;
    }
    let files = [
        (TOOLS_MARKER, format!("{}\n", kernel.release)),
        ("etc/hostname", "hostwright\n".to_owned()),
        ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n".to_owned()),
        ("etc/machine-id", String::new()),
        ("etc/systemd/network/99-default.link", LINK_NAMES.to_owned()),
    ];
    for (name, text) in files {
        let path = root.join(name);
        let dir = path.parent().expect("invariant: the path has several components");
        fs::create_dir_all(dir).map_err(io_error("make", dir))?;
        fs::write(&path, text).map_err(io_error("write", &path))?;
    }
    let mtab = root.join("etc/mtab");
    remove(&mtab)?;
    symlink("../proc/self/mounts", &mtab).map_err(io_error("link", &mtab))
}

fn pack(host: &mut dyn Host, kernel: &Kernel, root: &Path, image: &Path) -> Result<(), MediaError> {
    let time = kernel.built_at_s.to_string();
    let command = Command::new(Tool::Mksquashfs)
        .args([root, image].map(|path| path.display().to_string()))
        .args(["-noappend", "-no-progress", "-quiet", "-no-exports", "-processors", "2"])
        .args(["-comp", "zstd", "-Xcompression-level", "15", "-b", "256K"])
        .args(["-reproducible", "-mkfs-time", &time, "-all-time", &time]);
    host.run(&command, &mut |_, _| {})?.success()?;
    Ok(())
}

/// Removes a file or tree; what is not there is fine.
fn remove(path: &Path) -> Result<(), MediaError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(status) if status.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.map_err(io_error("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Essential packages of Debian, and one that many others depend on.
    const ALWAYS_THERE: &[&str] = &[
        "bash",
        "coreutils",
        "debconf",
        "dpkg",
        "gzip",
        "login",
        "passwd",
        "sed",
        "tar",
        "util-linux",
    ];
    /// Only ever run where images and installers are made, or inside the target.
    const ELSEWHERE: &[&str] = &[
        "android-sdk-libsparse-utils",
        "apk-tools",
        "aptitude",
        "debconf-utils",
        "dnf",
        "dracut",
        "git",
        "grub-common",
        "grub2-common",
        "initramfs-tools",
        "mmdebstrap",
        "mtools",
        "openssh-client",
        "pacman-package-manager",
        "qemu-utils",
        "rpm",
        "squashfs-tools",
        "tasksel",
        "zypper",
    ];

    #[test]
    fn every_tool_that_runs_on_a_machine_is_in_the_image() {
        let known: BTreeSet<&str> =
            [PACKAGES, ALWAYS_THERE, ELSEWHERE].into_iter().flatten().copied().collect();
        for tool in Tool::ALL {
            let package = tool.package();
            assert!(known.contains(package), "{} of {package}", tool.program());
        }
    }
}
