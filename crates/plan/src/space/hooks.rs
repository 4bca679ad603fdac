//! `hooks/`: user code around FAI's tasks.

use super::Hook;
use super::read::Reader;
use super::runnable::{self, Use};
use crate::finding::{Finding, Line};
use crate::tree::TreeFile;
use hostwright_model::phase::Phase;

/// Tasks of earlier versions of FAI, and where their work is done now.
const FORMER_TASKS: [(&str, &str); 4] = [
    ("mirror", "repository"),
    ("prepareapt", "repository"),
    ("setup_harddisks", "partition"),
    ("softinst", "instsoft"),
];

impl Reader {
    /// Reads `hooks/NAME`.
    pub(super) fn hook(&mut self, path: &str, name: &str, file: &TreeFile) {
        if name == "subroutines" {
            self.space.subroutines = Some(path.to_owned());
            return self.functions(path, &file.text());
        }
        let Some((task, class)) = name.split_once('.') else {
            return self.hook_without_class(path, name, file);
        };
        let Ok(phase) = task.parse::<Phase>() else {
            return self.hook_without_task(path, task, file);
        };
        if let Some(stem) = class.strip_suffix(".source") {
            let message = "FAI sources '*.sh'; it has not run '*.source' since version 5";
            let cure = format!("rename it to hooks/{task}.{stem}.sh");
            let finding = Finding::warning("legacy-name", message, cure);
            self.found.push(finding.at_start(path, &file.text()));
            return;
        }
        let usage = Use::of(path);
        let class = class.strip_suffix(".sh").unwrap_or(class);
        let Some(class) = self.class(path, class) else { return };
        self.found.extend(runnable::findings(path, file, usage));
        if file.executable {
            let sourced = usage == Use::Sourced;
            if sourced {
                self.functions(path, &file.text());
            }
            self.space.hooks.push(Hook { path: path.to_owned(), phase, class, sourced });
        }
    }

    /// Notes where a sourced file defines functions of FAI's.
    pub(super) fn functions(&mut self, path: &str, text: &str) {
        for line in Line::all(path, text) {
            if let Some(name) = defined_function(line.text) {
                self.space.functions.insert((path.to_owned(), name.to_owned()), line.number);
            }
        }
    }

    fn hook_without_class(&mut self, path: &str, name: &str, file: &TreeFile) {
        if name.parse::<Phase>().is_ok() {
            let message = "a hook without a class is never run";
            let cure = format!("rename it to hooks/{name}.DEFAULT");
            let finding = Finding::warning("dead-hook", message, cure);
            self.found.push(finding.at_start(path, &file.text()));
        } else if file.executable {
            self.space.own_actions.insert(name.to_owned(), path.to_owned());
        }
    }

    fn hook_without_task(&mut self, path: &str, task: &str, file: &TreeFile) {
        if !file.executable && !runnable::has_shebang(file) {
            return;
        }
        let message = format!("FAI has no task '{task}', so the hook is never run");
        let cure = match nearest_task(task) {
            Some(name) => format!("did you mean '{name}'?"),
            None => {
                let names: Vec<&str> = Phase::ALL.iter().map(|phase| phase.name()).collect();
                format!("the tasks are {}", names.join(", "))
            }
        };
        let finding = Finding::warning("dead-hook", message, cure);
        self.found.push(finding.at_start(path, &file.text()));
    }
}

/// True for a task of FAI's.
pub(crate) fn is_task(name: &str) -> bool {
    name.parse::<Phase>().is_ok()
}

/// The function of FAI's that a line of shell text begins to define.
fn defined_function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (rest, keyword) = match line.strip_prefix("function ") {
        Some(rest) => (rest.trim_start(), true),
        None => (line, false),
    };
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let is_definition = keyword || rest.trim_start().starts_with("()");
    let is_task = name.strip_prefix("task_").is_some_and(|task| task.parse::<Phase>().is_ok());
    (is_definition && (is_task || matches!(name, "task" | "call_hook"))).then_some(name)
}

/// The task that was probably meant.
pub(crate) fn nearest_task(task: &str) -> Option<&'static str> {
    let former = FORMER_TASKS.iter().find(|(name, _)| *name == task);
    let nearest = Phase::ALL.iter().map(|phase| phase.name());
    let nearest = nearest.min_by_key(|name| distance(name, task));
    former.map(|(_, now)| *now).or(nearest.filter(|name| distance(name, task) <= 3))
}

/// Levenshtein's distance: how many letters must be changed, added or removed.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_of_functions_of_fai_are_found() {
        for (line, expected) in [
            ("task_partition() {", Some("task_partition")),
            ("  function task_tests", Some("task_tests")),
            ("call_hook () { :; }", Some("call_hook")),
            ("task_partition", None),
            ("task_other() {", None),
            ("helper() {", None),
        ] {
            assert_eq!(defined_function(line), expected, "{line}");
        }
    }

    #[test]
    fn misspelt_tasks_have_a_nearest_task() {
        for (task, expected) in [
            ("prepareapt", Some("repository")),
            ("instsof", Some("instsoft")),
            ("partitions", Some("partition")),
            ("jobsrunning", None),
        ] {
            assert_eq!(nearest_task(task), expected, "{task}");
        }
    }
}
