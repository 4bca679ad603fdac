//! From a config space and what is known of a machine to a plan.
//!
//! Everything that is known is planned; what is not known yet stays open behind a barrier. Hooks of
//! a task are a stage of their own in front of the task's own steps, and end at a barrier, because
//! they may skip tasks. A step that was in a plan once is in every later plan of the same run, too:
//! the engine relies on it to tell finished work from work to do.

mod actions;
mod bases;
pub(crate) mod disks;
mod image;
mod loader;
mod machine;
mod overrides;
mod skips;
mod software;

use crate::classes;
use crate::finding;
use crate::space::{ConfigSpace, Hook};
use crate::storage;
use actions::Wanted;
use hostwright_model::class::ClassList;
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::ids::{Digest, StepId};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Inputs, PLAN_VERSION, Plan, Stage, Step, TargetProfile, Why};
use hostwright_model::storage::StorageLayout;
use hostwright_model::vars::Vars;
use skips::Skipped;
use std::collections::BTreeMap;

/// Makes the plan. Before the classes are known it ends behind the class scripts, before the
/// variables are known behind the `.var` files; [`Plan::open`] says what is missing. A plan with
/// open ends always ends at a barrier, even at one without a step in front of it.
///
/// Errors are everything that would make the run fail, as far as it can be told by now.
pub fn resolve(space: &ConfigSpace, inputs: &Inputs) -> Result<Plan, Vec<Diagnostic>> {
    if let Some(no_space) = space.no_class_directory() {
        return Err(vec![no_space]);
    }
    let early = classes::provisional(inputs);
    let mut planner = Planner { space, inputs, classes: early, stages: Vec::new() };
    planner.refuse_broken_files()?;
    planner.refuse_own_engine()?;
    let open = planner.plan_classes();
    let Some(classes) = &inputs.classes else { return Ok(planner.finish(None, open)) };
    planner.classes = classes.clone();
    planner.refuse_broken_files()?;
    let layout = planner.layout();
    let open = planner.plan_vars();
    let Some(vars) = &inputs.vars else {
        // A variable may still ask for an action that needs no layout.
        return Ok(planner.finish(layout.unwrap_or_default(), open));
    };
    match planner.wanted(vars)? {
        Wanted::Target => {
            let layout = match layout {
                Err(found) if planner.may_still_change_disks() => {
                    planner.plan_disk_hooks()?;
                    return Ok(planner.finish(None, disks::open(&found)));
                }
                layout => layout?,
            };
            planner.plan_target(vars, layout.as_ref())?;
            Ok(planner.finish(layout, Vec::new()))
        }
        Wanted::Other(phase, other) => {
            planner.plan_other(phase, *other);
            Ok(planner.finish(None, Vec::new()))
        }
    }
}

/// Warnings for this machine: in the files that count for it, and about what its firmware will make
/// of its partitions. A plan may be run in spite of them.
pub fn advise(space: &ConfigSpace, inputs: &Inputs) -> Vec<Diagnostic> {
    let classes = inputs.classes.clone().unwrap_or_else(|| classes::provisional(inputs));
    let found = space.findings_for(&classes);
    let mut found: Vec<Diagnostic> =
        found.filter(|finding| finding.severity == Severity::Warning).cloned().collect();
    let planner = Planner { space, inputs, classes, stages: Vec::new() };
    found.extend(planner.leaked_removals());
    let file = space.disk_config_of(&planner.classes);
    match (planner.layout(), planner.storage_facts(), file) {
        (Ok(Some(_)), Ok(facts), Some((_, file))) => {
            found.extend(storage::advise(&file.config, &facts));
        }
        (Err(errors), ..) if planner.may_still_change_disks() => {
            let warnings = errors.into_iter();
            let warn = |error| Diagnostic { severity: Severity::Warning, ..error };
            found.extend(warnings.map(warn));
        }
        _ => {}
    }
    found.extend(planner.missing_boot_loader());
    finding::sort(&mut found);
    found
}

/// A plan while it is made.
struct Planner<'a> {
    space: &'a ConfigSpace,
    inputs: &'a Inputs,
    /// The classes whose hooks and files count at this point.
    classes: ClassList,
    stages: Vec<Stage>,
}

