//! The size solver: where on its disk each partition begins and ends, to the byte as FAI does it.
//!
//! Partitions are placed by ascending number, but for logical ones, which come where the extended
//! partition is. A fixed size is taken as it is. A range gets its share of what is left: with `m`
//! and `M` the sums of the lower and upper bounds of it and all partitions still to come, and
//! `left` the bytes up to the end of the disk,
//!
//! ```text
//! size = lower + floor((upper - lower) * ((left - m) / (M - m)))       upper, if M <= left
//! ```
//!
//! and its end is then pulled down to the alignment. That is greedy and not the best for all, but it
//! is what 20 years of disk_configs were written against.
//!
//! A partition that is kept stays where it is, and ends the room of those before it. One that is
//! resized keeps its beginning: FAI grants that to NTFS only, and fails for the others once the
//! table is written.

use super::ast::{DiskStanza, PartitionLine};
use super::code::Code;
use super::machine::{StorageDisk, partition_device};
use super::numbering::{Content, Numbered};
use super::size::{ByteRange, mib_to_bytes};
use super::source::{Problem, Span};
use hostwright_model::size::{ByteSize, MIB};
use hostwright_model::storage::{PartitionKind, TableKind};
use std::collections::BTreeMap;

/// First and last byte of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub start: u64,
    pub end: u64,
}

impl Extent {
    /// Length in bytes.
    pub fn size_bytes(self) -> u64 {
        self.end + 1 - self.start
    }
}

/// Size of the GRUB partition of `gpt-bios`, and where the first partition begins.
const FIRST_MIB: f64 = MIB as f64;
/// Sectors behind the last partition of a GPT: 32 for the second table, one for its header.
const GPT_TAIL_SECTORS: f64 = 33.0;
/// parted(8) takes this geometry for disks that do not tell theirs: 255 heads, 63 sectors a track.
const CYLINDER_SECTORS: f64 = 255.0 * 63.0;
/// What has to stay free before GRUB's partition.
const GRUB_EMBEDDING_SECTORS: f64 = 63.0;
/// What a PC partition table can address with sectors of 512 bytes.
const MSDOS_LIMIT: f64 = (2_u64 << 40) as f64;

/// A partition that exists and is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Where it is.
    pub extent: Extent,
    /// True if it gets another size.
    pub resize: bool,
    /// What asks for it.
    pub at: Span,
}

/// What a stanza is solved for.
pub(super) struct Site<'a> {
    pub stanza: &'a DiskStanza,
    pub disk: &'a StorageDisk,
    pub memory_bytes: u64,
    /// Partitions that are kept, by number.
    pub kept: &'a BTreeMap<u32, Kept>,
    /// True to align partitions to cylinders.
    pub cylinders: bool,
}

/// Places all partitions of a stanza. The key is the partition's number.
pub(super) fn place(
    site: &Site<'_>,
    numbered: &[Numbered<'_>],
) -> Result<BTreeMap<u32, Extent>, Problem> {
    let mut solver = Solver::new(site)?;
    let order = placing_order(numbered);
    if site.stanza.table == TableKind::GptBios {
        solver.place_bios_boot(&order)?;
    }
    for (i, partition) in order.iter().enumerate() {
        let extent = match (partition.content, site.kept.get(&partition.number)) {
            (Content::Line(_), Some(kept)) if !kept.resize => solver.place_kept(partition, kept)?,
            (Content::Line(line), _) => solver.place_one(partition, line, &order[i..])?,
            (Content::BiosBoot(_), _) => continue,
            (Content::Extended(_), _) => match solver.extended_extent() {
                Some(extent) => extent,
                None => continue,
            },
        };
        solver.done.insert(partition.number, extent);
    }
    solver.refuse_overlaps(numbered)?;
    Ok(solver.done)
}

/// Primaries before the extended partition, the logical ones, the extended one, the others.
fn placing_order<'a, 'b>(numbered: &'b [Numbered<'a>]) -> Vec<&'b Numbered<'a>> {
    let extended = numbered
        .iter()
        .find(|partition| matches!(partition.content, Content::Extended(_)))
        .map_or(u32::MAX, |partition| partition.number);
    let mut order: Vec<_> = numbered.iter().collect();
    order.sort_by_key(|partition| match partition.kind() {
        PartitionKind::Logical => (1, partition.number),
        _ if partition.number < extended => (0, partition.number),
        _ => (2, partition.number),
    });
    order
}

