//! Processes as PID 1 sees them: it starts few, waits for all, and ends the machine.

use super::{failed, failed_io};
use crate::HostError;
use rustix::process::{WaitOptions, wait};
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its id.
    pub pid: u32,
    /// Exit status; 128 plus the signal's number if one ended it.
    pub status: i32,
}

/// How the machine goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Through the firmware.
    Reboot,
    /// Into the kernel that kexec(8) has loaded; through the firmware if that fails.
    Kexec,
    /// Off.
    Off,
}

/// Starts a program with the standard streams of this one. Its id; [`poll_ended`] tells its end.
pub fn start(program: &str, args: &[&str]) -> Result<u32, HostError> {
    let child = Command::new(program).args(args).spawn();
    child.map(|child| child.id()).map_err(failed_io("start", program))
}

/// Starts a program on a terminal.
pub fn start_on(terminal: &str, program: &str, args: &[&str]) -> Result<u32, HostError> {
    let open = || OpenOptions::new().read(true).write(true).open(terminal);
    let stream = || open().map_err(failed_io("open", terminal));
    let mut command = Command::new(program);
    command.args(args).stdin(stream()?).stdout(stream()?).stderr(stream()?);
    command.spawn().map(|child| child.id()).map_err(failed_io("start", program))
}

/// Starts a program that shows nothing and reads nothing, with its output in a file.
pub fn start_logged(program: &str, args: &[&str], log: &str) -> Result<u32, HostError> {
    let file = File::create(log).map_err(failed_io("write", log))?;
    let again = file.try_clone().map_err(failed_io("write", log))?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(file).stderr(again);
    command.spawn().map(|child| child.id()).map_err(failed_io("start", program))
}

/// A child that has ended, own or inherited; `None` if none has.
pub fn poll_ended() -> Option<Ended> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let signal = status.terminating_signal().map(|signal| 128 + signal);
                // Neither means stopped or continued, which nobody asked to hear of.
                let Some(status) = status.exit_status().or(signal) else { continue };
                return Some(Ended { pid: pid.as_raw_nonzero().get().unsigned_abs(), status });
            }
            Err(rustix::io::Errno::INTR) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Runs a program to its end, for processes other than PID 1. Its exit status.
pub fn run(program: &str, args: &[&str]) -> Result<i32, HostError> {
    let status = Command::new(program).args(args).stdin(Stdio::null()).status();
    let status = status.map_err(failed_io("start", program))?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// Gives the machine a name until it restarts.
pub fn set_host_name(name: &str) -> Result<(), HostError> {
    rustix::system::sethostname(name.as_bytes()).map_err(failed("set host name", name))
}

/// Writes everything to the disks and ends the machine. Returns only if the kernel refuses.
pub fn power(how: Power) -> Result<(), HostError> {
    use rustix::system::{RebootCommand, reboot};
    rustix::fs::sync();
    let command = match how {
        Power::Kexec if reboot(RebootCommand::Kexec).is_err() => RebootCommand::Restart,
        Power::Reboot | Power::Kexec => RebootCommand::Restart,
        Power::Off => RebootCommand::PowerOff,
    };
    reboot(command).map_err(failed("end", "the machine"))
}

/// True if kexec(8) has loaded a kernel that [`Power::Kexec`] would start.
pub fn has_loaded_kernel() -> bool {
    let loaded = std::fs::read_to_string("/sys/kernel/kexec_loaded");
    loaded.is_ok_and(|text| text.trim() == "1")
}

/// Milliseconds since the kernel started.
pub fn uptime_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}
