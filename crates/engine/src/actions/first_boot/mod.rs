//! What an image that is copied as it is does when a copy starts for the first time: its file systems
//! get identifiers of their own, its last partition grows to the end of the disk, and it gets a
//! machine id and host keys.
//!
//! ```text
//! initramfs, local-top      the root is found by its partition, whatever the loader calls it
//! initramfs, local-premount each file system that has the image's identifier gets a new one
//! initramfs, local-bottom   fstab and crypttab of the root are told
//! system, sysinit           the loader is told; the last partition grows; keys; all of it goes away
//! ```
//!
//! Every part looks before it acts, so that the power may go anywhere. Only Debian's initramfs-tools
//! can rename what is not mounted yet; a system with another initramfs keeps its identifiers.

use super::{Done, apt, boot_loader, mounts};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::Tool;
use hostwright_model::boot_loader::{BootLoader, BootSetup};
use hostwright_model::fault::FaultKind;
use hostwright_model::plan::Action;
use hostwright_model::storage::{DiskLayout, StorageLayout, Volume};

/// Files of the system itself: path, text, permission bits.
const SYSTEM: [(&str, &str, u32); 2] = [
    ("usr/lib/hostwright/first-boot", include_str!("first-boot"), 0o755),
    (UNIT, include_str!("unit"), 0o644),
];
const UNIT: &str = "etc/systemd/system/hostwright-first-boot.service";
const WANTED_BY: &str = "etc/systemd/system/sysinit.target.wants/hostwright-first-boot.service";
/// Files below `etc/initramfs-tools`.
const INITRAMFS: [(&str, &str); 4] = [
    ("hooks/hostwright-first-boot", include_str!("hook")),
    ("scripts/local-top/hostwright-find-root", include_str!("find-root")),
    ("scripts/local-premount/hostwright-rename", include_str!("rename")),
    ("scripts/local-bottom/hostwright-settle", include_str!("settle")),
];
/// A line for each file system: partition, identifier in the image, kind, mount point.
const CONF: &str = "usr/lib/hostwright/first-boot.conf";
/// The partition that grows: itself, kind, mount point.
const GROW: &str = "usr/lib/hostwright/first-boot.grow";
/// File systems that can be renamed and whose identifiers have 36 characters.
const RENAMED: [&str; 6] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "swap"];
/// File systems that grow while they are mounted.
const GROWN: [&str; 5] = ["ext2", "ext3", "ext4", "xfs", "btrfs"];

/// Prepares the target for it.
pub(super) fn prepare(work: &mut Work<'_>) -> Result<Done, ActionError> {
    demand_tools(work)?;
    let layout = work.plan.layout.clone().unwrap_or_default();
    let renamed = renamed(work, &layout)?;
    work.host.write(&work.target(CONF), renamed.as_bytes(), 0o644)?;
    let grown = grown(work, &layout)?;
    work.host.write(&work.target(GROW), grown.as_bytes(), 0o644)?;
    for (path, text, mode) in SYSTEM {
        work.host.write(&work.target(path), text.as_bytes(), mode)?;
    }
    work.host.symlink(&work.target(WANTED_BY), &format!("/{UNIT}"))?;
    forget_identity(work)?;
    if !work.exists(&work.target("usr/sbin/update-initramfs"))? {
        work.warn("without initramfs-tools, copies of this image keep the identifiers of its file systems");
        return Ok(Done::changed());
    }
    for (path, text) in INITRAMFS {
        let path = work.target(&format!("etc/initramfs-tools/{path}"));
        work.host.write(&path, text.as_bytes(), 0o755)?;
    }
    mounts::mount_pseudo(work)?;
    let command = apt::in_target(work, Tool::UpdateInitramfs).args(["-u", "-k", "all"]);
    work.tool(command)?;
    put_initramfs_where_it_starts(work)?;
    Ok(Done::changed())
}

/// systemd-boot and unified images start from a copy of the initramfs, which is old by now.
fn put_initramfs_where_it_starts(work: &mut Work<'_>) -> Result<(), ActionError> {
    let mut actions = work.plan.steps().map(|(_, step)| &step.action);
    let setup = actions.find_map(|action| match action {
        Action::BootLoader { setup } => Some(setup.clone()),
        _ => None,
    });
    if let Some(setup) = setup
        && matches!(setup.loader, BootLoader::SystemdBoot | BootLoader::Uki)
    {
        boot_loader::install(work, &BootSetup { rebuild_initrd: false, ..setup })?;
    }
    Ok(())
}

