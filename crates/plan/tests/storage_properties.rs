//! What holds for every layout, whatever the disk_config and the disk are.

use hostwright_model::facts::Firmware;
use hostwright_model::storage::{DiskLayout, PartitionKind, TableKind};
use hostwright_plan::storage::StorageFacts;
use hostwright_plan::storage::{Code, StorageDisk, draw, examine, parse, try_layout};
use proptest::prelude::*;

/// No share of it is a whole number of bytes.
const MEMORY_BYTES: u64 = 999_983 * 1024;

/// Sizes whose lower bound is the same on every disk.
fn absolute_size() -> impl Strategy<Value = String> {
    let unit = prop_oneof![Just(""), Just("M"), Just("MB"), Just("kB"), Just("KiB"), Just("MiB")];
    let amount = (1_u32..4000, unit).prop_map(|(number, unit)| format!("{number}{unit}"));
    prop_oneof![
        amount.clone(),
        amount.prop_map(|min| format!("{min}-")),
        (1_u32..500, 500_u32..9000).prop_map(|(min, max)| format!("{min}-{max}")),
        (1_u32..20).prop_map(|share| format!("RAM:{share}%")),
        (1_u32..20).prop_map(|share| format!("RAM:{share}%-5G")),
    ]
}

fn any_size() -> impl Strategy<Value = String> {
    prop_oneof![
        absolute_size(),
        (1_u32..101).prop_map(|percent| format!("-{percent}%")),
        (1_u32..50, 50_u32..101).prop_map(|(min, max)| format!("{min}%-{max}%")),
        (1_u32..4000, 1_u32..101).prop_map(|(min, max)| format!("{min}-{max}%")),
    ]
}

fn disk_config(size: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let label = prop_oneof![Just("msdos"), Just("gpt"), Just("gpt-bios")];
    let align =
        prop_oneof![Just(""), Just(" align-at:1M"), Just(" align-at:64K"), Just(" align-at:4M")];
    let lines = prop::collection::vec((any::<bool>(), size), 1..7);
    (label, align, lines).prop_map(|(label, align, lines)| {
        let mut text = format!("disk_config disk1 disklabel:{label}{align}\n");
        for (i, (logical, size)) in lines.into_iter().enumerate() {
            let kind = if logical && label == "msdos" { "logical" } else { "primary" };
            text.push_str(&format!("{kind} /m{i} {size} ext4 rw\n"));
        }
        text
    })
}

/// Partitions keep apart, inside the disk, on sectors; logical ones inside the extended one.
fn assert_sound(disk: &DiskLayout) {
    let sector = u64::from(disk.sector_bytes);
    let tail = if disk.table == TableKind::Msdos { 0 } else { 33 * sector };
    let mut next = 1 << 20;
    let is_data = |kind: PartitionKind| kind != PartitionKind::Extended;
    let mut data: Vec<_> = disk.partitions.iter().filter(|p| is_data(p.kind)).collect();
    data.sort_by_key(|partition| partition.start_bytes);
    for partition in data {
        assert!(partition.start_bytes >= next, "{partition:?} begins before {next}");
        assert!(partition.size_bytes() >= sector, "{partition:?} is empty");
        assert_eq!((partition.start_bytes % sector, (partition.end_bytes + 1) % sector), (0, 0));
        next = partition.end_bytes + 1;
    }
    assert!(next <= disk.size_bytes - tail, "{next} is behind the end of the disk");
    let extended = disk.partitions.iter().find(|partition| !is_data(partition.kind));
    assert!(extended.is_none_or(|extended| extended.start_bytes >= 1 << 20));
    let logical = disk.partitions.iter().filter(|p| p.kind == PartitionKind::Logical);
    for partition in logical {
        let extended = extended.expect("logical partitions have an extended one");
        assert!(partition.start_bytes >= extended.start_bytes + 2 * sector);
        assert!(partition.end_bytes <= extended.end_bytes);
    }
    let primaries = disk.partitions.iter().filter(|p| p.kind == PartitionKind::Primary);
    for partition in primaries {
        let apart = extended.is_none_or(|extended| {
            partition.end_bytes < extended.start_bytes || partition.start_bytes > extended.end_bytes
        });
        assert!(apart, "{partition:?} lies in the extended partition");
    }
}

proptest! {
    // A failure prints its input; nothing is written into the source tree.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layouts_are_sound(
        text in disk_config(any_size()),
        mib in 64_u64..40_000,
        sector_bytes in prop_oneof![Just(512_u32), Just(4096)],
    ) {
        let disk = StorageDisk { name: "sda".to_owned(), size_bytes: mib << 20, sector_bytes, ..StorageDisk::default() };
        match try_layout("x", &text, &[disk], MEMORY_BYTES, Firmware::Bios) {
            Ok(layout) => {
                assert_sound(&layout.disks[0]);
                prop_assert!(draw(&layout).lines().all(|line| line.chars().count() <= 100));
            }
            Err(diagnostics) => for diagnostic in diagnostics {
                let expected = [
                    Code::DiskTooSmall, Code::EmptyPartition, Code::TooManyPrimaries,
                    Code::InvertedRange, Code::NoBiosBootPartition,
                ];
                prop_assert!(
                    expected.iter().any(|code| code.name() == diagnostic.code),
                    "{} in\n{}", diagnostic, text,
                );
            }
        }
    }

    #[test]
    fn a_larger_disk_never_fits_less(
        text in disk_config(absolute_size()),
        mib in 64_u64..20_000,
    ) {
        let fits = |mib: u64| {
            let name = "sda".to_owned();
            let disk = StorageDisk { name, size_bytes: mib << 20, sector_bytes: 512, ..StorageDisk::default() };
            try_layout("x", &text, &[disk], MEMORY_BYTES, Firmware::Bios).is_ok()
        };
        prop_assert!(!fits(mib) || fits(mib + 1000), "{}", text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(disk_config |lvm|disk1|vg |primary|logical|p=|/| |\
        100|-|%|G|RAM:|ext4|swap|rw|createopts=\"|\"|:|,|#|;|\n|\r|\t|ä|a-b){0,40}") {
        let (config, _) = parse("x", &text, None);
        let disk = StorageDisk { name: "sda".to_owned(), size_bytes: 1 << 34, sector_bytes: 512, ..StorageDisk::default() };
        let facts = StorageFacts::new(vec![disk], 1 << 30, Firmware::Uefi);
        let found = examine("x", &text, None, &facts);
        prop_assert_eq!(found.config, config);
        for diagnostic in found.diagnostics {
            let at = diagnostic.at.expect("every finding has a place");
            let line = text.lines().nth(at.line as usize - 1);
            prop_assert_eq!(diagnostic.source_line.as_deref(), line);
        }
    }
}
