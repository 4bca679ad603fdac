//! The TFTP server's sockets and tasks.

use super::content::Content;
use super::packet::{self, ClientPacket, ErrorCode, ReadRequest, Terms};
use super::transfer::{Action, Transfer};
use crate::booter::Booter;
use crate::clock::now_ms;
use crate::decide::SharedLeases;
use crate::event::{BootEvent, BootStep};
use crate::files::{Files, clean_name};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// Requests beyond this many transfers at once are refused; firmware asks again.
const MAX_TRANSFERS: usize = 512;
/// No request is longer (RFC 2347).
const MAX_REQUEST_BYTES: usize = 512;

/// Why the TFTP server cannot start.
#[derive(Debug, Error)]
#[error("cannot listen for TFTP on {address}")]
pub struct TftpError {
    address: SocketAddrV4,
    #[source]
    source: io::Error,
}

/// A TFTP server that listens.
pub struct TftpServer {
    socket: UdpSocket,
    shared: Arc<Shared>,
}

struct Shared {
    files: Arc<dyn Files>,
    booter: Arc<dyn Booter>,
    leases: SharedLeases,
    running: Mutex<HashMap<SocketAddr, Running>>,
}

/// A transfer that has not ended, by the client's address and port.
struct Running {
    request: Vec<u8>,
    /// True once the client has taken any of the file.
    progressed: Arc<AtomicBool>,
    replaced: CancellationToken,
}

impl TftpServer {
    /// Listens on `address`, which must be one of this host's: replies come from it. The port is
    /// 69 for firmware; 0 takes any.
    pub async fn bind(
        address: SocketAddrV4,
        files: Arc<dyn Files>,
        booter: Arc<dyn Booter>,
        leases: SharedLeases,
    ) -> Result<Self, TftpError> {
        let socket = UdpSocket::bind(address).await;
        let socket = socket.map_err(|source| TftpError { address, source })?;
        let running = Mutex::default();
        Ok(Self { socket, shared: Arc::new(Shared { files, booter, leases, running }) })
    }

