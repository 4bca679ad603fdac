//! The only door to the machine.
//!
//! Everything that starts a process, mounts, writes below a target or reads the hardware goes
//! through [`Host`]. The crate never decides anything: it does what it is told and says what came
//! of it. Read [`Host`] first, then [`Command`].
//!
//! Four implementations: the real machine ([`real`]), a simulated one that can lose its power at any
//! operation ([`sim`]), one that reads but only records writes ([`dry`]), and one that injects
//! faults into any other ([`fault`]).

pub mod boot;
pub mod command;
pub mod dry;
pub mod extents;
pub mod fat_stage;
pub mod fault;
pub mod free_disk;
pub mod loop_disk;
pub mod metadata;
pub mod namespace;
pub mod probe;
pub mod real;
pub mod sim;
pub mod space;
pub mod space_source;
pub mod unnamed_file;

pub use command::{Command, Output, Tool};

use hostwright_model::event::Stream;
use hostwright_model::facts::Facts;
use hostwright_model::image::{BlockSource, TreeSource};
use std::collections::BTreeMap;
use thiserror::Error;

/// Why an operation failed.
#[derive(Debug, Error)]
pub enum HostError {
    /// A system call on a path failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried: `read`, `write`, `mount`.
        operation: &'static str,
        /// On what.
        path: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A program is not installed.
    #[error("{program} is not installed (Debian package {package})")]
    MissingTool {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// A program ended with a status that its caller does not accept.
    #[error("{command} ended with status {status}")]
    Failed {
        /// The command, in a form to paste.
        command: String,
        /// Exit status; 128 plus the signal's number if one ended it.
        status: i32,
        /// The last lines it wrote.
        output: Vec<String>,
    },
    /// The simulated machine lost its power here.
    #[error("the machine lost its power")]
    PowerCut,
    /// The probes could not make sense of the machine.
    #[error("cannot tell {what}: {reason}")]
    Probe {
        /// What was asked.
        what: &'static str,
        /// Why there is no answer.
        reason: String,
    },
}

/// What the shell is asked to do.
///
/// User code always reads from /dev/null. Whatever it does to the shell's options, traps, streams and
/// working directory is taken back after each request; variables, functions and the umask stay. Code
/// that ends the shell (`exit` in a sourced file, a failure under `set -e`) is
/// [`HostError::Failed`] with its status; the shell must then be started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShellRequest {
    /// Start a new long-lived bash with exactly these variables exported, then evaluate `prelude`
    /// under `set -a`, so that everything it defines is exported, functions included. Ends an
    /// earlier one.
    Start {
        /// The environment.
        env: BTreeMap<String, String>,
        /// Shell text: FAI's functions.
        prelude: String,
    },
    /// Evaluate shell text in the long-lived bash, in directory `dir`.
    Eval {
        /// The text.
        script: String,
        /// Working directory for it; the shell returns to its own afterwards.
        dir: String,
    },
    /// Source a file in the long-lived bash: what it sets and defines stays.
    Source {
        /// Absolute path.
        path: String,
        /// Working directory for it.
        dir: String,
        /// True for a `.var` file: what it prints is told line by line, but is not in the reply.
        trace: bool,
    },
    /// Run a file as a child of the long-lived bash: it sees exported variables and functions.
    Execute {
        /// Absolute path.
        path: String,
        /// Arguments.
        args: Vec<String>,
        /// Working directory for it.
        dir: String,
    },
}

/// What came of a [`ShellRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShellReply {
    /// Exit status.
    pub status: i32,
    /// Standard output, whole.
    pub stdout: String,
    /// Every simple (not array) exported variable of the long-lived bash afterwards.
    pub vars: BTreeMap<String, String>,
}

/// What is mounted where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRequest {
    /// Device, directory, or name of a pseudo file system.
    pub source: String,
    /// Absolute directory.
    pub target: String,
    /// File system type; `None` for a bind mount.
    pub file_system: Option<String>,
    /// Options as for mount(8), separated by commas.
    pub options: String,
}

