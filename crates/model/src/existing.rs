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
            let id = table.id.as_deref().unwrap_or_default();
            (table.device.clone(), format!("{} {id} {}", table.kind, partitions(table)))
        });
        compare(&mut words, "content", &here.signatures, &there.signatures, content);
        compare(&mut words, "RAID array", &here.arrays, &there.arrays, array);
        compare(&mut words, "volume group", &here.groups, &there.groups, group);
        // Above those, what does not run or is not open on either side cannot be compared.
        let (mut above, mut now_above) = (self.above(disks), now.above(disks));
        let has = |list: &[(String, String)], name: &str| list.iter().any(|(of, _)| of == name);
        above.retain(|(name, _)| has(&now_above, name));
        now_above.retain(|(name, _)| has(&above, name));
        compare(&mut words, "content", &above, &now_above, Clone::clone);
        words.extend(here.new_users(&there));
        words
    }

    /// What the layers above partitions hold, by their own identifiers: names of devices change with
    /// each start.
    fn above(&self, disks: &[String]) -> Vec<(String, String)> {
        let devices = self.devices_above(disks);
        let is_ours = |device: &String| devices.contains(device);
        let content_of = |device: &String| {
            self.signatures
                .iter()
                .find(|found| found.device == *device)
                .map(|found| content(found).1)
        };
        let mut found = Vec::new();
        for array in self.arrays.iter().filter(|array| array.members.iter().any(is_ours)) {
            if let Some(device) = &array.device {
                let content = content_of(device).unwrap_or_default();
                found.push((format!("RAID array {}", array.uuid), content));
            }
        }
        for group in self.groups.iter().filter(|group| group.physical_volumes.iter().any(is_ours)) {
            found.push((format!("volume group {}", group.uuid), volumes(group)));
            for volume in &group.logical_volumes {
                // One that is not open looks as one that is empty.
                let content = content_of(&volume.device);
                let name = format!("logical volume {}", volume.uuid);
                found.extend(content.map(|content| (name, content)));
            }
        }
        found
    }

    /// The disks, their partitions, and everything built on them, by the names of today.
    fn devices_above(&self, disks: &[String]) -> Vec<String> {
        let mut devices = disks.to_vec();
        let tables = self.tables.iter().filter(|table| disks.contains(&table.device));
        devices.extend(tables.flat_map(|table| &table.partitions).map(|part| part.device.clone()));
        loop {
            let before = devices.len();
            let on = |below: &[String]| below.iter().any(|device| devices.contains(device));
            let arrays = self.arrays.iter().filter(|array| on(&array.members));
            let mut more: Vec<String> = arrays.filter_map(|array| array.device.clone()).collect();
            let groups = self.groups.iter().filter(|group| on(&group.physical_volumes));
            let volumes = groups.flat_map(|group| &group.logical_volumes);
            more.extend(volumes.map(|volume| volume.device.clone()));
            let mappings = self.mappings.iter().filter(|mapping| on(&mapping.devices));
            more.extend(mappings.map(|mapping| format!("/dev/mapper/{}", mapping.name)));
            more.retain(|device| !devices.contains(device));
            devices.append(&mut more);
            if devices.len() == before {
                return devices;
            }
        }
    }

    /// Mounts, swap areas and mappings in `now` that were not there before, in words.
    fn new_users(&self, now: &Self) -> Vec<String> {
        let used = now.in_use.iter().filter(|used| !self.in_use.contains(used));
        let used = used.map(|used| match &used.mount_point {
            Some(point) => format!("{} is mounted at {point} now", used.device),
            None => format!("{} is used for swap now", used.device),
        });
        let mapped = now.mappings.iter().filter(|mapping| !self.mappings.contains(mapping));
        let mapped = mapped.map(|mapping| {
            format!("{} is open as {} now", mapping.devices.join(" "), mapping.name)
        });
        used.chain(mapped).collect()
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
            in_use: self
                .in_use
                .iter()
                .filter(|used| devices.contains(&&used.device))
                .cloned()
                .collect(),
            mappings: self
                .mappings
                .iter()
                .filter(|mapping| has(&mapping.devices))
                .cloned()
                .collect(),
            tables,
            ..Self::default()
        }
    }
}

fn partitions(table: &ExistingTable) -> String {
    let words = table.partitions.iter().map(|partition| {
        let ExistingPartition { number, start_bytes, size_bytes, type_code, bootable, .. } =
            partition;
        let more = [&partition.name, &partition.uuid, &partition.attributes];
        let more = more.map(|word| word.as_deref().unwrap_or_default()).join(":");
        let active = if *bootable { ":active" } else { "" };
        format!("{number}:{start_bytes}+{size_bytes}:{type_code}{active}:{more}")
    });
    words.collect::<Vec<_>>().join(" ")
}

fn content(found: &ExistingSignature) -> (String, String) {
    let ids = [&found.uuid, &found.label].map(|id| id.clone().unwrap_or_default());
    (found.device.clone(), format!("{} {}", found.kind, ids.join(" ").trim()))
}

fn array(array: &ExistingArray) -> (String, String) {
    let level = array.level.map_or("another level", RaidLevel::name);
    let (wanted, metadata) = (array.wanted_devices, &array.metadata);
    (array.uuid.clone(), format!("{level} {metadata} of {wanted}: {}", array.members.join(" ")))
}

