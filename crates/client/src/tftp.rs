//! A small TFTP client (RFC 1350, options of RFC 2347 to 2349): for sites whose configuration files
//! lie on a TFTP server.
//!
//! ```text
//! here                              server, port 69            server, port of the transfer
//!   RRQ name octet blksize tsize ─────►
//!   ◄───────────────────────────────────────────── OACK, or DATA 1, or ERROR code text
//!   ACK 0 ────────────────────────────────────────────────►
//!   ◄───────────────────────────────────────────────────── DATA 1 … last is a short one
//! ```
//!
//! A file that is not there is recognised by the error's code; servers write what they like beside
//! it. tftpd-hpa says so with code 1, and some say code 0 or 2 for the same: those are refusals.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use thiserror::Error;

/// What fits into an Ethernet frame.
const BLOCK_BYTES: usize = 1428;
/// Without options (RFC 1350).
const PLAIN_BLOCK_BYTES: usize = 512;
/// One packet is waited for this long, and asked for again this often.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: u32 = 5;
/// Error codes of RFC 1350 and RFC 2347.
const NOT_FOUND: u16 = 1;
const OPTIONS_REFUSED: u16 = 8;

/// Why there is no file.
#[derive(Debug, Error)]
pub enum TftpError {
    /// The server has no such file.
    #[error("tftp://{server}/{name} is not there")]
    NotFound {
        /// Whom we asked.
        server: SocketAddr,
        /// For what.
        name: String,
    },
    /// The server said something else.
    #[error("tftp://{server}/{name} was refused with error {code}: {text}")]
    Refused {
        /// Whom we asked.
        server: SocketAddr,
        /// For what.
        name: String,
        /// RFC 1350, appendix.
        code: u16,
        /// In the server's words.
        text: String,
    },
    /// No answer, time after time.
    #[error("no answer for tftp://{server}/{name}")]
    Silent {
        /// Whom we asked.
        server: SocketAddr,
        /// For what.
        name: String,
    },
    /// The file is longer than allowed, or the packets make no sense.
    #[error("tftp://{server}/{name} cannot be taken: {reason}")]
    Bad {
        /// Whom we asked.
        server: SocketAddr,
        /// For what.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The network does not let us.
    #[error("cannot ask {server} by TFTP")]
    Socket {
        /// Whom we asked.
        server: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl TftpError {
    /// True if the same request may well succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Socket { .. })
    }
}

/// The file `name` of `server`, at most `longest_bytes` long.
pub fn fetch(server: SocketAddr, name: &str, longest_bytes: usize) -> Result<Vec<u8>, TftpError> {
    match Transfer::start(server, name, longest_bytes)?.run(true) {
        // An old server that takes options for a mistake, instead of leaving them out.
        Err(TftpError::Refused { code: OPTIONS_REFUSED, .. }) => {
            Transfer::start(server, name, longest_bytes)?.run(false)
        }
        done => done,
    }
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
enum Packet<'a> {
    Data { block: u16, bytes: &'a [u8] },
    Options { block_bytes: Option<usize>, size_bytes: Option<usize> },
    Error { code: u16, text: String },
}

impl<'a> Packet<'a> {
    /// `None` for what is no packet of a transfer to here.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let number = || Some(u16::from_be_bytes(*rest.first_chunk()?));
        match u16::from_be_bytes(*head) {
            3 => Some(Self::Data { block: number()?, bytes: &rest[2..] }),
            5 => {
                let text = rest.get(2..)?.split(|byte| *byte == 0).next().unwrap_or_default();
                let text = String::from_utf8_lossy(text).into_owned();
                Some(Self::Error { code: number()?, text })
            }
            6 => {
                let words: Vec<_> = rest.split(|byte| *byte == 0).collect();
                let value = |name: &str| {
                    let mut pairs = words.chunks_exact(2);
                    let pair = pairs.find(|pair| pair[0].eq_ignore_ascii_case(name.as_bytes()))?;
                    std::str::from_utf8(pair[1]).ok()?.parse().ok()
                };
                Some(Self::Options { block_bytes: value("blksize"), size_bytes: value("tsize") })
            }
            _ => None,
        }
    }
}

struct Transfer<'a> {
    socket: UdpSocket,
    server: SocketAddr,
    /// The port of the transfer, once the server has answered.
    peer: Option<SocketAddr>,
    name: &'a str,
    longest_bytes: usize,
}

impl<'a> Transfer<'a> {
    fn start(server: SocketAddr, name: &'a str, longest_bytes: usize) -> Result<Self, TftpError> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any).map_err(|source| TftpError::Socket { server, source })?;
        Ok(Self { socket, server, peer: None, name, longest_bytes })
    }

