//! `storage-layout.json`: what becomes of the disks.
//!
//! All fields count, those included that Dominator's own installer passes over: `BytesPerInode`,
//! `ReservedBlocksPercentage`, `RootGroupId`, `RootUserId`.

use super::json::{self, Fields};
use crate::storage::{KNOWN_FILE_SYSTEMS, Source, Span, Spanned};
use hostwright_model::diagnostic::Diagnostic;

/// Name of the file.
pub const FILE: &str = "storage-layout.json";

/// The whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct LayoutFile {
    /// Partitions of the boot disk, in their order.
    pub partitions: Vec<PartitionEntry>,
    /// What the mount points of the boot disk's remainder, 0, and of further disks, 1, 2, …, begin
    /// with; `None` if neither is wanted.
    pub extra_basename: Option<Spanned<String>>,
    /// True to encrypt all but what boots.
    pub encrypt: bool,
    /// True to restart by kexec.
    pub use_kexec: bool,
    /// Its text.
    pub source: Source,
    /// Where the object begins.
    pub at: Span,
}

/// A partition of the boot disk.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionEntry {
    /// Where it is mounted.
    pub mount_point: Spanned<String>,
    /// Its file system, `ext4` unless it says otherwise.
    pub file_system: Spanned<String>,
    /// Of the root: room besides the image; of others: the least size.
    pub minimum_free_bytes: Option<Spanned<u64>>,
    /// The least size.
    pub minimum_bytes: Option<Spanned<u64>>,
    /// Label of the file system.
    pub label: Option<Spanned<String>>,
    /// One inode for so many bytes.
    pub bytes_per_inode: Option<Spanned<u64>>,
    /// Hundredths that only root may fill.
    pub reserved_percent: Option<Spanned<u64>>,
    /// Owner of its root directory.
    pub root_user: Option<Spanned<u64>>,
    /// Group of its root directory.
    pub root_group: Option<Spanned<u64>>,
    /// Where the entry begins.
    pub at: Span,
}

impl LayoutFile {
    /// The entry that is mounted there.
    pub fn entry(&self, mount_point: &str) -> Option<&PartitionEntry> {
        self.partitions.iter().find(|entry| entry.mount_point.value == mount_point)
    }

    /// Where the `number`th extra file system is mounted.
    pub fn extra(&self, number: usize) -> Option<String> {
        self.extra_basename.as_ref().map(|base| format!("{}{number}", base.value))
    }
}

impl PartitionEntry {
    /// True if no size is asked for.
    pub fn is_unsized(&self) -> bool {
        let is_zero =
            |size: &Option<Spanned<u64>>| size.as_ref().is_none_or(|size| size.value == 0);
        is_zero(&self.minimum_free_bytes) && is_zero(&self.minimum_bytes)
    }

    fn is_ext(&self) -> bool {
        self.file_system.value.starts_with("ext")
    }
}

/// Reads the file.
pub(super) fn parse(text: &str, found: &mut Vec<Diagnostic>) -> Option<LayoutFile> {
    json::read(FILE, text, found, |fields| {
        let layout = LayoutFile {
            partitions: fields.objects("BootDriveLayout", partition),
            extra_basename: fields.text("ExtraMountPointsBasename").filter(|b| !b.value.is_empty()),
            encrypt: fields.flag("Encrypt"),
            use_kexec: fields.flag("UseKexec"),
            source: Source::new(FILE, text),
            at: fields.at(),
        };
        check(fields, &layout);
        layout
    })
}

fn partition(fields: &Fields<'_, '_>) -> PartitionEntry {
    let at = fields.at();
    let text = |key, default: &str| {
        let given = fields.text(key).filter(|text| !text.value.is_empty());
        given.unwrap_or_else(|| Spanned::new(default.to_owned(), at))
    };
    let non_zero = |key| fields.number(key).filter(|number| number.value != 0);
    let entry = PartitionEntry {
        mount_point: text("MountPoint", ""),
        file_system: text("FileSystemType", "ext4"),
        minimum_free_bytes: fields.number("MinimumFreeBytes"),
        minimum_bytes: fields.number("MinimumBytes"),
        label: fields.text("FileSystemLabel").filter(|label| !label.value.is_empty()),
        bytes_per_inode: non_zero("BytesPerInode"),
        reserved_percent: non_zero("ReservedBlocksPercentage"),
        root_user: non_zero("RootUserId"),
        root_group: non_zero("RootGroupId"),
        at,
    };
    check_entry(fields, &entry);
    entry
}

