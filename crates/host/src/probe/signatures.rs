//! Tells what is on a disk by the bytes that file systems and partition tables put at fixed places.
//!
//! A table instead of blkid(8): probing must work in the small initramfs, and only the names are
//! wanted. The names are blkid's.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What [`of_device`] says of a disk that answers with an error instead of data: it must not look
/// blank.
const UNREADABLE: &str = "unreadable";

/// Byte strings at fixed places: name, offset, bytes.
const MAGICS: [(&str, u64, &[u8]); 18] = [
    ("LVM2_member", 512 + 24, b"LVM2 001"),
    ("crypto_LUKS", 0, b"LUKS\xba\xbe"),
    ("linux_raid_member", 0, b"\xfc\x4e\x2b\xa9"),
    ("linux_raid_member", 4096, b"\xfc\x4e\x2b\xa9"),
    ("xfs", 0, b"XFSB"),
    ("btrfs", 65536 + 64, b"_BHRfS_M"),
    ("f2fs", 1024, b"\x10\x20\xf5\xf2"),
    ("squashfs", 0, b"hsqs"),
    ("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
    ("iso9660", 32769, b"CD001"),
    ("swap", 4096 - 10, b"SWAPSPACE2"),
    ("bcache", 4096 + 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca"),
    ("vfat", 54, b"FAT12   "),
    ("vfat", 54, b"FAT16   "),
    ("vfat", 82, b"FAT32   "),
    ("ntfs", 3, b"NTFS    "),
    ("exfat", 3, b"EXFAT   "),
    ("reiserfs", 65536 + 52, b"ReIsEr2Fs"),
];

/// Types of partition whose table entry proves a PC partition table; see [`dos_table`].
const DOS_ENTRIES: usize = 446;
const DOS_ENTRY_BYTES: usize = 16;
/// md's superblock of versions 0.90 and 1.0 is at the end, on a boundary of this size.
const MD_ALIGN_BYTES: u64 = 64 * 1024;

/// Names of everything found on a device node; empty for a blank disk, and for a node that does not
/// exist, as in a recorded machine.
pub(super) fn of_device(node: &Path, size_bytes: u64, sector_bytes: u32) -> Vec<String> {
    let found = match File::open(node) {
        Ok(device) => of(&device, size_bytes, sector_bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => Err(error),
    };
    let names = found.unwrap_or_else(|_| vec![UNREADABLE]);
    names.into_iter().map(str::to_owned).collect()
}

fn of(device: &File, size_bytes: u64, sector_bytes: u32) -> io::Result<Vec<&'static str>> {
    let mut names = Vec::new();
    let has_gpt = matches_at(device, u64::from(sector_bytes), b"EFI PART")?;
    if has_gpt {
        names.push("gpt");
    }
    for (name, offset, bytes) in MAGICS {
        if matches_at(device, offset, bytes)? && !names.contains(&name) {
            names.push(name);
        }
    }
    if has_md_at_end(device, size_bytes)? && !names.contains(&"linux_raid_member") {
        names.push("linux_raid_member");
    }
    names.extend(ext(device)?);
    let is_fat_like = names.iter().any(|name| ["vfat", "ntfs", "exfat"].contains(name));
    if !has_gpt && !is_fat_like && dos_table(device)? {
        names.insert(0, "dos");
    }
    Ok(names)
}

/// Reads what is there; a disk may be shorter than the place of a magic.
fn read_at<const N: usize>(device: &File, offset: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match device.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn matches_at(device: &File, offset: u64, magic: &[u8]) -> io::Result<bool> {
    let found: Option<[u8; 16]> = read_at(device, offset)?;
    Ok(found.is_some_and(|found| found.starts_with(magic)))
}

fn has_md_at_end(device: &File, size_bytes: u64) -> io::Result<bool> {
    let magic = b"\xfc\x4e\x2b\xa9";
    // 0.90: the last whole 64 KiB before the end. 1.0: 8 to 12 KiB before the end, on 4 KiB.
    let old = (size_bytes / MD_ALIGN_BYTES).checked_sub(1).map(|block| block * MD_ALIGN_BYTES);
    let new = size_bytes.checked_sub(8 * 1024).map(|at| at / 4096 * 4096);
    for offset in [old, new].into_iter().flatten() {
        if matches_at(device, offset, magic)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The ext family shares its magic; features tell the members apart (Linux,
/// Documentation/filesystems/ext4/super.rst).
fn ext(device: &File) -> io::Result<Option<&'static str>> {
    const SUPERBLOCK: u64 = 1024;
    const HAS_JOURNAL: u32 = 0x4;
    /// Everything that ext3 knows: filetype, needs recovery, meta_bg.
    const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x10;
    /// Everything that ext3 knows: sparse_super, large_file.
    const EXT3_RO_COMPAT: u32 = 0x1 | 0x2;
    if read_at(device, SUPERBLOCK + 56)? != Some([0x53, 0xef]) {
        return Ok(None);
    }
    let Some(features) = read_at::<12>(device, SUPERBLOCK + 92)? else { return Ok(None) };
    let word = |at: usize| {
        u32::from_le_bytes([features[at], features[at + 1], features[at + 2], features[at + 3]])
    };
    let (compat, incompat, ro_compat) = (word(0), word(4), word(8));
    Ok(Some(if incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0 {
        "ext4"
    } else if compat & HAS_JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    }))
}

/// A PC partition table: its mark, and four entries that could be true. Boot sectors of FAT have
/// the mark too.
fn dos_table(device: &File) -> io::Result<bool> {
    let Some(sector) = read_at::<512>(device, 0)? else { return Ok(false) };
    let entries = sector[DOS_ENTRIES..510].chunks_exact(DOS_ENTRY_BYTES);
    let plausible = entries.into_iter().all(|entry| matches!(entry[0], 0 | 0x80));
    Ok(sector[510..] == [0x55, 0xaa] && plausible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SIZE: u64 = 8 << 20;

    fn disk_with(places: &[(u64, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a scratch file");
        file.as_file().set_len(SIZE).expect("grows");
        for (offset, bytes) in places {
            file.as_file().write_all_at(bytes, *offset).expect("writes");
        }
        file
    }

    fn found(places: &[(u64, &[u8])]) -> Vec<String> {
        of_device(disk_with(places).path(), SIZE, 512)
    }

    #[test]
    fn a_blank_disk_has_nothing() {
        assert_eq!(found(&[]), Vec::<String>::new());
    }

    #[test]
    fn tables_and_members_are_named_as_blkid_does() {
        let mbr: &[u8] = &[0x55, 0xaa];
        assert_eq!(found(&[(510, mbr)]), ["dos"]);
        assert_eq!(found(&[(510, mbr), (512, b"EFI PART")]), ["gpt"]);
        assert_eq!(found(&[(536, b"LVM2 001")]), ["LVM2_member"]);
        assert_eq!(found(&[(SIZE - 65536, b"\xfc\x4e\x2b\xa9")]), ["linux_raid_member"]);
        assert_eq!(found(&[(510, mbr), (82, b"FAT32   ")]), ["vfat"]);
        let boot_code = [(446, &[0x77u8][..]), (510, mbr)];
        assert_eq!(found(&boot_code), Vec::<String>::new());
    }

    #[test]
    fn a_disk_with_sectors_of_4_kib_has_its_gpt_elsewhere() {
        let disk = disk_with(&[(4096, b"EFI PART")]);
        assert_eq!(of_device(disk.path(), SIZE, 4096), ["gpt"]);
        assert_eq!(of_device(disk.path(), SIZE, 512), Vec::<String>::new());
    }

    #[test]
    fn a_short_or_unreadable_disk_is_no_panic() {
        let mut short = tempfile::NamedTempFile::new().expect("a scratch file");
        short.write_all(b"XFSB").expect("writes");
        assert_eq!(of_device(short.path(), 4, 512), Vec::<String>::new());
        assert_eq!(of_device(Path::new("/proc/self"), SIZE, 512), [UNREADABLE]);
        assert_eq!(of_device(Path::new("/nowhere/disk"), SIZE, 512), Vec::<String>::new());
    }
}
