//! The parts of a layout put together: tables, then everything above them as far as it can be made,
//! with sizes, fates and reasons.

use super::ast::{DiskConfig, KeyKind, VolumeSpec};
use super::boot::{boot_devices, check_boot};
use super::code::Code;
use super::file_system::{content, is_fat};
use super::former::former_partitions;
use super::keep::Keeping;
use super::layout::Place;
use super::lvm::{self, Room};
use super::machine::{StorageDisk, StorageFacts};
use super::names::no_such_device;
use super::numbering::{Content, Numbered};
use super::source::{Problem, Span};
use super::stack::{Array, Crypt, Group, Stack, logical_device};
use super::volumes::volumes;
use hostwright_model::existing::ExistingPartition;
use hostwright_model::size::MIB;
use hostwright_model::storage::{
    DiskLayout, EncryptedDevice, EncryptionKey, Fate, LogicalVolume, Partition, PartitionContent,
    RaidArray, RaidLevel, RaidMember, StorageLayout, TableFate, TableKind, VolumeGroup,
};
use std::collections::BTreeMap;

/// Room that LUKS takes for its header (cryptsetup(8), LUKS2).
const LUKS_HEADER_BYTES: u64 = 16 * MIB;

/// Makes the layout. What is taken apart before is not in it yet.
pub(super) fn assemble(
    config: &DiskConfig,
    facts: &StorageFacts,
    places: &[Place<'_>],
    stack: &Stack<'_>,
    keeping: &Keeping<'_>,
    problems: &mut Vec<Problem>,
) -> StorageLayout {
    let mut parts = Parts {
        config,
        facts,
        places,
        stack,
        keeping,
        problems,
        estimates: BTreeMap::new(),
        sizes: BTreeMap::new(),
        remade: BTreeMap::new(),
    };
    parts.find_remade();
    parts.measure();
    let mut layout = StorageLayout::default();
    parts.build_stack(&mut layout);
    layout.disks = parts.disks();
    layout.volumes = volumes(&mut parts);
    layout.boot = boot_devices(config, &layout.disks, &layout.volumes);
    check_boot(config, &layout, parts.problems);
    for disk in &mut layout.disks {
        disk.before = former_partitions(facts, disk);
    }
    layout
}

/// What an assembly is made of, and what is known of it by now.
pub(super) struct Parts<'a, 'b> {
    pub config: &'a DiskConfig,
    pub facts: &'a StorageFacts,
    pub places: &'b [Place<'b>],
    pub stack: &'b Stack<'b>,
    pub keeping: &'b Keeping<'b>,
    pub problems: &'b mut Vec<Problem>,
    /// Sizes as FAI estimates them, which those of logical volumes depend on.
    estimates: BTreeMap<String, f64>,
    /// Sizes in bytes.
    pub sizes: BTreeMap<String, u64>,
    /// Devices below something that is made anew, with its line.
    remade: BTreeMap<String, Span>,
}

impl Parts<'_, '_> {
    fn find_remade(&mut self) {
        let (stack, keeping) = (self.stack, self.keeping);
        let arrays =
            stack.arrays.iter().filter(|array| !keeping.arrays.contains_key(&array.device));
        let groups = stack
            .groups
            .iter()
            .filter(|group| !keeping.groups.contains_key(&group.line.name.value));
        let crypts = stack.crypts.iter().filter(|crypt| !keeping.crypts.contains(&crypt.device));
        for array in arrays {
            self.remade.extend(array.devices().map(|device| (device.clone(), array.line.at)));
        }
        for group in groups {
            let at = group.line.name.at;
            self.remade.extend(group.devices.iter().map(|device| (device.clone(), at)));
        }
        self.remade.extend(crypts.map(|crypt| (crypt.device.clone(), crypt.at)));
        for btrfs in &stack.btrfs {
            self.remade.extend(btrfs.devices.iter().map(|device| (device.clone(), btrfs.line.at)));
        }
    }

    /// Sizes of disks and partitions.
    fn measure(&mut self) {
        for disk in &self.facts.disks {
            // FAI counts the last byte instead of the bytes.
            self.estimates.insert(disk.device(), disk.size_bytes as f64 - 1.0);
            self.sizes.insert(disk.device(), disk.size_bytes);
        }
        for table in &self.facts.existing.tables {
            let is_rewritten = self.places.iter().any(|place| place.disk.device() == table.device);
            let is_ours = self.facts.disk(&table.device).is_some();
            for partition in table.partitions.iter().filter(|_| is_ours && !is_rewritten) {
                self.learn(&partition.device, partition.size_bytes);
            }
        }
        for place in self.places {
            for (number, extent) in &place.extents {
                self.learn(&place.device_of(*number), extent.size_bytes());
            }
        }
    }

