//! The initramfs: the agent as /init, busybox for its shell and DHCP client, kernel modules.
//!
//! ```text
//! initrd.img = zstd(cpio of everything but the agent) zstd(cpio of the agent)
//! ```
//!
//! The kernel unpacks archives that follow each other one after the other. Two, because the first
//! takes half a minute to compress and changes with Debian's kernel, while the second is small and
//! changes with every build of the agent.

use crate::cpio::{Archive, Node};
use crate::error::{MediaError, io_error};
use crate::kernel::Kernel;
use crate::selection::Selection;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// What udhcpc calls; see the file.
const UDHCPC_SCRIPT: &str = include_str!("files/udhcpc.script");
/// What the rescue shell reads first.
const PROFILE: &str = include_str!("files/profile");

/// Texts of ours in the initramfs: a change in one of them makes it another one.
pub(crate) const FILES: &[&str] = &[UDHCPC_SCRIPT, PROFILE];

/// As far as zstd goes without asking the kernel for more memory than it expects.
const LEVEL: i32 = 19;

/// Everything but the agent.
pub fn base(kernel: &Kernel, modules: &Selection, busybox: &Path) -> Archive {
    let mut archive = Archive::default();
    for dir in ["dev", "etc", "newroot", "proc", "root", "run", "sys", "tmp"] {
        archive.add(dir, 0o755, Node::Directory);
    }
    // The kernel opens /dev/console for /init before anything can be mounted.
    archive.add("dev/console", 0o600, Node::CharDevice { major: 5, minor: 1 });
    archive.add("dev/null", 0o666, Node::CharDevice { major: 1, minor: 3 });
    archive.add("bin/busybox", 0o755, Node::Copy(busybox.to_owned()));
    archive.add("bin/sh", 0o777, Node::Symlink("busybox".to_owned()));
    // What the kernel calls when it wants a module; the agent answers to that name.
    archive.add("sbin/modprobe", 0o777, Node::Symlink("/init".to_owned()));
    // For the rescue shell.
    archive.add("usr/bin/hostwright-agent", 0o777, Node::Symlink("/init".to_owned()));
    archive.add("etc/passwd", 0o644, Node::Bytes(b"root::0:0:root:/root:/bin/sh\n".to_vec()));
    archive.add("etc/profile", 0o644, Node::Bytes(PROFILE.into()));
    // No right clock shows less: the agent sets one that does forward, before it checks certificates.
    let built_at = format!("{}\n", kernel.built_at_s).into_bytes();
    archive.add("etc/hostwright-built", 0o644, Node::Bytes(built_at));
    archive.add("etc/udhcpc.script", 0o755, Node::Bytes(UDHCPC_SCRIPT.into()));
    let dir = format!("lib/modules/{}", kernel.release);
    for path in &modules.paths {
        let from = kernel.modules.join(path);
        archive.add(&format!("{dir}/{path}"), 0o644, Node::Copy(from));
    }
    let texts = [("dep", &modules.dep), ("alias", &modules.alias), ("softdep", &modules.softdep)];
    for (name, text) in texts {
        let node = Node::Bytes(text.clone().into_bytes());
        archive.add(&format!("{dir}/modules.{name}"), 0o644, node);
    }
    archive
}

/// The agent.
pub fn agent(binary: &Path) -> Archive {
    let mut archive = Archive::default();
    archive.add("init", 0o755, Node::Copy(binary.to_owned()));
    archive
}

/// Writes an archive as one zstd frame. The number of threads does not change the bytes.
pub fn write(archive: &Archive, mtime_s: u32, path: &Path) -> Result<(), MediaError> {
    const THREADS: u32 = 2;
    let pack = || {
        let mut encoder = zstd::Encoder::new(File::create(path)?, LEVEL)?;
        encoder.multithread(THREADS)?;
        encoder.include_checksum(true)?;
        archive.write_to(&mut encoder, mtime_s)?;
        encoder.finish()?.flush()
    };
    pack().map_err(io_error("write", path))
}

/// Writes `parts` one behind the other.
pub(crate) fn concatenate(parts: &[&Path], path: &Path) -> Result<(), MediaError> {
    let mut out = File::create(path).map_err(io_error("write", path))?;
    for part in parts {
        let mut from = File::open(part).map_err(io_error("read", part))?;
        std::io::copy(&mut from, &mut out).map_err(io_error("write", path))?;
    }
    out.sync_all().map_err(io_error("write", path))
}
