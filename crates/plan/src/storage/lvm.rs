//! Sizes of logical volumes, as FAI computes them, and whether LVM will have room for them.

use super::ast::{GroupLine, LogicalVolumeLine};
use super::code::Code;
use super::describe;
use super::size::{ByteRange, mib_to_bytes, through_text};
use super::source::Problem;
use hostwright_model::size::{ByteSize, MIB};
use std::collections::BTreeMap;

/// Size of LVM's extents unless vgcreate(8) is told otherwise.
const EXTENT_BYTES: u64 = 4 * MIB;
/// What LVM keeps at the beginning of a physical volume for itself.
const METADATA_BYTES: u64 = MIB;
/// lvcreate(8) reads a size as a number of sectors.
const SECTOR_BYTES: f64 = 512.0;
/// FAI leaves one hundredth of a group to LVM.
const USABLE: f64 = 0.99;

/// What a group has to give.
pub(super) struct Room<'a> {
    /// The group.
    pub group: &'a GroupLine,
    /// Sizes of its physical volumes, as FAI estimates them.
    pub physical_bytes: Vec<f64>,
    /// Sizes of volumes that exist and are kept, by name.
    pub kept: BTreeMap<&'a str, u64>,
    /// Size of the machine's memory.
    pub memory_bytes: u64,
}

/// Sizes in bytes for `lvcreate -L`, in the order of `lines`, all of which are of one group.
///
/// Every volume gets its lower bound and the same fraction of the difference to its upper bound.
/// FAI reckons so with volumes that are kept, too, as if they could have any size: that holds as long
/// as it fits. Where it does not, the rest of the group is shared out among the others.
pub(super) fn sizes(room: &Room<'_>, lines: &[&LogicalVolumeLine]) -> Result<Vec<u64>, Problem> {
    let physical_mib = room.physical_bytes.iter().map(|bytes| bytes / MIB as f64);
    let group_mib = physical_mib.sum::<f64>() * USABLE;
    let base_bytes = mib_to_bytes(through_text(group_mib));
    let written: Result<Vec<ByteRange>, Problem> =
        lines.iter().map(|line| range_mib(line, base_bytes, room)).collect();
    if room.kept.is_empty() {
        let ranges = written?;
        let mut sizes = share(room, lines, &ranges, group_mib)?;
        fit_extents(room, lines, &ranges, &mut sizes)?;
        return Ok(sizes);
    }
    let as_fai = written.and_then(|ranges| share(room, lines, &ranges, group_mib));
    if let Ok(mut sizes) = as_fai {
        for (size, line) in sizes.iter_mut().zip(lines) {
            *size = room.kept.get(line.name.value.as_str()).copied().unwrap_or(*size);
        }
        let needed: u64 = sizes.iter().map(|size| rounded_to_extents(room.group, *size)).sum();
        if needed <= usable_bytes(room) {
            return Ok(sizes);
        }
    }
    share_rest(room, lines, base_bytes)
}

/// Shares out what the volumes that are kept leave.
fn share_rest(
    room: &Room<'_>,
    lines: &[&LogicalVolumeLine],
    base_bytes: f64,
) -> Result<Vec<u64>, Problem> {
    let kept = |line: &LogicalVolumeLine| room.kept.get(line.name.value.as_str()).copied();
    let others: Vec<&LogicalVolumeLine> =
        lines.iter().copied().filter(|line| kept(line).is_none()).collect();
    let ranges: Result<Vec<ByteRange>, Problem> =
        others.iter().map(|line| range_mib(line, base_bytes, room)).collect();
    // Each may need a part of an extent more than its size.
    let taken = room.kept.values().sum::<u64>() + others.len() as u64 * EXTENT_BYTES;
    let left_bytes = usable_bytes(room).saturating_sub(taken);
    let mut sizes = share(room, &others, &ranges?, left_bytes as f64 / MIB as f64)?.into_iter();
    let shared = lines.iter().map(|line| kept(line).or_else(|| sizes.next()));
    Ok(shared.map(|size| size.expect("invariant: one size for each that is not kept")).collect())
}

