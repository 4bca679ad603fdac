//! What is on the disks: tables and RAID members read from the devices, the rest from the kernel,
//! blkid(8) and LVM's reports.
//!
//! Nothing is started, assembled or activated by looking. A device that does not answer is named in
//! `unread` and then left alone, so that a dying disk costs one failed read and not hundreds.

mod bytes;
mod devices;
mod dos;
mod gpt;
mod in_use;
mod lvm;
mod md;

use super::{Probe, RunTool};
use crate::{Command, HostError, Tool};
use devices::{Device, Role};
use hostwright_model::existing::{
    ExistingArray, ExistingMapping, ExistingSignature, ExistingStorage, ExistingTable, Unread,
};
use hostwright_model::facts::Disk;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;

/// What the probe of disks says of one that answers with errors.
const UNREADABLE: &str = "unreadable";

/// Everything on `disks` and on what is made of them. `run` is asked for blkid(8) and LVM's
/// reports; without it, on a recorded machine, neither signatures nor groups are known.
pub(super) fn read(probe: &Probe, disks: &[Disk], run: Option<RunTool<'_>>) -> ExistingStorage {
    let mut look = Look { probe, found: ExistingStorage::default() };
    let dead: Vec<&str> = disks
        .iter()
        .filter(|disk| disk.signatures.iter().any(|name| name == UNREADABLE))
        .map(|disk| disk.name.as_str())
        .collect();
    for name in &dead {
        look.unread(&format!("/dev/{name}"), "it answers with errors");
    }
    let mut devices = devices::list(probe, disks);
    devices.retain(|device| !dead.contains(&device.disk.as_str()));
    look.found.tables =
        devices.iter().filter_map(|device| look_at_table(device, &mut look)).collect();
    look.arrays(&devices);
    look.found.mappings = mappings(&devices);
    look.found.in_use = in_use::read(probe, &devices);
    if let Some(run) = run {
        look.signatures(&devices, run);
        look.groups(&devices, run);
    }
    look.found
}

/// The partition table of a disk image, whose sectors have 512 bytes; `None` if it has none. `name`
/// stands for its device.
pub fn table_of_image(image: &File, name: &str) -> io::Result<Option<ExistingTable>> {
    const SECTOR_BYTES: u32 = 512;
    let size_bytes = image.metadata()?.len();
    match gpt::read(image, name, size_bytes, SECTOR_BYTES)? {
        Some(table) => Ok(Some(table)),
        None => dos::read(image, name, SECTOR_BYTES),
    }
}

/// The device node of a partition: the kernel puts a `p` behind a name that ends in a digit.
pub(super) fn partition_node(disk: &str, number: u32) -> String {
    let separator = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{separator}{number}")
}

struct Look<'a> {
    probe: &'a Probe,
    found: ExistingStorage,
}

fn look_at_table(device: &Device, look: &mut Look<'_>) -> Option<ExistingTable> {
    if !matches!(device.role, Role::Disk | Role::Array) {
        return None;
    }
    let (node, size, sector) = (&device.node, device.size_bytes, device.sector_bytes);
    let read = |file: &File| match gpt::read(file, node, size, sector)? {
        Some(table) => Ok(Some(table)),
        None if device.holds_dos_table => dos::read(file, node, sector),
        None => Ok(None),
    };
    look.with_device(device, read).flatten()
}

