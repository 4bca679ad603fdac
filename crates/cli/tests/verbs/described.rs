//! Machines that are described in Dominator's files: `check` and `plan` without a config space.

use super::space::{Bench, has};
use serde_json::Value;
use std::fs;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");

/// The example's files and its machine in `machine/`.
fn bench() -> Bench {
    let bench = Bench::new();
    for name in ["config.json", "storage-layout.json", "imagename", "imageserver"] {
        let text = fs::read_to_string(format!("{FIXTURES}/dominator/demo/{name}")).unwrap();
        bench.write(&format!("machine/{name}"), &text);
    }
    let facts = format!("{FIXTURES}/machines/uefi-virtio-20g.json");
    let facts = fs::read_to_string(facts).unwrap();
    bench.write("facts.json", &facts.replace("52:54:00:12:34:56", "52:54:00:00:00:01"));
    bench
}

fn plan(more: &str) -> String {
    format!(
        "plan --dominator space/machine --facts space/facts.json \
         --image-summary {FIXTURES}/dominator/bookworm-summary.json {more}"
    )
}

#[test]
fn a_description_is_planned_with_its_network() {
    let bench = bench();
    let text = bench.ok(&plan(""));
    has(&text, &["storage-layout.json:3", "write the network for ifupdown", "address 10.1.0.7/24"]);
    let json: Value = serde_json::from_str(&bench.ok(&plan("--json"))).unwrap();
    assert_eq!(json["policy"]["on_failure"], "hold");
    assert_eq!(json["layout"]["encrypted"].as_array().unwrap().len(), 3);
    let chosen = bench.run(&plan("--disk-order vdz"));
    assert_eq!(chosen.status, 3);
    has(&chosen.err, &["disk-choice", "'vdz' is chosen"]);
}

#[test]
fn mistakes_of_a_description_are_found_without_a_machine() {
    let bench = bench();
    let sound = bench.run("check --strict space/machine");
    assert_eq!((sound.status, sound.out.as_str()), (0, ""), "{}", sound.err);
    let config = format!("{FIXTURES}/dominator/demo/config.json");
    let config = fs::read_to_string(config).unwrap().replace("10.1.0.7", "10.9.0.7");
    bench.write("machine/config.json", &config.replace("DomainName\"", "DomainNane\""));
    let broken = bench.run("check space/machine");
    assert_eq!(broken.status, 3);
    has(&broken.err, &["config.json:6:26", "10.9.0.7 is in none of the subnets", "unknown-key"]);
    let unplanned = bench.run(&plan(""));
    assert_eq!((unplanned.status, unplanned.out.as_str()), (3, ""));
    has(&unplanned.err, &["10.9.0.7 is in none of the subnets"]);
}
