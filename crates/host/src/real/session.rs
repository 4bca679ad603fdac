//! The long-lived bash that FAI's sourced files share, and the private protocol to it.
//!
//! User code may print anything, redirect its streams, leave processes behind that hold them, or
//! exit: requests and replies therefore have a socket of their own, and the end of the shell is
//! seen by its process id, never by the end of a pipe. `session.sh` is the other side.

use super::lines::Capture;
use super::process::{find_program, pidfd, poll_all, status_code};
use crate::command::quote;
use crate::{HostError, OnLine, ShellReply, ShellRequest, Tool};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DRIVER: &str = include_str!("session.sh");
/// Longest wait for a shell that does not read its request, and for one that is told to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Variables that bash itself keeps.
const OWN_VARS: [&str; 4] = ["_", "PWD", "OLDPWD", "SHLVL"];

/// A running bash. Dropping it ends it.
pub(super) struct Session {
    child: Child,
    ended: OwnedFd,
    socket: Option<UnixStream>,
    capture: Capture,
    received: Vec<u8>,
    number: u64,
}

/// One request as the driver reads it.
struct Fields<'a> {
    verb: &'static str,
    dir: &'a str,
    text: &'a str,
    args: &'a [String],
}

impl Fields<'_> {
    fn encode(&self, number: u64) -> Result<Vec<u8>, HostError> {
        let (number, count) = (number.to_string(), self.args.len().to_string());
        let mut bytes = Vec::new();
        let fixed = [number.as_str(), self.verb, self.dir, self.text, count.as_str()];
        for field in fixed.into_iter().chain(self.args.iter().map(String::as_str)) {
            if field.contains('\0') {
                let source = io::Error::new(io::ErrorKind::InvalidInput, "it holds a NUL byte");
                return Err(HostError::Io { operation: "run", path: self.shown(), source });
            }
            bytes.extend_from_slice(field.as_bytes());
            bytes.push(0);
        }
        Ok(bytes)
    }

    /// The request for error messages, in a form to paste.
    fn shown(&self) -> String {
        let words: Vec<String> = match self.verb {
            "source" => vec![".".to_owned(), quote(self.text)],
            "execute" => std::iter::once(quote(self.text))
                .chain(self.args.iter().map(|a| quote(a)))
                .collect(),
            _ => vec!["bash".to_owned(), "-c".to_owned(), quote(self.text)],
        };
        format!("cd {} && {}", quote(self.dir), words.join(" "))
    }
}

/// Carries out one request; `session` is the shell that is running, if one is.
pub(super) fn talk(
    session: &mut Option<Session>,
    request: &ShellRequest,
    on_line: OnLine<'_>,
) -> Result<ShellReply, HostError> {
    let none: &[String] = &[];
    let (fields, keeps_stdout) = match request {
        ShellRequest::Start { env, prelude } => {
            *session = None;
            *session = Some(Session::start(env)?);
            (Fields { verb: "prelude", dir: "/", text: prelude, args: none }, true)
        }
        ShellRequest::Eval { script, dir } => {
            (Fields { verb: "eval", dir, text: script, args: none }, true)
        }
        ShellRequest::Source { path, dir, trace } => {
            (Fields { verb: "source", dir, text: path, args: none }, !trace)
        }
        ShellRequest::Execute { path, args, dir } => {
            (Fields { verb: "execute", dir, text: path, args }, true)
        }
    };
    if !std::path::Path::new(fields.dir).is_dir() {
        let source = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(HostError::Io { operation: "enter", path: fields.dir.to_owned(), source });
    }
    let Some(running) = session else {
        let source = io::Error::new(io::ErrorKind::NotConnected, "the shell is not running");
        return Err(HostError::Io { operation: "run", path: fields.shown(), source });
    };
    let answer = running.ask(&fields, on_line);
    if answer.is_err() {
        *session = None;
    }
    let mut reply = answer?;
    if !keeps_stdout {
        reply.stdout.clear();
    }
    Ok(reply)
}

