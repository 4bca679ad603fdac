//! What a disk_config says, line by line, each part with its place; nothing is computed yet.

use super::keep_options::{KeepOptions, SizeFlag};
use super::size::{Amount, SizeRange};
use super::source::{Source, Span, Spanned};
use hostwright_model::storage::{FstabKey, PartitionKind, RaidLevel, TableKind, Why};

/// A parsed disk_config.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskConfig {
    /// Its text.
    pub source: Source,
    /// The class whose file it is.
    pub class: Option<String>,
    /// Stanzas of disks.
    pub disks: Vec<DiskStanza>,
    /// Stanzas of software RAID; the arrays are numbered through all of them.
    pub raid: Vec<RaidStanza>,
    /// Stanzas of encrypted devices.
    pub encryption: Vec<EncryptionStanza>,
    /// Stanzas of btrfs on several devices.
    pub btrfs: Vec<BtrfsStanza>,
    /// Stanzas of LVM; FAI allows several.
    pub lvm: Vec<LvmStanza>,
    /// Lines of file systems in memory.
    pub tmpfs: Vec<TmpfsLine>,
    /// Lines of file systems on servers.
    pub nfs: Vec<NfsLine>,
    /// True if a line could not be taken over, so that what seems to be missing may only be broken.
    pub incomplete: bool,
}

impl DiskConfig {
    /// One that says nothing yet.
    pub(crate) fn new(source: Source, class: Option<&str>) -> Self {
        Self {
            source,
            class: class.map(str::to_owned),
            disks: Vec::new(),
            raid: Vec::new(),
            encryption: Vec::new(),
            btrfs: Vec::new(),
            lvm: Vec::new(),
            tmpfs: Vec::new(),
            nfs: Vec::new(),
            incomplete: false,
        }
    }

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

    /// All lines of arrays, each with its stanza; the first one is md0.
    pub fn arrays(&self) -> impl Iterator<Item = (&RaidStanza, &ArrayLine)> {
        self.raid.iter().flat_map(|stanza| stanza.arrays.iter().map(move |line| (stanza, line)))
    }

    /// All lines of encrypted devices, each with its stanza.
    pub fn encrypted(&self) -> impl Iterator<Item = (&EncryptionStanza, &EncryptedLine)> {
        self.encryption
            .iter()
            .flat_map(|stanza| stanza.devices.iter().map(move |line| (stanza, line)))
    }

    /// All lines of btrfs, each with its stanza.
    pub fn btrfs_lines(&self) -> impl Iterator<Item = (&BtrfsStanza, &BtrfsLine)> {
        self.btrfs.iter().flat_map(|stanza| stanza.volumes.iter().map(move |line| (stanza, line)))
    }

    /// Everything on devices that can be formatted or mounted.
    pub fn volumes(&self) -> impl Iterator<Item = &VolumeSpec> {
        let partitions = self.disks.iter().flat_map(|disk| &disk.partitions);
        partitions
            .map(|line| &line.volume)
            .chain(self.logical_volumes().map(|line| &line.volume))
            .chain(self.arrays().map(|(_, line)| &line.volume))
            .chain(self.encrypted().map(|(_, line)| &line.volume))
            .chain(self.btrfs_lines().map(|(_, line)| &line.volume))
    }

    /// All devices that lines of other stanzas than those of disks name.
    pub fn devices(&self) -> impl Iterator<Item = &Spanned<DeviceName>> {
        let members = self.arrays().flat_map(|(_, line)| &line.members);
        self.groups()
            .flat_map(|group| &group.devices)
            .chain(members.map(|member| &member.device))
            .chain(self.encrypted().map(|(_, line)| &line.device))
            .chain(self.btrfs_lines().flat_map(|(_, line)| &line.devices))
    }

    /// All mount points, those of file systems in memory and on servers included.
    pub fn mount_points(&self) -> impl Iterator<Item = &Spanned<MountPoint>> {
        let volumes = self.volumes().map(|volume| &volume.mount_point);
        volumes
            .chain(self.tmpfs.iter().map(|line| &line.mount_point))
            .chain(self.nfs.iter().map(|line| &line.mount_point))
    }
}