    fn learn(&mut self, device: &str, bytes: u64) {
        self.estimates.insert(device.to_owned(), bytes as f64);
        self.sizes.insert(device.to_owned(), bytes);
    }

    /// Makes what has all its devices, until nothing is left or nothing can be made.
    fn build_stack(&mut self, layout: &mut StorageLayout) {
        let stack = self.stack;
        let mut arrays: Vec<&Array<'_>> = stack.arrays.iter().collect();
        let mut crypts: Vec<&Crypt<'_>> = stack.crypts.iter().collect();
        let mut groups: Vec<&Group<'_>> = stack.groups.iter().collect();
        loop {
            let before = arrays.len() + crypts.len() + groups.len();
            arrays.retain(|array| {
                let ready = array.devices().all(|device| self.sizes.contains_key(device));
                if ready {
                    layout.arrays.push(self.array(array));
                }
                !ready
            });
            crypts.retain(|crypt| {
                let ready = self.sizes.contains_key(&crypt.device);
                if ready {
                    layout.encrypted.push(self.encrypted(crypt));
                }
                !ready
            });
            groups.retain(|group| {
                let ready = group.devices.iter().all(|device| self.sizes.contains_key(device));
                if ready {
                    match self.group(group) {
                        Ok(group) => layout.volume_groups.push(group),
                        Err(problem) => self.problems.push(problem),
                    }
                }
                !ready
            });
            let after = arrays.len() + crypts.len() + groups.len();
            if after == before {
                break;
            }
        }
        layout.arrays.sort_by_key(|array| array.why.line);
        layout.encrypted.sort_by_key(|encrypted| encrypted.why.line);
        layout.volume_groups.sort_by_key(|group| group.why.line);
        self.refuse_missing();
    }

    /// What is named and never made, or only by itself.
    fn refuse_missing(&mut self) {
        let stack = self.stack;
        let logical = stack.groups.iter().flat_map(|group| &group.volumes);
        let mut promised: Vec<String> = logical.map(|line| logical_device(line)).collect();
        promised.extend(stack.arrays.iter().map(|array| array.device.clone()));
        promised.extend(stack.crypts.iter().map(Crypt::mapped));
        let missing = stack.used.iter().filter(|(device, _)| !self.sizes.contains_key(*device));
        let missing: Vec<_> = missing.collect();
        let is_loop = missing.iter().all(|(device, _)| promised.contains(device));
        for (device, at) in missing {
            if is_loop {
                let message = format!("{device} is needed for what it is itself made of");
                let cure = "break the circle: build from partitions upwards";
                self.problems.push(Problem::error(Code::StackingLoop, *at, message, cure));
            } else if !promised.contains(device) {
                self.problems.push(no_such_device(device, *at));
            }
        }
    }

    /// What becomes of a device of the layout that has `size_bytes` then.
    fn fate(&mut self, device: &str, from_bytes: u64, size_bytes: u64, resize: bool) -> Fate {
        if !self.keeping.holds(device) {
            return Fate::Create;
        }
        if let Some(at) = self.remade.get(device).copied() {
            self.refuse_remade(device, at);
            return Fate::Reformat;
        }
        let is_used = self.stack.used.contains_key(device);
        if self.keeping.always_format.contains(device) && !is_used {
            return Fate::Reformat;
        }
        match resize && from_bytes != size_bytes {
            true => Fate::Resize { from_bytes },
            false => Fate::Keep,
        }
    }

    /// Refuses to keep a device below something that is made anew. FAI overwrites what is on it.
    fn refuse_remade(&mut self, device: &str, at: Span) {
        let message = format!("{device} is to be kept, but this line makes its content anew");
        let cure = "keep what this line makes too, or do not keep its device";
        // Of a device that holds nothing, nothing can be lost.
        let is_lost = !self.facts.fai_bugs && self.facts.signature(device).is_some();
        let make = if is_lost { Problem::error } else { Problem::warning };
        self.problems.push(make(Code::KeepNotPossible, at, message.as_str(), cure));
    }

