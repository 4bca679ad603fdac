//! Installing from an image: what is in it already is left out, what is missing is refused.

use super::{Planner, step};
use crate::finding::Finding;
use hostwright_model::class::ClassName;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::image::{ImageRef, ReadyMade};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Stage, Step, Why};
use hostwright_model::size::ByteSize;
use hostwright_model::storage::{Fate, StorageLayout, Volume};
use hostwright_model::vars::Vars;

/// Classes that begin so bring boot loaders, which only the machine itself can install.
const LOADER_CLASS_PREFIX: &str = "GRUB_";

/// The step that fetches an image.
pub(super) fn fetch(image: &ImageRef) -> Step {
    let why = Why::because("all of it has to be at hand before a disk is touched");
    step(format!("fetch/{}", image.name), Action::FetchImage { image: image.clone() }, why)
}

/// Refuses an image that does not fit into the file systems of the layout, before any is made.
pub(super) fn refuse_large_image(
    image: &ImageRef,
    layout: Option<&StorageLayout>,
) -> Result<(), Vec<Diagnostic>> {
    let Some(layout) = layout else { return Ok(()) };
    let holds_files = |volume: &&Volume| {
        let in_memory = matches!(volume.file_system.as_deref(), Some("tmpfs" | "nfs"));
        volume.mount_point.is_some() && !in_memory
    };
    let volumes: Vec<&Volume> = layout.volumes.iter().filter(holds_files).collect();
    let room_bytes: u64 = volumes.iter().map(|volume| volume.size_bytes).sum();
    let root = volumes.iter().find(|volume| volume.mount_point.as_deref() == Some("/"));
    let Some(root) = root.filter(|_| room_bytes < image.content_bytes) else { return Ok(()) };
    let (image_size, room) = (ByteSize(image.content_bytes), ByteSize(room_bytes));
    let message = format!(
        "image {} has files of {}, the file systems of this layout are {} together",
        image.name,
        image_size.rounded(),
        room.rounded()
    );
    let cure = "use a larger disk, or give its partitions more room";
    Err(vec![Finding::error("image-too-large", message, cure).at_file(&root.why.file)])
}

