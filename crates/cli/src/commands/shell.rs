//! `hostwright machine shell` and `machine copy`: a person's terminal, or a file, on a machine that
//! is being installed.

use super::machine::ServerArgs;
use crate::faults::{Failure, file, usage};
use hostwright_client::shell::{Dial, Input, ShellError};
use hostwright_client::tls::{FreshKey, Identity, TlsError};
use hostwright_model::api::CertificateRequest;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::MachineName;
use hostwright_model::shell::{PORT, Request, TerminalSize};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// Typed, it leaves the shell, which goes on: Ctrl-\, as with Dominator.
const LEAVE: u8 = 0x1c;
/// Typed at the end of what is no terminal: Ctrl-D.
const END: u8 = 0x04;

/// Which machine, and how to prove oneself to it.
#[derive(clap::Args)]
pub struct DialArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Where the machine is, HOST:PORT; with it the boot server is not asked, and certificates come
    /// from files.
    #[arg(long, requires_all = ["ca", "cert", "key"])]
    at: Option<String>,
    /// File with the certificate of the authority that vouches for the machine.
    #[arg(long, requires = "at")]
    ca: Option<PathBuf>,
    /// File with one's own certificate.
    #[arg(long, requires = "at")]
    cert: Option<PathBuf>,
    /// File with its key.
    #[arg(long, requires = "at")]
    key: Option<PathBuf>,
}

/// What `shell` needs.
#[derive(clap::Args)]
pub struct ShellArgs {
    /// The machine; with --at the name in its certificate.
    name: String,
    /// A command for the shell, instead of asking for some.
    #[arg(last = true)]
    command: Vec<String>,
    #[command(flatten)]
    dial: DialArgs,
}

/// What `copy` needs.
#[derive(clap::Args)]
pub struct CopyArgs {
    /// A file here, or NAME:/PATH on a machine.
    from: String,
    /// Where it goes; one of the two is on a machine.
    to: String,
    #[command(flatten)]
    dial: DialArgs,
}

impl DialArgs {
    fn dial(&self, name: &str) -> Result<Dial, Failure> {
        if let (Some(at), Some(ca), Some(cert), Some(key)) =
            (&self.at, &self.ca, &self.cert, &self.key)
        {
            let identity = Identity::read(ca, cert, key).map_err(of_tls)?;
            let has_port = at.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let address = if has_port { at.clone() } else { format!("{at}:{PORT}") };
            return Ok(Dial { address, server_name: name.to_owned(), identity });
        }
        let key = FreshKey::generate().map_err(of_tls)?;
        let request = CertificateRequest { csr: key.request().map_err(of_tls)? };
        let pass = self.server.client()?.shell_pass(&MachineName::new(name), &request)?;
        let identity = key.with(pass.certificate.certificate, pass.certificate.authority);
        Ok(Dial { address: pass.address, server_name: pass.server_name, identity })
    }
}

fn of_tls(error: TlsError) -> Failure {
    ShellError::from(error).into()
}

/// A shell on the machine. Its exit status is that of the shell.
pub fn shell(args: &ShellArgs) -> Result<ExitCode, Failure> {
    let dial = args.dial.dial(&args.name)?;
    let terminal = RawTerminal::begin();
    let command = (!args.command.is_empty()).then(|| args.command.join(" "));
    let term = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let request = Request::Shell { term, size: window(), command };
    let (typed, input) = channel();
    let raw = terminal.is_some();
    let typist = typed.clone();
    thread::spawn(move || type_in(&typist, raw));
    watch_window(typed);
    let mut lost = |error: &ShellError| eprint!("\r\n[{error}; coming back, Ctrl-\\ leaves]\r\n");
    let ended = dial.shell(&request, input, &mut io::stdout(), &mut lost);
    drop(terminal);
    match ended? {
        None => {
            eprintln!("\n[left; the shell goes on for a quarter of an hour]");
            Ok(ExitCode::SUCCESS)
        }
        Some(end) => match end.error {
            Some(reason) => Err(ShellError::Refused(reason).into()),
            None => Ok(ExitCode::from(u8::try_from(end.status).unwrap_or(u8::MAX))),
        },
    }
}

