//! Passing a barrier: classes and variables are gathered from where FAI gathers them, told to the
//! shell and written to FAI's log files.

use crate::barrier::{self, ClassSources, NamedClasses};
use crate::fault::ActionError;
use crate::journal::{Record, ShellChange};
use crate::observe::{printed_classes, whole_lines, words_of_lines};
use crate::work::Work;
use crate::{actions, shell};
use hostwright_host::HostError;
use hostwright_host::command::quote;
use hostwright_model::class::ClassList;
use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::Disk;
use hostwright_model::ids::StepId;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Discovered, Inputs, Observed, Plan, Skip, Stage};
use hostwright_model::quirk::Quirk;
use hostwright_model::vars::{Vars, is_secret};
use std::collections::BTreeMap;

use crate::run::Planner;
use crate::session::Session;
use hostwright_model::event::EventBody;

/// Where scripts leave classes and variables.
const ADDITIONAL_CLASSES: &str = "additional-classes";
const ADDITIONAL_VARS: &str = "additional.var";
/// Where variables come from that the space's own win over.
const DEFAULTS: &str = "nfsroot.conf";
/// What partitioning leaves; FAI's task does nothing where it is there already.
const DISK_VAR: &str = "disk_var.sh";

/// Removes all functions but those that answer the engine.
const FORGET_FUNCTIONS: &str = r#"
for __hostwright_name in $(compgen -A function); do
    case $__hostwright_name in
        __hostwright_*) ;;
        *) unset -f "$__hostwright_name" ;;
    esac
done
"#;

/// Takes over what the finished steps of `stage` said.
pub(crate) fn pass(
    session: &mut Session<'_>,
    planner: &mut dyn Planner,
    emit: &mut dyn FnMut(EventBody),
    plan: &Plan,
    stage: &Stage,
) -> Result<(), ActionError> {
    let history = session.history();
    let of = |step: &StepId| history.finished.get(step).map(|done| done.observed.clone());
    let mut observed: Vec<Observed> = stage.steps.iter().filter_map(|step| of(&step.id)).collect();
    let (before, early_vars) = (history.shell.clone(), history.early_vars.clone());
    let clean = history.shell_before_classes.clone();
    let name = barrier::name(stage);
    let mut work = session.work(emit, plan, stage.phase, &StepId::new(&*name), false);
    let mut classes = None;
    if barrier::defines_classes(stage) && barrier::is_replaced(stage) {
        let left = work.shell_vars.get("classes").cloned().unwrap_or_default();
        let named = barrier::left_classes(&left);
        tell_odd_words(&mut work, &named);
        let all = named.classes;
        tell_classes(&mut work, &all)?;
        classes = Some(all);
    } else if barrier::defines_classes(stage) {
        let sources = class_sources(&mut work)?;
        let named = barrier::all_classes(work.inputs, &observed, &sources);
        tell_odd_words(&mut work, &named);
        tell_doubled(&mut work, &observed, &named);
        let once = named.classes.once();
        let settled = planner.settle_classes(once.clone())?;
        // A class that is named twice stays in both places unless dependencies have moved any.
        let all = if settled == once { named.classes } else { settled };
        take_back(&mut work, clean)?;
        if stage.steps.iter().any(|step| is_sourced_script(&step.action)) {
            take_back_functions(&mut work)?;
        }
        tell_classes(&mut work, &all)?;
        classes = Some(all);
    }
    if barrier::defines_vars(stage) {
        observed.push(additional_vars(&mut work)?);
        write_variables(&mut work)?;
    }
    let disks = disks_behind(&mut work, stage)?;
    let (mut inputs, early_vars) =
        barrier::merge(work.inputs, &early_vars, stage, &observed, classes);
    if let Some(disks) = disks {
        disks.tell(stage, &mut inputs);
    }
    finish(session, &before, name, inputs, early_vars)
}

/// The disks of the machine behind code that may have changed them.
struct DisksNow {
    disks: Vec<Disk>,
    storage: ExistingStorage,
    /// True if that code has left variables of disks that it has partitioned.
    is_partitioned: bool,
}

