//! One TLS connection whose two directions belong to two threads.
//!
//! rustls does the cryptography on bytes and knows no sockets. Whoever reads waits for the socket
//! without holding anything; the connection's state is locked only while bytes go through it. A
//! writer takes its turn at the socket first and encrypts then, so that records leave in their
//! order, and never waits for the socket with the state locked: two ends that both write much do not
//! stop each other.

use rustls::{ClientConnection, Connection, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The proof must be over by then.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// An end that takes nothing, or shows no sign of life, for longer has gone.
const STUCK: Duration = Duration::from_secs(20);
const CHUNK_BYTES: usize = 16 << 10;

/// What both directions share.
struct Shared {
    tls: Mutex<Connection>,
    /// Held while records go out.
    out: Mutex<TcpStream>,
}

/// The direction to here.
pub struct TlsReader {
    shared: Arc<Shared>,
    socket: TcpStream,
    /// What came and was not decrypted yet: rustls holds only so much that nobody has read.
    records: Vec<u8>,
}

/// The direction to there.
#[derive(Clone)]
pub struct TlsWriter {
    shared: Arc<Shared>,
}

/// Proves both ends and splits the connection.
pub fn connect(socket: TcpStream, tls: ClientConnection) -> io::Result<(TlsReader, TlsWriter)> {
    start(socket, tls.into())
}

/// The same for the end that listens.
pub fn accept(socket: TcpStream, tls: ServerConnection) -> io::Result<(TlsReader, TlsWriter)> {
    start(socket, tls.into())
}

fn start(mut socket: TcpStream, mut tls: Connection) -> io::Result<(TlsReader, TlsWriter)> {
    socket.set_read_timeout(Some(HANDSHAKE))?;
    socket.set_write_timeout(Some(HANDSHAKE))?;
    socket.set_nodelay(true)?;
    while tls.is_handshaking() || tls.wants_write() {
        // On an error rustls has an alert for the other end, which says why.
        if let Err(error) = tls.complete_io(&mut socket) {
            let _ = tls.write_tls(&mut socket);
            part(&mut socket);
            return Err(error);
        }
    }
    if tls.alpn_protocol().is_none() {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "the other end speaks another protocol",
        ));
    }
    socket.set_write_timeout(Some(STUCK))?;
    socket.set_read_timeout(Some(STUCK))?;
    let out = socket.try_clone()?;
    let shared = Arc::new(Shared { tls: Mutex::new(tls), out: Mutex::new(out) });
    let reader = TlsReader { shared: Arc::clone(&shared), socket, records: Vec::new() };
    Ok((reader, TlsWriter { shared }))
}

/// Lets the other end read the last word: what it has sent meanwhile would otherwise break the
/// connection under it.
fn part(socket: &mut TcpStream) {
    const REST_BYTES: u64 = 1 << 20;
    if socket.shutdown(Shutdown::Write).is_ok() {
        // It is of no interest, and bounded by the time limit of reading.
        let _ = io::copy(&mut socket.take(REST_BYTES), &mut io::sink());
    }
}

impl Read for TlsReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            match lock(&self.shared.tls).reader().read(to) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
            if self.records.is_empty() {
                let count = self.socket.read(&mut chunk)?;
                self.records.extend_from_slice(&chunk[..count]);
            }
            let mut rest = self.records.as_slice();
            let mut tls = lock(&self.shared.tls);
            // Of nothing it takes the end.
            tls.read_tls(&mut rest)?;
            let state = tls.process_new_packets();
            state.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            drop(tls);
            let taken = self.records.len() - rest.len();
            self.records.drain(..taken);
        }
    }
}

impl Write for TlsWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = lock(&self.shared.out);
        let mut records = Vec::with_capacity(bytes.len() + 256);
        let mut tls = lock(&self.shared.tls);
        // All of it at once: what two threads write does not get mixed.
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = tls.writer().write(rest)?;
            rest = &rest[count..];
            while tls.wants_write() {
                tls.write_tls(&mut records)?;
            }
        }
        drop(tls);
        out.write_all(&records)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsWriter {
    /// Says that no more comes, and ends both directions.
    pub fn close(&self) {
        let mut out = lock(&self.shared.out);
        let mut records = Vec::new();
        let mut tls = lock(&self.shared.tls);
        tls.send_close_notify();
        while tls.wants_write() && tls.write_tls(&mut records).is_ok() {}
        drop(tls);
        // The other end may have gone; then nobody misses the word.
        let _ = out.write_all(&records);
        let _ = out.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
