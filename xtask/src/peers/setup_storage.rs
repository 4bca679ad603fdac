//! `cargo xtask peers setup-storage`: FAI's planner of disks and ours on the same random layouts.
//!
//! The comparison itself is a test of the planner (`crates/plan/tests/setup_storage`), which runs a
//! few samples with all other tests; this asks it for many more.

use super::TestedPeer;
use anyhow::{Result, bail};
use std::path::Path;

/// How much is compared.
#[derive(clap::Args)]
pub struct Options {
    /// Layouts: those of this many seeds.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const PEER: TestedPeer<'_> =
    TestedPeer { package: "hostwright-plan", test: "setup_storage", row: "setup-storage: " };

/// Runs the comparison and prints its counts; fails if anything differs that is not meant to.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let (rows, status) = PEER.compare(root, "root_random_layouts", options.seeds, options.seed)?;
    let Some(row) = rows.first() else {
        bail!("the comparison says nothing");
    };
    println!(
        "{:>6} {:>8} {:>8} {:>6} {:>6}  on purpose, by reason (docs/reference/setup-storage.md)",
        "seeds", "layouts", "refused", "meant", "differ"
    );
    println!("{row}");
    match status.success() {
        true => Ok(()),
        false => bail!("layouts differ; above is where"),
    }
}