    /// Refuses to resize what cannot be.
    fn check_resize(&mut self, device: &str, fate: Fate, to_bytes: u64, at: Span) {
        let Fate::Resize { from_bytes } = fate else { return };
        let kind = self.facts.signature(device).map(|signature| signature.kind.as_str());
        let grows = to_bytes > from_bytes;
        let possible = match kind {
            Some("ext2" | "ext3" | "ext4" | "ntfs" | "swap") => true,
            Some("xfs") => grows,
            _ => false,
        };
        if possible {
            return;
        }
        let way = if grows { "grow" } else { "shrink" };
        let message = match kind {
            Some(kind) => format!("{device} cannot {way}: nothing here can do that to {kind}"),
            None => format!("{device} cannot {way}: it is not known what it holds"),
        };
        let cure =
            "keep it with its size; ext2, ext3, ext4, ntfs and swap can change, xfs can grow";
        self.problems.push(Problem::error(Code::ResizeNotPossible, at, message, cure));
    }

    fn array(&mut self, array: &Array<'_>) -> RaidArray {
        let estimate = self.array_bytes(array, &self.estimates);
        self.estimates.insert(array.device.clone(), estimate);
        let existing = self.keeping.arrays.get(&array.device).copied();
        let sizes = self.sizes.iter().map(|(device, size)| (device.clone(), *size as f64));
        let reckoned = self.array_bytes(array, &sizes.collect()) as u64;
        let size_bytes = existing.and_then(|old| old.size_bytes).unwrap_or(reckoned);
        self.sizes.insert(array.device.clone(), size_bytes);
        let member = |(device, name): &(Option<String>, &super::ast::MemberName)| RaidMember {
            device: device.clone(),
            spare: name.spare,
        };
        RaidArray {
            device: array.device.clone(),
            level: array.line.level,
            members: array.members.iter().map(member).collect(),
            create_options: array.line.create_options.clone(),
            size_bytes,
            fate: self.fate(&array.device, size_bytes, size_bytes, false),
            uuid: existing.map(|old| old.uuid.clone()),
            why: self.config.why(array.line.at),
        }
    }

    /// FAI's estimate of the size of an array: the smallest member counts, spares do not.
    fn array_bytes(&self, array: &Array<'_>, sizes: &BTreeMap<String, f64>) -> f64 {
        let smallest = array
            .devices()
            .filter_map(|device| sizes.get(device).copied())
            .fold(f64::INFINITY, f64::min);
        let count = array.members.iter().filter(|(_, member)| !member.spare).count() as f64;
        smallest
            * match array.line.level {
                RaidLevel::Raid0 => count,
                RaidLevel::Raid1 => 1.0,
                RaidLevel::Raid5 => count - 1.0,
                RaidLevel::Raid6 => count - 2.0,
                RaidLevel::Raid10 => count / 2.0,
            }
    }

    fn encrypted(&mut self, crypt: &Crypt<'_>) -> EncryptedDevice {
        let below = self.sizes[&crypt.device];
        let estimate = self.estimates[&crypt.device];
        let mapped = crypt.mapped();
        let (key, header) = match crypt.key {
            KeyKind::File => (EncryptionKey::File, LUKS_HEADER_BYTES),
            KeyKind::Passphrase => {
                let file = self.config.source.file.clone();
                (EncryptionKey::Passphrase { file, line: crypt.at.line }, LUKS_HEADER_BYTES)
            }
            KeyKind::RandomTmp => (EncryptionKey::RandomTmp, 0),
            KeyKind::RandomSwap => (EncryptionKey::RandomSwap, 0),
        };
        self.estimates.insert(mapped.clone(), estimate);
        self.sizes.insert(mapped.clone(), below.saturating_sub(header));
        let is_kept = self.keeping.crypts.contains(&crypt.device);
        EncryptedDevice {
            name: crypt.name.clone(),
            device: crypt.device.clone(),
            mapped_device: mapped,
            key,
            create_options: crypt.options.to_vec(),
            random_fill: crypt.random_fill && !is_kept,
            fate: if is_kept { Fate::Keep } else { Fate::Create },
            why: self.config.why(crypt.at),
        }
    }

