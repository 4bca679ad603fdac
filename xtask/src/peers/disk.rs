//! Compares two disk images: partition tables to the byte, boot sectors, file systems.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const SECTOR_BYTES: u64 = 512;
/// Bytes of a boot sector that are code; the disk's signature and the table follow.
const BOOT_CODE_BYTES: usize = 440;
/// What grub-install(8) keeps of the boot sector that it finds, because a disk without partitions
/// has its description there: here, a part of the boot code that parted(8) puts into each new table,
/// over which GRUB jumps.
const KEPT_BY_GRUB: std::ops::Range<usize> = 3..90;
const TABLE: std::ops::Range<usize> = 446..512;
/// Bytes of a table's entry, and those with cylinders, heads and sectors. A loop device has none,
/// and each partitioner takes others; whoever reads the table goes by the sector numbers.
const ENTRY_BYTES: usize = 16;
const CYLINDERS: [std::ops::Range<usize>; 2] = [1..4, 5..8];
/// Entries of a GPT: 128 of 128 bytes (UEFI specification, 5.3), each with its type first, then its
/// own GUID.
const GPT_ENTRY_BYTES: usize = 128;
const GPT_OWN_GUID: std::ops::Range<usize> = 16..32;
/// Lines of dumpe2fs(8) that every file system has for itself.
const OWN_LINES: [&str; 13] = [
    "Filesystem UUID",
    "Filesystem created",
    "Last mount time",
    "Last write time",
    "Last checked",
    "Mount count",
    "Directory Hash Seed",
    "Journal",
    "Free blocks",
    "Free inodes",
    "Lifetime writes",
    "Checksum",
    "Last mounted on",
];

/// A partition as sfdisk(8) tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    number: usize,
    start_bytes: u64,
    size_bytes: u64,
    kind: String,
    uuid: String,
}

/// What differs between two disks beside the files in them.
pub fn differences(ours: &Path, theirs: &Path) -> Result<Vec<String>> {
    let mut found = table_differences(ours, theirs)?;
    let (left, right) = (parts(ours)?, parts(theirs)?);
    println!("{} partitions", left.len());
    for (ours_part, theirs_part) in left.iter().zip(&right) {
        let number = ours_part.number;
        if ours_part.kind != theirs_part.kind {
            found.push(format!("partition {number}: {} and {}", ours_part.kind, theirs_part.kind));
        } else if ours_part.kind.starts_with("ext") {
            let (left, right) = (features(ours, ours_part)?, features(theirs, theirs_part)?);
            found.extend(
                left.iter()
                    .filter(|line| !right.contains(line))
                    .map(|line| format!("partition {number}: only ours:   {line}")),
            );
            found.extend(
                right
                    .iter()
                    .filter(|line| !left.contains(line))
                    .map(|line| format!("partition {number}: only theirs: {line}")),
            );
        }
    }
    Ok(found)
}

/// Boot sector and partition table, without the GUIDs that each disk has for itself and the check
/// sums over them.
fn table_differences(ours: &Path, theirs: &Path) -> Result<Vec<String>> {
    let (left, right) = (read_tables(ours)?, read_tables(theirs)?);
    let mut found = Vec::new();
    if left[..BOOT_CODE_BYTES] != right[..BOOT_CODE_BYTES] {
        found.push("the code in the boot sector".to_owned());
    }
    if left[TABLE] != right[TABLE] {
        found.push(format!("the table: {:02x?} and {:02x?}", &left[TABLE], &right[TABLE]));
    }
    let is_gpt = |disk: &[u8]| &disk[512..520] == b"EFI PART";
    if is_gpt(&left) != is_gpt(&right) {
        bail!("one disk has a GPT, the other has none");
    }
    if is_gpt(&left) {
        let entries = |disk: &[u8]| -> Vec<Vec<u8>> {
            let entries = disk[1024..].chunks_exact(GPT_ENTRY_BYTES);
            entries.map(|entry| [&entry[..16], &entry[GPT_OWN_GUID.end..]].concat()).collect()
        };
        let pairs = entries(&left).into_iter().zip(entries(&right));
        for (number, (left, right)) in (1..).zip(pairs).filter(|(_, (a, b))| a != b) {
            found.push(format!("GPT entry {number}: {left:02x?} and {right:02x?}"));
        }
    }
    Ok(found)
}

/// The boot sector and the GPT that may follow it, zeroes for what differs by nature.
fn read_tables(disk: &Path) -> Result<Vec<u8>> {
    let mut bytes = read(disk, 0, 34)?;
    bytes[KEPT_BY_GRUB].fill(0);
    // The last two bytes of the table mark the sector, and belong to no entry.
    for entry in bytes[TABLE].chunks_exact_mut(ENTRY_BYTES) {
        CYLINDERS.into_iter().for_each(|range| entry[range].fill(0));
    }
    Ok(bytes)
}

