//! The second opinion on a plan, by a program that did not make it.
//!
//! It walks through the steps as the engine will, keeps account of what exists at each point, and
//! objects to every step that needs something that is not there or destroys something too early.
//! It shares no code with `resolve`, so that one mistake has to be made twice to get through.

mod old;
mod storage;
mod table;

use crate::codes;
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::facts::Disk;
use hostwright_model::ids::{Digest, StepId};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Inputs, Plan, Stage, Step, TargetProfile};
use hostwright_model::storage::OldLayer;
use std::collections::{BTreeMap, BTreeSet};

/// Everything wrong with a plan for these inputs. A plan with objections must not be run.
pub fn check_plan(plan: &Plan, inputs: &Inputs) -> Vec<Diagnostic> {
    let mut auditor = Auditor { inputs, found: Vec::new(), state: State::default() };
    auditor.state.keeps = old::kept_partitions(plan);
    auditor.ids_are_unique(plan);
    auditor.barriers_stand(plan);
    for stage in &plan.stages {
        stage.steps.iter().for_each(|step| auditor.step(stage.phase, step));
    }
    if plan.open.is_empty() {
        auditor.end();
    }
    auditor.found
}

/// What exists after the steps so far.
#[derive(Default)]
struct State {
    /// Images that were fetched.
    fetched: BTreeSet<Digest>,
    /// Disks that were confirmed, by device.
    confirmed: BTreeMap<String, Disk>,
    /// Block devices that this plan made, with their size.
    devices: BTreeMap<String, u64>,
    /// Those of them that are logical volumes.
    logical: BTreeSet<String>,
    /// Volume groups, with the bytes that are left in them.
    groups: BTreeMap<String, u64>,
    /// Devices that belong to a volume group.
    members: BTreeSet<String>,
    /// Devices with a file system or swap area, with its kind.
    formatted: BTreeMap<String, String>,
    /// Devices whose content has to survive.
    kept: BTreeSet<String>,
    /// Partitions that a later table keeps.
    keeps: BTreeSet<String>,
    /// Layers of earlier lives that are gone.
    taken: Vec<OldLayer>,
    /// True once what is on the disks was saved.
    has_saved: bool,
    /// Mount points, `/` first.
    mounted: Vec<String>,
    has_storage_files: bool,
    has_base: bool,
    has_sources: bool,
    /// True if the package managers were asked for all names.
    has_checked_packages: bool,
    is_unmounted: bool,
    /// True for a plan that does something else than to install.
    has_other: bool,
}

struct Auditor<'a> {
    inputs: &'a Inputs,
    found: Vec<Diagnostic>,
    state: State,
}