impl Session {
    fn start(env: &BTreeMap<String, String>) -> Result<Self, HostError> {
        let failed = |source| HostError::Io { operation: "start", path: "bash".to_owned(), source };
        let (program, package) = (Tool::Bash.program(), Tool::Bash.package());
        let path = find_program("/", program).ok_or(HostError::MissingTool { program, package })?;
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        ours.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut child = Command::new(path)
            .args(["--noprofile", "--norc", "-c", DRIVER, "hostwright"])
            .env_clear()
            .envs(env)
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let out = child.stdout.take().expect("invariant: stdout is a pipe");
        let err = child.stderr.take().expect("invariant: stderr is a pipe");
        let ended = pidfd(&child).map_err(failed)?;
        let capture = Capture::new(out.into(), err.into()).map_err(failed)?;
        Ok(Self { child, ended, socket: Some(ours), capture, received: Vec::new(), number: 0 })
    }

    fn ask(&mut self, fields: &Fields<'_>, on_line: OnLine<'_>) -> Result<ShellReply, HostError> {
        let failed = |source| HostError::Io { operation: "run", path: fields.shown(), source };
        self.number += 1;
        let request = fields.encode(self.number)?;
        // A shell that is gone cannot read; the loop below then finds its status.
        let sent = self.socket().write_all(&request);
        loop {
            let (has_ended, replied) = self.wait().map_err(failed)?;
            self.capture.read_once(on_line).map_err(failed)?;
            let reply = if replied { self.receive().map_err(failed)? } else { None };
            if let Some((status, vars)) = reply {
                self.capture.finish(on_line).map_err(failed)?;
                return Ok(ShellReply { status, stdout: self.capture.take().0, vars });
            }
            if has_ended {
                self.capture.finish(on_line).map_err(failed)?;
                let status = status_code(self.child.wait().map_err(failed)?);
                let (command, output) = (fields.shown(), self.capture.take().1);
                return Err(HostError::Failed { command, status, output });
            }
            if let Err(error) = sent {
                return Err(failed(error));
            }
        }
    }

    fn socket(&mut self) -> &mut UnixStream {
        self.socket.as_mut().expect("invariant: the socket is open until the session is dropped")
    }

    /// Waits for anything to do. Whether the shell has ended, whether there is something to read.
    fn wait(&mut self) -> io::Result<(bool, bool)> {
        let socket = self.socket.as_ref().expect("invariant: open until the session is dropped");
        let mut fds =
            vec![PollFd::new(&self.ended, PollFlags::IN), PollFd::new(socket, PollFlags::IN)];
        fds.extend(self.capture.open_fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        poll_all(&mut fds)?;
        Ok((!fds[0].revents().is_empty(), !fds[1].revents().is_empty()))
    }

    /// Reads what is there; the reply if it is complete now.
    fn receive(&mut self) -> io::Result<Option<(i32, BTreeMap<String, String>)>> {
        let mut buffer = [0; 16 * 1024];
        let count = match self.socket().read(&mut buffer) {
            Ok(count) => count,
            // The shell died with unread requests; its status says more than this error.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error),
        };
        self.received.extend_from_slice(&buffer[..count]);
        let reply = parse_reply(&self.received, self.number);
        if reply.is_some() {
            self.received.clear();
        }
        Ok(reply)
    }
}

/// Finds the reply to request `number`. What user code may have written to the descriptor before it
/// is passed over.
fn parse_reply(bytes: &[u8], number: u64) -> Option<(i32, BTreeMap<String, String>)> {
    let end = bytes.strip_suffix(b"\0\0")?;
    let head = format!("{number} ");
    let mut fields = end.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    let status = fields.find_map(|field| {
        let at = field.rfind(&head)?;
        field[at + head.len()..].parse().ok()
    })?;
    let mut vars = BTreeMap::new();
    for field in fields {
        if let Some((name, value)) = field.split_once('=')
            && !OWN_VARS.contains(&name)
            && !name.starts_with("__hostwright")
        {
            vars.insert(name.to_owned(), value.to_owned());
        }
    }
    Some((status, vars))
}

impl Drop for Session {
    /// Tells the shell to end by closing its socket and kills one that does not.
    fn drop(&mut self) {
        self.socket = None;
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let has_ended = poll(&mut [PollFd::new(&self.ended, PollFlags::IN)], Some(&patience));
        if !matches!(has_ended, Ok(1)) {
            // It may have ended just now.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
