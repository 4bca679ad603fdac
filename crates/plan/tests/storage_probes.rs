//! The verdicts of FAI's parser on 158 snippets, and where ours differ on purpose.

mod support;

use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::facts::Firmware;
use hostwright_model::storage::PartitionKind::Primary;
use hostwright_model::storage::RaidLevel;
use hostwright_plan::storage::{Code, StorageDisk, StorageFacts, examine};
use serde::Deserialize;
use support::OldDisks;

const PROBES: &str = include_str!("../../../fixtures/fai-oracle/disk_config_probes.json");

#[derive(Deserialize)]
struct Probe {
    name: String,
    config: String,
    accepted: bool,
}

const FOUND_LATE: &str = "FAI finds out on the machine, after it has begun";

/// What FAI's syntax check accepts and we refuse: the code of our error, and why.
const STRICTER: [(&str, Code, &str); 13] = [
    ("badfs", Code::BadFileSystem, "FAI looks for mkfs.fooFS only outside its syntax check"),
    ("boot9", Code::NoSuchPartition, FOUND_LATE),
    ("inverted", Code::InvertedRange, "FAI ends in an internal error when it computes sizes"),
    ("journal", Code::NotSupported, "external journals are out of scope"),
    ("luks", Code::EncryptedBoot, FOUND_LATE),
    ("lukspw", Code::EncryptedBoot, FOUND_LATE),
    ("crypt_two", Code::EncryptedBoot, FOUND_LATE),
    ("lvm_md", Code::NoSuchPartition, FOUND_LATE),
    ("nonexistpart", Code::NoSuchPartition, FOUND_LATE),
    ("raid_md", Code::DeviceUsedTwice, "md/0 is the array that the line itself makes"),
    ("sda2", Code::NoSuchDisk, "a partition is not a disk, FAI would make /dev/sda21"),
    ("shadow", Code::DeviceUsedTwice, "FAI sees it only if the device is not written as disk1.1"),
    ("swapfs", Code::FileSystemMismatch, FOUND_LATE),
];

/// A machine with every disk that a snippet names, and with what it wants to keep.
fn facts(probe: &str) -> StorageFacts {
    let names = ["sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg", "sdh", "sdi", "nvme0n1"];
    let disk = |name: &str| StorageDisk {
        name: name.to_owned(),
        size_bytes: 200 << 30,
        sector_bytes: 512,
        ..StorageDisk::default()
    };
    let disks: Vec<StorageDisk> = names.into_iter().map(disk).collect();
    let mut old = OldDisks::default();
    for disk in ["sda", "sdb", "sdc"] {
        let five: Vec<_> = (1..=6).map(|n| (n, Primary, u64::from(n) * 10_000, 10_000)).collect();
        old.table(disk, "dos", &five);
    }
    match probe {
        "lvm_pres" => old.group("vg1", &["/dev/sda1"], &[("root", 1024), ("home", 1024)]),
        "raidopts" => {
            old.array(Some("/dev/md0"), RaidLevel::Raid1, &["/dev/sda1", "/dev/sdb1"]);
            old.array(None, RaidLevel::Raid1, &["/dev/sda2", "/dev/sdb2"]);
        }
        "resize" => old.signature("/dev/sda1", "ext4"),
        _ => {}
    }
    let mut facts = StorageFacts::new(disks, 8 << 30, Firmware::Bios);
    facts.existing = old.0;
    facts
}

fn errors(diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let is_error = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error;
    diagnostics.into_iter().filter(is_error).collect()
}

fn is_only(codes: &[&str], wanted: &str) -> bool {
    !codes.is_empty() && codes.iter().all(|code| *code == wanted)
}

#[test]
fn snippets_are_judged_as_fai_judges_them() {
    let probes: Vec<Probe> = serde_json::from_str(PROBES).expect("the probes are JSON");
    let (mut accepted, mut refused, mut stricter) = (0, 0, 0);
    let mut wrong = Vec::new();
    for probe in &probes {
        let errors =
            errors(examine(&probe.name, &probe.config, None, &facts(&probe.name)).diagnostics);
        let codes: Vec<&str> = errors.iter().map(|error| error.code.as_str()).collect();
        let listed = STRICTER.iter().find(|(name, ..)| *name == probe.name);
        match (probe.accepted, listed) {
            (true, None) if codes.is_empty() => accepted += 1,
            (true, Some((_, code, _))) if is_only(&codes, code.name()) => stricter += 1,
            (false, None) if !codes.is_empty() => refused += 1,
            _ => wrong.push(format!(
                "{}: FAI accepts: {}, we say {errors:#?}",
                probe.name, probe.accepted
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((accepted, refused, stricter), (78 - STRICTER.len(), 80, STRICTER.len()));
}
