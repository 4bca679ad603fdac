//! `cargo xtask fuzz`: drives the fuzz targets with libFuzzer, which learns from what they cover.
//!
//! A stable compiler is enough: the coverage that libFuzzer wants is a pass of LLVM's. What it learns
//! stays in `target/fuzz/corpus`; an input that breaks a target is in `target/fuzz/found` and goes
//! into `fuzz/seeds` together with the mending, so that every test run replays it.

use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// What is fuzzed, and for how long.
#[derive(clap::Args)]
pub struct Options {
    /// Only this target; all of them otherwise.
    target: Option<String>,
    /// Minutes of CPU time for each target, on an otherwise busy machine as well.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
}

/// The coverage that libFuzzer reads. For the target's triple only: build scripts know nothing of it.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Seconds after which one input counts as a hang: many, since the driver gets only what others leave.
const HANG_S: u32 = 60;

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
    let log = work.join(format!("{target}.log"));
    let mut driver = Command::new("chrt")
        .args(["--idle", "0"])
        .arg(work.join(TRIPLE).join("release/fuzz-driver"))
        .arg(format!("-timeout={HANG_S}"))
        .args(["-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=1", "-len_control=10"])
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(&corpus)
        .arg(root.join("fuzz/seeds").join(target))
        .env("FUZZ_TARGET", target)
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .with_context(|| format!("cannot fuzz {target}"))?;
    let (cpu_s, status) = wait_for_cpu_time(&mut driver, minutes * 60.0)?;
    let bytes = fs::read(&log)?;
    let text = String::from_utf8_lossy(&bytes);
    // A driver that stopped at once has not fuzzed anything, whatever its status.
    ensure!(text.contains("INITED"), "{target} did not start:\n{text}");
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
        ended_well: status.success(),
    })
}

/// Waits until the driver ends, or ends it after so many CPU seconds; gives those that it used.
fn wait_for_cpu_time(driver: &mut Child, budget_s: f64) -> Result<(f64, ExitStatus)> {
    let mut used_s = 0.0;
    loop {
        if let Some(status) = driver.try_wait()? {
            return Ok((used_s, status));
        }
        used_s = cpu_s(driver.id()).unwrap_or(used_s);
        if used_s >= budget_s {
            // libFuzzer ends by itself at this signal, with its statistics and without a failure.
            Command::new("kill").arg("-USR1").arg(driver.id().to_string()).status()?;
            return Ok((used_s, driver.wait()?));
        }
        sleep(Duration::from_millis(200));
    }
}

/// CPU seconds of a process (fields 14 and 15 of proc(5) stat, in hundredths).
fn cpu_s(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok());
    let (user, system) = (ticks(14).context("no field 14")?, ticks(15).context("no field 15")?);
    Ok((user + system) / 100.0)
}