struct Solver<'a> {
    site: &'a Site<'a>,
    sector: f64,
    alignment: f64,
    /// Last usable byte.
    last: f64,
    /// First byte behind what is placed.
    next: f64,
    /// What 100 % is.
    base: f64,
    done: BTreeMap<u32, Extent>,
}

impl<'a> Solver<'a> {
    fn new(site: &'a Site<'a>) -> Result<Self, Problem> {
        let sector = f64::from(site.disk.sector_bytes.max(1));
        let alignment = match &site.stanza.align_mib {
            Some(mib) => aligned_to_sectors(mib_to_bytes(mib.value), site.disk, mib.at)?,
            None if site.cylinders => CYLINDER_SECTORS * sector,
            None => sector,
        };
        let tail = match site.stanza.table {
            TableKind::Msdos => 0.0,
            TableKind::Gpt | TableKind::GptBios => GPT_TAIL_SECTORS * sector,
        };
        let last = site.disk.size_bytes as f64 - 1.0 - tail;
        let first = site.kept.get(&1).filter(|kept| !kept.resize);
        let next = first.map_or(FIRST_MIB, |kept| kept.extent.start as f64);
        let base = last + 1.0 - next;
        Ok(Self { site, sector, alignment, last, next, base, done: BTreeMap::new() })
    }

