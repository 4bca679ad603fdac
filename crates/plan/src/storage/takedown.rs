//! What earlier lives left on the devices of a layout, and the order in which it is taken apart: from
//! the top, so that nothing is in use when it goes, and never a thing that also lies elsewhere.

use super::ast::DiskConfig;
use super::code::Code;
use super::keep::actual_device;
use super::machine::StorageFacts;
use super::source::{Problem, Span};
use super::stack::Stack;
use hostwright_model::existing::{ExistingArray, ExistingGroup};
use hostwright_model::storage::{
    Becomes, DiskLayout, Fate, OldLayer, PartitionKind, StorageLayout, TableFate,
};
use std::collections::BTreeMap;

/// Fills [`StorageLayout::takedown`].
pub(super) fn take_down(
    config: &DiskConfig,
    facts: &StorageFacts,
    stack: &Stack<'_>,
    layout: &mut StorageLayout,
    problems: &mut Vec<Problem>,
) {
    let first = config.disks.first().map_or(Span::default(), |stanza| stanza.disk.at);
    let mut wrecker = Wrecker {
        facts,
        stack,
        layout,
        lost: BTreeMap::new(),
        layers: Vec::new(),
        first,
        problems,
    };
    wrecker.lose_devices();
    wrecker.lose_volumes();
    wrecker.climb();
    wrecker.refuse_foreign();
    wrecker.refuse_in_use();
    wrecker.refuse_names();
    wrecker.add_swap_and_signatures();
    let mut layers = wrecker.layers;
    layers.sort_by_key(|layer| std::cmp::Reverse(layer.0));
    layout.takedown = layers.into_iter().map(|(_, layer)| layer).collect();
}

/// How far a layer is above the disks, times this, leaves room for what has to go before it.
const STEPS_PER_HEIGHT: u32 = 4;

struct Wrecker<'a, 'b> {
    facts: &'a StorageFacts,
    stack: &'b Stack<'b>,
    layout: &'b StorageLayout,
    /// Devices whose content is lost, with their height above partitions.
    lost: BTreeMap<String, u32>,
    /// What is taken apart, with how early.
    layers: Vec<(u32, OldLayer)>,
    /// Where to point to if there is no better place.
    first: Span,
    problems: &'b mut Vec<Problem>,
}

