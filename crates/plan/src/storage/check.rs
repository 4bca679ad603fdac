//! Mistakes in what a disk_config says that can be seen without a machine.

use super::ast::{DeviceName, DiskConfig, DiskName, DiskStanza, LineKind, MountPoint, VolumeSpec};
use super::code::Code;
use super::file_system::is_tunable;
use super::numbering::{Content, Numbered, number};
use super::source::{Problem, Span};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::storage::TableKind;
use std::collections::BTreeMap;

/// Everything wrong with `config` on any machine. Where lines are missing because they could not be
/// read, nothing is said about what is missing.
pub fn check(config: &DiskConfig) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for stanza in &config.disks {
        check_stanza(stanza, config.incomplete, &mut problems);
    }
    check_disks(config, &mut problems);
    check_mount_points(config, &mut problems);
    config.volumes().for_each(|volume| check_volume(volume, &mut problems));
    check_sizes(config, &mut problems);
    check_stacks(config, &mut problems);
    check_lvm(config, &mut problems);
    problems.sort_by_key(|problem| problem.at);
    problems.into_iter().map(|problem| config.source.diagnose(problem)).collect()
}

/// The mistake of a layout without a root file system, for targets that must boot.
pub fn check_root(config: &DiskConfig) -> Option<Diagnostic> {
    let root = config.volumes().any(|volume| volume.mount_point.value.path() == Some("/"));
    if root || config.incomplete {
        return None;
    }
    let first = config.disks.first();
    let at = first.map_or(Span { line: 1, ..Span::default() }, |disk| disk.disk.at);
    let message = "nothing is mounted at /, so that there is nothing to install into";
    let cure = "add a line for it, such as `primary / 4G- ext4 rw`";
    Some(config.source.diagnose(Problem::error(Code::NoRoot, at, message, cure)))
}

fn check_stanza(stanza: &DiskStanza, incomplete: bool, problems: &mut Vec<Problem>) {
    let (numbered, numbering_problems) = number(stanza);
    problems.extend(numbering_problems);
    let raw = stanza.partitions.iter().position(|line| line.kind == LineKind::RawDisk);
    if let (Some(raw), true) = (raw, stanza.partitions.len() > 1) {
        let at = stanza.partitions[raw.max(1)].at;
        let message = "raw-disk is the whole disk, and leaves no room for anything else";
        let cure = "remove raw-disk, or the other lines of the stanza";
        problems.push(Problem::error(Code::RawDiskMixed, at, message, cure));
    }
    if stanza.partitions.is_empty() && !stanza.is_physical_volume && !incomplete {
        let message = "this disk gets no partitions";
        let cure = "add a line such as `primary / 4G- ext4 rw`, or remove the stanza";
        problems.push(Problem::error(Code::EmptyStanza, stanza.disk.at, message, cure));
    }
    if let Some(bootable) = &stanza.bootable {
        let found = numbered.iter().find(|partition| partition.number == bootable.value);
        if found.is_none() && !incomplete {
            problems.push(no_such_partition(bootable.value, &numbered, bootable.at));
        }
    }
    for (id, at) in stanza.keep.listed().filter(|_| !incomplete) {
        let is_made = |partition: &&Numbered<'_>| {
            partition.number == *id && matches!(partition.content, Content::Line(_))
        };
        // The one volume of a disk without partitions counts as number 0.
        let is_disk = *id == 0 && stanza.is_raw();
        if !is_disk && !numbered.iter().any(|partition| is_made(&partition)) {
            problems.push(no_such_partition(*id, &numbered, at));
        }
    }
    let msdos = stanza.table == TableKind::Msdos;
    for line in stanza.partitions.iter().filter(|line| msdos && line.name.is_some()) {
        let message = "a PC partition table has no place for the name of a partition";
        let cure = "write disklabel:gpt, or primary instead of p=";
        problems.push(Problem::warning(Code::NameOnMsdos, line.at, message, cure));
    }
}

