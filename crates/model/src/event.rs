//! Events: the product's output. Terminal, log files, web page and metrics are renderings of them.

use crate::fault::Fault;
use crate::ids::StepId;
use crate::phase::Phase;
use crate::plan::Outcome;
use serde::{Deserialize, Serialize};

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Number in the run, from 1, without gaps. A resumed run goes on counting.
    pub seq: u64,
    /// Milliseconds since the epoch, by the clock of whoever saw it.
    pub at_ms: i64,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// Which stream a line of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What happened. Readers treat kinds they do not know as [`EventBody::Unknown`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventBody {
    /// The agent is up and has asked for its order.
    AgentStarted {
        /// Milliseconds since the kernel started.
        uptime_ms: u64,
    },
    /// Something large is being fetched: `tools`, `space`, `image`.
    Fetch {
        /// What.
        what: String,
        /// Bytes so far.
        done_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
    /// A plan was made, or made again after a barrier.
    Planned {
        /// Steps known so far.
        steps: u64,
        /// Phases in it, in order, with their number of steps.
        phases: Vec<(Phase, u64)>,
        /// Steps the engine already finished.
        finished: u64,
    },
    /// A phase began.
    PhaseStarted {
        /// The phase.
        phase: Phase,
    },
    /// A phase ended.
    PhaseFinished {
        /// The phase.
        phase: Phase,
    },
    /// A step began.
    StepStarted {
        /// The step.
        step: StepId,
        /// Its phase.
        phase: Phase,
        /// What it does, for people.
        title: String,
    },
    /// A step got further.
    StepProgress {
        /// The step.
        step: StepId,
        /// Work done, in `unit`.
        done: u64,
        /// All of the work.
        total: u64,
        /// `bytes`, or `package steps` (a package is unpacked and configured).
        unit: String,
    },
    /// A step ended well.
    StepFinished {
        /// The step.
        step: StepId,
        /// What it came to.
        outcome: Outcome,
    },
    /// A step failed, and with it the run.
    StepFailed {
        /// The step.
        step: StepId,
        /// Why, and what to do.
        fault: Fault,
    },
    /// A line that a tool or script wrote.
    Output {
        /// The step that ran it.
        step: Option<StepId>,
        /// From which stream.
        stream: Stream,
        /// The line, without its end.
        line: String,
    },
    /// The run ended.
    RunFinished {
        /// True if everything was done.
        ok: bool,
        /// FAI's highest task error of the run.
        task_error: u32,
        /// Why it failed before or outside of a step.
        fault: Option<Fault>,
    },
    /// The machine restarts into what was installed.
    Rebooting,
    /// A kind this program does not know.
    #[serde(other)]
    Unknown,
}

impl EventBody {
    /// True for events that may be dropped when they come too fast.
    pub fn is_progress(&self) -> bool {
        matches!(self, Self::Fetch { .. } | Self::StepProgress { .. })
    }
}
