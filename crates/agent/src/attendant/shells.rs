//! Shells on the machine for who came through TLS: they go on when a connection breaks, and what
//! they show meanwhile is kept for who comes back.
//!
//! ```text
//! terminal ──► ring of the last 256 KiB, numbered from the first byte ──► whoever is attached
//! ```

use super::watched::Watch;
use crate::tools_root;
use hostwright_host::HostError;
use hostwright_host::boot::terminal::{Terminal, TerminalEnd, hang_up};
use hostwright_model::shell::{End, TerminalSize};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What is kept of a shell's output.
const RING_BYTES: usize = 256 << 10;
/// Shells at once.
const SHELLS_MAX: usize = 16;
/// A shell that nobody came back to is ended.
const ALONE_MAX: Duration = Duration::from_secs(15 * 60);
/// Name of the file that tells PID 1 how many shells are attached.
pub(crate) const ATTACHED_FILE: &str = "shells-attached";

/// How a shell is started.
#[derive(Clone, Debug)]
pub struct ShellCommand {
    /// A program that makes its terminal its own, and the shell behind it.
    pub words: Vec<String>,
}

impl ShellCommand {
    /// The shell of the machine: of the tools image if the session came that far.
    pub fn of_machine() -> Self {
        if tools_root::is_ready() && !tools_root::is_entered() {
            // Where that fails the shell of the initramfs does.
            let _ = tools_root::enter();
        }
        let words: &[&str] = match tools_root::is_entered() {
            true => &["/usr/bin/setsid", "--ctty", "--wait", "/bin/bash", "--login"],
            false => &["/bin/busybox", "setsid", "-c", "/bin/busybox", "sh", "-l"],
        };
        Self { words: words.iter().map(|word| (*word).to_owned()).collect() }
    }
}

/// All shells.
pub(super) struct Shells {
    shells: Mutex<BTreeMap<String, Arc<Shell>>>,
    watch: Arc<Watch>,
    work: PathBuf,
    command: Box<dyn Fn() -> ShellCommand + Send + Sync>,
}

/// One shell.
pub(super) struct Shell {
    name: String,
    pid: u32,
    ring: Mutex<Ring>,
    changed: Condvar,
    typed: Mutex<TerminalEnd>,
}

struct Ring {
    bytes: VecDeque<u8>,
    /// Number of the first byte that is kept.
    start: u64,
    /// Which attachment counts, and up to which byte it has been served.
    attachment: Option<(u64, u64)>,
    /// Number of the latest attachment.
    latest: u64,
    alone_since: Instant,
    closed: bool,
    ended: Option<End>,
}

impl Ring {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// The right to look at a shell, until somebody else comes.
pub(super) struct Attachment {
    pub(super) shell: Arc<Shell>,
    number: u64,
    /// The next byte that comes.
    pub(super) next_byte: u64,
}

/// What comes next for who is attached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Bytes(Vec<u8>),
    /// Nothing for a while.
    Quiet,
    End(End),
    /// Somebody else came, or the same again through another connection.
    Replaced,
}

impl Shells {
    pub(super) fn new(
        watch: Arc<Watch>,
        work: PathBuf,
        command: Box<dyn Fn() -> ShellCommand + Send + Sync>,
    ) -> Self {
        Self { shells: Mutex::default(), watch, work, command }
    }

    /// Starts a shell that shows `greeting` first.
    pub(super) fn start(
        &self,
        term: &str,
        size: TerminalSize,
        command: Option<&str>,
        greeting: &str,
    ) -> Result<Arc<Shell>, String> {
        self.sweep();
        let mut shells = lock(&self.shells);
        if shells.len() >= SHELLS_MAX {
            return Err(format!("{SHELLS_MAX} shells are open; end one of them first"));
        }
        let shell_command = (self.command)();
        let mut words: Vec<&str> = shell_command.words.iter().map(String::as_str).collect();
        words.extend(command.into_iter().flat_map(|text| ["-c", text]));
        let env = [
            ("TERM", term),
            ("HOME", "/root"),
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("LANG", "C.UTF-8"),
        ];
        let (program, args) = words.split_first().ok_or("there is no shell")?;
        let terminal = Terminal::start(program, args, &env, size.columns, size.rows);
        let shell = terminal.and_then(|terminal| Shell::run(terminal, greeting));
        let shell = shell.map_err(|error| crate::fault::sentence(&error))?;
        shells.insert(shell.name.clone(), Arc::clone(&shell));
        Ok(shell)
    }

