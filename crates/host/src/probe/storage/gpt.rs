//! GUID partition tables, read from the disk itself (UEFI specification, chapter 5).
//!
//! ```text
//! block 1    "EFI PART" revision size crc32 … first and last usable, GUID, entries: place, number,
//!            size, crc32
//! block 2…   entries: type GUID, own GUID, first block, last block, attributes, name (UTF-16)
//! last block the same header again, its entries in front of it
//! ```

use super::bytes::{array_at, read_vec, u32_at, u64_at};
use hostwright_model::existing::{ExistingPartition, ExistingTable};
use hostwright_model::storage::PartitionKind;
use std::fs::File;
use std::io;

const MAGIC: &[u8] = b"EFI PART";
const HEADER_BYTES_MIN: usize = 92;
/// Where the header's own checksum stands; it counts as zeros.
const HEADER_CRC: std::ops::Range<usize> = 16..20;
const ENTRY_BYTES_MIN: usize = 128;
/// What a table may take at most: far more than the 16 KiB that every program writes.
const ENTRIES_BYTES_MAX: usize = 1 << 20;
/// What mixes the bits of the checksum (CRC-32 of IEEE 802.3, reflected).
const CRC_POLYNOMIAL: u32 = 0xedb8_8320;

/// Type of the entry of a PC table that protects a GPT, and where the types of its entries stand.
const PROTECTIVE: u8 = 0xee;
const PC_TYPES: [usize; 4] = [450, 466, 482, 498];

/// The table of a disk; `None` if neither of its copies is whole. Without the protective PC table a
/// GPT is what an earlier life left behind: Linux and sfdisk(8) pass over it as well.
pub(super) fn read(
    disk: &File,
    device: &str,
    size_bytes: u64,
    sector_bytes: u32,
) -> io::Result<Option<ExistingTable>> {
    let sector = u64::from(sector_bytes);
    let protects = |block: Vec<u8>| PC_TYPES.iter().any(|at| block[*at] == PROTECTIVE);
    if !read_vec(disk, 0, 512)?.is_some_and(protects) {
        return Ok(None);
    }
    let last = (size_bytes / sector).saturating_sub(1);
    for block in [1, last] {
        if let Some(table) = read_copy(disk, device, block, sector)? {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

fn read_copy(
    disk: &File,
    device: &str,
    block: u64,
    sector: u64,
) -> io::Result<Option<ExistingTable>> {
    let Some(header) = read_vec(disk, block * sector, sector as usize)? else { return Ok(None) };
    let Some(place) = entries_place(&header, block) else { return Ok(None) };
    let Some(start) = place.block.checked_mul(sector) else { return Ok(None) };
    let Some(entries) = read_vec(disk, start, place.length)? else { return Ok(None) };
    if crc32(&entries) != place.crc {
        return Ok(None);
    }
    let entries = entries.chunks_exact(place.entry_bytes).zip(1u32..);
    let partitions = entries.filter_map(|(entry, number)| partition(entry, number, device, sector));
    Ok(Some(ExistingTable {
        device: device.to_owned(),
        kind: "gpt".to_owned(),
        id: array_at(&header, 56).map(guid),
        partitions: partitions.collect(),
    }))
}

struct EntriesPlace {
    block: u64,
    length: usize,
    entry_bytes: usize,
    crc: u32,
}

/// Where a header says its entries are; `None` if it is none, or a broken one.
fn entries_place(header: &[u8], block: u64) -> Option<EntriesPlace> {
    let size = u32_at(header, 12)? as usize;
    let mut own = header.get(..size).filter(|_| size >= HEADER_BYTES_MIN)?.to_vec();
    own[HEADER_CRC].fill(0);
    let whole = header.starts_with(MAGIC)
        && u32_at(header, HEADER_CRC.start)? == crc32(&own)
        && u64_at(header, 24)? == block;
    let (number, entry_bytes) = (u32_at(header, 80)? as usize, u32_at(header, 84)? as usize);
    let length = number.checked_mul(entry_bytes)?;
    let sane = whole && entry_bytes >= ENTRY_BYTES_MIN && length <= ENTRIES_BYTES_MAX;
    let (block, crc) = (u64_at(header, 72)?, u32_at(header, 88)?);
    sane.then_some(EntriesPlace { block, length, entry_bytes, crc })
}

/// `None` for an entry that is not used.
fn partition(entry: &[u8], number: u32, disk: &str, sector: u64) -> Option<ExistingPartition> {
    let kind: [u8; 16] = array_at(entry, 0)?;
    let (first, last) = (u64_at(entry, 32)?, u64_at(entry, 40)?);
    let blocks = last.checked_sub(first)?.checked_add(1)?;
    if kind == [0; 16] {
        return None;
    }
    Some(ExistingPartition {
        number,
        device: super::partition_node(disk, number),
        kind: PartitionKind::Primary,
        start_bytes: first.checked_mul(sector)?,
        size_bytes: blocks.checked_mul(sector)?,
        type_code: guid(kind),
        name: name(entry.get(56..ENTRY_BYTES_MIN)?),
        uuid: array_at(entry, 16).map(guid),
        attributes: attributes(u64_at(entry, 48)?),
        bootable: false,
    })
}

/// The first three fields of a GUID are little-endian, the others are not.
fn guid(b: [u8; 16]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let turned = |bytes: &[u8]| hex(&bytes.iter().rev().copied().collect::<Vec<u8>>());
    let (a, second, third) = (turned(&b[..4]), turned(&b[4..6]), turned(&b[6..8]));
    format!("{a}-{second}-{third}-{}-{}", hex(&b[8..10]), hex(&b[10..]))
}

fn name(utf16: &[u8]) -> Option<String> {
    let units = utf16.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    (!units.is_empty()).then(|| String::from_utf16_lossy(&units))
}

/// As `sfdisk --dump` writes them.
fn attributes(bits: u64) -> Option<String> {
    /// The bits that the specification names; the others up to 47 are reserved.
    const NAMED: [(u32, &str); 3] =
        [(0, "RequiredPartition"), (1, "NoBlockIOProtocol"), (2, "LegacyBIOSBootable")];
    let is_set = |bit: u32| bits & (1 << bit) != 0;
    let named = NAMED.iter().filter(|(bit, _)| is_set(*bit)).map(|(_, name)| (*name).to_owned());
    let mut words: Vec<String> = named.collect();
    // These belong to the type of the partition.
    let own: Vec<String> = (48..64).filter(|bit| is_set(*bit)).map(|bit| bit.to_string()).collect();
    if !own.is_empty() {
        words.push(format!("GUID:{}", own.join(",")));
    }
    (!words.is_empty()).then(|| words.join(" "))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mixed = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (CRC_POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    });
    !mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The check value that every catalogue of CRCs gives for CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn attributes_are_written_as_sfdisk_does() {
        assert_eq!(attributes(0), None);
        let all = attributes(0b101 | 1 << 59 | 1 << 63);
        assert_eq!(all.as_deref(), Some("RequiredPartition LegacyBIOSBootable GUID:59,63"));
    }
}
