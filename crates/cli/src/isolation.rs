//! Verbs that mount file systems run as processes of their own, of which nothing outlives the verb.

use crate::faults::Failure;
use hostwright_host::namespace;
use hostwright_model::fault::{Fault, FaultKind};
use std::process::ExitCode;

/// Demands root, and starts the verb again as the first of its own processes. The exit status in the
/// process that waited for it; `None` in the one that shall do the work. `why` begins the message to
/// somebody who is not root.
pub fn own_processes(why: &str) -> Result<Option<ExitCode>, Failure> {
    if !namespace::is_root() {
        let fault = Fault::new(FaultKind::Environment, "needs-root", why, "run it as root");
        return Err(fault.into());
    }
    if std::env::var_os(namespace::OWN_PROCESSES).is_some() {
        return Ok(None);
    }
    let status = namespace::own_processes()?;
    Ok(Some(ExitCode::from(u8::try_from(status).unwrap_or(1))))
}