/// Fails where the copy could not do it.
fn demand_tools(work: &mut Work<'_>) -> Result<(), ActionError> {
    let tools = [("sfdisk", "fdisk"), ("partx", "util-linux"), ("systemctl", "systemd")];
    for (program, package) in tools {
        let mut is_there = false;
        for dir in ["usr/sbin", "usr/bin", "sbin", "bin"] {
            is_there |= work.exists(&work.target(&format!("{dir}/{program}")))?;
        }
        if !is_there {
            return Err(ActionError::new(
                FaultKind::Config,
                "image-cannot-grow",
                format!("copies of this image cannot grow by themselves: it has no {program}"),
                format!(
                    "add Debian's package {package} to the image, or build without --first-boot"
                ),
            ));
        }
    }
    Ok(())
}

/// The file systems that get identifiers of their own: the root comes last, so that whoever finds its
/// old one knows that not all is done.
fn renamed(work: &mut Work<'_>, layout: &StorageLayout) -> Result<String, ActionError> {
    let is_root = |volume: &&Volume| volume.mount_point.as_deref() == Some("/");
    let (roots, others): (Vec<&Volume>, Vec<&Volume>) = layout.volumes.iter().partition(is_root);
    let mut text = String::new();
    for volume in others.into_iter().chain(roots) {
        let kind = volume.file_system.as_deref().unwrap_or_default();
        let is_shared = volume.btrfs.as_ref().is_some_and(|b| b.shares || b.devices.len() > 1);
        if !RENAMED.contains(&kind) || is_shared {
            continue;
        }
        let ids = work.host.device_ids(&volume.device)?;
        if let (Some(partition), Some(uuid)) = (ids.partuuid, ids.uuid) {
            let point = volume.mount_point.as_deref().unwrap_or("none");
            text.push_str(&format!("{partition} {uuid} {kind} {point}\n"));
        }
    }
    Ok(text)
}

/// The last partition of the disk with the root, if what is in it can grow.
fn grown(work: &mut Work<'_>, layout: &StorageLayout) -> Result<String, ActionError> {
    let root = layout.volumes.iter().find(|volume| volume.mount_point.as_deref() == Some("/"));
    let Some(last) = root.and_then(|root| last_of(&layout.disks, &root.device)) else {
        return Ok(String::new());
    };
    let volume = layout.volumes.iter().find(|volume| volume.device == last);
    let kind = volume.and_then(|volume| volume.file_system.as_deref()).unwrap_or_default();
    let point = volume.and_then(|volume| volume.mount_point.as_deref());
    let partition = work.host.device_ids(&last)?.partuuid;
    match (point, partition) {
        (Some(point), Some(partition)) if GROWN.contains(&kind) => {
            Ok(format!("{partition} {kind} {point}\n"))
        }
        _ => {
            work.warn(&format!("{last} is last on its disk and does not grow in copies"));
            Ok(String::new())
        }
    }
}

/// The partition that ends its disk, of the disk that has `device`.
fn last_of(disks: &[DiskLayout], device: &str) -> Option<String> {
    let disk = disks.iter().find(|disk| disk.partitions.iter().any(|p| p.device == device))?;
    let last = disk.partitions.iter().max_by_key(|partition| partition.start_bytes)?;
    Some(last.device.clone())
}

/// What each copy makes for itself. An empty machine id is filled at the next start, without that
/// start counting as the system's first, which would enable services by presets.
fn forget_identity(work: &mut Work<'_>) -> Result<(), ActionError> {
    work.host.write(&work.target("etc/machine-id"), b"", 0o444)?;
    let dbus = work.target("var/lib/dbus/machine-id");
    if work.exists(&dbus)? {
        work.host.symlink(&dbus, "/etc/machine-id")?;
    }
    work.host.remove(&work.target("var/lib/systemd/random-seed"))?;
    let dir = work.target("etc/ssh");
    for name in work.host.list(&dir)?.iter().filter(|name| name.starts_with("ssh_host_")) {
        work.host.remove(&format!("{dir}/{name}"))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the scripts are given to a real shell")]
mod tests {
    use std::process::Command;

    #[test]
    fn scripts_are_understood_by_a_shell() {
        let scripts = super::INITRAMFS.iter().map(|(name, text)| (*name, *text));
        for (name, text) in scripts.chain([("first-boot", super::SYSTEM[0].1)]) {
            let status = Command::new("dash").args(["-n", "-c", text]).status().unwrap();
            assert!(status.success(), "{name}");
        }
    }
}