impl DisksNow {
    fn tell(self, stage: &Stage, inputs: &mut Inputs) {
        inputs.facts.disks = self.disks;
        inputs.facts.storage = self.storage;
        if barrier::is_hooks(stage) {
            let hooks_done = vec![stage.phase];
            inputs.discovered.extend(&Discovered { hooks_done, ..Discovered::default() });
        }
        if self.is_partitioned && inputs.skips.iter().all(|skip| skip.phase != Phase::Partition) {
            inputs.skips.push(Skip { phase: Phase::Partition, by: DISK_VAR.into() });
        }
    }
}

/// Looks at the disks again. `None` where no code has run that the plan of the disks is behind.
fn disks_behind(work: &mut Work<'_>, stage: &Stage) -> Result<Option<DisksNow>, ActionError> {
    let counts = stage.phase <= Phase::Partition && !stage.steps.is_empty();
    if !counts || !work.inputs.target.has_disks() {
        return Ok(None);
    }
    let now = work.host.facts()?;
    actions::refuse_moved_disks(&work.inputs.facts.disks, &now.disks)?;
    let text = work.read_text(&work.settings.in_logs(DISK_VAR))?;
    let is_partitioned = text.is_some_and(|text| !text.is_empty());
    Ok(Some(DisksNow { disks: now.disks, storage: now.storage, is_partitioned }))
}

/// Says which words were taken for no classes.
fn tell_odd_words(work: &mut Work<'_>, named: &NamedClasses) {
    for word in &named.odd {
        work.say(&format!(
            "warning[bad-class-name]: '{word}' cannot be a class and is left out; let class scripts \
             print only class names, and messages to standard error"
        ));
    }
}

/// Says which classes are named more than once, and what comes of it.
fn tell_doubled(work: &mut Work<'_>, observed: &[Observed], named: &NamedClasses) {
    if work.inputs.rules.fai_bugs {
        for class in barrier::doubled_classes(named.classes.iter().map(|class| class.as_str())) {
            work.say(&format!(
                "warning[{}]: class {class} is named more than once; its hooks and scripts run as \
                 often",
                Quirk::ClassTwice.id()
            ));
        }
        return;
    }
    let words = observed.iter().flat_map(|observed| &observed.classes).map(String::as_str);
    for class in barrier::doubled_classes(words) {
        work.say(&format!(
            "warning[duplicate-class]: class {class} is named more than once, and counts once; \
             FAI would run its hooks and scripts twice"
        ));
    }
}

fn finish(
    session: &mut Session<'_>,
    before: &BTreeMap<String, String>,
    after: String,
    inputs: Inputs,
    early_vars: Vars,
) -> Result<(), ActionError> {
    session.logs.flush(session.host, &session.settings)?;
    let shell = ShellChange::between(before, &session.shell_vars);
    let record = Record::Barrier { after, inputs: Box::new(inputs), early_vars, shell };
    session.journal.append(session.host, &record)?;
    session.host.remove(&session.settings.in_logs(ADDITIONAL_CLASSES))?;
    Ok(())
}

fn class_sources(work: &mut Work<'_>) -> Result<ClassSources, HostError> {
    let host_file = work.settings.in_space(&format!("class/{}", work.inputs.hostname));
    let additional = work.settings.in_logs(ADDITIONAL_CLASSES);
    let mut text = work.read_text(&additional)?.unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') && work.inputs.rules.fai_bugs {
        let id = Quirk::ClassLastLine.id();
        work.say(&format!("warning[{id}]: the last line of {additional} has no end and is lost"));
        text.truncate(whole_lines(&text).len());
    }
    Ok(ClassSources {
        additional: classes_of_lines(work, &text, &additional),
        host_file: {
            let text = work.read_text(&host_file)?.unwrap_or_default();
            classes_of_lines(work, &text, &host_file)
        },
        add_classes: work.shell_vars.get("ADDCLASSES").cloned().unwrap_or_default(),
    })
}

