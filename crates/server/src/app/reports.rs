//! What agents ask and tell: their order, their facts, their events.

use super::App;
use crate::keys::token_hash;
use crate::problem::Problem;
use axum::http::StatusCode;
use hostwright_model::api::{Blob, EventAck, EventBatch, Order, Run, RunState};
use hostwright_model::facts::Facts;

/// What an agent's call needs of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentCall {
    /// The run is open, or failed: its machine is up, and somebody there may take it up again.
    Open,
    /// The run was not taken back: the last events come after its end.
    Reporting,
}

impl App {
    /// The run whose token this is.
    pub(crate) async fn run_of_token(&self, token: &str, call: AgentCall) -> Result<Run, Problem> {
        let run = self.state.run_of_token(&token_hash(token)).await?.ok_or_else(|| {
            let message = "no run has this token; it may have been removed";
            let cure = "arm the machine again, and boot it from the network";
            Problem::new(StatusCode::UNAUTHORIZED, "unknown-token", message, cure)
        })?;
        let allowed = match call {
            AgentCall::Open => run.state.is_open() || run.state == RunState::Failed,
            AgentCall::Reporting => run.state != RunState::Cancelled,
        };
        if allowed { Ok(run) } else { Err(closed(&run)) }
    }

    /// What the machine shall do. A `start` that is new is a new attempt.
    pub(crate) async fn order(&self, run: Run, start: &str) -> Result<Order, Problem> {
        let installer = self.installer().ok_or_else(|| {
            let message = "the installer of the boot server is gone";
            let cure = "make it again with 'hostwright installer build', and arm the machine again";
            Problem::conflict("no-installer", message, cure)
        })?;
        let orders = self.state.orders(&run.id).await?;
        let mut writer = self.state.writer().await;
        let started = writer.run_starts(&run.id, start, self.now_ms()).await?;
        let run = started.ok_or_else(|| closed(&run))?;
        self.fleet.starts(run.clone());
        tracing::info!(machine = %run.machine, run = %run.id, attempt = run.attempts, "agent is up");
        drop(writer);
        Ok(Order {
            run: run.id,
            attempt: run.attempts,
            machine: run.machine,
            space: orders.space,
            tools: Blob {
                path: format!("/files/{}", installer.tools.digest),
                digest: installer.tools.digest,
                size_bytes: installer.tools.size_bytes,
            },
            image: orders.image,
            store_path: "/store".to_owned(),
            classes: orders.classes,
            vars: orders.vars,
            package_proxy: self.package_proxy(),
            rules: self.config.rules,
            manners: orders.manners,
        })
    }

    /// Keeps what the machine looks like.
    pub(crate) async fn facts(&self, run: &Run, facts: Facts) -> Result<(), Problem> {
        let mut writer = self.state.writer().await;
        writer.set_facts(&run.id, &facts).await?;
        self.fleet.set_facts(run, facts);
        Ok(())
    }

    /// Stores events; what is acknowledged is on the disk.
    pub(crate) async fn record(&self, run: Run, batch: EventBatch) -> Result<EventAck, Problem> {
        if batch.attempt == 0 || batch.attempt > run.attempts {
            let message = format!("run {} has no attempt {}", run.id, batch.attempt);
            let cure = "ask for the order first: it tells the number of the attempt";
            return Err(Problem::conflict("no-such-attempt", message, cure));
        }
        let now_ms = self.now_ms();
        let mut writer = self.state.writer().await;
        // Read again: nobody else changes it from here on.
        let run = self.state.run(&run.id).await?.ok_or_else(|| Problem::no_run(&run.id))?;
        if run.state == RunState::Cancelled {
            return Err(closed(&run));
        }
        let recorded = writer.record(&run, batch, now_ms).await?;
        self.fleet.recorded(&run, &recorded.new, recorded.last_seq, now_ms);
        if let Some(state) = recorded.ended {
            tracing::info!(machine = %run.machine, run = %run.id, ?state, "a run ended");
            self.fleet.ended(&run, state, now_ms);
        }
        if let Some(last) = recorded.new.last() {
            self.last_event.send_replace(last.id);
        }
        Ok(EventAck { last_seq: recorded.last_seq })
    }
}

fn closed(run: &Run) -> Problem {
    let message = format!("run {} of '{}' is {}", run.id, run.machine, run.state.name());
    let cure = format!("arm the machine again: hostwright machine install {}", run.machine);
    Problem::new(StatusCode::GONE, "run-closed", message, cure)
}
