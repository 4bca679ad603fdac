//! `hostwright lab`: what it can do, and what it cannot be asked for.

use super::space::{Bench, has};
use serde_json::Value;

#[test]
fn scenarios_and_cases_are_listed_in_either_way() {
    let bench = Bench::new();
    for (verb, name) in [("test", "power-cut-uefi"), ("storage", "mail-store")] {
        has(&bench.ok(&format!("lab {verb} --list")), &[name]);
        let json = bench.ok(&format!("lab {verb} --list --json"));
        let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
        assert!(rows.iter().any(|row| row["name"] == name && row["shows"].is_string()), "{json}");
    }
}

#[test]
fn what_there_is_not_is_wrong_usage() {
    let bench = Bench::new();
    for verb in ["test", "storage"] {
        let outcome = bench.run(&format!("lab {verb} no-such-thing --json"));
        assert_eq!(outcome.status, 2, "{}", outcome.err);
        let told: Value = serde_json::from_str(&outcome.out).unwrap();
        assert_eq!(told["fault"]["code"], "usage", "{told:#}");
    }
}