/// Which disk a stanza is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskName {
    /// `disk2`: the second disk of the machine.
    Nth(u32),
    /// A device node, `/dev/sda`, a pattern, `/dev/sd?`, or a link, `/dev/disk/by-id/…`.
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
    /// What is kept, by the numbers of partitions.
    pub keep: KeepOptions<u32>,
    /// `virtual`: the partitions are there already, and no table is written.
    pub is_virtual: bool,
    /// `vg:1`: the disk as a whole is a physical volume.
    pub is_physical_volume: bool,
    /// Lines of partitions, or one of `raw-disk`.
    pub partitions: Vec<PartitionLine>,
}

impl DiskStanza {
    /// True if the one volume is the disk itself.
    pub fn is_raw(&self) -> bool {
        self.partitions.iter().any(|line| line.kind == LineKind::RawDisk)
    }

    /// True if Hostwright writes no table: there is none, or somebody else made it.
    pub fn has_foreign_table(&self) -> bool {
        self.is_virtual || self.is_raw() || self.partitions.is_empty()
    }
}

/// What a line of a disk's stanza is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A partition.
    Partition(PartitionKind),
    /// The whole disk.
    RawDisk,
}

/// The line of a partition.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionLine {
    /// Its first word: `primary`, `logical`, `raw-disk` or `p=…`.
    pub at: Span,
    /// What it is.
    pub kind: LineKind,
    /// Name in the GPT, from `p=NAME`.
    pub name: Option<String>,
    /// How large it may be.
    pub size: Spanned<SizeRange>,
    /// What stands behind the size: `:preserve_always`, ….
    pub flag: Option<Spanned<SizeFlag>>,
    /// What it holds.
    pub volume: VolumeSpec,
}

/// The fields that all volumes on devices share.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeSpec {
    /// Where it is mounted.
    pub mount_point: Spanned<MountPoint>,
    /// `:encrypt` behind the mount point; true with `:randinit`.
    pub encrypt: Option<Spanned<bool>>,
    /// `ext4`, `swap`, …; `None` for `-`.
    pub file_system: Spanned<Option<String>>,
    /// fstab(5) options.
    pub mount_options: Spanned<String>,
    /// Words of `createopts`.
    pub create_options: Vec<String>,
    /// Words of `tuneopts`.
    pub tune_options: Spanned<Vec<String>>,
}

impl VolumeSpec {
    /// The subvolume of a btrfs that is mounted.
    pub fn subvolume(&self) -> Option<&str> {
        let mut options = self.mount_options.value.split(',');
        options.find_map(|option| option.strip_prefix("subvol="))
    }

    /// True if nothing is made or mounted: the device serves something else, or nothing.
    pub fn is_empty(&self) -> bool {
        self.file_system.value.is_none() && self.mount_point.value == MountPoint::Nowhere
    }
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

/// `disk_config raid OPTIONS` and its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct RaidStanza {
    /// The word `raid`.
    pub at: Span,
    /// `fstabkey:`; `device` unless said otherwise.
    pub fstab_key: FstabKey,
    /// What is kept, by the numbers of arrays.
    pub keep: KeepOptions<u32>,
    /// Lines of arrays.
    pub arrays: Vec<ArrayLine>,
}

/// `raid1 MOUNTPOINT DEVICES …`.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayLine {
    /// Its first word.
    pub at: Span,
    /// Level.
    pub level: RaidLevel,
    /// Members.
    pub members: Vec<MemberName>,
    /// What it holds.
    pub volume: VolumeSpec,
    /// Words of `mdcreateopts`.
    pub create_options: Vec<String>,
}

/// A member of an array, with its options.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberName {
    /// The device.
    pub device: Spanned<DeviceName>,
    /// `:spare`.
    pub spare: bool,
    /// `:missing`: its place stays empty.
    pub missing: bool,
}

