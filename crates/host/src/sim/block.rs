//! Simulated disks: partition tables, what is in each area, and the layers above them: arrays,
//! volume groups, mappings.
//!
//! Content belongs to a place on a disk, not to a device name: a new partition table that has a
//! partition at the same place finds the old content there, as on a real disk.

use super::content::{Content, FileSystem, Slot};
use super::tree::Tree;
use hostwright_model::facts::Disk;
use hostwright_model::storage::RaidLevel;
use std::collections::{BTreeMap, BTreeSet};

/// The size in which LVM allots space.
pub(super) const EXTENT_BYTES: u64 = 4 << 20;

/// One entry of a partition table. Bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) start: u64,
    pub(super) size: u64,
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) uuid: String,
    pub(super) attributes: Option<String>,
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
    pub(super) id: String,
    pub(super) entries: BTreeMap<u32, Entry>,
}

#[derive(Clone, Debug)]
pub(super) struct SimDisk {
    pub(super) facts: Disk,
    pub(super) table: Option<Table>,
    /// Content by the byte where its place begins, with the length of the place.
    pub(super) areas: BTreeMap<u64, (u64, Slot)>,
    /// The partitions that the kernel knows: number, start, length.
    pub(super) known: BTreeMap<u32, (u64, u64)>,
}

impl SimDisk {
    /// A disk with what its facts say is on it: an empty table, or something without content.
    pub(super) fn with_old_content(facts: Disk) -> Self {
        let (table, areas, known) = (None, BTreeMap::new(), BTreeMap::new());
        let mut disk = Self { facts, table, areas, known };
        for kind in disk.facts.signatures.clone() {
            let uuid = uuid_of(&["old", &disk.facts.name, &kind]);
            match kind.as_str() {
                "gpt" | "dos" => {
                    disk.table = Some(Table { label: kind, id: uuid, entries: BTreeMap::new() });
                }
                _ => {
                    let (size, options, tree) =
                        (disk.facts.size_bytes, BTreeSet::new(), Tree::new());
                    let (label, devices) = (None, 1);
                    let old = FileSystem { kind, uuid, label, size, devices, options, tree };
                    let slot = Slot::new(Content::FileSystem(old));
                    disk.areas.insert(0, (size, slot));
                }
            }
        }
        disk
    }

    /// What blkid(8) would find on the disk as a whole.
    pub(super) fn signatures(&self) -> Vec<String> {
        let seen = self.areas.get(&0).and_then(|(_, slot)| slot.seen());
        match (&self.table, seen) {
            (Some(table), _) => vec![table.label.clone()],
            (None, Some(content)) => vec![content.kind().to_owned()],
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
    pub(super) slot: Option<Slot>,
}

/// A volume group lives on its physical volumes: it is gone when one of them is overwritten.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) active: bool,
    pub(super) volumes: BTreeMap<String, LogicalVolume>,
}

/// A RAID array: it lives as long as its level has members enough.
#[derive(Clone, Debug)]
pub(super) struct Array {
    /// Kernel name while it runs.
    pub(super) running: Option<String>,
    pub(super) level: RaidLevel,
    /// How many places it has, spares not counted.
    pub(super) places: u32,
    pub(super) metadata: String,
    pub(super) size: u64,
    pub(super) slot: Option<Slot>,
}

impl Array {
    /// How many members it cannot be without.
    pub(super) fn least(&self) -> u32 {
        match self.level {
            RaidLevel::Raid0 => self.places,
            RaidLevel::Raid1 => 1,
            RaidLevel::Raid5 | RaidLevel::Raid10 => self.places.saturating_sub(1),
            RaidLevel::Raid6 => self.places.saturating_sub(2),
        }
        .max(1)
    }
}

/// An open mapping of the device mapper.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    /// The device below it.
    pub(super) device: Place,
    /// What is in one whose key is forgotten when it is closed; `None` for LUKS, whose content is
    /// with its header.
    pub(super) plain: Option<Option<Slot>>,
}