impl Planner<'_> {
    /// The root volume and the ready-made file system that is laid down on it as blocks, which
    /// measures faster than file by file for every image. None if the volume is to be made in another way, is
    /// smaller, or is not the place of all files of the image.
    pub(super) fn ready_made_root<'l>(
        &self,
        layout: &'l StorageLayout,
    ) -> Option<(&'l Volume, &ReadyMade)> {
        let made = self.inputs.target.ready_made()?;
        let mounted = |volume: &&Volume| volume.mount_point.is_some();
        let (roots, others): (Vec<&Volume>, Vec<&Volume>) = layout
            .volumes
            .iter()
            .filter(mounted)
            .partition(|volume| volume.mount_point.as_deref() == Some("/"));
        let is_empty = |volume: &&Volume| {
            let point = volume.mount_point.as_deref().unwrap_or_default();
            made.empty_directories.iter().any(|empty| empty == point.trim_end_matches('/'))
        };
        let root = roots.first()?;
        let fits = root.file_system.as_deref() == Some(made.file_system.as_str())
            && root.size_bytes >= made.size_bytes
            && matches!(root.fate, Fate::Create | Fate::Reformat)
            && root.create_options.is_empty();
        (fits && others.iter().all(is_empty)).then_some((*root, made))
    }

    /// True if the files of the image come with a file system.
    fn comes_ready_made(&self) -> bool {
        let is_made =
            |step: &Step| matches!(&step.action, Action::Format { ready_made: Some(_), .. });
        self.stages.iter().flat_map(|stage| &stage.steps).any(is_made)
    }

    /// Refuses a machine with classes whose packages, files or scripts the image lacks.
    pub(super) fn refuse_missing_classes(&self, image: &ImageRef) -> Result<(), Vec<Diagnostic>> {
        let is_missing = |class: &&ClassName| {
            class.as_str() != self.inputs.hostname && !image.origin.classes.contains(class.as_str())
        };
        let missing = self.classes.iter().filter(is_missing);
        let brought: Vec<(&ClassName, Brought)> =
            missing.filter_map(|class| Some((class, self.brought_by(class)?))).collect();
        let Some((_, first)) = brought.first() else { return Ok(()) };
        let names: Vec<&str> = brought.iter().map(|(class, _)| class.as_str()).collect();
        let names = names.join(", ");
        let message = format!(
            "image {} was built without {names}, which this machine has and which bring packages, \
             files or scripts",
            image.name
        );
        let firmware = names.contains(LOADER_CLASS_PREFIX);
        let hint = if firmware { ", or with --firmware for this machine's firmware" } else { "" };
        let cure = format!("build the image with these classes, too{hint}");
        let finding = Finding::error("image-lacks-classes", message, cure);
        Err(vec![match first {
            Brought::File(path) => finding.at_file(path),
            Brought::Packages { class, line } => {
                self.space.packages[*class].at(finding, *line, 1, 0)
            }
        }])
    }

    /// The first thing that a class brings into an image.
    fn brought_by(&self, class: &ClassName) -> Option<Brought<'_>> {
        let own = [&self.space.scripts, &self.space.debconf, &self.space.package_archives];
        for files in own {
            if let Some(path) = files.get(class).and_then(|paths| paths.first()) {
                return Some(Brought::File(path));
            }
        }
        for owner in self.classes.iter() {
            let Some(file) = self.space.packages.get(owner) else { continue };
            let block = file.blocks.iter().find(|block| {
                let mentions = block.condition.classes().contains(&class) || owner == class;
                mentions && !block.words.is_empty()
            });
            if let Some(block) = block {
                return self
                    .space
                    .packages
                    .get_key_value(owner)
                    .map(|(class, _)| Brought::Packages { class, line: block.line });
            }
        }
        let variant = self.space.files.values().find_map(|variants| variants.get(class));
        variant.map(|path| Brought::File(path))
    }

    /// The phase extrbase: lay the image down and make this machine of it.
    pub(super) fn plan_image(
        &mut self,
        image: &ImageRef,
        vars: &Vars,
    ) -> Result<(), Vec<Diagnostic>> {
        let network = self.written_network()?;
        self.hooks(Phase::Extrbase);
        let why = Why::because(format!("the machine is installed from image {}", image.name));
        let lay = Action::LayImage { image: image.clone() };
        let nic = if network.is_some() { None } else { self.nic(vars) };
        let personalise = Action::Personalise { hostname: self.inputs.hostname.clone(), nic };
        let fstab = Why::because("the image knows no disks");
        let mut steps = vec![
            step("fstab", Action::InstallFstab, fstab),
            step("personalise", personalise, Why::because("an image belongs to no machine")),
        ];
        if !self.comes_ready_made() {
            steps.insert(0, step(format!("image/{}", image.name), lay, why));
        }
        steps.extend(network);
        self.body(Phase::Extrbase, steps, false);
        Ok(())
    }

    /// The phase configure: everything but the boot loader is configured in the image already.
    pub(super) fn plan_loader(
        &mut self,
        image: &ImageRef,
        layout: Option<&StorageLayout>,
    ) -> Result<(), Vec<Diagnostic>> {
        let own = self.own_loader(image, layout)?;
        if self.skipped(Phase::Configure) == super::Skipped::Whole {
            return Ok(());
        }
        let why = Why::because("hooks and scripts run programs of the target");
        let steps = vec![step("pseudo-mounts", Action::MountPseudo, why)];
        self.stages.push(Stage { phase: Phase::Configure, steps, barrier: false });
        self.hooks(Phase::Configure);
        let load = self.load_kernel(image, layout);
        if let Some(own) = own {
            self.body(Phase::Configure, std::iter::once(own).chain(load).collect(), false);
            return Ok(());
        }
        let mut scripts =
            self.scripts_of(&self.space.scripts, "script", |path| Action::Script { path });
        scripts.retain(|step| {
            step.why.class.as_ref().is_some_and(|class| class.starts_with(LOADER_CLASS_PREFIX))
        });
        self.body(Phase::Configure, scripts, true);
        // Whoever replaces the task has done it by now.
        if let Some(load) = load.filter(|_| self.does(Phase::Configure)) {
            self.body(Phase::Configure, vec![load], false);
        }
        Ok(())
    }

    /// The interface that DHCP configures: what the space says, else the first one with a carrier.
    fn nic(&self, vars: &Vars) -> Option<String> {
        if !self.inputs.target.is_own_machine() {
            // What is plugged into this machine says nothing about the other one.
            return None;
        }
        // The space may turn predictable names off, and then only it knows the name.
        let told = vars.0.get("NIC1").filter(|var| var.origin.starts_with("class/"));
        let nics = &self.inputs.facts.nics;
        let nic = nics.iter().find(|nic| nic.link_up).or(nics.first());
        let found = nic.map(|nic| nic.predictable_name.as_ref().unwrap_or(&nic.name).clone());
        told.map(|var| var.value.clone()).or(found)
    }
}

/// Something of the space that has to be in an image.
enum Brought<'a> {
    /// A file.
    File(&'a str),
    /// A block of packages.
    Packages {
        /// Whose file.
        class: &'a ClassName,
        /// Line of the header.
        line: u32,
    },
}