fn read(disk: &Path, sector: u64, count: usize) -> Result<Vec<u8>> {
    let file = File::open(disk).with_context(|| format!("cannot open {}", disk.display()))?;
    let mut bytes = vec![0; count * 512];
    file.read_exact_at(&mut bytes, sector * SECTOR_BYTES)?;
    Ok(bytes)
}

fn parts(disk: &Path) -> Result<Vec<Part>> {
    let dump = Command::new("sfdisk").args(["--dump"]).arg(disk).output()?;
    ensure!(dump.status.success(), "sfdisk --dump {}: {}", disk.display(), dump.status);
    let text = String::from_utf8(dump.stdout)?;
    let lines = text.lines().filter(|line| line.contains(" : start="));
    (1..).zip(lines).map(|(number, line)| part(disk, number, line)).collect()
}

fn part(disk: &Path, number: usize, line: &str) -> Result<Part> {
    let field = |name: &str| -> Result<u64> {
        let (_, rest) = line.split_once(name).context("sfdisk says no place")?;
        Ok(rest.split(',').next().unwrap_or_default().trim().parse::<u64>()? * SECTOR_BYTES)
    };
    let (start_bytes, size_bytes) = (field("start=")?, field("size=")?);
    let place = ["--offset", &start_bytes.to_string(), "--size", &size_bytes.to_string()]
        .map(str::to_owned);
    let probe =
        Command::new("blkid").args(["-p", "-o", "export"]).args(place).arg(disk).output()?;
    let text = String::from_utf8_lossy(&probe.stdout).into_owned();
    let values: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once('=')).collect();
    let value = |name: &str| values.get(name).copied().unwrap_or_default().to_owned();
    Ok(Part { number, start_bytes, size_bytes, kind: value("TYPE"), uuid: value("UUID") })
}

/// What dumpe2fs(8) says of a file system and is not its own.
fn features(disk: &Path, part: &Part) -> Result<Vec<String>> {
    let device = Loop::attach(disk, part)?;
    let dump = Command::new("dumpe2fs").args(["-h", &device.device]).output()?;
    ensure!(dump.status.success(), "dumpe2fs {}: {}", disk.display(), dump.status);
    let text = String::from_utf8_lossy(&dump.stdout).into_owned();
    let is_own = |line: &&str| OWN_LINES.iter().any(|own| line.starts_with(own));
    let lines = text.lines().filter(|line| !line.is_empty()).filter(|line| !is_own(line));
    Ok(lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

/// A partition attached read-only as a device of its own.
struct Loop {
    device: String,
}

impl Loop {
    fn attach(disk: &Path, part: &Part) -> Result<Self> {
        let (offset, size) = (part.start_bytes.to_string(), part.size_bytes.to_string());
        let output = Command::new("losetup")
            .args(["--find", "--show", "--read-only", "--offset", &offset, "--sizelimit", &size])
            .arg(disk)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { device: String::from_utf8(output.stdout)?.trim().to_owned() })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // What is still mounted keeps it until it is unmounted.
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

/// The root file system of a disk, read-only; unmounted when it is dropped.
pub struct MountedDisk {
    at: PathBuf,
    parts: Vec<Part>,
    _device: Loop,
}

impl MountedDisk {
    /// Mounts the first partition with an ext file system.
    pub fn mount(disk: &Path, at: &Path) -> Result<Self> {
        fs::create_dir_all(at)?;
        let parts = parts(disk)?;
        let root = parts.iter().find(|part| part.kind.starts_with("ext"));
        let root = root.with_context(|| format!("{} has no root", disk.display()))?;
        let device = Loop::attach(disk, root)?;
        let mount =
            Command::new("mount").args(["-o", "ro,noload", &device.device]).arg(at).status()?;
        ensure!(mount.success(), "cannot mount {}: {mount}", disk.display());
        Ok(Self { at: at.to_owned(), parts, _device: device })
    }
}

impl Drop for MountedDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).status();
    }
}

/// The UUIDs of both disks' file systems, and the loop devices that they were made on.
pub fn names(ours: &MountedDisk, theirs: &MountedDisk) -> Vec<(String, String, &'static str)> {
    let pairs = ours.parts.iter().zip(&theirs.parts);
    let mut names: Vec<_> = pairs
        .filter(|(left, right)| !left.uuid.is_empty() && !right.uuid.is_empty())
        .map(|(left, right)| (left.uuid.clone(), right.uuid.clone(), "FILE-SYSTEM-UUID"))
        .collect();
    if let (Some(left), Some(right)) = (loop_name(&ours.at), loop_name(&theirs.at)) {
        names.push((left, right, "LOOP-DEVICE"));
    }
    names
}

/// The loop device that fstab says a disk was made on.
fn loop_name(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("etc/fstab")).ok()?;
    let (_, rest) = text.split_once("/dev/loop")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("/dev/loop{digits}p"))
}
