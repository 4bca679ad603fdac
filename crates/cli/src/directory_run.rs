//! Runs a config space on this machine: into a directory or a disk image file, which is the whole of
//! `build`, on the running system, which is `apply`, and as much of it as `plan` needs to learn
//! classes and variables.

use crate::commands::plan::{Only, Silent};
use crate::faults::Failure;
use crate::stored_image::StoredImage;
use hostwright_agent::planner::SpacePlanner;
use hostwright_engine::{Images, NoImages, Planner, Session, Settings};
use hostwright_host::Host as _;
use hostwright_host::real::{RealHost, RealOptions};
use hostwright_model::class::{ClassList, ClassName};
use hostwright_model::event::{Event, EventBody};
use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::Firmware;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::Digest;
use hostwright_model::overrides::Overrides;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Discovered, Inputs, Plan, Rules, TargetProfile};
use hostwright_model::vars::Vars;
use hostwright_server::package_proxy::{self, MirrorMap, PackageProxyConfig};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is run, and where.
#[derive(Clone)]
pub struct DirectoryRun {
    /// The config space.
    pub space: PathBuf,
    /// True to work on the running system, or on another one that is complete.
    pub on_system: bool,
    /// Host name.
    pub hostname: String,
    /// The firmware that class scripts see.
    pub firmware: Firmware,
    /// Classes of the operator's.
    pub given_classes: Vec<ClassName>,
    /// False to take `given_classes` as they are.
    pub run_class_scripts: bool,
    /// Variables that win over those of the space.
    pub vars: BTreeMap<String, String>,
    /// Variables that those of the space win over.
    pub defaults: BTreeMap<String, String>,
    /// How the space is read where there is a choice.
    pub rules: Rules,
    /// Journal and links to FAI's tools.
    pub record_dir: PathBuf,
    /// FAI's `$LOGDIR`.
    pub log_dir: PathBuf,
    /// FAI's `$FAI_ROOT`.
    pub target: PathBuf,
    /// Kernel name of the disk to install on, a loop device; without one the target is a directory.
    pub disk: Option<String>,
    /// True for a disk with an earlier life, false for a fresh one.
    pub is_used_disk: bool,
    /// What is laid down on the disk; without an image packages are installed.
    pub image: Option<StoredImage>,
    /// Where downloaded packages are kept.
    pub package_cache: PathBuf,
    /// Go on with an earlier run.
    pub resume: bool,
}

/// Is told what happens.
pub trait Observer {
    /// Called for every event, in order.
    fn event(&mut self, event: &Event);
}

/// What came of it.
pub struct Built {
    /// FAI's highest task error.
    pub task_error: u32,
    /// The classes.
    pub classes: ClassList,
    /// The variables.
    pub vars: Vars,
    /// Digest of the config space.
    pub space: Digest,
}

impl DirectoryRun {
    /// Runs it to its end. To be called inside of the engine's sandbox.
    pub fn carry_out(&self, observer: &mut dyn Observer) -> Result<Built, Failure> {
        let space = absolute(&self.space)?;
        let mut planner = SpacePlanner::read(&space)?;
        self.run(&space, &mut planner, observer)
    }

    /// Runs it with a planner that may stop early.
    pub fn run(
        &self,
        space: &Path,
        planner: &mut dyn Planner,
        observer: &mut dyn Observer,
    ) -> Result<Built, Failure> {
        // A running system has its own package sources and no use for ours, an image no need.
        let is_asked = !self.on_system && self.image.is_none();
        let proxy = is_asked.then(|| package_proxy::start(self.proxy_config()));
        let proxy = proxy.transpose().map_err(|error| {
            let message = format!("cannot start the package proxy: {error}");
            let cure = "check --package-cache, its permissions and free space";
            Fault::new(FaultKind::Environment, "package-proxy", message, cure)
        })?;
        let mut host = self.host();
        let inputs = self.inputs(&mut host)?;
        let settings = self.settings(space, proxy.as_ref().map(|proxy| proxy.url()))?;
        let mut images: Box<dyn Images> = match &self.image {
            Some(stored) => Box::new(stored.clone()),
            None => Box::new(NoImages),
        };
        let mut session = Session::open(&mut host, &mut *images, settings, inputs)?;
        let mut number = 0;
        let mut emit = |body: EventBody| {
            number += 1;
            observer.event(&Event { seq: number, at_ms: now_ms(), body });
        };
        let report = hostwright_engine::run(&mut session, planner, &mut emit)?;
        let inputs = session.inputs();
        let space =
            hostwright_plan::ConfigTree { files: hostwright_host::space::read_space(&self.space)? };
        Ok(Built {
            task_error: report.task_error,
            classes: inputs.classes.clone().unwrap_or_default(),
            vars: inputs.vars.clone().unwrap_or_default(),
            space: space.digest(),
        })
    }

