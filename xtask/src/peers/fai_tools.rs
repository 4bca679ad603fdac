//! `cargo xtask peers fai-tools`: FAI's class-aware tools and ours on the same random inputs.
//!
//! The comparison itself is a test of the engine (`crates/engine/tests/tools/random`), which runs a
//! few fixed samples with all other tests; this asks it for many more and shows one table.

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Lines of the tests that are rows of the table.
const ROW: &str = "fai-tools: ";

/// Runs the comparison and prints its table; fails if anything differs that is not meant to.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let filter = format!("root_random_{}", options.only);
    let mut child = Command::new("cargo")
        .args(["test", "--quiet", "--locked", "--package", "hostwright-engine", "--test", "tools"])
        .args(["--", "--nocapture", &filter])
        .env("HOSTWRIGHT_PEER_CASES", options.cases.to_string())
        .env("HOSTWRIGHT_PEER_SEED", options.seed.to_string())
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let lines = BufReader::new(output).lines().collect::<std::io::Result<Vec<_>>>()?;
    let status = child.wait()?;
    println!(
        "{:<16} {:>6} {:>6} {:>6} {:>6}  on purpose, by reason (docs/reference/fai-tools.md)",
        "tool", "cases", "equal", "meant", "differ"
    );
    let mut rows: Vec<&str> =
        lines.iter().filter_map(|line| line.split_once(ROW)).map(|(_, row)| row).collect();
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
