//! Attends to the machine while it is being installed, and after a failure: page, metrics and remote
//! shell on one port, and the server's word.
//!
//! ```text
//! session, PID 1 ──record──► Watch ──► http://MACHINE:6978/   page, JSON, log, metrics
//!                              │
//!                   TLS on the same port ──► shells, files   only with certificates on both ends
//!                              │
//!  server ◄──where we are, that we wait──► courier ──► RESUME ──► PID 1 starts the session again
//! ```
//!
//! A process of its own, so that nothing that happens to the session takes the page or somebody's
//! shell away. It never touches a disk and decides nothing: PID 1 does what the file RESUME asks.

mod credentials;
mod http;
mod metrics;
mod page;
mod shells;
mod visitor;
mod watched;

pub use credentials::CertificateFiles;
pub(crate) use shells::ATTACHED_FILE;
pub use shells::ShellCommand;
pub use watched::{LogLine, Watch, Watched};

use crate::boot_options::BootOptions;
use crate::fault::sentence;
use crate::record::{FILE, Record};
use crate::{WORK_DIR, session};
use hostwright_client::AgentClient;
use hostwright_client::duplex;
use hostwright_client::tls::{Identity, TlsError};
use hostwright_host::boot::root;
use hostwright_model::api::AgentWord;
use hostwright_model::installer::BootParameters;
use hostwright_model::shell::PORT;
use http::{HttpAnswer, HttpRequest};
use rustls::{ServerConfig, ServerConnection};
use shells::Shells;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Name of the file that asks PID 1 to start the session again.
pub(crate) const RESUME_FILE: &str = "resume";
/// Connections at once; each has a thread.
const VISITORS_MAX: usize = 64;
/// Who does not say what they want by then is sent away.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first byte of a TLS connection: a handshake record (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// How one attends.
pub struct AttendantOptions {
    /// Where the record is.
    pub work: PathBuf,
    /// The server, if there is one.
    pub server: Option<BootParameters>,
    /// Where certificates may lie.
    pub certificates: CertificateFiles,
    /// What a shell is.
    pub shell: Box<dyn Fn() -> ShellCommand + Send + Sync>,
}

/// What all threads share.
pub struct Attendant {
    watch: Arc<Watch>,
    work: PathBuf,
    shells: Shells,
    /// How to prove oneself, once that is known.
    tls: Mutex<Option<Arc<ServerConfig>>>,
    visitors: AtomicUsize,
}

/// Attends to this machine for ever. The exit status, if that is not possible. For a look at the
/// record of another one `dir` and `port` say where it lies and what to listen on.
pub(crate) fn run(dir: Option<&str>, port: Option<&str>) -> i32 {
    let Ok(port) = port.map_or(Ok(PORT), str::parse) else { return 2 };
    let work = Path::new(dir.unwrap_or(WORK_DIR));
    let cmdline = root::kernel_command_line().unwrap_or_default();
    let options = AttendantOptions {
        work: work.to_owned(),
        server: BootOptions::from_cmdline(&cmdline).parameters,
        certificates: CertificateFiles::default(),
        shell: Box::new(ShellCommand::of_machine),
    };
    let record = Record::at(&work.join(FILE));
    let listener = listen(port);
    match listener.and_then(|listener| Attendant::start(listener, options)) {
        Ok((_, accepting)) => {
            let _ended = accepting.join();
        }
        Err(error) => record.said(&format!("no page on port {port}: {error}")),
    }
    session::FAILED
}

/// On all addresses of both kinds, or of IPv4 where there is no other.
fn listen(port: u16) -> io::Result<TcpListener> {
    let any6 = SocketAddr::from(([0u16; 8], port));
    TcpListener::bind(any6).or_else(|_| TcpListener::bind(SocketAddr::from(([0u8; 4], port))))
}

impl Attendant {
    /// Starts all threads. The one that is handed back takes connections.
    pub fn start(
        listener: TcpListener,
        options: AttendantOptions,
    ) -> io::Result<(Arc<Self>, thread::JoinHandle<()>)> {
        let port = listener.local_addr()?.port();
        let AttendantOptions { work, server, certificates, shell } = options;
        fs::create_dir_all(&work)?;
        let watch = Arc::new(Watch::default());
        let attendant = Arc::new(Self {
            shells: Shells::new(Arc::clone(&watch), work.clone(), shell),
            watch,
            work,
            tls: Mutex::default(),
            visitors: AtomicUsize::new(0),
        });
        let follower = Arc::clone(&attendant);
        thread::spawn(move || watched::follow(&follower.watch, &follower.work));
        let courier = Arc::clone(&attendant);
        thread::spawn(move || courier.keep_in_touch(server.as_ref(), &certificates, port));
        let doorman = Arc::clone(&attendant);
        let accepting = thread::spawn(move || doorman.accept(&listener));
        Ok((attendant, accepting))
    }

