//! What a disk_config says, line by line, each part with its place; nothing is computed yet.

use super::size::SizeRange;
use super::source::{Source, Span, Spanned};
use hostwright_model::storage::{FstabKey, PartitionKind, TableKind, Why};

/// A parsed disk_config.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskConfig {
    /// Its text.
    pub source: Source,
    /// The class whose file it is.
    pub class: Option<String>,
    /// Stanzas of disks.
    pub disks: Vec<DiskStanza>,
    /// Stanzas of LVM; FAI allows several.
    pub lvm: Vec<LvmStanza>,
    /// True if a line could not be taken over, so that what seems to be missing may only be broken.
    pub incomplete: bool,
}

impl DiskConfig {
    /// The reason for what the line of `at` asks for.
    pub fn why(&self, at: Span) -> Why {
        Why::line(self.source.file.clone(), at.line, self.class.as_deref())
    }

    /// All `vg` lines.
    pub fn groups(&self) -> impl Iterator<Item = &GroupLine> {
        self.lvm.iter().flat_map(|stanza| &stanza.groups)
    }

    /// All lines of logical volumes.
    pub fn logical_volumes(&self) -> impl Iterator<Item = &LogicalVolumeLine> {
        self.lvm.iter().flat_map(|stanza| &stanza.volumes)
    }

    /// Everything that can be formatted or mounted: partitions, then logical volumes.
    pub fn volumes(&self) -> impl Iterator<Item = &VolumeSpec> {
        let partitions = self.disks.iter().flat_map(|disk| &disk.partitions);
        let logical = self.logical_volumes();
        partitions.map(|line| &line.volume).chain(logical.map(|line| &line.volume))
    }
}

/// Which disk a stanza is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskName {
    /// `disk2`: the second disk of the machine.
    Nth(u32),
    /// A device node, `/dev/sda`.
    Device(String),
}

/// `disk_config DISK OPTIONS` and its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskStanza {
    /// The disk.
    pub disk: Spanned<DiskName>,
    /// Kind of partition table; `msdos` unless said otherwise.
    pub table: TableKind,
    /// `bootable:N`.
    pub bootable: Option<Spanned<u32>>,
    /// `fstabkey:`; `device` unless said otherwise.
    pub fstab_key: FstabKey,
    /// `align-at:`, in MiB.
    pub align_mib: Option<Spanned<f64>>,
    /// Lines of partitions.
    pub partitions: Vec<PartitionLine>,
}

/// The line of a partition.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionLine {
    /// Its first word: `primary`, `logical` or `p=…`.
    pub at: Span,
    /// Primary or logical.
    pub kind: PartitionKind,
    /// Name in the GPT, from `p=NAME`.
    pub name: Option<String>,
    /// What it holds.
    pub volume: VolumeSpec,
}

/// The fields that partitions and logical volumes share.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeSpec {
    /// Where it is mounted.
    pub mount_point: Spanned<MountPoint>,
    /// How large it may be.
    pub size: Spanned<SizeRange>,
    /// `ext4`, `swap`, …; `None` for `-`.
    pub file_system: Spanned<Option<String>>,
    /// fstab(5) options.
    pub mount_options: Spanned<String>,
    /// Words of `createopts`.
    pub create_options: Vec<String>,
    /// Words of `tuneopts`.
    pub tune_options: Spanned<Vec<String>>,
}

/// Where a volume is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountPoint {
    /// `-`: nowhere.
    Nowhere,
    /// `swap`: used as swap space.
    Swap,
    /// A path.
    Path(String),
}

impl MountPoint {
    /// The path, if there is one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Path(path) => Some(path),
            Self::Nowhere | Self::Swap => None,
        }
    }
}

/// `disk_config lvm OPTIONS` and its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct LvmStanza {
    /// The word `lvm`.
    pub at: Span,
    /// `fstabkey:`; `device` unless said otherwise.
    pub fstab_key: FstabKey,
    /// Lines of volume groups.
    pub groups: Vec<GroupLine>,
    /// Lines of logical volumes.
    pub volumes: Vec<LogicalVolumeLine>,
}

/// `vg NAME DEVICES`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupLine {
    /// Name of the group.
    pub name: Spanned<String>,
    /// Its physical volumes.
    pub devices: Vec<Spanned<DeviceName>>,
    /// Words of `pvcreateopts`.
    pub pv_create_options: Vec<String>,
    /// Words of `vgcreateopts`.
    pub vg_create_options: Vec<String>,
}

/// A device in the list of a `vg` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// `disk1.2`: a partition of the Nth disk of the machine.
    Partition {
        /// Number of the disk, from 1.
        disk: u32,
        /// Number of the partition.
        number: u32,
    },
    /// A device node, `/dev/sda2`.
    Device(String),
}

/// `GROUP-VOLUME …`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogicalVolumeLine {
    /// The group.
    pub group: Spanned<String>,
    /// The volume.
    pub name: Spanned<String>,
    /// What it holds.
    pub volume: VolumeSpec,
    /// Words of `lvcreateopts`.
    pub lv_create_options: Vec<String>,
}