/// How block devices are told apart, as blkid(8) reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceIds {
    /// `UUID`.
    pub uuid: Option<String>,
    /// `LABEL`.
    pub label: Option<String>,
    /// `PARTUUID`.
    pub partuuid: Option<String>,
    /// `PARTLABEL`.
    pub partlabel: Option<String>,
    /// `TYPE`.
    pub kind: Option<String>,
}

/// Receives lines of output as they are written.
pub type OnLine<'a> = &'a mut dyn FnMut(Stream, &str);

/// The door. Paths are absolute; nothing is decided here.
pub trait Host: Send {
    /// Runs a tool to its end. A status other than 0 is an `Ok` with that status: use
    /// [`Output::success`] to turn it into an error.
    fn run(&mut self, command: &Command, on_line: OnLine<'_>) -> Result<Output, HostError>;

    /// Talks to the long-lived bash.
    fn shell(
        &mut self,
        request: &ShellRequest,
        on_line: OnLine<'_>,
    ) -> Result<ShellReply, HostError>;

    /// Content of a file; `None` if there is none.
    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, HostError>;

    /// `length` bytes of a file or device from byte `offset` on; fewer where it ends before.
    fn read_at(&mut self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>, HostError>;

    /// Overwrites bytes of a device that exists, and waits until it has them.
    fn write_at(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), HostError>;

    /// Bytes that nobody can guess.
    fn random_bytes(&mut self, count: usize) -> Result<Vec<u8>, HostError>;

    /// Replaces a file as a whole (written beside it, synced, renamed over it); makes directories.
    fn write(&mut self, path: &str, content: &[u8], mode: u32) -> Result<(), HostError>;

    /// Appends to a file and syncs it; makes the file and its directories.
    fn append(&mut self, path: &str, content: &[u8]) -> Result<(), HostError>;

    /// Makes a directory and its parents; leaves an existing one as it is.
    fn make_dir(&mut self, path: &str, mode: u32) -> Result<(), HostError>;

    /// Makes or replaces a symbolic link.
    fn symlink(&mut self, path: &str, target: &str) -> Result<(), HostError>;

    /// Removes a file, link or tree; never follows links, never crosses a mount point; what is not
    /// there is fine.
    fn remove(&mut self, path: &str) -> Result<(), HostError>;

    /// Renames a file.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), HostError>;

    /// Names in a directory, sorted; empty if there is none.
    fn list(&mut self, path: &str) -> Result<Vec<String>, HostError>;

    /// Mounts; makes the directory.
    fn mount(&mut self, request: &MountRequest) -> Result<(), HostError>;

    /// Unmounts the top mount at `path`, waiting some seconds for one that is busy; what is not
    /// mounted is fine.
    fn unmount(&mut self, path: &str) -> Result<(), HostError>;

    /// Mount points at and below `path`, in the order they were mounted.
    fn mounts_below(&mut self, path: &str) -> Result<Vec<String>, HostError>;

    /// Lays a tree down below `root`, on all cores, and waits until the disk has it; `on_bytes` is
    /// told the sum of bytes so far. May be repeated over what a cut-off attempt has left.
    fn lay_tree(
        &mut self,
        root: &str,
        source: &dyn TreeSource,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HostError>;

    /// Lays a ready-made file system down at the beginning of a device that nobody uses, and waits
    /// until the device has it; `on_bytes` is told the sum of bytes so far.
    fn lay_blocks(
        &mut self,
        device: &str,
        source: &dyn BlockSource,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HostError>;

    /// What the probes see.
    fn facts(&mut self) -> Result<Facts, HostError>;

    /// What blkid(8) says about a device, never from its cache.
    fn device_ids(&mut self, device: &str) -> Result<DeviceIds, HostError>;

    /// Milliseconds since the epoch.
    fn now_ms(&mut self) -> i64;
}
