//! What code of a config space puts in place of what Hostwright does or finds by itself.

use crate::ids::StepId;
use crate::vars::Var;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that hooks and variables have put in place of something of Hostwright's so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// FAI's functions that the space defines anew (`task_partition`, `call_hook`), each with the
    /// step that did it first.
    #[serde(default)]
    pub functions: BTreeMap<String, StepId>,
    /// `disklist` as user code set it: kernel names between blanks, `disk1` first. `None` while the
    /// disks are those of the facts.
    #[serde(default)]
    pub disk_list: Option<Var>,
}

impl Overrides {
    /// True if nothing was put in place of anything.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty() && self.disk_list.is_none()
    }
}
