//! Runs tools with an environment of their own and streams what they write.

use super::lines::Capture;
use crate::{Command, HostError, OnLine, Output, Tool};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};

/// Where programs are looked for; FAI's own order.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/lib/fai:/usr/sbin:/usr/bin:/sbin:/bin";

/// The full path of a program inside `root`, as seen from inside: links lead where they will lead
/// for the program itself.
pub(super) fn find_program(root: &str, program: &str) -> Option<String> {
    let root = rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    PATH.split(':').map(|directory| format!("{directory}/{program}")).find(|path| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
            .and_then(rustix::fs::fstat)
            .is_ok_and(|stat| stat.st_mode & 0o170_000 == 0o100_000 && stat.st_mode & 0o111 != 0)
    })
}

/// The exit status as shells give it.
pub(super) fn status_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// True for programs whose maintainer scripts may ask questions.
fn asks_questions(tool: Tool) -> bool {
    matches!(
        tool,
        Tool::AptGet
            | Tool::Dpkg
            | Tool::DpkgReconfigure
            | Tool::Debootstrap
            | Tool::DebconfSetSelections
            | Tool::Mmdebstrap
            | Tool::Chroot
            | Tool::Bash
    )
}

/// Runs `command` to its end.
pub(super) fn run(
    command: &Command,
    extra_env: &[(String, String)],
    on_line: OnLine<'_>,
) -> Result<Output, HostError> {
    let shown = command.to_shell();
    let failed = |source| HostError::Io { operation: "run", path: shown.clone(), source };
    let mut child = spawn(command, extra_env)?;
    let outcome = pump(&mut child, command.stdin.as_deref().unwrap_or_default(), on_line);
    if outcome.is_err() {
        // Nobody would ever read its output again. It may have ended by itself meanwhile.
        let _ = child.kill();
    }
    let status = child.wait().map_err(failed)?;
    let (stdout, tail) = outcome.map_err(failed)?;
    Ok(Output { command: shown, status: status_code(status), stdout, tail })
}

