//! RAID members, known by the superblocks that md(4) keeps on them.
//!
//! Read from the devices and not asked of mdadm(8): an array that does not run is seen as well as
//! one that does, and nothing is started by looking.
//!
//! ```text
//! 0.90  4 KiB at the last whole 64 KiB before the end; words in the order of the machine
//! 1.0   8 to 12 KiB before the end, on 4 KiB      1.1  at the start      1.2  4 KiB from the start
//! ```

use super::bytes::{array_at, read_vec, u32_at, u64_at};
use hostwright_model::storage::RaidLevel;
use std::fs::File;
use std::io;

const MAGIC: u32 = 0xa92b_4efc;
const SECTOR_BYTES: u64 = 512;
const SUPERBLOCK_BYTES: usize = 4096;
const OLD_ALIGN_BYTES: u64 = 64 * 1024;
/// Where the list of roles begins; what is in front of it and the list are under the checksum.
const ROLES: usize = 256;
/// More devices than one superblock has room for.
const DEVICES_MAX: u32 = 1920;

/// What one member says of its array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// As mdadm(8) prints it.
    pub(super) uuid: String,
    pub(super) name: Option<String>,
    pub(super) level: Option<RaidLevel>,
    pub(super) metadata: String,
    pub(super) wanted_devices: u32,
    /// What this member gives to the array.
    pub(super) data_bytes: u64,
    pub(super) chunk_bytes: u64,
    /// How many copies there are of each block of a RAID 10.
    pub(super) copies: u64,
}

impl Member {
    /// Size of the array that such members make, where it can be told.
    pub(super) fn array_bytes(&self, members: &[&Self]) -> Option<u64> {
        let devices = u64::from(self.wanted_devices);
        let whole_chunks = |bytes: u64| bytes / self.chunk_bytes.max(1) * self.chunk_bytes.max(1);
        let of_data = |devices: u64| self.data_bytes.checked_mul(devices);
        match self.level? {
            RaidLevel::Raid0 if members.len() as u64 == devices => {
                Some(members.iter().map(|member| whole_chunks(member.data_bytes)).sum())
            }
            RaidLevel::Raid0 => None,
            RaidLevel::Raid1 => Some(self.data_bytes),
            RaidLevel::Raid5 => of_data(devices.checked_sub(1)?),
            RaidLevel::Raid6 => of_data(devices.checked_sub(2)?),
            RaidLevel::Raid10 => of_data(devices)?.checked_div(self.copies),
        }
    }
}

/// Every superblock of a device: a device can have one of an earlier life beside its own.
pub(super) fn read(device: &File, size_bytes: u64) -> io::Result<Vec<Member>> {
    let sectors = size_bytes / SECTOR_BYTES;
    let at_end = (sectors.saturating_sub(16) & !7) * SECTOR_BYTES;
    let mut found = Vec::new();
    for (minor, offset) in [(0, at_end), (1, 0), (2, 4096)] {
        if let Some(block) = read_vec(device, offset, SUPERBLOCK_BYTES)? {
            found.extend(version_1(&block, minor, offset));
        }
    }
    if let Some(block) = (size_bytes / OLD_ALIGN_BYTES).checked_sub(1) {
        let block = read_vec(device, block * OLD_ALIGN_BYTES, SUPERBLOCK_BYTES)?;
        found.extend(block.and_then(|block| version_0(&block)));
    }
    Ok(found)
}

/// Version 1 (Linux, include/uapi/linux/raid/md_p.h, `struct mdp_superblock_1`); little-endian.
fn version_1(block: &[u8], minor: u8, offset: u64) -> Option<Member> {
    let is_whole = u32_at(block, 0)? == MAGIC
        && u32_at(block, 4)? == 1
        // A partition at the end of a disk: the superblock belongs to where it says that it is.
        && u64_at(block, 144)? == offset / SECTOR_BYTES
        && u32_at(block, 216)? == checksum(block)?;
    if !is_whole {
        return None;
    }
    let uuid: [u8; 16] = array_at(block, 16)?;
    let words: Vec<String> = uuid
        .chunks_exact(4)
        .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    let name: [u8; 32] = array_at(block, 32)?;
    let name = String::from_utf8_lossy(&name);
    let name = name.split('\0').next().unwrap_or_default();
    let level = level(u32_at(block, 72)?.cast_signed());
    // RAID 0 has no common size: each member gives what it has.
    let size = if level == Some(RaidLevel::Raid0) { 136 } else { 80 };
    Some(Member {
        uuid: words.join(":"),
        name: (!name.is_empty()).then(|| name.to_owned()),
        level,
        metadata: format!("1.{minor}"),
        wanted_devices: u32_at(block, 92)?,
        data_bytes: u64_at(block, size)?.checked_mul(SECTOR_BYTES)?,
        chunk_bytes: u64::from(u32_at(block, 88)?) * SECTOR_BYTES,
        copies: copies(u32_at(block, 76)?),
    })
}