/// Where a device node leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Disk(String),
    Partition {
        disk: String,
        number: u32,
        start: u64,
        size: u64,
    },
    /// By the UUID of its group.
    Volume {
        group: String,
        name: String,
    },
    /// By its UUID.
    Array(String),
    /// By its name.
    Mapping(String),
}

/// All disks and what is built on them.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    pub(super) disks: BTreeMap<String, SimDisk>,
    /// By UUID.
    pub(super) groups: BTreeMap<String, Group>,
    /// By UUID.
    pub(super) arrays: BTreeMap<String, Array>,
    /// By name.
    pub(super) mappings: BTreeMap<String, Mapping>,
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
        for (uuid, array) in &self.arrays {
            if let Some(name) = &array.running {
                nodes.push((format!("/dev/{name}"), Place::Array(uuid.clone())));
            }
        }
        for name in self.mappings.keys() {
            nodes.push((format!("/dev/mapper/{name}"), Place::Mapping(name.clone())));
        }
        for (uuid, group) in self.groups.iter().filter(|(_, group)| group.active) {
            for name in group.volumes.keys() {
                let place = Place::Volume { group: uuid.clone(), name: name.clone() };
                nodes.push((format!("/dev/{}/{name}", group.name), place.clone()));
                nodes.push((mapper_path(&group.name, name), place));
            }
        }
        nodes
    }

    /// What a device node leads to; `None` if it does not exist.
    pub(super) fn find(&self, device: &str) -> Option<Place> {
        self.nodes().into_iter().find(|(node, _)| node == device).map(|(_, place)| place)
    }

    /// The first node that leads to a place.
    pub(super) fn node_of(&self, place: &Place) -> Option<String> {
        self.nodes().into_iter().find(|(_, found)| found == place).map(|(node, _)| node)
    }

    /// Length of a device.
    pub(super) fn size(&self, place: &Place) -> u64 {
        match place {
            Place::Disk(disk) => self.disks[disk].facts.size_bytes,
            Place::Partition { size, .. } => *size,
            Place::Volume { group, name } => self.groups[group].volumes[name].size,
            Place::Array(uuid) => self.arrays[uuid].size,
            Place::Mapping(name) => self.size(&self.mappings[name].device),
        }
    }

    /// What is in a place, recognised or not.
    pub(super) fn slot(&self, place: &Place) -> Option<&Slot> {
        match place {
            Place::Disk(disk) => {
                let disk = self.disks.get(disk).filter(|disk| disk.table.is_none())?;
                disk.areas.get(&0).map(|(_, slot)| slot)
            }
            Place::Partition { disk, start, .. } => {
                self.disks.get(disk)?.areas.get(start).map(|(_, slot)| slot)
            }
            Place::Volume { group, name } => {
                self.groups.get(group)?.volumes.get(name)?.slot.as_ref()
            }
            Place::Array(uuid) => self.arrays.get(uuid)?.slot.as_ref(),
            Place::Mapping(name) => {
                let mapping = self.mappings.get(name)?;
                match &mapping.plain {
                    Some(slot) => slot.as_ref(),
                    None => match &self.slot(&mapping.device)?.content {
                        Content::Luks { inner, .. } => inner.as_deref(),
                        _ => None,
                    },
                }
            }
        }
    }

    pub(super) fn slot_mut(&mut self, place: &Place) -> Option<&mut Slot> {
        match place {
            Place::Disk(disk) => {
                let disk = self.disks.get_mut(disk).filter(|disk| disk.table.is_none())?;
                disk.areas.get_mut(&0).map(|(_, slot)| slot)
            }
            Place::Partition { disk, start, .. } => {
                self.disks.get_mut(disk)?.areas.get_mut(start).map(|(_, slot)| slot)
            }
            Place::Volume { group, name } => {
                self.groups.get_mut(group)?.volumes.get_mut(name)?.slot.as_mut()
            }
            Place::Array(uuid) => self.arrays.get_mut(uuid)?.slot.as_mut(),
            Place::Mapping(name) => {
                let device = match self.mappings.get(name)? {
                    Mapping { plain: Some(_), .. } => None,
                    Mapping { device, plain: None } => Some(device.clone()),
                };
                let Some(device) = device else {
                    return self.mappings.get_mut(name)?.plain.as_mut()?.as_mut();
                };
                match &mut self.slot_mut(&device)?.content {
                    Content::Luks { inner, .. } => inner.as_deref_mut(),
                    _ => None,
                }
            }
        }
    }

    /// What is recognised in a place.
    pub(super) fn content(&self, place: &Place) -> Option<&Content> {
        self.slot(place)?.seen()
    }

    pub(super) fn content_mut(&mut self, place: &Place) -> Option<&mut Content> {
        self.slot_mut(place)?.seen_mut()
    }

    /// Wipes the signatures of a place. Its bytes stay.
    pub(super) fn wipe(&mut self, place: &Place) {
        if let Some(slot) = self.slot_mut(place) {
            slot.wiped = true;
        }
    }

    /// Overwrites a place. Everything that began inside it is lost, and layers above with it.
    pub(super) fn set_content(&mut self, place: &Place, content: Option<Content>) {
        let slot = content.map(Slot::new);
        let lost = match place {
            Place::Disk(disk) => {
                let disk = self.disks.get_mut(disk).expect("invariant: a place of a disk");
                disk.table = None;
                replace_area(disk, 0, disk.facts.size_bytes, slot)
            }
            Place::Partition { disk, start, size, .. } => {
                let disk = self.disks.get_mut(disk).expect("invariant: a place of a disk");
                replace_area(disk, *start, *size, slot)
            }
            Place::Volume { group, name } => {
                let group = self.groups.get_mut(group);
                let volume = group.and_then(|group| group.volumes.get_mut(name));
                volume
                    .and_then(|volume| std::mem::replace(&mut volume.slot, slot))
                    .into_iter()
                    .collect()
            }
            Place::Array(uuid) => {
                let array = self.arrays.get_mut(uuid);
                array
                    .and_then(|array| std::mem::replace(&mut array.slot, slot))
                    .into_iter()
                    .collect()
            }
            Place::Mapping(name) => self.replace_mapped(name, slot).into_iter().collect(),
        };
        lost.into_iter().for_each(|slot| self.lose(&slot));
    }

    /// What is in a partition ends where its file system ends: what lies behind may be overwritten.
    pub(super) fn fit_area(&mut self, place: &Place, size: u64) {
        let Place::Partition { disk, start, .. } = place else { return };
        let disk = self.disks.get_mut(disk);
        if let Some((length, _)) = disk.and_then(|disk| disk.areas.get_mut(start)) {
            *length = size;
        }
    }

    fn replace_mapped(&mut self, name: &str, slot: Option<Slot>) -> Option<Slot> {
        let mapping = self.mappings.get_mut(name)?;
        if let Some(plain) = &mut mapping.plain {
            return std::mem::replace(plain, slot);
        }
        let device = mapping.device.clone();
        match &mut self.slot_mut(&device)?.content {
            Content::Luks { inner, .. } => {
                std::mem::replace(inner, slot.map(Box::new)).map(|slot| *slot)
            }
            _ => None,
        }
    }

    /// What was lost takes the layers above it along.
    fn lose(&mut self, slot: &Slot) {
        match &slot.content {
            Content::PhysicalVolume { group: Some(group), .. } => {
                if let Some(group) = self.groups.remove(group) {
                    let slots = group.volumes.into_values().filter_map(|volume| volume.slot);
                    slots.collect::<Vec<_>>().iter().for_each(|slot| self.lose(slot));
                }
            }
            Content::RaidMember { array } => {
                let left = self.count(|content| is_member(content, array)) as u32;
                let is_lost = self.arrays.get(array).is_some_and(|array| left < array.least());
                if is_lost && let Some(array) = self.arrays.remove(array) {
                    array.slot.iter().for_each(|slot| self.lose(slot));
                }
            }
            Content::Luks { inner: Some(inner), .. } => self.lose(inner),
            _ => {}
        }
    }

    /// Every slot there is, whether a device node leads to it or not, recognised or not.
    fn slots(&self) -> Vec<&Slot> {
        let areas = self.disks.values().flat_map(|disk| disk.areas.values().map(|(_, slot)| slot));
        let volumes = self.groups.values().flat_map(|group| group.volumes.values());
        let volumes = volumes.filter_map(|volume| volume.slot.as_ref());
        let arrays = self.arrays.values().filter_map(|array| array.slot.as_ref());
        let mut slots: Vec<&Slot> = areas.chain(volumes).chain(arrays).collect();
        let mut at = 0;
        while at < slots.len() {
            if let Content::Luks { inner: Some(inner), .. } = &slots[at].content {
                slots.push(inner);
            }
            at += 1;
        }
        slots
    }

    fn count(&self, belongs: impl Fn(&Content) -> bool) -> usize {
        self.slots().iter().filter(|slot| belongs(&slot.content)).count()
    }

    /// The places with a device node whose content is recognised as belonging.
    fn seen_places(&self, belongs: impl Fn(&Content) -> bool) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for (_, place) in self.nodes() {
            if self.content(&place).is_some_and(&belongs) && !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// Members of an array that are recognised.
    pub(super) fn members_of(&self, array: &str) -> Vec<Place> {
        self.seen_places(|content| is_member(content, array))
    }

    /// Physical volumes of a group that are recognised.
    pub(super) fn physical_volumes_of(&self, group: &str) -> Vec<Place> {
        self.seen_places(|content| is_physical_volume(content, group))
    }

    /// True if every physical volume of a group is recognised.
    pub(super) fn is_whole(&self, group: &str) -> bool {
        let seen = self.physical_volumes_of(group).len();
        seen > 0 && seen == self.count(|content| is_physical_volume(content, group))
    }

    /// UUID of the group of that name that can be seen.
    pub(super) fn group_named(&self, name: &str) -> Option<String> {
        let mut groups = self.groups.iter().filter(|(_, group)| group.name == name);
        groups.find(|(uuid, _)| self.is_whole(uuid)).map(|(uuid, _)| uuid.clone())
    }

    /// What is built on a place now, for people.
    pub(super) fn user_above(&self, place: &Place) -> Option<String> {
        if let Some((name, _)) = self.mappings.iter().find(|(_, above)| above.device == *place) {
            return Some(format!("the mapping {name} is open on it"));
        }
        match &self.slot(place)?.content {
            Content::PhysicalVolume { group: Some(group), .. } => {
                let group = self.groups.get(group).filter(|g| g.active && !g.volumes.is_empty())?;
                Some(format!("it is in the active volume group {}", group.name))
            }
            Content::RaidMember { array } => {
                let name = self.arrays.get(array)?.running.as_ref()?;
                Some(format!("it is in the running array {name}"))
            }
            _ => None,
        }
    }

    /// The power comes back: the kernel reads all tables, and nobody has set anything up.
    pub(super) fn reboot(&mut self) {
        self.disks.values_mut().for_each(SimDisk::reread);
        self.mappings.clear();
        self.groups.values_mut().for_each(|group| group.active = false);
        self.arrays.values_mut().for_each(|array| array.running = None);
    }
}

fn is_member(content: &Content, array: &str) -> bool {
    matches!(content, Content::RaidMember { array: of } if of == array)
}

fn is_physical_volume(content: &Content, group: &str) -> bool {
    matches!(content, Content::PhysicalVolume { group: Some(of), .. } if of == group)
}

/// Replaces what overlaps an area of a disk; what was there.
fn replace_area(disk: &mut SimDisk, start: u64, size: u64, slot: Option<Slot>) -> Vec<Slot> {
    let end = start + size;
    let mut lost = Vec::new();
    disk.areas.retain(|&at, (length, old)| {
        let is_lost = at < end && at + *length > start;
        if is_lost {
            lost.push(old.clone());
        }
        !is_lost
    });
    if let Some(slot) = slot {
        disk.areas.insert(start, (size, slot));
    }
    lost
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
