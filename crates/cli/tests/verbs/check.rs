//! `hostwright check`: texts, machine-readable forms, choices and exit statuses.

use super::space::{Bench, has};
use serde_json::Value;
use std::fs;

/// A layout with a mistake in its second line.
const MISTAKE: &str = "disk_config disk1\nprimry / 2G- ext4 rw\n";

#[test]
fn a_sound_space_passes_and_a_mistake_is_placed() {
    let bench = Bench::new();
    let sound = bench.run("check --strict space");
    assert_eq!((sound.status, sound.out.as_str()), (0, ""), "{}", sound.err);
    bench.write("disk_config/WEB", MISTAKE);
    let broken = bench.run("check space");
    assert_eq!(broken.status, 3);
    has(&broken.err, &["disk_config/WEB:2:1", "primry / 2G- ext4 rw", "help:"]);
}

#[test]
fn json_lines_and_sarif_carry_the_place() {
    let bench = Bench::new();
    bench.write("disk_config/WEB", MISTAKE);
    let lines = bench.run("check --json space").out;
    let codes: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let error = codes.iter().find(|finding| finding["severity"] == "error").unwrap();
    assert_eq!(error["at"]["file"], "disk_config/WEB");
    assert_eq!(error["at"]["line"], 2);
    let log: Value = serde_json::from_str(&bench.run("check --format sarif space").out).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let result = results.iter().find(|result| result["level"] == "error").unwrap();
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "space/disk_config/WEB");
    assert_eq!(place["region"]["startLine"], 2);
    let rule = result["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][rule]["id"], result["ruleId"]);
}

#[test]
fn only_changed_files_are_told_of() {
    let bench = Bench::new();
    assert_eq!(bench.run("check --changed --strict space").status, 0);
    bench.write("package_config/BASE", "PACKAGES instal\nless\n");
    bench.write("disk_config/WEB", MISTAKE);
    let both = bench.run("check --changed space");
    assert_eq!(both.status, 3);
    has(&both.err, &["package_config/BASE:1", "disk_config/WEB:2"]);
    let unknown = bench.run("check --changed=no-such-commit space");
    assert_eq!(unknown.status, 2, "wrong usage");
    has(&unknown.err, &["no-such-commit", "name a commit"]);
}

#[test]
fn package_names_are_held_against_an_index() {
    let bench = Bench::new();
    let index =
        "Package: less\n\nPackage: nano\n\nPackage: linux-image-amd64\n\nPackage: grub-pc\n";
    fs::write(bench.dir().join("Packages"), index).unwrap();
    let found = bench.run("check --packages Packages space");
    has(&found.err, &["unknown-package", "'nginx'", "package_config/WEB:2:1"]);
    assert!(!found.err.contains("'less'"), "{}", found.err);
    let missing = bench.run("check --packages nowhere space");
    assert_eq!(missing.status, 5, "{}", missing.err);
}

#[test]
fn layouts_are_held_against_machines() {
    let bench = Bench::new();
    assert_eq!(bench.run("check --disk sda=20GiB space").status, 0);
    let small = bench.run("check --disk sda=1GiB space");
    assert_eq!(small.status, 3);
    has(&small.err, &["disk_config/BASE", "a machine with sda"]);
    // One machine that takes the layout is enough.
    let uefi = "disk_config disk1 disklabel:gpt\nprimary /boot/efi 200 vfat rw\n\
                primary / 2G- ext4 rw\n";
    bench.write("disk_config/WEB", uefi);
    let either = bench.run("check --disk sda=20GiB space").err;
    let bios = bench.run("check --disk sda=20GiB --firmware bios space").err;
    assert!(!either.contains("no-bios-boot-partition"), "{either}");
    has(&bios, &["no-bios-boot-partition"]);
}

#[test]
fn what_is_no_space_is_said() {
    let bench = Bench::new();
    let nowhere = bench.run("check nowhere");
    assert_eq!(nowhere.status, 2, "wrong usage");
    has(&nowhere.err, &["there is no directory nowhere"]);
    let other = bench.run("check space/class");
    assert_eq!(other.status, 2, "wrong usage");
    has(&other.err, &["is not a config space"]);
}