/// Classes in a file of them, by FAI's manual or, if that is wanted, by its code.
fn classes_of_lines(work: &mut Work<'_>, text: &str, path: &str) -> Vec<String> {
    let (documented, found) = (printed_classes(text), words_of_lines(text));
    if documented == found || !work.inputs.rules.fai_bugs {
        return documented;
    }
    let id = Quirk::ClassTrailingComment.id();
    work.say(&format!(
        "warning[{id}]: the words of a comment behind a class in {path} are classes"
    ));
    found
}

/// Takes back what class scripts did to variables: FAI runs them in a shell of their own.
fn take_back(
    work: &mut Work<'_>,
    clean: Option<BTreeMap<String, String>>,
) -> Result<(), HostError> {
    let Some(clean) = clean else {
        return Ok(());
    };
    let change = ShellChange::between(work.shell_vars, &clean);
    let set = change.set.iter().map(|(name, value)| format!("export {name}={}\n", quote(value)));
    let unset = change.unset.iter().map(|name| format!("unset -v {name}\n"));
    let script: String = set.chain(unset).collect();
    if !script.is_empty() {
        work.eval(script)?;
    }
    Ok(())
}

fn is_sourced_script(action: &Action) -> bool {
    matches!(action, Action::ClassScript { sourced: true, .. })
}

/// Takes back what class scripts did to functions. Those of the driver of the shell stay.
fn take_back_functions(work: &mut Work<'_>) -> Result<(), HostError> {
    let kept = work.read_text(&work.settings.functions())?.unwrap_or_default();
    let script = format!("{FORGET_FUNCTIONS}\n{}\n{kept}", shell::PRELUDE);
    work.eval(script)?;
    Ok(())
}

/// Classes as scripts expect them: on lines of their own, and joined by dots for cfengine.
fn tell_classes(work: &mut Work<'_>, classes: &ClassList) -> Result<(), HostError> {
    let names: Vec<&str> = classes.iter().map(|class| class.as_str()).collect();
    let lines = names.join("\n");
    let path = work.settings.in_logs("FAI_CLASSES");
    work.host.write(&path, format!("{lines}\n").as_bytes(), 0o644)?;
    work.say(&format!("List of all classes: {}", names.join(" ")));
    let (lines, dots) = (quote(&lines), quote(&names.join(".")));
    work.eval(format!("export classes={lines} cfclasses={dots}"))?;
    Ok(())
}

/// Variables that hooks and class scripts wrote to a file, then those of the operator, who has the
/// last word.
fn additional_vars(work: &mut Work<'_>) -> Result<Observed, ActionError> {
    let path = work.settings.in_logs(ADDITIONAL_VARS);
    let mut observed = Observed::default();
    if work.exists(&path)? {
        let dir = work.settings.in_space("class");
        work.say("Defining variables from additional.var");
        observed = actions::source_traced(work, &path, ADDITIONAL_VARS, dir)?.1;
    }
    for (name, value) in &work.settings.defaults {
        let is_unchanged = work.shell_vars.get(name) == Some(value);
        if is_unchanged && observed.vars.get(name).is_none() {
            observed.vars.set(name, value.clone(), DEFAULTS);
        }
    }
    let words: Vec<String> =
        work.settings.vars.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    if !words.is_empty() {
        work.eval(format!("export {}", words.join(" ")))?;
        for (name, value) in &work.settings.vars {
            observed.vars.set(name, value.clone(), "command line");
        }
    }
    Ok(observed)
}

/// `variables.log`: every variable, secrets masked.
fn write_variables(work: &mut Work<'_>) -> Result<(), HostError> {
    let line = |(name, value): (&String, &String)| {
        let shown = if is_secret(name) { "XXXXXXXXXXXXX" } else { value };
        format!("{name}={}\n", quote(shown))
    };
    let text: String = work.shell_vars.iter().map(line).collect();
    work.host.write(&work.settings.in_logs("variables.log"), text.as_bytes(), 0o640)
}
