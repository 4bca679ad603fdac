//! `hostwright layout`: imagined disks, recorded machines, and what is refused.

use super::space::{Bench, has};
use serde_json::Value;

const RECORDED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/machines/bios-virtio-20g.json");

#[test]
fn disks_are_imagined_or_recorded() {
    let bench = Bench::new();
    let imagined = bench.ok("layout space/disk_config/BASE --disk vda=20GiB");
    let recorded = bench.ok(&format!("layout space/disk_config/BASE --facts {RECORDED}"));
    for text in [&imagined, &recorded] {
        has(text, &["/dev/vda1", "1048576", "everything on this disk is lost"]);
    }
    let json = bench.ok("layout space/disk_config/BASE --disk vda=20GiB,4096 --json");
    let layout: Value = serde_json::from_str(&json).unwrap();
    let (partition, volume) = (&layout["disks"][0]["partitions"][0], &layout["volumes"][0]);
    assert_eq!(partition["device"], "/dev/vda1", "{layout:#}");
    assert_eq!(partition["start_bytes"], 1_048_576, "{layout:#}");
    assert!(partition["end_bytes"].as_u64() > Some(2 << 30), "{layout:#}");
    assert_eq!(volume["device"], "/dev/vda1", "{layout:#}");
    assert_eq!(volume["file_system"], "ext4", "{layout:#}");
    assert_eq!(volume["mount_point"], "/", "{layout:#}");
}

#[test]
fn a_layout_that_does_not_fit_is_refused_with_its_line() {
    let bench = Bench::new();
    let small = bench.run("layout space/disk_config/BASE --disk vda=1GiB");
    assert_eq!(small.status, 3);
    has(&small.err, &["space/disk_config/BASE:"]);
    let json = bench.run("layout space/disk_config/BASE --disk vda=1GiB --json");
    assert_eq!(json.status, 3);
    let told: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(told["diagnostics"][0]["at"]["file"], "space/disk_config/BASE", "{told:#}");
    assert_eq!(told["diagnostics"][0]["severity"], "error", "{told:#}");
    let none = bench.run("layout space/disk_config/BASE");
    assert_eq!(none.status, 2, "wrong usage");
    has(&none.err, &["--disk", "--facts"]);
    let both = bench.run(&format!("layout space/disk_config/BASE --facts {RECORDED} --ram 4GiB"));
    assert_eq!(both.status, 2);
}
