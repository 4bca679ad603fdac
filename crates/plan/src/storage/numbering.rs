//! Which number each partition of a stanza gets.

use super::ast::{DiskStanza, LineKind, PartitionLine, VolumeSpec};
use super::code::Code;
use super::source::{Problem, Span};
use hostwright_model::storage::{PartitionKind, TableKind};

/// A partition with its number, before it has a place.
#[derive(Clone, Debug)]
pub(super) struct Numbered<'a> {
    pub number: u32,
    pub content: Content<'a>,
}

/// Where a partition comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// A line of the stanza.
    Line(&'a PartitionLine),
    /// The extended partition, made for the first logical one, whose line this is.
    Extended(Span),
    /// The partition for GRUB that `gpt-bios` adds.
    BiosBoot(Span),
}

impl Numbered<'_> {
    /// What a partition table calls it.
    pub fn kind(&self) -> PartitionKind {
        match self.content {
            Content::Line(line) => match line.kind {
                LineKind::Partition(kind) => kind,
                LineKind::RawDisk => PartitionKind::Primary,
            },
            Content::Extended(_) => PartitionKind::Extended,
            Content::BiosBoot(_) => PartitionKind::Primary,
        }
    }

    /// What it holds, of a partition with a line of its own.
    pub fn volume(&self) -> Option<&VolumeSpec> {
        match self.content {
            Content::Line(line) => Some(&line.volume),
            Content::Extended(_) | Content::BiosBoot(_) => None,
        }
    }

    /// The line that asks for it.
    pub fn at(&self) -> Span {
        match self.content {
            Content::Line(line) => line.at,
            Content::Extended(at) | Content::BiosBoot(at) => at,
        }
    }
}

/// Slots of a PC partition table.
const PC_PRIMARIES: u32 = 4;

/// Numbers the partitions of a stanza, sorted by number.
///
/// Primaries take the next free number; the first logical makes the extended partition at that
/// number and is itself number 5. The GRUB partition of `gpt-bios` is last in number and first in
/// place, so that it changes no other number. Lines that cannot have a number are left out, and so
/// is `raw-disk`.
pub(super) fn number(stanza: &DiskStanza) -> (Vec<Numbered<'_>>, Vec<Problem>) {
    let mut numbered: Vec<Numbered<'_>> = Vec::new();
    let mut problems = Vec::new();
    let (mut primaries, mut logicals) = (0, PC_PRIMARIES);
    let msdos = stanza.table == TableKind::Msdos;
    let is_limited = msdos && !stanza.is_virtual;
    let full = |primaries: u32| is_limited && primaries == PC_PRIMARIES;
    for line in &stanza.partitions {
        let LineKind::Partition(kind) = line.kind else { continue };
        let logical = kind == PartitionKind::Logical;
        if logical && !msdos {
            problems.push(logical_on_gpt(line));
            continue;
        }
        let needs_primary = !logical || logicals == PC_PRIMARIES;
        if needs_primary && full(primaries) {
            problems.push(too_many(line));
            continue;
        }
        if needs_primary {
            primaries += 1;
            // A virtual disk may have more of them, which then go around the logical ones.
            if primaries > PC_PRIMARIES && msdos {
                primaries = primaries.max(logicals + 1);
            }
        }
        if logical && needs_primary {
            let content = Content::Extended(line.at);
            numbered.push(Numbered { number: primaries, content });
        }
        let number = if logical {
            logicals += 1;
            logicals
        } else {
            primaries
        };
        numbered.push(Numbered { number, content: Content::Line(line) });
    }
    if stanza.table == TableKind::GptBios && !stanza.has_foreign_table() {
        let content = Content::BiosBoot(stanza.disk.at);
        numbered.push(Numbered { number: primaries + 1, content });
    }
    numbered.sort_by_key(|partition| partition.number);
    (numbered, problems)
}

fn logical_on_gpt(line: &PartitionLine) -> Problem {
    let message = "a GPT has no logical partitions";
    let cure = "write primary, or p=NAME to give the partition a name";
    Problem::error(Code::LogicalOnGpt, line.at, message, cure)
}

fn too_many(line: &PartitionLine) -> Problem {
    let (message, cure) = match line.kind {
        LineKind::Partition(PartitionKind::Logical) => (
            "a PC partition table has 4 entries, and none is left for the extended partition",
            "make one of the primary partitions logical, or write disklabel:gpt",
        ),
        _ => (
            "a PC partition table has 4 entries, and this would be the fifth",
            "make some of the partitions logical, or write disklabel:gpt",
        ),
    };
    Problem::error(Code::TooManyPrimaries, line.at, message, cure)
}
