//! The stable names of everything that can be wrong with a disk_config.

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// What is wrong with a disk_config; each has a stable kebab-case name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Code {
            /// All of them, with their meaning, for the reference pages and for tests.
            pub const ALL: &[(Code, &str)] =
                &[$((Code::$variant, concat!($($doc),*)),)*];

            /// The name that users see and may search for.
            pub fn name(self) -> &'static str {
                match self {
                    $(Code::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    /// Lines end in CR LF; FAI accepts LF only.
    Crlf = "disk-config-crlf",
    /// The last line has no line end, which FAI refuses.
    NoFinalNewline = "disk-config-no-final-newline",
    /// A `;` before any `#`: FAI takes the file for one of its old format and refuses all of it.
    OldStyle = "disk-config-old-style",
    /// A comment behind something else; a comment needs a line of its own.
    TrailingComment = "disk-config-trailing-comment",
    /// FAI has it, this version does not: a journal on a device of its own, or reiserfs.
    NotSupported = "disk-config-not-supported",
    /// `disk_config` is followed by nothing, or by what is neither a stanza nor a disk.
    BadStanza = "disk-config-bad-stanza",
    /// The line begins with nothing that a disk_config knows.
    UnknownLine = "disk-config-unknown-line",
    /// A word behind a complete line or header that is no option of it.
    UnknownOption = "disk-config-unknown-option",
    /// An option with a value that it does not take.
    BadOptionValue = "disk-config-bad-option-value",
    /// The same option twice on a line; the last one counts.
    RepeatedOption = "disk-config-repeated-option",
    /// A line that belongs into another stanza, or into one at all.
    WrongStanza = "disk-config-wrong-stanza",
    /// The line ends before everything it needs was said.
    MissingField = "disk-config-missing-field",
    /// Neither a path, `swap` nor `-`.
    BadMountPoint = "disk-config-bad-mount-point",
    /// Not a size or a range of sizes.
    BadSize = "disk-config-bad-size",
    /// Not a file system that can be made.
    BadFileSystem = "disk-config-bad-file-system",
    /// Not a list of devices.
    BadDevice = "disk-config-bad-device",
    /// Not a name for a volume group or a logical volume.
    BadName = "disk-config-bad-name",
    /// Options for a program that only a shell could read.
    BadProgramOptions = "disk-config-bad-program-options",
    /// Two stanzas for one disk.
    DuplicateDisk = "disk-config-duplicate-disk",
    /// A stanza without partitions.
    EmptyStanza = "disk-config-empty-stanza",
    /// More than four entries in a PC partition table.
    TooManyPrimaries = "disk-config-too-many-primaries",
    /// A logical partition in a GPT.
    LogicalOnGpt = "disk-config-logical-on-gpt",
    /// `fstabkey:partlabel` without a GPT.
    PartlabelOnMsdos = "disk-config-partlabel-on-msdos",
    /// A partition name without a GPT to hold it.
    NameOnMsdos = "disk-config-name-on-msdos",
    /// One mount point for two volumes.
    DuplicateMountPoint = "disk-config-duplicate-mount-point",
    /// A mount point, or swap space, on something that is not made into that.
    FileSystemMismatch = "disk-config-file-system-mismatch",
    /// `tuneopts` for a file system that tune2fs(8) does not know.
    TuneNotPossible = "disk-config-tune-not-possible",
    /// A partition number that the stanza does not define.
    NoSuchPartition = "disk-config-no-such-partition",
    /// A range whose upper end lies below its lower end.
    InvertedRange = "disk-config-inverted-range",
    /// A logical volume of a group that no earlier line declares.
    GroupUndeclared = "disk-config-group-undeclared",
    /// A volume group declared twice.
    DuplicateGroup = "disk-config-duplicate-group",
    /// A logical volume defined twice.
    DuplicateLogicalVolume = "disk-config-duplicate-logical-volume",
    /// A partition that serves two purposes.
    DeviceUsedTwice = "disk-config-device-used-twice",
    /// RAID 0 with spares or missing members.
    Raid0Spare = "disk-config-raid0-spare",
    /// Fewer members than the level of an array needs.
    TooFewMembers = "disk-config-too-few-members",
    /// Several devices for an encrypted one; only the last counts.
    OneDevice = "disk-config-one-device",
    /// Encryption by `:encrypt` behind a mount point.
    InlineEncryption = "disk-config-inline-encryption",
    /// The boot loader would have to read an encrypted file system.
    EncryptedBoot = "disk-config-encrypted-boot",
    /// btrfs without a mount option `subvol=`.
    NoSubvolume = "disk-config-no-subvolume",
    /// `raw-disk` beside partitions.
    RawDiskMixed = "disk-config-raw-disk-mixed",
    /// `sameas` names a disk that no earlier stanza is for.
    NoSuchStanza = "disk-config-no-such-stanza",
    /// An option speaks of an array or logical volume that no line defines.
    NoSuchVolume = "disk-config-no-such-volume",
    /// A pattern or link that fits more than one device.
    AmbiguousDevice = "disk-config-ambiguous-device",
    /// Devices that need each other to be made.
    StackingLoop = "disk-config-stacking-loop",
    /// Something is to be kept or resized and does not exist.
    KeepMissing = "disk-config-keep-missing",
    /// Something is to be kept and is of another kind than the file says.
    KeepMismatch = "disk-config-keep-mismatch",
    /// A partition that is to be kept lies where another one has to be.
    KeepBlocked = "disk-config-keep-blocked",
    /// Something is to be kept that cannot be.
    KeepNotPossible = "disk-config-keep-not-possible",
    /// Something that is kept has another size than the file asks for.
    KeepSize = "disk-config-keep-size",
    /// A file system cannot get the size that the file asks for.
    ResizeNotPossible = "disk-config-resize-not-possible",
    /// Something of an earlier life lies on a disk of this plan and on one that is not in it.
    ForeignLayer = "disk-config-foreign-layer",
    /// A device of the plan is mounted in the running system.
    DeviceInUse = "disk-config-device-in-use",
    /// A volume group or array of this name exists elsewhere on the machine.
    NameTaken = "disk-config-name-taken",
    /// LVM stanzas that disagree about `fstabkey`; the last one counts for all.
    LvmFstabkeyReset = "disk-config-lvm-fstabkey-reset",
    /// No volume is mounted at `/`.
    NoRoot = "disk-config-no-root",
    /// The machine has no such disk.
    NoSuchDisk = "disk-config-no-such-disk",
    /// `align-at` does not fit the sectors of the disk.
    BadAlignment = "disk-config-bad-alignment",
    /// With `--fai-bugs`: partitions begin and end at cylinders because something is kept, as FAI
    /// does with a PC partition table.
    CylinderAlignment = "disk-config-cylinder-alignment",
    /// The disk has no room for this volume.
    DiskTooSmall = "disk-config-disk-too-small",
    /// The volume group has no room for this volume.
    GroupTooSmall = "disk-config-group-too-small",
    /// A partition of more than 2 TiB in a PC partition table.
    PartitionOver2Tib = "disk-config-partition-over-2-tib",
    /// A partition that would hold not one sector.
    EmptyPartition = "disk-config-empty-partition",
    /// A UEFI machine without an EFI system partition.
    NoEfiSystemPartition = "disk-config-no-efi-system-partition",
    /// An EFI system partition that firmware cannot read.
    EfiSystemPartitionNotFat = "disk-config-efi-system-partition-not-fat",
    /// A GPT on a BIOS machine without a partition for GRUB.
    NoBiosBootPartition = "disk-config-no-bios-boot-partition",
}
