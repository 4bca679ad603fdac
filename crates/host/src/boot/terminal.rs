//! A pseudo terminal with a program on it: the machine's end of the remote shell.

use super::{failed, failed_io};
use crate::HostError;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};

const PTMX: &str = "/dev/ptmx";

/// A program on a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    main: File,
    child: Child,
}

/// A second hold on a terminal, for another thread.
#[derive(Debug)]
pub struct TerminalEnd(File);

impl Terminal {
    /// Starts `program`, which must make the terminal its own (setsid(1) with `--ctty`), with
    /// nothing but `env` in its environment.
    pub fn start(
        program: &str,
        args: &[&str],
        env: &[(&str, &str)],
        columns: u16,
        rows: u16,
    ) -> Result<Self, HostError> {
        let no_terminal = |errno| failed("open a terminal at", PTMX)(errno);
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let main = openpt(flags).map_err(no_terminal)?;
        grantpt(&main).and_then(|()| unlockpt(&main)).map_err(no_terminal)?;
        let name = ptsname(&main, Vec::new()).map_err(no_terminal)?;
        let name = name.to_string_lossy().into_owned();
        let main = File::from(main);
        set_size(&main, columns, rows)?;
        let mut options = OpenOptions::new();
        // Not to become the terminal of this program.
        options.read(true).write(true).custom_flags(libc::O_NOCTTY);
        let side = || options.open(&name).map_err(failed_io("open", &name));
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(env.iter().copied());
        command.stdin(side()?).stdout(side()?).stderr(side()?);
        let child = command.spawn().map_err(failed_io("start", program))?;
        Ok(Self { main, child })
    }

    /// Another hold on the terminal.
    pub fn end(&self) -> Result<TerminalEnd, HostError> {
        self.main.try_clone().map(TerminalEnd).map_err(failed_io("open", PTMX))
    }

    /// Waits for the program. Its exit status; 128 plus the signal's number if one ended it.
    pub fn wait(mut self) -> Result<i32, HostError> {
        let status = self.child.wait().map_err(failed_io("wait for", "the shell"))?;
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    }

    /// The id of the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl TerminalEnd {
    /// What the program shows. 0 bytes once nothing has the terminal open any more.
    pub fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.0.read(to) {
            // How Linux says that the other side is closed.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(0),
            done => done,
        }
    }

    /// Types.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// The window has this size now.
    pub fn set_size(&self, columns: u16, rows: u16) -> Result<(), HostError> {
        set_size(&self.0, columns, rows)
    }
}

/// Tells a session leader, and by it what runs in its session, that its terminal is gone.
pub fn hang_up(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // Whoever has ended meanwhile needs no telling.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::HUP);
    }
}

fn set_size(main: &File, columns: u16, rows: u16) -> Result<(), HostError> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(main, size).map_err(failed("set the size of", "a terminal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(terminal: &Terminal) -> String {
        let mut end = terminal.end().unwrap();
        let (mut shown, mut chunk) = (Vec::new(), [0; 1000]);
        loop {
            match end.read(&mut chunk).unwrap() {
                0 => return String::from_utf8_lossy(&shown).into_owned(),
                count => shown.extend(&chunk[..count]),
            }
        }
    }

    #[test]
    fn a_program_has_a_terminal_of_its_own_with_a_size_and_a_status() {
        let script = "tty; stty size; echo $TERM; test -t 0 && exit 7";
        let args = ["--ctty", "--wait", "sh", "-c", script];
        let env = [("TERM", "vt220"), ("PATH", "/usr/bin:/bin")];
        let terminal = Terminal::start("setsid", &args, &env, 132, 43).unwrap();
        let text = shown(&terminal);
        assert!(text.starts_with("/dev/pts/"), "{text}");
        assert!(text.contains("43 132\r\nvt220\r\n"), "{text}");
        assert_eq!(terminal.wait().unwrap(), 7);
    }

    #[test]
    fn typing_and_a_new_size_reach_the_program() {
        let env = [("PATH", "/usr/bin:/bin")];
        let script = "read line; stty size; echo \"<$line>\"";
        let args = ["--ctty", "--wait", "sh", "-c", script];
        let terminal = Terminal::start("setsid", &args, &env, 80, 24).unwrap();
        let mut end = terminal.end().unwrap();
        end.set_size(100, 50).unwrap();
        end.write_all(b"hello\n").unwrap();
        let text = shown(&terminal);
        assert!(text.ends_with("50 100\r\n<hello>\r\n"), "{text}");
        assert_eq!(terminal.wait().unwrap(), 0);
    }

    #[test]
    fn hanging_up_ends_the_program() {
        let env = [("PATH", "/usr/bin:/bin")];
        let args = ["--ctty", "sleep", "60"];
        let terminal = Terminal::start("setsid", &args, &env, 80, 24).unwrap();
        hang_up(terminal.pid());
        assert_eq!(terminal.wait().unwrap(), 128 + 1);
    }
}
