//! Whether each step that writes to disks finds its devices, and leaves alone what is kept.

use super::{Auditor, table};
use hostwright_model::existing::ExistingPartition;
use hostwright_model::facts::Disk;
use hostwright_model::ids::StepId;
use hostwright_model::image::ReadyMade;
use hostwright_model::storage::{
    DiskLayout, EncryptedDevice, EncryptionKey, Fate, LogicalVolume, Partition, PartitionKind,
    RaidArray, Volume, VolumeGroup,
};

/// LVM's extents, unless vgcreate(8) is told otherwise.
const EXTENT_BYTES: u64 = 4 << 20;
/// What LUKS takes for its header at most.
const HEADER_BYTES: u64 = 16 << 20;

impl Auditor<'_> {
    /// What is on a confirmed disk may be used as long as no table replaces it.
    pub(super) fn confirm(&mut self, id: &StepId, disks: &[Disk]) {
        for disk in disks {
            let is_known = self.inputs.facts.disks.contains(disk);
            let message = format!("{} is not a disk of this machine", disk.path());
            self.demand(is_known, "plan-unknown-disk", id, message);
            self.state.confirmed.insert(disk.path(), disk.clone());
            self.state.devices.insert(disk.path(), disk.size_bytes);
            for partition in self.old_partitions(&disk.path()) {
                self.state.devices.insert(partition.device, partition.size_bytes);
            }
        }
    }

    fn old_partitions(&self, disk: &str) -> Vec<ExistingPartition> {
        let tables = &self.inputs.facts.storage.tables;
        let table = tables.iter().find(|table| table.device == disk);
        table.map(|table| table.partitions.clone()).unwrap_or_default()
    }

    pub(super) fn partition(&mut self, id: &StepId, disk: &DiskLayout) {
        let confirmed = self.state.confirmed.get(&disk.device);
        let is_same = confirmed.is_some_and(|known| {
            known.size_bytes == disk.size_bytes && known.sector_bytes == disk.sector_bytes
        });
        let message = format!("{} was not confirmed with this size", disk.device);
        self.demand(is_same, "plan-unconfirmed-disk", id, message);
        for objection in table::objections(disk) {
            self.object("plan-bad-table", Some(id), objection);
        }
        self.replace_table(id, disk);
        for partition in disk.partitions.iter().filter(|p| p.kind != PartitionKind::Extended) {
            let size_bytes = (partition.end_bytes + 1).saturating_sub(partition.start_bytes);
            let known = self.state.devices.insert(partition.device.clone(), size_bytes);
            let message = format!("{} is made twice", partition.device);
            self.demand(known.is_none(), "plan-made-twice", id, message);
            if partition.fate.keeps_content() {
                self.state.kept.insert(partition.device.clone());
            }
        }
    }

    /// The old table goes: what it had is saved, free of layers above it, or comes back in place.
    fn replace_table(&mut self, id: &StepId, disk: &DiskLayout) {
        let old = self.old_partitions(&disk.device);
        let message = format!("the table of {} was not saved", disk.device);
        self.demand(old.is_empty() || self.state.has_saved, "plan-not-saved", id, message);
        self.state.devices.remove(&disk.device);
        for partition in disk.partitions.iter().filter(|p| p.fate.needs_existing()) {
            let there = old.iter().find(|old| old.number == partition.number);
            let stays = there.is_some_and(|old| is_in_place(old, partition));
            let message = format!("{} is to be kept and would not stay in place", partition.device);
            self.demand(stays, "plan-moved-kept", id, message);
        }
        let returns = |old: &ExistingPartition| {
            let mut new = disk.partitions.iter();
            new.any(|new| new.number == old.number && new.fate.keeps_content())
        };
        for partition in &old {
            self.state.devices.remove(&partition.device);
            if partition.kind != PartitionKind::Extended && !returns(partition) {
                self.demand_free(id, &partition.device);
            }
        }
    }

    /// A device gets something new: it must exist, be free, and hold nothing that is kept.
    fn use_device(&mut self, id: &StepId, device: &str, fate: Fate) -> u64 {
        let size = self.state.devices.get(device).copied();
        let message = format!("{device} was not made in this plan");
        self.demand(size.is_some(), "plan-no-device", id, message);
        let is_new = self.state.members.insert(device.to_owned());
        let is_free = is_new && !self.state.formatted.contains_key(device);
        self.demand(is_free, "plan-used-twice", id, format!("{device} is in use already"));
        if !fate.needs_existing() {
            self.demand_unkept(id, device);
            self.demand_free(id, device);
        }
        size.unwrap_or_default()
    }

    fn demand_unkept(&mut self, id: &StepId, device: &str) {
        let is_kept = self.state.kept.contains(device);
        let message = format!("what is on {device} has to be kept");
        self.demand(!is_kept, "plan-destroys-kept", id, message);
    }

    fn keep(&mut self, device: &str, fate: Fate) {
        if fate.keeps_content() {
            self.state.kept.insert(device.to_owned());
        }
    }

    pub(super) fn array(&mut self, id: &StepId, array: &RaidArray) {
        let mut room = 0;
        for device in array.members.iter().filter_map(|member| member.device.as_ref()) {
            room += self.use_device(id, device, array.fate);
        }
        if array.fate.needs_existing() {
            let arrays = &self.inputs.facts.storage.arrays;
            let exists = arrays.iter().any(|old| array.uuid.as_ref() == Some(&old.uuid));
            let message = format!("{} is to be kept and does not exist", array.device);
            self.demand(exists, "plan-moved-kept", id, message);
        }
        // With missing members the others must hold what the whole array holds.
        let places = array.members.len() as u64;
        let message = format!("{} is larger than its members", array.device);
        let fits = array.size_bytes <= room.saturating_mul(places);
        self.demand(fits, "plan-no-room", id, message);
        let known = self.state.devices.insert(array.device.clone(), array.size_bytes);
        let message = format!("{} is made twice", array.device);
        self.demand(known.is_none(), "plan-made-twice", id, message);
        self.keep(&array.device, array.fate);
    }

    pub(super) fn encrypt(&mut self, id: &StepId, encrypted: &EncryptedDevice) {
        let size_bytes = self.use_device(id, &encrypted.device, encrypted.fate);
        let random = [EncryptionKey::RandomTmp, EncryptionKey::RandomSwap];
        let header = if random.contains(&encrypted.key) { 0 } else { HEADER_BYTES };
        let mapped = &encrypted.mapped_device;
        let known = self.state.devices.insert(mapped.clone(), size_bytes.saturating_sub(header));
        self.demand(known.is_none(), "plan-made-twice", id, format!("{mapped} is made twice"));
        let message = format!("{mapped} is kept, and would be filled with random bytes first");
        let is_safe = !(encrypted.fate.needs_existing() && encrypted.random_fill);
        self.demand(is_safe, "plan-destroys-kept", id, message);
        self.keep(mapped, encrypted.fate);
    }

    pub(super) fn group(&mut self, id: &StepId, group: &VolumeGroup) {
        let mut room = 0;
        for device in &group.physical_volumes {
            room += self.use_device(id, device, group.fate);
        }
        if group.fate.needs_existing() {
            let groups = &self.inputs.facts.storage.groups;
            let exists = groups.iter().any(|old| old.name == group.name);
            let message = format!("{} is to be kept and does not exist", group.name);
            self.demand(exists, "plan-moved-kept", id, message);
        }
        let is_new = self.state.groups.insert(group.name.clone(), room).is_none();
        self.demand(is_new, "plan-made-twice", id, format!("{} is made twice", group.name));
    }

    pub(super) fn logical_volume(&mut self, id: &StepId, group: &str, volume: &LogicalVolume) {
        let room = self.state.groups.get(group).copied();
        let message = format!("volume group {group} was not made in this plan");
        self.demand(room.is_some(), "plan-no-device", id, message);
        let left = room.unwrap_or_default().checked_sub(volume.size_bytes);
        let message = format!("volume group {group} has no room for {}", volume.name);
        self.demand(left.is_some(), "plan-no-room", id, message);
        self.state.groups.insert(group.to_owned(), left.unwrap_or_default());
        if volume.fate.needs_existing() {
            let groups = &self.inputs.facts.storage.groups;
            let mut old = groups.iter().filter(|old| old.name == group);
            let exists = old.any(|old| old.logical_volumes.iter().any(|lv| lv.name == volume.name));
            let message = format!("{} is to be kept and does not exist", volume.device);
            self.demand(exists, "plan-moved-kept", id, message);
        }
        self.state.devices.insert(volume.device.clone(), volume.size_bytes);
        self.state.logical.insert(volume.device.clone());
        self.keep(&volume.device, volume.fate);
    }

    /// Only what keeps its content changes its size in place.
    pub(super) fn resize(&mut self, id: &StepId, device: &str, size_bytes: Option<u64>) {
        let is_there = match size_bytes {
            // A file system becomes smaller before its device does.
            Some(_) => self.state.keeps.contains(device) || !self.state.kept.contains(device),
            None => self.state.kept.contains(device),
        };
        let message = format!("{device} is resized at the wrong time, or is not kept");
        self.demand(is_there, "plan-moved-kept", id, message);
        self.demand(self.state.has_saved, "plan-not-saved", id, "nothing was saved before");
    }

    /// A file system that is laid down ready-made is at hand, fits and holds the right image.
    pub(super) fn ready_made(&mut self, id: &StepId, volume: &Volume, made: &ReadyMade) {
        let is_here = self.state.fetched.contains(&made.blocks.manifest)
            && self.state.fetched.contains(&made.of);
        self.demand(is_here, "plan-image-too-late", id, "the image was not fetched");
        let fits = volume.size_bytes >= made.size_bytes
            && volume.file_system.as_ref() == Some(&made.file_system);
        let message = format!("{} of {} does not fit", made.file_system, made.size_bytes);
        self.demand(fits, "plan-wrong-size", id, message);
        self.state.has_base = true;
    }

    pub(super) fn format(&mut self, id: &StepId, volume: &Volume) {
        let device = &volume.device;
        if volume.btrfs.as_ref().is_some_and(|btrfs| btrfs.shares) {
            let is_there = self.state.formatted.get(device).is_some_and(|kind| kind == "btrfs");
            let message = format!("{device} has no btrfs yet in which to make a subvolume");
            return self.demand(is_there, "plan-not-formatted", id, message);
        }
        let more = volume.btrfs.iter().flat_map(|btrfs| &btrfs.devices);
        let more: Vec<&String> = more.filter(|other| *other != device).collect();
        let mut sizes = vec![self.state.devices.get(device).copied()];
        sizes.extend(more.iter().map(|other| self.state.devices.get(*other).copied()));
        let message = format!("{device} was not made in this plan");
        self.demand(sizes.iter().all(Option::is_some), "plan-no-device", id, message);
        // LVM rounds what it is asked for up to whole extents.
        let slack = if self.state.logical.contains(device) { EXTENT_BYTES } else { 1 };
        let size: u64 = sizes.iter().flatten().sum();
        let fits = (size..size + slack).contains(&volume.size_bytes);
        let message = format!("{device} has another size than was planned for");
        self.demand(fits || sizes.contains(&None), "plan-wrong-size", id, message);
        let kind = volume.file_system.clone().unwrap_or_default();
        self.demand(!kind.is_empty(), "plan-no-file-system", id, "it names no file system");
        for device in more.into_iter().chain([device]) {
            let is_free = !self.state.members.contains(device);
            let message = format!("{device} belongs to something else");
            self.demand(is_free, "plan-used-twice", id, message);
            self.demand_unkept(id, device);
            self.demand_free(id, device);
            let is_new = self.state.formatted.insert(device.clone(), kind.clone()).is_none();
            self.demand(is_new, "plan-used-twice", id, format!("{device} is formatted twice"));
        }
    }

    /// True for a disk without partitions that holds something and keeps it.
    fn keeps_disk(&self, volume: &Volume) -> bool {
        let mut signatures = self.inputs.facts.storage.signatures.iter();
        volume.fate.keeps_content()
            && self.state.confirmed.contains_key(&volume.device)
            && signatures.any(|found| found.device == volume.device)
    }

    pub(super) fn mount(&mut self, id: &StepId, volume: &Volume) {
        let device = &volume.device;
        let is_new = self.state.formatted.get(device).is_some_and(|kind| kind != "swap");
        let has_files = is_new || self.state.kept.contains(device) || self.keeps_disk(volume);
        self.demand(has_files, "plan-not-formatted", id, format!("{device} has no file system"));
        let point = volume.mount_point.clone().unwrap_or_default();
        let is_absolute = point.starts_with('/');
        self.demand(is_absolute, "plan-bad-mount", id, format!("'{point}' is no mount point"));
        let is_first = self.state.mounted.is_empty();
        let message = "the root of the target has to be mounted first, and once";
        self.demand(is_first == (point == "/"), "plan-mount-order", id, message);
        let below = format!("{point}/");
        let hides = self.state.mounted.iter().any(|m| *m == point || m.starts_with(&below));
        let message = format!("{point} would hide what is mounted below it");
        self.demand(!hides, "plan-mount-order", id, message);
        self.state.mounted.push(point);
    }
}

/// True if a partition begins where it did, is of its kind, and has its size or says so.
fn is_in_place(old: &ExistingPartition, new: &Partition) -> bool {
    let size_bytes = (new.end_bytes + 1).saturating_sub(new.start_bytes);
    let has_size = match new.fate {
        Fate::Resize { from_bytes } => from_bytes == old.size_bytes,
        _ => size_bytes == old.size_bytes,
    };
    has_size && old.start_bytes == new.start_bytes && old.kind == new.kind
}
