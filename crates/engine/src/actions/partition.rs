//! Partition tables: one sfdisk(8) script for the whole table.

use super::Done;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, HostError, Tool};
use hostwright_model::fault::FaultKind;
use hostwright_model::storage::{DiskLayout, Partition, PartitionContent, TableKind};
use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

/// How long the kernel and udev get to make the nodes of new partitions.
const NODE_ATTEMPTS: u32 = 100;
const NODE_PAUSE: Duration = Duration::from_millis(100);

/// Wipes what was there and writes the new table. Done again, it gives the same table.
pub(super) fn write_table(work: &mut Work<'_>, disk: &DiskLayout) -> Result<Done, ActionError> {
    let old = old_partitions(work, &disk.device)?;
    refuse_in_use(work, disk, &old)?;
    for name in &old {
        let wipe = Command::new(Tool::Wipefs).args(["--all", "--force", &format!("/dev/{name}")]);
        let output = work.try_tool(wipe)?;
        // An extended partition is a kilobyte to the kernel and has nothing to wipe.
        if output.status != 0 && !is_extended(work, &disk.device, name)? {
            output.success()?;
        }
    }
    if !old.is_empty() {
        work.tool(Command::new(Tool::Partx).args(["--delete", &disk.device]))?;
    }
    work.tool(Command::new(Tool::Wipefs).args(["--all", "--force", &disk.device]))?;
    let sfdisk = Command::new(Tool::Sfdisk)
        .args(["--wipe", "always", "--no-reread", "--quiet", &disk.device])
        .stdin(script(disk));
    work.tool(sfdisk)?;
    make_nodes(work, disk)?;
    Ok(Done::changed())
}

/// Kernel names of the partitions that a disk has now.
fn old_partitions(work: &mut Work<'_>, device: &str) -> Result<Vec<String>, HostError> {
    let name = device.trim_start_matches("/dev/");
    let entries = work.host.list(&format!("/sys/class/block/{name}"))?;
    Ok(entries.into_iter().filter(|entry| is_partition_of(name, entry)).collect())
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

fn is_extended(work: &mut Work<'_>, disk: &str, name: &str) -> Result<bool, HostError> {
    let disk = disk.trim_start_matches("/dev/");
    let path = format!("/sys/class/block/{disk}/{name}/size");
    let sectors = work.read_text(&path)?.and_then(|text| text.trim().parse::<u64>().ok());
    Ok(sectors.is_some_and(|sectors| sectors <= 2))
}

/// Nothing is unmounted or taken apart silently: whoever uses the disk must let go of it first.
fn refuse_in_use(
    work: &mut Work<'_>,
    disk: &DiskLayout,
    old: &[String],
) -> Result<(), ActionError> {
    let mut users = Vec::new();
    let whole = disk.device.trim_start_matches("/dev/");
    let names: Vec<&str> = std::iter::once(whole).chain(old.iter().map(String::as_str)).collect();
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
    // A system without udev has nothing to settle.
    let _ = work.try_tool(Command::new(Tool::Udevadm).args(["settle", "--timeout=10"]));
    for attempt in 0.. {
        let names = work.host.list("/dev")?;
        let here =
            |device: &str| names.iter().any(|name| device.strip_prefix("/dev/") == Some(name));
        let missing = disk.partitions.iter().find(|partition| !here(&partition.device));
        let Some(missing) = missing else {
            break;
        };
        if attempt == NODE_ATTEMPTS {
            return Err(ActionError::new(
                FaultKind::Environment,
                "no-device-node",
                format!("the kernel made no node {} for the new partition", missing.device),
                "look for errors of the disk in dmesg",
            ));
        }
        sleep(NODE_PAUSE);
    }
    Ok(())
}

/// The table in the words of sfdisk(8), every number in sectors.
fn script(disk: &DiskLayout) -> String {
    let sector = u64::from(disk.sector_bytes);
    let is_gpt = disk.table != TableKind::Msdos;
    let mut text = format!("label: {}\nunit: sectors\n", if is_gpt { "gpt" } else { "dos" });
    if is_gpt {
        // Right behind the table (16 KiB), for layouts that are not aligned to a mebibyte.
        let first = 2 + 16_384_u64.div_ceil(sector);
        writeln!(text, "first-lba: {first}").expect("invariant: a String takes everything");
    }
    text.push('\n');
    for partition in &disk.partitions {
        let (start, size) = (partition.start_bytes / sector, partition.size_bytes() / sector);
        let line = if is_gpt {
            let name = partition.name.as_deref().unwrap_or(" ");
            let name: String = name.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
            format!("size={size}, type={}, name=\"{name}\"", gpt_type(partition))
        } else {
            let active = if partition.bootable { ", bootable" } else { "" };
            format!("size={size}, type={}{active}", msdos_type(partition))
        };
        writeln!(text, "{}: start={start}, {line}", partition.number)
            .expect("invariant: a String takes everything");
    }
    text
}

/// Partition types of a PC table: <https://www.win.tue.nl/~aeb/partitions/partition_types-1.html>.
fn msdos_type(partition: &Partition) -> &'static str {
    match partition.content {
        PartitionContent::Linux | PartitionContent::BiosBoot => "83",
        PartitionContent::Swap => "82",
        PartitionContent::Lvm => "8e",
        PartitionContent::Raid => "fd",
        PartitionContent::EfiSystem => "ef",
        PartitionContent::Fat => "c",
        PartitionContent::Extended => "5",
    }
}