impl<'a> Wrecker<'a, '_> {
    fn lose_devices(&mut self) {
        let layout = self.layout;
        for disk in &layout.disks {
            let is_lost = |becomes| !matches!(becomes, Becomes::Kept | Becomes::Resized);
            let whole = self.is_made_anew(&disk.device);
            for former in &disk.before {
                let extended = former.partition.kind == PartitionKind::Extended;
                if !extended && (whole || is_lost(former.becomes)) {
                    self.lost.insert(former.partition.device.clone(), 0);
                }
            }
            for partition in disk.partitions.iter().filter(|p| p.fate == Fate::Reformat) {
                self.lost.insert(partition.device.clone(), 0);
            }
            let keeps_some = disk.before.iter().any(|former| !is_lost(former.becomes));
            if whole || (disk.table_fate == TableFate::Write && !keeps_some) {
                self.lost.insert(disk.device.clone(), 0);
            }
        }
        for array in layout.arrays.iter().filter(|array| array.fate == Fate::Reformat) {
            self.lost.insert(actual_device(self.facts, self.stack, &array.device), 0);
        }
    }

    /// True if a new layer or file system takes all of a disk.
    fn is_made_anew(&self, device: &str) -> bool {
        let layout = self.layout;
        let new = |fate: Fate| !fate.needs_existing();
        let in_array = layout.arrays.iter().filter(|array| new(array.fate)).any(|array| {
            array.members.iter().any(|member| member.device.as_deref() == Some(device))
        });
        let in_group = layout
            .volume_groups
            .iter()
            .filter(|group| new(group.fate))
            .any(|group| group.physical_volumes.iter().any(|pv| pv == device));
        let encrypted = &layout.encrypted;
        let in_crypt = encrypted.iter().any(|crypt| new(crypt.fate) && crypt.device == device);
        let in_volume = layout.volumes.iter().filter(|volume| new(volume.fate)).any(|volume| {
            let devices = volume.btrfs.iter().flat_map(|btrfs| &btrfs.devices);
            volume.device == device || devices.into_iter().any(|d| d == device)
        });
        in_array || in_group || in_crypt || in_volume
    }

    /// Logical volumes that go although their group stays, and those that are formatted again.
    fn lose_volumes(&mut self) {
        let layout = self.layout;
        for group in layout.volume_groups.iter().filter(|group| group.fate.needs_existing()) {
            let Some(existing) = self.kept_group(&group.name) else { continue };
            for old in &existing.logical_volumes {
                let new = group.logical_volumes.iter().find(|volume| volume.name == old.name);
                match new.map(|volume| volume.fate) {
                    Some(Fate::Keep | Fate::Resize { .. }) => {}
                    Some(Fate::Reformat) => {
                        self.lost.insert(old.device.clone(), 0);
                    }
                    Some(Fate::Create) | None => {
                        self.lost.insert(old.device.clone(), 1);
                        let (group, name) = (group.name.clone(), old.name.clone());
                        let layer = OldLayer::LogicalVolume { group, name };
                        self.layers.push((STEPS_PER_HEIGHT, layer));
                    }
                }
            }
        }
    }

    /// The group on the disks that a group of the layout keeps.
    fn kept_group(&self, name: &str) -> Option<&'a ExistingGroup> {
        let group = self.layout.volume_groups.iter().find(|group| group.name == name)?;
        let now = |device: &String| actual_device(self.facts, self.stack, device);
        let devices: Vec<String> = group.physical_volumes.iter().map(now).collect();
        self.facts.existing.groups.iter().find(|old| {
            old.name == name && old.physical_volumes.iter().any(|pv| devices.contains(pv))
        })
    }

    fn keeps_group(&self, old: &ExistingGroup) -> bool {
        let mut kept = self.layout.volume_groups.iter().filter(|group| group.fate.needs_existing());
        kept.any(|group| self.kept_group(&group.name).is_some_and(|kept| kept.uuid == old.uuid))
    }

    fn keeps_array(&self, old: &ExistingArray) -> bool {
        self.layout.arrays.iter().any(|array| array.uuid.as_ref() == Some(&old.uuid))
    }

    /// Arrays that the layout does not keep.
    fn going_arrays(&self) -> Vec<&'a ExistingArray> {
        self.facts.existing.arrays.iter().filter(|array| !self.keeps_array(array)).collect()
    }

    /// Volume groups that the layout does not keep.
    fn going_groups(&self) -> Vec<&'a ExistingGroup> {
        self.facts.existing.groups.iter().filter(|group| !self.keeps_group(group)).collect()
    }

    /// The height of something on these devices; `None` if none of them is lost.
    fn height(&self, devices: &[String]) -> Option<u32> {
        devices.iter().filter_map(|device| self.lost.get(device)).max().map(|height| height + 1)
    }

    /// Loses what lies on lost devices, until nothing changes. Heights only grow, and there are no
    /// more of them than layers, so that damaged metadata cannot keep this going.
    fn climb(&mut self) {
        let facts = self.facts;
        let existing = &facts.existing;
        let most = existing.arrays.len() + existing.groups.len() + existing.mappings.len() + 1;
        for _ in 0..=most {
            let before = self.lost.clone();
            for array in self.going_arrays() {
                let height = self.height(&array.members);
                let above: Vec<String> = array.device.iter().cloned().collect();
                raise(&mut self.lost, height, above);
            }
            for group in self.going_groups() {
                let height = self.height(&group.physical_volumes);
                let above = group.logical_volumes.iter().map(|volume| volume.device.clone());
                raise(&mut self.lost, height, above.collect());
            }
            for mapping in &existing.mappings {
                let height = self.height(&mapping.devices);
                raise(&mut self.lost, height, vec![format!("/dev/mapper/{}", mapping.name)]);
            }
            for table in existing.tables.iter().filter(|t| self.facts.disk(&t.device).is_none()) {
                let height = self.lost.get(&table.device).copied();
                let above = table.partitions.iter().map(|partition| partition.device.clone());
                raise(&mut self.lost, height, above.collect());
            }
            if self.lost == before {
                break;
            }
        }
        self.add_layers();
    }

    fn add_layers(&mut self) {
        for array in self.going_arrays() {
            let Some(height) = self.height(&array.members) else { continue };
            let (device, uuid) = (array.device.clone(), array.uuid.clone());
            let layer = OldLayer::Array { device, uuid, members: array.members.clone() };
            self.layers.push((STEPS_PER_HEIGHT * height, layer));
        }
        for group in self.going_groups() {
            let Some(height) = self.height(&group.physical_volumes) else { continue };
            let (name, uuid) = (group.name.clone(), group.uuid.clone());
            let physical_volumes = group.physical_volumes.clone();
            let layer = OldLayer::VolumeGroup { name, uuid, physical_volumes };
            self.layers.push((STEPS_PER_HEIGHT * height, layer));
        }
        for mapping in &self.facts.existing.mappings {
            let Some(height) = self.height(&mapping.devices) else { continue };
            let layer = OldLayer::Mapping { name: mapping.name.clone() };
            self.layers.push((STEPS_PER_HEIGHT * height, layer));
        }
    }

    /// Refuses layers that also lie on devices which stay.
    fn refuse_foreign(&mut self) {
        let mut found: Vec<(String, String, String)> = Vec::new();
        let existing = &self.facts.existing;
        for (_, layer) in &self.layers {
            let (what, devices) = match layer {
                OldLayer::Array { device, uuid, members } => {
                    let name = device.clone().unwrap_or_else(|| uuid.clone());
                    (format!("the array {name}"), members.as_slice())
                }
                OldLayer::VolumeGroup { name, physical_volumes, .. } => {
                    if self.facts.ignored_groups.contains(name) {
                        let lost = physical_volumes.iter().find(|d| self.lost.contains_key(*d));
                        let lost = lost.cloned().unwrap_or_default();
                        let by = "SS_IGNORE_VG, which forbids to touch it".to_owned();
                        found.push((format!("the volume group {name}"), lost, by));
                    }
                    (format!("the volume group {name}"), physical_volumes.as_slice())
                }
                OldLayer::Mapping { name } => {
                    let mapping = existing.mappings.iter().find(|mapping| mapping.name == *name);
                    let devices = mapping.map_or(&[][..], |mapping| mapping.devices.as_slice());
                    (format!("the mapping {name}"), devices)
                }
                _ => continue,
            };
            let lost = devices.iter().find(|device| self.lost.contains_key(*device));
            let stays = devices.iter().find(|device| !self.lost.contains_key(*device));
            if let (Some(lost), Some(stays)) = (lost, stays) {
                found.push((what, lost.clone(), format!("{stays}, which stays as it is")));
            }
        }
        for (what, lost, stays) in found {
            let message = format!("{what} lies on {lost}, which this plan wipes, and on {stays}");
            let message = message.replace("and on SS_IGNORE_VG", "and is named by SS_IGNORE_VG");
            let cure = "take it apart by hand first, or put all its disks into this file";
            let at = self.place_of(&lost);
            self.problems.push(Problem::error(Code::ForeignLayer, at, message, cure));
        }
    }

    fn refuse_in_use(&mut self) {
        for used in &self.facts.existing.in_use {
            let Some(point) = used.mount_point.as_ref() else { continue };
            if self.lost.contains_key(&used.device) {
                let message =
                    format!("{} is mounted at {point} by the running system", used.device);
                let cure = "unmount it, or start the machine from something else";
                let at = self.place_of(&used.device);
                self.problems.push(Problem::error(Code::DeviceInUse, at, message, cure));
            }
        }
    }

    /// Refuses names that something has which stays.
    fn refuse_names(&mut self) {
        let (layout, existing) = (self.layout, &self.facts.existing);
        let mut taken = Vec::new();
        for group in &layout.volume_groups {
            let is_in_the_way = |old: &&ExistingGroup| {
                old.name == group.name
                    && !self.keeps_group(old)
                    && self.height(&old.physical_volumes).is_none()
            };
            if existing.groups.iter().any(|old| is_in_the_way(&old)) {
                taken.push((format!("a volume group {}", group.name), group.why.line));
            }
        }
        for array in &layout.arrays {
            let is_in_the_way = |old: &&ExistingArray| {
                old.device.as_ref() == Some(&array.device)
                    && array.uuid.as_ref() != Some(&old.uuid)
                    && !self.keeps_array(old)
                    && self.height(&old.members).is_none()
            };
            if existing.arrays.iter().any(|old| is_in_the_way(&old)) {
                taken.push((format!("an array {}", array.device), array.why.line));
            }
        }
        for (what, line) in taken {
            let message = format!("{what} exists on devices that this plan does not touch");
            let cure = "choose another name, or take the other one apart first";
            let at = Span { line, column: 0, length: 0 };
            self.problems.push(Problem::error(Code::NameTaken, at, message, cure));
        }
    }

    /// What lost devices hold goes before they do.
    fn add_swap_and_signatures(&mut self) {
        let existing = &self.facts.existing;
        for used in existing.in_use.iter().filter(|used| used.mount_point.is_none()) {
            if let Some(height) = self.lost.get(&used.device) {
                let layer = OldLayer::Swap { device: used.device.clone() };
                self.layers.push((STEPS_PER_HEIGHT * height + 3, layer));
            }
        }
        let is_member = |device: &String| {
            existing.arrays.iter().any(|array| array.members.contains(device))
                || existing.groups.iter().any(|group| group.physical_volumes.contains(device))
        };
        for (device, height) in &self.lost {
            if self.facts.signature(device).is_some() || is_member(device) {
                let layer = OldLayer::Signatures { device: device.clone() };
                self.layers.push((STEPS_PER_HEIGHT * height + 2, layer));
            }
        }
    }

    /// The line that is the reason why a device is lost.
    fn place_of(&self, device: &str) -> Span {
        let holds = |disk: &&DiskLayout| {
            disk.device == device
                || disk.before.iter().any(|former| former.partition.device == device)
        };
        let disk = self.layout.disks.iter().find(holds);
        disk.map_or(self.first, |disk| Span { line: disk.why.line, column: 0, length: 0 })
    }
}

/// Gives devices at least this height.
fn raise(lost: &mut BTreeMap<String, u32>, height: Option<u32>, devices: Vec<String>) {
    let Some(height) = height else { return };
    for device in devices {
        let known = lost.entry(device).or_insert(height);
        *known = height.max(*known);
    }
}
