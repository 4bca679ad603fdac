//! Installing a machine from an image without a config space, in Dominator's manner: facts, a manifest,
//! a layout, a network and policies in, a plan out.
//!
//! The plan is made of the same stages and actions as one from a config space, so that the same engine
//! runs it and the same checker objects to it. Whatever could fail later is looked at here: the layout
//! on these disks, the image's size, its kernel and boot loader, the network on these cards. Without a
//! plan nothing is written.

mod choose;
pub(crate) mod loader;
mod network;
pub(crate) mod storage;
mod summary;

pub use choose::DiskChoice;
pub use summary::summarize;

use crate::dominator::DominatorInputs;
use crate::finding::Finding;
use crate::machine_file::Section;
use crate::resolve::{disks, step};
use hostwright_model::class::ClassList;
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::facts::Facts;
use hostwright_model::ids::Digest;
use hostwright_model::image::{ImageRef, ImageSummary};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{
    Action, Discovered, FileTopic, Inputs, PLAN_VERSION, Plan, Rules, Stage, Step, TargetFile,
    TargetProfile, Why,
};
use hostwright_model::policy::{InstallPolicy, Restart};
use hostwright_model::storage::StorageLayout;
use hostwright_model::vars::Vars;

/// Everything that a plan is made of.
#[derive(Clone, Debug)]
pub struct ImageInstall<'a> {
    /// The machine and the image, see [`inputs`].
    pub inputs: &'a Inputs,
    /// What the machine is to become.
    pub described: &'a DominatorInputs,
    /// What the image's manifest says, see [`summarize`].
    pub summary: &'a ImageSummary,
    /// Who chooses the disks.
    pub disks: DiskChoice,
}

/// The inputs of a run that installs an image: nothing of a config space.
pub fn inputs(facts: Facts, hostname: &str, image: ImageRef) -> Inputs {
    Inputs {
        facts,
        hostname: hostname.to_owned(),
        target: TargetProfile::DisksImage { image },
        given_classes: Vec::new(),
        run_class_scripts: false,
        classes: Some(ClassList::default()),
        vars: Some(Vars::default()),
        skips: Vec::new(),
        rules: Rules::default(),
        discovered: Discovered::default(),
        overrides: Default::default(),
    }
}

/// The host name of a machine that is described so.
pub fn hostname(described: &DominatorInputs) -> Result<&str, Vec<Diagnostic>> {
    described.machine.hostname().ok_or_else(|| {
        let cure = "write \"Hostname\" into Machine";
        let finding =
            Finding::error("no-hostname", "nothing says what this machine is called", cure);
        vec![described.machine.source.find(finding, described.machine.primary.at)]
    })
}

/// Makes the plan. Errors are everything that would make the installation fail, or leave a machine
/// that does not start or that nobody can reach, as far as it can be told before; all of them.
pub fn resolve(install: &ImageInstall<'_>) -> Result<Plan, Vec<Diagnostic>> {
    let TargetProfile::DisksImage { image } = &install.inputs.target else {
        let cure = "report it as a defect of Hostwright";
        let finding = Finding::error("bad-image-name", "this run installs no image", cure);
        return Err(vec![finding.at_file("imagename")]);
    };
    let mut found = Vec::new();
    let mut collect = |mistakes: Vec<Diagnostic>| found.extend(mistakes);
    let chosen = choose::choose(install).map_err(&mut collect).ok();
    let boot = loader::choose(install).map_err(&mut collect).ok();
    let files = network::files(install).map_err(&mut collect).ok();
    architecture(install).into_iter().for_each(|mistake| collect(vec![mistake]));
    let layout = chosen.as_deref().zip(boot.as_ref()).and_then(|(chosen, boot)| {
        storage::layout(install, chosen, boot).map_err(&mut collect).ok()
    });
    let (Some(layout), Some(boot), Some(files)) = (layout, boot, files) else {
        return Err(found);
    };
    if !found.is_empty() {
        return Err(found);
    }
    let mut planner = Planner { install, image, layout: &layout, stages: Vec::new() };
    planner.prepare();
    planner.disks();
    planner.lay_down(files);
    planner.boot(&boot);
    planner.end();
    let stages = planner.stages;
    let policy = Some(policy(install));
    let inputs = digest(install);
    let open = Vec::new();
    Ok(Plan { version: PLAN_VERSION, inputs, stages, layout: Some(layout), open, policy })
}

/// Warnings about a plan that can be made: in the files, and about the layout on this machine.
pub fn advise(install: &ImageInstall<'_>) -> Vec<Diagnostic> {
    let mut found = install.described.warnings.clone();
    found.retain(|finding| finding.severity == Severity::Warning);
    found
}

/// How the installation ends.
fn policy(install: &ImageInstall<'_>) -> InstallPolicy {
    let settings = install.described.settings.as_ref();
    let section = settings.map(|file| file.policy()).unwrap_or_default();
    let kexec = settings.and_then(|file| file.boot().kexec);
    let default = InstallPolicy::default();
    InstallPolicy {
        restart: match kexec.unwrap_or(install.described.layout.use_kexec) {
            true => Restart::Kexec,
            false => Restart::Firmware,
        },
        on_failure: section.on_failure.unwrap_or(default.on_failure),
        keep_old_etc: section.keep_old_etc.unwrap_or(default.keep_old_etc),
    }
}

