//! `hostwright lab`: virtual machines that boot from a real boot server.

use crate::faults::Failure;
use crate::machine_args::FirmwareArg;
use crate::render::json;
use crate::render::progress::Bars;
use clap::{Subcommand, ValueEnum};
use hostwright_lab::demo::{self, Demo};
use hostwright_lab::machine::acceleration;
use hostwright_lab::parts::Parts;
use hostwright_lab::scenario::{Ring, SCENARIOS, Scenario, Stage};
use hostwright_lab::storage::cases::{CASES, Case};
use hostwright_lab::storage::{self, Rig};
use hostwright_lab::watch::Show;
use hostwright_model::api::Run;
use hostwright_model::facts::Firmware;
use hostwright_model::progress::RunProgress;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// QEMU machines with real firmware on a network of their own: demo, test.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  hostwright lab demo --firmware uefi
  hostwright lab test --ring pr
  hostwright lab test power-cut --seed 42
  hostwright lab storage mail-store

Needs root, and Debian's packages qemu-system-x86, ovmf, ipxe, fai-doc, iproute2 and sshpass.")]
pub enum Verb {
    /// An empty machine becomes a running Debian.
    Demo {
        /// Firmware of the machine.
        #[arg(long, default_value = "bios")]
        firmware: FirmwareArg,
        #[command(flatten)]
        place: Place,
    },
    /// Run end-to-end tests.
    Test {
        /// Scenarios by name; without any, a whole ring.
        scenarios: Vec<String>,
        /// Which set of scenarios.
        #[arg(long, default_value = "pr")]
        ring: RingArg,
        /// Repeats what an earlier run left to chance.
        #[arg(long)]
        seed: Option<u64>,
        /// Say what there is, and run nothing.
        #[arg(long)]
        list: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Carry disk layouts out for real and read them back after a reboot.
    Storage {
        /// Cases by name; without any, all.
        cases: Vec<String>,
        /// Say what there is, and run nothing.
        #[arg(long)]
        list: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the lab works.
#[derive(clap::Args)]
pub struct Place {
    /// The lab's directory.
    #[arg(long, env = "HOSTWRIGHT_LAB_DIR", default_value = "target/lab")]
    dir: PathBuf,
    /// The static agent, made by `cargo xtask agent`.
    #[arg(
        long,
        env = "HOSTWRIGHT_AGENT",
        default_value = "target/static/x86_64-unknown-linux-gnu/agent/hostwright-agent"
    )]
    agent: PathBuf,
    /// How QEMU runs guests; the default is kvm where the processor can.
    #[arg(long, env = "HOSTWRIGHT_ACCEL", value_parser = ["kvm", "tcg"])]
    accel: Option<String>,
}

/// Ring on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub enum RingArg {
    /// For every change.
    Pr,
    /// Everything.
    Full,
}

impl From<RingArg> for Ring {
    fn from(arg: RingArg) -> Self {
        match arg {
            RingArg::Pr => Self::Pr,
            RingArg::Full => Self::Full,
        }
    }
}

impl Place {
    /// The command line that does `words` again, from the same directory.
    fn again(&self, words: &str) -> String {
        let program = std::env::current_exe().unwrap_or_else(|_| "hostwright".into());
        let (dir, agent) = (self.dir.display(), self.agent.display());
        let mut line = format!("{} lab {words} --dir {dir} --agent {agent}", program.display());
        if let Some(accel) = &self.accel {
            line.push_str(&format!(" --accel {accel}"));
        }
        line
    }

    fn parts(&self, show: bool) -> Result<Parts, Failure> {
        let program = std::env::current_exe().map_err(anyhow::Error::from)?;
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(anyhow::Error::from);
        let (agent, dir) = (absolute(&self.agent)?, absolute(&self.dir)?);
        std::fs::create_dir_all(&dir)
            .map_err(|error| crate::faults::file("create", &dir, &error))?;
        Ok(Parts { program, agent, dir, show })
    }
}

impl Show for Bars {
    fn say(&mut self, line: &str) {
        Self::say(self, line);
    }

    fn progress(&mut self, _: &Run, progress: &RunProgress) {
        self.show(progress);
    }
}

/// Does it.
pub fn run(verb: Verb, as_json: bool) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Demo { firmware, place } => run_demo(firmware.into(), &place, as_json),
        Verb::Test { list: true, .. } => {
            let row = |s: &Scenario| (s.name, format!("{:?}: {}", s.ring, s.shows));
            list(SCENARIOS.iter().map(row).collect(), as_json);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Test { scenarios, ring, seed, place, .. } => {
            let chosen = choose(&scenarios, ring.into())?;
            let seed = seed.unwrap_or_else(seed_of_now);
            test(&chosen, seed, &place, as_json)
        }
        Verb::Storage { list: true, .. } => {
            list(CASES.iter().map(|c| (c.name, c.shows.to_owned())).collect(), as_json);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Storage { cases, place, .. } => run_storage(&cases, &place, as_json),
    }
}

