//! The operator's end of the remote shell: connects, proves itself, and comes back to the same
//! shell when the connection breaks.

use crate::backoff::Backoff;
use crate::duplex::{self, TlsReader, TlsWriter};
use crate::frame::{Frame, read_frame, write_frame, write_json};
use crate::tls::{Identity, TlsError};
use hostwright_model::shell::{Answer, End, FRAME_BYTES_MAX, FrameKind, Request, TerminalSize};
use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use thiserror::Error;

const CONNECT: Duration = Duration::from_secs(10);
/// How often each end shows that it lives.
pub const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Why there is no shell.
#[derive(Debug, Error)]
pub enum ShellError {
    /// The machine does not answer.
    #[error("no connection to {address}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the network said.
        #[source]
        source: io::Error,
    },
    /// One end did not prove who it is.
    #[error("{address} is not the machine '{server_name}', or does not take this certificate")]
    Unproved {
        /// Where.
        address: String,
        /// The name that was expected in the certificate.
        server_name: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// The machine said no.
    #[error("the machine refused: {0}")]
    Refused(String),
    /// The connection broke, or the other end does not keep to the protocol.
    #[error("the connection to {address} broke")]
    Broken {
        /// Where.
        address: String,
        /// What the network said.
        #[source]
        source: io::Error,
    },
    /// A local file or the terminal does not work.
    #[error("cannot {0}")]
    Local(&'static str, #[source] io::Error),
    /// The certificates do not work.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl ShellError {
    /// True if the same may well work later.
    fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken { .. })
    }
}

/// A machine, and how to prove oneself to it.
#[derive(Clone, Debug)]
pub struct Dial {
    /// `ADDRESS:PORT`.
    pub address: String,
    /// The name that its certificate must be for.
    pub server_name: String,
    /// Who asks, and who vouches for the machine.
    pub identity: Identity,
}

/// What a person does at the terminal.
#[derive(Debug)]
pub enum Input {
    /// Typed.
    Bytes(Vec<u8>),
    /// The window changed.
    Size(TerminalSize),
    /// Goes away; the shell stays.
    Leave,
}

/// A connection that has been answered.
struct Link {
    reader: TlsReader,
    writer: TlsWriter,
    answer: Answer,
}

impl Dial {
    fn ask(&self, request: &Request) -> Result<Link, ShellError> {
        let config = self.identity.client_config()?;
        let name = ServerName::try_from(self.server_name.clone()).map_err(|error| {
            TlsError::Unfit(format!("'{}' is no name of a machine: {error}", self.server_name))
        })?;
        let tls = ClientConnection::new(config, name);
        let tls = tls.map_err(|error| TlsError::Unfit(error.to_string()))?;
        let socket = self.socket()?;
        let proved = duplex::connect(socket, tls).map_err(|error| self.failed(error))?;
        let (mut reader, mut writer) = proved;
        // That the other end refuses the certificate shows in its first word, also where it did not
        // wait for the request.
        let _sent = write_json(&mut writer, FrameKind::Request, request);
        let answer = next_frame(&mut reader).and_then(|frame| frame.json());
        match answer.map_err(|error| self.failed(error))? {
            Answer::Refused { reason } => Err(ShellError::Refused(reason)),
            answer => Ok(Link { reader, writer, answer }),
        }
    }

