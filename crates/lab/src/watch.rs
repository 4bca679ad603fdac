//! Follows a run from the first packet to its end.

use crate::machine::Machine;
use crate::server::Server;
use anyhow::{Result, bail};
use hostwright_model::api::{Run, RunState};
use hostwright_model::ids::RunId;
use hostwright_model::progress::RunProgress;
use std::time::{Duration, Instant};

/// Shows people what is going on.
pub trait Show {
    /// A line of text.
    fn say(&mut self, line: &str);

    /// Where the run is.
    fn progress(&mut self, run: &Run, progress: &RunProgress);
}

/// Shows nothing.
pub struct Quiet;

impl Show for Quiet {
    fn say(&mut self, _: &str) {}
    fn progress(&mut self, _: &Run, _: &RunProgress) {}
}

/// How long an installation may take, from power-on to the agent's last word.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// How often the server is asked.
const PERIOD: Duration = Duration::from_millis(250);

/// Asks until `until` is true of the run, and fails when the run does, when the machine or the
/// server ends, or at the limit.
pub fn run_until(
    run: &RunId,
    server: &mut Server,
    machine: &mut Machine,
    show: &mut dyn Show,
    mut until: impl FnMut(&Run, &RunProgress) -> bool,
) -> Result<(Run, RunProgress)> {
    let deadline = Instant::now() + LIMIT;
    loop {
        server.must_run()?;
        machine.must_run()?;
        let (state, progress) = look(run, server)?;
        show.progress(&state, &progress);
        if until(&state, &progress) {
            return Ok((state, progress));
        }
        if state.state == RunState::Failed {
            match &progress.fault {
                Some(fault) => {
                    bail!("the installation failed: {fault}\n{}", fault.output.join("\n"))
                }
                None => bail!("the installation failed, and nobody said why"),
            }
        }
        if Instant::now() > deadline {
            bail!("the installation did not end within {} minutes", LIMIT.as_secs() / 60);
        }
        std::thread::sleep(PERIOD);
    }
}

/// Where a run is.
pub fn look(run: &RunId, server: &Server) -> Result<(Run, RunProgress)> {
    let id = run.clone();
    server.ask(move |client| Ok((client.run(&id)?, client.progress(&id)?)))
}

/// True once everything was done and reported.
pub fn is_installed(run: &Run, _: &RunProgress) -> bool {
    run.state == RunState::Installed
}
