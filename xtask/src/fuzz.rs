//! `cargo xtask fuzz`: drives the fuzz targets with libFuzzer, which learns from what they cover.
//!
//! A stable compiler is enough: the coverage that libFuzzer wants is a pass of LLVM's. What it learns
//! stays in `target/fuzz/corpus`; an input that breaks a target is in `target/fuzz/found` and goes
//! into `fuzz/seeds` together with the mending, so that every test run replays it.

use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What is fuzzed, and for how long.
#[derive(clap::Args)]
pub struct Options {
    /// Only this target; all of them otherwise.
    target: Option<String>,
    /// Minutes for each target.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
}

/// The coverage that libFuzzer reads. For the target's triple only: build scripts know nothing of it.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Seconds after which one input counts as a hang.
const HANG_S: u32 = 10;

/// Fuzzes, prints what was reached, and fails if something broke.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let work = root.join("target/fuzz");
    let targets = targets(root, options.target.as_deref())?;
    build(root, &work)?;
    println!(
        "{:<18} {:>9} {:>12} {:>8} {:>8}  result",
        "target", "CPU s", "executions", "edges", "corpus"
    );
    let mut broken = Vec::new();
    for target in targets {
        let row = drive(root, &work, &target, options.minutes)?;
        if !row.ended_well {
            broken.push(target.clone());
        }
        println!(
            "{target:<18} {:>9.0} {:>12} {:>8} {:>8}  {}",
            row.cpu_s,
            row.executions,
            row.edges,
            row.corpus,
            if row.ended_well { "ok" } else { "BROKEN, see target/fuzz/found" }
        );
    }
    ensure!(broken.is_empty(), "broken: {}", broken.join(", "));
    Ok(())
}

/// Names of the targets: those that have seeds.
fn targets(root: &Path, only: Option<&str>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("fuzz/seeds"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    names.retain(|name| only.is_none_or(|only| only == name));
    if names.is_empty() {
        bail!("there is no target {}", only.unwrap_or_default());
    }
    Ok(names)
}

fn build(root: &Path, work: &Path) -> Result<()> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--target", TRIPLE, "--target-dir"])
        .arg(work)
        .env("RUSTFLAGS", FLAGS)
        .current_dir(root.join("fuzz/driver"))
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the driver does not build");
    Ok(())
}

/// What a target reached.
struct Row {
    cpu_s: f64,
    executions: u64,
    edges: u64,
    corpus: u64,
    ended_well: bool,
}

fn drive(root: &Path, work: &Path, target: &str, minutes: f64) -> Result<Row> {
    let corpus = work.join("corpus").join(target);
    let found = work.join("found").join(target);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&found)?;
    let cpu_before = children_cpu_s()?;
    let started = Instant::now();
    let output = Command::new("nice")
        .args(["-n", "19"])
        .arg(work.join(TRIPLE).join("release/fuzz-driver"))
        .arg(format!("-max_total_time={:.0}", (minutes * 60.0).max(1.0)))
        .arg(format!("-timeout={HANG_S}"))
        .args(["-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=1", "-len_control=10"])
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(&corpus)
        .arg(root.join("fuzz/seeds").join(target))
        .env("FUZZ_TARGET", target)
        .output()
        .with_context(|| format!("cannot fuzz {target}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    fs::write(work.join(format!("{target}.log")), text.as_bytes())?;
    let cpu_s = children_cpu_s()? - cpu_before;
    // A driver that stopped at once has not fuzzed anything, whatever its status.
    ensure!(
        text.contains("INITED"),
        "{target} did not start after {:?}:\n{text}",
        started.elapsed()
    );
    let last = |key: &str| {
        let line = text.lines().rev().find(|line| line.starts_with('#') && line.contains(key));
        let mut words = line.unwrap_or_default().split_whitespace();
        words.find(|word| *word == key).and_then(|_| words.next().map(str::to_owned))
    };
    let number = |text: Option<String>| {
        let text = text.unwrap_or_default();
        text.split('/').next().and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let executions = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map(|text| text.trim().to_owned());
    Ok(Row {
        cpu_s,
        executions: number(executions),
        edges: number(last("cov:")),
        corpus: number(last("corp:")),
        ended_well: output.status.success(),
    })
}

/// CPU seconds that ended children of this process used (fields 16 and 17 of proc(5) stat, in
/// hundredths).
fn children_cpu_s() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok());
    let (user, system) = (ticks(16).context("no field 16")?, ticks(17).context("no field 17")?);
    Ok((user + system) / 100.0)
}
