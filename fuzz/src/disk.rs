//! Target: what the last life left on a disk.

use hostwright_host::probe::Probe;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::LazyLock;
use tempfile::TempDir;

/// Bytes of the disk, whose sectors have 512.
const DISK_BYTES: u64 = 64 << 20;
/// Bytes that one piece of the input becomes.
const PIECE_BYTES: usize = 512;

/// A recorded machine with one disk, a sparse file.
static MACHINE: LazyLock<TempDir> = LazyLock::new(|| {
    let root = tempfile::tempdir_in("/dev/shm").expect("invariant: memory for a small machine");
    for (path, content) in [
        ("proc/meminfo", "MemTotal: 1024 kB\n"),
        ("proc/sys/kernel/arch", "x86_64\n"),
        ("proc/sys/kernel/osrelease", "6.1.0\n"),
        ("sys/devices/system/cpu/online", "0\n"),
        ("sys/block/sda/size", "131072\n"),
        ("sys/block/sda/dev", "8:0\n"),
        ("sys/block/sda/queue/logical_block_size", "512\n"),
        ("dev/empty", ""),
    ] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("invariant: below the root")).expect("is made");
        fs::write(path, content).expect("is written");
    }
    root
});

/// Sectors of a disk, each behind two bytes that say where: tables, superblocks and signatures.
pub(crate) fn disk_bytes(bytes: &[u8]) {
    let path: PathBuf = MACHINE.path().join("dev/sda");
    let disk = File::create(&path).expect("the disk is made");
    disk.set_len(DISK_BYTES).expect("the disk grows");
    for piece in bytes.chunks(PIECE_BYTES + 2).take(64) {
        let Some((place, content)) = piece.split_at_checked(2) else { break };
        let place = i16::from_le_bytes([place[0], place[1]]);
        // Negative numbers count from the end, where tables and superblocks have their copies.
        let sectors = DISK_BYTES / 512;
        let sector =
            u64::try_from(place).unwrap_or_else(|_| sectors - u64::from(place.unsigned_abs()));
        disk.write_all_at(content, sector * 512).expect("the disk is written");
    }
    let never = &mut |command: &_| panic!("a recorded machine runs nothing: {command:?}");
    let facts = Probe::new(MACHINE.path()).facts(never);
    assert_eq!(facts.expect("a readable disk can be probed").disks.len(), 1);
}