fn check_entry(fields: &Fields<'_, '_>, entry: &PartitionEntry) {
    let bad = |at, message: String, cure: &str| fields.error("bad-layout", at, message, cure);
    let point = &entry.mount_point;
    if !is_mount_point(&point.value) {
        let message = format!("'{}' is no mount point", point.value);
        bad(point.at, message, "write an absolute path without blanks, . and .., such as /home");
    }
    let kind = &entry.file_system;
    if !KNOWN_FILE_SYSTEMS.contains(&kind.value.as_str()) {
        let message = format!("nothing here makes a file system of type '{}'", kind.value);
        bad(kind.at, message, &format!("write one of {}", KNOWN_FILE_SYSTEMS.join(", ")));
    } else if let Some(label) = &entry.label
        && (label.value.len() > longest_label(&kind.value) || !is_label(&label.value))
    {
        let longest = longest_label(&kind.value);
        let message = format!("'{}' cannot be the label of a {}", label.value, kind.value);
        let cure = format!("use at most {longest} letters, digits and marks without blanks");
        bad(label.at, message, &cure);
    }
    if let Some(percent) = entry.reserved_percent.as_ref().filter(|percent| percent.value > 50) {
        let message = format!("{} % cannot be reserved", percent.value);
        bad(percent.at, message, "write a number up to 50");
    }
    let inode = entry.bytes_per_inode.as_ref();
    if let Some(inode) = inode.filter(|inode| !(1024..=67_108_864).contains(&inode.value)) {
        let message = format!("one inode for {} bytes is not possible", inode.value);
        bad(inode.at, message, "write a number from 1024 to 67108864");
    }
    for id in [&entry.root_user, &entry.root_group].into_iter().flatten() {
        if id.value >= u64::from(u32::MAX) {
            let message = format!("there is no user or group {}", id.value);
            bad(id.at, message, "write a number below 4294967295");
        }
    }
    let options = [&entry.bytes_per_inode, &entry.reserved_percent];
    let owners = [&entry.root_user, &entry.root_group];
    let first = options.into_iter().chain(owners).flatten().next();
    if let Some(first) = first.filter(|_| !entry.is_ext()) {
        let message = format!("this field is for ext4, and the file system is {}", kind.value);
        bad(first.at, message, "leave it out, or use ext4");
    }
}

/// True for a path that can be mounted on and written into fstab as it is.
fn is_mount_point(path: &str) -> bool {
    let is_name = |name: &str| {
        let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && !br#"\"'"#.contains(&byte));
        !name.is_empty() && plain && name != "." && name != ".."
    };
    path == "/" || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_name))
}

/// How many bytes a label may have.
pub(super) fn longest_label(file_system: &str) -> usize {
    match file_system {
        "ext2" | "ext3" | "ext4" => 16,
        "xfs" => 12,
        "vfat" | "msdos" | "fat" | "exfat" => 11,
        "ntfs" => 32,
        _ => 255,
    }
}

fn is_label(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte))
}

/// Mistakes that concern several entries.
fn check(fields: &Fields<'_, '_>, layout: &LayoutFile) {
    let bad = |at, message: String, cure: &str| fields.error("bad-layout", at, message, cure);
    if layout.entry("/").is_none() {
        let cure = "add an entry with \"MountPoint\": \"/\" to BootDriveLayout";
        bad(layout.at, "nothing is mounted at /".to_owned(), cure);
    }
    if let Some(base) = &layout.extra_basename
        && !is_mount_point(&format!("{}0", base.value))
    {
        let message = format!("'{}0' is no mount point", base.value);
        bad(base.at, message, "write an absolute path such as /data/");
    }
    for (i, entry) in layout.partitions.iter().enumerate() {
        let point = &entry.mount_point;
        let is_twin = |other: &&PartitionEntry| other.mount_point.value == point.value;
        if let Some(twin) = layout.partitions[..i].iter().find(is_twin) {
            let message =
                format!("line {} mounts {} already", twin.mount_point.at.line, point.value);
            bad(point.at, message, "give each partition a mount point of its own");
        }
        let twin = entry.label.as_ref().and_then(|label| {
            let mut before = layout.partitions[..i].iter().filter_map(|other| other.label.as_ref());
            before.find(|other| other.value == label.value).map(|other| (label, other))
        });
        if let Some((label, other)) = twin {
            let message = format!("line {} gives the label {} already", other.at.line, label.value);
            bad(label.at, message, "give each file system a label of its own");
        }
    }
    check_remainder(fields, layout);
}

