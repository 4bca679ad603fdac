//! A machine in this process: the attendant that a real one has, on a port of loopback.

use crate::site::{MAC, Running, no_wait};
use hostwright_agent::attendant::{Attendant, AttendantOptions, CertificateFiles, ShellCommand};
use hostwright_agent::record::{FILE, Line, Record};
use hostwright_client::AgentClient;
use hostwright_client::shell::Dial;
use hostwright_client::tls::FreshKey;
use hostwright_model::api::CertificateRequest;
use hostwright_model::event::{Event, EventBody};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::installer::BootParameters;
use hostwright_model::shell::{Request, TerminalSize};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const SIZE: TerminalSize = TerminalSize { columns: 80, rows: 24 };

/// A machine that is attended to.
pub struct AttendedMachine {
    pub attendant: Arc<Attendant>,
    pub address: SocketAddr,
    pub work: TempDir,
    pub record: Record,
}

impl AttendedMachine {
    /// One whose boot script named `server`.
    pub fn start(server: Option<BootParameters>, certificates: CertificateFiles) -> Self {
        let work = tempfile::tempdir().unwrap();
        let words = ["setsid", "--ctty", "--wait", "sh"].map(str::to_owned).to_vec();
        let options = AttendantOptions {
            work: work.path().to_owned(),
            server,
            certificates,
            shell: Box::new(move || ShellCommand { words: words.clone() }),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (attendant, _) = Attendant::start(listener, options).unwrap();
        let record = Record::at(&work.path().join(FILE));
        Self { attendant, address, work, record }
    }

    /// One that the server has armed and that asked for its order.
    pub fn booted(server: &Running) -> (Self, AgentClient) {
        let agent = server.agent(MAC, "start-1");
        let order = agent.order(&mut no_wait).unwrap();
        let machine = Self::start(Some(parameters(server)), no_files());
        machine.record.add(&Line::Began {
            run: order.run.to_string(),
            machine: order.machine.to_string(),
            attempt: order.attempt,
        });
        (machine, agent)
    }

    /// Waits until the machine has its certificate and the server knows of it.
    pub fn dial(&self, server: &Running) -> Dial {
        eventually("the server knows of the shell", || {
            let key = FreshKey::generate().unwrap();
            let request = CertificateRequest { csr: key.request().unwrap() };
            let pass = server.operator().shell_pass(&"demohost".into(), &request).ok()?;
            assert_eq!(pass.address, self.address.to_string());
            let identity = key.with(pass.certificate.certificate, pass.certificate.authority);
            Some(Dial { address: pass.address, server_name: pass.server_name, identity })
        })
    }

    /// What the agent tells when a run failed.
    pub fn fail(&self, agent: &AgentClient, attempt: u32) {
        let fault = Fault::new(FaultKind::Environment, "no-space", "it is full", "make room");
        let body = EventBody::RunFinished { ok: false, task_error: 0, fault: Some(fault) };
        self.record.add(&Line::Event(Event { seq: 1, at_ms: 1, body: body.clone() }));
        let events = agent.events(attempt);
        events.send(1, body);
        assert!(events.flush(Some(Duration::from_secs(10))), "{:?}", events.refusal());
    }
}

/// Where no certificates are.
pub fn no_files() -> CertificateFiles {
    CertificateFiles { authority: "/nonexistent/CA.pem".into(), dirs: Vec::new() }
}

pub fn parameters(server: &Running) -> BootParameters {
    BootParameters { server: server.url.clone(), token: server.run_token(MAC) }
}

pub fn shell_of(command: &str) -> Request {
    Request::Shell { term: "dumb".to_owned(), size: SIZE, command: Some(command.to_owned()) }
}

/// Waits until `attempt` has something.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < until, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
