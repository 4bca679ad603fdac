//! PC partition tables with their chain of logical partitions, read from the disk itself.
//!
//! ```text
//! block 0     boot code, 440: identifier, 446: four entries of 16 bytes, 510: 55 aa
//! an entry    80 if active, CHS, type, CHS, first block, number of blocks
//! an extended partition starts with such a block: entry 1 is a logical partition, counted from
//! this block; entry 2 leads to the next such block, counted from the extended partition
//! ```

use super::bytes::{read_vec, u32_at};
use hostwright_model::existing::{ExistingPartition, ExistingTable};
use hostwright_model::storage::PartitionKind;
use std::fs::File;
use std::io;

const IDENTIFIER: usize = 440;
const ENTRIES: usize = 446;
const ENTRY_BYTES: usize = 16;
const MARK: &[u8] = &[0x55, 0xaa];
/// Types of extended partitions: DOS, Windows 95 with LBA, Linux.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// Logical partitions start here.
const LOGICAL_FIRST: u32 = 5;
/// No chain is longer; one that goes on is a circle.
const LOGICAL_MAX: u32 = 128;

/// One used entry, in blocks of the disk.
struct Entry {
    active: bool,
    kind: u8,
    first: u64,
    blocks: u64,
}

/// The table of a disk; `None` if there is none.
pub(super) fn read(
    disk: &File,
    device: &str,
    sector_bytes: u32,
) -> io::Result<Option<ExistingTable>> {
    let sector = u64::from(sector_bytes);
    let Some(block) = table_block(disk, 0, sector)? else { return Ok(None) };
    let id = u32_at(&block, IDENTIFIER).unwrap_or_default();
    let mut table = Table { device, sector, partitions: Vec::new() };
    let mut extended = None;
    for (number, entry) in (1u32..).zip(entries(&block)) {
        let Some(entry) = entry else { continue };
        let is_extended = EXTENDED.contains(&entry.kind);
        let kind = if is_extended { PartitionKind::Extended } else { PartitionKind::Primary };
        if is_extended {
            extended = extended.or(Some(entry.first));
        }
        table.add(number, kind, &entry);
    }
    if let Some(start) = extended {
        table.add_logical(disk, start)?;
    }
    Ok(Some(ExistingTable {
        device: device.to_owned(),
        kind: "dos".to_owned(),
        id: Some(format!("{id:#010x}")),
        partitions: table.partitions,
    }))
}

struct Table<'a> {
    device: &'a str,
    sector: u64,
    partitions: Vec<ExistingPartition>,
}

impl Table<'_> {
    fn add(&mut self, number: u32, kind: PartitionKind, entry: &Entry) {
        self.partitions.push(ExistingPartition {
            number,
            device: super::partition_node(self.device, number),
            kind,
            start_bytes: entry.first * self.sector,
            size_bytes: entry.blocks * self.sector,
            type_code: format!("{:x}", entry.kind),
            name: None,
            uuid: None,
            attributes: None,
            bootable: entry.active,
        });
    }

    /// Follows the chain that begins at block `start`.
    fn add_logical(&mut self, disk: &File, start: u64) -> io::Result<()> {
        let (mut at, mut number) = (start, LOGICAL_FIRST);
        // A link of the chain may be empty and so have no number: its length is what is limited.
        for _ in 0..LOGICAL_MAX {
            let Some(block) = table_block(disk, at, self.sector)? else { break };
            let mut next = None;
            for entry in entries(&block).flatten() {
                if EXTENDED.contains(&entry.kind) {
                    next = next.or(Some(start + entry.first));
                } else {
                    let first = at + entry.first;
                    self.add(number, PartitionKind::Logical, &Entry { first, ..entry });
                    number += 1;
                }
            }
            let Some(next) = next else { break };
            at = next;
        }
        Ok(())
    }
}

fn table_block(disk: &File, block: u64, sector: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(offset) = block.checked_mul(sector) else { return Ok(None) };
    Ok(read_vec(disk, offset, 512)?.filter(|bytes| bytes.ends_with(MARK)))
}

/// The four entries; `None` for one that is not used.
fn entries(block: &[u8]) -> impl Iterator<Item = Option<Entry>> + '_ {
    block[ENTRIES..ENTRIES + 4 * ENTRY_BYTES].chunks_exact(ENTRY_BYTES).map(|entry| {
        let (first, blocks) = (u32_at(entry, 8)?, u32_at(entry, 12)?);
        let (kind, active) = (entry[4], entry[0] == 0x80);
        let used = kind != 0 && blocks > 0;
        used.then(|| Entry { active, kind, first: first.into(), blocks: blocks.into() })
    })
}