/// Copies a file to or from the machine.
pub fn copy(args: &CopyArgs) -> Result<ExitCode, Failure> {
    match (remote(&args.from), remote(&args.to)) {
        (None, Some((name, path))) => put(&args.dial, Path::new(&args.from), name, path)?,
        (Some((name, path)), None) => get(&args.dial, name, path, Path::new(&args.to))?,
        _ => {
            let cure = "write NAME:/PATH for the one on the machine, and a path for the other";
            return Err(usage("exactly one of the two files is on a machine", cure));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A file on a machine: `NAME:/PATH`.
fn remote(text: &str) -> Option<(&str, &str)> {
    text.split_once(':').filter(|(name, path)| !name.contains('/') && path.starts_with('/'))
}

fn put(dial: &DialArgs, from: &Path, name: &str, path: &str) -> Result<(), Failure> {
    let failed = |error| file("read", from, &error);
    let mut local = File::open(from).map_err(failed)?;
    let mode = local.metadata().map_err(failed)?.permissions().mode();
    Ok(dial.dial(name)?.put(&mut local, path, mode & 0o7777)?)
}

fn get(dial: &DialArgs, name: &str, path: &str, to: &Path) -> Result<(), Failure> {
    let mut target = to.to_owned();
    if to.is_dir() {
        target.push(Path::new(path).file_name().unwrap_or_default());
    }
    let part = target.with_added_extension("part");
    let mut mode_of_file = 0o600;
    let got = dial.dial(name)?.get(path, &mut |_, mode| {
        mode_of_file = mode;
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        Ok(Box::new(opened) as Box<dyn Write>)
    });
    if let Err(error) = got {
        // It may not have been made.
        let _ = fs::remove_file(&part);
        return Err(error.into());
    }
    let done = fs::set_permissions(&part, fs::Permissions::from_mode(mode_of_file & 0o777));
    done.and_then(|()| fs::rename(&part, &target)).map_err(|error| file("write", &target, &error))
}

impl From<ShellError> for Failure {
    fn from(error: ShellError) -> Self {
        let (kind, code, cure) = match &error {
            ShellError::Unreachable { .. } => (
                FaultKind::Environment,
                "shell-unreachable",
                "look whether the machine is up and this network reaches its port 6978",
            ),
            ShellError::Unproved { .. } => (
                FaultKind::Remote,
                "shell-unproved",
                "nothing was sent to it; ask the boot server again, and look who has its address",
            ),
            ShellError::Refused(_) => {
                (FaultKind::Remote, "shell-refused", "read what the machine says")
            }
            ShellError::Broken { .. } => {
                (FaultKind::Environment, "shell-broken", "connect again; a shell goes on meanwhile")
            }
            ShellError::Local(..) => {
                (FaultKind::Environment, "shell-local", "check the path and the terminal")
            }
            ShellError::Tls(_) => (
                FaultKind::Config,
                "shell-certificates",
                "correct the files that --ca, --cert, --key name",
            ),
        };
        Fault::new(kind, code, crate::faults::with_causes(&error), cure).into()
    }
}

/// Sends what is typed. `raw` if it comes key by key.
fn type_in(to: &Sender<Input>, raw: bool) {
    let (mut stdin, mut chunk) = (io::stdin().lock(), [0; 4096]);
    while let Ok(count @ 1..) = stdin.read(&mut chunk) {
        let typed = &chunk[..count];
        let left = typed.iter().position(|byte| *byte == LEAVE).filter(|_| raw);
        let bytes = typed[..left.unwrap_or(count)].to_vec();
        let sent = to.send(Input::Bytes(bytes)).is_ok();
        if left.is_some() {
            // Whoever listened has gone already.
            let _ = to.send(Input::Leave);
            return;
        }
        if !sent {
            return;
        }
    }
    if !raw {
        // The shell sees the end of what it reads.
        let _ = to.send(Input::Bytes(vec![END]));
    }
}

/// Sends the size of the window whenever it changes.
fn watch_window(to: Sender<Input>) {
    use tokio::signal::unix::{SignalKind, signal};
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut changes = signal(SignalKind::window_change())?;
            while changes.recv().await.is_some() && to.send(Input::Size(window())).is_ok() {}
            io::Result::Ok(())
        })
    });
}

fn window() -> TerminalSize {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => TerminalSize { columns: size.ws_col, rows: size.ws_row },
        _ => TerminalSize { columns: 80, rows: 24 },
    }
}

/// A terminal that hands on every key, until this is dropped.
struct RawTerminal(Termios);

impl RawTerminal {
    /// `None` if standard input is no terminal.
    fn begin() -> Option<Self> {
        let stdin = io::stdin();
        if !isatty(&stdin) {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that has gone away needs no repair.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_on_a_machine_is_told_from_one_here() {
        assert_eq!(remote("web1:/etc/fstab"), Some(("web1", "/etc/fstab")));
        for text in ["/etc/fstab", "./a:/b", "web1:relative", "fstab"] {
            assert_eq!(remote(text), None, "{text}");
        }
    }
}