/// The mistake of a description for another kind of machine.
fn architecture(install: &ImageInstall<'_>) -> Option<Diagnostic> {
    let machine = &install.described.machine;
    let told = machine.architecture.as_ref()?;
    let own = &install.inputs.facts.architecture;
    (told.value != *own).then(|| {
        let message = format!("the machine is described as {}, and is {own}", told.value);
        let cure = "correct ArchitectureType, or look whether it is the right machine";
        machine.source.find(Finding::error("wrong-architecture", message, cure), told.at)
    })
}

/// Digest of everything that the plan depends on.
fn digest(install: &ImageInstall<'_>) -> Digest {
    let described = install.described;
    let inputs = serde_json::to_vec(install.inputs).expect("invariant: inputs have text keys only");
    let summary = serde_json::to_vec(install.summary).expect("invariant: a summary is plain data");
    let settings = described.settings.as_ref().map_or("", |file| file.text());
    let choice = format!("{:?}", install.disks);
    let lines = |lines: &[String]| lines.join("\n");
    let parts = [
        inputs,
        summary,
        lines(&described.machine.source.lines).into_bytes(),
        lines(&described.layout.source.lines).into_bytes(),
        settings.as_bytes().to_vec(),
        choice.into_bytes(),
    ];
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(&part);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// A plan while it is made.
struct Planner<'a> {
    install: &'a ImageInstall<'a>,
    image: &'a ImageRef,
    layout: &'a StorageLayout,
    stages: Vec<Stage>,
}

impl Planner<'_> {
    fn stage(&mut self, phase: Phase, steps: Vec<Step>) {
        if !steps.is_empty() {
            self.stages.push(Stage { phase, steps, barrier: false });
        }
    }

    /// Everything is at hand before a disk is touched.
    fn prepare(&mut self) {
        let action = Action::FetchImage { image: self.image.clone() };
        let fetch = step(format!("fetch/{}", self.image.name), action, self.image_why());
        self.stage(Phase::Install, vec![fetch]);
    }

    fn image_why(&self) -> Why {
        self.install.described.image.why.clone()
    }

    fn disks(&mut self) {
        let facts = &self.install.inputs.facts;
        let planned = |device: &String| self.layout.disks.iter().any(|disk| disk.device == *device);
        let disks = facts.disks.iter().filter(|disk| planned(&disk.path())).cloned().collect();
        let why = Why::because("the plan is for these disks and no others");
        let mut steps = vec![step("disks", Action::ConfirmDisks { disks }, why)];
        if policy(self.install).keep_old_etc {
            steps.extend(storage::old_root(self.layout, &facts.storage));
        }
        steps.extend(disks::partition_steps(self.layout, &facts.storage, None));
        self.stage(Phase::Partition, steps);
        self.stage(Phase::Mountdisks, disks::mount_steps(self.layout, true));
    }

    /// The image, and what makes this machine of it.
    fn lay_down(&mut self, network: network::Files) {
        let hostname = self.install.inputs.hostname.clone();
        let lay = Action::LayImage { image: self.image.clone() };
        // The network is among the files.
        let personalise = Action::Personalise { hostname, nic: None };
        let record = TargetFile {
            path: "/var/lib/initial-image".to_owned(),
            mode: 0o644,
            content: format!("{}\n", self.install.described.image.name),
        };
        let record = Action::WriteFiles {
            topic: FileTopic::Record,
            files: vec![record],
            remove: Vec::new(),
        };
        let steps = vec![
            step(format!("image/{}", self.image.name), lay, self.image_why()),
            step("fstab", Action::InstallFstab, Why::because("the image knows no disks")),
            step("personalise", personalise, Why::because("an image belongs to no machine")),
            step("network", network.action, network.why),
            step("record", record, Why::because("programs that keep images up to date read it")),
        ];
        self.stage(Phase::Extrbase, steps);
    }

    fn boot(&mut self, boot: &loader::Boot) {
        let why = Why::because("programs of the target run in it");
        let mut steps = vec![step("pseudo-mounts", Action::MountPseudo, why)];
        let (setup, kexec) = loader::setups(self.install, self.layout, boot);
        let id = format!("boot-loader/{}", setup.loader.name());
        steps.push(step(id, Action::BootLoader { setup }, boot.why.clone()));
        if policy(self.install).restart == Restart::Kexec {
            let why = self.kexec_why();
            steps.push(step("load-kernel", Action::LoadKernel { setup: kexec }, why));
        }
        self.stage(Phase::Configure, steps);
    }

    fn kexec_why(&self) -> Why {
        let settings = self.install.described.settings.as_ref();
        match settings.filter(|file| file.boot().kexec.is_some()) {
            Some(file) => file.why(Section::Boot),
            None => Why::line(self.install.described.layout.source.file.clone(), 0, None),
        }
    }

    fn end(&mut self) {
        for (phase, id, action) in [
            (Phase::Finish, "finish", Action::Finish),
            (Phase::Savelog, "save-logs", Action::SaveLogs),
            (Phase::Faiend, "unmount", Action::UnmountTarget),
        ] {
            let why = Why::because(format!("FAI's task {phase}"));
            self.stage(phase, vec![step(id, action, why)]);
        }
    }
}
