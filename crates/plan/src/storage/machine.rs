//! What a layout needs to know of a machine: its disks, its memory and how it boots.

use hostwright_model::existing::{ExistingPartition, ExistingSignature, ExistingStorage};
use hostwright_model::facts::{Facts, Firmware};
use hostwright_model::size::ByteSize;
use std::fmt;
use std::str::FromStr;

/// A machine as far as storage is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageFacts {
    /// Its fixed disks; `disk1` is the first of them.
    pub disks: Vec<StorageDisk>,
    /// Size of its memory, for sizes such as `RAM:50%`.
    pub memory_bytes: u64,
    /// How it boots.
    pub firmware: Firmware,
    /// What is on its disks.
    pub existing: ExistingStorage,
    /// Its name, for sources of NFS.
    pub hostname: String,
    /// True for FAI's flag `initial`: `preserve_reinstall` keeps nothing.
    pub is_first_install: bool,
    /// Names of volume groups that are never touched (`SS_IGNORE_VG`).
    pub ignored_groups: Vec<String>,
    /// True to align partitions of a PC table to cylinders where something is kept, as FAI does.
    pub fai_bugs: bool,
}

impl StorageFacts {
    /// A machine with blank disks.
    pub fn new(disks: Vec<StorageDisk>, memory_bytes: u64, firmware: Firmware) -> Self {
        Self {
            disks,
            memory_bytes,
            firmware,
            existing: ExistingStorage::default(),
            hostname: String::new(),
            is_first_install: false,
            ignored_groups: Vec::new(),
            fai_bugs: false,
        }
    }

    /// The disk with this device node.
    pub(super) fn disk(&self, device: &str) -> Option<&StorageDisk> {
        self.disks.iter().find(|disk| disk.device() == device)
    }

    /// A partition that is there, and its disk.
    pub(super) fn partition(&self, device: &str) -> Option<(&str, &ExistingPartition)> {
        self.existing.tables.iter().find_map(|table| {
            let found = table.partitions.iter().find(|partition| partition.device == device)?;
            Some((table.device.as_str(), found))
        })
    }

    /// What a device says it holds.
    pub(super) fn signature(&self, device: &str) -> Option<&ExistingSignature> {
        self.existing.signatures.iter().find(|signature| signature.device == device)
    }
}

/// A disk to partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageDisk {
    /// Kernel name, `sda`.
    pub name: String,
    /// Size of the device.
    pub size_bytes: u64,
    /// Logical sector size; 512 or 4096.
    pub sector_bytes: u32,
    /// Model as the disk reports it.
    pub model: Option<String>,
    /// Serial number as the disk reports it.
    pub serial: Option<String>,
    /// Names below `/dev/disk`: `by-id/…`, `by-path/…`.
    pub links: Vec<String>,
}

impl StorageDisk {
    /// The device node, `/dev/sda`.
    pub fn device(&self) -> String {
        format!("/dev/{}", self.name)
    }
}

impl From<&Facts> for StorageFacts {
    /// Leaves removable disks out: a USB stick must not become `disk1`.
    fn from(facts: &Facts) -> Self {
        let fixed = facts.disks.iter().filter(|disk| !disk.removable);
        let disks = fixed.map(|disk| StorageDisk {
            name: disk.name.clone(),
            size_bytes: disk.size_bytes,
            sector_bytes: disk.sector_bytes,
            model: disk.model.clone(),
            serial: disk.serial.clone(),
            links: disk.links.clone(),
        });
        let existing = facts.storage.clone();
        Self { existing, ..Self::new(disks.collect(), facts.memory_bytes, facts.firmware) }
    }
}

/// Why a text is not a [`StorageDisk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDisk(String);

impl fmt::Display for BadDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a disk; write a name and a size, such as sda=20GiB", self.0)
    }
}

impl std::error::Error for BadDisk {}

impl FromStr for StorageDisk {
    type Err = BadDisk;
    /// Reads `NAME=SIZE`, or `NAME=SIZE,4096` for a disk with sectors of 4096 bytes.
    fn from_str(text: &str) -> Result<Self, BadDisk> {
        let bad = || BadDisk(text.to_owned());
        let (name, size) = text.split_once('=').ok_or_else(bad)?;
        let (size, sector) = size.split_once(',').unwrap_or((size, "512"));
        let name = name.strip_prefix("/dev/").unwrap_or(name);
        let size: ByteSize = size.parse().map_err(|_| bad())?;
        let sector_bytes = sector.parse().map_err(|_| bad())?;
        let sensible = !name.is_empty()
            && !name.contains(char::is_whitespace)
            && matches!(sector_bytes, 512 | 4096);
        match sensible {
            true => Ok(Self {
                name: name.to_owned(),
                size_bytes: size.0,
                sector_bytes,
                ..Self::default()
            }),
            false => Err(bad()),
        }
    }
}

/// The device node of a partition: `/dev/sda1`, but `/dev/nvme0n1p1`. The kernel puts a `p` between
/// where the name of the disk ends in a digit.
pub fn partition_device(disk: &str, number: u32) -> String {
    let separator = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{separator}{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_as_the_kernel_does() {
        for (disk, device) in [
            ("/dev/sda", "/dev/sda1"),
            ("/dev/vdb", "/dev/vdb1"),
            ("/dev/nvme0n1", "/dev/nvme0n1p1"),
            ("/dev/mmcblk0", "/dev/mmcblk0p1"),
            ("/dev/loop0", "/dev/loop0p1"),
        ] {
            assert_eq!(partition_device(disk, 1), device);
        }
    }

    #[test]
    fn disks_are_read_from_a_command_line() {
        let disk = |name: &str, sector_bytes| StorageDisk {
            name: name.to_owned(),
            size_bytes: 20 << 30,
            sector_bytes,
            ..StorageDisk::default()
        };
        assert_eq!("sda=20GiB".parse(), Ok(disk("sda", 512)));
        assert_eq!("/dev/nvme0n1=20G,4096".parse(), Ok(disk("nvme0n1", 4096)));
        for text in ["sda", "=20GiB", "sda=20XB", "sda=20GiB,17", "s da=20GiB"] {
            assert_eq!(text.parse::<StorageDisk>(), Err(BadDisk(text.to_owned())), "{text}");
        }
    }
}