impl Auditor<'_> {
    fn object(&mut self, code: &str, step: Option<&StepId>, message: impl Into<String>) {
        debug_assert!(codes::is_known(code), "{code} is missing in codes.rs");
        let message = match step {
            Some(step) => format!("step {step}: {}", message.into()),
            None => message.into(),
        };
        self.found.push(Diagnostic {
            code: code.to_owned(),
            severity: Severity::Error,
            message,
            at: None,
            cure: "do not run this plan; report it as a defect of Hostwright".to_owned(),
            source_line: None,
        });
    }

    /// Objects unless `holds`.
    fn demand(&mut self, holds: bool, code: &str, step: &StepId, message: impl Into<String>) {
        if !holds {
            self.object(code, Some(step), message);
        }
    }

    fn ids_are_unique(&mut self, plan: &Plan) {
        let mut seen = BTreeSet::new();
        for (_, step) in plan.steps() {
            if !seen.insert(&step.id) {
                self.object("plan-duplicate-id", Some(&step.id), "another step has this id, too");
            }
        }
    }

    /// Phases come in their order, user code is behind barriers, and open ends are, too.
    fn barriers_stand(&mut self, plan: &Plan) {
        for pair in plan.stages.windows(2) {
            if pair[0].phase > pair[1].phase {
                let message = format!("phase {} comes after {}", pair[1].phase, pair[0].phase);
                self.object("plan-phase-order", None, message);
            }
        }
        for stage in plan.stages.iter().filter(|stage| !stage.barrier) {
            if let Some(step) = stage.steps.iter().find(|step| is_user_code(&step.action)) {
                let message = "user code runs without a barrier behind it";
                self.object("plan-no-barrier", Some(&step.id), message);
            }
        }
        let ends_at_barrier = plan.stages.last().is_some_and(|stage: &Stage| stage.barrier);
        if !plan.open.is_empty() && !ends_at_barrier {
            self.object("plan-no-barrier", None, "the plan is open but does not end at a barrier");
        }
    }

    /// True if the target is the system that runs.
    fn runs(&self) -> bool {
        self.inputs.target == TargetProfile::RunningSystem
    }

    /// True if a task is left to user code, which is trusted to know what it does.
    fn is_skipped(&self, phase: Phase) -> bool {
        let whole = [Phase::Action, Phase::Install, Phase::Dirinstall, Phase::Softupdate];
        let counts = |of: Phase| of == phase || whole.contains(&of);
        let replaced = |name: &String| {
            name.strip_prefix("task_").and_then(|task| task.parse().ok()).is_some_and(counts)
        };
        self.inputs.skips.iter().any(|skip| counts(skip.phase))
            || self.inputs.overrides.functions.keys().any(replaced)
    }

    fn step(&mut self, phase: Phase, step: &Step) {
        let (id, has_disks) = (&step.id, self.inputs.target.has_disks());
        if self.state.is_unmounted {
            self.object("plan-after-unmount", Some(id), "the target is unmounted already");
        }
        if touches_disks(&step.action) {
            self.demand(has_disks, "plan-writes-disk", id, "the target has no disks");
            self.demand_image_at_hand(id);
        }
        let runs_hooks = matches!(step.action, Action::Hook { .. } | Action::Function { .. });
        if runs_hooks && phase >= Phase::Partition {
            self.demand_image_at_hand(id);
        }
        if phase >= Phase::Extrbase && writes_target(&step.action) {
            let has_root = self.state.mounted.first().is_some_and(|point| point == "/");
            let trusted = self.is_skipped(Phase::Mountdisks);
            let message = "nothing is mounted as the root of the target yet";
            self.demand(!has_disks || has_root || trusted, "plan-no-root", id, message);
        }
        self.account(step);
    }

    /// Nothing may be lost before everything that replaces it is here.
    fn demand_image_at_hand(&mut self, id: &StepId) {
        if let Some(image) = self.inputs.target.image() {
            let is_here = self.state.fetched.contains(&image.manifest);
            let skipped = self.is_skipped(Phase::Install);
            let message = "disks may be written before the image is fetched";
            self.demand(is_here || skipped, "plan-image-too-late", id, message);
        }
    }

    #[expect(clippy::too_many_lines, reason = "a list of all actions, one arm each")]
    fn account(&mut self, step: &Step) {
        let id = &step.id;
        match &step.action {
            Action::FetchImage { image } => {
                self.state.fetched.insert(image.manifest);
            }
            Action::ConfirmDisks { disks } => self.confirm(id, disks),
            Action::SaveMetadata { .. } => self.state.has_saved = true,
            Action::TakeDown { layer } => self.take_down(id, layer),
            Action::ResizeFileSystem { device, size_bytes, .. } => {
                self.resize(id, device, *size_bytes);
            }
            Action::RaidArray { array } => self.array(id, array),
            Action::Encrypt { encrypted } => self.encrypt(id, encrypted),
            Action::PartitionTable { disk } => self.partition(id, disk),
            Action::VolumeGroup { group } => self.group(id, group),
            Action::LogicalVolume { group, volume } => self.logical_volume(id, group, volume),
            Action::Format { volume, ready_made } => {
                self.format(id, volume);
                if let Some(made) = ready_made {
                    self.ready_made(id, volume, made);
                }
            }
            Action::StorageFiles { .. } => self.state.has_storage_files = true,
            Action::Mount { volume } => self.mount(id, volume),
            Action::MountFstab => {
                let trusted = self.is_skipped(Phase::Partition);
                self.demand(trusted, "plan-no-fstab", id, "no step wrote fstab");
                self.state.mounted.push("/".to_owned());
            }
            Action::SwapOn { device } => {
                let is_new = self.state.formatted.get(device).is_some_and(|kind| kind == "swap");
                let is_swap = is_new || self.state.kept.contains(device);
                self.demand(is_swap, "plan-no-swap", id, format!("{device} is no swap area"));
            }
            Action::LayImage { image } => {
                let is_here = self.state.fetched.contains(&image.manifest);
                self.demand(is_here, "plan-image-too-late", id, "the image was not fetched");
                self.state.has_base = true;
            }
            Action::BaseFile { .. }
            | Action::Debootstrap { .. }
            | Action::FetchBaseFile { required: true, .. } => self.state.has_base = true,
            Action::InstallFstab => {
                let is_there = self.state.has_storage_files || !self.inputs.target.has_disks();
                let trusted = self.is_skipped(Phase::Partition);
                self.demand(is_there || trusted, "plan-no-fstab", id, "no step wrote fstab");
            }
            Action::Repository { .. } => {
                self.demand_base(id);
                self.state.has_sources = true;
            }
            Action::Packages { .. } => {
                self.demand_base(id);
                let has_sources = self.state.has_sources || self.is_skipped(Phase::Repository);
                self.demand(has_sources, "plan-no-sources", id, "no step wrote package sources");
                let is_checked = self.state.has_checked_packages;
                let message = "nobody made sure that the packages are to be had";
                self.demand(is_checked, "plan-unchecked-packages", id, message);
            }
            Action::CheckPackages { .. } => {
                self.demand_base(id);
                self.state.has_checked_packages = true;
            }
            Action::UpdateBase
            | Action::MountPseudo
            | Action::RamDisk { .. }
            | Action::FlushRamDisk { .. }
            | Action::MountMirror { .. }
            | Action::Preload { .. }
            | Action::RemovePreloaded { .. }
            | Action::PackageFiles { .. }
            | Action::Debconf { .. }
            | Action::SettlePackages
            | Action::Script { .. }
            | Action::Test { .. }
            | Action::LoadKernel { .. }
            | Action::FirstBoot
            | Action::Personalise { .. } => self.demand_base(id),
            Action::WriteFiles { files, remove, .. } => {
                self.demand_base(id);
                let paths = files.iter().map(|file| &file.path).chain(remove);
                for path in paths.filter(|path| !is_plain_path(path)) {
                    let message = format!("'{path}' is no path in the target");
                    self.object("plan-bad-path", Some(id), message);
                }
            }
            Action::BootLoader { setup } => {
                self.demand_base(id);
                let has_root = self.is_usable(&setup.root_device);
                let message = format!("{} holds no file system", setup.root_device);
                self.demand(has_root, "plan-not-formatted", id, message);
                let esp = setup.esp.as_ref();
                let message = "there is no EFI system partition that firmware can read";
                let has_esp = esp.is_some_and(|esp| self.is_usable(&esp.device));
                let good = has_esp || !setup.loader.needs_esp();
                self.demand(good, "plan-not-formatted", id, message);
            }
            Action::UnmountTarget => {
                let message = "what is mounted in the running system is in use";
                self.demand(!self.runs(), "plan-unmounts-itself", id, message);
                self.state.is_unmounted = true;
            }
            Action::OwnAction { .. } | Action::ShowHardware { .. } => self.state.has_other = true,
            Action::Hook { .. }
            | Action::Function { .. }
            | Action::Subroutines { .. }
            | Action::ClassScript { .. }
            | Action::SourceVars { .. }
            | Action::FetchBaseFile { required: false, .. }
            | Action::KeepOldEtc { .. }
            | Action::Finish
            | Action::SaveLogs => {}
        }
    }

    /// True for a device with a file system, new or kept.
    fn is_usable(&self, device: &str) -> bool {
        self.state.formatted.contains_key(device) || self.state.kept.contains(device)
    }

    fn demand_base(&mut self, id: &StepId) {
        let holds = self.state.has_base || self.runs() || self.is_skipped(Phase::Extrbase);
        self.demand(holds, "plan-no-base", id, "there is no base system in the target yet");
    }

    /// What a whole plan must have done.
    fn end(&mut self) {
        if self.runs() {
            return;
        }
        let unmounts = self.state.is_unmounted || self.is_skipped(Phase::Faiend);
        if !unmounts {
            self.object("plan-no-unmount", None, "the plan leaves the target mounted");
        }
        if !self.state.has_base && !self.state.has_other && !self.is_skipped(Phase::Extrbase) {
            self.object("plan-no-base", None, "the plan makes no base system");
        }
    }
}

/// True for an absolute path that does not lead out of the target.
fn is_plain_path(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|name| !name.is_empty() && name != "." && name != "..")
    })
}

fn is_user_code(action: &Action) -> bool {
    matches!(
        action,
        Action::Hook { .. }
            | Action::OwnAction { .. }
            | Action::Function { .. }
            | Action::Subroutines { .. }
            | Action::ClassScript { .. }
            | Action::SourceVars { .. }
            | Action::Script { .. }
            | Action::Test { .. }
    )
}

fn touches_disks(action: &Action) -> bool {
    matches!(
        action,
        Action::SaveMetadata { .. }
            | Action::TakeDown { .. }
            | Action::ResizeFileSystem { .. }
            | Action::RaidArray { .. }
            | Action::Encrypt { .. }
            | Action::PartitionTable { .. }
            | Action::VolumeGroup { .. }
            | Action::LogicalVolume { .. }
            | Action::Format { .. }
            | Action::Mount { .. }
            | Action::MountFstab
            | Action::SwapOn { .. }
    )
}

fn writes_target(action: &Action) -> bool {
    !matches!(
        action,
        Action::Hook { .. }
            | Action::Function { .. }
            | Action::UnmountTarget
            | Action::Finish
            | Action::SaveLogs
    )
}
