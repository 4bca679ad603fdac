//! Barriers: what user code said becomes part of the inputs, as FAI's tasks defclass and defvar do
//! it.

use hostwright_model::class::{ClassList, ClassName};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Inputs, Observed, Stage};
use hostwright_model::vars::Vars;
use std::collections::BTreeSet;

/// Names a barrier for the journal: by the stage's last step, or by its phase if it has none.
pub(crate) fn name(stage: &Stage) -> String {
    match stage.steps.last() {
        Some(step) => step.id.to_string(),
        None => format!("phase/{}", stage.phase),
    }
}

/// True if the classes are known behind this stage.
pub(crate) fn defines_classes(stage: &Stage) -> bool {
    stage.phase == Phase::Defclass && !is_hooks(stage)
}

/// True if the variables are known behind this stage.
pub(crate) fn defines_vars(stage: &Stage) -> bool {
    stage.phase == Phase::Defvar && !is_hooks(stage)
}

/// True if this stage runs the hooks of its task.
pub(crate) fn is_hooks(stage: &Stage) -> bool {
    let hook = |action: &Action| match action {
        Action::Hook { .. } => true,
        Action::Function { name, .. } => name == "call_hook",
        _ => false,
    };
    !stage.steps.is_empty() && stage.steps.iter().all(|step| hook(&step.action))
}

/// Where classes come from beside scripts, in the order in which they count.
#[derive(Debug, Default)]
pub(crate) struct ClassSources {
    /// Words of `additional-classes` of the log directory.
    pub additional: Vec<String>,
    /// Words of the file in `class/` with the host's name.
    pub host_file: Vec<String>,
    /// `ADDCLASSES`.
    pub add_classes: String,
}

/// The classes of a machine, and what was said in their place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedClasses {
    /// The classes.
    pub classes: ClassList,
    /// Words that cannot be classes, each once. FAI takes them for classes, and nothing ever asks
    /// for one: no file can have such a name.
    pub odd: BTreeSet<String>,
}

impl NamedClasses {
    fn of<'a>(words: impl Iterator<Item = &'a str>, repeats: bool) -> Self {
        let mut named = Self::default();
        for word in words {
            match word.parse::<ClassName>() {
                Ok(class) if repeats => named.classes.push_again(class),
                Ok(class) => {
                    named.classes.push(class);
                }
                Err(_) => {
                    named.odd.insert(word.to_owned());
                }
            }
        }
        named
    }
}

/// All classes of a host so far, as its class scripts see them; each once.
pub(crate) fn classes_so_far(observed: &[Observed]) -> Vec<String> {
    let mut classes = vec!["DEFAULT".to_owned()];
    for class in observed.iter().flat_map(|observed| &observed.classes) {
        if !classes.contains(class) {
            classes.push(class.clone());
        }
    }
    classes
}

/// The classes that a `task_defclass` of the space's left in `classes`.
pub(crate) fn left_classes(words: &str) -> NamedClasses {
    NamedClasses::of(words.split_whitespace(), false)
}

/// True if a function of the space's took the place of this stage.
pub(crate) fn is_replaced(stage: &Stage) -> bool {
    stage.steps.iter().any(|step| matches!(step.action, Action::Function { .. }))
}

/// Classes that are named more than once.
pub(crate) fn doubled_classes<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let mut doubled: Vec<&str> = words.filter(|class| !seen.insert(*class)).collect();
    doubled.sort_unstable();
    doubled.dedup();
    doubled
}

/// The machine's classes, once all class scripts have run. The host name and `LAST` come behind
/// everything, even where they were named before: what they bring has to win.
pub(crate) fn all_classes(
    inputs: &Inputs,
    observed: &[Observed],
    sources: &ClassSources,
) -> NamedClasses {
    if !inputs.run_class_scripts {
        let classes = inputs.given_classes.iter().cloned().collect();
        return NamedClasses { classes, odd: BTreeSet::new() };
    }
    if inputs.rules.fai_bugs {
        return every_mention(inputs, observed, sources);
    }
    let mut words = classes_so_far(observed);
    words.extend(sources.additional.iter().chain(&sources.host_file).cloned());
    words.extend(sources.add_classes.split(',').map(|word| word.trim().to_owned()));
    // Only spaces with FAI's script 01-classes print them; they were asked for all the same.
    words.extend(inputs.given_classes.iter().map(ToString::to_string));
    let last = [inputs.hostname.as_str(), "LAST"];
    words.retain(|word| !last.contains(&word.as_str()));
    words.extend(last.map(str::to_owned));
    NamedClasses::of(words.iter().map(String::as_str).filter(|word| !word.is_empty()), false)
}

