//! What user code says without words: files it leaves in the log directory, variables it sets.

use crate::settings::Settings;
use crate::task_error;
use hostwright_host::{Host, HostError};
use hostwright_model::ids::StepId;
use hostwright_model::phase::Phase;
use hostwright_model::plan::Skip;
use hostwright_model::vars::Vars;
use std::collections::BTreeMap;

/// What each function of the prelude begins with that a space may define anew.
const OWN_FUNCTION: &str = "_hostwright_own";

/// Tasks with a `skip.TASK` file that `known` does not list yet.
pub(crate) fn new_skips(
    host: &mut dyn Host,
    settings: &Settings,
    known: &[Skip],
    by: &StepId,
) -> Result<Vec<Skip>, HostError> {
    let names = host.list(&settings.log_dir)?;
    let phases = names.iter().filter_map(|name| name.strip_prefix("skip.")?.parse::<Phase>().ok());
    let new = phases.filter(|phase| known.iter().all(|skip| skip.phase != *phase));
    Ok(new.map(|phase| Skip { phase, by: by.clone() }).collect())
}

/// Removes the `skip.TASK` files of tasks before `phase`, as FAI does when it comes to a task.
pub(crate) fn forget_skips_before(
    host: &mut dyn Host,
    settings: &Settings,
    phase: Phase,
) -> Result<(), HostError> {
    for name in host.list(&settings.log_dir)? {
        let task = name.strip_prefix("skip.").and_then(|task| task.parse::<Phase>().ok());
        if task.is_some_and(|task| task < phase) {
            host.remove(&settings.in_logs(&name))?;
        }
    }
    Ok(())
}

/// Variables that are new or different in `after`, said to come from `origin`.
pub(crate) fn changed_vars(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    origin: &str,
) -> Vars {
    let mut vars = Vars::default();
    for (name, value) in after {
        if before.get(name) != Some(value) {
            vars.set(name, value.clone(), origin);
        }
    }
    vars
}

/// Class names in what a class script printed: every word of each line up to a comment. (FAI itself
/// joins the lines first, so that a comment swallows what follows; its manual promises lines.)
pub(crate) fn printed_classes(stdout: &str) -> Vec<String> {
    let words = |line: &str| {
        let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    stdout.lines().flat_map(words).collect()
}

/// A text without what comes behind its last line end: `read` of the shell does not see it.
pub(crate) fn whole_lines(text: &str) -> &str {
    text.rfind('\n').map_or("", |end| &text[..=end])
}

/// Classes of a file as FAI reads it: only a whole line is a comment, the words of one behind a class
/// are more classes.
pub(crate) fn words_of_lines(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// FAI's functions in what `declare -f` printed that are not those of the prelude any more.
pub(crate) fn redefined(functions: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<(&str, bool)> = None;
    for line in functions.lines() {
        if let Some(name) = line.strip_suffix(" () ") {
            current = Some((name, false));
        } else if line.trim_start().starts_with(OWN_FUNCTION) {
            current = current.map(|(name, _)| (name, true));
        } else if line == "}"
            && let Some((name, false)) = current.take()
            && is_replaceable(name)
        {
            found.push(name.to_owned());
        }
    }
    found
}

/// True for a function that the engine calls, or whose work it does.
fn is_replaceable(name: &str) -> bool {
    let is_task = |task: &str| task.parse::<Phase>().is_ok();
    matches!(name, "task" | "call_hook" | task_error::FUNCTION)
        || name.strip_prefix("task_").is_some_and(is_task)
}

/// The same as FAI does it: it joins the lines, so that a comment in the first one swallows all that
/// follows, and the words of a later comment become classes.
pub(crate) fn joined_classes(stdout: &str) -> Vec<String> {
    if stdout.trim_start().starts_with('#') {
        return Vec::new();
    }
    let words = stdout.split_whitespace().filter(|word| !word.starts_with('#'));
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_the_space_are_told_from_ours() {
        let text = "call_hook () \n{ \n    _hostwright_own call_hook;\n    echo\n}\n\
                    task_partition () \n{ \n    echo mine\n}\n\
                    helper () \n{ \n    task_tests () \n    { \n        :\n    }\n}\n\
                    task_other () \n{ \n    :\n}\n";
        assert_eq!(redefined(text), ["task_partition"]);
    }

    #[test]
    fn joined_comments_swallow_classes_or_become_some() {
        assert_eq!(joined_classes("# first\nA\n"), Vec::<String>::new());
        assert_eq!(joined_classes("A\n# why not\nB\n"), ["A", "why", "not", "B"]);
        assert_eq!(joined_classes("A\nB C\n"), ["A", "B", "C"]);
    }

    #[test]
    fn comments_take_their_own_line_only() {
        let stdout = "BAR\n# comment line\n  # another\nBAZ  QUX # why\n\n";
        assert_eq!(printed_classes(stdout), ["BAR", "BAZ", "QUX"]);
    }

    #[test]
    fn changed_variables_carry_their_origin() {
        let before = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let mut after = before.clone();
        after.insert("b".to_owned(), "2".to_owned());
        let vars = changed_vars(&before, &after, "class/X.var");
        assert_eq!(vars.0.len(), 1);
        assert_eq!(vars.0["b"].origin, "class/X.var");
    }
}
