//! What the agents that attend to machines say, and what they are told: where a machine is, its
//! certificate, and that a failed run shall be taken up again.

use super::App;
use crate::authority::{Authority, Holder};
use crate::problem::Problem;
use hostwright_model::api::{AgentWord, Certificate, Run, RunState, ServerWord, ShellPass};
use hostwright_model::ids::{MachineName, RunId};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// A machine that has not been heard for longer has gone. Agents speak every 10 seconds.
const GONE_AFTER_MS: i64 = 60_000;

/// Agents as they were heard last. In memory only: they speak again soon.
#[derive(Debug, Default)]
pub(crate) struct Attendants(Mutex<HashMap<RunId, Attendant>>);

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Attendant {
    /// Its page and its shell.
    address: SocketAddr,
    /// True if it takes shells.
    shell: bool,
    at_ms: i64,
}

impl Attendants {
    fn heard(&self, run: &RunId, attendant: Attendant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, other| attendant.at_ms - other.at_ms < GONE_AFTER_MS);
        known.insert(run.clone(), attendant);
    }

    fn of(&self, run: &RunId, now_ms: i64) -> Option<Attendant> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(run).copied().filter(|it| now_ms - it.at_ms < GONE_AFTER_MS)
    }
}

impl App {
    /// Takes note of where the machine of a run is. What it shall do.
    pub(crate) fn word(&self, run: &Run, from: SocketAddr, word: AgentWord) -> ServerWord {
        let address = SocketAddr::new(from.ip(), word.port);
        let attendant = Attendant { address, shell: word.shell, at_ms: self.now_ms() };
        self.attendants.heard(&run.id, attendant);
        let asked = run.state == RunState::Failed && run.resume_asked_at_ms.is_some();
        ServerWord { resume: asked && word.waits }
    }

    /// The certificate of a run's machine.
    pub(crate) fn machine_certificate(
        &self,
        run: Run,
        request: &str,
    ) -> Result<Certificate, Problem> {
        let (id, machine) = (run.id.clone(), run.machine.clone());
        let issued = self.authority(run)?.issue(Holder::Machine, request, self.now_ms())?;
        tracing::info!(%machine, run = %id, "issued the machine's certificate");
        Ok(issued)
    }

    /// An operator's way to the shell of a machine.
    pub(crate) fn shell_pass(
        &self,
        name: &MachineName,
        request: &str,
    ) -> Result<ShellPass, Problem> {
        let now_ms = self.now_ms();
        let run = self.member(name)?.machine.run.filter(|run| run.state != RunState::Cancelled);
        let heard = run.and_then(|run| Some((self.attendants.of(&run.id, now_ms)?, run)));
        let Some((attendant, run)) = heard else {
            let message = format!("no agent on '{name}' has been heard in the last minute");
            let cure = format!(
                "a shell is there while the machine is installed, and after a failure: \
                                see 'hostwright machine show {name}'"
            );
            return Err(Problem::conflict("no-agent", message, cure));
        };
        if !attendant.shell {
            let message = format!("the agent on '{name}' has no certificate, and so no shell");
            let cure = format!("its page at http://{} says why", attendant.address);
            return Err(Problem::conflict("no-shell", message, cure));
        }
        let id = run.id.clone();
        let certificate = self.authority(run)?.issue(Holder::Operator, request, now_ms)?;
        tracing::info!(machine = %name, run = %id, "issued a certificate for a shell");
        Ok(ShellPass {
            run: id,
            address: attendant.address.to_string(),
            server_name: name.to_string(),
            certificate,
        })
    }

    /// Asks the machine of a failed run to take it up again.
    pub(crate) async fn resume(&self, id: &RunId) -> Result<Run, Problem> {
        let mut writer = self.state.writer().await;
        let run = self.state.run(id).await?.ok_or_else(|| Problem::no_run(id))?;
        if run.state != RunState::Failed {
            let message = format!("run {id} is {}", run.state.name());
            let cure = "only a run that failed can be taken up again";
            return Err(Problem::conflict("run-not-failed", message, cure));
        }
        let latest = self.member(&run.machine)?.machine.run;
        if latest.is_some_and(|latest| latest.id != run.id) {
            let message = format!("run {id} is not the latest of '{}'", run.machine);
            let cure = format!("resume that one: hostwright run list --machine {}", run.machine);
            return Err(Problem::conflict("run-replaced", message, cure));
        }
        let now_ms = self.now_ms();
        writer.ask_to_resume(id, now_ms).await?;
        let run = Run { resume_asked_at_ms: Some(now_ms), ..run };
        self.fleet.asked_to_resume(&run);
        tracing::info!(machine = %run.machine, run = %run.id, "asked to resume");
        Ok(run)
    }

    fn authority(&self, run: Run) -> Result<Authority, Problem> {
        let seed = self.keys.authority_seed(&run.id);
        Authority::of(run, seed)
    }
}
