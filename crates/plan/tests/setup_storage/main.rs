//! Random layouts judged by the installed setup-storage(8) and by us: accepted by both or by none,
//! every partition and volume at the same bytes, the same file systems, the same fstab.
//!
//! A sample is a seed: everything in it follows from the number. `cargo xtask peers setup-storage`
//! asks for thousands by [`CASES`] and [`SEED`]; an ordinary test run takes a few.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]
#![expect(clippy::disallowed_methods, reason = "the crate is pure, its peer is a process")]

mod compare;
mod draft;
mod machine;
mod oracle;
mod reason;
#[path = "../../../engine/tests/tools/random/seed.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine")]
mod seed;

use compare::Ours;
use hostwright_plan::storage::examine;
use machine::Sample;
use oracle::Oracle;
use reason::Reason;
use seed::Seed;
use std::collections::BTreeMap;

/// Environment variable with the number of samples.
const CASES: &str = "HOSTWRIGHT_PEER_CASES";
/// Environment variable with the first seed.
const SEED: &str = "HOSTWRIGHT_PEER_SEED";
/// Samples in an ordinary test run.
const FEW: u64 = 40;
/// Differences that are shown; more say nothing new.
const SHOWN: usize = 12;
/// Name of the simulated machines.
const HOSTNAME: &str = "demohost";

/// As setup-storage reads it.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with("MemTotal:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn root_random_layouts_are_those_of_setup_storage() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number(SEED).unwrap_or(1);
    let memory_bytes = memory_bytes();
    let mut oracle = Oracle::start(&machine::NAMES);
    let mut differing = Vec::new();
    let (mut layouts, mut refused, mut meant) = (0, 0, 0);
    let mut on_purpose: BTreeMap<Reason, usize> = BTreeMap::new();
    let cases = number(CASES).unwrap_or(FEW);
    for seed in first..first + cases {
        let sample = Sample::new(&mut Seed::new(seed), memory_bytes);
        let theirs = oracle.ask(&sample.question());
        let examination = examine("disk_config", &sample.config, None, &sample.facts);
        let ours: Ours = examination.layout.ok_or(examination.diagnostics);
        let found = compare::differences(&theirs, &ours);
        if found.is_empty() {
            *(if theirs.accepted { &mut layouts } else { &mut refused }) += 1;
        } else if let Some(reasons) = reason::reasons(&sample, &theirs, &ours, &found) {
            meant += 1;
            reasons.into_iter().for_each(|reason| *on_purpose.entry(reason).or_default() += 1);
        } else {
            let bugs = sample.facts.fai_bugs;
            let found = found.join("\n    ");
            differing
                .push(format!("seed {seed} (fai_bugs {bugs}):\n    {found}\n{}", sample.config));
        }
    }
    let reasons = on_purpose.iter().map(|(reason, count)| format!("{reason:?} {count}"));
    println!(
        "setup-storage: {cases:>6} {layouts:>8} {refused:>8} {meant:>6} {:>6}  {}",
        differing.len(),
        reasons.collect::<Vec<_>>().join(", ")
    );
    let shown = differing.len().min(SHOWN);
    assert!(differing.is_empty(), "{}", differing[..shown].join("\n"));
}
