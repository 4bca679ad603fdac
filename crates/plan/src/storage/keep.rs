//! What of the things that exist is kept: each wish of the file is held against what is there, and
//! whoever is kept keeps what is below it.

use super::ast::{KeyKind, LineKind, PartitionLine, VolumeSpec};
use super::code::Code;
use super::keep_options::{Keep, Wish};
use super::layout::Place;
use super::machine::{StorageFacts, partition_device};
use super::numbering::{Content, Numbered};
use super::solve::{Extent, Kept};
use super::source::{Problem, Span};
use super::stack::{Array, Crypt, Group, Stack, logical_device};
use hostwright_model::existing::{
    ExistingArray, ExistingGroup, ExistingLogicalVolume, ExistingPartition,
};
use hostwright_model::storage::TableKind;
use std::collections::{BTreeMap, BTreeSet};

/// A partition that is kept.
#[derive(Clone)]
pub(super) struct KeptPartition<'a> {
    pub existing: &'a ExistingPartition,
    pub at: Span,
    pub resize: bool,
}

/// A logical volume that is kept.
#[derive(Clone, Copy)]
pub(super) struct KeptVolume<'a> {
    pub existing: &'a ExistingLogicalVolume,
    pub resize: Option<Span>,
}

/// Everything that is kept, by device node; groups by name.
#[derive(Default)]
pub(super) struct Keeping<'a> {
    pub partitions: BTreeMap<String, KeptPartition<'a>>,
    /// Disks that are a volume themselves (`raw-disk`).
    pub whole_disks: BTreeSet<String>,
    pub arrays: BTreeMap<String, &'a ExistingArray>,
    pub groups: BTreeMap<String, &'a ExistingGroup>,
    pub volumes: BTreeMap<String, KeptVolume<'a>>,
    /// Encrypted devices, by the node of what is encrypted.
    pub crypts: BTreeSet<String>,
    /// Devices that are formatted even if they are kept.
    pub always_format: BTreeSet<String>,
}

impl Keeping<'_> {
    /// Partitions of a disk that the solver may not move, by number.
    pub fn of_disk(&self, disk: &str, numbered: &[Numbered<'_>]) -> BTreeMap<u32, Kept> {
        let kept = numbered.iter().filter_map(|partition| {
            let kept = self.partitions.get(&partition_device(disk, partition.number))?;
            let start = kept.existing.start_bytes;
            let extent = Extent { start, end: start + kept.existing.size_bytes.max(1) - 1 };
            Some((partition.number, Kept { extent, resize: kept.resize, at: kept.at }))
        });
        kept.collect()
    }

    /// True if a device is there before the run and stays.
    pub fn holds(&self, device: &str) -> bool {
        self.partitions.contains_key(device)
            || self.whole_disks.contains(device)
            || self.arrays.contains_key(device)
            || self.volumes.contains_key(device)
            || self.crypts.iter().any(|plain| {
                device.strip_prefix("/dev/mapper/")
                    == Some(super::names::mapping_name(plain).as_str())
            })
    }
}

/// Decides what is kept.
pub(super) fn keep<'a>(
    facts: &'a StorageFacts,
    places: &[Place<'_>],
    stack: &Stack<'_>,
    problems: &mut Vec<Problem>,
) -> Keeping<'a> {
    let mut keeper = Keeper { facts, places, stack, keeping: Keeping::default(), problems };
    keeper.partitions();
    keeper.arrays();
    keeper.volumes();
    keeper.crypts();
    keeper.keeping
}

struct Keeper<'a, 'b> {
    facts: &'a StorageFacts,
    places: &'b [Place<'b>],
    stack: &'b Stack<'b>,
    keeping: Keeping<'a>,
    problems: &'b mut Vec<Problem>,
}

impl<'a, 'b> Keeper<'a, 'b> {
    fn partitions(&mut self) {
        for place in self.places {
            self.whole_disk(place);
            for partition in &place.numbered {
                let Content::Line(line) = partition.content else { continue };
                let device = place.device_of(partition.number);
                let initial = self.facts.is_first_install;
                let wish = place.stanza.keep.wish(&partition.number, initial);
                let wish = wish.with_flag(line.flag.as_ref(), initial);
                if wish.always_format {
                    self.keeping.always_format.insert(device.clone());
                }
                let is_there = self.facts.partition(&device).is_some();
                if let Some(at) = wanted(&wish, is_there) {
                    self.keep_partition(place, partition, line, at, wish.resize.is_some());
                }
            }
        }
    }