    fn run(&mut self, with_options: bool) -> Result<Vec<u8>, TftpError> {
        let mut sent = self.request(with_options);
        let mut block_bytes = PLAIN_BLOCK_BYTES;
        let (mut content, mut expected) = (Vec::new(), 1u16);
        let mut buffer = vec![0; 65_536];
        loop {
            let count = self.exchange(&sent, &mut buffer, expected)?;
            match Packet::read(&buffer[..count]) {
                Some(Packet::Data { block, bytes }) if block == expected => {
                    self.check_length(content.len() + bytes.len())?;
                    content.extend_from_slice(bytes);
                    sent = acknowledgement(block);
                    expected = expected.wrapping_add(1);
                    if bytes.len() < block_bytes {
                        // If it is lost the server sends the last block again, to nobody.
                        let _ = self.send(&sent);
                        return Ok(content);
                    }
                }
                Some(Packet::Options { block_bytes: agreed, size_bytes }) => {
                    self.check_length(size_bytes.unwrap_or(0))?;
                    block_bytes = agreed.unwrap_or(PLAIN_BLOCK_BYTES);
                    if !(8..=BLOCK_BYTES).contains(&block_bytes) {
                        return Err(self.bad(format!("blocks of {block_bytes} bytes")));
                    }
                    sent = acknowledgement(0);
                }
                Some(Packet::Error { code, text }) => return Err(self.refused(code, text)),
                _ => return Err(self.bad("a packet makes no sense".to_owned())),
            }
        }
    }

    /// Sends a packet until the next one comes that matters. Its length.
    fn exchange(
        &mut self,
        sent: &[u8],
        buffer: &mut [u8],
        expected: u16,
    ) -> Result<usize, TftpError> {
        for _ in 0..TRIES {
            self.send(sent)?;
            let until = Instant::now() + PATIENCE;
            while let Some(count) = self.receive(buffer, until)? {
                // A block that came again is not answered: each answer would make another one.
                let old = matches!(Packet::read(&buffer[..count]),
                    Some(Packet::Data { block, .. }) if block != expected);
                if !old {
                    return Ok(count);
                }
            }
        }
        Err(TftpError::Silent { server: self.server, name: self.name.to_owned() })
    }

    /// One packet of this transfer; `None` if none comes in time.
    fn receive(&mut self, buffer: &mut [u8], until: Instant) -> Result<Option<usize>, TftpError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let received = self.socket.set_read_timeout(Some(left));
            match received.and_then(|()| self.socket.recv_from(buffer)) {
                Ok((count, from)) => {
                    let known = self.peer.map_or(from.ip() == self.server.ip(), |it| it == from);
                    if known {
                        self.peer = Some(from);
                        return Ok(Some(count));
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(None),
                    ErrorKind::Interrupted => {}
                    // The word of a port where nobody listens; somebody may soon.
                    ErrorKind::ConnectionRefused => return Ok(None),
                    _ => return Err(TftpError::Socket { server: self.server, source: error }),
                },
            }
        }
    }

    fn send(&self, packet: &[u8]) -> Result<(), TftpError> {
        let sent = self.socket.send_to(packet, self.peer.unwrap_or(self.server));
        sent.map(drop).map_err(|source| TftpError::Socket { server: self.server, source })
    }

