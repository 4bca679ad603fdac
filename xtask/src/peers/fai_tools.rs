//! `cargo xtask peers fai-tools`: FAI's class-aware tools and ours on the same random inputs.
//!
//! The comparison itself is a test of the engine (`crates/engine/tests/tools/random`), which runs a
//! few fixed samples with all other tests; this asks it for many more and shows one table.

use super::TestedPeer;
use anyhow::{Result, bail};
use std::path::Path;

/// How much is compared.
#[derive(clap::Args)]
pub struct Options {
    /// Samples for each tool.
    #[arg(long, default_value_t = 1000)]
    cases: u64,
    /// The first seed; the samples are those of the seeds that follow it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only tests whose names contain this: ainsl, fcopy, ftar, sed, link, classes, scripts, ….
    #[arg(long, default_value = "")]
    only: String,
}

const PEER: TestedPeer<'_> =
    TestedPeer { package: "hostwright-engine", test: "tools", row: "fai-tools: " };

/// Runs the comparison and prints its table; fails if anything differs that is not meant to.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let filter = format!("root_random_{}", options.only);
    let (mut rows, status) = PEER.compare(root, &filter, options.cases, options.seed)?;
    println!(
        "{:<16} {:>6} {:>6} {:>6} {:>6}  on purpose, by reason (docs/reference/fai-tools.md)",
        "tool", "cases", "equal", "meant", "differ"
    );
    rows.sort_unstable();
    rows.iter().for_each(|row| println!("{row}"));
    if rows.is_empty() {
        bail!("no test has a name with {filter}");
    }
    match status.success() {
        true => Ok(()),
        false => bail!("the tools differ; above is where"),
    }
}