    /// What is known.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let Ok((socket, _)) = listener.accept() else {
                // Out of descriptors, or the network went down: it comes back.
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            if self.visitors.fetch_add(1, Ordering::AcqRel) >= VISITORS_MAX {
                self.visitors.fetch_sub(1, Ordering::AcqRel);
                continue;
            }
            let attendant = Arc::clone(self);
            thread::spawn(move || {
                // Who hangs up needs no answer, and nobody else is to be told.
                let _ = attendant.receive(socket);
                attendant.visitors.fetch_sub(1, Ordering::AcqRel);
            });
        }
    }

    /// One connection: what it speaks shows in its first byte.
    fn receive(self: &Arc<Self>, socket: TcpStream) -> io::Result<()> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut first = [0];
        if socket.peek(&mut first)? == 1 && first[0] == TLS_HANDSHAKE {
            // Without certificates there is no shell and no word about it.
            let Some(tls) = self.tls() else { return Ok(()) };
            let tls = ServerConnection::new(tls).map_err(io::Error::other)?;
            let (reader, writer) = duplex::accept(socket, tls)?;
            return visitor::serve(self, reader, writer);
        }
        self.answer(socket)
    }

    fn answer(&self, mut socket: TcpStream) -> io::Result<()> {
        let Some(request) = http::read_head(&mut socket, PATIENCE)? else {
            return HttpAnswer::not(400, "this is no HTTP").write(&mut socket, true);
        };
        let with_body = request.method != "HEAD";
        if with_body && request.method != "GET" {
            let answer = HttpAnswer::not(405, "this page can be looked at only");
            return answer.write(&mut socket, true);
        }
        match request.path.as_str() {
            "/events" if with_body => self.stream(&mut socket),
            _ => self.look_up(&request).write(&mut socket, with_body),
        }
    }

    fn look_up(&self, request: &HttpRequest) -> HttpAnswer {
        const HTML: &str = "text/html; charset=utf-8";
        const TEXT: &str = "text/plain; charset=utf-8";
        const JSON: &str = "application/json";
        let state = || self.watch.now().clone();
        match request.path.as_str() {
            "/" => HttpAnswer::ok(HTML, page::page(&state())),
            "/style.css" => HttpAnswer::ok("text/css", include_str!("assets/style.css")),
            "/page.js" => HttpAnswer::ok("text/javascript", include_str!("assets/page.js")),
            "/status.json" => HttpAnswer::ok(JSON, to_json(&state())),
            "/plan.json" => match state().plan {
                Some(plan) => HttpAnswer::ok(JSON, to_json(&*plan)),
                None => HttpAnswer::not(404, "there is no plan yet"),
            },
            "/log" => {
                let lines = state().log;
                let text: String = lines.iter().map(|line| page::log_text(line) + "\n").collect();
                HttpAnswer::ok(TEXT, text)
            }
            "/metrics" => HttpAnswer::ok(
                "text/plain; version=0.0.4; charset=utf-8",
                metrics::render(&state()),
            ),
            "/healthz" => HttpAnswer::ok(TEXT, "ok\n"),
            _ => HttpAnswer::not(
                404,
                "there is /, /status.json, /plan.json, /log, /metrics, /healthz",
            ),
        }
    }

    /// Sends the part of the page that changes whenever it has changed, but not more often than
    /// anybody can look.
    fn stream(&self, socket: &mut TcpStream) -> io::Result<()> {
        const PERIOD: Duration = Duration::from_millis(400);
        const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
        http::begin_events(socket)?;
        let mut revision = u64::MAX;
        loop {
            let now = self.watch.wait(revision, SIGN_OF_LIFE);
            revision = now;
            let state = self.watch.now().clone();
            http::write_event(socket, "page", &page::live(&state))?;
            thread::sleep(PERIOD);
        }
    }

    fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gets a certificate, and then tells the server again and again where this machine is.
    fn keep_in_touch(
        &self,
        server: Option<&BootParameters>,
        certificates: &CertificateFiles,
        port: u16,
    ) {
        /// Seconds between two words of a machine that is busy.
        const BUSY_PAUSES: u32 = 10;
        let client = server.map(|server| AgentClient::new(&server.server, &server.token, ""));
        let files = credentials::from_files(certificates);
        if files.is_none() && client.is_none() {
            self.no_shell("there is neither a certificate nor a server that issues one");
        }
        loop {
            if self.tls().is_none() {
                self.prove(files.as_ref(), client.as_ref());
            }
            self.shells.sweep();
            let waits = self.watch.now().waits();
            let word = AgentWord { port, shell: self.tls().is_some(), waits };
            let told = client.as_ref().map(|client| client.word(word));
            if let Some(Ok(word)) = told
                && word.resume
            {
                self.resume();
            }
            // Soon again as long as something is missing.
            let pauses = if waits || !matches!(told, Some(Ok(_))) { 2 } else { BUSY_PAUSES };
            for _ in 0..pauses {
                thread::sleep(Duration::from_secs(1));
                if self.watch.now().waits() != waits {
                    break;
                }
            }
        }
    }

    /// One attempt to get the certificates that a shell needs.
    fn prove(&self, files: Option<&Result<Identity, TlsError>>, client: Option<&AgentClient>) {
        let config = match (files, client) {
            (Some(Ok(identity)), _) => identity.server_config(),
            (Some(Err(error)), _) => return self.no_shell(&sentence(error)),
            (None, Some(client)) => match credentials::from_server(client) {
                Ok(identity) => identity.server_config(),
                Err(error) => return self.no_shell(&sentence(&error)),
            },
            (None, None) => return,
        };
        match config {
            Ok(config) => {
                *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(config);
                self.watch.change(|state| (state.shell, state.no_shell_because) = (true, None));
            }
            Err(error) => self.no_shell(&sentence(&error)),
        }
    }

    fn no_shell(&self, reason: &str) {
        self.watch.change(|state| state.no_shell_because = Some(reason.to_owned()));
    }

    /// Asks PID 1 to start the session again.
    fn resume(&self) {
        // Where nothing can be written nothing can be installed either.
        let _ = fs::write(self.work.join(RESUME_FILE), "");
    }
}

/// True once if somebody asked for the session to be started again.
pub(crate) fn take_resume(work: &Path) -> bool {
    fs::remove_file(work.join(RESUME_FILE)).is_ok()
}

fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("invariant: plain data serialises")
}