/// The same as FAI does it: whoever is named twice counts twice, in both places.
fn every_mention(inputs: &Inputs, observed: &[Observed], sources: &ClassSources) -> NamedClasses {
    let mut words = vec!["DEFAULT"];
    words.extend(observed.iter().flat_map(|observed| &observed.classes).map(String::as_str));
    words.extend(sources.additional.iter().chain(&sources.host_file).map(String::as_str));
    words.extend(sources.add_classes.split(',').map(str::trim));
    for given in &inputs.given_classes {
        if !words.contains(&given.as_str()) {
            words.push(given.as_str());
        }
    }
    words.extend([inputs.hostname.as_str(), "LAST"]);
    NamedClasses::of(words.into_iter().filter(|word| !word.is_empty()), true)
}

/// The inputs behind a barrier, and the variables that have no place in them yet.
pub(crate) fn merge(
    inputs: &Inputs,
    early_vars: &Vars,
    stage: &Stage,
    observed: &[Observed],
    classes: Option<ClassList>,
) -> (Inputs, Vars) {
    let (mut inputs, mut early_vars) = (inputs.clone(), early_vars.clone());
    // What class scripts set is theirs alone: FAI runs them in a shell of their own.
    let seen = observed.iter().filter(|_| !defines_classes(stage));
    let mut vars = Vars::default();
    seen.for_each(|observed| vars.extend(&observed.vars));
    if inputs.classes.is_none()
        && let Some(hostname) = vars.get("HOSTNAME")
    {
        inputs.hostname = hostname.to_owned();
    }
    if classes.is_some() {
        inputs.classes = classes;
    }
    match &mut inputs.vars {
        Some(known) => known.extend(&vars),
        None => early_vars.extend(&vars),
    }
    if inputs.vars.is_none() && defines_vars(stage) {
        inputs.vars = Some(std::mem::take(&mut early_vars));
    }
    observed.iter().for_each(|observed| inputs.discovered.extend(&observed.discovered));
    if let Some(list) = vars.0.get("disklist").filter(|_| stage.phase <= Phase::Partition) {
        inputs.overrides.disk_list = Some(list.clone());
    }
    for (step, observed) in stage.steps.iter().zip(observed) {
        for name in &observed.functions {
            inputs.overrides.functions.entry(name.clone()).or_insert_with(|| step.id.clone());
        }
    }
    for skip in observed.iter().flat_map(|observed| &observed.skips) {
        if inputs.skips.iter().all(|known| known.phase != skip.phase) {
            inputs.skips.push(skip.clone());
        }
    }
    (inputs, early_vars)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::inputs;
    use hostwright_model::plan::{Skip, Step, Why};

    fn stage(phase: Phase, action: Action) -> Stage {
        let step = Step { id: "step".into(), action, why: Why::default() };
        Stage { phase, steps: vec![step], barrier: true }
    }

    fn sets(name: &str, value: &str) -> Observed {
        let mut observed = Observed::default();
        observed.vars.set(name, value, "here");
        observed
    }

    fn hook(phase: Phase) -> Stage {
        stage(phase, Action::Hook { path: "hooks/x".to_owned(), sourced: true })
    }

    #[test]
    fn host_name_and_last_come_behind_everything() {
        let printed = ["LAST", "A", "web1.lan", "B", "A"].map(str::to_owned).to_vec();
        let observed = [Observed { classes: printed, ..Observed::default() }];
        let sources = ClassSources {
            additional: vec!["ADDED".to_owned()],
            host_file: vec!["HOST".to_owned()],
            add_classes: "X, Y".to_owned(),
        };
        let classes = all_classes(&inputs(), &observed, &sources).classes;
        assert_eq!(classes.to_string(), "DEFAULT A B ADDED HOST X Y web1.lan LAST");
    }

    #[test]
    fn given_classes_are_there_whether_a_script_prints_them_or_not() {
        let given = "B WEB".parse::<ClassList>().unwrap().iter().cloned().collect();
        let inputs = Inputs { given_classes: given, ..inputs() };
        let printed = ["B", "A"].map(str::to_owned).to_vec();
        let observed = [Observed { classes: printed, ..Observed::default() }];
        let classes = all_classes(&inputs, &observed, &ClassSources::default()).classes;
        assert_eq!(classes.to_string(), "DEFAULT B A WEB web1.lan LAST");
    }

    #[test]
    fn what_is_named_twice_is_told_once() {
        assert_eq!(doubled_classes("A B A C B A".split(' ')), ["A", "B"]);
    }

    #[test]
    fn with_fai_s_bugs_what_is_named_twice_is_there_twice() {
        let mut inputs = inputs();
        inputs.rules.fai_bugs = true;
        inputs.given_classes = ["A", "Z"].map(|class| class.parse().unwrap()).to_vec();
        let printed = ["A", "B", "A", "LAST"].map(str::to_owned).to_vec();
        let observed = [Observed { classes: printed, ..Observed::default() }];
        let sources = ClassSources { add_classes: "B".to_owned(), ..ClassSources::default() };
        let classes = all_classes(&inputs, &observed, &sources).classes;
        assert_eq!(classes.to_string(), "DEFAULT A B A LAST B Z web1.lan LAST");
        assert_eq!(classes.once().to_string(), "DEFAULT A B LAST Z web1.lan");
    }

    #[test]
    fn given_classes_are_taken_as_they_are() {
        let given = "B A".parse::<ClassList>().unwrap().iter().cloned().collect();
        let inputs = Inputs { run_class_scripts: false, given_classes: given, ..inputs() };
        let classes = all_classes(&inputs, &[], &ClassSources::default()).classes;
        assert_eq!(classes.to_string(), "B A");
    }

    #[test]
    fn what_is_no_class_name_is_left_out_and_told() {
        let printed = ["a/b", "A", "a/b"].map(str::to_owned).to_vec();
        let observed = [Observed { classes: printed, ..Observed::default() }];
        let named = all_classes(&inputs(), &observed, &ClassSources::default());
        assert_eq!(named.classes.to_string(), "DEFAULT A web1.lan LAST");
        assert_eq!(named.odd.iter().collect::<Vec<_>>(), ["a/b"]);
        assert_eq!(left_classes("B\n#c A").classes.to_string(), "B A");
    }

    #[test]
    fn early_variables_wait_until_there_are_variables() {
        let (merged, early) = merge(
            &inputs(),
            &Vars::default(),
            &hook(Phase::Setup),
            &[sets("HOSTNAME", "web1")],
            None,
        );
        assert_eq!((merged.hostname.as_str(), &merged.vars), ("web1", &None));
        let script = Action::ClassScript { path: "class/10-x.sh".to_owned(), sourced: true };
        let (merged, early) =
            merge(&merged, &early, &stage(Phase::Defclass, script), &[sets("LEAK", "1")], None);
        let file = stage(Phase::Defvar, Action::SourceVars { path: "class/A.var".to_owned() });
        let (merged, early) = merge(&merged, &early, &file, &[sets("COLOUR", "red")], None);
        let vars = merged.vars.clone().unwrap();
        assert_eq!(vars.0.keys().collect::<Vec<_>>(), ["COLOUR", "HOSTNAME"]);
        let (merged, early) =
            merge(&merged, &early, &hook(Phase::Instsoft), &[sets("COLOUR", "blue")], None);
        assert_eq!(merged.vars.unwrap().get("COLOUR"), Some("blue"));
        assert_eq!(early, Vars::default());
    }

    #[test]
    fn the_first_step_that_skips_a_task_is_remembered() {
        let skip = |by: &str| Skip { phase: Phase::Tests, by: by.into() };
        let observed: Vec<Observed> = ["a", "b"]
            .iter()
            .map(|by| Observed { skips: vec![skip(by)], ..Observed::default() })
            .collect();
        let (merged, _) = merge(&inputs(), &Vars::default(), &hook(Phase::Setup), &observed, None);
        assert_eq!(merged.skips, [skip("a")]);
    }
}