/// Shares `group_mib` out.
fn share(
    room: &Room<'_>,
    lines: &[&LogicalVolumeLine],
    ranges: &[ByteRange],
    group_mib: f64,
) -> Result<Vec<u64>, Problem> {
    let (mut min_sum, mut max_sum) = (0.0, 0.0);
    for (range, line) in ranges.iter().zip(lines) {
        if min_sum + range.min >= group_mib {
            return Err(no_room(room.group, line, range.min, group_mib - min_sum));
        }
        min_sum += range.min;
        max_sum += range.max;
    }
    let spare = if max_sum > min_sum { (group_mib - min_sum) / (max_sum - min_sum) } else { 0.0 };
    let factor = spare.min(1.0);
    Ok(ranges.iter().map(|range| size_bytes(*range, factor)).collect())
}

/// What the kernel will report as the size of a volume that was asked to have `size_bytes`.
pub(super) fn rounded_to_extents(group: &GroupLine, size_bytes: u64) -> u64 {
    match sets_extent_size(group) {
        true => size_bytes,
        false => size_bytes.next_multiple_of(EXTENT_BYTES),
    }
}

fn range_mib(
    line: &LogicalVolumeLine,
    base_bytes: f64,
    room: &Room<'_>,
) -> Result<ByteRange, Problem> {
    let size = &line.size;
    let range = size.value.bytes(base_bytes, room.memory_bytes);
    if range.min > base_bytes {
        let mib = MIB as f64;
        return Err(no_room(room.group, line, range.min / mib, base_bytes / mib));
    }
    if range.max < range.min {
        let message = format!(
            "the upper bound of this size is {} here, below its lower bound of {}",
            ByteSize(range.max as u64).rounded(),
            ByteSize(range.min as u64).rounded(),
        );
        let cure = "write the smaller size first, or leave the upper one out";
        return Err(Problem::error(Code::InvertedRange, size.at, message, cure));
    }
    let mib = MIB as f64;
    Ok(ByteRange { min: range.min / mib, max: range.max / mib })
}

fn size_bytes(range: ByteRange, factor: f64) -> u64 {
    // A range goes through FAI's text once more before it is shared out, a fixed size does not.
    let mib = match range.min == range.max {
        true => range.min,
        false => {
            let (min, max) = (through_text(range.min), through_text(range.max));
            min + (max - min) * factor
        }
    };
    let asked_mib = through_text(through_text(mib_to_bytes(mib)) / MIB as f64);
    ((mib_to_bytes(asked_mib) / SECTOR_BYTES).floor() * SECTOR_BYTES) as u64
}

fn sets_extent_size(group: &GroupLine) -> bool {
    let is_size = |word: &String| word.starts_with("-s") || word.starts_with("--physicalext");
    group.vg_create_options.iter().any(is_size)
}

/// What LVM has to give away on the physical volumes.
fn usable_bytes(room: &Room<'_>) -> u64 {
    let usable =
        |bytes: &f64| (*bytes as u64).saturating_sub(METADATA_BYTES) / EXTENT_BYTES * EXTENT_BYTES;
    room.physical_bytes.iter().map(usable).sum()
}

