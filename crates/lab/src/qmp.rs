//! QEMU's control socket (QMP, docs/interop/qmp-spec in QEMU's manual): one command, one answer.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A connection to a running QEMU.
pub struct Qmp {
    socket: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects, waiting up to 10 s for QEMU to open its socket.
    pub fn connect(path: &Path) -> Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let socket = loop {
            match UnixStream::connect(path) {
                Ok(socket) => break socket,
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50))
                }
                Err(error) => return Err(error).context("QEMU does not open its control socket"),
            }
        };
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut qmp = Self { socket: BufReader::new(socket) };
        qmp.read()?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns what it answers.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.socket.get_mut(), "{request}")?;
        loop {
            let mut message = self.read()?;
            if let Some(error) = message.get("error") {
                bail!("QEMU refuses {command}: {}", error["desc"].as_str().unwrap_or_default());
            }
            // Events may come in between.
            if message.get("return").is_some() {
                return Ok(message["return"].take());
            }
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.socket.read_line(&mut line)? == 0 {
            bail!("QEMU closed its control socket");
        }
        serde_json::from_str(&line).context("QEMU speaks no JSON")
    }
}
