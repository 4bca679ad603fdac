//! Which tasks user code has skipped, with FAI's rules for hooks.
//!
//! FAI looks for a file `skip.TASK` twice: before the hooks of the task, and after them. A task that
//! was skipped before has neither hooks nor body; one that is skipped by a hook of its own keeps
//! all its hooks. A skip that comes when the task is under way or over means nothing.

use super::Planner;
use hostwright_model::ids::StepId;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Inputs, TargetProfile};

/// Who says that a disk is partitioned: FAI's task does nothing but read this file if a hook has left
/// something in it.
const DISK_VAR: &str = "disk_var.sh";

/// How much of a task is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Skipped {
    /// Nothing.
    No,
    /// What comes after its hooks.
    Body,
    /// All of it.
    Whole,
}

impl Planner<'_> {
    pub(super) fn skipped(&self, phase: Phase) -> Skipped {
        let around = [
            (Phase::Action, Phase::Install..=Phase::Savelog),
            (self.action_phase(), Phase::Partition..=Phase::Savelog),
        ];
        let is_left_out =
            |task| skipped_itself(self.inputs, task) > Skipped::No || self.own_task(task).is_some();
        if around.into_iter().any(|(task, inside)| inside.contains(&phase) && is_left_out(task)) {
            return Skipped::Whole;
        }
        skipped_itself(self.inputs, phase)
    }

    /// FAI's task around all tasks of the action.
    pub(super) fn action_phase(&self) -> Phase {
        match self.inputs.target {
            TargetProfile::Directory => Phase::Dirinstall,
            TargetProfile::RunningSystem => Phase::Softupdate,
            _ => Phase::Install,
        }
    }
}

fn skipped_itself(inputs: &Inputs, phase: Phase) -> Skipped {
    let skips = inputs.skips.iter().filter(|skip| skip.phase == phase);
    skips.map(|skip| effect(&skip.by, phase)).max().unwrap_or(Skipped::No)
}

/// What a skip of `phase` by the step `by` comes to.
fn effect(by: &StepId, phase: Phase) -> Skipped {
    if by.as_str() == DISK_VAR {
        return Skipped::Body;
    }
    let is_hook = ["hook/", "call_hook/"].iter().any(|kind| by.as_str().starts_with(kind));
    match said_in(by) {
        Some(said_in) if said_in > phase => Skipped::No,
        Some(said_in) if said_in == phase && is_hook => Skipped::Body,
        Some(said_in) if said_in == phase => Skipped::No,
        _ => Skipped::Whole,
    }
}

/// The task that a step of user code belongs to; `None` for what comes from outside the run.
pub(super) fn said_in(by: &StepId) -> Option<Phase> {
    let (kind, rest) = by.as_str().split_once('/').unwrap_or((by.as_str(), ""));
    match kind {
        "hook" => rest.split('.').next().and_then(|task| task.parse().ok()),
        "call_hook" | "task" => rest.parse().ok(),
        "subroutines" => Some(Phase::Setup),
        "class" => Some(Phase::Defclass),
        "var" => Some(Phase::Defvar),
        "action" => Some(Phase::Action),
        "script" => Some(Phase::Configure),
        "test" => Some(Phase::Tests),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_counts_for_what_is_still_to_come() {
        for (by, phase, expected) in [
            ("hook/partition.A", Phase::Partition, Skipped::Body),
            ("hook/partition.A.sh", Phase::Extrbase, Skipped::Whole),
            ("hook/instsoft.A", Phase::Partition, Skipped::No),
            ("class/50-x", Phase::Defclass, Skipped::No),
            ("class/50-x", Phase::Defvar, Skipped::Whole),
            ("script/A/10-x", Phase::Configure, Skipped::No),
            ("script/A/10-x", Phase::Tests, Skipped::Whole),
            ("operator", Phase::Tests, Skipped::Whole),
            ("call_hook/tests", Phase::Tests, Skipped::Body),
            ("task/configure", Phase::Configure, Skipped::No),
            ("task/configure", Phase::Tests, Skipped::Whole),
            ("disk_var.sh", Phase::Partition, Skipped::Body),
        ] {
            assert_eq!(effect(&by.into(), phase), expected, "{phase} by {by}");
        }
    }
}
