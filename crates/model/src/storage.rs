//! A finished layout: every partition and volume with its place to the byte.
//!
//! The solver in `plan` makes it from a disk_config; the engine carries it out without choosing
//! anything.

use serde::{Deserialize, Serialize};

/// Everything a disk_config promises for one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageLayout {
    /// Disks that get a new partition table.
    pub disks: Vec<DiskLayout>,
    /// LVM volume groups.
    pub volume_groups: Vec<VolumeGroup>,
    /// Everything that is formatted or mounted, in the order of the disk_config.
    pub volumes: Vec<Volume>,
    /// What boot loaders want to know.
    pub boot: BootDevices,
}

/// The kinds of partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableKind {
    /// PC partition table, `msdos` to FAI and parted(8).
    Msdos,
    /// GUID partition table (UEFI specification, chapter 5).
    Gpt,
    /// GUID partition table with a BIOS boot partition of 1 MiB.
    GptBios,
}

/// One disk and its new partition table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLayout {
    /// Device node, `/dev/vda`.
    pub device: String,
    /// Size of the disk.
    pub size_bytes: u64,
    /// Logical sector size.
    pub sector_bytes: u32,
    /// Kind of the table.
    pub table: TableKind,
    /// Partitions in the order of their numbers.
    pub partitions: Vec<Partition>,
    /// Where the disk_config asks for it.
    pub why: Why,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Number in the table; logical ones start at 5.
    pub number: u32,
    /// Device node, `/dev/vda1`.
    pub device: String,
    /// What kind it is.
    pub kind: PartitionKind,
    /// First byte.
    pub start_bytes: u64,
    /// Last byte, inclusive.
    pub end_bytes: u64,
    /// GPT name.
    pub name: Option<String>,
    /// What it is for, which decides its type code.
    pub content: PartitionContent,
    /// True for the active partition of a PC table.
    pub bootable: bool,
    /// Where the disk_config asks for it.
    pub why: Why,
}

impl Partition {
    /// Length in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.end_bytes + 1 - self.start_bytes
    }
}

/// Kinds of partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionKind {
    /// Primary, or any partition of a GPT.
    Primary,
    /// Holds the logical ones.
    Extended,
    /// Inside the extended one.
    Logical,
}

/// What a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionContent {
    /// A Linux file system, or nothing yet.
    Linux,
    /// FAT that is not the EFI system partition.
    Fat,
    /// Swap.
    Swap,
    /// LVM physical volume.
    Lvm,
    /// EFI system partition.
    EfiSystem,
    /// GRUB's core image on a GPT disk of a BIOS machine.
    BiosBoot,
    /// The extended partition.
    Extended,
}

/// An LVM volume group with its logical volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// Device nodes of its physical volumes.
    pub physical_volumes: Vec<String>,
    /// Options for pvcreate(8).
    pub pv_create_options: Vec<String>,
    /// Options for vgcreate(8).
    pub vg_create_options: Vec<String>,
    /// Logical volumes in order.
    pub logical_volumes: Vec<LogicalVolume>,
    /// Where the disk_config asks for it.
    pub why: Why,
}

/// An LVM logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalVolume {
    /// Its name inside the group.
    pub name: String,
    /// Device node, `/dev/vg1/root`.
    pub device: String,
    /// Size asked of lvcreate(8), which rounds up to whole extents.
    pub size_bytes: u64,
    /// Options for lvcreate(8).
    pub create_options: Vec<String>,
    /// Where the disk_config asks for it.
    pub why: Why,
}

/// Something that is formatted, mounted or used as swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Device node.
    pub device: String,
    /// Size of the device.
    pub size_bytes: u64,
    /// What mkfs is called with after the dot (`ext4`, `vfat`), `swap`, or `None` for `-`.
    pub file_system: Option<String>,
    /// Where it is mounted; `None` for swap and for `-`.
    pub mount_point: Option<String>,
    /// fstab(5) options.
    pub mount_options: String,
    /// Words for mkfs or mkswap.
    pub create_options: Vec<String>,
    /// Words for tune2fs(8).
    pub tune_options: Vec<String>,
    /// How fstab names the device.
    pub fstab_key: FstabKey,
    /// GPT name, for [`FstabKey::Partlabel`].
    pub partition_name: Option<String>,
    /// Where the disk_config asks for it.
    pub why: Why,
}

/// How fstab(5) names a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FstabKey {
    /// `/dev/vda1`.
    Device,
    /// `LABEL=`.
    Label,
    /// `UUID=`.
    Uuid,
    /// `PARTUUID=`.
    Partuuid,
    /// `PARTLABEL=`.
    Partlabel,
}

/// What FAI's disk_var.sh tells boot loader scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootDevices {
    /// Disk that holds `/boot`, else `/`.
    pub boot_device: Option<String>,
    /// Partition that holds `/boot`, else `/`, where it is a plain partition.
    pub boot_partition: Option<String>,
    /// EFI system partition.
    pub esp_device: Option<String>,
    /// Disks with `bootable:`.
    pub physical_boot_devices: Vec<String>,
}

/// Why something is in a plan: the line of the config space that asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// File relative to the space; empty where Hostwright itself wants it.
    pub file: String,
    /// Line from 1; 0 for the whole file.
    pub line: u32,
    /// The class that brought the file in.
    pub class: Option<String>,
    /// The reason in words, where no file gives it.
    pub reason: Option<String>,
}

impl Why {
    /// A line of a file that `class` brought in.
    pub fn line(file: impl Into<String>, line: u32, class: Option<&str>) -> Self {
        Self { file: file.into(), line, class: class.map(str::to_owned), reason: None }
    }

    /// A reason of Hostwright's own.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::default() }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(reason) = &self.reason {
            return f.write_str(reason);
        }
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        match &self.class {
            Some(class) => write!(f, " (class {class})"),
            None => Ok(()),
        }
    }
}
