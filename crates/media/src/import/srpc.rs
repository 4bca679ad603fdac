//! The wire protocol of Dominator's services, with their JSON coder.
//!
//! ```text
//! → CONNECT /_SRPC_/unsecured/JSON HTTP/1.0, an empty line
//! ← HTTP/1.0 200 Connected to Go SRPC, other headers, an empty line
//! → Service.Method newline               ← newline, or a line that says what is wrong
//! → JSON newline
//! ← newline JSON newline, or an error    a method that answers once
//! ← JSON newline, then what it says      a method that streams
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

const PATH: &str = "/_SRPC_/unsecured/JSON";
const CONNECTED: &str = "200 Connected to Go SRPC";
/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(10);
/// A line that is longer is no answer: a manifest of a million inodes has 300 MB.
const MAX_LINE_BYTES: u64 = 1 << 30;

/// A connection to a service.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn open(server: &str) -> Result<Self, String> {
        let said = |e: io::Error| e.to_string();
        let addresses = server.to_socket_addrs().map_err(said)?;
        let mut last = "its name has no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(SILENCE)).map_err(said)?;
                    stream.set_write_timeout(Some(SILENCE)).map_err(said)?;
                    let mut connection =
                        Self { stream: BufReader::with_capacity(256 << 10, stream) };
                    connection.greet()?;
                    return Ok(connection);
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }

    fn greet(&mut self) -> Result<(), String> {
        self.send(format!("CONNECT {PATH} HTTP/1.0\r\n\r\n").as_bytes())?;
        let status = self.line()?;
        if !status.contains(CONNECTED) {
            let cure = match status.split(' ').nth(1) {
                Some("405") => "; it wants TLS with a client's certificate, which is not supported",
                _ => "",
            };
            return Err(format!("it answered '{}'{cure}", status.trim()));
        }
        while !self.line()?.trim().is_empty() {}
        Ok(())
    }

    /// Asks a method that answers once.
    pub(super) fn ask<T: DeserializeOwned>(
        &mut self,
        method: &str,
        request: &impl Serialize,
    ) -> Result<T, String> {
        self.begin(method, request)?;
        self.accepted(method)?;
        self.message()
    }

    /// Asks a method that streams; its first message. What follows is in [`Self::bytes`].
    pub(super) fn stream<T: DeserializeOwned>(
        &mut self,
        method: &str,
        request: &impl Serialize,
    ) -> Result<T, String> {
        self.begin(method, request)?;
        self.message()
    }

    /// What a method streams.
    pub(super) fn bytes(&mut self) -> &mut impl Read {
        &mut self.stream
    }

    fn begin(&mut self, method: &str, request: &impl Serialize) -> Result<(), String> {
        self.send(format!("{method}\n").as_bytes())?;
        self.accepted(method)?;
        let mut json = serde_json::to_vec(request).map_err(|e| e.to_string())?;
        json.push(b'\n');
        self.send(&json)
    }

    /// An empty line means yes.
    fn accepted(&mut self, method: &str) -> Result<(), String> {
        match self.line()?.as_str() {
            "\n" => Ok(()),
            refusal => Err(format!("{method}: {}", refusal.trim())),
        }
    }

    fn message<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let line = self.line()?;
        serde_json::from_str(&line).map_err(|e| format!("its answer is not understood: {e}"))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        (&mut self.stream).take(MAX_LINE_BYTES).read_line(&mut line).map_err(|e| e.to_string())?;
        match line.ends_with('\n') {
            true => Ok(line),
            false => Err("it broke off".to_owned()),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.get_mut().write_all(bytes).map_err(|e| e.to_string())
    }
}
