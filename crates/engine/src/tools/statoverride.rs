//! `fai-statoverride`: tells dpkg of the target who owns files, unless it was told already.

use super::session::usage;
use super::{Session, ToolError};
use hostwright_host::{Command, Tool};

pub(super) const USAGE: &str = "OWNER GROUP MODE FILE…";

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let [owner, group, mode, files @ ..] = args else {
        return Err(usage("owner, group, mode and files are needed"));
    };
    let mut status = 0;
    for file in files {
        let list = session.in_target(Command::new(Tool::DpkgStatoverride).args(["--list", file]));
        // It ends with 1 if there is no override for the file.
        if session.run_for_output(list)?.status == 0 {
            continue;
        }
        session.say(&format!("Overriding owner and mode: {owner} {group} {mode} {file}"));
        let words = ["--update", "--add", owner, group, mode, file];
        let add = session.in_target(Command::new(Tool::DpkgStatoverride).args(words));
        if session.run(add)?.status != 0 {
            status = 1;
        }
    }
    Ok(status)
}
