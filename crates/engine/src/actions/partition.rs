//! Partition tables: compared with what is there, then written whole by one sfdisk(8) script.
//!
//! Kept partitions come back at the same bytes, with their type, name, identifier and attributes,
//! and nothing that overlaps one is ever wiped.

use super::Done;
use super::nodes;
use super::table::{self, Table};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, HostError, Tool};
use hostwright_model::fault::FaultKind;
use hostwright_model::storage::{DiskLayout, Fate, Partition, TableFate};
use std::ops::Range;

/// A partition that the disk has now.
struct Old {
    name: String,
    bytes: Range<u64>,
}

/// Wipes what goes and writes the new table, unless the disk has it already.
pub(super) fn write_table(work: &mut Work<'_>, disk: &DiskLayout) -> Result<Done, ActionError> {
    if disk.table_fate == TableFate::Leave {
        nodes::wait_for(work, &devices(disk))?;
        return Ok(Done::already_true());
    }
    let old = old_partitions(work, &disk.device)?;
    refuse_in_use(work, disk, &old)?;
    let keeps = disk.partitions.iter().any(|partition| partition.fate.needs_existing());
    let mut changed = false;
    for old in old.iter().filter(|old| !overlaps_kept(disk, &old.bytes)) {
        // An extended partition is a kilobyte to the kernel and has nothing to wipe.
        if old.bytes.end - old.bytes.start > 1024 {
            changed |= nodes::wipe(work, &format!("/dev/{}", old.name))?;
        }
    }
    let found = found_table(work, &disk.device)?;
    let wanted = Table::wanted(disk, table_id(work, disk, keeps));
    if !found.as_ref().is_some_and(|found| wanted.is_met_by(found)) {
        if keeps {
            // Signatures at the ends of a disk may belong to a kept partition.
            write(work, disk, &wanted, "never")?;
        } else {
            if !old.is_empty() {
                work.tool(Command::new(Tool::Partx).args(["--delete", &disk.device]))?;
            }
            nodes::wipe(work, &disk.device)?;
            write(work, disk, &wanted, "always")?;
        }
        changed = true;
    }
    make_nodes(work, disk)?;
    Ok(if changed { Done::changed() } else { Done::already_true() })
}

fn write(
    work: &mut Work<'_>,
    disk: &DiskLayout,
    table: &Table,
    wipe: &str,
) -> Result<(), ActionError> {
    let sfdisk = Command::new(Tool::Sfdisk)
        .args(["--wipe", wipe, "--wipe-partitions", "never"])
        .args(["--no-reread", "--quiet", &disk.device])
        .stdin(table.script());
    work.tool(sfdisk)?;
    Ok(())
}

/// The table that a disk has; `None` without one that sfdisk(8) understands.
pub(super) fn found_table(work: &mut Work<'_>, device: &str) -> Result<Option<Table>, HostError> {
    let output = work.try_tool(Command::new(Tool::Sfdisk).args(["--dump", device]))?;
    Ok(Table::parse_dump(device, &output.stdout).filter(|_| output.status == 0))
}

/// The identifier that the table had, for a table that keeps something.
fn table_id(work: &Work<'_>, disk: &DiskLayout, keeps: bool) -> Option<String> {
    let tables = &work.inputs.facts.storage.tables;
    let known = tables.iter().find(|table| table.device == disk.device && keeps)?;
    known.id.clone().filter(|_| known.kind == table::label(disk))
}

fn devices(disk: &DiskLayout) -> Vec<&str> {
    disk.partitions.iter().map(|partition| partition.device.as_str()).collect()
}

/// The partitions that the kernel knows.
fn old_partitions(work: &mut Work<'_>, device: &str) -> Result<Vec<Old>, HostError> {
    let disk = device.trim_start_matches("/dev/");
    let mut old = Vec::new();
    for name in work.host.list(&format!("/sys/class/block/{disk}"))? {
        if !is_partition_of(disk, &name) {
            continue;
        }
        let mut number = |file: &str| -> Result<u64, HostError> {
            // sysfs counts in units of 512 bytes, whatever the disk does.
            let text = work.read_text(&format!("/sys/class/block/{disk}/{name}/{file}"))?;
            Ok(text.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0) * 512)
        };
        let (start, size) = (number("start")?, number("size")?);
        old.push(Old { name, bytes: start..start + size });
    }
    Ok(old)
}

