//! FAI's error numbers: the files through which scripts raise them, and when they stop a run.

use crate::fault::ActionError;
use crate::settings::Settings;
use crate::shell::STOP_FILE;
use hostwright_host::{Host, HostError, ShellRequest};
use hostwright_model::fault::FaultKind;
use hostwright_model::phase::Phase;
use hostwright_model::plan::Inputs;

/// `STOP_ON_ERROR` where no variable says otherwise.
pub(crate) const DEFAULT_LIMIT: u32 = 700;
/// At least one script of `scripts/` failed.
pub(crate) const CONFIGURE_FAILED: u32 = 420;
/// A call of a package manager failed.
pub(crate) const PACKAGES_FAILED: u32 = 471;
/// apt wrote a line that begins with `E:`.
pub(crate) const APT_COMPLAINED: u32 = 472;
/// The base system could not be brought up to date.
pub(crate) const UPDATE_FAILED: u32 = 474;
/// dpkg failed under apt.
pub(crate) const DPKG_FAILED: u32 = 620;
/// debootstrap failed.
pub(crate) const BASE_FAILED: u32 = 801;
/// The logs could not be saved on another machine.
pub(crate) const SAVELOG_FAILED: u32 = 410;
/// A test wrote that it failed.
pub(crate) const TESTS_FAILED: u32 = 312;

/// Code of the fault of a run that was stopped by an error number.
pub(crate) const TASK_ERROR: &str = "task-error";

const OF_RUN: &str = "task_error";
const OF_TASK: &str = "task_local_error";

/// Sets both numbers to 0, as at the start of a run.
pub(crate) fn reset(host: &mut dyn Host, settings: &Settings) -> Result<(), HostError> {
    host.remove(&settings.in_logs(STOP_FILE))?;
    host.write(&settings.in_logs(OF_RUN), b"0\n", 0o644)?;
    begin_task(host, settings)
}

/// Sets the number of the current task to 0.
pub(crate) fn begin_task(host: &mut dyn Host, settings: &Settings) -> Result<(), HostError> {
    host.write(&settings.in_logs(OF_TASK), b"0\n", 0o644)
}

/// The highest number of the run so far.
pub(crate) fn highest(host: &mut dyn Host, settings: &Settings) -> Result<u32, HostError> {
    number(host, &settings.in_logs(OF_RUN))
}

/// The highest number of the current task so far.
pub(crate) fn of_task(host: &mut dyn Host, settings: &Settings) -> Result<u32, HostError> {
    number(host, &settings.in_logs(OF_TASK))
}

fn number(host: &mut dyn Host, path: &str) -> Result<u32, HostError> {
    let text = host.read(path)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).trim().parse().unwrap_or(0))
}

/// The function by which errors are raised; a space may have one of its own.
pub(crate) const FUNCTION: &str = "task_error";

/// What raises an error of the engine's own by the space's function; `None` if it has none.
pub(crate) fn call(inputs: &Inputs, code: u32) -> Option<ShellRequest> {
    let is_redefined = inputs.overrides.functions.contains_key(FUNCTION);
    is_redefined
        .then(|| ShellRequest::Eval { script: format!("{FUNCTION} {code}"), dir: "/".to_owned() })
}

/// Notes an error of the engine's own, as our function `task_error` would.
pub(crate) fn raise(host: &mut dyn Host, settings: &Settings, code: u32) -> Result<(), HostError> {
    for name in [OF_TASK, OF_RUN] {
        let path = settings.in_logs(name);
        if number(host, &path)? < code {
            host.write(&path, format!("{code}\n").as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

/// Fails if the run's highest number is above the limit: what FAI 6.0.3 does, and what later
/// versions announce without doing it.
pub(crate) fn check(
    host: &mut dyn Host,
    settings: &Settings,
    limit: Option<&str>,
    phase: Phase,
) -> Result<(), ActionError> {
    if let Some(text) = host.read(&settings.in_logs(STOP_FILE))? {
        let text = String::from_utf8_lossy(&text);
        let (code, reason) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        return Err(stopped(format!("task {phase} stopped with error {code}: {reason}")));
    }
    let limit = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_LIMIT);
    let code = highest(host, settings)?;
    if code <= limit {
        return Ok(());
    }
    Err(stopped(format!("task {phase} raised error {code}, and STOP_ON_ERROR is {limit}")))
}

fn stopped(message: String) -> ActionError {
    ActionError::new(
        FaultKind::Config,
        TASK_ERROR,
        message,
        "read the lines above it; mend what called task_error or die, and resume the run",
    )
}
