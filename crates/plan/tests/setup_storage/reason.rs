//! Where a layout differs from FAI's on purpose, and how that is told from a mistake.

use crate::compare::{self, Ours};
use crate::machine::Sample;
use crate::oracle::Answer;
use hostwright_model::diagnostic::Severity;
use hostwright_plan::storage::examine;
use std::collections::BTreeSet;

/// Why a layout differs on purpose: a closed list, each in `docs/reference/setup-storage.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Without `--fai-bugs` nothing is aligned to cylinders because something is kept.
    SectorAlignment,
    /// Partitions begin and end at whole sectors; FAI computes fractions of bytes, or puts the
    /// beginning of an extended partition before the end of its neighbour.
    WholeSectors,
    /// `bootable` names a partition that the stanza does not make.
    BootableNowhere,
    /// A mistake that FAI finds when it has begun to write, or never.
    FoundEarly,
    /// Where several disks have btrfs on lines of partitions, FAI loses all but one.
    InlineBtrfsLost,
    /// fstab names a btrfs by its own `fstabkey` and its first device; FAI by the key of another
    /// stanza, or by any device.
    BtrfsName,
    /// FAI finds no order of its commands.
    NoOrder,
    /// What is kept bounds its neighbours by where it lies; FAI goes by numbers.
    NearestKept,
    /// FAI holds the size of a line against the disk although the partition is kept as it is.
    SizeOfKept,
    /// What is to be kept would be encrypted with a new key, or overwritten by what is made of it.
    ContentLost,
    /// An encrypted device on a partition that is kept is kept with its content.
    EncryptedKept,
    /// A group of which no volume is kept is made anew.
    GroupMadeAgain,
    /// `sameas` copies `disklabel` and `fstabkey`: what stood before it is of no use.
    BeforeSameas,
}

/// The reasons of all differences; nothing if one of them has none.
pub fn reasons(
    sample: &Sample,
    theirs: &Answer,
    ours: &Ours,
    found: &[String],
) -> Option<BTreeSet<Reason>> {
    if !sample.facts.fai_bugs {
        let mut facts = sample.facts.clone();
        facts.fai_bugs = true;
        let again = examine("disk_config", &sample.config, None, &facts);
        let again: Ours = again.layout.ok_or(again.diagnostics);
        let left = compare::differences(theirs, &again);
        if left != found && left.iter().all(|line| about(line, &again, theirs, sample).is_some()) {
            return Some([Reason::SectorAlignment].into());
        }
    }
    found.iter().map(|line| about(line, ours, theirs, sample)).collect()
}

fn about(line: &str, ours: &Ours, theirs: &Answer, sample: &Sample) -> Option<Reason> {
    let layout = match ours {
        Err(errors) => {
            let errors = errors.iter().filter(|error| error.severity == Severity::Error);
            let codes: BTreeSet<&str> = errors.map(|error| error.code.as_str()).collect();
            return only_ours_refuses(sample, codes);
        }
        Ok(_) if !theirs.accepted => return only_theirs_refuses(sample, &theirs.message),
        Ok(layout) => layout,
    };
    let what = line.split([':', ' ']).next().unwrap_or_default();
    let has_btrfs = layout.volumes.iter().any(|volume| volume.btrfs.is_some());
    let inline = sample.config.lines().filter(|line| line.contains(" btrfs rw,subvol")).count();
    match what {
        // Sizes that are whole numbers of sectors leave nothing to round.
        "rounding"
            if ["MB ", "MB-", "k ", "RAM:", "%"].iter().any(|u| sample.config.contains(u)) =>
        {
            Some(Reason::WholeSectors)
        }
        "volume"
            if line.starts_with("volume groups") && !sample.facts.existing.groups.is_empty() =>
        {
            Some(Reason::GroupMadeAgain)
        }
        "file" if !layout.encrypted.is_empty() => Some(Reason::EncryptedKept),
        "fstab" | "BOOT_DEVICE"
            if has_btrfs && compare::differs_by_names_of_btrfs(theirs, layout) =>
        {
            Some(Reason::BtrfsName)
        }
        "fstab" | "BOOT_DEVICE" | "BOOT_PARTITION" | "ESP_DEVICE" if inline > 1 => {
            Some(Reason::InlineBtrfsLost)
        }
        device if keeps_behind_logical(theirs, device) => Some(Reason::NearestKept),
        _ => None,
    }
}

/// True if a primary partition that is kept has a higher number than the extended one.
fn keeps_behind_logical(theirs: &Answer, device: &str) -> bool {
    let Some(placed) = theirs.partitions.get(device) else { return false };
    let extended = placed.iter().find(|(_, place)| place.extended);
    let kept = |number: &u32| placed.iter().any(|(n, p)| n > number && *n <= 4 && p.kept);
    extended.is_some_and(|(number, _)| kept(number))
}

fn only_ours_refuses(sample: &Sample, codes: BTreeSet<&str>) -> Option<Reason> {
    let mut codes = codes.into_iter();
    let (code, None) = (codes.next()?, codes.next()) else { return None };
    match code {
        "disk-config-no-such-partition" if sample.config.contains("bootable:") => {
            Some(Reason::BootableNowhere)
        }
        "disk-config-encrypted-boot"
        | "disk-config-group-too-small"
        | "disk-config-empty-partition"
        | "disk-config-keep-missing" => Some(Reason::FoundEarly),
        "disk-config-keep-not-possible" => Some(Reason::ContentLost),
        "disk-config-partlabel-on-msdos" if sample.config.contains("sameas:") => {
            Some(Reason::BeforeSameas)
        }
        _ => None,
    }
}

fn only_theirs_refuses(sample: &Sample, message: &str) -> Option<Reason> {
    let keeps = sample.config.contains("preserve_");
    if message.starts_with("Cannot satisfy pre-depends for") {
        return Some(Reason::NoOrder);
    }
    let overflow = "Previous partitions overflow begin of preserved partition";
    let is_of_order = message.starts_with(overflow) || message.starts_with("Insufficient space");
    if is_of_order && keeps {
        return Some(Reason::NearestKept);
    }
    (message.starts_with("Sorry, can't create a partition") && keeps).then_some(Reason::SizeOfKept)
}