/// LVM rounds every volume up to whole extents; FAI finds out only when lvcreate(8) fails. Volumes
/// that may be smaller are made so, the last one first, until all have room.
fn fit_extents(
    room: &Room<'_>,
    lines: &[&LogicalVolumeLine],
    ranges: &[ByteRange],
    sizes: &mut [u64],
) -> Result<(), Problem> {
    if sets_extent_size(room.group) {
        return Ok(());
    }
    let mut left = usable_bytes(room);
    let needed: u64 = sizes.iter().map(|size| size.next_multiple_of(EXTENT_BYTES)).sum();
    let mut excess = needed.saturating_sub(left);
    for (range, size) in ranges.iter().zip(sizes.iter_mut()).rev() {
        let least = (mib_to_bytes(range.min).ceil() as u64).next_multiple_of(EXTENT_BYTES);
        let extents = size.next_multiple_of(EXTENT_BYTES);
        let less = excess.min(extents.saturating_sub(least));
        if less > 0 {
            *size = extents - less;
            excess -= less;
        }
    }
    for (line, size) in lines.iter().zip(sizes) {
        if *size == 0 {
            let message = "this volume would be empty";
            let cure = "give it at least 4M, the size of an LVM extent";
            let at = line.size.at;
            return Err(Problem::error(Code::EmptyPartition, at, message, cure));
        }
        let extents = size.next_multiple_of(EXTENT_BYTES);
        let Some(rest) = left.checked_sub(extents) else {
            let mib = |bytes: u64| bytes as f64 / MIB as f64;
            return Err(no_room(room.group, line, mib(extents), mib(left)));
        };
        left = rest;
    }
    Ok(())
}

fn no_room(group: &GroupLine, line: &LogicalVolumeLine, needed_mib: f64, left_mib: f64) -> Problem {
    let rounded = |mib: f64| ByteSize(mib_to_bytes(mib.max(0.0)).ceil() as u64).rounded();
    let message = format!(
        "{} needs {}, and the volume group {} has {} left for it",
        describe(&line.volume),
        rounded(needed_mib),
        group.name.value,
        rounded(left_mib),
    );
    let cure = "ask for less, or give the group larger or more physical volumes";
    Problem::error(Code::GroupTooSmall, line.size.at, message, cure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::parse;

    fn sizes_of(lines: &str, physical_mib: u64) -> Result<Vec<u64>, String> {
        let text = format!("disk_config lvm\nvg g sda1\n{lines}");
        let (config, diagnostics) = parse("test", &text, None);
        assert_eq!(diagnostics, []);
        let group = config.groups().next().expect("one group");
        let physical_bytes = vec![(physical_mib * MIB) as f64];
        let room = Room { group, physical_bytes, kept: BTreeMap::new(), memory_bytes: 0 };
        let lines: Vec<_> = config.logical_volumes().collect();
        sizes(&room, &lines).map_err(|problem| problem.code.name().to_owned())
    }

    #[test]
    fn fixed_sizes_are_exact_and_ranges_share_alike() {
        let sizes = sizes_of("g-a /a 100M ext4 rw\ng-b /b 100-300 ext4 rw\n", 1000);
        assert_eq!(sizes, Ok(vec![100 * MIB, 300 * MIB]));
        let sizes = sizes_of("g-a /a 0-1000 ext4 rw\ng-b /b 0-1000 ext4 rw\n", 1000);
        assert_eq!(sizes, Ok(vec![495 * MIB, 495 * MIB]));
    }

    #[test]
    fn a_group_is_full_before_lvm_says_so() {
        let full = Err("disk-config-group-too-small".to_owned());
        assert_eq!(sizes_of("g-a /a 990M ext4 rw\n", 1000), full, "FAI wants strictly less");
        assert_eq!(sizes_of("g-a /a 989M ext4 rw\n", 1000), Ok(vec![989 * MIB]));
        let three = "g-a /a 1M ext4 rw\ng-b /b 1M ext4 rw\ng-c /c 1M ext4 rw\n";
        assert_eq!(sizes_of(three, 12), full, "three volumes round up to three extents");
        assert_eq!(sizes_of(three, 13), Ok(vec![MIB, MIB, MIB]));
    }

    #[test]
    fn a_volume_that_may_be_smaller_leaves_room_for_extents() {
        // FAI would give /c the 34 MiB that are left; in extents there are 28.
        let lines = "g-a /a 9M ext4 rw\ng-b /b 9M ext4 rw\ng-c /c 20M- ext4 rw\n";
        assert_eq!(sizes_of(lines, 53), Ok(vec![9 * MIB, 9 * MIB, 28 * MIB]));
        let fixed = lines.replace("20M-", "30M");
        assert_eq!(sizes_of(&fixed, 53), Err("disk-config-group-too-small".to_owned()));
    }
}
