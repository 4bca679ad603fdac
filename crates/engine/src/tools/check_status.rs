//! `check_status`: notes in status.log how a script ended.

use super::session::usage;
use super::{Session, ToolError};

pub(super) const USAGE: &str = "NAME STATUS";

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let [name, status] = args else { return Err(usage("a name and a status are needed")) };
    let wrong = |_| usage(format!("'{status}' is no exit status"));
    let line = match status.trim().parse::<i32>().map_err(wrong)? {
        0 => line(name, 0),
        // As it was given: `01` stays `01`.
        _ => line(name, status),
    };
    session.say(&line);
    session.append_log("status.log", &format!("{line}\n"))?;
    Ok(0)
}

/// The line of status.log.
pub(super) fn line(name: &str, status: impl std::fmt::Display) -> String {
    match status.to_string().as_str() {
        "0" => format!("{name:<20} OK."),
        status => format!("{name:<20} FAILED with exit code {status}."),
    }
}
