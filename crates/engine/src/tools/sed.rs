//! `fai-sed`: runs sed(1) on a file of the target and replaces it only if that changed it.

use super::options::Options;
use super::session::{self, usage};
use super::{Session, ToolError};
use hostwright_host::{Command, Tool, metadata};

pub(super) const USAGE: &str = "[-nE] SEDCMD FILE";

/// Status with `-E` after a change.
const CHANGED: i32 = 9;
/// Status when more than one file is given.
const TOO_MANY: i32 = 5;

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("nE", args)?;
    let (script, file) = match &options.rest[..] {
        [script, file] if !script.is_empty() && !file.is_empty() => (script, file),
        [_, _, _, ..] => return Err(ToolError::refused(TOO_MANY, "only one file can be given")),
        _ => return Err(usage("a sed command and a file are needed")),
    };
    let target = session.env.get("target").unwrap_or_default().to_owned();
    let shown = session::below(&target, file);
    let path = match target.as_str() {
        "" => session.absolute(file),
        target => metadata::resolve_in_root(&session.absolute(target), file, false)?,
    };
    // The link of a file that is one is replaced, as FAI does it: what it points to may belong to
    // another package.
    let source = match target.as_str() {
        "" => path.clone(),
        target => metadata::resolve_in_root(&session.absolute(target), file, true)?,
    };
    if !metadata::stat(&source)?.is_some_and(|meta| meta.is_file()) {
        session.say(&format!("WARNING: {shown} does not exists. Skipping"));
        return Ok(0);
    }
    session.say_part(&format!("sed -e {script} {shown}: "));
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let copy = metadata::temporary_file(dir, ".fai-sed")?;
    let status = edit(&options, script, [&source, &copy, &path], session);
    session.host.remove(&copy)?;
    status
}

/// Edits a copy and puts it in place of the file if it differs.
fn edit(
    options: &Options,
    script: &str,
    [source, copy, path]: [&str; 3],
    session: &mut Session<'_>,
) -> Result<i32, ToolError> {
    metadata::copy_whole(source, copy)?;
    let status = session.run(Command::new(Tool::Sed).args(["-i", "-e", script, copy]))?.status;
    if status != 0 {
        session.say(&format!("sed error {status}"));
        return Ok(status);
    }
    if session.host.read(source)? == session.host.read(copy)? {
        session.say(" No changes.");
        return Ok(0);
    }
    if options.has('n') {
        session.say(" Dry-run. Changes not applied.");
        return Ok(0);
    }
    session.host.rename(copy, path)?;
    session.say(" File changed.");
    Ok(if options.has('E') { CHANGED } else { 0 })
}