    /// GRUB's partition goes to the first MiB, or into the room before a first partition that is
    /// kept.
    fn place_bios_boot(&mut self, order: &[&Numbered<'_>]) -> Result<(), Problem> {
        let Some(grub) = order.iter().find(|p| matches!(p.content, Content::BiosBoot(_))) else {
            return Ok(());
        };
        let first = self.site.kept.get(&1).filter(|kept| !kept.resize);
        let start = match first {
            None => {
                self.next += FIRST_MIB;
                self.base = self.last + 1.0 - self.next;
                MIB
            }
            Some(kept) => {
                let start = self.next - FIRST_MIB;
                if start <= GRUB_EMBEDDING_SECTORS * self.sector {
                    let message = "there is no room for GRUB's partition before the first one";
                    let cure = "do not keep partition 1, or use a table without gpt-bios";
                    return Err(Problem::error(Code::KeepBlocked, kept.at, message, cure));
                }
                start as u64
            }
        };
        self.done.insert(grub.number, Extent { start, end: start + MIB - 1 });
        Ok(())
    }

    /// A partition that is kept stays where it is.
    fn place_kept(&mut self, partition: &Numbered<'_>, kept: &Kept) -> Result<Extent, Problem> {
        if self.next > kept.extent.start as f64 {
            return Err(self.blocked(partition, kept));
        }
        self.next = kept.extent.end as f64 + 1.0;
        if self.next > self.last + 1.0 {
            let message = "this partition reaches over the end of what the table can describe";
            let cure = "do not keep it, or keep the kind of partition table";
            return Err(Problem::error(Code::KeepBlocked, kept.at, message, cure));
        }
        Ok(kept.extent)
    }

    fn blocked(&self, partition: &Numbered<'_>, kept: &Kept) -> Problem {
        let message = format!(
            "{} begins at {} and is kept, but the partitions before it need the place up to {}",
            partition_device(&self.site.disk.device(), partition.number),
            kept.extent.start,
            self.next,
        );
        let cure = "make the partitions before it smaller, or keep them too";
        Problem::error(Code::KeepBlocked, kept.at, message, cure)
    }

    /// With kept partitions, the gaps that FAI leaves for links between logical partitions may
    /// reach into a neighbour; parted(8) would refuse that in the middle of the work.
    fn refuse_overlaps(&self, numbered: &[Numbered<'_>]) -> Result<(), Problem> {
        for one in numbered {
            for other in numbered.iter().filter(|other| other.number < one.number) {
                let kinds = [one.kind(), other.kind()];
                let nested = kinds.contains(&PartitionKind::Extended)
                    && kinds.contains(&PartitionKind::Logical);
                let (Some(a), Some(b)) = (self.done.get(&one.number), self.done.get(&other.number))
                else {
                    continue;
                };
                if !nested && a.start <= b.end && b.start <= a.end {
                    let message = format!("partitions {} and {} overlap", other.number, one.number);
                    let cure = "keep other partitions, or none";
                    return Err(Problem::error(Code::KeepBlocked, one.at(), message, cure));
                }
            }
        }
        Ok(())
    }

    /// Bytes before a logical partition that hold its link in the chain of tables.
    fn logical_gap(&self) -> f64 {
        (2.0 * self.sector).max(self.alignment)
    }

    fn place_one(
        &mut self,
        partition: &Numbered<'_>,
        line: &PartitionLine,
        to_place: &[&Numbered<'_>],
    ) -> Result<Extent, Problem> {
        let start = match self.site.kept.get(&partition.number) {
            Some(kept) if self.next > kept.extent.start as f64 => {
                return Err(self.blocked(partition, kept));
            }
            Some(kept) => kept.extent.start as f64,
            None => self.start_of(partition),
        };
        if partition.number == 1 {
            self.base = self.last + 1.0 - start;
        }
        let range = self.range(line)?;
        let wanted = match range.min == range.max {
            true => range.min,
            false => self.share(partition, range, start, to_place)?,
        };
        let unaligned = start + wanted - 1.0;
        let end = unaligned - remainder(unaligned + 1.0, self.alignment) as f64;
        let size = end - start + 1.0;
        self.check(line, start, size)?;
        self.next = end + 1.0;
        Ok(Extent { start: start as u64, end: end as u64 })
    }

    fn start_of(&self, partition: &Numbered<'_>) -> f64 {
        align_up(self.next + self.link_bytes(partition), self.alignment)
    }

    /// Bytes right before a logical partition that describe it.
    fn link_bytes(&self, partition: &Numbered<'_>) -> f64 {
        match partition.kind() {
            PartitionKind::Logical => 2.0 * self.sector,
            _ => 0.0,
        }
    }

    /// The bounds of a volume in bytes.
    fn range(&self, line: &PartitionLine) -> Result<ByteRange, Problem> {
        let range = line.size.value.bytes(self.base, self.site.memory_bytes);
        if range.min > self.base {
            return Err(self.no_room(line, range.min, self.base));
        }
        if range.max < range.min {
            return Err(inverted(line, range));
        }
        Ok(range)
    }

    /// The size of a volume with a range: its share of what is left.
    fn share(
        &self,
        partition: &Numbered<'_>,
        range: ByteRange,
        start: f64,
        to_place: &[&Numbered<'_>],
    ) -> Result<f64, Problem> {
        let (room, end_of_room) = self.room(partition, to_place);
        let left = end_of_room - start + 1.0;
        let (mut min_sum, mut max_sum) = (0.0, 0.0);
        for other in room {
            let bounds = match other.content {
                Content::Extended(_) => continue,
                // FAI counts it although its place is taken already.
                Content::BiosBoot(_) => ByteRange { min: FIRST_MIB, max: FIRST_MIB },
                Content::Line(line) => self.range(line)?,
            };
            let another = other.number != partition.number;
            let gap = match other.kind() {
                PartitionKind::Logical if another => self.logical_gap(),
                _ => 0.0,
            };
            min_sum += bounds.min + gap;
            max_sum += bounds.max + gap;
            if let (true, Content::Line(line)) = (min_sum > left, other.content) {
                let room = left - (min_sum - bounds.min);
                return Err(self.no_room(line, bounds.min, room));
            }
        }
        if min_sum > left {
            return Err(self.too_small(partition.at(), start + min_sum));
        }
        Ok(match max_sum > left {
            true => {
                let factor = (left - min_sum) / (max_sum - min_sum);
                ((range.max - range.min) * factor).floor() + range.min
            }
            false => range.max,
        })
    }

    /// The partitions that share the room with this one, and the last byte of the room: up to the
    /// next partition that is kept, or to the end of the disk.
    fn room<'b, 'c>(
        &self,
        partition: &Numbered<'_>,
        to_place: &'c [&'b Numbered<'b>],
    ) -> (&'c [&'b Numbered<'b>], f64) {
        let is_end = |other: &&Numbered<'_>| {
            other.number != partition.number && self.site.kept.contains_key(&other.number)
        };
        let Some(end) = to_place.iter().position(is_end) else { return (to_place, self.last) };
        let kept = &self.site.kept[&to_place[end].number];
        // One byte too many, as in FAI; the alignment takes it off again.
        (&to_place[..end], kept.extent.start as f64 - self.link_bytes(to_place[end]))
    }

    fn check(&self, line: &PartitionLine, start: f64, size: f64) -> Result<(), Problem> {
        let at = line.size.at;
        if size < self.sector {
            let message = "this partition would be empty";
            let cure = format!("give it at least {}", ByteSize(self.alignment as u64).rounded());
            return Err(Problem::error(Code::EmptyPartition, at, message, cure));
        }
        if start + size > self.last + 1.0 {
            return Err(self.no_room(line, size, self.last + 1.0 - start));
        }
        if self.site.stanza.table == TableKind::Msdos && size > MSDOS_LIMIT {
            let size = rounded(size);
            let message =
                format!("this partition would have {size}, and a PC partition table ends at 2 TiB");
            let cure = "write disklabel:gpt (disklabel:gpt-bios for BIOS machines) or less than 2T";
            return Err(Problem::error(Code::PartitionOver2Tib, at, message, cure));
        }
        Ok(())
    }

    fn extended_extent(&self) -> Option<Extent> {
        let mut logical = self.done.range(5..).map(|(_, extent)| extent);
        let (first, last) = (logical.next()?, logical.next_back());
        // With a large alignment FAI lets it begin at byte 0, or inside the partition before it.
        let floor = self.done.range(..5).map(|(_, extent)| extent.end + 1);
        let floor = floor.filter(|end| *end < first.start).max().unwrap_or(0).max(MIB);
        Some(Extent {
            start: first.start.saturating_sub(self.logical_gap() as u64).max(floor),
            end: last.unwrap_or(first).end,
        })
    }

    fn no_room(&self, line: &PartitionLine, needed: f64, left: f64) -> Problem {
        let message = format!(
            "{} needs {}, and {} has {} left for it",
            super::describe(&line.volume),
            rounded(needed),
            self.site.disk.device(),
            rounded(left.max(0.0)),
        );
        let cure = self.cure(needed - left);
        Problem::error(Code::DiskTooSmall, line.size.at, message, cure)
    }

    fn too_small(&self, at: Span, needed: f64) -> Problem {
        let message =
            format!("{} is too small: {} bytes are needed", self.site.disk.device(), needed.ceil());
        Problem::error(Code::DiskTooSmall, at, message, self.cure(needed - self.last))
    }

    fn cure(&self, missing: f64) -> String {
        let size = ByteSize(self.site.disk.size_bytes).rounded();
        let larger = (self.site.disk.size_bytes as f64 + missing) / FIRST_MIB;
        format!("ask for less, or use a disk of {} MiB or more; this one has {size}", larger.ceil())
    }
}

fn aligned_to_sectors(bytes: f64, disk: &StorageDisk, at: Span) -> Result<f64, Problem> {
    let sector = disk.sector_bytes.max(1);
    if bytes >= 1.0 && (bytes as u64).is_multiple_of(u64::from(sector)) {
        return Ok(bytes);
    }
    let message = format!("the sectors of {} have {sector} bytes", disk.device());
    let cure = format!("write a multiple of {sector}B, such as align-at:1M");
    Err(Problem::error(Code::BadAlignment, at, message, cure))
}

fn inverted(line: &PartitionLine, range: ByteRange) -> Problem {
    let message = format!(
        "the upper bound of this size is {} here, below its lower bound of {}",
        rounded(range.max),
        rounded(range.min),
    );
    let cure = "write the smaller size first, or leave the upper one out";
    Problem::error(Code::InvertedRange, line.size.at, message, cure)
}

fn rounded(bytes: f64) -> String {
    ByteSize(bytes.ceil() as u64).rounded()
}

/// The next multiple of `step`. A fraction, from a share of the memory, is kept and not counted:
/// that is how Perl's `%` works, and the byte it costs later on must be the same.
fn align_up(bytes: f64, step: f64) -> f64 {
    match remainder(bytes, step) {
        0 => bytes,
        over => bytes + (step - over as f64),
    }
}

fn remainder(bytes: f64, step: f64) -> u64 {
    bytes as u64 % (step as u64).max(1)
}