/// True for `vda1` of `vda`, `nvme0n1p2` of `nvme0n1`.
fn is_partition_of(disk: &str, entry: &str) -> bool {
    let Some(rest) = entry.strip_prefix(disk) else {
        return false;
    };
    let number = if disk.ends_with(|c: char| c.is_ascii_digit()) {
        rest.strip_prefix('p').unwrap_or_default()
    } else {
        rest
    };
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where a partition is after the run, and where it was before.
fn places(partition: &Partition) -> impl Iterator<Item = Range<u64>> {
    let now = partition.start_bytes..partition.end_bytes + 1;
    let before = partition.existing.as_ref();
    let before = before.map(|old| old.start_bytes..old.start_bytes + old.size_bytes);
    std::iter::once(now).chain(before)
}

/// True for bytes that a kept partition has. Numbers would not tell: a partition may get another.
fn overlaps_kept(disk: &DiskLayout, bytes: &Range<u64>) -> bool {
    let kept = disk.partitions.iter().filter(|partition| partition.fate.needs_existing());
    kept.flat_map(places).any(|place| place.start < bytes.end && bytes.start < place.end)
}

/// True for a partition whose place does not change: it may be in use.
fn stays(disk: &DiskLayout, bytes: &Range<u64>) -> bool {
    disk.partitions.iter().any(|partition| {
        matches!(partition.fate, Fate::Keep | Fate::Reformat)
            && places(partition).next() == Some(bytes.clone())
    })
}

/// Nothing is unmounted or taken apart silently: whoever uses the disk must let go of it first.
fn refuse_in_use(work: &mut Work<'_>, disk: &DiskLayout, old: &[Old]) -> Result<(), ActionError> {
    let mut users = Vec::new();
    let whole = disk.device.trim_start_matches("/dev/");
    let doomed = old.iter().filter(|old| !stays(disk, &old.bytes)).map(|old| old.name.as_str());
    let names: Vec<&str> = std::iter::once(whole).chain(doomed).collect();
    for (file, verb) in [("/proc/self/mounts", "mounted"), ("/proc/swaps", "used as swap")] {
        let table = work.read_text(file)?.unwrap_or_default();
        let first_words = table.lines().filter_map(|line| line.split_whitespace().next());
        let devices = first_words.filter_map(|word| word.strip_prefix("/dev/"));
        let used = devices.filter(|device| names.contains(device));
        users.extend(used.map(|device| format!("/dev/{device} is {verb}")));
    }
    for name in &names {
        let holders = work.host.list(&format!("/sys/class/block/{name}/holders"))?;
        users.extend(holders.iter().map(|holder| format!("/dev/{name} is held by {holder}")));
    }
    if users.is_empty() {
        return Ok(());
    }
    Err(ActionError::new(
        FaultKind::Environment,
        "disk-in-use",
        format!("{} cannot get a new partition table: {}", disk.device, users.join(", ")),
        "unmount it, run swapoff, or stop the volume group or array on it; then resume the run",
    ))
}

/// Tells the kernel about the partitions and waits for their nodes.
fn make_nodes(work: &mut Work<'_>, disk: &DiskLayout) -> Result<(), ActionError> {
    let Some(last) = disk.partitions.iter().map(|partition| partition.number).max() else {
        return Ok(());
    };
    // Without --nr, partx(8) misses logical partitions that the kernel does not know yet.
    let range = format!("1:{last}");
    work.tool(Command::new(Tool::Partx).args(["--update", "--nr", &range, &disk.device]))?;
    nodes::settle(work);
    nodes::wait_for(work, &devices(disk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_from_other_entries() {
        assert!(is_partition_of("vda", "vda1"));
        assert!(is_partition_of("nvme0n1", "nvme0n1p12"));
        assert!(!is_partition_of("sda", "sdaa"));
        assert!(!is_partition_of("vda", "queue"));
        assert!(!is_partition_of("loop1", "loop10"));
    }
}
