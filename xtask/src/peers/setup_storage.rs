//! `cargo xtask peers setup-storage`: FAI's planner of disks and ours on the same random layouts.
//!
//! The comparison itself is a test of the planner (`crates/plan/tests/setup_storage`), which runs a
//! few samples with all other tests; this asks it for many more.

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Begins the line of the test that is the result.
const ROW: &str = "setup-storage: ";

/// Runs the comparison and prints its counts; fails if anything differs that is not meant to.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let mut child = Command::new("cargo")
        .args(["test", "--quiet", "--locked", "--package", "hostwright-plan"])
        .args(["--test", "setup_storage", "--", "--nocapture", "root_random_layouts"])
        .env("HOSTWRIGHT_PEER_CASES", options.seeds.to_string())
        .env("HOSTWRIGHT_PEER_SEED", options.seed.to_string())
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let lines = BufReader::new(output).lines().collect::<std::io::Result<Vec<_>>>()?;
    let status = child.wait()?;
    let Some((_, row)) = lines.iter().find_map(|line| line.split_once(ROW)) else {
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
