//! The demo: an empty machine becomes a running Debian, before one's eyes.

use crate::bench::{ADDRESS, Bench, Job};
use crate::machine::acceleration;
use crate::parts::Parts;
use crate::process::Memory;
use crate::verify::{Answer, installed_system};
use crate::watch::{Show, is_installed, run_until};
use anyhow::Result;
use hostwright_model::facts::Firmware;
use hostwright_model::phase::Phase;
use hostwright_model::progress::RunProgress;
use hostwright_model::size::ByteSize;
use serde::Serialize;
use std::fs;
use std::time::{Duration, Instant};

/// How long the installed system may take to answer.
const REBOOT_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How the demo is run.
pub struct Demo {
    /// What it works with.
    pub parts: Parts,
    /// The machine's firmware.
    pub firmware: Firmware,
    /// `kvm` or `tcg`, where the default is wrong.
    pub acceleration: Option<String>,
}

/// How long each part took, and what the installed system said.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    /// From power-on to the agent's first word.
    pub boot: Duration,
    /// From there to the restart.
    pub install: Duration,
    /// From there to the installed system's answer.
    pub reboot: Duration,
    /// How long each phase of the installation took.
    pub phases: Vec<(Phase, Duration)>,
    /// What it answered.
    pub answer: Answer,
}

/// What the demo has to tell.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How long everything took.
    pub timing: Timing,
    /// The server's memory before the machine was switched on.
    pub idle: Memory,
    /// The server's memory at the end.
    pub ended: Memory,
}

impl Report {
    /// The demo's last lines; the very last says that it went well.
    pub fn lines(&self) -> [String; 3] {
        let Self { timing, idle, ended } = self;
        let seconds = |(phase, took): &(Phase, Duration)| {
            format!("{} {:.1} s", phase.name(), took.as_secs_f64())
        };
        let phases: Vec<String> = timing.phases.iter().map(seconds).collect();
        let (idle, peak) = (ByteSize(idle.resident_bytes), ByteSize(ended.peak_bytes));
        let (idle, peak) = (idle.rounded(), peak.rounded());
        [
            format!("phases: {}", phases.join(", ")),
            format!("memory of the server: {idle} idle, {peak} at the peak of the installation"),
            timing.summary(),
        ]
    }
}

impl Timing {
    /// The demo's last line.
    pub fn summary(&self) -> String {
        let total = self.boot + self.install + self.reboot;
        let s = |duration: Duration| duration.as_secs();
        format!(
            "demo: {} installed and answering after {} s (boot {} s, install {} s, reboot {} s)",
            self.answer.hostname,
            s(total),
            s(self.boot),
            s(self.install),
            s(self.reboot)
        )
    }
}

/// Runs the demo. What it leaves in `DIR/demo` tells what happened.
pub fn run(demo: &Demo, show: &mut dyn Show) -> Result<Report> {
    let parts = &demo.parts;
    let space = parts.space()?;
    show.say("Building what a machine boots to be installed (kernel, initramfs, tools image)");
    parts.installer()?;
    show.say("Building the image of demohost from FAI's example space, unchanged");
    let image = parts.image(&space, demo.firmware, false)?;
    let dir = parts.dir.join("demo");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let job = Job { firmware: demo.firmware, image: Some(image), uplink: None };
    let mut bench = Bench::set_up(parts, &dir, acceleration(demo.acceleration.as_deref()), job)?;
    perform(&mut bench, parts, show).map_err(|failure| bench.keep_evidence(failure))
}

fn perform(bench: &mut Bench, parts: &Parts, show: &mut dyn Show) -> Result<Report> {
    show.say(&format!("The boot server's page: http://{}/", bench.server.publish()?));
    let idle = bench.server.memory()?;
    show.say("Switching on a machine with an empty disk");
    let timing = install_and_answer(bench, parts, show)?;
    Ok(Report { timing, idle, ended: bench.server.memory()? })
}

/// From power-on to the answer of the installed system.
pub fn install_and_answer(bench: &mut Bench, parts: &Parts, show: &mut dyn Show) -> Result<Timing> {
    let started = Instant::now();
    bench.machine.power_on()?;
    let (server, machine) = (&mut bench.server, &mut bench.machine);
    run_until(&bench.run, server, machine, show, |run, _| run.started_at_ms.is_some())?;
    let booted = Instant::now();
    let (progress, installed, answer) = await_answer(bench, parts, show)?;
    Ok(Timing {
        boot: booted - started,
        install: installed - booted,
        reboot: installed.elapsed(),
        phases: durations(&progress),
        answer,
    })
}

/// Waits until a machine that is being installed is, and then for the installed system's answer.
pub fn await_answer(
    bench: &mut Bench,
    parts: &Parts,
    show: &mut dyn Show,
) -> Result<(RunProgress, Instant, Answer)> {
    let (server, machine) = (&mut bench.server, &mut bench.machine);
    let (_, progress) = run_until(&bench.run, server, machine, show, is_installed)?;
    let installed = Instant::now();
    show.say("Installed; the machine restarts from its own disk");
    let space = parts.dir.join("space");
    let answer = installed_system(&bench.network, ADDRESS, &space, REBOOT_LIMIT)?;
    show.say(&format!("{} answers: {}", answer.hostname, answer.release));
    Ok((progress, installed, answer))
}

fn durations(progress: &RunProgress) -> Vec<(Phase, Duration)> {
    let took = |entry: &hostwright_model::progress::PhaseProgress| {
        let ms = entry.ended_at_ms? - entry.started_at_ms?;
        Some((entry.phase, Duration::from_millis(u64::try_from(ms).ok()?)))
    };
    progress.phases.iter().filter_map(took).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_that_it_went_well() {
        let memory = |mib: u64| Memory { resident_bytes: mib << 20, peak_bytes: mib << 20 };
        let answer = Answer { hostname: "demohost".into(), release: "Debian GNU/Linux 12".into() };
        let timing = Timing {
            boot: Duration::from_secs(28),
            install: Duration::from_secs(148),
            reboot: Duration::from_secs(76),
            phases: vec![(Phase::Partition, Duration::from_millis(3100))],
            answer,
        };
        let report = Report { timing, idle: memory(17), ended: memory(37) };
        assert_eq!(
            report.lines(),
            [
                "phases: partition 3.1 s",
                "memory of the server: 17.0 MiB idle, 37.0 MiB at the peak of the installation",
                "demo: demohost installed and answering after 252 s (boot 28 s, install 148 s, \
                 reboot 76 s)",
            ]
        );
    }
}
