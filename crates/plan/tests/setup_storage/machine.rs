//! Random machines: blank, or with what a first life has left on their disks.

use crate::draft::{self, Draft};
use crate::oracle::{OracleArray, OracleDisk, OracleGroup, OraclePartition, Question};
use crate::seed::Seed;
use hostwright_model::existing::{
    ExistingArray, ExistingGroup, ExistingLogicalVolume, ExistingPartition, ExistingSignature,
    ExistingStorage, ExistingTable,
};
use hostwright_model::facts::Firmware;
use hostwright_model::storage::{DiskLayout, Partition, PartitionKind, StorageLayout, TableKind};
use hostwright_plan::storage::{StorageDisk, StorageFacts, examine};

/// Disks that a machine may have.
pub const NAMES: [&str; 7] = ["sda", "sdb", "sdc", "vda", "nvme0n1", "nvme1n1", "mmcblk0"];
const EXTENT_BYTES: u64 = 4 << 20;

/// A machine and a disk_config for it, all of a seed.
pub struct Sample {
    pub config: String,
    pub facts: StorageFacts,
}

impl Sample {
    /// The sample of a seed.
    pub fn new(seed: &mut Seed, memory_bytes: u64) -> Self {
        let disks = disks(seed);
        let names: Vec<String> = disks.iter().map(|disk| disk.name.clone()).collect();
        let mut draft = Draft::new(seed, &names);
        let mut facts = StorageFacts::new(disks, memory_bytes, Firmware::Uefi);
        super::HOSTNAME.clone_into(&mut facts.hostname);
        facts.is_first_install = seed.chance(30);
        let second = seed.chance(45);
        if second && let Some(old) = examine("OLD", &draft.text(false), None, &facts).layout {
            facts.existing = leftovers(&old, seed);
            change(&mut draft, seed);
        }
        facts.fai_bugs = seed.chance(70);
        Self { config: draft.text(true), facts }
    }

    /// The same for setup-storage.
    pub fn question(&self) -> Question {
        let existing = &self.facts.existing;
        let groups = existing.groups.iter().map(|group| OracleGroup {
            name: group.name.clone(),
            devices: group.physical_volumes.clone(),
            size_bytes: group.size_bytes,
            volumes: group.logical_volumes.iter().map(|v| (v.name.clone(), v.size_bytes)).collect(),
        });
        let arrays = existing.arrays.iter().map(|array| OracleArray {
            number: array.device.as_deref().unwrap()["/dev/md".len()..].parse().unwrap(),
            level: array.level.unwrap().name().to_owned(),
            devices: array.members.clone(),
        });
        Question {
            config: self.config.clone(),
            first_install: self.facts.is_first_install,
            disks: self.facts.disks.iter().map(|disk| oracle_disk(disk, existing)).collect(),
            groups: groups.collect(),
            arrays: arrays.collect(),
        }
    }
}

fn disks(seed: &mut Seed) -> Vec<StorageDisk> {
    let first = seed.below(NAMES.len());
    let disk = |seed: &mut Seed, at: usize| {
        let sector_bytes = seed.pick(&[512, 512, 512, 4096]);
        // Sizes that nobody would round: any number of sectors.
        let mib = seed.pick(&[300, 4_000, 20_000, 60_000, 200_000, 1_000_000, 3_500_000]);
        let sectors = ((mib << 20) + (seed.below(1 << 28) as u64)) / u64::from(sector_bytes);
        StorageDisk {
            name: NAMES[(first + at) % NAMES.len()].to_owned(),
            size_bytes: sectors * u64::from(sector_bytes),
            sector_bytes,
            ..StorageDisk::default()
        }
    };
    (0..1 + seed.below(3)).map(|at| disk(seed, at)).collect()
}

fn oracle_disk(disk: &StorageDisk, existing: &ExistingStorage) -> OracleDisk {
    let device = format!("/dev/{}", disk.name);
    let table = existing.tables.iter().find(|table| table.device == device);
    let file_system = |device: &str| {
        let found = existing.signatures.iter().find(|found| found.device == device);
        found.map(|found| found.kind.clone()).unwrap_or_default()
    };
    let partition = |old: &ExistingPartition| OraclePartition {
        number: old.number,
        start_bytes: old.start_bytes,
        end_bytes: old.start_bytes + old.size_bytes - 1,
        file_system: file_system(&old.device),
        name: old.name.clone().unwrap_or_default(),
        extended: old.kind == PartitionKind::Extended,
    };
    OracleDisk {
        name: disk.name.clone(),
        size_bytes: disk.size_bytes,
        sector_bytes: disk.sector_bytes,
        label: match table {
            Some(table) if table.kind == "gpt" => "gpt",
            _ => "msdos",
        },
        partitions: table.iter().flat_map(|table| &table.partitions).map(partition).collect(),
    }
}

