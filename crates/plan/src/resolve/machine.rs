//! What a machine file says about a machine that is installed from an image, besides its disks: which
//! image, its network, its boot loader, how the run ends.

use super::{Planner, step};
use crate::image_install::loader::{self, Site};
use crate::image_install::storage::old_root;
use crate::machine_file::{MachineFile, Section};
use crate::network::{Surroundings, render};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::image::ImageRef;
use hostwright_model::plan::{Action, FileTopic, Step};
use hostwright_model::policy::{InstallPolicy, Restart};
use hostwright_model::storage::StorageLayout;

impl Planner<'_> {
    fn machine_file(&self) -> Option<&MachineFile> {
        self.space.machine_file_of(&self.inputs.hostname, &self.classes)
    }

    /// Refuses a run that is not what the machine's file asks for.
    pub(super) fn refuse_contradictions(&self, image: &ImageRef) -> Result<(), Vec<Diagnostic>> {
        let Some(file) = self.machine_file() else { return Ok(()) };
        let asked = file.image().filter(|asked| {
            let other_name = asked.name.as_ref().is_some_and(|name| *name != image.name);
            other_name || asked.digest.is_some_and(|digest| digest != image.manifest)
        });
        if let Some(asked) = asked {
            let digest = asked.digest.map(|digest| digest.to_string());
            let wanted = asked.name.clone().or(digest).unwrap_or_default();
            let message = format!("this machine is to get image {wanted}, and gets {}", image.name);
            let cure = "install the machine from the image of its file, or change the file";
            return Err(vec![file.error_in(Section::Image, "bad-image-name", message, cure)]);
        }
        if file.encryption() != Default::default() {
            let message = "what is encrypted on this machine is said by its disk_config";
            let cure = "take [encryption] out, and write disk_config cryptsetup";
            return Err(vec![file.error_in(
                Section::Encryption,
                "bad-machine-file",
                message,
                cure,
            )]);
        }
        Ok(())
    }

    /// The step that writes the network, where the machine's file describes it.
    pub(super) fn written_network(&self) -> Result<Option<Step>, Vec<Diagnostic>> {
        let Some(file) = self.machine_file() else { return Ok(None) };
        let Some(network) = file.network(&self.inputs.facts.nics)? else { return Ok(None) };
        let Some(renderer) = file.renderer() else {
            let message = "nothing says for which program the network is to be written";
            let cure = "write renderer = \"ifupdown\", \"netplan\", \"networkd\" or \
                        \"networkmanager\", whichever the image has";
            return Err(vec![file.error_in(Section::Network, "no-renderer", message, cure)]);
        };
        let files = render(&network, renderer, Surroundings::default());
        let topic = FileTopic::Network { renderer };
        let action = Action::WriteFiles { topic, files, remove: Vec::new() };
        Ok(Some(step("network", action, file.why(Section::Network))))
    }

    /// The step that installs the boot loader, where the machine's file names one; scripts of classes
    /// are then left out.
    pub(super) fn own_loader(
        &self,
        image: &ImageRef,
        layout: Option<&StorageLayout>,
    ) -> Result<Option<Step>, Vec<Diagnostic>> {
        let (Some(file), Some(layout)) = (self.machine_file(), layout) else { return Ok(None) };
        let section = file.boot();
        let Some(name) = section.loader else { return Ok(None) };
        let facts = &self.inputs.facts;
        if let Some(mistake) = loader::wrong_firmware(file, name, facts.firmware) {
            return Err(vec![mistake]);
        }
        let setup = loader::setup(&section, name, &self.site(image, layout));
        if setup.loader.needs_esp() && setup.esp.is_none() {
            let message = "this boot loader needs an EFI system partition, and there is none";
            let cure = "add a line for /boot/efi to the disk_config";
            return Err(vec![file.error_in(Section::Boot, "wrong-loader", message, cure)]);
        }
        let id = format!("boot-loader/{}", setup.loader.name());
        Ok(Some(step(id, Action::BootLoader { setup }, file.why(Section::Boot))))
    }

    fn site<'a>(&'a self, image: &'a ImageRef, layout: &'a StorageLayout) -> Site<'a> {
        Site {
            layout,
            architecture: &self.inputs.facts.architecture,
            label: &image.name,
            // The image's files are not known here.
            kernel: None,
            rebuild_initrd: !layout.encrypted.is_empty(),
        }
    }

    /// The step that prepares a restart without the firmware, where the machine's file asks for one.
    pub(super) fn load_kernel(
        &self,
        image: &ImageRef,
        layout: Option<&StorageLayout>,
    ) -> Option<Step> {
        let (file, layout) = (self.machine_file()?, layout?);
        let section = file.boot();
        let setup = loader::kexec(&section, &self.site(image, layout));
        let action = Action::LoadKernel { setup };
        (section.kexec == Some(true)).then(|| step("load-kernel", action, file.why(Section::Boot)))
    }

    /// The step that keeps `/etc` of the system that was there, where the machine's file asks for it.
    pub(super) fn keep_old_etc(&self, layout: &StorageLayout) -> Option<Step> {
        let is_wanted = self.machine_file()?.policy().keep_old_etc == Some(true);
        old_root(layout, &self.inputs.facts.storage).filter(|_| is_wanted)
    }

    /// How the run ends, where the machine's file says so.
    pub(super) fn policy(&self) -> Option<InstallPolicy> {
        let file = self.machine_file().filter(|_| self.inputs.target.has_disks())?;
        let (policy, kexec) = (file.policy(), file.boot().kexec);
        if policy.on_failure.is_none() && policy.keep_old_etc.is_none() && kexec.is_none() {
            return None;
        }
        let default = InstallPolicy::default();
        Some(InstallPolicy {
            restart: if kexec == Some(true) { Restart::Kexec } else { Restart::Firmware },
            on_failure: policy.on_failure.unwrap_or(default.on_failure),
            keep_old_etc: policy.keep_old_etc == Some(true),
        })
    }
}
