//! What is decided beforehand about an installation's end: how the machine restarts, what a failure
//! leads to, and what stays of the system that was there.

use crate::manners::FailurePolicy;
use serde::{Deserialize, Serialize};

/// The policies of one installation. Without a word from anybody: firmware, hold, keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstallPolicy {
    /// How the installed system is started for the first time.
    pub restart: Restart,
    /// What happens when a step fails.
    pub on_failure: FailurePolicy,
    /// True to keep `/etc` of the system that is replaced, but for its secrets, with the logs.
    pub keep_old_etc: bool,
}

impl Default for InstallPolicy {
    fn default() -> Self {
        Self { restart: Restart::Firmware, on_failure: FailurePolicy::Hold, keep_old_etc: true }
    }
}

/// How the installed system is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// By the firmware, as at every later start.
    #[default]
    Firmware,
    /// By kexec(8), without the firmware; by the firmware where that fails.
    Kexec,
}
