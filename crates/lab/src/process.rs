//! Processes of the lab: each ends with the lab, and writes to a log that outlives it.

use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A process in the background. Dropping it kills it.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to `log`.
    ///
    /// The kernel kills it when the thread that started it ends: setpriv(1) asks for that, because
    /// a lab that is killed can clean up nothing itself.
    pub fn start(words: &[String], log: &Path) -> Result<Self> {
        let name = words.first().context("a process without a program")?.clone();
        let out = File::options().create(true).append(true).open(log);
        let out = out.with_context(|| format!("cannot write {}", log.display()))?;
        let child = bound(words)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name, log: log.to_owned() })
    }

    /// Fails with the end of the log if the process has ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}):\n{}", self.name, tail(&self.log, 20)),
        }
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// Its memory: resident now, and at its peak so far.
    pub fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Memory::from_status(&text).with_context(|| format!("{path} has no VmRSS and VmHWM"))
    }
}

/// Memory of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Resident now.
    pub resident_bytes: u64,
    /// Resident at the peak.
    pub peak_bytes: u64,
}

impl Memory {
    /// Reads `/proc/PID/status`, proc(5).
    fn from_status(text: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        Some(Self { resident_bytes: bytes("VmRSS:")?, peak_bytes: bytes("VmHWM:")? })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that the kernel kills when the thread that starts it ends.
pub fn bound(words: &[String]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).args(words);
    command
}

/// The last `count` lines of a file, or why there are none.
pub fn tail(path: &Path, count: usize) -> String {
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(count)..].join("\n")
        }
        Err(error) => format!("({}: {error})", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_the_kernel_says() {
        let dir = tempfile::TempDir::new().expect("tempdir");
        let words = ["sleep", "60"].map(str::to_owned);
        let process = Process::start(&words, &dir.path().join("log")).expect("start");
        let memory = process.memory().expect("memory");
        assert!(0 < memory.resident_bytes && memory.resident_bytes <= memory.peak_bytes);
        let status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n";
        let want = Memory { resident_bytes: 1 << 20, peak_bytes: 2 << 20 };
        assert_eq!(Memory::from_status(status), Some(want));
        assert_eq!(Memory::from_status("Name:\tzombie\n"), None);
    }
}
