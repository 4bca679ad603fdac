//! From a disk_config and a machine to a [`StorageLayout`].

use super::assemble::assemble;
use super::ast::{DiskConfig, DiskStanza, LineKind, VolumeSpec};
use super::check::{check, duplicate_disk};
use super::code::Code;
use super::keep::{Keeping, keep};
use super::machine::{StorageDisk, StorageFacts, partition_device};
use super::names::Names;
use super::numbering::{Content, Numbered, number};
use super::solve::{Extent, Site, place};
use super::source::Problem;
use super::stack::stack;
use super::takedown::take_down;
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::storage::{StorageLayout, TableKind};
use std::collections::BTreeMap;

/// Lays `config` out on a machine. All errors are returned, of [`check`] and of the machine; the
/// warnings of both are left to [`super::examine`].
pub fn layout(config: &DiskConfig, facts: &StorageFacts) -> Result<StorageLayout, Vec<Diagnostic>> {
    let mut errors = check(config);
    let found = lay_out(config, facts);
    if !super::has_error(&errors) {
        errors.extend(found.1);
    }
    errors.retain(|diagnostic| diagnostic.severity == Severity::Error);
    match found.0 {
        Some(layout) if errors.is_empty() => Ok(layout),
        _ => Err(errors),
    }
}

/// Lays out what [`check`] has nothing against, with warnings about this machine. There is a layout
/// unless there is an error.
pub(super) fn lay_out(
    config: &DiskConfig,
    facts: &StorageFacts,
) -> (Option<StorageLayout>, Vec<Diagnostic>) {
    if super::has_error(&check(config)) {
        return (None, Vec::new());
    }
    let mut problems = Vec::new();
    let layout = Architect { config, facts, problems: &mut problems }.lay_out();
    problems.sort_by_key(|problem| problem.at);
    let is_broken = problems.iter().any(|problem| problem.severity == Severity::Error);
    let found = problems.into_iter().map(|problem| config.source.diagnose(problem)).collect();
    (layout.filter(|_| !is_broken), found)
}

/// A stanza on its disk.
pub(super) struct Place<'a> {
    pub stanza: &'a DiskStanza,
    pub disk: &'a StorageDisk,
    pub numbered: Vec<Numbered<'a>>,
    /// Where its partitions are, once they are solved.
    pub extents: BTreeMap<u32, Extent>,
    /// True if the table on the disk stays.
    pub leaves_table: bool,
}

impl Place<'_> {
    /// The node of a partition.
    pub fn device_of(&self, number: u32) -> String {
        partition_device(&self.disk.device(), number)
    }
}

struct Architect<'a, 'b> {
    config: &'a DiskConfig,
    facts: &'a StorageFacts,
    problems: &'b mut Vec<Problem>,
}

