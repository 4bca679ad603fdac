//! Whether a partition table can be: every partition inside the disk, none over another.

use hostwright_model::storage::{DiskLayout, Partition, PartitionKind, TableKind};
use std::collections::BTreeSet;

/// Sectors of a GPT at either end of the disk: header, and 128 entries of 128 bytes in sectors of
/// 512 bytes (UEFI specification, 5.3); the first has a protective MBR in front.
const GPT_SECTORS: u64 = 33;

/// Everything wrong with the table.
pub(super) fn objections(disk: &DiskLayout) -> Vec<String> {
    let mut found = Vec::new();
    let sector = u64::from(disk.sector_bytes);
    let (first, behind_last) = match disk.table {
        TableKind::Msdos => (sector, disk.size_bytes),
        TableKind::Gpt | TableKind::GptBios => {
            ((GPT_SECTORS + 1) * sector, disk.size_bytes.saturating_sub(GPT_SECTORS * sector))
        }
    };
    let mut numbers = BTreeSet::new();
    for partition in &disk.partitions {
        let name = &partition.device;
        if partition.start_bytes > partition.end_bytes {
            found.push(format!("{name} ends before it begins"));
        }
        if partition.start_bytes < first || partition.end_bytes >= behind_last {
            found.push(format!("{name} reaches out of the disk or over its table"));
        }
        if partition.start_bytes % sector != 0 || (partition.end_bytes + 1) % sector != 0 {
            found.push(format!("{name} does not begin and end at sectors"));
        }
        if !numbers.insert(partition.number) {
            found.push(format!("partition number {} is there twice", partition.number));
        }
        found.extend(wrong_kind(disk, partition));
    }
    found.extend(overlaps(disk));
    found
}

fn wrong_kind(disk: &DiskLayout, partition: &Partition) -> Option<String> {
    let name = &partition.device;
    let is_msdos = disk.table == TableKind::Msdos;
    match partition.kind {
        PartitionKind::Primary if is_msdos && partition.number > 4 => {
            Some(format!("{name} is primary with a number above 4"))
        }
        PartitionKind::Primary => None,
        _ if !is_msdos => Some(format!("{name}: a GPT has primary partitions only")),
        PartitionKind::Extended => None,
        PartitionKind::Logical => {
            let extended = disk.partitions.iter().find(|p| p.kind == PartitionKind::Extended);
            // In front of each logical partition there is a sector that describes it.
            let is_inside = extended.is_some_and(|outer| {
                outer.start_bytes < partition.start_bytes && partition.end_bytes <= outer.end_bytes
            });
            (!is_inside).then(|| format!("{name} is not inside the extended partition"))
        }
    }
}

/// Partitions over each other. Only logical ones may lie inside the extended one.
fn overlaps(disk: &DiskLayout) -> Vec<String> {
    let mut found = Vec::new();
    for (i, one) in disk.partitions.iter().enumerate() {
        for other in &disk.partitions[i + 1..] {
            let kinds = [one.kind, other.kind];
            let nested =
                kinds.contains(&PartitionKind::Extended) && kinds.contains(&PartitionKind::Logical);
            let apart = one.end_bytes < other.start_bytes || other.end_bytes < one.start_bytes;
            if !nested && !apart {
                found.push(format!("{} and {} overlap", one.device, other.device));
            }
        }
    }
    found
}
