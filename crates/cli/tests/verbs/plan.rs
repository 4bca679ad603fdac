//! `hostwright plan`: one plan, and two compared. Class scripts run in a namespace, which needs root.

use super::space::{Bench, has};
use serde_json::Value;

const MACHINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/machines");

#[test]
fn root_a_plan_names_its_reasons() {
    let bench = Bench::new();
    let text = bench.ok("plan --space space --hostname web1 --disk vda=20GiB");
    has(&text, &["everything on this disk is lost", "disk_config/WEB:2", "scripts/WEB/20-site"]);
    let json = bench.ok("plan --space space --hostname db1 --disk vda=20GiB --json");
    let plan: Value = serde_json::from_str(&json).unwrap();
    assert!(!plan["stages"].as_array().unwrap().is_empty());
    assert!(!json.contains("scripts/WEB"), "db1 is no web server");
    let nothing = bench.run("plan --space space --hostname web1");
    assert_eq!(nothing.status, 2, "wrong usage");
    has(&nothing.err, &["needs a machine", "--disk"]);
}

#[test]
fn root_a_change_of_the_space_is_shown_as_what_it_does() {
    let bench = Bench::new();
    let plan = "plan --space space --hostname web1 --disk vda=20GiB";
    has(&bench.ok(&format!("{plan} --diff HEAD")), &["no difference"]);
    bench.write("package_config/WEB", "PACKAGES install\nnginx certbot\n");
    bench.write("files/etc/motd/WEB", "another\n");
    bench.write("disk_config/WEB", "disk_config disk1\nprimary / 2G-4G ext4 rw\n");
    let text = bench.ok(&format!("{plan} --diff HEAD"));
    has(&text, &["+ certbot", "~ /etc/motd", "4.0 GiB"]);
    assert!(!text.contains("nginx"), "{text}");
    let json = bench.ok(&format!("{plan} --diff HEAD --json"));
    has(&json, &["certbot"]);
    let unknown = bench.run(&format!("{plan} --diff no-such-commit"));
    assert_eq!(unknown.status, 2, "wrong usage");
    has(&unknown.err, &["no-such-commit"]);
}

#[test]
fn root_two_machines_are_compared() {
    let bench = Bench::new();
    let facts = format!("--facts {MACHINES}/bios-virtio-20g.json");
    let other = format!("--diff-facts {MACHINES}/bios-two-disks.json");
    let plan = "plan --space space --hostname web1";
    has(&bench.ok(&format!("{plan} {facts} {other}")), &["disks", "/dev/vda"]);
    let names = bench.ok(&format!("{plan} {facts} --diff-hostname db1"));
    has(&names, &["+ WEB", "+ nginx", "~ /etc/motd", "+ scripts/WEB/20-site"]);
}
