//! A finished layout: every partition and volume with its place to the byte.
//!
//! The solver in `plan` makes it from a disk_config; the engine carries it out without choosing
//! anything.

use crate::existing::ExistingPartition;
use serde::{Deserialize, Serialize};

/// Everything a disk_config promises for one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageLayout {
    /// Disks that get a new partition table.
    pub disks: Vec<DiskLayout>,
    /// Layers of earlier lives that are taken apart before anything is made, the topmost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takedown: Vec<OldLayer>,
    /// RAID arrays of md(4), in the order of the disk_config.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrays: Vec<RaidArray>,
    /// Encrypted devices, in the order of the disk_config.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encrypted: Vec<EncryptedDevice>,
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

/// What becomes of something that a layout has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// It is made, and what was in its place is gone.
    #[default]
    Create,
    /// It exists and stays as it is, with its content.
    Keep,
    /// It exists, stays where it is, and is formatted again (`always_format`).
    Reformat,
    /// It exists and is kept with its content, with another size.
    Resize {
        /// Size before.
        from_bytes: u64,
    },
}

impl Fate {
    /// True if it has to exist before the run.
    pub fn needs_existing(self) -> bool {
        self != Self::Create
    }

    /// True if its content survives.
    pub fn keeps_content(self) -> bool {
        matches!(self, Self::Keep | Self::Resize { .. })
    }
}

/// What happens to the partition table of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableFate {
    /// It is written anew; kept partitions come back at the same bytes.
    #[default]
    Write,
    /// It is left alone (`virtual`, `preserve_always:all`), or there is none (`raw-disk`, `vg:1`).
    Leave,
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
    /// Model as the disk reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Serial number as the disk reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The partitions that it has before the run, and what becomes of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<FormerPartition>,
    /// Kind of the table.
    pub table: TableKind,
    /// Whether it is written.
    #[serde(default)]
    pub table_fate: TableFate,
    /// Partitions in the order of their numbers.
    pub partitions: Vec<Partition>,
    /// Where the disk_config asks for it.
    pub why: Why,
}

/// A partition that is on a disk before the run, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerPartition {
    /// The partition.
    #[serde(flatten)]
    pub partition: ExistingPartition,
    /// `TYPE` of blkid(8), of what it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// `LABEL` of blkid(8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What becomes of it.
    pub becomes: Becomes,
}

/// What a run makes of a partition that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Becomes {
    /// It stays where it is, with its content.
    Kept,
    /// It keeps its content and gets another size.
    Resized,
    /// It stays where it is, and what was in it is lost.
    Formatted,
    /// A partition of its number comes back at another place; what was in it is lost.
    Moved,
    /// It is gone, and so is what was in it.
    Destroyed,
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
    /// Whether it is made or kept.
    #[serde(flatten)]
    pub fate: Fate,
    /// What it was before the run, of one that is kept: its type, name and identifiers come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingPartition>,
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// Member of a RAID array.
    Raid,
    /// EFI system partition.
    EfiSystem,
    /// GRUB's core image on a GPT disk of a BIOS machine.
    BiosBoot,
    /// The extended partition.
    Extended,
}

/// The levels of RAID that the disk_config language knows (md(4)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RaidLevel {
    /// Striping.
    Raid0,
    /// Mirroring.
    Raid1,
    /// One parity block a stripe.
    Raid5,
    /// Two parity blocks a stripe.
    Raid6,
    /// Striped mirrors.
    Raid10,
}

impl RaidLevel {
    /// `raid1`, as mdadm(8) and the disk_config write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raid0 => "raid0",
            Self::Raid1 => "raid1",
            Self::Raid5 => "raid5",
            Self::Raid6 => "raid6",
            Self::Raid10 => "raid10",
        }
    }
}

/// A RAID array of md(4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaidArray {
    /// Device node, `/dev/md0`.
    pub device: String,
    /// Level.
    pub level: RaidLevel,
    /// Members in the order of the disk_config.
    pub members: Vec<RaidMember>,
    /// Words for mdadm --create.
    pub create_options: Vec<String>,
    /// Size that the planner reckons with; mdadm's metadata may take a little off.
    pub size_bytes: u64,
    /// Whether it is made, or assembled from what is there.
    #[serde(flatten)]
    pub fate: Fate,
    /// UUID of the array that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Where the disk_config asks for it.
    pub why: Why,
}

