//! GRUB's first two images where a BIOS finds them, written without grub-install(8).
//!
//! ```text
//! sector 0, bytes 0..440   boot.img: loads one sector, whose number is at 0x5c
//!              0x5c  u64   the first sector of core.img
//!              0x64  u8    0xff: from the disk that the BIOS says it started from
//!              0x66  2     jump of a check for floppies; two NOPs for a hard disk
//! core.img, first sector   loads the others
//!             0x1f4  u64   the second sector of core.img
//!             0x1fc  u16   how many there are
//!             0x1fe  u16   where they go in memory, 0x0820
//! ```
//!
//! Numbers are little-endian. On a GPT core.img lies in the BIOS boot partition, on a PC table
//! between the table and the first partition.

/// The sectors that a BIOS and GRUB count in.
pub(super) const SECTOR_BYTES: u64 = 512;
/// Bytes of the first sector that are code; behind them are the disk's number and the table.
const CODE_BYTES: usize = 440;
const KERNEL_SECTOR: usize = 0x5c;
const BOOT_DRIVE: usize = 0x64;
const FLOPPY_CHECK: usize = 0x66;
const FIRST_LIST: usize = 0x1f4;
/// The segment at which every core.img of this layout is loaded.
const SEGMENT: u16 = 0x0820;

/// What goes where on a disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BootSectors {
    /// The first bytes of the disk.
    pub(super) code: Vec<u8>,
    /// GRUB's core image.
    pub(super) core: Vec<u8>,
    /// Where that goes.
    pub(super) core_offset_bytes: u64,
}

/// Why the images cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// They are not laid out as above.
    Layout,
    /// The place is too small for the core image.
    Room { needed_bytes: u64 },
}

/// Fits the images to a place on a disk.
pub(super) fn fit(
    boot: &[u8],
    core: &[u8],
    start_bytes: u64,
    room_bytes: u64,
) -> Result<BootSectors, Unfit> {
    let sector = SECTOR_BYTES as usize;
    let is_known = boot.len() == sector
        && core.len() > sector
        && core[FIRST_LIST + 10..FIRST_LIST + 12] == SEGMENT.to_le_bytes();
    if !is_known {
        return Err(Unfit::Layout);
    }
    let mut core = core.to_vec();
    core.resize(core.len().next_multiple_of(sector), 0);
    let needed_bytes = core.len() as u64;
    if needed_bytes > room_bytes {
        return Err(Unfit::Room { needed_bytes });
    }
    let first = start_bytes / SECTOR_BYTES;
    let rest = u16::try_from(core.len() / sector - 1).map_err(|_| Unfit::Layout)?;
    core[FIRST_LIST..FIRST_LIST + 8].copy_from_slice(&(first + 1).to_le_bytes());
    core[FIRST_LIST + 8..FIRST_LIST + 10].copy_from_slice(&rest.to_le_bytes());
    let mut code = boot[..CODE_BYTES].to_vec();
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&first.to_le_bytes());
    code[BOOT_DRIVE] = 0xff;
    code[FLOPPY_CHECK..FLOPPY_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    Ok(BootSectors { code, core, core_offset_bytes: start_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(length: usize) -> Vec<u8> {
        let mut core = vec![7; length];
        core[0x1fe..0x200].copy_from_slice(&SEGMENT.to_le_bytes());
        core
    }

    #[test]
    fn images_point_at_each_other() {
        let found = fit(&[1; 512], &core(1300), 1 << 20, 1 << 20).unwrap();
        assert_eq!(found.code.len(), 440);
        assert_eq!(found.code[0x5c..0x64], 2048_u64.to_le_bytes());
        assert_eq!(found.code[0x64..0x68], [0xff, 1, 0x90, 0x90]);
        assert_eq!(found.core.len(), 1536);
        assert_eq!(found.core[0x1f4..0x1fc], 2049_u64.to_le_bytes());
        assert_eq!(found.core[0x1fc..0x200], [2, 0, 0x20, 0x08]);
        assert_eq!(found.core_offset_bytes, 1 << 20);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let needed_bytes = 1536;
        assert_eq!(fit(&[1; 512], &core(1300), 512, 1024), Err(Unfit::Room { needed_bytes }));
        assert_eq!(fit(&[1; 512], &[0; 1300], 512, 1 << 20), Err(Unfit::Layout));
        assert_eq!(fit(&[1; 100], &core(1300), 512, 1 << 20), Err(Unfit::Layout));
    }
}
