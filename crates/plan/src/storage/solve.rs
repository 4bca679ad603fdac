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

use super::ast::{DiskStanza, VolumeSpec};
use super::code::Code;
use super::machine::StorageDisk;
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
/// What a PC partition table can address with sectors of 512 bytes.
const MSDOS_LIMIT: f64 = (2_u64 << 40) as f64;

/// Places all partitions of a stanza. The key is the partition's number.
pub(super) fn place(
    stanza: &DiskStanza,
    numbered: &[Numbered<'_>],
    disk: &StorageDisk,
    memory_bytes: u64,
) -> Result<BTreeMap<u32, Extent>, Problem> {
    let mut solver = Solver::new(stanza, disk, memory_bytes)?;
    let order = placing_order(numbered);
    if stanza.table == TableKind::GptBios {
        solver.next += FIRST_MIB;
        solver.base = solver.last + 1.0 - solver.next;
    }
    for (i, partition) in order.iter().enumerate() {
        match partition.content {
            Content::Line(line) => {
                let extent = solver.place_one(partition, &line.volume, &order[i..])?;
                solver.done.insert(partition.number, extent);
            }
            Content::BiosBoot(_) => {
                let extent = Extent { start: MIB, end: 2 * MIB - 1 };
                solver.done.insert(partition.number, extent);
            }
            Content::Extended(_) => solver.place_extended(partition.number),
        }
    }
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
    disk: &'a StorageDisk,
    memory_bytes: u64,
    table: TableKind,
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
    fn new(stanza: &DiskStanza, disk: &'a StorageDisk, memory_bytes: u64) -> Result<Self, Problem> {
        let sector = f64::from(disk.sector_bytes.max(1));
        let alignment = match &stanza.align_mib {
            None => sector,
            Some(mib) => aligned_to_sectors(mib_to_bytes(mib.value), disk, mib.at)?,
        };
        let tail = match stanza.table {
            TableKind::Msdos => 0.0,
            TableKind::Gpt | TableKind::GptBios => GPT_TAIL_SECTORS * sector,
        };
        let last = disk.size_bytes as f64 - 1.0 - tail;
        let next = FIRST_MIB;
        let base = last + 1.0 - next;
        let (table, done) = (stanza.table, BTreeMap::new());
        Ok(Self { disk, memory_bytes, table, sector, alignment, last, next, base, done })
    }

    /// Bytes before a logical partition that hold its link in the chain of tables.
    fn logical_gap(&self) -> f64 {
        (2.0 * self.sector).max(self.alignment)
    }

    fn place_one(
        &mut self,
        partition: &Numbered<'_>,
        volume: &VolumeSpec,
        to_place: &[&Numbered<'_>],
    ) -> Result<Extent, Problem> {
        let start = self.start_of(partition);
        if partition.number == 1 {
            self.base = self.last + 1.0 - start;
        }
        let range = self.range(volume)?;
        let wanted = match range.min == range.max {
            true => range.min,
            false => self.share(partition, range, start, to_place)?,
        };
        let unaligned = start + wanted - 1.0;
        let end = unaligned - remainder(unaligned + 1.0, self.alignment) as f64;
        let size = end - start + 1.0;
        self.check(volume, start, size)?;
        self.next = end + 1.0;
        Ok(Extent { start: start as u64, end: end as u64 })
    }

    fn start_of(&self, partition: &Numbered<'_>) -> f64 {
        let gap = match partition.kind() {
            PartitionKind::Logical => 2.0 * self.sector,
            _ => 0.0,
        };
        align_up(self.next + gap, self.alignment)
    }

    /// The bounds of a volume in bytes.
    fn range(&self, volume: &VolumeSpec) -> Result<ByteRange, Problem> {
        let range = volume.size.value.bytes(self.base, self.memory_bytes);
        if range.min > self.base {
            return Err(self.no_room(volume, range.min, self.base));
        }
        if range.max < range.min {
            return Err(inverted(volume, range));
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
        let left = self.last - start + 1.0;
        let (mut min_sum, mut max_sum) = (0.0, 0.0);
        for other in to_place {
            let bounds = match other.content {
                Content::Extended(_) => continue,
                // FAI counts it although its place is taken already.
                Content::BiosBoot(_) => ByteRange { min: FIRST_MIB, max: FIRST_MIB },
                Content::Line(line) => self.range(&line.volume)?,
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
                return Err(self.no_room(&line.volume, bounds.min, room));
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

    fn check(&self, volume: &VolumeSpec, start: f64, size: f64) -> Result<(), Problem> {
        if size < self.sector {
            let message = "this partition would be empty";
            let cure = format!("give it at least {}", ByteSize(self.alignment as u64).rounded());
            return Err(Problem::error(Code::EmptyPartition, volume.size.at, message, cure));
        }
        if start + size > self.last + 1.0 {
            return Err(self.no_room(volume, size, self.last + 1.0 - start));
        }
        if self.table == TableKind::Msdos && size > MSDOS_LIMIT {
            let size = rounded(size);
            let message =
                format!("this partition would have {size}, and a PC partition table ends at 2 TiB");
            let cure = "write disklabel:gpt (disklabel:gpt-bios for BIOS machines) or less than 2T";
            return Err(Problem::error(Code::PartitionOver2Tib, volume.size.at, message, cure));
        }
        Ok(())
    }

    fn place_extended(&mut self, number: u32) {
        let mut logical = self.done.range(5..).map(|(_, extent)| extent);
        let (Some(first), last) = (logical.next(), logical.next_back()) else { return };
        let extent = Extent {
            // With a large align-at FAI lets it begin at byte 0, and parted refuses it.
            start: (first.start - self.logical_gap() as u64).max(MIB),
            end: last.unwrap_or(first).end,
        };
        self.done.insert(number, extent);
    }

    fn no_room(&self, volume: &VolumeSpec, needed: f64, left: f64) -> Problem {
        let message = format!(
            "{} needs {}, and {} has {} left for it",
            super::describe(volume),
            rounded(needed),
            self.disk.device(),
            rounded(left.max(0.0)),
        );
        let cure = self.cure(needed - left);
        Problem::error(Code::DiskTooSmall, volume.size.at, message, cure)
    }

    fn too_small(&self, at: Span, needed: f64) -> Problem {
        let message =
            format!("{} is too small: {} bytes are needed", self.disk.device(), needed.ceil());
        Problem::error(Code::DiskTooSmall, at, message, self.cure(needed - self.last))
    }

    fn cure(&self, missing: f64) -> String {
        let size = ByteSize(self.disk.size_bytes).rounded();
        let larger = (self.disk.size_bytes as f64 + missing) / FIRST_MIB;
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

fn inverted(volume: &VolumeSpec, range: ByteRange) -> Problem {
    let message = format!(
        "the upper bound of this size is {} here, below its lower bound of {}",
        rounded(range.max),
        rounded(range.min),
    );
    let cure = "write the smaller size first, or leave the upper one out";
    Problem::error(Code::InvertedRange, volume.size.at, message, cure)
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
