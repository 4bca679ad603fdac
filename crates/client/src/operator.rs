//! The API as people use it: a method for every endpoint of operators.

use crate::connection::Connection;
use crate::{ClientError, EventStream};
use hostwright_model::api::{
    CertificateRequest, Health, Machine, MachineSpec, Run, ShellPass, StoredEvent, UnknownMachine,
};
use hostwright_model::ids::{MachineName, RunId};
use hostwright_model::monitored::MonitoredMachine;
use hostwright_model::progress::RunProgress;
use ureq::http::Method;

/// A server, with an operator's token.
#[derive(Clone, Debug)]
pub struct OperatorClient {
    connection: Connection,
}

impl OperatorClient {
    /// `server` is `http://ADDRESS:PORT`.
    pub fn new(server: &str, token: &str) -> Self {
        Self { connection: Connection::new(server, Some(token)) }
    }

    /// Whether the server is up.
    pub fn health(&self) -> Result<Health, ClientError> {
        self.connection.get("/api/v1/health")
    }

    /// All machines by name.
    pub fn machines(&self) -> Result<Vec<Machine>, ClientError> {
        self.connection.get("/api/v1/machines")
    }

    /// One machine.
    pub fn machine(&self, name: &MachineName) -> Result<Machine, ClientError> {
        self.connection.get(&machine_path(name, ""))
    }

    /// Describes a new machine.
    pub fn add_machine(&self, spec: &MachineSpec) -> Result<Machine, ClientError> {
        self.connection.call(Method::POST, "/api/v1/machines", spec)
    }

    /// Describes a known machine anew; its next run follows the new description.
    pub fn change_machine(&self, spec: &MachineSpec) -> Result<Machine, ClientError> {
        self.connection.call(Method::PUT, &machine_path(&spec.name, ""), spec)
    }

    /// Forgets a machine, its runs and their events.
    pub fn remove_machine(&self, name: &MachineName) -> Result<(), ClientError> {
        self.connection.delete(&machine_path(name, ""))
    }

    /// Arms a machine: it is installed when it boots from the network the next time.
    pub fn install(&self, name: &MachineName) -> Result<Run, ClientError> {
        self.connection.ask(Method::POST, &machine_path(name, "/install"))
    }

    /// Takes back a run that has not begun.
    pub fn cancel(&self, name: &MachineName) -> Result<Run, ClientError> {
        self.connection.ask(Method::POST, &machine_path(name, "/cancel"))
    }

    /// Takes back a run even if it has begun: its agent learns of it at its next report and stops;
    /// the disks stay as they are.
    pub fn cancel_by_force(&self, name: &MachineName) -> Result<Run, ClientError> {
        self.connection.ask(Method::POST, &machine_path(name, "/cancel?force=true"))
    }

    /// The way to the shell of a machine, with a certificate for the key of `request`.
    pub fn shell_pass(
        &self,
        name: &MachineName,
        request: &CertificateRequest,
    ) -> Result<ShellPass, ClientError> {
        self.connection.call(Method::POST, &machine_path(name, "/shell"), request)
    }

    /// Has the machine of a failed run take it up again.
    pub fn resume(&self, id: &RunId) -> Result<Run, ClientError> {
        self.connection.ask(Method::POST, &run_path(id, "/resume"))
    }

    /// Runs, latest first: of one machine, or of all.
    pub fn runs(&self, machine: Option<&MachineName>) -> Result<Vec<Run>, ClientError> {
        let query =
            machine.map_or(String::new(), |name| format!("?machine={}", escaped(name.as_str())));
        self.connection.get(&format!("/api/v1/runs{query}"))
    }

    /// One run.
    pub fn run(&self, id: &RunId) -> Result<Run, ClientError> {
        self.connection.get(&run_path(id, ""))
    }

    /// Where a run is.
    pub fn progress(&self, id: &RunId) -> Result<RunProgress, ClientError> {
        self.connection.get(&run_path(id, "/progress"))
    }

    /// The next events of a run behind number `since` of the server's log, at most 1000. Empty if
    /// there are no more yet.
    pub fn events(&self, run: &RunId, since: u64) -> Result<Vec<StoredEvent>, ClientError> {
        self.connection.get(&run_path(run, &format!("/events?since={since}")))
    }

    /// Follows the server's log behind number `since`: one run, or all of them.
    pub fn follow(&self, since: u64, run: Option<&RunId>) -> EventStream {
        EventStream::new(self.connection.clone(), since, run.cloned())
    }

    /// Machines that told FAI's monitor of their tasks, by name.
    pub fn monitored_machines(&self) -> Result<Vec<MonitoredMachine>, ClientError> {
        self.connection.get("/api/v1/monitored-machines")
    }

    /// Machines that asked for an address or a boot file and are not known, latest first.
    pub fn unknown_machines(&self) -> Result<Vec<UnknownMachine>, ClientError> {
        self.connection.get("/api/v1/unknown-machines")
    }
}

fn machine_path(name: &MachineName, verb: &str) -> String {
    format!("/api/v1/machines/{}{verb}", escaped(name.as_str()))
}

fn run_path(id: &RunId, rest: &str) -> String {
    format!("/api/v1/runs/{}{rest}", escaped(id.as_str()))
}

/// Text as one part of a path or query, percent-encoded (RFC 3986, section 2.3).
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
