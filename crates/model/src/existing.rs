//! What is on the disks before a run: tables, arrays, volume groups, encryption, file systems.
//!
//! The probes in `host` make it; the planner decides from it what is kept, resized or taken apart.
//! Everything is a flat list that refers to devices by their nodes, so that any stacking can be told.

use crate::storage::{PartitionKind, RaidLevel};
use serde::{Deserialize, Serialize};

/// Everything found on the disks of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ExistingStorage {
    /// Partition tables.
    pub tables: Vec<ExistingTable>,
    /// RAID arrays of md(4), running or only recognised by their members.
    pub arrays: Vec<ExistingArray>,
    /// LVM volume groups.
    pub groups: Vec<ExistingGroup>,
    /// Open device mapper targets that are no logical volumes, such as opened LUKS volumes.
    pub mappings: Vec<ExistingMapping>,
    /// Everything that has a signature: file systems, swap, members, LUKS headers.
    pub signatures: Vec<ExistingSignature>,
    /// Devices that are mounted or used as swap in the system that looks.
    pub in_use: Vec<DeviceUse>,
    /// What could not be looked at. It may hold anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// Something that the probes could not look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unread {
    /// A device node, or what is missing in words: `volume groups`.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingTable {
    /// The disk, `/dev/sda`.
    pub device: String,
    /// `gpt` or `dos`, as blkid(8) names them; other kinds by their own names.
    pub kind: String,
    /// Identifier of the table: a GUID, or `0x` and eight digits.
    pub id: Option<String>,
    /// Partitions in the order of their numbers.
    pub partitions: Vec<ExistingPartition>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingPartition {
    /// Number in the table.
    pub number: u32,
    /// Device node.
    pub device: String,
    /// What kind it is.
    pub kind: PartitionKind,
    /// First byte.
    pub start_bytes: u64,
    /// Length.
    pub size_bytes: u64,
    /// Type as sfdisk(8) prints it: a GUID in upper case, or a hexadecimal number without `0x`.
    pub type_code: String,
    /// GPT name.
    pub name: Option<String>,
    /// GPT identifier, in upper case.
    pub uuid: Option<String>,
    /// GPT attributes as sfdisk(8) prints them.
    pub attributes: Option<String>,
    /// True for the active partition of a PC table.
    pub bootable: bool,
}

/// A RAID array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingArray {
    /// Device node if it runs, `/dev/md0`.
    pub device: Option<String>,
    /// UUID as mdadm(8) prints it.
    pub uuid: String,
    /// Name in the superblock, `host:0`.
    pub name: Option<String>,
    /// Level; `None` for kinds that Hostwright does not make, such as containers.
    pub level: Option<RaidLevel>,
    /// Version of the superblock, `1.2`.
    pub metadata: String,
    /// Number of devices it wants.
    pub wanted_devices: u32,
    /// Members found, spares included.
    pub members: Vec<String>,
    /// Size of the array, where it can be told.
    pub size_bytes: Option<u64>,
}

/// A volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingGroup {
    /// Its name.
    pub name: String,
    /// Its UUID as LVM prints it.
    pub uuid: String,
    /// Physical volumes found; a missing one is left out.
    pub physical_volumes: Vec<String>,
    /// True if a physical volume is missing.
    pub is_partial: bool,
    /// Size of the group.
    pub size_bytes: u64,
    /// Size of an extent.
    pub extent_bytes: u64,
    /// Logical volumes.
    pub logical_volumes: Vec<ExistingLogicalVolume>,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingLogicalVolume {
    /// Name inside the group.
    pub name: String,
    /// Device node, `/dev/vg1/root`, whether it is active or not.
    pub device: String,
    /// Its UUID as LVM prints it.
    pub uuid: String,
    /// Size.
    pub size_bytes: u64,
}

/// An open device mapper target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingMapping {
    /// Name below `/dev/mapper`.
    pub name: String,
    /// Devices below it.
    pub devices: Vec<String>,
}

/// What a device says it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingSignature {
    /// Device node.
    pub device: String,
    /// Size of the device.
    pub size_bytes: u64,
    /// `TYPE` of blkid(8): `ext4`, `crypto_LUKS`, `linux_raid_member`.
    pub kind: String,
    /// `UUID` of blkid(8).
    pub uuid: Option<String>,
    /// `LABEL` of blkid(8).
    pub label: Option<String>,
}

/// A device in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceUse {
    /// Device node.
    pub device: String,
    /// Where it is mounted; `None` for swap.
    pub mount_point: Option<String>,
}

