//! Simulated disks: partition tables, what is in each area, volume groups.
//!
//! Content belongs to a place on a disk, not to a device name: a new partition table that has a
//! partition at the same place finds the old content there, as on a real disk.

use super::tree::Tree;
use hostwright_model::facts::Disk;
use std::collections::{BTreeMap, BTreeSet};

/// The size in which LVM allots space.
pub(super) const EXTENT_BYTES: u64 = 4 << 20;

/// A file system or whatever else has a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    FileSystem(FileSystem),
    Swap {
        uuid: String,
        label: Option<String>,
    },
    /// An LVM physical volume, and the group it is in.
    PhysicalVolume {
        uuid: String,
        group: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    pub(super) kind: String,
    pub(super) uuid: String,
    pub(super) label: Option<String>,
    /// What mkfs and tune2fs were told.
    pub(super) options: BTreeSet<String>,
    pub(super) tree: Tree,
}

impl Content {
    /// blkid's name for it.
    pub(super) fn kind(&self) -> &str {
        match self {
            Self::FileSystem(file_system) => &file_system.kind,
            Self::Swap { .. } => "swap",
            Self::PhysicalVolume { .. } => "LVM2_member",
        }
    }

    pub(super) fn uuid(&self) -> &str {
        match self {
            Self::FileSystem(FileSystem { uuid, .. })
            | Self::Swap { uuid, .. }
            | Self::PhysicalVolume { uuid, .. } => uuid,
        }
    }

    pub(super) fn label(&self) -> Option<&str> {
        match self {
            Self::FileSystem(FileSystem { label, .. }) | Self::Swap { label, .. } => {
                label.as_deref()
            }
            Self::PhysicalVolume { .. } => None,
        }
    }
}

/// One entry of a partition table. Bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) start: u64,
    pub(super) size: u64,
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) uuid: String,
    pub(super) bootable: bool,
}

impl Entry {
    /// True for the container of logical partitions.
    pub(super) fn is_extended(&self) -> bool {
        matches!(self.kind.as_str(), "5" | "f" | "85" | "E" | "Ex")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// sfdisk's name of the kind: `gpt`, `dos`.
    pub(super) label: String,
    pub(super) entries: BTreeMap<u32, Entry>,
}

#[derive(Clone, Debug)]
pub(super) struct SimDisk {
    pub(super) facts: Disk,
    pub(super) table: Option<Table>,
    /// Content by the byte where its place begins, with the length of the place.
    pub(super) areas: BTreeMap<u64, (u64, Content)>,
    /// The partitions that the kernel knows: number, start, length.
    pub(super) known: BTreeMap<u32, (u64, u64)>,
}

impl SimDisk {
    /// A disk with what its facts say is on it: an empty table, or something without content.
    pub(super) fn with_old_content(facts: Disk) -> Self {
        let (table, areas, known) = (None, BTreeMap::new(), BTreeMap::new());
        let mut disk = Self { facts, table, areas, known };
        for kind in disk.facts.signatures.clone() {
            match kind.as_str() {
                "gpt" | "dos" => {
                    disk.table = Some(Table { label: kind, entries: BTreeMap::new() });
                }
                _ => {
                    let uuid = uuid_of(&["old", &disk.facts.name, &kind]);
                    let (label, options, tree) = (None, BTreeSet::new(), Tree::new());
                    let old = FileSystem { kind, uuid, label, options, tree };
                    let whole = (disk.facts.size_bytes, Content::FileSystem(old));
                    disk.areas.insert(0, whole);
                }
            }
        }
        disk
    }

    /// What blkid(8) would find on the disk as a whole.
    pub(super) fn signatures(&self) -> Vec<String> {
        match (&self.table, self.areas.get(&0)) {
            (Some(table), _) => vec![table.label.clone()],
            (None, Some((_, content))) => vec![content.kind().to_owned()],
            (None, None) => Vec::new(),
        }
    }

    /// What the kernel does when it reads the table anew.
    pub(super) fn reread(&mut self) {
        let entries = self.table.iter().flat_map(|table| &table.entries);
        self.known = entries.map(|(number, entry)| (*number, (entry.start, entry.size))).collect();
    }

    /// Node of a partition.
    pub(super) fn partition_path(&self, number: u32) -> String {
        let name = &self.facts.name;
        let between = if name.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        format!("/dev/{name}{between}{number}")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogicalVolume {
    pub(super) size: u64,
    pub(super) options: BTreeSet<String>,
    pub(super) content: Option<Content>,
}

/// A volume group lives on its physical volumes: it is gone when one of them is.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) size: u64,
    pub(super) active: bool,
    pub(super) volumes: BTreeMap<String, LogicalVolume>,
}

/// Where a device node leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Disk(String),
    Partition { disk: String, number: u32, start: u64, size: u64 },
    Volume { group: String, name: String },
}

/// All disks and groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    pub(super) disks: BTreeMap<String, SimDisk>,
    pub(super) groups: BTreeMap<String, Group>,
}