    fn socket(&self) -> Result<TcpStream, ShellError> {
        let unreachable =
            |source| ShellError::Unreachable { address: self.address.clone(), source };
        let addresses = self.address.to_socket_addrs().map_err(unreachable)?;
        let mut error = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(socket) => return Ok(socket),
                Err(failed) => error = failed,
            }
        }
        Err(unreachable(error))
    }

    fn failed(&self, source: io::Error) -> ShellError {
        let address = self.address.clone();
        let of_tls = source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        match of_tls {
            true => ShellError::Unproved { address, server_name: self.server_name.clone(), source },
            false => ShellError::Broken { address, source },
        }
    }

    fn unexpected(&self, what: &str) -> ShellError {
        let source = io::Error::new(ErrorKind::InvalidData, format!("unexpected {what}"));
        ShellError::Broken { address: self.address.clone(), source }
    }

    /// Runs a shell to its end, and comes back to it when the connection breaks. `None` if the
    /// person left.
    pub fn shell(
        &self,
        request: &Request,
        input: Receiver<Input>,
        output: &mut dyn Write,
        on_lost: &mut dyn FnMut(&ShellError),
    ) -> Result<Option<End>, ShellError> {
        let mut size = TerminalSize { columns: 80, rows: 24 };
        if let Request::Shell { size: asked, .. } = request {
            size = *asked;
        }
        let mut link = self.ask(request)?;
        let shared = Arc::new(Mutex::new(Typing { to: None, size, left: false }));
        let theirs = Arc::downgrade(&shared);
        thread::spawn(move || type_in(&theirs, &input));
        let (mut session, mut seen_bytes) = (String::new(), 0);
        loop {
            let Answer::Shell { session: named, next_byte } = &link.answer else {
                return Err(self.unexpected("answer"));
            };
            if *next_byte > seen_bytes && !session.is_empty() {
                let lost = next_byte - seen_bytes;
                let told = write!(output, "\r\n[{lost} bytes of output were not kept]\r\n");
                told.map_err(|error| ShellError::Local("write to the terminal", error))?;
            }
            (session, seen_bytes) = (named.clone(), *next_byte);
            lock(&shared).to = Some(link.writer.clone());
            let error = match follow(&mut link.reader, output, &mut seen_bytes) {
                Ok(end) => return Ok(Some(end)),
                Err(Follow::Local(error)) => {
                    return Err(ShellError::Local("write to the terminal", error));
                }
                Err(Follow::Lost(error)) => self.failed(error),
            };
            let mut typing = lock(&shared);
            typing.to = None;
            if typing.left {
                return Ok(None);
            }
            drop(typing);
            on_lost(&error);
            match self.come_back(&shared, &session, seen_bytes)? {
                Some(again) => link = again,
                None => return Ok(None),
            }
        }
    }

    /// The same shell through a new connection; `None` if the person left.
    fn come_back(
        &self,
        typing: &Mutex<Typing>,
        session: &str,
        seen_bytes: u64,
    ) -> Result<Option<Link>, ShellError> {
        let mut backoff = Backoff::default();
        loop {
            thread::sleep(backoff.step());
            let (left, size) = {
                let typing = lock(typing);
                (typing.left, typing.size)
            };
            if left {
                return Ok(None);
            }
            let session = session.to_owned();
            match self.ask(&Request::Attach { session, seen_bytes, size }) {
                Err(error) if error.is_transient() => {}
                asked => return asked.map(Some),
            }
        }
    }

    /// Copies a file to the machine.
    pub fn put(&self, from: &mut dyn Read, path: &str, mode: u32) -> Result<(), ShellError> {
        let Link { mut reader, mut writer, answer } =
            self.ask(&Request::Put { path: path.to_owned(), mode })?;
        if answer != Answer::Ready {
            return Err(self.unexpected("answer"));
        }
        let mut chunk = vec![0; FRAME_BYTES_MAX];
        loop {
            let count = from.read(&mut chunk);
            let count = count.map_err(|error| ShellError::Local("read the file", error))?;
            let sent = match count {
                0 => write_frame(&mut writer, FrameKind::EndOfFile, b""),
                count => write_frame(&mut writer, FrameKind::Data, &chunk[..count]),
            };
            // If it stopped taking more it has said why.
            if sent.is_err() || count == 0 {
                break;
            }
        }
        let frame = next_frame(&mut reader).map_err(|error| self.failed(error))?;
        self.ended(&frame)
    }

    /// Copies a file of the machine. `begin` is told its length and mode and opens what it goes to.
    pub fn get(
        &self,
        path: &str,
        begin: &mut dyn FnMut(u64, u32) -> io::Result<Box<dyn Write>>,
    ) -> Result<(), ShellError> {
        let Link { mut reader, answer, writer: _writer } =
            self.ask(&Request::Get { path: path.to_owned() })?;
        let Answer::File { size_bytes, mode } = answer else {
            return Err(self.unexpected("answer"));
        };
        let local = |error| ShellError::Local("write the file", error);
        let mut to = begin(size_bytes, mode).map_err(local)?;
        loop {
            let frame = next_frame(&mut reader).map_err(|error| self.failed(error))?;
            match frame.kind {
                FrameKind::Data => to.write_all(&frame.content).map_err(local)?,
                FrameKind::EndOfFile => to.flush().map_err(local)?,
                _ => return self.ended(&frame),
            }
        }
    }

    fn ended(&self, frame: &Frame) -> Result<(), ShellError> {
        if frame.kind != FrameKind::End {
            return Err(self.unexpected("frame"));
        }
        let end: End = frame.json().map_err(|error| self.failed(error))?;
        match end.error {
            Some(reason) => Err(ShellError::Refused(reason)),
            None => Ok(()),
        }
    }
}

