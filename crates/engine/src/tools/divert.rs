//! `fai-divert`: replaces programs of the target by ones that do nothing, and takes that back.

use super::session::{usage, words};
use super::{Session, ToolError};
use hostwright_host::{Command, HostError, Tool, metadata};

pub(super) const USAGE: &str = "[-v] -a FILE… | -r FILE | -R";

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let args = match args {
        [flag, rest @ ..] if flag == "-v" => rest,
        args => args,
    };
    match args {
        [flag, files @ ..] if flag == "-a" && !files.is_empty() => {
            if !has_divert(session)? {
                return Ok(0);
            }
            for file in files {
                add(
                    file,
                    "#!/bin/sh\n# stands in for a program during the installation\nexit 0\n",
                    session,
                )?;
            }
        }
        [flag, file] if flag == "-r" => {
            if has_divert(session)? {
                remove(file, session)?;
            }
        }
        [flag] if flag == "-R" => remove_all(session)?,
        _ => return Err(usage("-a with files, -r with a file, or -R is needed")),
    }
    Ok(0)
}

/// True if the target has dpkg-divert. Others know no diversions, and need none.
fn has_divert(session: &Session<'_>) -> Result<bool, HostError> {
    let path = metadata::resolve_in_root(&session.target(), "/usr/bin/dpkg-divert", true)?;
    Ok(metadata::stat(&path)?.is_some_and(|meta| meta.is_program()))
}

fn call(session: &mut Session<'_>, verb: &str, file: &str) -> Result<(), ToolError> {
    let mut command = Command::new(Tool::DpkgDivert);
    if !session.env.is_on("debug") {
        command = command.arg("--quiet");
    }
    let command = command.args(["--package", "fai", "--rename", verb, file]);
    session.run(session.in_target(command))?.success()?;
    Ok(())
}

/// Diverts `file` and puts `text` in its place.
pub(super) fn add(file: &str, text: &str, session: &mut Session<'_>) -> Result<(), ToolError> {
    call(session, "--add", file)?;
    let path = metadata::resolve_in_root(&session.target(), file, false)?;
    Ok(session.host.write(&path, text.as_bytes(), 0o755)?)
}

fn remove(file: &str, session: &mut Session<'_>) -> Result<(), ToolError> {
    let path = metadata::resolve_in_root(&session.target(), file, false)?;
    session.host.remove(&path)?;
    call(session, "--remove", file)?;
    // Left behind when the diversion was made before dpkg unpacked the file.
    let unpacked = format!("{path}.distrib.dpkg-new");
    if metadata::stat(&unpacked)?.is_some_and(|meta| meta.is_file()) {
        session.host.rename(&unpacked, &path)?;
    }
    Ok(())
}

/// Takes back every diversion made by us.
pub(super) fn remove_all(session: &mut Session<'_>) -> Result<(), ToolError> {
    if !has_divert(session)? {
        return Ok(());
    }
    let list = session.in_target(Command::new(Tool::DpkgDivert).args(["--list"]));
    let list = session.run_for_output(list)?.success()?.stdout;
    for line in list.lines() {
        // "diversion of /sbin/init to /sbin/init.distrib by fai"
        if let [_, _, file, _, _, "by", "fai"] =
            words(line).iter().map(String::as_str).collect::<Vec<_>>()[..]
        {
            remove(file, session)?;
        }
    }
    Ok(())
}