fn no_such_partition(wanted: u32, numbered: &[Numbered<'_>], at: Span) -> Problem {
    let made = |partition: &&Numbered<'_>| matches!(partition.content, Content::Line(_));
    let numbers: Vec<String> =
        numbered.iter().filter(made).map(|partition| partition.number.to_string()).collect();
    let message = format!("the stanza makes no partition number {wanted}");
    let cure = match numbers.is_empty() {
        true => "add a line for it".to_owned(),
        false => format!("use one of {}", numbers.join(", ")),
    };
    Problem::error(Code::NoSuchPartition, at, message, cure)
}

fn check_disks(config: &DiskConfig, problems: &mut Vec<Problem>) {
    for (i, stanza) in config.disks.iter().enumerate() {
        let earlier = config.disks[..i].iter().find(|other| other.disk.value == stanza.disk.value);
        if let Some(earlier) = earlier {
            problems.push(duplicate_disk(stanza.disk.at, earlier.disk.at));
        }
    }
}

/// The mistake of two stanzas for one disk.
pub(super) fn duplicate_disk(at: Span, earlier: Span) -> Problem {
    let message = format!("line {} has a stanza for this disk already", earlier.line);
    let cure = "put all partitions of a disk into one stanza";
    Problem::error(Code::DuplicateDisk, at, message, cure)
}

fn check_mount_points(config: &DiskConfig, problems: &mut Vec<Problem>) {
    let mut lines: BTreeMap<&str, u32> = BTreeMap::new();
    let mut mounted: Vec<_> = config
        .mount_points()
        .filter_map(|mount_point| Some((mount_point.at, mount_point.value.path()?)))
        .collect();
    mounted.sort();
    for (at, path) in mounted {
        let Some(line) = lines.insert(path, at.line) else { continue };
        let message = match line == at.line {
            true => format!("{path} is mounted twice: sameas copies this line"),
            false => format!("{path} is mounted by line {line} already"),
        };
        let cure = "give each volume a mount point of its own, or -";
        problems.push(Problem::error(Code::DuplicateMountPoint, at, message, cure));
    }
}

fn check_sizes(config: &DiskConfig, problems: &mut Vec<Problem>) {
    let partitions = config.disks.iter().flat_map(|disk| &disk.partitions).map(|line| &line.size);
    for size in partitions.chain(config.logical_volumes().map(|line| &line.size)) {
        if size.value.is_inverted() {
            let message = "the upper bound of this size is below the lower one";
            let cure = "write the smaller size first";
            problems.push(Problem::error(Code::InvertedRange, size.at, message, cure));
        }
    }
}

/// Stanzas of RAID and btrfs must have lines, and what they list must be defined.
fn check_stacks(config: &DiskConfig, problems: &mut Vec<Problem>) {
    let empty_raid = config.raid.iter().filter(|stanza| stanza.arrays.is_empty());
    let empty_btrfs = config.btrfs.iter().filter(|stanza| stanza.volumes.is_empty());
    let empty = empty_raid.map(|stanza| stanza.at).chain(empty_btrfs.map(|stanza| stanza.at));
    for at in empty.filter(|_| !config.incomplete) {
        let message = "this stanza makes nothing";
        let cure = "add lines below it, or remove it";
        problems.push(Problem::error(Code::EmptyStanza, at, message, cure));
    }
    if config.incomplete {
        return;
    }
    let count = config.arrays().count();
    for (id, at) in config.raid.iter().flat_map(|stanza| stanza.keep.listed()) {
        if *id as usize >= count {
            problems.push(no_such_volume(&format!("/dev/md{id}"), at));
        }
    }
    for ((group, name), at) in config.lvm.iter().flat_map(|stanza| stanza.keep.listed()) {
        let is_this = |line: &super::ast::LogicalVolumeLine| {
            line.group.value == *group && line.name.value == *name
        };
        if !config.logical_volumes().any(is_this) {
            problems.push(no_such_volume(&format!("{group}-{name}"), at));
        }
    }
}

fn no_such_volume(name: &str, at: Span) -> Problem {
    let message = format!("no line of this file makes {name}");
    let cure = "add the line, or take it off the list";
    Problem::error(Code::NoSuchVolume, at, message, cure)
}

fn check_volume(volume: &VolumeSpec, problems: &mut Vec<Problem>) {
    let file_system = volume.file_system.value.as_deref();
    let at = volume.file_system.at;
    let mismatch =
        |message: String, cure: &str| Problem::error(Code::FileSystemMismatch, at, message, cure);
    match (&volume.mount_point.value, file_system) {
        (MountPoint::Path(path), None) => problems.push(mismatch(
            format!("{path} would be mounted without a file system"),
            "name a file system, or write - for the mount point",
        )),
        (MountPoint::Path(path), Some("swap")) => problems.push(mismatch(
            format!("{path} is a mount point, and swap cannot be mounted"),
            "write swap for the mount point, or name a file system",
        )),
        (MountPoint::Swap, file_system) if file_system != Some("swap") => problems.push(mismatch(
            "swap space must be made by mkswap".to_owned(),
            "write swap for the file system too",
        )),
        _ => {}
    }
    let tune = &volume.tune_options;
    if !tune.value.is_empty() && !file_system.is_some_and(is_tunable) {
        let message = format!("tune2fs does not know {}", file_system.unwrap_or("such a volume"));
        let cure = "remove tuneopts, or use ext2, ext3 or ext4";
        problems.push(Problem::error(Code::TuneNotPossible, tune.at, message, cure));
    }
    let options = volume.mount_options.value.split(',');
    let mut subvolumes = options.filter_map(|option| option.strip_prefix("subvol="));
    if file_system == Some("btrfs") && subvolumes.all(str::is_empty) {
        let message = "a btrfs needs the name of its first subvolume";
        let cure = "add subvol=NAME to the mount options, such as subvol=@";
        let at = volume.mount_options.at;
        problems.push(Problem::error(Code::NoSubvolume, at, message, cure));
    }
}

fn check_lvm(config: &DiskConfig, problems: &mut Vec<Problem>) {
    if let Some((last, earlier)) = config.lvm.split_last()
        && earlier.iter().any(|stanza| stanza.fstab_key != last.fstab_key)
    {
        let message = "the lvm stanzas differ in fstabkey, and the last one counts for all";
        let cure = "write the same fstabkey on each `disk_config lvm`";
        problems.push(Problem::warning(Code::LvmFstabkeyReset, last.at, message, cure));
    }
    check_groups(config, problems);
    check_logical_volumes(config, problems);
    for device in config.devices() {
        if let DeviceName::Partition { disk, number } = device.value {
            check_disk_partition(config, disk, number, device.at, problems);
        }
    }
}

fn check_groups(config: &DiskConfig, problems: &mut Vec<Problem>) {
    let mut lines: BTreeMap<&str, u32> = BTreeMap::new();
    for group in config.groups() {
        let (name, at) = (&group.name.value, group.name.at);
        if let Some(line) = lines.insert(name, at.line) {
            let message = format!("line {line} declares the volume group {name} already");
            let cure = "name all its devices in one `vg` line, or choose another name";
            problems.push(Problem::error(Code::DuplicateGroup, at, message, cure));
        }
    }
}

fn check_logical_volumes(config: &DiskConfig, problems: &mut Vec<Problem>) {
    let mut lines: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for volume in config.logical_volumes() {
        let (group, name, at) = (&volume.group.value, &volume.name.value, volume.name.at);
        let declared = config.groups().find(|line| &line.name.value == group);
        let before = declared.is_some_and(|line| line.name.at < at);
        if !before && !config.incomplete {
            let message = format!("no line before this one declares the volume group {group}");
            let cure = match declared {
                Some(_) => "put the `vg` line first".to_owned(),
                None => format!("add a line such as `vg {group} disk1.2`"),
            };
            problems.push(Problem::error(Code::GroupUndeclared, volume.group.at, message, cure));
        }
        if let Some(line) = lines.insert((group, name), at.line) {
            let message = format!("line {line} defines {group}-{name} already");
            let cure = "choose another name";
            problems.push(Problem::error(Code::DuplicateLogicalVolume, at, message, cure));
        }
    }
}

/// Looks up `diskN.P` where the file speaks of disk N by its number; the rest needs a machine.
fn check_disk_partition(
    config: &DiskConfig,
    disk: u32,
    wanted: u32,
    at: Span,
    problems: &mut Vec<Problem>,
) {
    let named = |stanza: &&DiskStanza| stanza.disk.value == DiskName::Nth(disk);
    let Some(stanza) = config.disks.iter().find(named) else { return };
    let (numbered, _) = number(stanza);
    let is_wanted = |partition: &Numbered<'_>| {
        partition.number == wanted && matches!(partition.content, Content::Line(_))
    };
    if !config.incomplete && !numbered.iter().any(is_wanted) {
        problems.push(no_such_partition(wanted, &numbered, at));
    }
}