impl Planner<'_> {
    /// Refuses errors in files that count for these classes.
    fn refuse_broken_files(&self) -> Result<(), Vec<Diagnostic>> {
        let found = self.space.findings_for(&self.classes);
        let errors = found.filter(|finding| finding.severity == Severity::Error);
        let errors: Vec<Diagnostic> = errors.cloned().collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Everything up to the classes.
    fn plan_classes(&mut self) -> Vec<String> {
        self.hooks(Phase::Confdir);
        self.body(Phase::Confdir, Vec::new(), false);
        self.hooks(Phase::Setup);
        let subroutines = self.space.subroutines.iter().map(|path| {
            let why = Why::line(path.clone(), 0, None);
            step("subroutines", Action::Subroutines { path: path.clone() }, why)
        });
        self.body(Phase::Setup, subroutines.collect(), true);
        self.hooks(Phase::Defclass);
        let scripts = self.space.class_scripts.iter().filter(|_| self.inputs.run_class_scripts);
        let steps = scripts.map(|script| {
            let (path, sourced) = (script.path.clone(), script.sourced);
            let why = Why::line(path.clone(), 0, None);
            step(path.clone(), Action::ClassScript { path, sourced }, why)
        });
        let steps: Vec<Step> = steps.collect();
        let who = format!("{} class {}", steps.len(), plural(&steps, "script", "scripts"));
        self.question(Phase::Defclass, steps, self.inputs.classes.is_none());
        vec![format!("the classes: {who} will say; the phases from defvar on depend on them")]
    }

    /// From the classes up to the variables.
    fn plan_vars(&mut self) -> Vec<String> {
        self.hooks(Phase::Defvar);
        let files = self.classes.iter().filter_map(|class| {
            let path = self.space.var_files.get(class)?.path.clone();
            let why = Why::line(path.clone(), 0, Some(class.as_str()));
            Some(step(format!("var/{class}"), Action::SourceVars { path }, why))
        });
        let steps: Vec<Step> = files.collect();
        let who = format!("{} .var {}", steps.len(), plural(&steps, "file", "files"));
        self.question(Phase::Defvar, steps, self.inputs.vars.is_none());
        vec![format!("the variables: {who} will say; the phases from action on depend on them")]
    }

    /// Everything behind the variables.
    fn plan_target(
        &mut self,
        vars: &Vars,
        layout: Option<&StorageLayout>,
    ) -> Result<(), Vec<Diagnostic>> {
        self.hooks(Phase::Action);
        self.body(Phase::Action, Vec::new(), false);
        match &self.inputs.target {
            TargetProfile::Directory => {
                self.hooks(Phase::Dirinstall);
                self.body(Phase::Dirinstall, Vec::new(), false);
                self.plan_base(vars)?;
                self.plan_software(vars)?;
                self.plan_scripts();
            }
            TargetProfile::RunningSystem => {
                self.hooks(Phase::Softupdate);
                self.body(Phase::Softupdate, Vec::new(), false);
                self.plan_software(vars)?;
                self.plan_scripts();
            }
            TargetProfile::DiskFile | TargetProfile::DisksClassic => {
                self.plan_disks(layout)?;
                self.plan_base(vars)?;
                self.plan_software(vars)?;
                self.plan_scripts();
            }
            TargetProfile::DisksImage { image } | TargetProfile::ImageOnDisk { image, .. } => {
                self.plan_disks(layout)?;
                self.plan_image(image, vars)?;
                self.plan_loader(image, layout)?;
            }
        }
        self.plan_end();
        Ok(())
    }

    /// Tests, and the way out.
    fn plan_end(&mut self) {
        self.hooks(Phase::Tests);
        let tests = self.scripts_of(&self.space.tests, "test", |path| Action::Test { path });
        self.body(Phase::Tests, tests, true);
        self.hooks(Phase::Finish);
        let flush = self.flush_ram_disks();
        if !flush.is_empty() {
            // Whoever skips the task does not want to lose what was installed.
            self.stages.push(Stage { phase: Phase::Finish, steps: flush, barrier: false });
        }
        if self.inputs.rules.first_boot && self.inputs.target == TargetProfile::DiskFile {
            let why = Why::because("copies of the image are to be machines of their own");
            let steps = vec![step("first-boot", Action::FirstBoot, why)];
            self.stages.push(Stage { phase: Phase::Finish, steps, barrier: false });
        }
        self.fixed(Phase::Finish, "finish", Action::Finish);
        if self.inputs.target.has_disks() {
            self.hooks(Phase::Chboot);
            self.body(Phase::Chboot, Vec::new(), false);
        }
        self.hooks(Phase::Savelog);
        self.fixed(Phase::Savelog, "save-logs", Action::SaveLogs);
        self.hooks(Phase::Faiend);
        match self.inputs.target {
            // Nothing is mounted for it, and what is mounted there is in use.
            TargetProfile::RunningSystem => self.body(Phase::Faiend, Vec::new(), false),
            _ => self.fixed(Phase::Faiend, "unmount", Action::UnmountTarget),
        }
    }

    /// The hooks of a task, as a stage that ends at a barrier.
    fn hooks(&mut self, phase: Phase) {
        let steps = self.hook_steps(phase);
        if !steps.is_empty() {
            self.stages.push(Stage { phase, steps, barrier: true });
        }
    }

    fn hook_steps(&self, phase: Phase) -> Vec<Step> {
        if self.skipped(phase) == Skipped::Whole {
            return Vec::new();
        }
        match self.own_call_hook(phase) {
            Some(own) => vec![own],
            None => self.space.hooks_of(phase, &self.classes).into_iter().map(hook_step).collect(),
        }
    }

    /// The steps of a task itself.
    fn body(&mut self, phase: Phase, steps: Vec<Step>, barrier: bool) {
        if self.skipped(phase) > Skipped::No {
            return;
        }
        let (steps, barrier) = match self.own_task(phase) {
            Some(own) => (vec![own], true),
            None => (steps, barrier),
        };
        if !steps.is_empty() {
            self.stages.push(Stage { phase, steps, barrier });
        }
    }

    /// True if Hostwright itself does the work of a task: it is neither skipped nor replaced.
    fn does(&self, phase: Phase) -> bool {
        self.skipped(phase) == Skipped::No && self.own_task(phase).is_none()
    }

    /// A task of one step that Hostwright does by itself.
    fn fixed(&mut self, phase: Phase, id: &str, action: Action) {
        let why = Why::because(format!("FAI's task {phase}"));
        self.body(phase, vec![step(id, action, why)], false);
    }

    /// User code whose answer is wanted. Where nothing answers, the empty stage makes the engine ask
    /// the planner again with the answer that is there without any code.
    fn question(&mut self, phase: Phase, steps: Vec<Step>, is_open: bool) {
        let steps = match self.own_task(phase) {
            _ if self.skipped(phase) > Skipped::No => Vec::new(),
            Some(own) => vec![own],
            None => steps,
        };
        if is_open || !steps.is_empty() {
            self.stages.push(Stage { phase, steps, barrier: true });
        }
    }

    fn finish(mut self, layout: Option<StorageLayout>, open: Vec<String>) -> Plan {
        if self.inputs.rules.fai_bugs {
            number_repeats(&mut self.stages);
        }
        let inputs = inputs_digest(self.space, self.inputs);
        let policy = self.policy();
        Plan { version: PLAN_VERSION, inputs, stages: self.stages, layout, open, policy }
    }
}