    /// A shell that was started before.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Shell>> {
        lock(&self.shells).get(name).cloned()
    }

    /// Takes a look at a shell from byte `seen` on; whoever looked before is sent away.
    pub(super) fn attach(&self, shell: Arc<Shell>, seen: u64) -> Attachment {
        let mut ring = shell.ring();
        ring.latest += 1;
        let number = ring.latest;
        let next_byte = seen.clamp(ring.start, ring.end());
        ring.attachment = Some((number, next_byte));
        drop(ring);
        shell.changed.notify_all();
        self.tell();
        Attachment { shell, number, next_byte }
    }

    /// Looks away.
    pub(super) fn detach(&self, attachment: &Attachment) {
        let shell = &attachment.shell;
        let mut ring = shell.ring();
        if ring.attachment.is_some_and(|(number, _)| number == attachment.number) {
            ring.attachment = None;
            ring.alone_since = Instant::now();
        }
        let over = ring.ended.is_some();
        drop(ring);
        shell.changed.notify_all();
        if over {
            lock(&self.shells).remove(&shell.name);
        }
        self.tell();
    }

    /// Ends shells that nobody came back to, and forgets those that ended alone.
    pub(super) fn sweep(&self) {
        lock(&self.shells).retain(|_, shell| {
            let ring = shell.ring();
            let alone = ring.attachment.is_none() && ring.alone_since.elapsed() > ALONE_MAX;
            if alone && ring.ended.is_none() {
                hang_up(shell.pid);
            }
            !alone
        });
    }

    /// Tells the page, and PID 1, which does not restart the machine under somebody's hands.
    fn tell(&self) {
        let shells = lock(&self.shells);
        let count = shells.values().filter(|shell| shell.ring().attachment.is_some()).count();
        drop(shells);
        self.watch.change(|state| state.attached_shells = count);
        // PID 1 then restarts without waiting.
        let _ = fs::write(self.work.join(ATTACHED_FILE), count.to_string());
    }
}

impl Shell {
    fn run(terminal: Terminal, greeting: &str) -> Result<Arc<Self>, HostError> {
        let (mut shown, typed) = (terminal.end()?, terminal.end()?);
        let ring = Ring {
            bytes: greeting.bytes().collect(),
            start: 0,
            attachment: None,
            latest: 0,
            alone_since: Instant::now(),
            closed: false,
            ended: None,
        };
        let shell = Arc::new(Self {
            name: name()?,
            pid: terminal.pid(),
            ring: Mutex::new(ring),
            changed: Condvar::new(),
            typed: Mutex::new(typed),
        });
        let (reader, waiter) = (Arc::clone(&shell), Arc::clone(&shell));
        thread::spawn(move || reader.keep(&mut shown));
        thread::spawn(move || waiter.wait(terminal));
        Ok(shell)
    }

    /// Its word.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        lock(&self.ring)
    }

    /// Types.
    pub(super) fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        lock(&self.typed).write_all(bytes)
    }

    /// The window changed.
    pub(super) fn set_size(&self, size: TerminalSize) {
        // A shell that has ended has no window.
        let _ = lock(&self.typed).set_size(size.columns, size.rows);
    }

    /// Keeps what the shell shows. Who is attached but slow is waited for; who is away is not.
    fn keep(&self, shown: &mut TerminalEnd) {
        let mut chunk = [0; 8192];
        while let Ok(count @ 1..) = shown.read(&mut chunk) {
            let mut ring = self.ring();
            ring.bytes.extend(&chunk[..count]);
            self.changed.notify_all();
            while ring.attachment.is_some_and(|(_, at)| ring.end() - at > RING_BYTES as u64) {
                ring = self.changed.wait(ring).unwrap_or_else(PoisonError::into_inner);
            }
            let extra = ring.bytes.len().saturating_sub(RING_BYTES);
            ring.bytes.drain(..extra);
            ring.start += extra as u64;
        }
        self.ring().closed = true;
        self.changed.notify_all();
    }

    /// Waits for the shell, and for the last of what it showed: what it left in the background may
    /// hold the terminal for longer, and is not waited for.
    fn wait(&self, terminal: Terminal) {
        const LAST_WORDS: Duration = Duration::from_millis(300);
        let end = match terminal.wait() {
            Ok(status) => End { status, error: None },
            Err(error) => End { status: 255, error: Some(crate::fault::sentence(&error)) },
        };
        let ring = self.ring();
        let waited = self.changed.wait_timeout_while(ring, LAST_WORDS, |ring| !ring.closed);
        let mut ring = waited.unwrap_or_else(PoisonError::into_inner).0;
        ring.ended = Some(end);
        drop(ring);
        self.changed.notify_all();
    }
}

impl Attachment {
    /// What comes next, within `limit`.
    pub(super) fn next(&mut self, limit: Duration) -> Next {
        const CHUNK_BYTES: usize = 32 << 10;
        let (number, at) = (self.number, self.next_byte);
        let ring = self.shell.ring();
        let waited = self.shell.changed.wait_timeout_while(ring, limit, |ring| {
            let mine = ring.attachment.is_some_and(|(current, _)| current == number);
            mine && ring.end() == at && ring.ended.is_none()
        });
        let mut ring = waited.unwrap_or_else(PoisonError::into_inner).0;
        if ring.attachment.is_none_or(|(current, _)| current != number) {
            return Next::Replaced;
        }
        let from = usize::try_from(at - ring.start).unwrap_or(usize::MAX);
        let bytes: Vec<u8> = ring.bytes.iter().skip(from).take(CHUNK_BYTES).copied().collect();
        if bytes.is_empty() {
            return ring.ended.clone().map_or(Next::Quiet, Next::End);
        }
        self.next_byte += bytes.len() as u64;
        ring.attachment = Some((number, self.next_byte));
        drop(ring);
        self.shell.changed.notify_all();
        Next::Bytes(bytes)
    }
}

