//! Random inputs for FAI's programs and ours: the same bytes for both, what they leave behind
//! compared.
//!
//! A sample is a seed: everything in it follows from the number. `cargo xtask peers fai-tools` asks
//! for thousands by [`CASES`] and [`SEED`]; an ordinary test run takes a few with a fixed seed.

mod ainsl;
mod bench;
mod classes;
mod fcopy;
mod ftar;
mod ifclass;
mod scripts;
mod seed;
mod small;
mod verdict;

use bench::Sample;
use seed::Seed;
use verdict::{Row, Verdict};

/// Environment variable with the number of samples for each tool.
const CASES: &str = "HOSTWRIGHT_PEER_CASES";
/// Environment variable with the first seed.
const SEED: &str = "HOSTWRIGHT_PEER_SEED";
/// Samples for each tool in an ordinary test run.
const FEW: u64 = 12;
/// Differences that are shown; more say nothing new.
const SHOWN: usize = 8;

/// One tool under comparison.
pub struct Contest {
    /// Name of our tool, and of the row in the table.
    pub tool: &'static str,
    /// FAI's program with its first arguments.
    pub oracle: &'static [&'static str],
    /// Makes a sample of a seed.
    pub sample: fn(&mut Seed) -> Sample,
    /// Judges what both left behind, where it is not simply equal.
    pub judge: verdict::Judge,
}

/// Runs the samples that are asked for, prints the tool's row and fails with what differs.
#[expect(clippy::print_stdout, reason = "xtask reads the row from there")]
fn compare(contest: &Contest) {
    super::bench::need_fai();
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number(SEED).unwrap_or(1);
    let mut row = Row::default();
    let mut differing = Vec::new();
    for seed in first..first + number(CASES).unwrap_or(FEW) {
        let sample = (contest.sample)(&mut Seed::new(seed));
        let (theirs, ours) = (sample.run_theirs(contest.oracle), sample.run_ours(contest.tool));
        let verdict = verdict::judge(contest.judge, &sample, &theirs, &ours);
        if let Verdict::Differs(what) = &verdict
            && differing.len() < SHOWN
        {
            differing.push(format!("seed {seed}: {}\n    {}", sample.line(), what.join("\n    ")));
        }
        row.add(&verdict);
    }
    println!("fai-tools: {}", row.line(contest.tool));
    assert!(differing.is_empty(), "{}:\n{}", contest.tool, differing.join("\n"));
}
