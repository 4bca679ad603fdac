//! Turns what failed into a [`Fault`]: the one place that decides who must act and what to do.

use hostwright_host::HostError;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::plan::Step;
use std::io;
use thiserror::Error;

/// Why an action stopped.
#[derive(Debug, Error)]
pub(crate) enum ActionError {
    /// The machine did not do what it was told.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The engine found a reason to stop.
    #[error(transparent)]
    Fault(#[from] Box<Fault>),
}

impl ActionError {
    /// A reason of the engine's own.
    pub(crate) fn new(
        kind: FaultKind,
        code: &str,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self::Fault(Box::new(Fault::new(kind, code, message, cure)))
    }
}

impl From<ActionError> for Box<Fault> {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::Host(error) => Box::new(of_host(&error)),
            ActionError::Fault(fault) => fault,
        }
    }
}

/// The fault behind an error of the host.
pub fn of_host(error: &HostError) -> Fault {
    match error {
        HostError::Io { source, .. } => of_io(error, source),
        HostError::MissingTool { package, .. } => Fault::new(
            FaultKind::Environment,
            "missing-tool",
            error.to_string(),
            format!("install the Debian package {package} where the engine runs"),
        ),
        HostError::Failed { command, status, output } => Fault {
            command: Some(command.clone()),
            output: output.clone(),
            ..Fault::new(
                FaultKind::Environment,
                "command-failed",
                format!("{} ended with status {status}", program(command)),
                "read its last lines, run the command by hand, mend the cause and resume the run",
            )
        },
        HostError::PowerCut => Fault::new(
            FaultKind::Hardware,
            "power-cut",
            error.to_string(),
            "start the machine again; the run goes on where it was",
        ),
        HostError::Probe { .. } => Fault::new(
            FaultKind::Hardware,
            "probe-failed",
            error.to_string(),
            "run 'hostwright facts' on the machine and compare with the hardware",
        ),
    }
}

fn of_io(error: &HostError, source: &io::Error) -> Fault {
    let message = format!("{error}: {source}");
    let (code, cure) = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ("no-space", "make the file system larger in disk_config, or free space on it")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            ("read-only", "mount the file system writable, or look for disk errors in dmesg")
        }
        _ => ("io-failed", "look for the cause in dmesg, mend it and resume the run"),
    };
    Fault::new(FaultKind::Environment, code, message, cure)
}

/// The program of a pasteable command: its first word that sets no variable and enters no root.
fn program(command: &str) -> &str {
    let mut words = command.split(' ').skip_while(|word| word.contains('='));
    match words.next() {
        Some("chroot") => words.nth(1).unwrap_or("chroot"),
        Some(word) => word,
        None => command,
    }
}

/// The same fault, told with the step it stopped and why that step is in the plan.
pub(crate) fn at_step(step: &Step, mut fault: Box<Fault>) -> Box<Fault> {
    let why = step.why.to_string();
    let reason = if why.is_empty() { String::new() } else { format!(", there because of {why}") };
    fault.message = format!("step {}{reason}: {}", step.id, fault.message);
    fault
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::plan::{Action, Why};

    #[test]
    fn a_failed_command_names_step_reason_command_and_last_lines() {
        let error = HostError::Failed {
            command: "LC_ALL=C chroot /target apt-get update".to_owned(),
            status: 100,
            output: vec!["E: no route".to_owned()],
        };
        let why = Why::line("package_config/DEBIAN", 3, Some("DEBIAN"));
        let step = Step { id: "updatebase".into(), action: Action::UpdateBase, why };
        let fault = at_step(&step, Box::new(of_host(&error)));
        assert_eq!(
            fault.message,
            "step updatebase, there because of package_config/DEBIAN:3 (class DEBIAN): apt-get \
             ended with status 100"
        );
        assert_eq!(fault.command.as_deref(), Some("LC_ALL=C chroot /target apt-get update"));
        assert_eq!(fault.output, ["E: no route"]);
    }

    #[test]
    fn a_full_disk_is_told_from_other_errors() {
        let full = |kind: io::ErrorKind| HostError::Io {
            operation: "write",
            path: "/target/x".to_owned(),
            source: kind.into(),
        };
        assert_eq!(of_host(&full(io::ErrorKind::StorageFull)).code, "no-space");
        assert_eq!(of_host(&full(io::ErrorKind::NotFound)).code, "io-failed");
    }
}