fn spawn(command: &Command, extra_env: &[(String, String)]) -> Result<Child, HostError> {
    let program = command.program();
    let root = command.root.as_deref().unwrap_or("/");
    let path = find_program(root, &program).ok_or_else(|| {
        let (program, package) = command.debian_package();
        HostError::MissingTool { program, package }
    })?;
    let mut process = std::process::Command::new(path);
    process.args(&command.args).env_clear();
    process.env("PATH", PATH).env("LC_ALL", "C.UTF-8").env("HOME", "/root");
    if asks_questions(command.tool) {
        process.env("DEBIAN_FRONTEND", "noninteractive");
    }
    process.envs(extra_env.iter().map(|(name, value)| (name, value)));
    process.envs(command.env.iter().map(|(name, value)| (name, value)));
    process.stdin(if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    process.stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some((from, to)) = &command.files {
        process.stdin(open(from, OpenOptions::new().read(true))?);
        process.stdout(open(to, OpenOptions::new().write(true).create(true).truncate(true))?);
    }
    let root = CString::new(root).map_err(|error| HostError::Io {
        operation: "enter",
        path: root.to_owned(),
        source: error.into(),
    })?;
    prepare_child(&mut process, root);
    process.spawn().map_err(|source| HostError::Io {
        operation: "start",
        path: command.to_shell(),
        source,
    })
}

fn open(path: &str, options: &OpenOptions) -> Result<File, HostError> {
    options.open(path).map_err(|source| HostError::Io {
        operation: "open",
        path: path.to_owned(),
        source,
    })
}

/// Sets what a child has before its program starts: umask, root and working directory, and that it
/// does not outlive us. The agent may be killed and started again; a tool of the old one that is
/// still at work would then fight with the new one.
#[expect(unsafe_code, reason = "the standard library has no safe way to enter another root")]
fn prepare_child(process: &mut std::process::Command, root: CString) {
    let enter = move || -> io::Result<()> {
        let killed = rustix::process::Signal::KILL;
        rustix::process::set_parent_process_death_signal(Some(killed))?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        if root.as_bytes() != b"/" {
            rustix::process::chroot(root.as_c_str())?;
        }
        rustix::process::chdir(c"/")?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only. The paths are C strings
    // already, so nothing is allocated, and no lock is taken.
    unsafe { process.pre_exec(enter) };
}

/// Feeds `input` and reads until the process ends, whoever still holds its pipes.
fn pump(
    child: &mut Child,
    mut input: &[u8],
    on_line: OnLine<'_>,
) -> io::Result<(String, Vec<String>)> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    // A file that it writes to by itself has nothing to be read.
    let out = match out {
        Some(pipe) => OwnedFd::from(pipe),
        None => File::open("/dev/null")?.into(),
    };
    let err = OwnedFd::from(err.expect("invariant: stderr is a pipe"));
    let mut capture = Capture::new(out, err)?;
    let mut stdin = child.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    if let Some(pipe) = &stdin {
        rustix::io::ioctl_fionbio(pipe, true)?;
    }
    let ended = pidfd(child)?;
    loop {
        if input.is_empty() {
            stdin = None;
        }
        let (has_ended, writable) = wait_for(&capture, &ended, stdin.as_ref())?;
        if has_ended {
            break;
        }
        capture.read_once(on_line)?;
        if let Some(pipe) = stdin.as_mut().filter(|_| writable) {
            match pipe.write(input) {
                Ok(count) => input = &input[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It does not want to read any more; its status will tell whether that is bad.
                Err(_) => input = &[],
            }
        }
    }
    capture.finish(on_line)?;
    Ok(capture.take())
}

/// A descriptor that becomes readable when the process has ended.
pub(super) fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_child(child);
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

/// Waits for anything to do. Whether the process has ended, whether `stdin` takes more.
fn wait_for(capture: &Capture, ended: &OwnedFd, stdin: Option<&File>) -> io::Result<(bool, bool)> {
    let mut fds = vec![PollFd::new(ended, PollFlags::IN)];
    fds.extend(stdin.map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::OUT)));
    fds.extend(capture.open_fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    poll_all(&mut fds)?;
    let ready = |at: usize| !fds[at].revents().is_empty();
    Ok((ready(0), stdin.is_some() && ready(1)))
}

/// Polls without a time limit: what runs decides how long it takes.
pub(super) fn poll_all(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    loop {
        match poll(fds, None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::event::Stream;
    use std::time::{Duration, Instant};

    fn bash(script: &str) -> Command {
        Command::new(Tool::Bash).args(["-c", script])
    }

    fn run_quietly(command: &Command) -> Output {
        run(command, &[], &mut |_, _| {}).expect("bash runs")
    }

    #[test]
    fn both_streams_arrive_line_by_line_and_stdout_is_kept_whole() {
        let mut seen = Vec::new();
        let script = "echo one; echo two >&2; printf 'a\\rb\\n'; printf end; exit 3";
        let output =
            run(&bash(script), &[], &mut |stream, line| seen.push((stream, line.to_owned())))
                .expect("bash runs");
        assert_eq!(output.status, 3);
        assert_eq!(output.stdout, "one\na\rb\nend");
        let of = |stream| -> Vec<&str> {
            seen.iter().filter(|(s, _)| *s == stream).map(|(_, line)| line.as_str()).collect()
        };
        assert_eq!(of(Stream::Out), ["one", "b", "end"]);
        assert_eq!(of(Stream::Err), ["two"]);
    }

    #[test]
    fn the_tail_holds_the_last_forty_lines() {
        let output = run_quietly(&bash("for i in {1..100}; do echo $i; done"));
        assert_eq!(output.tail.len(), 40);
        assert_eq!(output.tail[39], "100");
    }

    #[test]
    fn the_environment_is_ours_and_stdin_is_fed() {
        let big = "x".repeat(300_000);
        let command = Command::new(Tool::Bash)
            .args(["-c", "umask; echo $PATH $LC_ALL $http_proxy $MORE; echo ${CARGO-none}; wc -c"])
            .env("MORE", "more")
            .stdin(big);
        let proxy = [("http_proxy".to_owned(), "http://10.0.0.1".to_owned())];
        let output = run(&command, &proxy, &mut |_, _| {}).expect("bash runs");
        let expected = format!("0022\n{PATH} C.UTF-8 http://10.0.0.1 more\nnone\n300000\n");
        assert_eq!(output.stdout, expected);
    }

    #[test]
    fn a_background_process_does_not_hold_us() {
        let start = Instant::now();
        let output = run_quietly(&bash("sleep 20 & echo $!"));
        assert!(start.elapsed() < Duration::from_secs(10));
        let pid: i32 = output.stdout.trim().parse().expect("a process id");
        let pid = rustix::process::Pid::from_raw(pid).expect("not 0");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("still sleeping");
    }

    #[test]
    fn a_signal_and_a_program_that_does_not_read_are_no_errors() {
        assert_eq!(run_quietly(&bash("kill -9 $$")).status, 137);
        assert_eq!(run_quietly(&bash("exit 0").stdin("x".repeat(1_000_000))).status, 0);
    }

    #[test]
    fn a_filter_reads_and_writes_files() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("from"), "one\ntwo\n").expect("writes");
        let filter = Command::new(Tool::Sed).arg("s/o/0/").filter(path("from"), path("to"));
        let output = run_quietly(&filter);
        assert_eq!((output.status, output.stdout.as_str()), (0, ""));
        assert_eq!(std::fs::read_to_string(path("to")).expect("reads"), "0ne\ntw0\n");
        assert!(output.command.ends_with(&format!("<{} >{}", path("from"), path("to"))));
    }

    #[test]
    fn a_missing_tool_names_its_package() {
        let command = Command::mkfs("ext4").in_root("/proc");
        let error = run(&command, &[], &mut |_, _| {}).expect_err("nothing is in /proc");
        assert_eq!(error.to_string(), "mkfs.ext4 is not installed (Debian package e2fsprogs)");
    }
}
