//! The one place that turns *who must act* into text and an exit status.

use crate::render::{diagnostics, json};
use hostwright_client::ClientError;
use hostwright_host::HostError;
use hostwright_host::space_source::FetchError;
use hostwright_media::MediaError;
use hostwright_media::import::ImportError;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_server::ServeError;
use hostwright_store::StoreError;
use std::process::ExitCode;

/// Why a verb did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// Something failed.
    Fault(Box<Fault>),
    /// The verb was used wrongly, in a way that clap cannot see.
    Usage(Box<Fault>),
    /// Somebody's input has mistakes.
    Diagnostics(Vec<Diagnostic>),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Self::Diagnostics(diagnostics)
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        hostwright_engine::of_host(&error).into()
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let (kind, code, cure) = match &error {
            FetchError::Host(error) => {
                let mut fault = hostwright_engine::of_host(error);
                fault.cure = "run the command by hand, and mend the cause or the source that \
                              --space names"
                    .to_owned();
                return fault.into();
            }
            FetchError::Checksum { .. } => (
                FaultKind::Remote,
                "space-corrupt",
                "compare with the checksum that its author gives; nothing of it was unpacked",
            ),
            FetchError::NoRevision { .. } | FetchError::NoSpace { .. } => {
                (FaultKind::Config, "space-missing", "correct the source that --space names")
            }
            FetchError::NoProgram { .. } => (
                FaultKind::Environment,
                "space-source",
                "check the space out by hand and name its directory, or install such a program",
            ),
        };
        Fault::new(kind, code, error.to_string(), cure).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (kind, code, cure) = match &error {
            StoreError::Io { .. } => (
                FaultKind::Environment,
                "store-io",
                "check the path, its permissions and free space",
            ),
            StoreError::Corrupt { .. } | StoreError::Missing { .. } => {
                (FaultKind::Environment, "store-corrupt", "nothing was written to any disk")
            }
            StoreError::Remote { .. } => {
                (FaultKind::Remote, "store-unreachable", "check the address and the server")
            }
            StoreError::Untrusted { .. }
            | StoreError::OtherKey { .. }
            | StoreError::RolledBack { .. } => (
                FaultKind::Remote,
                "store-not-trusted",
                "nothing was taken over; ask the owner of the store",
            ),
            StoreError::Contended { .. } => (FaultKind::Remote, "store-busy", "try again"),
            _ => (FaultKind::Config, "store-refused", "change what the message names"),
        };
        Fault::new(kind, code, with_causes(&error), cure).into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (code, cure) = match &error {
            ClientError::Refused { error, .. } => (error.code.clone(), error.cure.clone()),
            _ => (
                "server-unreachable".to_owned(),
                "check --server, and that 'hostwright serve' runs there".to_owned(),
            ),
        };
        let message = match &error {
            ClientError::Refused { error, .. } => error.message.clone(),
            other => with_causes(other),
        };
        Fault::new(FaultKind::Remote, &code, message, cure).into()
    }
}

impl From<MediaError> for Failure {
    fn from(error: MediaError) -> Self {
        if let MediaError::Host(error) = &error {
            return Self::Fault(Box::new(hostwright_engine::of_host(error)));
        }
        let cure = "check the apt sources of this machine, or name --mirror and --kernel";
        Fault::new(FaultKind::Environment, "installer", with_causes(&error), cure).into()
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let (kind, code, cure) = match error {
            ImportError::Store(error) => return error.into(),
            ImportError::Host(error) => return error.into(),
            ImportError::Io { .. } => (
                FaultKind::Environment,
                "import-io",
                "check the path, its permissions and free space",
            ),
            ImportError::Remote { .. } => {
                (FaultKind::Remote, "import-remote", "check the address and the imageserver")
            }
            _ => (FaultKind::Config, "import-refused", "change what the message names"),
        };
        Fault::new(kind, code, with_causes(&error), cure).into()
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let cure = "stop what uses the address or file, or change the configuration";
        Fault::new(FaultKind::Environment, "serve", with_causes(&error), cure).into()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let cure = "read the message; the logs it names have the details";
        Fault::new(FaultKind::Environment, "lab-failed", format!("{error:#}"), cure).into()
    }
}

/// A mistake in the arguments that clap cannot see.
pub fn usage(message: impl Into<String>, cure: impl Into<String>) -> Failure {
    Failure::Usage(Box::new(Fault::new(FaultKind::Config, "usage", message, cure)))
}

/// A file that cannot be read or written.
pub fn file(operation: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    let message = format!("cannot {operation} {}: {error}", path.display());
    Fault::new(FaultKind::Environment, "file", message, "check the path and its permissions").into()
}

/// The message of an error and of everything behind it.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Exit status of wrong usage, which clap has too.
const WRONG_USAGE: u8 = 2;

/// Tells the user and chooses the exit status.
pub fn report(failure: &Failure, as_json: bool) -> ExitCode {
    match failure {
        Failure::Fault(fault) => {
            tell(fault, as_json);
            exit_status(fault.kind)
        }
        Failure::Usage(fault) => {
            tell(fault, as_json);
            ExitCode::from(WRONG_USAGE)
        }
        Failure::Diagnostics(found) => {
            match as_json {
                true => json::print(&serde_json::json!({ "diagnostics": found })),
                false => diagnostics::print(found),
            }
            exit_status(FaultKind::Config)
        }
    }
}

fn tell(fault: &Fault, as_json: bool) {
    match as_json {
        true => json::print(&serde_json::json!({ "fault": fault })),
        false => print_fault(fault),
    }
}

/// The exit status that says who must act.
pub fn exit_status(kind: FaultKind) -> ExitCode {
    ExitCode::from(match kind {
        FaultKind::Bug => 1,
        FaultKind::Config => 3,
        FaultKind::Hardware => 4,
        FaultKind::Environment => 5,
        FaultKind::Remote => 6,
    })
}

fn print_fault(fault: &Fault) {
    use anstyle::{AnsiColor, Style};
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let bold = Style::new().bold();
    anstream::eprintln!("{red}error{red:#}{bold}: {}{bold:#} [{}]", fault.message, fault.code);
    if let Some(command) = &fault.command {
        anstream::eprintln!("  {bold}command{bold:#}: {command}");
    }
    for line in &fault.output {
        anstream::eprintln!("  | {line}");
    }
    anstream::eprintln!("  {bold}cure{bold:#}: {}", fault.cure);
}
