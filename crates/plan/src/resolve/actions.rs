//! What FAI_ACTION asks for: the target of the run, a look at the hardware, or an action that the
//! space made up.

use super::{Planner, step};
use crate::finding::Finding;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Step, TargetProfile, Why};
use hostwright_model::vars::Vars;

/// What the run is to do.
pub(super) enum Wanted {
    /// To install or update its target.
    Target,
    /// Something else, in the task that it belongs to.
    Other(Phase, Box<Step>),
}

impl Planner<'_> {
    /// What FAI_ACTION asks for. Never an installation where it asks for something else.
    pub(super) fn wanted(&self, vars: &Vars) -> Result<Wanted, Vec<Diagnostic>> {
        let Some(var) = vars.0.get("FAI_ACTION") else { return Ok(Wanted::Target) };
        let hardware = |phase, inventory| {
            let why = Why::because(format!("FAI_ACTION={} from {}", var.value, var.origin));
            let action = Action::ShowHardware { inventory };
            Ok(Wanted::Other(phase, Box::new(step(format!("action/{phase}"), action, why))))
        };
        let is_target = match (&self.inputs.target, var.value.as_str()) {
            (_, "sysinfo") => return hardware(Phase::Sysinfo, false),
            (_, "inventory") => return hardware(Phase::Inventory, true),
            // A class of the installation may still be among the classes that were stored by it.
            (TargetProfile::RunningSystem, "softupdate") => true,
            (_, action) => matches!(action, "" | "install" | "dirinstall"),
        };
        if is_target {
            return Ok(Wanted::Target);
        }
        if let Some(path) = self.space.own_actions.get(&var.value) {
            let action = Action::OwnAction { path: path.clone() };
            let why = Why::because(format!("FAI_ACTION={} from {}", var.value, var.origin));
            let step = step(format!("action/{}", var.value), action, why);
            return Ok(Wanted::Other(Phase::Action, Box::new(step)));
        }
        let message = match var.value.as_str() {
            "softupdate" => {
                "the classes ask for FAI's action 'softupdate', and this run installs".to_owned()
            }
            action => format!("there is no action '{action}'"),
        };
        let cure = format!(
            "drop what sets FAI_ACTION, run 'hostwright apply' for a softupdate, or add an executable \
             hooks/{}",
            var.value
        );
        let finding = Finding::error("other-action", message, cure);
        Err(vec![self.space.at_variable(finding, "FAI_ACTION", var)])
    }

    /// An action that installs nothing: its hooks, itself, and FAI's way out without hooks.
    pub(super) fn plan_other(&mut self, phase: Phase, other: Step) {
        self.hooks(Phase::Action);
        if phase != Phase::Action {
            self.hooks(phase);
        }
        self.body(phase, vec![other], true);
        if self.inputs.target != TargetProfile::RunningSystem {
            self.fixed(Phase::Faiend, "unmount", Action::UnmountTarget);
        }
    }
}