/// A class that is named twice has its steps twice; the second time they have a number behind their
/// ids.
fn number_repeats(stages: &mut [Stage]) {
    let mut seen: BTreeMap<StepId, u32> = BTreeMap::new();
    for step in stages.iter_mut().flat_map(|stage| &mut stage.steps) {
        let count = seen.entry(step.id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            step.id = StepId::new(format!("{}#{count}", step.id));
        }
    }
}

fn plural(steps: &[Step], one: &'static str, more: &'static str) -> &'static str {
    if steps.len() == 1 { one } else { more }
}

/// A step.
pub(crate) fn step(id: impl Into<String>, action: Action, why: Why) -> Step {
    Step { id: StepId::new(id), action, why }
}

fn hook_step(hook: &Hook) -> Step {
    let name = hook.path.strip_prefix("hooks/").unwrap_or(&hook.path);
    let action = Action::Hook { path: hook.path.clone(), sourced: hook.sourced };
    let why = Why::line(hook.path.clone(), 0, Some(hook.class.as_str()));
    step(format!("hook/{name}"), action, why)
}

/// Digest of everything that a plan depends on.
fn inputs_digest(space: &ConfigSpace, inputs: &Inputs) -> Digest {
    let inputs = serde_json::to_vec(inputs).expect("invariant: inputs have text keys only");
    let mut hasher = blake3::Hasher::new();
    hasher.update(&space.digest.0);
    hasher.update(&inputs);
    Digest(*hasher.finalize().as_bytes())
}