    /// Where it listens.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `shutdown`; transfers end with it.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        loop {
            let received = tokio::select! {
                () = shutdown.cancelled() => return,
                received = self.socket.recv_from(&mut buffer) => received,
            };
            match received {
                Ok((length, client)) => self.receive(&buffer[..length], client, &shutdown).await,
                // ICMP errors of earlier refusals arrive here; a real fault may pass.
                Err(error) => {
                    tracing::debug!(%error, "cannot receive TFTP requests");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    async fn receive(&self, datagram: &[u8], client: SocketAddr, shutdown: &CancellationToken) {
        match ClientPacket::parse(datagram) {
            Some(ClientPacket::Read(request)) => {
                if let Err(refusal) = self.start(request, datagram, client, shutdown) {
                    self.refuse(client, refusal.0, refusal.1).await;
                }
            }
            Some(ClientPacket::Write) => {
                self.refuse(client, ErrorCode::AccessViolation, "this server only sends").await;
            }
            // Stray packets of ended transfers; answering an ERROR would be wrong anyway.
            Some(ClientPacket::Ack(_) | ClientPacket::Error { .. }) => {}
            None => self.refuse(client, ErrorCode::IllegalOperation, "not a TFTP request").await,
        }
    }

    fn start(
        &self,
        request: ReadRequest,
        datagram: &[u8],
        client: SocketAddr,
        shutdown: &CancellationToken,
    ) -> Result<(), (ErrorCode, &'static str)> {
        let local = self.local_address().map_err(|_| (ErrorCode::Undefined, "no address"))?;
        let replaced = CancellationToken::new();
        let progressed = Arc::new(AtomicBool::new(false));
        let mut running = self.shared.lock_running();
        if let Some(earlier) = running.get(&client) {
            // The same request again, and nothing of the file taken yet: our answer is on its way
            // or lost, and the transfer sends it again by itself.
            if earlier.request == datagram && !earlier.progressed.load(Ordering::Relaxed) {
                return Ok(());
            }
            earlier.replaced.cancel();
        } else if running.len() >= MAX_TRANSFERS {
            return Err((ErrorCode::Undefined, "server busy, ask again"));
        }
        running.insert(
            client,
            Running {
                request: datagram.to_owned(),
                progressed: progressed.clone(),
                replaced: replaced.clone(),
            },
        );
        drop(running);
        let session = Session {
            shared: self.shared.clone(),
            client,
            file: request.file.clone(),
            progressed,
            replaced,
            shutdown: shutdown.clone(),
            started: Instant::now(),
        };
        tokio::spawn(session.run(request, local.ip()));
        Ok(())
    }

    async fn refuse(&self, client: SocketAddr, code: ErrorCode, message: &str) {
        if let Err(error) = self.socket.send_to(&packet::error(code, message), client).await {
            tracing::debug!(%client, %error, "cannot send a TFTP error");
        }
    }
}

impl Shared {
    fn lock_running(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a transfer came to, if not all of the file.
enum Failure {
    /// The client only wanted the length.
    Probe,
    /// Everything else; the client is told if it may still listen.
    Other { reason: String, tell: Option<(ErrorCode, String)> },
}

impl Failure {
    fn silent(reason: impl Into<String>) -> Self {
        Self::Other { reason: reason.into(), tell: None }
    }

    fn told(code: ErrorCode, reason: &str) -> Self {
        Self::Other { reason: reason.to_owned(), tell: Some((code, reason.to_owned())) }
    }
}

/// One transfer to one client.
struct Session {
    shared: Arc<Shared>,
    client: SocketAddr,
    file: String,
    progressed: Arc<AtomicBool>,
    replaced: CancellationToken,
    shutdown: CancellationToken,
    started: Instant,
}

impl Session {
    async fn run(self, request: ReadRequest, local: IpAddr) {
        let mut transfer = None;
        let result = match connect(local, self.client).await {
            Ok(socket) => {
                let result = self.serve(&socket, &request, &mut transfer).await;
                if let Err(Failure::Other { tell: Some((code, message)), .. }) = &result {
                    send(&socket, &packet::error(*code, message)).await;
                }
                result
            }
            Err(error) => Err(Failure::silent(format!("no socket: {error}"))),
        };
        let done_bytes = transfer.as_ref().map_or(0, Transfer::done_bytes);
        match result {
            Ok(size_bytes) => self.saw(BootStep::TftpFinished {
                file: self.file.clone(),
                size_bytes,
                duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
                retransmits: transfer.as_ref().map_or(0, Transfer::retransmits),
            }),
            // Reported when the length was known.
            Err(Failure::Probe) => {}
            Err(Failure::Other { reason, .. }) => {
                self.saw(BootStep::TftpFailed { file: self.file.clone(), done_bytes, reason });
            }
        }
        let mut running = self.shared.lock_running();
        if !self.replaced.is_cancelled() {
            running.remove(&self.client);
        }
    }

    /// Opens the file, agrees on how to send it, and sends it. The length, once all is sent.
    async fn serve(
        &self,
        socket: &UdpSocket,
        request: &ReadRequest,
        transfer: &mut Option<Transfer>,
    ) -> Result<u64, Failure> {
        if request.mode != "octet" {
            let reason = "only octet (binary) transfers are served";
            return Err(Failure::told(ErrorCode::Undefined, reason));
        }
        let content = self.open(&request.file).await?;
        let size_bytes = content.size_bytes();
        let terms = Terms::agree(&request.options, size_bytes);
        let (begun, action) = Transfer::begin(terms, size_bytes, Instant::now());
        let transfer = transfer.insert(begun);
        match self.pump(socket, &content, transfer, action).await {
            Err(Failure::Other { tell: None, .. }) if transfer.is_size_probe() => {
                self.saw(BootStep::TftpProbed { file: self.file.clone(), size_bytes });
                Err(Failure::Probe)
            }
            Err(failure) => Err(failure),
            Ok(()) => Ok(size_bytes),
        }
    }

    async fn open(&self, asked: &str) -> Result<Content, Failure> {
        let file = clean_name(asked).and_then(|name| self.shared.files.open(&name));
        let file = file.ok_or_else(|| Failure::told(ErrorCode::NotFound, "no such file"))?;
        Content::open(file).await.map_err(|error| Failure::Other {
            reason: format!("cannot open it: {error}"),
            tell: Some((ErrorCode::NotFound, "the server cannot open the file".to_owned())),
        })
    }

    /// Moves packets until the transfer ends.
    async fn pump(
        &self,
        socket: &UdpSocket,
        content: &Content,
        transfer: &mut Transfer,
        mut action: Action,
    ) -> Result<(), Failure> {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        loop {
            match action {
                Action::SendOptions => send(socket, &transfer.terms().oack()).await,
                Action::SendBlocks { first, count } => {
                    let block_bytes = u64::from(transfer.terms().block_bytes);
                    send_blocks(socket, content, block_bytes, first, count).await?;
                }
                Action::Done => return Ok(()),
                Action::GiveUp => return Err(Failure::silent("the machine stopped answering")),
                Action::Wait => {}
            }
            let deadline = transfer.deadline().into();
            // Packets first: the last acknowledgement may be here already when the client, done
            // with this file, asks for the next one from the same port.
            action = tokio::select! {
                biased;
                received = socket.recv(&mut buffer) => match received {
                    Ok(length) => self.on_packet(&buffer[..length], transfer)?,
                    Err(error) => self.on_hang_up(socket, transfer, &error)?,
                },
                () = self.shutdown.cancelled() => return Err(Failure::silent("the server ends")),
                () = self.replaced.cancelled() => {
                    return Err(Failure::silent("the machine asked again"));
                }
                () = tokio::time::sleep_until(deadline) => transfer.on_deadline(Instant::now()),
            };
        }
    }

    fn on_packet(&self, datagram: &[u8], transfer: &mut Transfer) -> Result<Action, Failure> {
        match ClientPacket::parse(datagram) {
            Some(ClientPacket::Ack(number)) => {
                let had_progressed = transfer.has_progressed();
                let action = transfer.on_ack(number, Instant::now());
                if transfer.has_progressed() && !had_progressed {
                    self.progressed.store(true, Ordering::Relaxed);
                    self.saw_start(transfer);
                }
                Ok(action)
            }
            Some(ClientPacket::Error { code, message }) => {
                Err(Failure::silent(format!("the machine aborted it: error {code} {message}")))
            }
            Some(ClientPacket::Read(_) | ClientPacket::Write) | None => Ok(Action::Wait),
        }
    }

    /// ICMP says that the client's port is closed. Its last words may be waiting behind that; if
    /// the last block was sent but its acknowledgement is lost, the client was content.
    fn on_hang_up(
        &self,
        socket: &UdpSocket,
        transfer: &mut Transfer,
        error: &io::Error,
    ) -> Result<Action, Failure> {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        while let Ok(length) = socket.try_recv(&mut buffer) {
            if self.on_packet(&buffer[..length], transfer)? == Action::Done {
                return Ok(Action::Done);
            }
        }
        if transfer.has_sent_all() {
            return Ok(Action::Done);
        }
        Err(Failure::silent(format!("the machine hung up: {error}")))
    }

    /// Told at the first acknowledged block: a size probe is no start.
    fn saw_start(&self, transfer: &Transfer) {
        self.saw(BootStep::TftpStarted {
            file: self.file.clone(),
            size_bytes: transfer.size_bytes(),
            block_bytes: transfer.terms().block_bytes,
            window_blocks: transfer.terms().window_blocks,
        });
    }

    fn saw(&self, step: BootStep) {
        let address = match self.client.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        tracing::info!(client = %self.client, "TFTP: {step}");
        let mac = address.and_then(|address| self.shared.leases.mac_of(address));
        self.shared.booter.saw(BootEvent { at_ms: now_ms(), mac, address, step });
    }
}

/// A socket of its own for a transfer, from the address that was asked; packets of others than
/// the client are dropped by the kernel.
async fn connect(local: IpAddr, client: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(client).await?;
    Ok(socket)
}

/// A packet that cannot be sent is as good as lost: a full queue or a missing route may pass, and
/// what ICMP said about an earlier packet is for the receiving side to judge.
async fn send(socket: &UdpSocket, packet: &[u8]) {
    if let Err(error) = socket.send(packet).await {
        tracing::debug!(%error, "cannot send a TFTP packet");
    }
}

async fn send_blocks(
    socket: &UdpSocket,
    content: &Content,
    block_bytes: u64,
    first: u64,
    count: u64,
) -> Result<(), Failure> {
    let offset = (first - 1) * block_bytes;
    let bytes =
        content.read(offset, count * block_bytes).await.map_err(|error| Failure::Other {
            reason: format!("cannot read it: {error}"),
            tell: Some((ErrorCode::Undefined, "the server cannot read the file".to_owned())),
        })?;
    let mut rest = bytes.as_slice();
    for block in first..first + count {
        let length = rest.len().min(usize::try_from(block_bytes).unwrap_or(usize::MAX));
        let (content, after) = rest.split_at(length);
        send(socket, &packet::data(block, content)).await;
        rest = after;
    }
    Ok(())
}