    /// The one volume of a disk without partitions: FAI counts it as partition 0.
    fn whole_disk(&mut self, place: &Place<'_>) {
        let lines = &place.stanza.partitions;
        let Some(line) = lines.iter().find(|line| line.kind == LineKind::RawDisk) else { return };
        let device = place.disk.device();
        let initial = self.facts.is_first_install;
        let wish = place.stanza.keep.wish(&0, initial).with_flag(line.flag.as_ref(), initial);
        if wish.always_format {
            self.keeping.always_format.insert(device.clone());
        }
        let found = self.facts.signature(&device).is_some();
        let Some(at) = wanted(&wish, found) else { return };
        if wish.resize.is_some() {
            let message = format!("{device} is a disk, which has the size that it has");
            let cure = "take the wish to resize it away";
            self.problems.push(Problem::error(Code::KeepNotPossible, at, message, cure));
        } else if !found {
            self.problems.push(missing(&device, at));
        } else {
            self.check_content(&device, &line.volume, at);
            self.keeping.whole_disks.insert(device);
        }
    }

    fn keep_partition(
        &mut self,
        place: &Place<'_>,
        partition: &Numbered<'_>,
        line: &PartitionLine,
        at: Span,
        resize: bool,
    ) {
        let device = place.device_of(partition.number);
        if self.keeping.partitions.contains_key(&device) {
            return;
        }
        let Some((_, existing)) = self.facts.partition(&device) else {
            self.problems.push(missing(&device, at));
            return;
        };
        if let Some(problem) = self.wrong_place(place, partition, existing, at) {
            self.problems.push(problem);
            return;
        }
        self.check_content(&device, &line.volume, at);
        self.keeping.partitions.insert(device, KeptPartition { existing, at, resize });
    }

    /// What would make the partition another one than it is.
    fn wrong_place(
        &self,
        place: &Place<'_>,
        partition: &Numbered<'_>,
        existing: &ExistingPartition,
        at: Span,
    ) -> Option<Problem> {
        let device = place.disk.device();
        let table = self.facts.existing.tables.iter().find(|table| table.device == device)?;
        let wanted = match place.stanza.table {
            TableKind::Msdos => "dos",
            TableKind::Gpt | TableKind::GptBios => "gpt",
        };
        let sector = u64::from(place.disk.sector_bytes.max(1));
        let end = existing.start_bytes + existing.size_bytes;
        let name = &existing.device;
        if place.stanza.is_virtual {
            // The table is somebody else's, and stays as it is.
            return None;
        }
        let (message, cure) = if table.kind != wanted {
            (
                format!("{name} is in a table of kind {}, not {wanted}", table.kind),
                "write the disklabel that the disk has: a new one would lose the partition",
            )
        } else if existing.kind != partition.kind() {
            (
                format!("{name} is {:?} on the disk, and not in this file", existing.kind)
                    .to_lowercase(),
                "write the line with the kind that the partition has",
            )
        } else if !existing.start_bytes.is_multiple_of(sector) || !end.is_multiple_of(sector) {
            (
                format!("{name} does not begin and end at sectors of {sector} bytes"),
                "do not keep it: this table cannot describe it",
            )
        } else {
            return None;
        };
        Some(Problem::error(Code::KeepMismatch, at, message, cure))
    }

    /// What is kept must be what the line says, or fstab would lie.
    fn check_content(&mut self, device: &str, spec: &VolumeSpec, at: Span) {
        let Some(wanted) = spec.file_system.value.as_deref() else { return };
        if spec.encrypt.is_some() || self.keeping.always_format.contains(device) {
            return;
        }
        let now = actual_device(self.facts, self.stack, device);
        let Some(signature) = self.facts.signature(&now) else { return };
        if !is_same_kind(wanted, &signature.kind) {
            let found = &signature.kind;
            let message = format!("{device} is to be kept as {wanted}, and holds {found}");
            let cure = "name what it holds, or format it by always_format";
            self.problems.push(Problem::error(Code::KeepMismatch, at, message, cure));
        }
    }

    fn arrays(&mut self) {
        let stack = self.stack;
        for array in &stack.arrays {
            let wish = array.stanza.keep.wish(&array.number, self.facts.is_first_install);
            if wish.always_format {
                self.keeping.always_format.insert(array.device.clone());
            }
            if let Some(at) = wanted(&wish, existing_array(self.facts, array).is_some()) {
                self.keep_array(array, at);
            }
        }
    }

