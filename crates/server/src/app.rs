//! The server's heart: configuration, state and fleet, and the rules by which they change.
//!
//! What a machine and its run go through:
//!
//! ```text
//!            install            boot script         first order          RunFinished ok
//! (disk) ───────────► Armed ───────────► Booting ───────────► Running ───────────► Installed (disk)
//!                       │ cancel            ▲ power cut,        │  RunFinished not ok
//!                       ▼                   └───boot script─────┤───────────► Failed    (disk)
//!                   Cancelled (disk)                            └ cancel force ─► Cancelled (disk)
//! ```
//!
//! An open run (armed, booting, running) makes its machine boot the agent, however often it boots;
//! a run that has ended makes it boot its disk. After a failure that disk may hold nothing that
//! boots: the machine stays up and waits. An operator has it take the run up again, which is its next
//! attempt, or arms it anew.

mod attendance;
mod installs;
mod machines;
mod recovery;
mod reports;

pub(crate) use attendance::Attendants;
pub(crate) use installs::installer_file;
pub(crate) use reports::AgentCall;

use crate::config::Config;
use crate::fleet::{Fleet, Member};
use crate::keys::{Keys, OPERATOR_TOKEN_FILE};
use crate::monitor::Board;
use crate::problem::Problem;
use crate::state::{State, StateError};
use hostwright_model::ids::RunId;
use hostwright_model::installer::InstallerManifest;
use hostwright_model::progress::RunProgress;
use hostwright_store::RemoteStore;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Everything that requests share.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) state: State,
    /// The image store, if it is elsewhere.
    pub(crate) remote_store: Option<Arc<RemoteStore>>,
    pub(crate) fleet: Fleet,
    pub(crate) keys: Keys,
    /// What FAI's monitor was told.
    pub(crate) monitor: Board,
    /// Number of the latest event in the log.
    pub(crate) last_event: watch::Sender<u64>,
    /// Cancelled when the server shall end; streams that would go on for ever end with it.
    pub(crate) stop: CancellationToken,
    /// Agents that attend to machines, as they were heard last.
    pub(crate) attendants: Attendants,
    installer: RwLock<Option<InstallerManifest>>,
    addresses: OnceLock<Addresses>,
    /// Held as long as the server lives: two servers on one state would undo each other's work.
    _lock: fs::File,
}

/// Where machines reach the server; known once the sockets are bound.
#[derive(Clone, Debug)]
struct Addresses {
    base_url: String,
    package_proxy: Option<String>,
}

impl App {
    /// Opens the state, and makes it at the first start.
    pub(crate) async fn open(
        config: Config,
        remote_store: Option<Arc<RemoteStore>>,
    ) -> Result<Self, StateError> {
        let dir = config.state_dir.clone();
        let lock = prepare(&dir)?;
        let keys = Keys::open(&dir)?;
        let state = State::open(&dir.join("state.db")).await?;
        let mut members = Vec::new();
        for machine in state.machines().await? {
            let progress = match &machine.run {
                Some(run) => progress(&state, &run.id).await?,
                None => RunProgress::default(),
            };
            members.push(Member::new(machine, progress));
        }
        let fleet = Fleet::new(members, state.unknown_machines().await?);
        let last_event = watch::Sender::new(state.last_event().await?);
        tracing::info!(token = %dir.join(OPERATOR_TOKEN_FILE).display(), "operators' token");
        Ok(Self {
            config,
            state,
            remote_store,
            fleet,
            keys,
            monitor: Board::default(),
            last_event,
            stop: CancellationToken::new(),
            attendants: Attendants::default(),
            installer: RwLock::default(),
            addresses: OnceLock::new(),
            _lock: lock,
        })
    }

    /// Tells where machines reach the server. Once, before anything is served.
    pub(crate) fn set_addresses(&self, base_url: String, package_proxy: Option<String>) {
        let addresses = Addresses { base_url, package_proxy };
        self.addresses.set(addresses).expect("invariant: set once, at the start");
    }

    /// `http://ADDRESS:PORT`, as machines reach it.
    pub(crate) fn base_url(&self) -> &str {
        &self.addresses.get().expect("invariant: set at the start").base_url
    }

    fn package_proxy(&self) -> Option<String> {
        self.addresses.get().expect("invariant: set at the start").package_proxy.clone()
    }

    /// Milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    /// Where archives of spaces are kept.
    pub(crate) fn files_dir(&self) -> PathBuf {
        self.config.state_dir.join("files")
    }

    /// The installer as it was found last.
    pub(crate) fn installer(&self) -> Option<InstallerManifest> {
        self.installer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of the installer that is in the configured directory now.
    pub(crate) fn set_installer(&self, manifest: InstallerManifest) {
        *self.installer.write().unwrap_or_else(PoisonError::into_inner) = Some(manifest);
    }

    /// Where a run is.
    pub(crate) async fn progress(&self, run: &RunId) -> Result<RunProgress, Problem> {
        let latest = self.state.run(run).await?.ok_or_else(|| Problem::no_run(run))?;
        let member = self.fleet.member(&latest.machine);
        match member.filter(|member| member.machine.run.as_ref().is_some_and(|r| r.id == *run)) {
            Some(member) => Ok(member.progress),
            None => Ok(progress(&self.state, run).await?),
        }
    }
}

/// Folds a run's events into what is known of it.
async fn progress(state: &State, run: &RunId) -> Result<RunProgress, StateError> {
    let (mut progress, mut since) = (RunProgress::default(), 0);
    loop {
        let events = state.events_of(run, since).await?;
        let Some(last) = events.last() else { return Ok(progress) };
        since = last.id;
        for stored in &events {
            progress.apply(stored.attempt, &stored.event);
        }
    }
}

/// Makes the state directory, for the server's eyes only, and locks it.
fn prepare(dir: &Path) -> Result<fs::File, StateError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = |operation: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| StateError::File { operation, path, source }
    };
    let files = dir.join("files");
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&files).map_err(failed("create", &files))?;
    let path = dir.join("lock");
    let lock = fs::File::create(&path).map_err(failed("create", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(StateError::InUse { path }),
        Err(fs::TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}
