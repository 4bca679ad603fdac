//! The file systems that a disk_config may name.

use hostwright_model::storage::PartitionContent;

/// What mkfs can make here. FAI takes whatever `mkfs.NAME` it finds; this list is what the tools
/// image holds.
pub const KNOWN: [&str; 11] =
    ["ext4", "ext3", "ext2", "xfs", "btrfs", "f2fs", "vfat", "msdos", "fat", "exfat", "ntfs"];

/// True if a file system of this name can be made.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// The feature of FAI's behind a file system of this name that this version lacks.
pub(super) fn refused_feature(name: &str) -> Option<&'static str> {
    let (kind, option) = name.split_once(':').unwrap_or((name, ""));
    match kind {
        "reiserfs" => Some("reiserfs"),
        "ext3_journal" | "ext4_journal" | "xfs_journal" => Some("an external journal"),
        _ if option.starts_with("journal=") => Some("an external journal"),
        _ => None,
    }
}

/// True if tune2fs(8) can work on it.
pub(super) fn is_tunable(name: &str) -> bool {
    matches!(name, "ext2" | "ext3" | "ext4")
}

/// True for what firmware reads.
pub(super) fn is_fat(name: Option<&str>) -> bool {
    matches!(name, Some("vfat" | "msdos" | "fat"))
}

/// What a partition with this file system is for.
pub(super) fn content(name: Option<&str>) -> PartitionContent {
    match name {
        Some("swap") => PartitionContent::Swap,
        _ if is_fat(name) => PartitionContent::Fat,
        _ => PartitionContent::Linux,
    }
}