impl<'a> Architect<'a, '_> {
    fn lay_out(&mut self) -> Option<StorageLayout> {
        let names = Names::new(self.config, self.facts);
        let mut places = self.places(&names);
        if self.is_broken() {
            return None;
        }
        let stack = stack(self.config, &names, &plain_volumes(&places), self.problems);
        if self.is_broken() {
            return None;
        }
        let keeping = keep(self.facts, &places, &stack, self.problems);
        if self.is_broken() {
            return None;
        }
        for place in &mut places {
            if let Err(problem) = self.solve(place, &keeping) {
                self.problems.push(problem);
            }
        }
        if self.is_broken() {
            return None;
        }
        let mut layout =
            assemble(self.config, self.facts, &places, &stack, &keeping, self.problems);
        if !self.is_broken() {
            take_down(self.config, self.facts, &stack, &mut layout, self.problems);
        }
        Some(layout)
    }

    fn is_broken(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    fn places(&mut self, names: &Names<'a>) -> Vec<Place<'a>> {
        let mut places: Vec<Place<'a>> = Vec::new();
        for stanza in &self.config.disks {
            let disk = match names.disk(&stanza.disk) {
                Ok(disk) => disk,
                Err(problem) => {
                    self.problems.push(problem);
                    continue;
                }
            };
            if let Some(earlier) = places.iter().find(|other| other.disk.name == disk.name) {
                self.problems.push(duplicate_disk(stanza.disk.at, earlier.stanza.disk.at));
                continue;
            }
            let keeps_all = stanza.keep.keeps_all(self.facts.is_first_install);
            let (numbered, _) = number(stanza);
            let leaves_table = stanza.has_foreign_table() || keeps_all;
            places.push(Place { stanza, disk, numbered, extents: BTreeMap::new(), leaves_table });
        }
        places
    }

    fn solve(&mut self, place_on: &mut Place<'_>, keeping: &Keeping<'_>) -> Result<(), Problem> {
        if place_on.leaves_table {
            place_on.extents = self.existing_extents(place_on)?;
            return Ok(());
        }
        let kept = keeping.of_disk(&place_on.disk.device(), &place_on.numbered);
        let cylinders = self.facts.fai_bugs
            && place_on.stanza.table == TableKind::Msdos
            && preserve_class(place_on, keeping, self.facts.is_first_install) == 1;
        if cylinders && place_on.stanza.align_mib.is_none() {
            let message =
                format!("partitions of {} are aligned to cylinders", place_on.disk.device());
            let cure = "leave --fai-bugs away, or write align-at";
            let at = place_on.stanza.disk.at;
            self.problems.push(Problem::warning(Code::CylinderAlignment, at, message, cure));
        }
        let site = Site {
            stanza: place_on.stanza,
            disk: place_on.disk,
            memory_bytes: self.facts.memory_bytes,
            kept: &kept,
            cylinders,
        };
        place_on.extents = place(&site, &place_on.numbered)?;
        for partition in &place_on.numbered {
            self.warn_of_size(place_on, partition, keeping);
        }
        Ok(())
    }

    /// Where the partitions are of a table that stays.
    fn existing_extents(&self, place: &Place<'_>) -> Result<BTreeMap<u32, Extent>, Problem> {
        let mut extents = BTreeMap::new();
        for partition in &place.numbered {
            let device = place.device_of(partition.number);
            let Some((_, existing)) = self.facts.partition(&device) else {
                let message = format!("{device} has to be there already, and does not exist");
                let cure = "make it by hand first, or let Hostwright write the partition table";
                return Err(Problem::error(Code::KeepMissing, partition.at(), message, cure));
            };
            let start = existing.start_bytes;
            let end = start + existing.size_bytes.max(1) - 1;
            extents.insert(partition.number, Extent { start, end });
        }
        Ok(extents)
    }

    /// What is kept keeps its size, whatever the file says.
    fn warn_of_size(&mut self, place: &Place<'_>, partition: &Numbered<'_>, keeping: &Keeping<'_>) {
        let device = place.device_of(partition.number);
        let (Content::Line(line), Some(kept)) =
            (partition.content, keeping.partitions.get(&device))
        else {
            return;
        };
        let range = line.size.value.bytes(place.disk.size_bytes as f64, self.facts.memory_bytes);
        let size = kept.existing.size_bytes as f64;
        if !kept.resize && !(range.min..=range.max).contains(&size) {
            let message = format!("{device} is kept with its size of {size} bytes");
            let cure = "write a range that it is in, or resize it";
            self.problems.push(Problem::warning(Code::KeepSize, line.size.at, message, cure));
        }
    }
}

/// What partitions and whole disks hold by their own lines, by device.
fn plain_volumes<'a>(places: &[Place<'a>]) -> BTreeMap<String, &'a VolumeSpec> {
    let mut volumes = BTreeMap::new();
    for place in places {
        let raw = place.stanza.partitions.iter().filter(|line| line.kind == LineKind::RawDisk);
        volumes.extend(raw.map(|line| (place.disk.device(), &line.volume)));
        let of_lines = place.numbered.iter().filter_map(|partition| match partition.content {
            Content::Line(line) => Some((place.device_of(partition.number), &line.volume)),
            Content::Extended(_) | Content::BiosBoot(_) => None,
        });
        volumes.extend(of_lines);
    }
    volumes
}

/// FAI's idea of how much a disk keeps, which its alignment depends on: 1 once anything must be
/// kept, 2 where it is kept if it is there; what comes last counts.
fn preserve_class(place: &Place<'_>, keeping: &Keeping<'_>, is_first_install: bool) -> u8 {
    use super::keep_options::KeepKind::{Always, AlwaysFormat, Lazy, Reinstall, Resize};
    let mut class = 0;
    for option in &place.stanza.keep.0 {
        match option.kind {
            Always | Resize => class = 1,
            Reinstall if !is_first_install => class = 1,
            Lazy => class = 2,
            Reinstall | AlwaysFormat => {}
        }
    }
    for flag in place.stanza.partitions.iter().filter_map(|line| line.flag.as_ref()) {
        class = if flag.value == Lazy { 2 } else { 1 };
    }
    let wishes = |number: u32| place.stanza.keep.wish(&number, is_first_install);
    let from_above = place.numbered.iter().any(|partition| {
        let own = match partition.content {
            Content::Line(line) => {
                wishes(partition.number).with_flag(line.flag.as_ref(), is_first_install)
            }
            _ => return false,
        };
        let is_kept = keeping.partitions.contains_key(&place.device_of(partition.number));
        is_kept && own.keep.is_none() && own.resize.is_none()
    });
    if from_above { 1 } else { class }
}