/// What there is, each with what it shows.
fn list(rows: Vec<(&str, String)>, as_json: bool) {
    if as_json {
        let row = |(name, shows): &(&str, String)| json!({ "name": name, "shows": shows });
        return json::print(&rows.iter().map(row).collect::<Vec<_>>());
    }
    for (name, shows) in rows {
        println!("{name:18} {shows}");
    }
}

fn run_demo(firmware: Firmware, place: &Place, as_json: bool) -> Result<ExitCode, Failure> {
    let parts = place.parts(!as_json)?;
    let demo = Demo { parts, firmware, acceleration: place.accel.clone() };
    let mut bars = Bars::default();
    let ran = demo::run(&demo, &mut bars);
    bars.clear();
    let kept = demo.parts.dir.join("demo");
    let report = ran.map_err(|error| {
        let word = if firmware == Firmware::Uefi { "uefi" } else { "bios" };
        error.context(format!(
            "the demo failed; serial log, events and database are in {}; repeat it with: {}",
            kept.display(),
            place.again(&format!("demo --firmware {word}"))
        ))
    })?;
    match as_json {
        true => json::print(&report),
        false => report.lines().iter().for_each(|line| println!("{line}")),
    }
    Ok(ExitCode::SUCCESS)
}

fn run_storage(names: &[String], place: &Place, as_json: bool) -> Result<ExitCode, Failure> {
    if let Some(unknown) = names.iter().find(|name| !CASES.iter().any(|case| case.name == **name)) {
        let message = format!("there is no case '{unknown}'");
        return Err(crate::faults::usage(message, "see 'hostwright lab storage --list'"));
    }
    let is_chosen = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.name);
    let chosen: Vec<&'static Case> = CASES.iter().filter(is_chosen).collect();
    let parts = place.parts(false)?;
    say("preparing the installer");
    let accel = acceleration(place.accel.as_deref());
    let rig = Rig::new(&parts, &chosen, parts.dir.join("storage"), accel)?;
    let verdicts = storage::run(&rig, &chosen, &mut |line| say(line))?;
    let failed = verdicts.iter().filter(|verdict| !verdict.problems.is_empty()).count();
    for verdict in &verdicts {
        match as_json {
            true => json::print_line(&json!({
                "name": verdict.case, "ok": verdict.problems.is_empty(), "problems": verdict.problems,
            })),
            false => println!("{verdict}"),
        }
    }
    if !as_json {
        let passed = verdicts.len() - failed;
        println!("{passed} passed, {failed} failed; kept: {}", rig.dir.display());
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// What goes on, beside the results.
fn say(line: &str) {
    eprintln!("lab: {line}");
}

fn choose(names: &[String], ring: Ring) -> Result<Vec<&'static Scenario>, Failure> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().filter(|scenario| scenario.ring <= ring).collect());
    }
    let find = |name: &String| {
        SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
            crate::faults::usage(
                format!("there is no scenario '{name}'"),
                "see 'hostwright lab test --list'",
            )
        })
    };
    names.iter().map(find).collect()
}

fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn test(
    chosen: &[&Scenario],
    seed: u64,
    place: &Place,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let parts = place.parts(false)?;
    let started = Instant::now();
    say(&format!("seed {seed}; preparing what the scenarios need"));
    let space = parts.space()?;
    parts.installer()?;
    if chosen.iter().any(|scenario| scenario.needs_images) {
        for firmware in [Firmware::Bios, Firmware::Uefi] {
            parts.image(&space, firmware, true)?;
        }
    }
    say(&format!("prepared after {} s", started.elapsed().as_secs()));
    let uplink = super::serve::outside_proxy(&parts.package_cache())?;
    let mut failed = 0;
    for scenario in chosen {
        let mut stage = stage(scenario, seed, place, &parts)?;
        stage.uplink = Some(uplink.address());
        let started = Instant::now();
        let ran = scenario.run(&stage);
        let seconds = started.elapsed().as_secs();
        failed += usize::from(ran.is_err());
        let repeat = place.again(&format!("test {} --seed {seed}", scenario.name));
        let error = ran.err().map(|error| format!("{error:#}"));
        if as_json {
            json::print_line(&json!({
                "name": scenario.name, "ok": error.is_none(), "seconds": seconds, "seed": seed,
                "error": error, "kept": stage.dir, "repeat": repeat,
            }));
        } else if let Some(error) = error {
            println!("FAILED  {}: {error}", scenario.name);
            println!("        kept: {}", stage.dir.display());
            println!("        repeat: {repeat}");
        } else {
            println!("ok      {} ({seconds} s)", scenario.name);
        }
    }
    if !as_json {
        println!("{} passed, {failed} failed", chosen.len() - failed);
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// A place for a scenario, with nothing of an earlier run.
fn stage(scenario: &Scenario, seed: u64, place: &Place, parts: &Parts) -> Result<Stage, Failure> {
    let dir = parts.dir.join("scenarios").join(scenario.name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(anyhow::Error::from)?;
    }
    std::fs::create_dir_all(&dir).map_err(anyhow::Error::from)?;
    Ok(Stage {
        parts: parts.clone(),
        dir,
        acceleration: acceleration(place.accel.as_deref()),
        seed,
        uplink: None,
        say,
    })
}