impl ExistingStorage {
    /// What is otherwise on these disks in `now` than in `self`, in words; empty if nothing is.
    /// What the system that looks has assembled or opened by itself does not count.
    pub fn changes(&self, now: &Self, disks: &[String]) -> Vec<String> {
        let (here, there) = (self.on(disks), now.on(disks));
        let mut words = Vec::new();
        compare(&mut words, "partition table", &here.tables, &there.tables, |table| {
            (table.device.clone(), format!("{} {}", table.kind, partitions(table)))
        });
        compare(&mut words, "content", &here.signatures, &there.signatures, |found| {
            let ids = [&found.uuid, &found.label].map(|id| id.clone().unwrap_or_default());
            (found.device.clone(), format!("{} {}", found.kind, ids.join(" ").trim()))
        });
        compare(&mut words, "RAID array", &here.arrays, &there.arrays, |array| {
            (array.uuid.clone(), array.members.join(" "))
        });
        compare(&mut words, "volume group", &here.groups, &there.groups, |group| {
            let volumes = group.logical_volumes.iter();
            let volumes = volumes.map(|volume| format!("{}:{}", volume.uuid, volume.size_bytes));
            (
                group.uuid.clone(),
                format!("{} {}", group.name, volumes.collect::<Vec<_>>().join(" ")),
            )
        });
        words
    }

    /// What of it is on the disks themselves: what is only there once an array runs or a volume is
    /// open is left out.
    fn on(&self, disks: &[String]) -> Self {
        let tables = self.tables.iter().filter(|table| disks.contains(&table.device));
        let tables: Vec<ExistingTable> = tables.cloned().collect();
        let partitions = tables.iter().flat_map(|table| &table.partitions);
        let devices: Vec<&String> =
            disks.iter().chain(partitions.map(|partition| &partition.device)).collect();
        let has = |found: &[String]| found.iter().any(|device| devices.contains(&device));
        Self {
            signatures: self
                .signatures
                .iter()
                .filter(|found| devices.contains(&&found.device))
                .cloned()
                .collect(),
            arrays: self.arrays.iter().filter(|array| has(&array.members)).cloned().collect(),
            groups: self
                .groups
                .iter()
                .filter(|group| has(&group.physical_volumes))
                .cloned()
                .collect(),
            tables,
            ..Self::default()
        }
    }
}

fn partitions(table: &ExistingTable) -> String {
    let words = table.partitions.iter().map(|partition| {
        let ExistingPartition { number, start_bytes, size_bytes, type_code, .. } = partition;
        format!("{number}:{start_bytes}+{size_bytes}:{type_code}")
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Compares two lists whose entries `tell` gives a name and a description.
fn compare<T>(
    words: &mut Vec<String>,
    what: &str,
    before: &[T],
    now: &[T],
    tell: impl Fn(&T) -> (String, String),
) {
    let before: Vec<(String, String)> = before.iter().map(&tell).collect();
    let now: Vec<(String, String)> = now.iter().map(&tell).collect();
    for (name, old) in before.iter().filter(|entry| !now.contains(entry)) {
        match now.iter().find(|(other, _)| other == name) {
            Some((_, new)) => {
                let (old, new) = (old.trim_end(), new.trim_end());
                words.push(format!("{what} of {name} was '{old}', is '{new}'"));
            }
            None => words.push(format!("{what} of {name} is gone")),
        }
    }
    for (name, new) in &now {
        if !before.iter().any(|(other, _)| other == name) {
            words.push(format!("{what} of {name} is new: '{}'", new.trim_end()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(kind: &str, label: Option<&str>) -> ExistingStorage {
        ExistingStorage {
            tables: vec![ExistingTable {
                device: "/dev/sda".to_owned(),
                kind: "gpt".to_owned(),
                id: None,
                partitions: vec![ExistingPartition {
                    number: 1,
                    device: "/dev/sda1".to_owned(),
                    kind: PartitionKind::Primary,
                    start_bytes: 1 << 20,
                    size_bytes: 1 << 30,
                    type_code: "83".to_owned(),
                    name: None,
                    uuid: None,
                    attributes: None,
                    bootable: false,
                }],
            }],
            signatures: vec![ExistingSignature {
                device: "/dev/sda1".to_owned(),
                size_bytes: 1 << 30,
                kind: kind.to_owned(),
                uuid: None,
                label: label.map(str::to_owned),
            }],
            ..ExistingStorage::default()
        }
    }

    #[test]
    fn what_has_changed_on_a_disk_is_told_in_words() {
        let disks = ["/dev/sda".to_owned()];
        let planned = storage("ext4", Some("data"));
        assert_eq!(planned.changes(&planned, &disks), Vec::<String>::new());
        let other = storage("xfs", None);
        assert_eq!(
            planned.changes(&other, &disks),
            ["content of /dev/sda1 was 'ext4 data', is 'xfs'"]
        );
        let mut moved = planned.clone();
        moved.tables[0].partitions[0].start_bytes = 2 << 20;
        let words = moved.changes(&planned, &disks);
        assert!(
            words[0].starts_with("partition table of /dev/sda was 'gpt 1:2097152+"),
            "{words:?}"
        );
        let empty = ExistingStorage::default();
        assert_eq!(
            planned.changes(&empty, &disks),
            ["partition table of /dev/sda is gone", "content of /dev/sda1 is gone"]
        );
        assert_eq!(planned.changes(&empty, &["/dev/sdb".to_owned()]), Vec::<String>::new());
    }
}
