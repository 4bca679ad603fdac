//! What machines tell of themselves by FAI's monitor protocol.

use serde::{Deserialize, Serialize};

/// A machine that speaks FAI's monitor protocol. Nothing proves that it is who it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MonitoredMachine {
    /// What it calls itself: a host name, an interface address, or a word.
    pub name: String,
    /// The address it spoke from last.
    pub address: String,
    /// When it spoke last, milliseconds since the epoch.
    pub last_heard_ms: i64,
    /// Its tasks since it last said `check`, in the order in which they began.
    pub tasks: Vec<MonitoredTask>,
}

/// One task of FAI's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MonitoredTask {
    /// Its name: `partition`, `instsoft`, …
    pub name: String,
    /// How far it is.
    pub state: MonitoredState,
    /// The error it ended with, 0 for none.
    pub error: u32,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MonitoredState {
    /// It began.
    Running,
    /// It was left out.
    Skipped,
    /// It ended without an error, or with one below 300.
    Done,
    /// It ended with an error from 300 on.
    Warned,
    /// It ended with an error from 500 on.
    Troubled,
    /// It ended with an error from 700 on.
    Failed,
}

impl MonitoredState {
    /// The state of a task that ended with this error, by FAI's bands.
    pub fn of_error(error: u32) -> Self {
        match error {
            ..300 => Self::Done,
            300..500 => Self::Warned,
            500..700 => Self::Troubled,
            700.. => Self::Failed,
        }
    }

    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Skipped => "skipped",
            Self::Done => "done",
            Self::Warned => "warning",
            Self::Troubled => "minor errors",
            Self::Failed => "failed",
        }
    }
}
