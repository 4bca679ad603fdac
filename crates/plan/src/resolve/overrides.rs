//! Functions of FAI that the space defines anew take the place of Hostwright's own work.
//!
//! FAI's tasks are shell functions, and code that it sources may define them again. A function
//! `task_TASK` replaces what comes behind the hooks of that task, `call_hook` the way in which hooks
//! are run, from the moment on in which it is defined.

use super::skips::said_in;
use super::{Planner, step};
use crate::finding::Finding;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::ids::StepId;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Step, Why};

/// What runs hooks.
const CALL_HOOK: &str = "call_hook";

impl Planner<'_> {
    /// The space's own function for what comes behind the hooks of `phase`.
    pub(super) fn own_task(&self, phase: Phase) -> Option<Step> {
        let name = format!("task_{phase}");
        let by = self.inputs.overrides.functions.get(&name)?;
        let is_hook = matches!(kind(by), "hook" | CALL_HOOK);
        let counts = said_in(by).is_none_or(|said| said < phase || (said == phase && is_hook));
        let why = self.why_function(&name, by);
        counts
            .then(|| step(format!("task/{phase}"), Action::Function { name, argument: None }, why))
    }

    /// The space's own function that runs the hooks of `phase`.
    pub(super) fn own_call_hook(&self, phase: Phase) -> Option<Step> {
        let by = self.inputs.overrides.functions.get(CALL_HOOK)?;
        let counts = said_in(by).is_none_or(|said| said < phase);
        let (name, argument) = (CALL_HOOK.to_owned(), Some(phase.to_string()));
        let why = self.why_function(&name, by);
        counts
            .then(|| step(format!("{CALL_HOOK}/{phase}"), Action::Function { name, argument }, why))
    }

    /// Refuses a new definition of what Hostwright's engine itself is.
    pub(super) fn refuse_own_engine(&self) -> Result<(), Vec<Diagnostic>> {
        let Some(by) = self.inputs.overrides.functions.get("task") else { return Ok(()) };
        let message = "the space defines FAI's function 'task' anew, which runs all tasks; here the \
                       plan says what runs";
        let cure = "define the functions of single tasks anew (task_instsoft), or call_hook";
        let finding = Finding::error("own-engine", message, cure);
        Err(vec![finding.at_file(&self.file_of(by).unwrap_or_default())])
    }

    fn why_function(&self, name: &str, by: &StepId) -> Why {
        match self.file_of(by) {
            Some(file) => {
                let line = self.space.functions.get(&(file.clone(), name.to_owned()));
                Why::line(file, line.copied().unwrap_or_default(), None)
            }
            None => Why::because(format!("{by} defines {name} anew")),
        }
    }

    /// The file of the space that a step runs.
    fn file_of(&self, by: &StepId) -> Option<String> {
        match by.as_str().split_once('/') {
            Some(("hook", name)) => Some(format!("hooks/{name}")),
            Some(("var", class)) => Some(format!("class/{class}.var")),
            None if by.as_str() == "subroutines" => self.space.subroutines.clone(),
            _ => None,
        }
    }
}

/// The first part of a step's id.
fn kind(by: &StepId) -> &str {
    by.as_str().split('/').next().unwrap_or_default()
}