/// `disk_config cryptsetup OPTIONS` and its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct EncryptionStanza {
    /// The word `cryptsetup`.
    pub at: Span,
    /// `randinit`: devices are filled with random bytes first.
    pub random_fill: bool,
    /// Lines of devices.
    pub devices: Vec<EncryptedLine>,
}

/// `luks MOUNTPOINT DEVICE …`, `tmp …`, `swap …`.
#[derive(Clone, Debug, PartialEq)]
pub struct EncryptedLine {
    /// Its first word.
    pub at: Span,
    /// Where the key comes from.
    pub key: KeyKind,
    /// The device; FAI takes the last one of a list.
    pub device: Spanned<DeviceName>,
    /// What it holds.
    pub volume: VolumeSpec,
    /// Words of `lukscreateopts`.
    pub create_options: Vec<String>,
}

/// Kinds of key. The passphrase itself stays in the text of the file: see [`super::passphrase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// `luks`: a random key in a file.
    File,
    /// `luks:"…"`.
    Passphrase,
    /// `tmp`: new at each boot, with a file system for /tmp.
    RandomTmp,
    /// `swap`: new at each boot.
    RandomSwap,
}

/// `disk_config btrfs OPTIONS` and its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct BtrfsStanza {
    /// The word `btrfs`.
    pub at: Span,
    /// `fstabkey:`; `device` unless said otherwise.
    pub fstab_key: FstabKey,
    /// Lines of file systems.
    pub volumes: Vec<BtrfsLine>,
}

/// `btrfs raid1 MOUNTPOINT DEVICES …`.
#[derive(Clone, Debug, PartialEq)]
pub struct BtrfsLine {
    /// Its first word.
    pub at: Span,
    /// Profile of data and metadata: `single`, `raid1`, ….
    pub profile: String,
    /// Its devices.
    pub devices: Vec<Spanned<DeviceName>>,
    /// What it holds.
    pub volume: VolumeSpec,
}

/// `disk_config lvm OPTIONS` and its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct LvmStanza {
    /// The word `lvm`.
    pub at: Span,
    /// `fstabkey:`; `device` unless said otherwise.
    pub fstab_key: FstabKey,
    /// What is kept, by group and volume.
    pub keep: KeepOptions<(String, String)>,
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

/// A device in a list of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// `disk1`: the Nth disk of the machine as a whole.
    Disk(u32),
    /// `disk1.2`: a partition of the Nth disk of the machine.
    Partition {
        /// Number of the disk, from 1.
        disk: u32,
        /// Number of the partition.
        number: u32,
    },
    /// A device node, `/dev/sda2`, a pattern or a link.
    Device(String),
}

/// `GROUP-VOLUME …`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogicalVolumeLine {
    /// The group.
    pub group: Spanned<String>,
    /// The volume.
    pub name: Spanned<String>,
    /// How large it may be.
    pub size: Spanned<SizeRange>,
    /// What stands behind the size: `:preserve_always`, ….
    pub flag: Option<Spanned<SizeFlag>>,
    /// What it holds.
    pub volume: VolumeSpec,
    /// Words of `lvcreateopts`.
    pub lv_create_options: Vec<String>,
}

/// `tmpfs MOUNTPOINT SIZE OPTIONS`.
#[derive(Clone, Debug, PartialEq)]
pub struct TmpfsLine {
    /// Its first word.
    pub at: Span,
    /// Where it is mounted.
    pub mount_point: Spanned<MountPoint>,
    /// How large it may become; `None` for the kernel's own limit.
    pub size: Option<Amount>,
    /// fstab(5) options.
    pub mount_options: Spanned<String>,
}

/// `nfs SERVER:/PATH MOUNTPOINT OPTIONS`.
#[derive(Clone, Debug, PartialEq)]
pub struct NfsLine {
    /// Its first word.
    pub at: Span,
    /// What is mounted; `HOSTNAME` in it stands for the machine's name.
    pub source: Spanned<String>,
    /// Where it is mounted.
    pub mount_point: Spanned<MountPoint>,
    /// fstab(5) options.
    pub mount_options: Spanned<String>,
}