impl Look<'_> {
    fn unread(&mut self, what: &str, reason: impl Into<String>) {
        let reason = reason.into();
        self.found.unread.push(Unread { what: what.to_owned(), reason });
    }

    /// Opens a device and reads it; `None` and a note if that fails. A device that is gone is no
    /// news: it vanished while the probe was looking, or the machine is a recorded one.
    fn with_device<T>(
        &mut self,
        device: &Device,
        read: impl FnOnce(&File) -> io::Result<T>,
    ) -> Option<T> {
        let path = self.probe.path(device.node.trim_start_matches('/'));
        match File::open(path).and_then(|file| read(&file)) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.unread(&device.node, error.to_string());
                None
            }
        }
    }

    /// Arrays by their members' superblocks, with what sysfs says of those that run.
    fn arrays(&mut self, devices: &[Device]) {
        let mut by_array: BTreeMap<(String, String), Vec<(&Device, md::Member)>> = BTreeMap::new();
        for device in devices {
            let members = self.with_device(device, |file| md::read(file, device.size_bytes));
            for member in members.unwrap_or_default() {
                let key = (member.uuid.clone(), member.metadata.clone());
                by_array.entry(key).or_default().push((device, member));
            }
        }
        for ((uuid, metadata), mut members) in by_array {
            // Superblocks at the end of the last partition are at the end of the disk as well.
            let partitions: Vec<String> = members.iter().map(|(d, _)| d.disk.clone()).collect();
            let is_twice =
                |disk: &str| partitions.iter().filter(|other| *other == disk).count() > 1;
            members.retain(|(device, _)| device.role != Role::Disk || !is_twice(&device.disk));
            let Some((_, first)) = members.first() else { continue };
            let all: Vec<&md::Member> = members.iter().map(|(_, member)| member).collect();
            let names: Vec<&str> = members.iter().map(|(d, _)| d.kernel_name.as_str()).collect();
            let running = devices.iter().find(|device| {
                device.role == Role::Array
                    && device.below.iter().any(|b| names.contains(&b.as_str()))
            });
            self.found.arrays.push(ExistingArray {
                device: running.map(|array| array.node.clone()),
                uuid,
                name: first.name.clone(),
                level: first.level,
                metadata,
                wanted_devices: first.wanted_devices,
                size_bytes: running.map(|a| a.size_bytes).or_else(|| first.array_bytes(&all)),
                members: members.iter().map(|(device, _)| device.node.clone()).collect(),
            });
        }
    }

    fn signatures(&mut self, devices: &[Device], run: RunTool<'_>) {
        for device in devices {
            match signatures(device, run) {
                Ok(found) => self.found.signatures.extend(found),
                Err(HostError::MissingTool { program, package }) => {
                    let reason = format!("{program} is not installed (Debian package {package})");
                    return self.unread("signatures", reason);
                }
                Err(error) => self.unread(&device.node, error.to_string()),
            }
        }
    }

    fn groups(&mut self, devices: &[Device], run: RunTool<'_>) {
        // Where there is no physical volume, LVM need not be there either.
        let is_member = |signature: &ExistingSignature| signature.kind == "LVM2_member";
        if !self.found.signatures.iter().any(is_member) {
            return;
        }
        match lvm::groups(run) {
            Ok(groups) => {
                let known = |path: &String| devices::node_of_link(self.probe, devices, path);
                self.found.groups = groups;
                for group in &mut self.found.groups {
                    group.physical_volumes = group.physical_volumes.iter().map(known).collect();
                    group.physical_volumes.sort();
                }
            }
            Err(HostError::MissingTool { program, package }) => {
                let reason = format!("{program} is not installed (Debian package {package})");
                self.unread("volume groups", reason);
            }
            Err(error) => self.unread("volume groups", error.to_string()),
        }
    }
}

/// What blkid(8) finds on a device. Where it finds several things that cannot all be true, all of
/// them are told: wipefs(8) lists them.
fn signatures(device: &Device, run: RunTool<'_>) -> Result<Vec<ExistingSignature>, HostError> {
    /// blkid(8): several signatures, and no saying which one counts.
    const AMBIVALENT: i32 = 8;
    let command = Command::new(Tool::Blkid).args(["-p", "-o", "udev", &device.node]);
    let output = run(&command)?;
    let signature = |kind: String, uuid, label| ExistingSignature {
        device: device.node.clone(),
        size_bytes: device.size_bytes,
        kind,
        uuid,
        label,
    };
    if output.status == AMBIVALENT {
        let all = run(&Command::new(Tool::Wipefs).args([
            "--no-act",
            "--noheadings",
            "--raw",
            "--output",
            "TYPE",
            &device.node,
        ]))?;
        let kinds = all.success()?.stdout;
        return Ok(kinds.lines().map(|kind| signature(kind.to_owned(), None, None)).collect());
    }
    // 2: there is nothing, or the device is gone.
    if output.status == 2 {
        return Ok(Vec::new());
    }
    let ids = super::parse_ids(&output.success()?.stdout);
    Ok(ids
        .kind
        .into_iter()
        .map(|kind| signature(kind, ids.uuid.clone(), ids.label.clone()))
        .collect())
}

fn mappings(devices: &[Device]) -> Vec<ExistingMapping> {
    let open = devices.iter().filter(|device| device.role == Role::Mapping);
    let node = |name: &String| {
        let known = devices.iter().find(|device| device.kernel_name == *name);
        known.map_or_else(|| format!("/dev/{name}"), |device| device.node.clone())
    };
    open.map(|device| ExistingMapping {
        name: device.node.trim_start_matches("/dev/mapper/").to_owned(),
        devices: device.below.iter().map(node).collect(),
    })
    .collect()
}
