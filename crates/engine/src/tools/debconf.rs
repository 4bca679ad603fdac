//! `fai-debconf`: preseeds debconf of the target from the files of the classes, and has packages
//! that are installed already take their new answers.

use super::options::Options;
use super::session::{usage, words};
use super::{Session, ToolError};
use hostwright_host::{Command, Tool, metadata};
use std::collections::BTreeSet;

pub(super) const USAGE: &str = "[-dfhsv] DIRECTORY";

/// Status without any class.
const NO_CLASSES: i32 = 9;

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("vsfd", args)?;
    let [dir] = &options.rest[..] else { return Err(usage("one directory is needed")) };
    let dir = session.absolute(dir);
    if !metadata::stat(&dir)?.is_some_and(|meta| meta.is_dir()) {
        return Err(ToolError::refused(1, format!("there is no directory {dir}")));
    }
    if session.classes().is_empty() {
        session.say("No classes are defined.");
        return Ok(NO_CLASSES);
    }
    let verbose = options.has('v') || options.has('d') || session.env.is_on("verbose");
    let before = if options.has('f') { None } else { selections(session)? };
    let mut data = String::new();
    for file in files(&dir, session)? {
        if verbose {
            session.say(&format!("Adding debconf data from {file}"));
        }
        data.push_str(&preseed(&file, session)?);
    }
    session.append_log("debconf.data", &data)?;
    if options.has('s') || data.is_empty() {
        return Ok(0);
    }
    if let Some(before) = before {
        data = changed_lines(&before, session)?;
        if let Some(log) = session.log_file("debconf.data") {
            session.host.write(&log, data.as_bytes(), 0o644)?;
        }
    }
    reconfigure(&packages(&data), verbose, session)?;
    Ok(0)
}

/// Files of the classes, lower classes first: `DIR/CLASS`, or all files of the directory
/// `DIR/CLASS` with harmless names.
fn files(dir: &str, session: &mut Session<'_>) -> Result<Vec<String>, ToolError> {
    let is_safe = |c: char| c.is_alphanumeric() || "_.-".contains(c);
    let mut files = Vec::new();
    for class in session.classes() {
        let path = format!("{dir}/{class}");
        match metadata::stat(&path)? {
            Some(meta) if meta.is_file() => files.push(path),
            Some(meta) if meta.is_dir() => {
                for name in session.host.list(&path)? {
                    let file = format!("{path}/{name}");
                    let is_file = metadata::stat(&file)?.is_some_and(|meta| meta.is_file());
                    if is_file && name.chars().all(is_safe) {
                        files.push(file);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(files)
}

/// Feeds a file to debconf; gives its text.
fn preseed(file: &str, session: &mut Session<'_>) -> Result<String, ToolError> {
    let text = session.host.read(file)?.unwrap_or_default();
    let command = Command::new(Tool::DebconfSetSelections).stdin(text.clone());
    let command = session.in_target(command);
    let (output, messages) = session.run_collecting(command)?;
    session.append_log("debconf.log", &messages)?;
    if output.status != 0 {
        session.warn(&format!("fai-debconf: debconf does not take all of {file}: {messages}"));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// All answers that debconf of the target has; `None` if it has no program to tell them.
fn selections(session: &mut Session<'_>) -> Result<Option<BTreeSet<String>>, ToolError> {
    let program = "/usr/bin/debconf-get-selections";
    let program = metadata::resolve_in_root(&session.target(), program, true)?;
    if !metadata::stat(&program)?.is_some_and(|meta| meta.is_program()) {
        return Ok(None);
    }
    let command = session.in_target(Command::new(Tool::DebconfGetSelections));
    let output = session.run_for_output(command)?.success()?;
    Ok(Some(output.stdout.lines().map(str::to_owned).collect()))
}

/// Answers that are not as they were.
fn changed_lines(
    before: &BTreeSet<String>,
    session: &mut Session<'_>,
) -> Result<String, ToolError> {
    let mut after = selections(session)?.unwrap_or_default();
    after.retain(|line| !line.starts_with('#'));
    Ok(after.difference(before).map(|line| format!("{line}\n")).collect())
}

/// Owners of the answers: the first word of each line.
pub(crate) fn packages(data: &str) -> BTreeSet<String> {
    let lines = data.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.filter_map(|line| words(line).into_iter().next()).collect()
}

/// Has installed packages ask their questions again, against a copy of the data base: what a
/// package writes back in between must not overrule what was preseeded.
fn reconfigure(
    packages: &BTreeSet<String>,
    verbose: bool,
    session: &mut Session<'_>,
) -> Result<(), ToolError> {
    let target = session.target();
    let mut installed = Vec::new();
    for package in packages.iter().filter(|name| !name.contains('/')) {
        let list = format!("/var/lib/dpkg/info/{package}.list");
        if metadata::stat(&metadata::resolve_in_root(&target, &list, true)?)?.is_some() {
            installed.push(package);
        }
    }
    if installed.is_empty() {
        return Ok(());
    }
    let copy =
        metadata::temporary_file(&format!("{}/tmp", target.trim_end_matches('/')), "fai-debconf")?;
    let inside = copy.strip_prefix(target.trim_end_matches('/')).unwrap_or(&copy).to_owned();
    let copied = copy_answers(&inside, session);
    for package in installed.iter().filter(|_| copied.is_ok()) {
        if verbose {
            session.say(&format!("Reconfiguring package {package}"));
        }
        let command = Command::new(Tool::DpkgReconfigure)
            .arg(package.as_str())
            .env("DEBCONF_DB_OVERRIDE", format!("File{{{inside} readonly:true}}"))
            .env("DEBIAN_FRONTEND", "noninteractive");
        session.run(session.in_target(command))?;
    }
    session.host.remove(&copy)?;
    session.host.remove(&format!("{copy}-old"))?;
    copied
}

fn copy_answers(to: &str, session: &mut Session<'_>) -> Result<(), ToolError> {
    let file = format!("--config=Filename:{to}");
    let words = ["configdb", "faidb", "--config=Name:faidb", "--config=Driver:File", &file];
    let command = session.in_target(Command::new(Tool::DebconfCopydb).args(words));
    session.run(command)?.success()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_first_words() {
        let data = "# comment\nlocales locales/default select C\n\nexim4\texim4/x string y\nlocales a b c\n";
        assert_eq!(packages(data), BTreeSet::from(["exim4".to_owned(), "locales".to_owned()]));
    }
}
