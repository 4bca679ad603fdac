//! Faults: what went wrong, and who must act.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Who must act on a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The author of the config space or configuration file.
    Config,
    /// Whoever owns the hardware.
    Hardware,
    /// Whoever runs this machine or network: a missing tool, no space, no route.
    Environment,
    /// The other side of a connection.
    Remote,
    /// Us.
    Bug,
}

/// One failure, in a form that can be shown, stored and searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fault {
    /// Who must act.
    pub kind: FaultKind,
    /// Stable kebab-case name; docs/reference/faults.md has a section for each.
    pub code: String,
    /// What failed and on what, in one sentence.
    pub message: String,
    /// The command that failed, in a form to paste.
    pub command: Option<String>,
    /// The last lines it wrote.
    pub output: Vec<String>,
    /// What to do.
    pub cure: String,
}

impl Fault {
    /// A fault without a command behind it.
    pub fn new(
        kind: FaultKind,
        code: &str,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        let (message, cure) = (message.into(), cure.into());
        Self { kind, code: code.to_owned(), message, command: None, output: Vec::new(), cure }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]; {}", self.message, self.code, self.cure)
    }
}

impl std::error::Error for Fault {}