    fn keep_array(&mut self, array: &Array<'_>, at: Span) {
        if self.keeping.arrays.contains_key(&array.device) {
            return;
        }
        let device = &array.device;
        let Some(existing) = existing_array(self.facts, array) else {
            self.problems.push(missing(device, at));
            return;
        };
        let stranger =
            existing.members.iter().find(|member| !array.devices().any(|d| d == *member));
        let foreign = array.devices().find(|device| {
            self.facts
                .existing
                .arrays
                .iter()
                .any(|other| other.uuid != existing.uuid && other.members.contains(*device))
        });
        let message = if existing.level != Some(array.line.level) {
            let level = existing.level.map_or("of another kind", |level| level.name());
            Some(format!("{device} is {level} on the disks, not {}", array.line.level.name()))
        } else if let Some(stranger) = stranger {
            Some(format!("{stranger} belongs to {device}, and this line does not name it"))
        } else {
            foreign.map(|member| format!("{member} belongs to another array than {device}"))
        };
        if let Some(message) = message {
            let cure = "write the array as it is, or do not keep it";
            self.problems.push(Problem::error(Code::KeepMismatch, at, message, cure));
            return;
        }
        self.check_content(device, &array.line.volume, at);
        self.keeping.arrays.insert(device.clone(), existing);
        for member in array.devices().filter(|device| existing.members.contains(device)) {
            self.keep_below(member, at);
        }
    }

    fn volumes(&mut self) {
        let stack = self.stack;
        for group in &stack.groups {
            for line in &group.volumes {
                let id = (line.group.value.clone(), line.name.value.clone());
                let initial = self.facts.is_first_install;
                let wish = self.logical_wish(&id).with_flag(line.flag.as_ref(), initial);
                let device = logical_device(line);
                if wish.always_format {
                    self.keeping.always_format.insert(device.clone());
                }
                let existing = self.existing_volume(group, &id.1);
                let Some(at) = wanted(&wish, existing.is_some()) else { continue };
                let Some((existing_group, existing)) = existing else {
                    self.problems.push(missing(&device, at));
                    continue;
                };
                self.check_content(&device, &line.volume, at);
                let kept = KeptVolume { existing, resize: wish.resize };
                self.keeping.volumes.insert(device, kept);
                self.keep_group(group, existing_group, at);
            }
        }
    }

    /// Lists count in whatever stanza they stand, `all` for the lines of its own stanza.
    fn logical_wish(&self, id: &(String, String)) -> Wish {
        let initial = self.facts.is_first_install;
        let mut wish = Wish::default();
        for stanza in self.stack.lvm {
            let holds = |line: &&super::ast::LogicalVolumeLine| {
                (&line.group.value, &line.name.value) == (&id.0, &id.1)
            };
            let listed = stanza.keep.listed().any(|(other, _)| other == id);
            if listed || stanza.volumes.iter().any(|line| holds(&line)) {
                let here = stanza.keep.wish(id, initial);
                wish = Wish {
                    keep: here.keep.or(wish.keep),
                    resize: here.resize.or(wish.resize),
                    always_format: here.always_format || wish.always_format,
                };
            }
        }
        wish
    }

    fn existing_volume(
        &self,
        group: &Group<'_>,
        name: &str,
    ) -> Option<(&'a ExistingGroup, &'a ExistingLogicalVolume)> {
        let found = existing_group(self.facts, self.stack, group)?;
        let volume = found.logical_volumes.iter().find(|volume| volume.name == name)?;
        Some((found, volume))
    }

    fn keep_group(&mut self, group: &Group<'_>, existing: &'a ExistingGroup, at: Span) {
        let name = &group.line.name.value;
        if self.keeping.groups.contains_key(name) {
            return;
        }
        let now = |device: &String| actual_device(self.facts, self.stack, device);
        let wanted: BTreeSet<String> = group.devices.iter().map(now).collect();
        let there: BTreeSet<String> = existing.physical_volumes.iter().cloned().collect();
        if existing.is_partial || wanted != there {
            let names: Vec<&str> = there.iter().map(|device| device.as_str()).collect();
            let lost = if existing.is_partial { " and something that is missing" } else { "" };
            let message = format!("the group {name} lies on {}{lost}", names.join(", "));
            let cure = "name just these devices in its `vg` line, or keep nothing of it";
            self.problems.push(Problem::error(Code::KeepMismatch, at, message, cure));
            return;
        }
        if self.facts.ignored_groups.contains(name) {
            let message = format!("SS_IGNORE_VG forbids to touch the group {name}");
            let cure = "take it off SS_IGNORE_VG, or out of this file";
            self.problems.push(Problem::error(Code::KeepNotPossible, at, message, cure));
        }
        self.keeping.groups.insert(name.clone(), existing);
        for device in &group.devices {
            self.keep_below(device, at);
        }
    }