    /// This machine, as far as the run is concerned with it.
    fn host(&self) -> RealHost {
        RealHost::new(RealOptions {
            only_disks: self.disk.clone().map(|disk| vec![disk]),
            used_disks: self.is_used_disk,
            fat_stage_dir: self.disk.is_some().then(|| self.fat_stage_dir().display().to_string()),
            ..RealOptions::default()
        })
    }

    /// What the first plan is made from.
    pub fn inputs(&self, host: &mut RealHost) -> Result<Inputs, Failure> {
        let mut facts = host.facts()?;
        if !self.on_system {
            facts.firmware = self.firmware;
        }
        if !self.is_used_disk {
            // What is on the disks of the machine that builds is no concern of a directory.
            facts.storage = ExistingStorage::default();
        }
        Ok(Inputs {
            facts,
            hostname: self.hostname.clone(),
            target: match (&self.image, &self.disk) {
                (Some(stored), Some(_)) => {
                    let ready_made = stored.ready_made.clone().map(Box::new);
                    TargetProfile::ImageOnDisk { image: stored.image.clone(), ready_made }
                }
                (None, Some(_)) => TargetProfile::DiskFile,
                (_, None) if self.on_system => TargetProfile::RunningSystem,
                (_, None) => TargetProfile::Directory,
            },
            given_classes: self.given_classes.clone(),
            run_class_scripts: self.run_class_scripts,
            classes: None,
            vars: None,
            skips: Vec::new(),
            rules: self.rules,
            discovered: Discovered::default(),
            overrides: Overrides::default(),
        })
    }

    /// The whole plan, as far as it can be told before anything but the space's class scripts and
    /// `.var` files has run, which happens here; they leave their traces in `scratch`.
    pub fn preview(&self, scratch: &Path) -> Result<(Plan, Inputs), Failure> {
        let observing = Self {
            record_dir: scratch.join("record"),
            log_dir: scratch.join("logs"),
            target: scratch.join("root"),
            resume: false,
            ..self.clone()
        };
        let space = absolute(&self.space)?;
        let mut early = Only { whole: SpacePlanner::read(&space)?, until: Phase::Defvar };
        let built = observing.run(&space, &mut early, &mut Silent)?;
        let inputs = Inputs {
            classes: Some(built.classes),
            vars: Some(built.vars),
            ..self.inputs(&mut self.host())?
        };
        let plan = SpacePlanner::read(&space)?.plan(&inputs)?;
        Ok((plan, inputs))
    }

    /// Where FAT file systems wait that the kernel cannot mount.
    pub fn fat_stage_dir(&self) -> PathBuf {
        self.record_dir.join("fat")
    }

    fn proxy_config(&self) -> PackageProxyConfig {
        PackageProxyConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            cache_dir: self.package_cache.clone(),
            map: MirrorMap::from_apt_sources(),
            upstream: None,
        }
    }

    /// Directories and wishes of the run, for the engine.
    pub fn settings(&self, space: &Path, proxy: Option<String>) -> Result<Settings, Failure> {
        let text = |path: &Path| absolute(path).map(|path| path.display().to_string());
        let program = std::env::current_exe()
            .map_err(|error| crate::faults::file("find", Path::new("/proc/self/exe"), &error))?;
        Ok(Settings {
            record_dir: text(&self.record_dir)?,
            space_dir: text(space)?,
            target_dir: text(&self.target)?,
            log_dir: text(&self.log_dir)?,
            program: text(&program)?,
            shims: !self.on_system,
            package_proxy: proxy,
            vars: self.vars.clone(),
            defaults: self.defaults.clone(),
            flags: Vec::new(),
            verbose: true,
            firmware_view: (!self.on_system).then_some(self.firmware),
            fat_stage_dir: match self.disk {
                Some(_) => Some(text(&self.fat_stage_dir())?),
                None => None,
            },
        })
    }
}

impl From<Box<Fault>> for Failure {
    fn from(fault: Box<Fault>) -> Self {
        Self::Fault(fault)
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| crate::faults::file("find", path, &error))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
