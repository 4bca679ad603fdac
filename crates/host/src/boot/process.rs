//! Processes as PID 1 sees them: it starts few, waits for all, and ends the machine.

use super::{failed, failed_io};
use crate::HostError;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, wait};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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

/// What a program that ran to its end said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Exit status; 128 plus the signal's number if one ended it.
    pub status: i32,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

/// Runs a program to its end, for processes other than PID 1, with `input` on its standard input and
/// `env` beside its environment. After `limit` it is killed, and its status is 128 + 9.
pub fn run_with(
    program: &str,
    args: &[&str],
    env: &[(&str, &str)],
    input: &[u8],
    limit: Duration,
) -> Result<Said, HostError> {
    // Files, not pipes: what a program leaves running in the background can hold nobody up.
    let scratch = || memory_file().map_err(failed_io("make a file for", program));
    let (mut stdin, mut stdout, mut stderr) = (scratch()?, scratch()?, scratch()?);
    let begun = stdin.write_all(input).and_then(|()| stdin.rewind());
    begun.map_err(failed_io("write the input of", program))?;
    let again = |file: &File| file.try_clone().map_err(failed_io("open a file for", program));
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().copied()).process_group(0);
    command.stdin(stdin).stdout(again(&stdout)?).stderr(again(&stderr)?);
    let mut child = command.spawn().map_err(failed_io("start", program))?;
    let status = wait_for(&mut child, limit).map_err(failed_io("wait for", program))?;
    let output = text(&mut stdout).map_err(failed_io("read the output of", program))?;
    let errors = text(&mut stderr).map_err(failed_io("read the output of", program))?;
    Ok(Said { status, output, errors })
}

fn memory_file() -> std::io::Result<File> {
    Ok(File::from(memfd_create("said", MemfdFlags::CLOEXEC)?))
}

fn text(file: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn wait_for(child: &mut Child, limit: Duration) -> std::io::Result<i32> {
    const PAUSE: Duration = Duration::from_millis(20);
    let until = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        }
        if Instant::now() >= until {
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            group.map(|group| kill_process_group(group, Signal::KILL));
            child.wait()?;
            return Ok(128 + 9);
        }
        thread::sleep(PAUSE);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_hears_and_says_and_cannot_take_for_ever() {
        let minute = Duration::from_secs(60);
        let script = "cat; echo \"$WORD $1\" >&2; exit 3";
        let args = ["-c", script, "sh", "arg"];
        let said = run_with("sh", &args, &[("WORD", "hello")], b"input", minute).unwrap();
        let expected =
            Said { status: 3, output: "input".to_owned(), errors: "hello arg\n".to_owned() };
        assert_eq!(said, expected);
        let short = Duration::from_millis(50);
        let said = run_with("sh", &["-c", "sleep 60; :"], &[], b"", short).unwrap();
        assert_eq!(said.status, 137);
        let said = run_with("sh", &["-c", "sleep 5 & echo left"], &[], b"", minute).unwrap();
        assert_eq!((said.status, said.output.as_str()), (0, "left\n"));
        let error = run_with("/no/program", &[], &[], b"", short).unwrap_err();
        assert_eq!(error.to_string(), "cannot start /no/program");
    }
}
