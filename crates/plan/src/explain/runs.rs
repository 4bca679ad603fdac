//! When scripts and hooks run, in which order, and what would keep them from it.

use super::{Asked, Explanation, Reason, reason, whole};
use crate::check::skipped_tasks;
use crate::space::Hook;
use hostwright_model::class::ClassName;
use hostwright_model::phase::Phase;

pub(super) fn explain_script(asked: &Asked<'_>, name: &str) -> Explanation {
    let mut explanation = Explanation::new(format!("script {name}"), String::new());
    let all = all_scripts(asked);
    let is_meant = |path: &str| path == name || path.ends_with(&format!("/{name}"));
    let meant: Vec<&Script<'_>> = all.iter().filter(|script| is_meant(script.path)).collect();
    for script in &meant {
        let phase = script.phase;
        let (when, is_there) = match script.class {
            None => (format!("runs in {phase} on every machine"), true),
            Some(class) if asked.has(class.as_str()) => {
                let order = all.iter().filter(|other| other.phase == phase && counts(asked, other));
                let paths: Vec<&str> = order.map(|other| other.path).collect();
                let at = paths.iter().position(|path| *path == script.path).unwrap_or_default();
                let of = format!("number {} of {}", at + 1, paths.len());
                (format!("runs in {phase}, because of class {class}; {of}"), true)
            }
            Some(class) => (format!("would run in {phase} with class {class}"), false),
        };
        let reasons = if is_there { &mut explanation.because } else { &mut explanation.otherwise };
        reasons.push(reason(when, whole(script.path)));
        explanation.otherwise.extend(skips(asked, phase));
    }
    explanation.otherwise.dedup();
    explanation.answer = match (meant.len(), explanation.because.len()) {
        (0, _) => "no executable script of the space has this name".to_owned(),
        (_, 0) => "it does not run on this machine".to_owned(),
        (_, 1) => "it runs".to_owned(),
        (_, count) => format!("{count} scripts of this name run"),
    };
    explanation
}

pub(super) fn explain_hook(asked: &Asked<'_>, name: &str) -> Explanation {
    let name = name.strip_prefix("hooks/").unwrap_or(name);
    let mut explanation = Explanation::new(format!("hook {name}"), String::new());
    let is_meant = |hook: &&Hook| hook.path[6..] == *name || hook.phase.name() == name;
    let mut hooks: Vec<&Hook> = asked.space.hooks.iter().filter(is_meant).collect();
    hooks.sort_by_key(|hook| (hook.phase, asked.rank(&hook.class), !hook.sourced));
    for hook in &hooks {
        let how = if hook.sourced { "is sourced" } else { "is run" };
        let skipping = skipped_tasks(&asked.tree, &hook.path).join(", ");
        let effect =
            if skipping.is_empty() { String::new() } else { format!("; skips {skipping}") };
        let text = format!("{how} in front of {}, by class {}{effect}", hook.phase, hook.class);
        if asked.has(hook.class.as_str()) {
            explanation.because.push(reason(text, whole(&hook.path)));
        } else {
            let text = format!("{text}, which the machine does not have");
            explanation.otherwise.push(reason(text, whole(&hook.path)));
        }
    }
    let phases: std::collections::BTreeSet<Phase> = hooks.iter().map(|hook| hook.phase).collect();
    phases.into_iter().for_each(|phase| explanation.otherwise.extend(skips(asked, phase)));
    explanation.answer = match (hooks.len(), explanation.because.len()) {
        (0, _) => "the space has no such hook".to_owned(),
        (_, 0) => "not on this machine".to_owned(),
        (_, 1) => "one hook, in front of its task".to_owned(),
        (_, count) => format!("{count} hooks, in this order"),
    };
    explanation
}

/// Hooks of this machine that skip a task, and its remaining hooks with it.
fn skips(asked: &Asked<'_>, phase: Phase) -> Vec<Reason> {
    let hooks = asked.space.hooks.iter().filter(|hook| asked.has(hook.class.as_str()));
    let skipping = hooks.filter(|hook| {
        hook.phase <= phase
            && skipped_tasks(&asked.tree, &hook.path).iter().any(|task| *task == phase.name())
    });
    let text = |hook: &Hook| format!("{} may skip {phase}", hook.path);
    skipping.map(|hook| reason(text(hook), whole(&hook.path))).collect()
}

struct Script<'a> {
    path: &'a str,
    phase: Phase,
    class: Option<&'a ClassName>,
}

fn counts(asked: &Asked<'_>, script: &Script<'_>) -> bool {
    script.class.is_none_or(|class| asked.has(class.as_str()))
}

/// Scripts in the order in which they run.
fn all_scripts<'a>(asked: &'a Asked<'_>) -> Vec<Script<'a>> {
    let space = asked.space;
    let class_scripts = space.class_scripts.iter();
    let mut all: Vec<Script<'_>> = class_scripts
        .map(|script| Script { path: &script.path, phase: Phase::Defclass, class: None })
        .collect();
    for (by_class, phase) in [(&space.scripts, Phase::Configure), (&space.tests, Phase::Tests)] {
        let mut classes: Vec<(&ClassName, &Vec<String>)> = by_class.iter().collect();
        classes.sort_by_key(|(class, _)| asked.rank(class));
        for (class, paths) in classes {
            all.extend(paths.iter().map(|path| Script { path, phase, class: Some(class) }));
        }
    }
    all
}