/// Partition types of a GPT: UEFI specification, table 5.7, and the Discoverable Partitions
/// Specification.
fn gpt_type(partition: &Partition) -> &'static str {
    match partition.content {
        PartitionContent::Linux | PartitionContent::Extended => {
            "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
        }
        PartitionContent::Swap => "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
        PartitionContent::Lvm => "E6D6D379-F507-44C2-A23C-238F2A3DF928",
        PartitionContent::Raid => "A19D880F-05FC-4D3B-A006-743F0F84911E",
        PartitionContent::EfiSystem => "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        PartitionContent::Fat => "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
        PartitionContent::BiosBoot => "21686148-6449-6E6F-744E-656564454649",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::plan::Why;
    use hostwright_model::storage::PartitionKind;

    fn partition(number: u32, content: PartitionContent, mib: std::ops::Range<u64>) -> Partition {
        Partition {
            existing: None,
            fate: hostwright_model::storage::Fate::Create,
            number,
            device: format!("/dev/vda{number}"),
            kind: PartitionKind::Primary,
            start_bytes: mib.start << 20,
            end_bytes: (mib.end << 20) - 1,
            name: None,
            content,
            bootable: false,
            why: Why::default(),
        }
    }

    fn disk(table: TableKind, sector_bytes: u32, partitions: Vec<Partition>) -> DiskLayout {
        let device = "/dev/vda".to_owned();
        DiskLayout {
            model: None,
            serial: None,
            before: Vec::new(),
            table_fate: hostwright_model::storage::TableFate::Write,
            device,
            size_bytes: 8 << 30,
            sector_bytes,
            table,
            partitions,
            why: Why::default(),
        }
    }

    #[test]
    fn a_pc_table_with_a_logical_partition() {
        let mut root = partition(1, PartitionContent::Linux, 1..2049);
        root.bootable = true;
        let partitions = vec![
            root,
            partition(2, PartitionContent::Extended, 2049..8192),
            partition(5, PartitionContent::Swap, 2050..3000),
        ];
        assert_eq!(
            script(&disk(TableKind::Msdos, 512, partitions)),
            "label: dos\nunit: sectors\n\n\
             1: start=2048, size=4194304, type=83, bootable\n\
             2: start=4196352, size=12580864, type=5\n\
             5: start=4198400, size=1945600, type=82\n"
        );
    }

    #[test]
    fn a_gpt_on_a_disk_with_large_sectors() {
        let mut esp = partition(1, PartitionContent::EfiSystem, 1..513);
        esp.name = Some("e\"fi".to_owned());
        assert_eq!(
            script(&disk(TableKind::Gpt, 4096, vec![esp])),
            "label: gpt\nunit: sectors\nfirst-lba: 6\n\n\
             1: start=256, size=131072, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=\"efi\"\n"
        );
    }

    #[test]
    fn partitions_are_told_from_other_entries() {
        assert!(is_partition_of("vda", "vda1"));
        assert!(is_partition_of("nvme0n1", "nvme0n1p12"));
        assert!(!is_partition_of("sda", "sdaa"));
        assert!(!is_partition_of("vda", "queue"));
        assert!(!is_partition_of("loop1", "loop10"));
    }
}
