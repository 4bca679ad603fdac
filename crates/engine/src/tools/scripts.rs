//! `fai-do-scripts`: runs the scripts of every class in a directory and logs how they end.

use super::options::Options;
use super::session::{script_for_log, usage};
use super::{Session, ToolError, check_status};
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
        let kind = Kind::of(&session.host.read(&format!("{dir}/{file}"))?.unwrap_or_default());
        if options.has('n') {
            session.say(&format!("Executing {}", kind.name()));
            continue;
        }
        highest = highest.max(call(&dir, &file, &kind, session)?);
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
fn call(dir: &str, file: &str, kind: &Kind, session: &mut Session<'_>) -> Result<i32, ToolError> {
    let old_logs = session.env.get("FAI_USE_OLD_SCRIPT_LOGS") == Some("1");
    let log = if old_logs { kind.old_log() } else { "scripts.log" };
    if session.env.is_on("verbose") {
        session.say(&format!("Executing {}: {file}", kind.name()));
    }
    session.append_log(log, &format!("=====   {}: {file}   =====\n", kind.name()))?;
    let path = format!("./{file}");
    let classes = format!("-D{}", session.env.get("cfclasses").unwrap_or_default());
    let command = match kind {
        Kind::Shell(shell) if session.env.is_on("debug") => {
            script_for_log(dir, shell, &["-x", &path])
        }
        Kind::Other(name) if old_logs && name == "cf-agent" => {
            script_for_log(dir, &path, &["-KI", &classes])
        }
        _ => script_for_log(dir, &path, &[]),
    };
    let (output, text) = session.run_collecting(command)?;
    let line = check_status::line(file, output.status);
    session.append_log(log, &format!("{text}{line}\n"))?;
    session.append_log("status.log", &format!("{line}\n"))?;
    session.say(&line);
    Ok(output.status)
}

/// What runs a script.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// A shell, by its name.
    Shell(String),
    /// Another interpreter, by its name.
    Other(String),
    /// A program, or a text without `#!`.
    Unknown,
}

impl Kind {
    /// FAI asks file(1); the first line says the same.
    fn of(content: &[u8]) -> Self {
        let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        let Some(line) = line.strip_prefix("#!") else { return Self::Unknown };
        let mut names = line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
        let name = match names.next() {
            Some("env") => names.find(|word| !word.starts_with('-')),
            name => name,
        };
        match name {
            Some(name @ ("sh" | "bash" | "dash" | "zsh" | "ksh")) => Self::Shell(name.to_owned()),
            Some(name) => Self::Other(name.to_owned()),
            None => Self::Unknown,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Shell(_) => "shell",
            Self::Other(name) => name,
            Self::Unknown => "program",
        }
    }

    /// The log with FAI_USE_OLD_SCRIPT_LOGS=1.
    fn old_log(&self) -> &'static str {
        let Self::Other(name) = self else {
            return if *self == Self::Unknown { "scripts.log" } else { "shell.log" };
        };
        let logs = [
            ("cf-agent", "cfagent.log"),
            ("perl", "perl.log"),
            ("expect", "expect.log"),
            ("python", "python.log"),
            ("ruby", "ruby.log"),
        ];
        logs.iter().find(|(start, _)| name.starts_with(start)).map_or("scripts.log", |(_, log)| log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter() {
        let kind = |text: &str| Kind::of(text.as_bytes());
        assert_eq!(kind("#! /bin/bash\n"), Kind::Shell("bash".to_owned()));
        assert_eq!(kind("#!/usr/bin/env -S python3 -u\n"), Kind::Other("python3".to_owned()));
        assert_eq!(kind("#!/usr/bin/perl"), Kind::Other("perl".to_owned()));
        assert_eq!(kind("echo hi\n"), Kind::Unknown);
        assert_eq!(kind("#!/usr/bin/env python3").old_log(), "python.log");
    }
}
