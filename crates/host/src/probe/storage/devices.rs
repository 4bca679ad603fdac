//! Every block device that storage is made of, from sysfs: disks, partitions, arrays, device mapper.

use super::super::{Probe, disks::SYSFS_SECTOR_BYTES};
use hostwright_model::facts::Disk;
use std::fs;

/// What kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A whole disk.
    Disk,
    /// A partition, of a disk or of an array.
    Partition,
    /// A running RAID array.
    Array,
    /// An active logical volume.
    LogicalVolume,
    /// Any other target of the device mapper.
    Mapping,
}

/// A block device.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) role: Role,
    /// `sda1`, `dm-0`.
    pub(super) kernel_name: String,
    /// Name of the disk it is on; its own for everything else.
    pub(super) disk: String,
    /// The node by which people know it: `/dev/sda1`, `/dev/vg1/root`, `/dev/mapper/crypt`.
    pub(super) node: String,
    /// `254:1`.
    pub(super) number: String,
    pub(super) size_bytes: u64,
    pub(super) sector_bytes: u32,
    /// Kernel names of the devices that it is made of.
    pub(super) below: Vec<String>,
    /// True unless it is known to have no PC partition table.
    pub(super) holds_dos_table: bool,
}

/// All of them: disks with their partitions first, then what is made of them.
pub(super) fn list(probe: &Probe, disks: &[Disk]) -> Vec<Device> {
    let mut found = Vec::new();
    for disk in disks {
        // Below a GPT that is broken there is still its protective PC table.
        let holds_dos_table = disk.signatures.iter().any(|name| name == "dos" || name == "gpt");
        let name = disk.name.replace('/', "!");
        add(probe, Role::Disk, &name, holds_dos_table, &mut found);
    }
    for name in probe.names("sys/block") {
        let role = match name.strip_prefix("dm-") {
            Some(_) if is_logical_volume(probe, &name) => Role::LogicalVolume,
            Some(_) => Role::Mapping,
            None if name.starts_with("md") => Role::Array,
            None => continue,
        };
        add(probe, role, &name, true, &mut found);
    }
    found
}

fn is_logical_volume(probe: &Probe, name: &str) -> bool {
    let uuid = probe.text(&format!("sys/block/{name}/dm/uuid"));
    uuid.is_some_and(|uuid| uuid.starts_with("LVM-"))
}

/// Adds a device and its partitions.
fn add(probe: &Probe, role: Role, name: &str, holds_dos_table: bool, found: &mut Vec<Device>) {
    let dir = format!("sys/block/{name}");
    let number = |file: &str| probe.number(&format!("{dir}/{file}"));
    let sector = number("queue/logical_block_size").and_then(|bytes| u32::try_from(bytes).ok());
    let device = |dir: &str, role: Role, kernel_name: &str| {
        // A device of no size has no medium, or no table that the kernel could read.
        let sectors = probe.number(&format!("{dir}/size")).filter(|sectors| *sectors > 0)?;
        Some(Device {
            role,
            kernel_name: kernel_name.to_owned(),
            disk: name.replace('!', "/"),
            node: node(probe, kernel_name),
            number: probe.text(&format!("{dir}/dev")).unwrap_or_default(),
            size_bytes: sectors * SYSFS_SECTOR_BYTES,
            sector_bytes: sector.unwrap_or(512),
            below: probe.names(&format!("{dir}/slaves")),
            holds_dos_table,
        })
    };
    found.extend(device(&dir, role, name));
    let mut partitions: Vec<(u64, String)> = probe
        .names(&dir)
        .into_iter()
        .filter_map(|part| Some((number(&format!("{part}/partition"))?, part)))
        .collect();
    partitions.sort();
    let partitions = partitions
        .into_iter()
        .filter_map(|(_, part)| device(&format!("{dir}/{part}"), Role::Partition, &part));
    found.extend(partitions);
}

/// The node that the other programs name a device by.
fn node(probe: &Probe, kernel_name: &str) -> String {
    let mapped = probe.text(&format!("sys/block/{kernel_name}/dm/name"));
    match mapped {
        None => format!("/dev/{}", kernel_name.replace('!', "/")),
        Some(name) if is_logical_volume(probe, kernel_name) => volume_node(&name),
        Some(name) => format!("/dev/mapper/{name}"),
    }
}

/// `/dev/vg-1/root` for the device mapper's `vg--1-root`: it doubles the hyphens within names.
fn volume_node(mapped: &str) -> String {
    let mut node = String::from("/dev/");
    let mut rest = mapped.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '-' if rest.next_if_eq(&'-').is_some() => node.push('-'),
            '-' => node.push('/'),
            _ => node.push(c),
        }
    }
    node
}

/// The node of the device that `path` leads to, or `path` itself.
pub(super) fn node_of_link(probe: &Probe, devices: &[Device], path: &str) -> String {
    let real = fs::canonicalize(probe.path(path.trim_start_matches('/')));
    let name = real.ok().and_then(|real| Some(real.file_name()?.to_str()?.to_owned()));
    let known = devices.iter().find(|device| Some(&device.kernel_name) == name.as_ref());
    known.map_or_else(|| path.to_owned(), |device| device.node.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_in_names_of_volumes_are_taken_back() {
        assert_eq!(volume_node("vg1-root"), "/dev/vg1/root");
        assert_eq!(volume_node("my--vg-a--b"), "/dev/my-vg/a-b");
    }
}
