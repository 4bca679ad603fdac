//! Code of the config space: hooks, class scripts, variables, scripts and tests, run as FAI runs
//! them.

use super::Done;
use crate::barrier::classes_so_far;
use crate::fault::ActionError;
use crate::interpreter::Interpreter;
use crate::logs::{LogFile, status_line};
use crate::monitor;
use crate::observe::{changed_vars, joined_classes, printed_classes, redefined};
use crate::settings::Settings;
use crate::task_error;
use crate::work::Work;
use hostwright_host::command::quote;
use hostwright_host::{Host, HostError, ShellReply, ShellRequest};
use hostwright_model::fault::FaultKind;
use hostwright_model::plan::Observed;
use hostwright_model::quirk::Quirk;
use hostwright_model::vars::is_secret;

/// What a test writes to `test.log` when something is not as it should be.
const TEST_FAILED: &str = "FAILED with ";

/// A hook. Its exit status is told, and otherwise of no consequence: FAI's hooks raise errors by
/// `task_error`.
pub(super) fn hook(work: &mut Work<'_>, path: &str, sourced: bool) -> Result<Done, ActionError> {
    let name = file_name(path);
    let dir = work.settings.record_dir.clone();
    monitor::tell(work.host, work.settings, work.shell_vars, work.logs, &format!("HOOK {name}"))?;
    if !sourced {
        work.say(&format!("Calling hook: {name}"));
        let status = execute(work, path, dir)?.status;
        tell_status(work, name, status);
        return Ok(Done::exited(status, Observed::default()));
    }
    work.say(&format!("Source hook: {name}"));
    let (status, observed) = source(work, path, dir)?;
    tell_status(work, name, status);
    Ok(Done::exited(status, observed))
}

/// A function of FAI's that the space defines anew. As with hooks its status is of no consequence.
pub(super) fn function(
    work: &mut Work<'_>,
    name: &str,
    argument: Option<&str>,
) -> Result<Done, ActionError> {
    let call = argument.map_or_else(|| name.to_owned(), |word| format!("{name} {}", quote(word)));
    work.say(&format!("Calling the space's own function: {call}"));
    let before = work.shell_vars.clone();
    let dir = work.settings.record_dir.clone();
    let request = ShellRequest::Eval { script: call.clone(), dir };
    let reply = ask(work, &request, &call)?;
    let vars = changed_vars(&before, &reply.vars, name);
    let functions = keep_functions(work)?;
    Ok(Done::exited(reply.status, Observed { vars, functions, ..Observed::default() }))
}

/// Functions of the space, which may replace FAI's own.
pub(super) fn subroutines(work: &mut Work<'_>, path: &str) -> Result<Done, ActionError> {
    let dir = work.settings.record_dir.clone();
    let (status, observed) = source(work, path, dir)?;
    Ok(Done::exited(status, observed))
}

/// A class script, which sees the classes so far.
pub(super) fn class_script(
    work: &mut Work<'_>,
    path: &str,
    sourced: bool,
    earlier: &[Observed],
) -> Result<Done, ActionError> {
    let classes = classes_so_far(earlier).join("\n");
    // What scripts do to PATH and other variables is taken back at the barrier.
    work.eval(format!(
        "export classes={}; unset newclasses; case $PATH in .:*) ;; *) PATH=.:$PATH ;; esac",
        quote(&classes)
    ))?;
    let dir = work.settings.in_space("class");
    let (status, words) = if sourced {
        // Functions are the script's own, too: none of them is kept.
        let source = ShellRequest::Source { path: work.settings.in_space(path), dir, trace: false };
        let status = ask(work, &source, path)?.status;
        let words = work.shell_vars.get("newclasses").cloned().unwrap_or_default();
        (status, words.split_whitespace().map(str::to_owned).collect())
    } else {
        let reply = execute(work, path, dir)?;
        (reply.status, classes_in(work, path, &reply.stdout))
    };
    tell_status(work, file_name(path), status);
    Ok(Done::exited(status, Observed { classes: words, ..Observed::default() }))
}

/// The classes in what a class script printed, by FAI's manual or, if that is wanted, by its code.
fn classes_in(work: &mut Work<'_>, path: &str, stdout: &str) -> Vec<String> {
    let (documented, joined) = (printed_classes(stdout), joined_classes(stdout));
    if documented == joined {
        return documented;
    }
    let as_fai = work.inputs.rules.fai_bugs;
    let whose = if as_fai { "as FAI does" } else { "as FAI's manual says; FAI does not" };
    let id = Quirk::JoinedComments.id();
    work.say(&format!("warning[{id}]: {path} prints comments, which are read {whose}"));
    if as_fai { joined } else { documented }
}

/// A `.var` file.
pub(super) fn source_vars(work: &mut Work<'_>, path: &str) -> Result<Done, ActionError> {
    let dir = work.settings.in_space("class");
    let full = work.settings.in_space(path);
    let (status, observed) = source_traced(work, &full, path, dir)?;
    Ok(Done::exited(status, observed))
}

/// Sources a file of assignments; what it sets is logged and has `origin`.
pub(crate) fn source_traced(
    work: &mut Work<'_>,
    full_path: &str,
    origin: &str,
    dir: String,
) -> Result<(i32, Observed), ActionError> {
    let before = work.shell_vars.clone();
    let request = ShellRequest::Source { path: full_path.to_owned(), dir, trace: true };
    let reply = ask(work, &request, origin)?;
    let vars = changed_vars(&before, &reply.vars, origin);
    for (name, var) in &vars.0 {
        let shown = if is_secret(name) { "XXXXXXXXXXXXX" } else { &var.value };
        work.say(&format!("++ {name}={}", quote(shown)));
    }
    let functions = keep_functions(work)?;
    Ok((reply.status, Observed { vars, functions, ..Observed::default() }))
}