/// The next frame that is more than a sign of life.
fn next_frame(reader: &mut TlsReader) -> io::Result<Frame> {
    loop {
        let frame = read_frame(reader)?;
        if frame.kind != FrameKind::Ping {
            return Ok(frame);
        }
    }
}

enum Follow {
    Lost(io::Error),
    Local(io::Error),
}

/// Shows what comes until the shell ends.
fn follow(
    reader: &mut TlsReader,
    output: &mut dyn Write,
    seen_bytes: &mut u64,
) -> Result<End, Follow> {
    loop {
        let frame = next_frame(reader).map_err(Follow::Lost)?;
        match frame.kind {
            FrameKind::Data => {
                output.write_all(&frame.content).map_err(Follow::Local)?;
                output.flush().map_err(Follow::Local)?;
                *seen_bytes += frame.content.len() as u64;
            }
            FrameKind::End => return frame.json().map_err(Follow::Lost),
            kind => {
                let text = format!("unexpected {kind:?} frame");
                return Err(Follow::Lost(io::Error::new(ErrorKind::InvalidData, text)));
            }
        }
    }
}

/// Where what is typed goes.
struct Typing {
    /// Nowhere while there is no connection.
    to: Option<TlsWriter>,
    size: TerminalSize,
    left: bool,
}

/// Sends what is typed, and signs of life in between, until the shell has ended.
fn type_in(typing: &Weak<Mutex<Typing>>, input: &Receiver<Input>) {
    loop {
        let next = match input.recv_timeout(SIGN_OF_LIFE) {
            Ok(next) => Some(next),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // Nobody types any more, but somebody still waits for the end of the shell.
                thread::sleep(SIGN_OF_LIFE);
                None
            }
        };
        let Some(typing) = typing.upgrade() else { return };
        if !send(&typing, next) {
            return;
        }
    }
}

/// Waits for a connection and sends. False if the person left.
fn send(typing: &Mutex<Typing>, next: Option<Input>) -> bool {
    const PAUSE: Duration = Duration::from_millis(50);
    match next {
        Some(Input::Size(size)) => lock(typing).size = size,
        Some(Input::Leave) => {
            let mut typing = lock(typing);
            typing.left = true;
            if let Some(to) = &typing.to {
                to.close();
            }
            return false;
        }
        _ => {}
    }
    loop {
        let to = lock(typing).to.clone();
        let Some(mut to) = to else {
            if next.is_none() {
                return true;
            }
            thread::sleep(PAUSE);
            continue;
        };
        let sent = match &next {
            Some(Input::Bytes(bytes)) => bytes
                .chunks(FRAME_BYTES_MAX)
                .try_for_each(|part| write_frame(&mut to, FrameKind::Data, part)),
            Some(Input::Size(size)) => write_json(&mut to, FrameKind::Size, size),
            _ => write_frame(&mut to, FrameKind::Ping, b""),
        };
        // The reader finds out too, and looks for a new connection.
        if sent.is_ok() || next.is_none() {
            return true;
        }
        thread::sleep(PAUSE);
    }
}

fn lock(typing: &Mutex<Typing>) -> MutexGuard<'_, Typing> {
    typing.lock().unwrap_or_else(PoisonError::into_inner)
}