/// A word that nobody can guess; who knows it has proved themselves already.
fn name() -> Result<String, HostError> {
    let path = "/proc/sys/kernel/random/uuid";
    let failed = |source| HostError::Io { operation: "read", path: path.to_owned(), source };
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(failed)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: TerminalSize = TerminalSize { columns: 80, rows: 24 };
    const LONG: Duration = Duration::from_secs(20);

    fn shells(dir: &std::path::Path) -> Shells {
        let words = ["setsid", "--ctty", "--wait", "sh"].map(str::to_owned).to_vec();
        let command = Box::new(move || ShellCommand { words: words.clone() });
        Shells::new(Arc::default(), dir.to_owned(), command)
    }

    /// Everything until the end of the shell.
    fn rest(attachment: &mut Attachment) -> (Vec<u8>, i32) {
        let mut all = Vec::new();
        loop {
            match attachment.next(LONG) {
                Next::Bytes(bytes) => all.extend(bytes),
                Next::End(end) => return (all, end.status),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_shell_goes_on_alone_and_is_taken_up_where_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let shells = shells(dir.path());
        let script = "read x; echo one $x; read x; echo two $x; exit 5";
        let shell = shells.start("dumb", SIZE, Some(script), "hello\r\n").unwrap();
        let mut first = shells.attach(Arc::clone(&shell), 0);
        assert_eq!(first.next(LONG), Next::Bytes(b"hello\r\n".to_vec()));
        assert_eq!(fs::read_to_string(dir.path().join(ATTACHED_FILE)).unwrap(), "1");
        let seen = first.next_byte;
        shells.detach(&first);
        assert_eq!(fs::read_to_string(dir.path().join(ATTACHED_FILE)).unwrap(), "0");
        shell.write(b"a\n").unwrap();
        shell.write(b"b\n").unwrap();
        let found = shells.find(shell.name()).expect("it goes on");
        let mut second = shells.attach(found, seen);
        let (text, status) = rest(&mut second);
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains("one a\r\n") && text.ends_with("two b\r\n"), "{text}");
        assert_eq!(status, 5);
        shells.detach(&second);
        assert!(shells.find(shell.name()).is_none(), "it has ended and was told");
    }

    /// Goal: who is slow gets every byte, who is away costs no memory. Method: more than the ring
    /// holds, both ways.
    #[test]
    fn a_slow_reader_loses_nothing_and_one_who_is_away_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let shells = shells(dir.path());
        let script = "read x; seq 1 200000";
        let shell = shells.start("dumb", SIZE, Some(script), "").unwrap();
        let mut attached = shells.attach(Arc::clone(&shell), 0);
        shell.write(b"go\n").unwrap();
        let (text, status) = rest(&mut attached);
        let text = String::from_utf8_lossy(&text).into_owned();
        let numbers: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        assert_eq!((numbers.len(), numbers.last(), status), (200_000, Some(&200_000), 0));
        let alone = shells.start("dumb", SIZE, Some("seq 1 200000"), "").unwrap();
        while alone.ring().ended.is_none() {
            thread::sleep(Duration::from_millis(10));
        }
        let late = shells.attach(alone, 0);
        assert!(late.next_byte > 0, "the oldest is gone");
    }

    #[test]
    fn who_comes_second_sends_the_first_away() {
        let dir = tempfile::tempdir().unwrap();
        let shells = shells(dir.path());
        let shell = shells.start("dumb", SIZE, Some("read x"), "").unwrap();
        let mut first = shells.attach(Arc::clone(&shell), 0);
        let mut second = shells.attach(Arc::clone(&shell), 0);
        assert_eq!(first.next(LONG), Next::Replaced);
        shells.detach(&first);
        assert_eq!(second.next(Duration::from_millis(1)), Next::Quiet);
        shell.write(b"\n").unwrap();
        assert_eq!(rest(&mut second).1, 0);
    }

    #[test]
    fn there_is_a_limit_and_who_knows_no_shell_gets_none() {
        let dir = tempfile::tempdir().unwrap();
        let shells = shells(dir.path());
        assert!(shells.find("guess").is_none());
        for _ in 0..SHELLS_MAX {
            shells.start("dumb", SIZE, Some("read x"), "").unwrap();
        }
        let refused = shells.start("dumb", SIZE, Some("read x"), "").err();
        assert_eq!(refused.as_deref(), Some("16 shells are open; end one of them first"));
        lock(&shells.shells).values().for_each(|shell| hang_up(shell.pid));
    }
}