/// Only one partition can take what the others leave.
fn check_remainder(fields: &Fields<'_, '_>, layout: &LayoutFile) {
    let bad = |at, message: String, cure: &str| fields.error("bad-layout", at, message, cure);
    let extra = layout.extra(0);
    let is_extra = |entry: &PartitionEntry| Some(&entry.mount_point.value) == extra.as_ref();
    let has_extra = layout.partitions.iter().any(is_extra);
    let last = layout.partitions.len().saturating_sub(1);
    for (i, entry) in layout.partitions.iter().enumerate() {
        let point = &entry.mount_point.value;
        let may_be_unsized = point == "/" || (i == last && (has_extra || extra.is_none()));
        if entry.is_unsized() && !may_be_unsized {
            let message = format!("nothing says how large {point} is to be");
            let cure = "add MinimumBytes; only the last partition can take the rest of the disk";
            bad(entry.at, message, cure);
        }
    }
    if has_extra && !layout.partitions[last].is_unsized() {
        let message = "the last partition has a size, and has to take the rest of the disk";
        let cure = "take its MinimumBytes and MinimumFreeBytes away, or leave the extra one out";
        bad(layout.partitions[last].at, message.to_owned(), cure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        parse(text, &mut found);
        let told = |diagnostic: &Diagnostic| {
            let at = diagnostic.at.as_ref().expect("a place");
            format!("{}:{} {}", at.line, at.column, diagnostic.message)
        };
        found.iter().map(told).collect()
    }

    fn with(entry: &str) -> String {
        format!("{{\"BootDriveLayout\": [{{\"MountPoint\": \"/\"}},\n{entry}]}}")
    }

    #[test]
    fn every_field_counts_and_is_checked() {
        for (entry, expected) in [
            (r#"{"MountPoint": "home"}"#, "2:16 'home' is no mount point"),
            (r#"{"MountPoint": "/a b"}"#, "2:16 '/a b' is no mount point"),
            (r#"{"MountPoint": "/a/../b"}"#, "2:16 '/a/../b' is no mount point"),
            (r#"{"MountPoint": "/"}"#, "2:16 line 1 mounts / already"),
            (
                r#"{"MountPoint": "/h", "FileSystemType": "zfs"}"#,
                "2:40 nothing here makes a file system of type 'zfs'",
            ),
            (
                r#"{"MountPoint": "/h", "FileSystemLabel": "seventeen-letters"}"#,
                "2:41 'seventeen-letters' cannot be the label of a ext4",
            ),
            (
                r#"{"MountPoint": "/h", "ReservedBlocksPercentage": 51}"#,
                "2:50 51 % cannot be reserved",
            ),
            (
                r#"{"MountPoint": "/h", "BytesPerInode": 12}"#,
                "2:39 one inode for 12 bytes is not possible",
            ),
            (
                r#"{"MountPoint": "/h", "RootUserId": 4294967295}"#,
                "2:36 there is no user or group 4294967295",
            ),
            (
                r#"{"MountPoint": "/h", "FileSystemType": "xfs", "BytesPerInode": 4096}"#,
                "2:64 this field is for ext4, and the file system is xfs",
            ),
        ] {
            assert_eq!(findings(&with(entry)), [expected], "{entry}");
        }
    }

    #[test]
    fn one_partition_takes_the_rest() {
        let base = "\"ExtraMountPointsBasename\": \"/data/\"";
        let sized = r#"{"MountPoint": "/h", "MinimumBytes": 1}"#;
        for (text, expected) in [
            (with(r#"{"MountPoint": "/h"}"#), None),
            (
                format!(
                    "{{\"BootDriveLayout\": [{{\"MountPoint\": \"/\"}}, {{\"MountPoint\": \"/h\"}}], {base}}}"
                ),
                Some("nothing says how large /h is to be"),
            ),
            (
                format!("{{\"BootDriveLayout\": [{{\"MountPoint\": \"/\"}}, {sized}], {base}}}"),
                None,
            ),
            (
                format!(
                    "{{\"BootDriveLayout\": [{{\"MountPoint\": \"/data/0\"}}, {{\"MountPoint\": \"/\"}}, {sized}], {base}}}"
                ),
                Some("nothing says how large /data/0 is to be"),
            ),
            (format!("{{\"BootDriveLayout\": [{sized}]}}"), Some("nothing is mounted at /")),
            (
                r#"{"BootDriveLayout": [{"MountPoint": "/"}], "ExtraMountPointsBasename": "data"}"#
                    .to_owned(),
                Some("'data0' is no mount point"),
            ),
        ] {
            let found = findings(&text);
            match expected {
                None => assert_eq!(found, Vec::<String>::new(), "{text}"),
                Some(expected) => assert!(found[0].ends_with(expected), "{text}: {found:?}"),
            }
        }
    }
}