fn checksum(block: &[u8]) -> Option<u32> {
    let devices = u32_at(block, 220).filter(|devices| *devices <= DEVICES_MAX)?;
    let mut bytes = block.get(..ROLES + 2 * devices as usize)?.to_vec();
    bytes[216..220].fill(0);
    let words = bytes.chunks(4).map(|word| {
        let mut full = [0; 4];
        full[..word.len()].copy_from_slice(word);
        u64::from(u32::from_le_bytes(full))
    });
    let sum: u64 = words.sum();
    Some((sum as u32).wrapping_add((sum >> 32) as u32))
}

/// Version 0.90 (the same header of Linux, `mdp_super_t`), in the order of this machine.
fn version_0(block: &[u8]) -> Option<Member> {
    const OLD_DEVICES_MAX: u32 = 27;
    let word = |number: usize| array_at(block, number * 4).map(u32::from_ne_bytes);
    let wanted_devices = word(10)?;
    if word(0)? != MAGIC || word(1)? != 0 || wanted_devices > OLD_DEVICES_MAX {
        return None;
    }
    let uuid = [5, 13, 14, 15].map(|number| format!("{:08x}", word(number).unwrap_or_default()));
    Some(Member {
        uuid: uuid.join(":"),
        name: None,
        level: level(word(7)?.cast_signed()),
        metadata: "0.90".to_owned(),
        wanted_devices,
        data_bytes: u64::from(word(8)?) * 1024,
        chunk_bytes: u64::from(word(65)?),
        copies: copies(word(64)?),
    })
}

fn level(number: i32) -> Option<RaidLevel> {
    Some(match number {
        0 => RaidLevel::Raid0,
        1 => RaidLevel::Raid1,
        5 => RaidLevel::Raid5,
        6 => RaidLevel::Raid6,
        10 => RaidLevel::Raid10,
        _ => return None,
    })
}

/// The layout of a RAID 10: near copies in the lowest byte, far ones in the next.
fn copies(layout: u32) -> u64 {
    u64::from(layout & 0xff) * u64::from(layout >> 8 & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    const SIZE: u64 = 8 << 20;

    fn superblock(offset: u64, level: u32) -> Vec<u8> {
        let mut block = vec![0; SUPERBLOCK_BYTES];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC.to_le_bytes());
        put(4, &1u32.to_le_bytes());
        put(16, &(0u8..16).collect::<Vec<_>>());
        put(32, b"host:data");
        put(72, &level.to_le_bytes());
        put(76, &0x102u32.to_le_bytes());
        put(80, &2048u64.to_le_bytes());
        put(92, &4u32.to_le_bytes());
        put(144, &(offset / SECTOR_BYTES).to_le_bytes());
        put(220, &3u32.to_le_bytes());
        let sum = checksum(&block).unwrap();
        block[216..220].copy_from_slice(&sum.to_le_bytes());
        block
    }

    fn device(places: &[(u64, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(SIZE).unwrap();
        for (offset, bytes) in places {
            file.as_file().write_all_at(bytes, *offset).unwrap();
        }
        file
    }

    #[test]
    fn superblocks_are_found_at_both_ends() {
        let (start, end) = (superblock(4096, 10), superblock(SIZE - 8192, 1));
        let file = device(&[(4096, &start), (SIZE - 8192, &end)]);
        let [old, new] = &read(file.as_file(), SIZE).unwrap()[..] else { panic!("not two") };
        assert_eq!((old.metadata.as_str(), new.metadata.as_str()), ("1.0", "1.2"));
        assert_eq!(new.uuid, "00010203:04050607:08090a0b:0c0d0e0f");
        assert_eq!((new.name.as_deref(), new.level), (Some("host:data"), Some(RaidLevel::Raid10)));
        assert_eq!(new.array_bytes(&[]), Some(2 << 20), "two copies on four devices of 1 MiB");
        assert_eq!(old.array_bytes(&[]), Some(1 << 20));
    }

    #[test]
    fn what_belongs_to_another_place_or_is_damaged_is_no_member() {
        let block = superblock(SIZE - 8192, 1);
        assert_eq!(read(device(&[(4096, &block)]).as_file(), SIZE).unwrap(), []);
        let mut damaged = superblock(4096, 1);
        damaged[100] ^= 1;
        assert_eq!(read(device(&[(4096, &damaged)]).as_file(), SIZE).unwrap(), []);
    }

    #[test]
    fn the_old_kind_is_read_too() {
        let mut block = vec![0; SUPERBLOCK_BYTES];
        let words = [(0, MAGIC), (5, 0xa1), (7, 5), (8, 1024), (10, 3), (13, 0xb2), (15, 0xd4)];
        for (number, word) in words {
            block[number * 4..number * 4 + 4].copy_from_slice(&u32::to_ne_bytes(word));
        }
        let file = device(&[(SIZE - OLD_ALIGN_BYTES, &block)]);
        let [member] = &read(file.as_file(), SIZE).unwrap()[..] else { panic!("not one") };
        assert_eq!(member.uuid, "000000a1:000000b2:00000000:000000d4");
        assert_eq!((member.metadata.as_str(), member.array_bytes(&[])), ("0.90", Some(2 << 20)));
    }
}