/// A script of `scripts/`. Its output is in its log below a header with its name.
pub(super) fn script(work: &mut Work<'_>, path: &str) -> Result<Done, ActionError> {
    let name = path.strip_prefix("scripts/").unwrap_or(path).to_owned();
    let is_on = |name: &str| work.shell_vars.get(name).is_some_and(|value| value == "1");
    let (old_logs, debug) = (is_on("FAI_USE_OLD_SCRIPT_LOGS"), is_on("debug"));
    let interpreter = begin(work, path, &name, old_logs)?;
    let classes = work.shell_vars.get("cfclasses").cloned().unwrap_or_default();
    let args = interpreter.args(&classes, debug);
    let dir = work.settings.in_space("scripts");
    let full = work.settings.in_space(path);
    let status = ask(work, &ShellRequest::Execute { path: full, args, dir }, path)?.status;
    tell_status(work, &name, status);
    work.logs.line(work.log, &status_line(&name, status));
    Ok(Done::exited(status, Observed::default()))
}

/// A test of `tests/`. Perl finds modules beside it, which newer versions do not by themselves.
pub(super) fn test(work: &mut Work<'_>, path: &str) -> Result<Done, ActionError> {
    let name = path.strip_prefix("tests/").unwrap_or(path).to_owned();
    begin(work, path, &name, false)?;
    let dir = work.settings.in_space("tests");
    let modules = match work.shell_vars.get("PERL5LIB") {
        Some(other) if !other.is_empty() => format!("PERL5LIB={dir}:{other}"),
        _ => format!("PERL5LIB={dir}"),
    };
    let args = vec![modules, work.settings.in_space(path)];
    let request = ShellRequest::Execute { path: "/usr/bin/env".to_owned(), args, dir };
    let status = ask(work, &request, path)?.status;
    tell_status(work, &name, status);
    Ok(Done::exited(status, Observed::default()))
}

/// Chooses the log of a script and writes the line above its output.
fn begin(
    work: &mut Work<'_>,
    path: &str,
    name: &str,
    old_logs: bool,
) -> Result<Interpreter, HostError> {
    let content = work.host.read(&work.settings.in_space(path))?.unwrap_or_default();
    let interpreter = Interpreter::of(&content);
    work.log = interpreter.log(old_logs);
    work.logs.line(work.log, &interpreter.header(name));
    Ok(interpreter)
}

/// True if a test wrote that it failed.
pub(crate) fn tests_failed(host: &mut dyn Host, settings: &Settings) -> Result<bool, HostError> {
    let log = host.read(&settings.in_logs("test.log"))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&log).contains(TEST_FAILED))
}

/// Sources a file that the engine wrote.
pub(super) fn source_own(work: &mut Work<'_>, path: &str) -> Result<(), ActionError> {
    let dir = work.settings.log_dir.clone();
    let request = ShellRequest::Source { path: path.to_owned(), dir, trace: false };
    ask(work, &request, path)?;
    Ok(())
}

fn source(work: &mut Work<'_>, path: &str, dir: String) -> Result<(i32, Observed), ActionError> {
    let before = work.shell_vars.clone();
    let full = work.settings.in_space(path);
    let reply = ask(work, &ShellRequest::Source { path: full, dir, trace: false }, path)?;
    let vars = changed_vars(&before, &reply.vars, path);
    let functions = keep_functions(work)?;
    Ok((reply.status, Observed { vars, functions, ..Observed::default() }))
}

fn execute(work: &mut Work<'_>, path: &str, dir: String) -> Result<ShellReply, ActionError> {
    let is_hook = path.starts_with("hooks/");
    let debug = is_hook && work.shell_vars.get("debug").is_some_and(|debug| !debug.is_empty());
    let args = if debug { vec!["-d".to_owned()] } else { Vec::new() };
    let full = work.settings.in_space(path);
    ask(work, &ShellRequest::Execute { path: full, args, dir }, path)
}

/// Asks the shell; that user code ended it is the user's fault.
fn ask(work: &mut Work<'_>, request: &ShellRequest, path: &str) -> Result<ShellReply, ActionError> {
    match work.shell(request) {
        Err(HostError::Failed { status, .. }) => {
            // It may have been told to stop, which is no accident.
            task_error::check(work.host, work.settings, None, work.phase)?;
            Err(ActionError::new(
                FaultKind::Config,
                "shell-ended",
                format!("{path} ended the shell that holds FAI's functions, with status {status}"),
                "a sourced file must use 'return' where a program uses 'exit'",
            ))
        }
        reply => Ok(reply?),
    }
}

/// Writes the shell's functions down, for the shell of a resumed run. Those of FAI's that are not
/// ours any more.
fn keep_functions(work: &mut Work<'_>) -> Result<Vec<String>, ActionError> {
    let request = ShellRequest::Eval { script: "declare -f".to_owned(), dir: "/".to_owned() };
    // Not through `shell`: the text of functions is no output of the run's.
    let functions = work.host.shell(&request, &mut |_, _| {})?.stdout;
    work.host.write(&work.settings.functions(), functions.as_bytes(), 0o600)?;
    Ok(redefined(&functions))
}

fn tell_status(work: &mut Work<'_>, name: &str, status: i32) {
    let line = status_line(name, status);
    work.logs.line(LogFile::Status, &line);
    work.say(&line);
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
