//! What a place on a simulated disk holds, and whether anybody still recognises it.

use super::tree::Tree;
use std::collections::BTreeSet;

/// A file system or whatever else has a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    FileSystem(FileSystem),
    Swap {
        uuid: String,
        label: Option<String>,
    },
    /// An LVM physical volume, and the UUID of the group it is in.
    PhysicalVolume {
        uuid: String,
        group: Option<String>,
    },
    /// A member of a RAID array, by the array's UUID.
    RaidMember {
        array: String,
    },
    /// A further device of a btrfs, by its UUID.
    BtrfsMember {
        uuid: String,
    },
    /// A LUKS header with what is behind it.
    Luks {
        uuid: String,
        /// The key that opens it.
        key: Vec<u8>,
        /// Keys that were added, which open it, too.
        more_keys: Vec<Vec<u8>>,
        /// The registers of the TPM that opens it.
        sealed: Option<String>,
        inner: Option<Box<Slot>>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    pub(super) kind: String,
    pub(super) uuid: String,
    pub(super) label: Option<String>,
    /// How much of its device it takes. A device that is smaller has lost a part of it.
    pub(super) size: u64,
    /// How many devices it is on.
    pub(super) devices: usize,
    /// What mkfs and tune2fs were told.
    pub(super) options: BTreeSet<String>,
    pub(super) tree: Tree,
}

/// Content with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) content: Content,
    /// True if its signature was wiped: the bytes are there, but nobody recognises them.
    pub(super) wiped: bool,
}

impl Slot {
    pub(super) fn new(content: Content) -> Self {
        Self { content, wiped: false }
    }

    /// The content, where its signature is.
    pub(super) fn seen(&self) -> Option<&Content> {
        (!self.wiped).then_some(&self.content)
    }

    pub(super) fn seen_mut(&mut self) -> Option<&mut Content> {
        (!self.wiped).then_some(&mut self.content)
    }
}

impl Content {
    /// blkid's name for it.
    pub(super) fn kind(&self) -> &str {
        match self {
            Self::FileSystem(file_system) => &file_system.kind,
            Self::Swap { .. } => "swap",
            Self::PhysicalVolume { .. } => "LVM2_member",
            Self::RaidMember { .. } => "linux_raid_member",
            Self::BtrfsMember { .. } => "btrfs",
            Self::Luks { .. } => "crypto_LUKS",
        }
    }

    pub(super) fn uuid(&self) -> &str {
        match self {
            Self::FileSystem(FileSystem { uuid, .. })
            | Self::Swap { uuid, .. }
            | Self::PhysicalVolume { uuid, .. }
            | Self::RaidMember { array: uuid }
            | Self::BtrfsMember { uuid }
            | Self::Luks { uuid, .. } => uuid,
        }
    }

    pub(super) fn label(&self) -> Option<&str> {
        match self {
            Self::FileSystem(FileSystem { label, .. }) | Self::Swap { label, .. } => {
                label.as_deref()
            }
            _ => None,
        }
    }
}