impl Blocks {
    /// Every device node that exists now.
    pub(super) fn nodes(&self) -> Vec<(String, Place)> {
        let mut nodes = Vec::new();
        for (name, disk) in &self.disks {
            nodes.push((format!("/dev/{name}"), Place::Disk(name.clone())));
            for (&number, &(start, size)) in &disk.known {
                let place = Place::Partition { disk: name.clone(), number, start, size };
                nodes.push((disk.partition_path(number), place));
            }
        }
        for (group, state) in self.groups.iter().filter(|(_, state)| state.active) {
            for name in state.volumes.keys() {
                let place = Place::Volume { group: group.clone(), name: name.clone() };
                nodes.push((format!("/dev/{group}/{name}"), place.clone()));
                nodes.push((mapper_path(group, name), place));
            }
        }
        nodes
    }

    /// What a device node leads to; `None` if it does not exist.
    pub(super) fn find(&self, device: &str) -> Option<Place> {
        self.nodes().into_iter().find(|(node, _)| node == device).map(|(_, place)| place)
    }

    /// Length of a device.
    pub(super) fn size(&self, place: &Place) -> u64 {
        match place {
            Place::Disk(disk) => self.disks[disk].facts.size_bytes,
            Place::Partition { size, .. } => *size,
            Place::Volume { group, name } => self.groups[group].volumes[name].size,
        }
    }

    pub(super) fn content(&self, place: &Place) -> Option<&Content> {
        match place {
            Place::Disk(disk) => {
                let disk = self.disks.get(disk).filter(|disk| disk.table.is_none())?;
                disk.areas.get(&0).map(|(_, content)| content)
            }
            Place::Partition { disk, start, .. } => {
                self.disks.get(disk)?.areas.get(start).map(|(_, content)| content)
            }
            Place::Volume { group, name } => {
                self.groups.get(group)?.volumes.get(name)?.content.as_ref()
            }
        }
    }

    pub(super) fn content_mut(&mut self, place: &Place) -> Option<&mut Content> {
        match place {
            Place::Disk(disk) => {
                let disk = self.disks.get_mut(disk).filter(|disk| disk.table.is_none())?;
                disk.areas.get_mut(&0).map(|(_, content)| content)
            }
            Place::Partition { disk, start, .. } => {
                self.disks.get_mut(disk)?.areas.get_mut(start).map(|(_, content)| content)
            }
            Place::Volume { group, name } => {
                self.groups.get_mut(group)?.volumes.get_mut(name)?.content.as_mut()
            }
        }
    }

    /// Replaces what is in a place. Everything that began inside it is lost, and groups with it.
    pub(super) fn set_content(&mut self, place: &Place, content: Option<Content>) {
        let (disk, start, size) = match place {
            Place::Volume { group, name } => {
                let group = self.groups.get_mut(group);
                if let Some(volume) = group.and_then(|group| group.volumes.get_mut(name)) {
                    volume.content = content;
                }
                return;
            }
            Place::Disk(disk) => (disk, 0, self.disks[disk].facts.size_bytes),
            Place::Partition { disk, start, size, .. } => (disk, *start, *size),
        };
        let state = self.disks.get_mut(disk).expect("invariant: places are of disks that exist");
        if matches!(place, Place::Disk(_)) {
            state.table = None;
        }
        let end = start + size;
        let overlaps = |at: u64, length: u64| at < end && at + length > start;
        let mut lost = Vec::new();
        state.areas.retain(|&at, (length, old)| {
            let is_lost = overlaps(at, *length);
            if let Content::PhysicalVolume { group: Some(group), .. } = old
                && is_lost
            {
                lost.push(group.clone());
            }
            !is_lost
        });
        if let Some(content) = content {
            state.areas.insert(start, (size, content));
        }
        for group in lost {
            self.groups.remove(&group);
        }
    }

    /// The power comes back: the kernel reads all tables, and nobody has activated any group.
    pub(super) fn reboot(&mut self) {
        self.disks.values_mut().for_each(SimDisk::reread);
        self.groups.values_mut().for_each(|group| group.active = false);
    }
}

/// The device mapper's node of a logical volume: it doubles dashes.
pub(super) fn mapper_path(group: &str, name: &str) -> String {
    format!("/dev/mapper/{}-{}", group.replace('-', "--"), name.replace('-', "--"))
}

/// An identifier made of what it is for: the same thing made again gets the same one.
pub(super) fn uuid_of(parts: &[&str]) -> String {
    // FNV-1a, 128 bits.
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in parts.join("\0").bytes() {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    let hex = format!("{hash:032x}");
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}
