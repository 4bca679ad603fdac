//! `hostwright explain`: every kind, with and without classes.

use super::space::{Bench, has};
use serde_json::Value;

#[test]
fn every_kind_is_explained() {
    let bench = Bench::new();
    let explain = |words: &str| bench.ok(&format!("explain {words} --space space"));
    has(&explain("package nginx"), &["package_config/WEB:2:1", "class WEB"]);
    has(&explain("file /etc/motd"), &["2 variants", "scripts/BASE/10-motd:2"]);
    has(&explain("class WEB"), &["class/50-host:3", "package_config/WEB", "scripts/WEB/20-site"]);
    has(&explain("partition swap"), &["disk_config/BASE:3"]);
    has(&explain("script 20-site"), &["scripts/WEB/20-site", "configure"]);
    has(&explain("hook instsoft"), &["hooks/instsoft.WEB"]);
    has(&explain("variable STOP_ON_ERROR"), &["class/BASE.var:2:1"]);
}

#[test]
fn a_machine_s_classes_decide() {
    let bench = Bench::new();
    let explain = |words: &str| bench.ok(&format!("explain {words} --space space"));
    has(&explain("file etc/motd --classes BASE,WEB"), &["fcopy takes files/etc/motd/WEB"]);
    has(&explain("file etc/motd --classes WEB,BASE"), &["fcopy takes files/etc/motd/BASE"]);
    has(&explain("partition / --classes BASE"), &["class BASE asks for it", "disk_config/BASE:2"]);
    has(&explain("package nginx --classes BASE"), &["not asked for on this machine", "otherwise"]);
}

#[test]
fn a_package_behind_a_variable_is_found_by_the_line_that_sets_it() {
    let bench = Bench::new();
    let told = bench.ok("explain package nano --space space");
    has(&told, &["package_config/BASE:2:6", "class/BASE.var:3", "editor=nano"]);
    let other = bench.ok("explain package nano --space space --var editor=vim");
    has(&other, &["no file of the space names it"]);
}

#[test]
fn what_the_space_does_not_know_is_said() {
    let bench = Bench::new();
    for kind in ["package", "file", "class", "script", "variable", "hook", "partition"] {
        let told = bench.ok(&format!("explain {kind} nothing-of-this-name --space space --json"));
        let told: Value = serde_json::from_str(&told).unwrap();
        let answer = told["answer"].as_str().unwrap();
        assert!(answer.contains("no") && told["because"].as_array().unwrap().is_empty(), "{told}");
    }
}