fn group(group: &ExistingGroup) -> (String, String) {
    let devices = group.physical_volumes.join(" ");
    (group.uuid.clone(), format!("{} on {devices}", volumes(group)))
}

fn volumes(group: &ExistingGroup) -> String {
    let volumes = group.logical_volumes.iter();
    let volumes =
        volumes.map(|volume| format!(" {}={}:{}", volume.name, volume.uuid, volume.size_bytes));
    format!("{}{}", group.name, volumes.collect::<String>())
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
            words[0].starts_with("partition table of /dev/sda was 'gpt  1:2097152+"),
            "{words:?}"
        );
        let empty = ExistingStorage::default();
        assert_eq!(
            planned.changes(&empty, &disks),
            ["partition table of /dev/sda is gone", "content of /dev/sda1 is gone"]
        );
        assert_eq!(planned.changes(&empty, &["/dev/sdb".to_owned()]), Vec::<String>::new());
    }

    /// A volume group on a mirror on a partition.
    fn tower(array_node: &str) -> ExistingStorage {
        let signature = |device: &str, kind: &str, uuid: &str| ExistingSignature {
            device: device.to_owned(),
            size_bytes: 1 << 30,
            kind: kind.to_owned(),
            uuid: Some(uuid.to_owned()),
            label: None,
        };
        let mut storage = storage("linux_raid_member", None);
        storage.arrays = vec![ExistingArray {
            device: Some(array_node.to_owned()),
            uuid: "a1".to_owned(),
            name: None,
            level: Some(RaidLevel::Raid1),
            metadata: "1.2".to_owned(),
            wanted_devices: 2,
            members: vec!["/dev/sda1".to_owned()],
            size_bytes: None,
        }];
        storage.groups = vec![ExistingGroup {
            name: "vg".to_owned(),
            uuid: "g1".to_owned(),
            physical_volumes: vec![array_node.to_owned()],
            is_partial: false,
            size_bytes: 1 << 30,
            extent_bytes: 4 << 20,
            logical_volumes: vec![ExistingLogicalVolume {
                name: "mail".to_owned(),
                device: "/dev/vg/mail".to_owned(),
                uuid: "l1".to_owned(),
                size_bytes: 1 << 29,
            }],
        }];
        storage.signatures.push(signature(array_node, "LVM2_member", "p1"));
        storage.signatures.push(signature("/dev/vg/mail", "ext4", "f1"));
        storage
    }

    /// Something that somebody does to a machine.
    type Change = fn(&mut ExistingStorage);

    #[test]
    fn every_difference_in_every_layer_is_told() {
        let disks = ["/dev/sda".to_owned()];
        let planned = tower("/dev/md0");
        assert_eq!(planned.changes(&tower("/dev/md127"), &disks), Vec::<String>::new());
        let partition = |storage: &mut ExistingStorage| storage.tables[0].partitions.remove(0);
        let table: [(&str, Change); 9] = [
            ("partition table", |now| now.tables[0].id = Some("other".to_owned())),
            ("partition table", |now| now.tables[0].partitions[0].uuid = Some("U".to_owned())),
            ("partition table", |now| now.tables[0].partitions[0].name = Some("n".to_owned())),
            ("partition table", |now| now.tables[0].partitions[0].bootable = true),
            ("RAID array", |now| now.arrays[0].level = Some(RaidLevel::Raid0)),
            ("RAID array", |now| now.arrays[0].wanted_devices = 3),
            ("content of volume group", |now| now.groups[0].logical_volumes[0].size_bytes += 1),
            ("content of logical volume", |now| now.signatures[2].kind = "xfs".to_owned()),
            ("content of RAID array", |now| drop(now.signatures.remove(1))),
        ];
        for (what, change) in table {
            let mut now = tower("/dev/md0");
            change(&mut now);
            let words = planned.changes(&now, &disks);
            assert!(words.len() == 1 && words[0].starts_with(what), "{what}: {words:?}");
        }
        let mut closed = tower("/dev/md0");
        closed.signatures.truncate(1);
        closed.arrays[0].device = None;
        closed.groups.clear();
        assert_eq!(planned.changes(&closed, &disks), Vec::<String>::new(), "it only does not run");
        let mut other_disk = tower("/dev/md0");
        partition(&mut other_disk);
        assert!(!planned.changes(&other_disk, &disks).is_empty());
    }

    #[test]
    fn whoever_uses_a_device_since_is_told() {
        let disks = ["/dev/sda".to_owned()];
        let planned = storage("ext4", None);
        let mut now = planned.clone();
        now.in_use = ["/dev/sda1", "/dev/sdb1"]
            .map(|device| DeviceUse { device: device.to_owned(), mount_point: None })
            .to_vec();
        let devices = vec!["/dev/sda1".to_owned()];
        now.mappings = vec![ExistingMapping { name: "x".to_owned(), devices }];
        assert_eq!(
            planned.changes(&now, &disks),
            ["/dev/sda1 is used for swap now", "/dev/sda1 is open as x now"]
        );
        assert_eq!(now.changes(&planned, &disks), Vec::<String>::new());
    }
}
