//! FAI's tools: scripts of config spaces call this program by their names.

use hostwright_agent::program;
use std::process::ExitCode;

/// Runs the tool that this program was called as, if it was.
pub fn called_as_tool() -> Option<ExitCode> {
    let mut words = std::env::args();
    let called = words.next()?;
    let name = called.rsplit('/').next()?;
    let args: Vec<String> = words.collect();
    program::is_tool(name).then(|| program::run_tool(name, &args))
}
