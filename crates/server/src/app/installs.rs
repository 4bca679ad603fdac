//! Arming machines, and taking armed runs back.

use super::App;
use crate::keys::token_hash;
use crate::problem::{Problem, chain};
use crate::space;
use crate::state::{NewRun, RunOrders};
use axum::http::StatusCode;
use hostwright_model::api::{MachineSpec, Run, RunState};
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::ids::MachineName;
use hostwright_model::image::ImageRef;
use hostwright_model::installer::{INSTALLER_FILE, InstallerManifest};
use hostwright_store::{RemoteStore, Store, StoreError};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

impl App {
    /// Arms a machine: everything it will need is looked at, and pinned, first.
    pub(crate) async fn install(&self, name: &MachineName) -> Result<Run, Problem> {
        let spec = self.member(name)?.machine.spec;
        self.check_not_open(name)?;
        let orders = self.prepare_orders(spec).await?;
        let mut writer = self.state.writer().await;
        self.check_not_open(name)?;
        let new = NewRun { machine: name, orders: &orders, now_ms: self.now_ms() };
        let hash = |id: &_| token_hash(&self.keys.run_token(id));
        let run = writer.add_run(new, hash).await?;
        self.fleet.arm(run.clone());
        tracing::info!(machine = %run.machine, run = %run.id, "armed");
        Ok(run)
    }

    /// Takes back a run that has not begun. With `force` also one that has: its agent learns of it
    /// at its next report and stops.
    pub(crate) async fn cancel(&self, name: &MachineName, force: bool) -> Result<Run, Problem> {
        let mut writer = self.state.writer().await;
        let member = self.member(name)?;
        let Some(run) = member.open_run() else {
            let message = format!("machine '{name}' has no open run");
            return Err(Problem::conflict("no-open-run", message, "there is nothing to take back"));
        };
        if run.state == RunState::Running && !force {
            let message = format!("run {} has begun: its disks may be half written", run.id);
            let cure = "let it end, or take it back all the same with --force";
            return Err(Problem::conflict("run-has-begun", message, cure));
        }
        let now_ms = self.now_ms();
        writer.end_run(&run.id, RunState::Cancelled, now_ms).await?;
        self.fleet.ended(run, RunState::Cancelled, now_ms);
        let cancelled =
            Run { state: RunState::Cancelled, ended_at_ms: Some(now_ms), ..run.clone() };
        Ok(cancelled)
    }

    /// Removes archives of spaces that no open run needs.
    pub(crate) async fn sweep_files(&self) -> Result<(), Problem> {
        let orders = self.state.open_orders().await?;
        let needed: BTreeSet<String> =
            orders.iter().map(|orders| orders.space.digest.to_string()).collect();
        let Ok(entries) = fs::read_dir(self.files_dir()) else { return Ok(()) };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_some_and(|name| !needed.contains(name))
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(file = %entry.path().display(), %error, "cannot remove an archive");
            }
        }
        Ok(())
    }

    /// Reads `installer.json` again, as it may have been built anew.
    pub(crate) fn find_installer(&self) -> Result<InstallerManifest, Problem> {
        let missing = |message: String| {
            let cure = "make one with 'hostwright installer build' and name its directory in \
                        installer_dir";
            Problem::conflict("no-installer", message, cure)
        };
        let dir = self.config.installer_dir.as_ref();
        let dir = dir.ok_or_else(|| missing("no installer is configured".to_owned()))?;
        let manifest = read_installer(dir).map_err(missing)?;
        self.set_installer(manifest.clone());
        Ok(manifest)
    }

    fn check_not_open(&self, name: &MachineName) -> Result<(), Problem> {
        let member = self.member(name)?;
        let Some(run) = member.open_run() else { return Ok(()) };
        let message = format!("run {} of '{name}' is open", run.id);
        let cure = format!("let it end, or take it back: hostwright machine cancel {name}");
        Err(Problem::conflict("run-open", message, cure))
    }

    async fn prepare_orders(&self, spec: MachineSpec) -> Result<RunOrders, Problem> {
        let space_dir = self.config.spaces.get(&spec.space).cloned().ok_or_else(|| {
            let message = format!("there is no config space '{}'", spec.space);
            Problem::conflict("no-such-space", message, "add it to [spaces], or change the machine")
        })?;
        self.find_installer()?;
        let (store_dir, files_dir) = (self.config.store_dir.clone(), self.files_dir());
        let remote = self.remote_store.clone();
        let work = move || {
            let image = spec.image.as_deref();
            let image = image.map(|name| find_image(remote.as_deref(), &store_dir, name));
            prepare(spec.clone(), image.transpose()?, &space_dir, &files_dir)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))?
    }
}

/// The part of arming that reads disks.
fn prepare(
    spec: MachineSpec,
    image: Option<ImageRef>,
    space_dir: &Path,
    files_dir: &Path,
) -> Result<RunOrders, Problem> {
    let findings = space::check(space_dir).map_err(|error| Problem::internal(&error))?;
    refuse_errors(&spec.space, &findings)?;
    let space = space::archive(space_dir, files_dir).map_err(|error| Problem::internal(&error))?;
    let MachineSpec { classes, vars, manners, .. } = spec;
    Ok(RunOrders { space, image, classes, vars, manners })
}

fn refuse_errors(space: &str, findings: &[Diagnostic]) -> Result<(), Problem> {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let errors: Vec<String> = errors.map(Diagnostic::to_string).collect();
    if errors.is_empty() {
        return Ok(());
    }
    let message = format!("config space '{space}' has mistakes:\n{}", errors.join("\n"));
    let cure = "correct them; 'hostwright check' shows them with their lines";
    Err(Problem::conflict("space-has-mistakes", message, cure))
}

/// The image by name: its manifest is verified, its packs are there and long enough. Every byte is
/// verified by the machine, before it touches a disk.
fn find_image(
    remote: Option<&RemoteStore>,
    store_dir: &Path,
    name: &str,
) -> Result<ImageRef, Problem> {
    let refused = |error: StoreError| {
        let status = match error {
            StoreError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::CONFLICT,
        };
        let message = format!("image '{name}' cannot be used: {}", chain(&error));
        let cure = "'hostwright image verify' looks at all of it; build or add it again";
        Problem::new(status, "image-unusable", message, cure)
    };
    let found = match remote {
        Some(remote) => remote.complete(name),
        None => Store::open(store_dir).and_then(|store| store.complete(name)),
    };
    found.map_err(refused)
}

fn read_installer(dir: &Path) -> Result<InstallerManifest, String> {
    let path = dir.join(INSTALLER_FILE);
    let text = fs::read(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let manifest: InstallerManifest =
        serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    for file in [&manifest.kernel, &manifest.initrd, &manifest.tools] {
        let path = installer_file(dir, &file.file);
        match fs::metadata(&path) {
            Ok(meta) if meta.len() == file.size_bytes => {}
            Ok(_) => return Err(format!("{} is not the file it was", path.display())),
            Err(e) => return Err(format!("cannot read {}: {e}", path.display())),
        }
    }
    Ok(manifest)
}

/// A file of the installer.
pub(crate) fn installer_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}