    /// Keeps what something that is kept lies on.
    fn keep_below(&mut self, device: &str, at: Span) {
        let stack = self.stack;
        if let Some(crypt) = stack.crypts.iter().find(|crypt| crypt.mapped() == device) {
            self.keep_crypt(crypt, at);
            self.keep_below(&crypt.device, at);
        } else if let Some(array) = stack.arrays.iter().find(|array| array.device == device) {
            self.keep_array(array, at);
        } else if let Some((place, partition)) = self.partition(device)
            && let Content::Line(line) = partition.content
        {
            self.keep_partition(place, partition, line, at, false);
        }
    }

    fn partition(&self, device: &str) -> Option<(&'b Place<'b>, &'b Numbered<'b>)> {
        let places: &'b [Place<'b>] = self.places;
        let ours = places.iter().filter(|place| !place.stanza.has_foreign_table());
        ours.flat_map(|place| place.numbered.iter().map(move |partition| (place, partition)))
            .find(|(place, partition)| place.device_of(partition.number) == device)
    }

    /// Encrypted devices on something that is kept.
    fn crypts(&mut self) {
        let stack = self.stack;
        for crypt in &stack.crypts {
            let is_kept = self.keeping.holds(&crypt.device);
            let is_random = matches!(crypt.key, KeyKind::RandomTmp | KeyKind::RandomSwap);
            if is_kept && !is_random && !self.keeping.always_format.contains(&crypt.device) {
                self.keep_crypt(crypt, crypt.at);
            }
        }
    }

    fn keep_crypt(&mut self, crypt: &Crypt<'_>, at: Span) {
        if self.keeping.crypts.contains(&crypt.device) {
            return;
        }
        let device = &crypt.device;
        let kind = self.facts.signature(device).map(|signature| signature.kind.as_str());
        let message = match crypt.key {
            KeyKind::Passphrase if kind.is_none_or(|kind| kind == "crypto_LUKS") => {
                self.keeping.crypts.insert(device.clone());
                return;
            }
            KeyKind::Passphrase => format!("{device} is to be kept and is not encrypted now"),
            KeyKind::File => format!("{device} cannot be kept: nobody has its key any more"),
            KeyKind::RandomTmp | KeyKind::RandomSwap => {
                format!("{device} cannot be kept: it has a new key at each boot")
            }
        };
        let cure = "keep only what is encrypted with a passphrase, luks:\"…\", and was so before";
        self.problems.push(Problem::error(Code::KeepNotPossible, at, message, cure));
    }
}

/// The array that its members belong to now; its name and number may differ.
pub(super) fn existing_array<'a>(
    facts: &'a StorageFacts,
    array: &Array<'_>,
) -> Option<&'a ExistingArray> {
    let is_ours = |old: &&ExistingArray| {
        old.members.iter().any(|member| array.devices().any(|device| device == member))
    };
    facts.existing.arrays.iter().find(is_ours)
}

/// What a device of the layout is called before the run: arrays may run under other numbers.
pub(super) fn actual_device(facts: &StorageFacts, stack: &Stack<'_>, device: &str) -> String {
    let array = stack.arrays.iter().find(|array| array.device == device);
    let existing = array.and_then(|array| existing_array(facts, array));
    existing.and_then(|old| old.device.clone()).unwrap_or_else(|| device.to_owned())
}

/// The group that has the name of `group` and lies on one of its devices.
pub(super) fn existing_group<'a>(
    facts: &'a StorageFacts,
    stack: &Stack<'_>,
    group: &Group<'_>,
) -> Option<&'a ExistingGroup> {
    let devices: Vec<String> =
        group.devices.iter().map(|device| actual_device(facts, stack, device)).collect();
    let is_it = |old: &&ExistingGroup| {
        old.name == group.line.name.value
            && old.physical_volumes.iter().any(|device| devices.contains(device))
    };
    facts.existing.groups.iter().find(is_it)
}

/// Where it is asked to keep something, if that is so.
fn wanted(wish: &Wish, is_there: bool) -> Option<Span> {
    match wish.keep {
        Some(Keep::Firmly(at)) => Some(at),
        Some(Keep::IfThere(at)) if is_there => Some(at),
        _ => wish.resize,
    }
}

fn missing(device: &str, at: Span) -> Problem {
    let message = format!("{device} is to be kept, and does not exist");
    let cure = "use preserve_lazy to make it where it is missing, or check which disk is meant";
    Problem::error(Code::KeepMissing, at, message, cure)
}

/// Whether blkid(8) means by `found` what mkfs calls `wanted`.
fn is_same_kind(wanted: &str, found: &str) -> bool {
    let family = |name: &str| match name {
        "msdos" | "fat" => "vfat".to_owned(),
        "ntfs-3g" => "ntfs".to_owned(),
        "swsuspend" => "swap".to_owned(),
        other => other.to_owned(),
    };
    family(wanted) == family(found)
}
