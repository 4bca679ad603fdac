//! `fai-do-scripts`: runs the scripts of every class in a directory and logs how they end.

use super::options::Options;
use super::session::{script_for_log, usage};
use super::{Session, ToolError, check_status};
use crate::interpreter::Interpreter;
use hostwright_host::metadata;

pub(super) const USAGE: &str = "[-hn] [-L LOGDIR] DIRECTORY";

/// Status without any class.
const NO_CLASSES: i32 = 9;
/// Added to the highest status of a script.
const FAILED: i32 = 100;
/// Ends of names of files that editors and dpkg leave behind.
const LEFTOVERS: [&str; 6] =
    ["~", ".dpkg-old", ".dpkg-new", ".dpkg-inst", ".dpkg-tmp", ".dpkg-dist"];

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("nL:", args)?;
    let [dir] = &options.rest[..] else { return Err(usage("one directory is needed")) };
    let dir = session.absolute(dir);
    if let Some(logs) = options.value('L') {
        let logs = session.absolute(logs);
        session.env.set("LOGDIR", logs);
    }
    if session.classes().is_empty() {
        session.say("No classes are defined.");
        return Ok(NO_CLASSES);
    }
    let mut highest = 0;
    for file in files(&dir, session)? {
        let content = session.host.read(&format!("{dir}/{file}"))?.unwrap_or_default();
        let interpreter = Interpreter::of(&content);
        if options.has('n') {
            session.say(&format!("Executing {}", interpreter.kind()));
            continue;
        }
        highest = highest.max(call(&dir, &file, &interpreter, session)?);
    }
    Ok(if highest > 0 { FAILED + highest } else { 0 })
}

/// Scripts of the classes in order: the file `CLASS`, or executable files `CLASS/[0-9][0-9]*`.
fn files(dir: &str, session: &mut Session<'_>) -> Result<Vec<String>, ToolError> {
    let mut files = Vec::new();
    for class in session.classes() {
        let mut names = vec![class.clone()];
        for name in session.host.list(&format!("{dir}/{class}")).unwrap_or_default() {
            if name.bytes().take_while(u8::is_ascii_digit).count() >= 2 {
                names.push(format!("{class}/{name}"));
            }
        }
        for name in names {
            let is_program =
                metadata::stat(&format!("{dir}/{name}"))?.is_some_and(|meta| meta.is_program());
            if is_program && !LEFTOVERS.iter().any(|end| name.ends_with(end)) {
                files.push(name);
            }
        }
    }
    Ok(files)
}

/// Runs one script with its output in the log; gives its exit status.
fn call(
    dir: &str,
    file: &str,
    interpreter: &Interpreter,
    session: &mut Session<'_>,
) -> Result<i32, ToolError> {
    let old_logs = session.env.get("FAI_USE_OLD_SCRIPT_LOGS") == Some("1");
    let debug = session.env.is_on("debug");
    let log = interpreter.log(old_logs).name();
    if session.env.is_on("verbose") {
        session.say(&format!("Executing {}: {file}", interpreter.kind()));
    }
    session.append_log(log, &format!("{}\n", interpreter.header(file)))?;
    let path = format!("./{file}");
    let args = interpreter.args(session.env.get("cfclasses").unwrap_or_default(), debug);
    let command = match interpreter {
        Interpreter::Shell(shell) if debug => script_for_log(dir, shell, &["-x", &path]),
        _ => script_for_log(dir, &path, &args.iter().map(String::as_str).collect::<Vec<_>>()),
    };
    let (output, text) = session.run_collecting(command)?;
    let line = check_status::line(file, output.status);
    session.append_log(log, &format!("{text}{line}\n"))?;
    session.append_log("status.log", &format!("{line}\n"))?;
    session.say(&line);
    Ok(output.status)
}