    fn group(&mut self, group: &Group<'_>) -> Result<VolumeGroup, Problem> {
        let line = group.line;
        let existing = self.keeping.groups.get(&line.name.value).copied();
        let physical_bytes = group.devices.iter().map(|device| self.estimates[device]).collect();
        let kept_size = |line: &&super::ast::LogicalVolumeLine| {
            let kept = self.keeping.volumes.get(&logical_device(line))?;
            kept.resize.is_none().then_some(kept.existing.size_bytes)
        };
        let kept = group.volumes.iter();
        let kept =
            kept.filter_map(|line| Some((line.name.value.as_str(), kept_size(line)?))).collect();
        let memory_bytes = self.facts.memory_bytes;
        let room = Room { group: line, physical_bytes, kept, memory_bytes };
        let asked = lvm::sizes(&room, &group.volumes)?;
        let mut logical_volumes = Vec::new();
        for (line, asked) in group.volumes.iter().zip(asked) {
            let device = logical_device(line);
            let kept = self.keeping.volumes.get(&device).copied();
            let size_bytes = match kept {
                Some(kept) if kept.resize.is_none() => kept.existing.size_bytes,
                _ => lvm::rounded_to_extents(group.line, asked),
            };
            self.learn(&device, size_bytes);
            let from = kept.map_or(0, |kept| kept.existing.size_bytes);
            let resize = kept.and_then(|kept| kept.resize);
            let fate = self.fate(&device, from, size_bytes, resize.is_some());
            if let Some(at) = resize {
                self.check_resize(&device, fate, size_bytes, at);
            }
            logical_volumes.push(LogicalVolume {
                name: line.name.value.clone(),
                device,
                size_bytes: if fate.needs_existing() { size_bytes } else { asked },
                create_options: line.lv_create_options.clone(),
                fate,
                why: self.config.why(line.group.at),
            });
        }
        Ok(VolumeGroup {
            name: line.name.value.clone(),
            physical_volumes: group.devices.clone(),
            pv_create_options: line.pv_create_options.clone(),
            vg_create_options: line.vg_create_options.clone(),
            logical_volumes,
            fate: if existing.is_some() { Fate::Keep } else { Fate::Create },
            why: self.config.why(line.name.at),
        })
    }

    fn disks(&mut self) -> Vec<DiskLayout> {
        let places = self.places;
        let mut disks: Vec<DiskLayout> = places.iter().map(|place| self.disk(place)).collect();
        for (device, at) in &self.stack.used {
            let is_known = |disk: &&mut DiskLayout| {
                disk.device == *device || disk.partitions.iter().any(|p| p.device == *device)
            };
            if disks.iter_mut().any(|disk| is_known(&disk)) {
                continue;
            }
            if let Some(disk) = self.facts.disk(device) {
                disks.push(self.untouched(disk, *at));
            } else if let Some((on, existing)) = self.facts.partition(device)
                && let Some(disk) = self.facts.disk(on)
            {
                let partition = self.used_partition(existing, *at);
                match disks.iter_mut().find(|known| known.device == on) {
                    Some(known) => known.partitions.push(partition),
                    None => {
                        let partitions = vec![partition];
                        disks.push(DiskLayout { partitions, ..self.untouched(disk, *at) });
                    }
                }
            }
        }
        disks
    }

    /// A disk whose table stays, or that has none.
    fn untouched(&self, disk: &StorageDisk, at: Span) -> DiskLayout {
        let tables = &self.facts.existing.tables;
        let table = tables.iter().find(|table| table.device == disk.device());
        DiskLayout {
            device: disk.device(),
            size_bytes: disk.size_bytes,
            sector_bytes: disk.sector_bytes,
            model: disk.model.clone(),
            serial: disk.serial.clone(),
            before: Vec::new(),
            table: match table {
                Some(table) if table.kind == "gpt" => TableKind::Gpt,
                _ => TableKind::Msdos,
            },
            table_fate: TableFate::Leave,
            partitions: Vec::new(),
            why: self.config.why(at),
        }
    }

    /// A partition that is there, that no stanza is about, and that a line uses.
    fn used_partition(&self, existing: &ExistingPartition, at: Span) -> Partition {
        let is_remade = self.remade.contains_key(&existing.device);
        Partition {
            number: existing.number,
            device: existing.device.clone(),
            kind: existing.kind,
            start_bytes: existing.start_bytes,
            end_bytes: existing.start_bytes + existing.size_bytes.max(1) - 1,
            name: existing.name.clone(),
            content: PartitionContent::Linux,
            bootable: existing.bootable,
            fate: if is_remade { Fate::Reformat } else { Fate::Keep },
            existing: Some(existing.clone()),
            why: self.config.why(at),
        }
    }

