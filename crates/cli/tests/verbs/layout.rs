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
    assert!(layout.is_object(), "{layout}");
}

#[test]
fn a_layout_that_does_not_fit_is_refused_with_its_line() {
    let bench = Bench::new();
    let small = bench.run("layout space/disk_config/BASE --disk vda=1GiB");
    assert_eq!(small.status, 3);
    has(&small.err, &["space/disk_config/BASE:"]);
    let none = bench.run("layout space/disk_config/BASE");
    assert_eq!(none.status, 3);
    has(&none.err, &["--disk", "--facts"]);
    let both = bench.run(&format!("layout space/disk_config/BASE --facts {RECORDED} --ram 4GiB"));
    assert_eq!(both.status, 2);
}
