//! The size solver against layouts that FAI itself computed, to the byte.

use hostwright_model::facts::Firmware;
use hostwright_model::storage::{PartitionKind, StorageLayout};
use hostwright_plan::storage::{Code, StorageDisk, try_layout};
use serde::Deserialize;
use std::collections::BTreeMap;

const GOLDEN: &str = include_str!("../../../fixtures/fai-oracle/size_solver_golden.json");

/// Layouts of our own with the sizes of those that FAI's examples have, by the example's name.
const EXAMPLES: [(&str, &str); 9] = [
    ("FAIBASE", include_str!("../../../fixtures/disk_config/msdos-home")),
    ("FAIBASE_EFI", include_str!("../../../fixtures/disk_config/gpt-home")),
    ("FAISERVER", include_str!("../../../fixtures/disk_config/msdos-server")),
    ("FAISERVER_EFI", include_str!("../../../fixtures/disk_config/gpt-server")),
    ("LVM", include_str!("../../../fixtures/disk_config/msdos-lvm")),
    ("LVM_EFI", include_str!("../../../fixtures/disk_config/gpt-lvm")),
    ("CLOUD", include_str!("../../../fixtures/disk_config/msdos-cloud")),
    ("CLOUD_EFI", include_str!("../../../fixtures/disk_config/gpt-cloud")),
    ("ROCKY", include_str!("../../../fixtures/disk_config/msdos-home-4g")),
];

#[derive(Deserialize)]
struct Golden {
    configs: BTreeMap<String, String>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    disk_bytes: u64,
    config: String,
    /// What parted(8) was told: kind, or the name in a GPT; first and last byte.
    partitions: Vec<(String, u64, u64)>,
    /// Name, and MiB as lvcreate(8) was told.
    lvs: Vec<(String, String)>,
    error: String,
}

fn config<'a>(golden: &'a Golden, name: &str) -> &'a str {
    let example = EXAMPLES.iter().find(|(example, _)| *example == name);
    example.map_or_else(|| golden.configs[name].as_str(), |(_, text)| *text)
}

/// lvcreate(8) reads a decimal number of MiB as so many whole sectors.
fn sectors(mib: &str) -> u64 {
    (mib.parse::<f64>().expect("a number") * 2048.0) as u64
}

fn compare(vector: &Vector, layout: &StorageLayout) {
    let name = format!("{} on {} bytes", vector.config, vector.disk_bytes);
    let partitions = &layout.disks[0].partitions;
    let ours: Vec<_> = partitions.iter().map(|p| (p.start_bytes, p.end_bytes)).collect();
    let theirs: Vec<_> = vector.partitions.iter().map(|(_, start, end)| (*start, *end)).collect();
    assert_eq!(ours, theirs, "{name}");
    for (partition, (kind, ..)) in partitions.iter().zip(&vector.partitions) {
        match kind.as_str() {
            "primary" => assert_eq!(partition.kind, PartitionKind::Primary, "{name}"),
            "extended" => assert_eq!(partition.kind, PartitionKind::Extended, "{name}"),
            "logical" => assert_eq!(partition.kind, PartitionKind::Logical, "{name}"),
            // FAI names a partition without a name by a quoted blank.
            "'\"" => assert_eq!(partition.name, None, "{name}"),
            given => assert_eq!(partition.name.as_deref(), Some(given), "{name}"),
        }
    }
    let groups = layout.volume_groups.iter();
    let ours: Vec<_> = groups
        .flat_map(|group| &group.logical_volumes)
        .map(|volume| (volume.name.as_str(), volume.size_bytes / 512, volume.size_bytes % 512))
        .collect();
    let theirs: Vec<_> =
        vector.lvs.iter().map(|(name, mib)| (name.as_str(), sectors(mib), 0)).collect();
    assert_eq!(ours, theirs, "{name}");
}

fn expected_code(error: &str) -> Code {
    match error {
        _ if error.contains("can't create a partition") => Code::DiskTooSmall,
        _ if error.contains("> 2TiB") => Code::PartitionOver2Tib,
        _ => panic!("FAI's message is not known: {error}"),
    }
}

#[test]
fn the_solver_equals_fai_on_every_golden_vector() {
    let golden: Golden = serde_json::from_str(GOLDEN).expect("the golden file is JSON");
    let (mut layouts, mut errors) = (0, 0);
    for vector in &golden.vectors {
        let disk = StorageDisk {
            name: "loop0".to_owned(),
            size_bytes: vector.disk_bytes,
            sector_bytes: 512,
            ..StorageDisk::default()
        };
        let text = config(&golden, &vector.config);
        match try_layout(&vector.config, text, &[disk], 8 << 30, Firmware::Uefi) {
            Ok(layout) => {
                assert_eq!(vector.error, "", "{} on {}", vector.config, vector.disk_bytes);
                compare(vector, &layout);
                layouts += 1;
            }
            Err(diagnostics) => {
                let code = expected_code(&vector.error).name();
                let found = diagnostics.iter().any(|diagnostic| diagnostic.code == code);
                assert!(found, "{} instead of {}: {diagnostics:?}", code, vector.error);
                errors += 1;
            }
        }
    }
    assert_eq!((layouts, errors), (41, 7), "all 48 vectors are compared");
}
