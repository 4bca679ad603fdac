//! The verdicts of FAI's parser on 158 snippets, and where ours differ on purpose.

use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::facts::Firmware;
use hostwright_plan::storage::{Code, StorageDisk, StorageFacts, examine};
use serde::Deserialize;

const PROBES: &str = include_str!("../../../fixtures/fai-oracle/disk_config_probes.json");

#[derive(Deserialize)]
struct Probe {
    name: String,
    config: String,
    accepted: bool,
}

const FOUND_LATE: &str = "FAI finds out on the machine, after it has begun";

/// What FAI's syntax check accepts and we refuse: the code of our error, and why.
const STRICTER: [(&str, Code, &str); 9] = [
    ("badfs", Code::BadFileSystem, "FAI looks for mkfs.fooFS only outside its syntax check"),
    ("boot9", Code::NoSuchPartition, FOUND_LATE),
    ("inverted", Code::InvertedRange, "FAI ends in an internal error when it computes sizes"),
    ("lvm1", Code::NoSuchPartition, "partitions that are there already are never touched"),
    ("lvm_opts", Code::NoSuchPartition, "partitions that are there already are never touched"),
    ("nonexistpart", Code::NoSuchPartition, FOUND_LATE),
    ("sda2", Code::NoSuchDisk, "a partition is not a disk, FAI would make /dev/sda21"),
    ("shadow", Code::DeviceUsedTwice, "FAI sees it only if the device is not written as disk1.1"),
    ("swapfs", Code::FileSystemMismatch, FOUND_LATE),
];

/// A machine with every disk that a snippet names.
fn facts() -> StorageFacts {
    let names = ["sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg", "sdh", "sdi", "nvme0n1"];
    let disk = |name: &str| StorageDisk {
        name: name.to_owned(),
        size_bytes: 200 << 30,
        sector_bytes: 512,
    };
    let disks = names.into_iter().map(disk).collect();
    StorageFacts { disks, memory_bytes: 8 << 30, firmware: Firmware::Bios }
}

fn errors(diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let is_error = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error;
    diagnostics.into_iter().filter(is_error).collect()
}

#[test]
fn snippets_are_judged_as_fai_judges_them() {
    let probes: Vec<Probe> = serde_json::from_str(PROBES).expect("the probes are JSON");
    let (mut accepted, mut refused, mut unsupported, mut stricter) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for probe in &probes {
        let errors = errors(examine(&probe.name, &probe.config, None, &facts()).diagnostics);
        let codes: Vec<&str> = errors.iter().map(|error| error.code.as_str()).collect();
        let listed = STRICTER.iter().find(|(name, ..)| *name == probe.name);
        match (probe.accepted, listed) {
            (true, None) if codes.is_empty() => accepted += 1,
            (true, None) if codes.contains(&Code::NotSupported.name()) => unsupported += 1,
            (true, Some((_, code, _))) if codes == [code.name()] => stricter += 1,
            (false, None) if !codes.is_empty() => refused += 1,
            _ => wrong.push(format!(
                "{}: FAI accepts: {}, we say {errors:#?}",
                probe.name, probe.accepted
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((accepted, refused, unsupported, stricter), (34, 80, 35, STRICTER.len()));
}
