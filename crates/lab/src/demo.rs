//! The demo: an empty machine becomes a running Debian, before one's eyes.

use crate::bench::{ADDRESS, Bench, Job};
use crate::machine::acceleration;
use crate::parts::Parts;
use crate::verify::{Answer, installed_system};
use crate::watch::{Show, is_installed, run_until};
use anyhow::Result;
use hostwright_model::facts::Firmware;
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
#[derive(Clone, Debug)]
pub struct Timing {
    /// From power-on to the agent's first word.
    pub boot: Duration,
    /// From there to the restart.
    pub install: Duration,
    /// From there to the installed system's answer.
    pub reboot: Duration,
    /// What it answered.
    pub answer: Answer,
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
pub fn run(demo: &Demo, show: &mut dyn Show) -> Result<Timing> {
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
    show.say(&format!("The boot server's page: http://{}/", bench.server.publish()?));
    show.say("Switching on a machine with an empty disk");
    let timing = install_and_answer(&mut bench, parts, show);
    if timing.is_err() {
        bench.keep_evidence()?;
    }
    timing
}

/// From power-on to the answer of the installed system.
pub fn install_and_answer(bench: &mut Bench, parts: &Parts, show: &mut dyn Show) -> Result<Timing> {
    let started = Instant::now();
    bench.machine.power_on()?;
    let (server, machine) = (&mut bench.server, &mut bench.machine);
    run_until(&bench.run, server, machine, show, |run, _| run.started_at_ms.is_some())?;
    let booted = Instant::now();
    run_until(&bench.run, server, machine, show, is_installed)?;
    let installed = Instant::now();
    show.say("Installed; the machine restarts from its own disk");
    let space = parts.dir.join("space");
    let answer = installed_system(&bench.network, ADDRESS, &space, REBOOT_LIMIT)?;
    show.say(&format!("{} answers: {}", answer.hostname, answer.release));
    Ok(Timing {
        boot: booted - started,
        install: installed - booted,
        reboot: installed.elapsed(),
        answer,
    })
}
