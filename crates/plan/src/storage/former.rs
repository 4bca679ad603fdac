//! What becomes of each partition that a disk has before the run.

use super::machine::StorageFacts;
use hostwright_model::existing::ExistingPartition;
use hostwright_model::storage::{
    Becomes, DiskLayout, Fate, FormerPartition, PartitionKind, TableFate,
};

/// The partitions of a disk and what becomes of them.
pub(super) fn former_partitions(facts: &StorageFacts, disk: &DiskLayout) -> Vec<FormerPartition> {
    let tables = &facts.existing.tables;
    let Some(table) = tables.iter().find(|table| table.device == disk.device) else {
        return Vec::new();
    };
    let former = |partition: &ExistingPartition| {
        let signature = facts.signature(&partition.device);
        FormerPartition {
            partition: partition.clone(),
            content: signature.map(|signature| signature.kind.clone()),
            label: signature.and_then(|signature| signature.label.clone()),
            becomes: becomes(disk, partition),
        }
    };
    table.partitions.iter().map(former).collect()
}

fn becomes(disk: &DiskLayout, old: &ExistingPartition) -> Becomes {
    let new = disk.partitions.iter().find(|partition| partition.number == old.number);
    let Some(new) = new else {
        return match disk.table_fate {
            TableFate::Leave if !disk.partitions.is_empty() => Becomes::Kept,
            _ => Becomes::Destroyed,
        };
    };
    if old.kind == PartitionKind::Extended && new.kind == PartitionKind::Extended {
        let stays = (old.start_bytes, old.size_bytes) == (new.start_bytes, new.size_bytes());
        return if stays { Becomes::Kept } else { Becomes::Moved };
    }
    match new.fate {
        Fate::Keep => Becomes::Kept,
        Fate::Resize { .. } => Becomes::Resized,
        Fate::Reformat => Becomes::Formatted,
        Fate::Create
            if (old.start_bytes, old.size_bytes) == (new.start_bytes, new.size_bytes()) =>
        {
            Becomes::Formatted
        }
        Fate::Create => Becomes::Moved,
    }
}
