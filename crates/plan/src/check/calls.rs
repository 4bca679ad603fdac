//! Calls of FAI's functions and of the shell's `exit` with words that cannot work.

use super::shell::{Command, Script};
use super::survey::Survey;
use crate::finding::Finding;
use crate::space::{is_task, nearest_task};
use crate::tree::TreeFile;
use hostwright_model::diagnostic::Diagnostic;
use std::collections::BTreeMap;

/// Highest exit status of a process; higher ones lose their upper bits.
const EXIT_STATUS_MAX: u64 = 255;

/// What is wrong with the calls of all scripts.
pub(super) fn findings(survey: &Survey<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for script in &survey.scripts {
        for command in &script.commands {
            match command.program() {
                Some("skiptask") => found.extend(unknown_tasks(script, command)),
                Some("exit") => found.extend(exit_status(script, command)),
                _ if is_test(command) => found.extend(constant_tests(script, command)),
                _ => {}
            }
        }
    }
    found
}

fn unknown_tasks(script: &Script<'_>, command: &Command<'_>) -> Vec<Diagnostic> {
    let words = command.arguments().iter().filter_map(|word| Some((word, word.literal()?)));
    let unknown = words.filter(|(_, task)| !is_task(task));
    let finding = |task: &str| {
        let message = format!("FAI has no task '{task}', so nothing is skipped");
        let cure = match nearest_task(task) {
            Some(name) => format!("did you mean '{name}'?"),
            None => "remove the word".to_owned(),
        };
        Finding::warning("unknown-task", message, cure)
    };
    unknown.map(|(word, task)| script.at(finding(task), word.0)).collect()
}

fn is_test(command: &Command<'_>) -> bool {
    command.words.first().is_some_and(|word| matches!(word.0, "[" | "[[" | "test"))
}

/// Tests whether a plain word is empty, where a variable is meant.
fn constant_tests(script: &Script<'_>, command: &Command<'_>) -> Vec<Diagnostic> {
    let pairs = command.arguments().windows(2);
    let constant = pairs.filter_map(|pair| {
        let outcome = match pair[0].0 {
            "-z" => "never",
            "-n" => "always",
            _ => return None,
        };
        Some((outcome, pair[1], pair[1].literal().filter(|word| is_name(word))?))
    });
    let finding = |outcome: &str, name: &str| {
        let message = format!("'{name}' is a word and no variable, so the test is {outcome} true");
        Finding::warning("constant-test", message, format!("write \"${{{name}}}\""))
    };
    let found = constant.map(|(outcome, word, name)| script.at(finding(outcome, name), word.0));
    found.collect()
}

fn is_name(word: &str) -> bool {
    let starts = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && word.len() > 1 && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The tasks that a script of the space may skip, as far as it names them.
pub(crate) fn skipped_tasks(files: &BTreeMap<String, &TreeFile>, path: &str) -> Vec<String> {
    let Some(file) = files.get(path) else { return Vec::new() };
    let text = file.text();
    let script = Script::read(path, &text);
    let calls = script.commands.iter().filter(|command| command.program() == Some("skiptask"));
    let words = calls.flat_map(Command::arguments).filter_map(|word| word.literal());
    words.filter(|word| is_task(word)).map(str::to_owned).collect()
}

fn exit_status(script: &Script<'_>, command: &Command<'_>) -> Option<Diagnostic> {
    let word = command.arguments().first()?;
    let status: u64 = word.literal()?.parse().ok()?;
    if status <= EXIT_STATUS_MAX {
        return None;
    }
    let kept = status % (EXIT_STATUS_MAX + 1);
    let message = format!("an exit status has 8 bits: {status} arrives as {kept}");
    let cure = match kept {
        0 => format!("the caller takes it for success; call 'task_error {status}' to report it"),
        _ => format!("exit with 1 to {EXIT_STATUS_MAX}; call 'task_error {status}' to report it"),
    };
    Some(script.at(Finding::warning("exit-status", message, cure), word.0))
}