/// A place in a RAID array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaidMember {
    /// Device node; `None` for a place that stays empty (`missing`).
    pub device: Option<String>,
    /// True for a spare.
    pub spare: bool,
}

/// An encrypted device: LUKS, or plain dm-crypt with a key that is forgotten (crypttab(5)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptedDevice {
    /// Name below `/dev/mapper`: `crypt_dev_sda5`.
    pub name: String,
    /// The device that is encrypted.
    pub device: String,
    /// The device with the clear text, `/dev/mapper/crypt_dev_sda5`.
    pub mapped_device: String,
    /// Its key.
    pub key: EncryptionKey,
    /// Words for cryptsetup luksFormat.
    pub create_options: Vec<String>,
    /// True if the device is filled with random bytes first (`randinit`).
    pub random_fill: bool,
    /// Whether it is made or kept.
    #[serde(flatten)]
    pub fate: Fate,
    /// Where the disk_config asks for it.
    pub why: Why,
}

/// The key of an encrypted device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EncryptionKey {
    /// A random key in a file of the log directory (`luks`).
    File,
    /// A random key in a file, which needs no stretching: LUKS2 with PBKDF2 at its fewest iterations,
    /// so that neither the installation nor a start of the system waits for it.
    RandomFile {
        /// The TPM that may open it in place of the file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tpm2: Option<TpmSealing>,
        /// True to add a recovery key and give it to the server.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recovery_key: bool,
    },
    /// A passphrase of the disk_config (`luks:"…"`). It is never part of a plan: the engine asks its
    /// planner for it by place.
    Passphrase {
        /// File relative to the space.
        file: String,
        /// Line from 1.
        line: u32,
    },
    /// A new random key at each boot, for `/tmp` (`tmp`).
    RandomTmp,
    /// A new random key at each boot, for swap (`swap`).
    RandomSwap,
}

/// A key that only this machine's TPM 2 gives out, and only to what was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmSealing {
    /// Platform configuration registers that must not have changed, sorted.
    pub pcrs: Vec<u8>,
}

/// A layer of an earlier life that has to go before its devices can be used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "kebab-case")]
pub enum OldLayer {
    /// A swap area in use.
    Swap {
        /// Device node.
        device: String,
    },
    /// An open device mapper target: dmsetup remove, cryptsetup close.
    Mapping {
        /// Name below `/dev/mapper`.
        name: String,
    },
    /// A logical volume of a group that stays.
    LogicalVolume {
        /// Name of the group.
        group: String,
        /// Name of the volume.
        name: String,
    },
    /// A volume group: deactivated, its physical volumes wiped.
    VolumeGroup {
        /// Its name, for people; names need not be unique.
        name: String,
        /// UUID as LVM prints it.
        uuid: String,
        /// Its physical volumes.
        physical_volumes: Vec<String>,
    },
    /// A RAID array: stopped, the superblocks of its members zeroed.
    Array {
        /// Device node if it runs.
        device: Option<String>,
        /// UUID as mdadm(8) prints it.
        uuid: String,
        /// Its members.
        members: Vec<String>,
    },
    /// Signatures at both ends of a device: wipefs(8).
    Signatures {
        /// Device node.
        device: String,
    },
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
    /// Whether the group is made or kept.
    #[serde(flatten)]
    pub fate: Fate,
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
    /// Whether it is made, kept or resized.
    #[serde(flatten)]
    pub fate: Fate,
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
    /// btrfs on one or more devices; [`Volume::device`] is the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub btrfs: Option<BtrfsProfile>,
    /// Whether it is formatted, kept with its content, or resized.
    #[serde(flatten)]
    pub fate: Fate,
    /// Where the disk_config asks for it.
    pub why: Why,
}

/// What is special about a btrfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BtrfsProfile {
    /// Profile of data for mkfs.btrfs(8): `single`, `raid1`, …; `None` for mkfs's default.
    pub data_profile: Option<String>,
    /// All its devices.
    pub devices: Vec<String>,
    /// The subvolume that is made and mounted.
    pub subvolume: String,
    /// True if an earlier volume makes the file system, and only the subvolume is made here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shares: bool,
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
