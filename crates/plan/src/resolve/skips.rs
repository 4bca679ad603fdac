//! Which tasks user code has skipped, with FAI's rules for hooks.
//!
//! FAI looks for a file `skip.TASK` twice: before the hooks of the task, and after them. A task that
//! was skipped before has neither hooks nor body; one that is skipped by a hook of its own keeps
//! all its hooks. A skip that comes when the task is under way or over means nothing.

use super::Planner;
use hostwright_model::ids::StepId;
use hostwright_model::phase::Phase;
use hostwright_model::plan::Inputs;

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
        let own = skipped_itself(self.inputs, phase);
        let action =
            if self.inputs.target.has_disks() { Phase::Install } else { Phase::Dirinstall };
        let is_inside = (Phase::Partition..=Phase::Savelog).contains(&phase);
        if is_inside && skipped_itself(self.inputs, action) > Skipped::No {
            return Skipped::Whole;
        }
        own
    }
}

fn skipped_itself(inputs: &Inputs, phase: Phase) -> Skipped {
    let skips = inputs.skips.iter().filter(|skip| skip.phase == phase);
    skips.map(|skip| effect(&skip.by, phase)).max().unwrap_or(Skipped::No)
}

/// What a skip of `phase` by the step `by` comes to.
fn effect(by: &StepId, phase: Phase) -> Skipped {
    let (kind, rest) = by.as_str().split_once('/').unwrap_or((by.as_str(), ""));
    let said_in = match kind {
        "hook" => rest.split('.').next().and_then(|task| task.parse().ok()),
        "subroutines" => Some(Phase::Setup),
        "class" => Some(Phase::Defclass),
        "var" => Some(Phase::Defvar),
        "script" => Some(Phase::Configure),
        "test" => Some(Phase::Tests),
        _ => None,
    };
    match said_in {
        Some(said_in) if said_in > phase => Skipped::No,
        Some(said_in) if said_in == phase && kind == "hook" => Skipped::Body,
        Some(said_in) if said_in == phase => Skipped::No,
        _ => Skipped::Whole,
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
        ] {
            assert_eq!(effect(&by.into(), phase), expected, "{phase} by {by}");
        }
    }
}