    fn disk(&mut self, place: &Place<'_>) -> DiskLayout {
        let at = place.stanza.disk.at;
        let mut partitions = Vec::new();
        for numbered in place.numbered.iter() {
            if place.extents.contains_key(&numbered.number) {
                partitions.push(self.partition(place, numbered));
            }
        }
        let untouched = self.untouched(place.disk, at);
        match place.leaves_table {
            true => DiskLayout { partitions, ..untouched },
            false => DiskLayout {
                table: place.stanza.table,
                table_fate: TableFate::Write,
                partitions,
                ..untouched
            },
        }
    }

    fn partition(&mut self, place: &Place<'_>, numbered: &Numbered<'_>) -> Partition {
        let device = place.device_of(numbered.number);
        let extent = place.extents[&numbered.number];
        let msdos = place.stanza.table == TableKind::Msdos;
        let kept = self.keeping.partitions.get(&device).cloned();
        let there = self.facts.partition(&device).map(|(_, existing)| existing);
        let existing = if place.leaves_table { there } else { kept.as_ref().map(|k| k.existing) };
        let from = existing.map_or(0, |existing| existing.size_bytes);
        let resize = kept.as_ref().is_some_and(|kept| kept.resize);
        let fate = match self.fate(&device, from, extent.size_bytes(), resize) {
            Fate::Create if place.leaves_table => self.virtual_fate(numbered, &device),
            fate => fate,
        };
        if let Some(kept) = &kept {
            self.check_resize(&device, fate, extent.size_bytes(), kept.at);
        }
        let name = match numbered.content {
            Content::Line(line) => line.name.clone(),
            Content::Extended(_) | Content::BiosBoot(_) => None,
        };
        let bootable = place.stanza.bootable.as_ref().map(|number| number.value);
        Partition {
            number: numbered.number,
            kind: numbered.kind(),
            start_bytes: extent.start,
            end_bytes: extent.end,
            name: name.filter(|_| !msdos),
            content: self.content(numbered, &device),
            bootable: msdos && bootable == Some(numbered.number),
            fate,
            existing: existing.cloned(),
            why: self.config.why(numbered.at()),
            device,
        }
    }

    /// A partition of a table that stays is used anew if its line puts anything there.
    fn virtual_fate(&self, numbered: &Numbered<'_>, device: &str) -> Fate {
        let is_filled = numbered.volume().is_some_and(|volume| !volume.is_empty());
        match is_filled || self.remade.contains_key(device) {
            true => Fate::Reformat,
            false => Fate::Keep,
        }
    }

    fn content(&self, numbered: &Numbered<'_>, device: &str) -> PartitionContent {
        let is_below = |devices: &[String]| devices.iter().any(|below| below == device);
        match numbered.content {
            Content::Extended(_) => PartitionContent::Extended,
            Content::BiosBoot(_) => PartitionContent::BiosBoot,
            Content::Line(_) if self.stack.groups.iter().any(|group| is_below(&group.devices)) => {
                PartitionContent::Lvm
            }
            Content::Line(line) => {
                let arrays = &self.stack.arrays;
                let array = arrays.iter().find(|array| array.devices().any(|d| d == device));
                match array {
                    // Firmware reads such an array as if each member were alone.
                    Some(array) if is_readable_esp(array) => PartitionContent::EfiSystem,
                    Some(_) => PartitionContent::Raid,
                    None if is_efi_system(&line.volume) => PartitionContent::EfiSystem,
                    None => content(line.volume.file_system.value.as_deref()),
                }
            }
        }
    }
}

/// True for a mirror with its metadata at the end that is mounted as the EFI system partition.
fn is_readable_esp(array: &Array<'_>) -> bool {
    let mut words = array.line.create_options.iter().map(String::as_str);
    let mut version = None;
    while let Some(word) = words.next() {
        version = match word {
            "-e" | "--metadata" => words.next(),
            _ => word.strip_prefix("--metadata=").or(word.strip_prefix("-e")).or(version),
        };
    }
    let at_end = matches!(version, Some("0" | "0.90" | "1.0"));
    array.line.level == RaidLevel::Raid1 && at_end && is_efi_system(&array.line.volume)
}

/// FAI flags partition 1 of a GPT instead, whichever one the firmware is to read.
fn is_efi_system(volume: &VolumeSpec) -> bool {
    match volume.mount_point.value.path() {
        Some("/boot/efi") => true,
        Some("/boot") => is_fat(volume.file_system.value.as_deref()),
        _ => false,
    }
}
