//! A person at a machine's serial console: types lines, and reads what comes.

use anyhow::{Context as _, Result, bail};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A connection to a serial port. What the machine wrote before it is not heard.
pub struct Terminal {
    socket: UnixStream,
    heard: String,
}

impl Terminal {
    /// Connects to QEMU's socket.
    pub fn connect(path: &Path) -> Result<Self> {
        let socket = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(Self { socket, heard: String::new() })
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.socket, "{line}")?)
    }

    /// Waits until the machine has written `wanted` in a line of its own.
    pub fn expect_line(&mut self, wanted: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut bytes = [0; 4096];
        while !self.has_line(wanted) {
            match self.socket.read(&mut bytes) {
                Ok(0) => bail!("the machine's serial port was closed"),
                Ok(count) => self.heard.push_str(&String::from_utf8_lossy(&bytes[..count])),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("cannot read the serial port"),
            }
            if Instant::now() > deadline {
                bail!("no line '{wanted}' within {} s, but: {}", limit.as_secs(), self.heard);
            }
        }
        Ok(())
    }

    /// A shell may write what is for the terminal only before an answer, and then return to the
    /// beginning of the line.
    fn has_line(&self, wanted: &str) -> bool {
        let shown = |line: &str| line.trim_end().rsplit('\r').next() == Some(wanted);
        self.heard.split('\n').any(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    #[test]
    fn a_shell_behind_a_socket_answers() {
        let dir = tempfile::TempDir::new().expect("tempdir");
        let path = dir.path().join("serial.sock");
        let listener = UnixListener::bind(&path).expect("bind");
        let mut terminal = Terminal::connect(&path).expect("connect");
        let (far, _) = listener.accept().expect("accept");
        let far = std::os::fd::OwnedFd::from(far);
        let mut shell = Command::new("sh")
            .stdin(Stdio::from(far.try_clone().expect("clone")))
            .stdout(Stdio::from(far))
            .spawn()
            .expect("sh");
        terminal.type_line("echo $((40+2))").expect("type");
        terminal.expect_line("42", Duration::from_secs(10)).expect("42");
        assert!(terminal.expect_line("43", Duration::ZERO).is_err());
        terminal.type_line("exit").expect("type");
        shell.wait().expect("wait");
        assert!(terminal.expect_line("44", Duration::from_secs(10)).is_err(), "it is closed");
    }
}