/// What a life with this layout leaves on the disks.
fn leftovers(layout: &StorageLayout, seed: &mut Seed) -> ExistingStorage {
    let mut existing = ExistingStorage::default();
    let mut sign = |device: &str, kind: &str| {
        existing.signatures.push(ExistingSignature {
            device: device.to_owned(),
            size_bytes: 0,
            kind: kind.to_owned(),
            uuid: Some(format!("UUID-of-{device}")),
            label: None,
        });
    };
    for volume in &layout.volumes {
        if let Some(kind) = &volume.file_system {
            sign(&volume.device, kind);
        }
    }
    for array in &layout.arrays {
        let members: Vec<_> = array.members.iter().filter_map(|m| m.device.clone()).collect();
        members.iter().for_each(|member| sign(member, "linux_raid_member"));
        existing.arrays.push(ExistingArray {
            device: Some(array.device.clone()),
            uuid: format!("uuid-of-{}", array.device),
            name: None,
            level: Some(array.level),
            metadata: "1.2".to_owned(),
            wanted_devices: u32::try_from(array.members.iter().filter(|m| !m.spare).count())
                .unwrap(),
            members,
            size_bytes: Some(array.size_bytes),
        });
    }
    for group in &layout.volume_groups {
        group.physical_volumes.iter().for_each(|device| sign(device, "LVM2_member"));
        let volumes = group.logical_volumes.iter().map(|volume| ExistingLogicalVolume {
            name: volume.name.clone(),
            device: volume.device.clone(),
            uuid: format!("uuid-of-{}", volume.device),
            size_bytes: volume.size_bytes.next_multiple_of(EXTENT_BYTES),
        });
        let volumes: Vec<_> = volumes.collect();
        let used: u64 = volumes.iter().map(|volume| volume.size_bytes).sum();
        existing.groups.push(ExistingGroup {
            name: group.name.clone(),
            uuid: format!("uuid-of-{}", group.name),
            physical_volumes: group.physical_volumes.clone(),
            is_partial: false,
            size_bytes: used + EXTENT_BYTES * seed.below(100) as u64,
            extent_bytes: EXTENT_BYTES,
            logical_volumes: volumes,
        });
    }
    let tables = layout.disks.iter().filter(|disk| !disk.partitions.is_empty());
    existing.tables = tables.map(table_of).collect();
    existing
}

/// The partition table of a disk that was laid out.
fn table_of(disk: &DiskLayout) -> ExistingTable {
    let partition = |partition: &Partition| ExistingPartition {
        number: partition.number,
        device: partition.device.clone(),
        kind: partition.kind,
        start_bytes: partition.start_bytes,
        size_bytes: partition.size_bytes(),
        type_code: String::new(),
        name: partition.name.clone(),
        uuid: None,
        attributes: None,
        bootable: partition.bootable,
    };
    ExistingTable {
        device: disk.device.clone(),
        kind: if disk.table == TableKind::Msdos { "dos" } else { "gpt" }.to_owned(),
        id: None,
        partitions: disk.partitions.iter().map(partition).collect(),
    }
}

/// The second life: something is kept, something else has another size.
fn change(draft: &mut Draft, seed: &mut Seed) {
    let kinds = ["preserve_always", "preserve_always", "preserve_reinstall", "preserve_lazy"];
    for part in &mut draft.disks {
        if seed.chance(60) {
            let kind = seed.pick(&kinds);
            let numbers: Vec<String> =
                seed.subset(&part.numbers, 40).iter().map(u32::to_string).collect();
            if seed.chance(6) {
                part.keep.push(format!("{kind}:all"));
            } else if !numbers.is_empty() {
                part.keep.push(format!("{kind}:{}", numbers.join(",")));
                if seed.chance(15) {
                    part.keep.push(format!("always_format:{}", numbers[0]));
                }
            }
        }
        for line in &mut part.lines {
            if seed.chance(12) {
                line[2] = draft::size(seed);
            }
            if seed.chance(4) {
                line[2] = format!("{}:{}", line[2], seed.pick(&kinds));
            }
        }
    }
    if seed.chance(50) {
        let numbers: Vec<usize> = (0..draft.raid.lines.len()).collect();
        let numbers: Vec<String> = seed.subset(&numbers, 60).iter().map(usize::to_string).collect();
        if !numbers.is_empty() {
            draft.raid.keep.push(format!("{}:{}", seed.pick(&kinds), numbers.join(",")));
        }
    }
    if seed.chance(50) {
        let names = draft.lvm.lines.iter().filter_map(|line| line.split(' ').next());
        let names: Vec<&str> = names.filter(|name| name.contains('-')).collect();
        let names = seed.subset(&names, 60);
        if !names.is_empty() {
            draft.lvm.keep.push(format!("{}:{}", seed.pick(&kinds), names.join(",")));
        }
    }
}
