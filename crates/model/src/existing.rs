//! What is on the disks before a run: tables, arrays, volume groups, encryption, file systems.
//!
//! The probes in `host` make it; the planner decides from it what is kept, resized or taken apart.
//! Everything is a flat list that refers to devices by their nodes, so that any stacking can be told.

use crate::storage::{PartitionKind, RaidLevel};
use serde::{Deserialize, Serialize};

/// Everything found on the disks of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ExistingStorage {
    /// Partition tables.
    pub tables: Vec<ExistingTable>,
    /// RAID arrays of md(4), running or only recognised by their members.
    pub arrays: Vec<ExistingArray>,
    /// LVM volume groups.
    pub groups: Vec<ExistingGroup>,
    /// Open device mapper targets that are no logical volumes, such as opened LUKS volumes.
    pub mappings: Vec<ExistingMapping>,
    /// Everything that has a signature: file systems, swap, members, LUKS headers.
    pub signatures: Vec<ExistingSignature>,
    /// Devices that are mounted or used as swap in the system that looks.
    pub in_use: Vec<DeviceUse>,
    /// What could not be looked at. It may hold anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// Something that the probes could not look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unread {
    /// A device node, or what is missing in words: `volume groups`.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingTable {
    /// The disk, `/dev/sda`.
    pub device: String,
    /// `gpt` or `dos`, as blkid(8) names them; other kinds by their own names.
    pub kind: String,
    /// Identifier of the table: a GUID, or `0x` and eight digits.
    pub id: Option<String>,
    /// Partitions in the order of their numbers.
    pub partitions: Vec<ExistingPartition>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingPartition {
    /// Number in the table.
    pub number: u32,
    /// Device node.
    pub device: String,
    /// What kind it is.
    pub kind: PartitionKind,
    /// First byte.
    pub start_bytes: u64,
    /// Length.
    pub size_bytes: u64,
    /// Type as sfdisk(8) prints it: a GUID in upper case, or a hexadecimal number without `0x`.
    pub type_code: String,
    /// GPT name.
    pub name: Option<String>,
    /// GPT identifier, in upper case.
    pub uuid: Option<String>,
    /// GPT attributes as sfdisk(8) prints them.
    pub attributes: Option<String>,
    /// True for the active partition of a PC table.
    pub bootable: bool,
}

/// A RAID array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingArray {
    /// Device node if it runs, `/dev/md0`.
    pub device: Option<String>,
    /// UUID as mdadm(8) prints it.
    pub uuid: String,
    /// Name in the superblock, `host:0`.
    pub name: Option<String>,
    /// Level; `None` for kinds that Hostwright does not make, such as containers.
    pub level: Option<RaidLevel>,
    /// Version of the superblock, `1.2`.
    pub metadata: String,
    /// Number of devices it wants.
    pub wanted_devices: u32,
    /// Members found, spares included.
    pub members: Vec<String>,
    /// Size of the array, where it can be told.
    pub size_bytes: Option<u64>,
}

/// A volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingGroup {
    /// Its name.
    pub name: String,
    /// Its UUID as LVM prints it.
    pub uuid: String,
    /// Physical volumes found; a missing one is left out.
    pub physical_volumes: Vec<String>,
    /// True if a physical volume is missing.
    pub is_partial: bool,
    /// Size of the group.
    pub size_bytes: u64,
    /// Size of an extent.
    pub extent_bytes: u64,
    /// Logical volumes.
    pub logical_volumes: Vec<ExistingLogicalVolume>,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingLogicalVolume {
    /// Name inside the group.
    pub name: String,
    /// Device node, `/dev/vg1/root`, whether it is active or not.
    pub device: String,
    /// Its UUID as LVM prints it.
    pub uuid: String,
    /// Size.
    pub size_bytes: u64,
}

/// An open device mapper target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingMapping {
    /// Name below `/dev/mapper`.
    pub name: String,
    /// Devices below it.
    pub devices: Vec<String>,
}

/// What a device says it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExistingSignature {
    /// Device node.
    pub device: String,
    /// Size of the device.
    pub size_bytes: u64,
    /// `TYPE` of blkid(8): `ext4`, `crypto_LUKS`, `linux_raid_member`.
    pub kind: String,
    /// `UUID` of blkid(8).
    pub uuid: Option<String>,
    /// `LABEL` of blkid(8).
    pub label: Option<String>,
}

/// A device in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceUse {
    /// Device node.
    pub device: String,
    /// Where it is mounted; `None` for swap.
    pub mount_point: Option<String>,
}