    fn request(&self, with_options: bool) -> Vec<u8> {
        let block_bytes = BLOCK_BYTES.to_string();
        let mut words = vec![self.name, "octet"];
        if with_options {
            words.extend(["blksize", &block_bytes, "tsize", "0"]);
        }
        let mut packet = vec![0, 1];
        for word in words {
            packet.extend(word.as_bytes());
            packet.push(0);
        }
        packet
    }

    fn check_length(&self, length: usize) -> Result<(), TftpError> {
        match length > self.longest_bytes {
            true => Err(self.bad(format!("it is longer than {} bytes", self.longest_bytes))),
            false => Ok(()),
        }
    }

    fn refused(&self, code: u16, text: String) -> TftpError {
        let (server, name) = (self.server, self.name.to_owned());
        match code {
            NOT_FOUND => TftpError::NotFound { server, name },
            _ => TftpError::Refused { server, name, code, text },
        }
    }

    fn bad(&self, reason: String) -> TftpError {
        TftpError::Bad { server: self.server, name: self.name.to_owned(), reason }
    }
}

fn acknowledgement(block: u16) -> Vec<u8> {
    let [high, low] = block.to_be_bytes();
    vec![0, 4, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A server that answers one request with `answers`, each to one packet.
    fn server(answers: Vec<Vec<u8>>) -> (SocketAddr, thread::JoinHandle<Vec<Vec<u8>>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut heard, mut buffer) = (Vec::new(), [0; 2000]);
            for answer in answers {
                let (count, from) = socket.recv_from(&mut buffer).unwrap();
                heard.push(buffer[..count].to_vec());
                socket.send_to(&answer, from).unwrap();
            }
            heard
        });
        (address, thread)
    }

    fn error(code: u8, text: &str) -> Vec<u8> {
        [&[0, 5, 0, code][..], text.as_bytes(), &[0]].concat()
    }

    #[test]
    fn a_missing_file_is_known_by_its_code_whatever_the_text() {
        for text in ["File not found", "does not exist", "nix da", ""] {
            let (address, _) = server(vec![error(1, text)]);
            let found = fetch(address, "tools-imagename", 100);
            assert!(matches!(found, Err(TftpError::NotFound { .. })), "{text}: {found:?}");
        }
        let (address, _) = server(vec![error(2, "file does not exist")]);
        let refused = fetch(address, "x", 100).unwrap_err();
        assert!(matches!(refused, TftpError::Refused { code: 2, .. }), "{refused}");
    }

    #[test]
    fn options_are_agreed_on_or_done_without() {
        let oack = b"\0\x06blksize\x0016\0tsize\x0020\0".to_vec();
        let first = [&[0, 3, 0, 1][..], b"0123456789abcdef"].concat();
        let last = [&[0, 3, 0, 2][..], b"ghij"].concat();
        let (address, heard) = server(vec![oack, first, last]);
        assert_eq!(fetch(address, "f", 100).unwrap(), b"0123456789abcdefghij");
        assert_eq!(heard.join().unwrap()[1], [0, 4, 0, 0]);
        let plain = [&[0, 3, 0, 1][..], b"short"].concat();
        let (address, heard) = server(vec![error(8, "no options"), plain]);
        assert_eq!(fetch(address, "f", 100).unwrap(), b"short");
        assert_eq!(heard.join().unwrap()[1], b"\0\x01f\0octet\0");
    }

    #[test]
    fn a_file_that_is_too_long_is_not_taken() {
        let (address, _) = server(vec![b"\0\x06tsize\x00101\0".to_vec()]);
        let error = fetch(address, "f", 100).unwrap_err();
        assert!(error.to_string().ends_with("longer than 100 bytes"), "{error}");
        let (address, _) = server(vec![[&[0, 3, 0, 1][..], &[b'x'; 101]].concat()]);
        assert!(matches!(fetch(address, "f", 100), Err(TftpError::Bad { .. })));
    }
}
