//! Whether anything in a plan for disks will install a boot loader.

use super::Planner;
use crate::finding::Finding;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::plan::TargetProfile;

impl Planner<'_> {
    /// A warning if no package, script or hook of these classes so much as mentions a boot loader.
    /// What an image or a base file brings cannot be told, and is left alone.
    pub(super) fn missing_boot_loader(&self) -> Option<Diagnostic> {
        let is_classic = self.inputs.target == TargetProfile::DisksClassic;
        if !is_classic || self.space.base_file_of(&self.classes).is_some() {
            return None;
        }
        let (_, layout) = self.space.disk_config_of(&self.classes)?;
        let mut mentions = self.space.loader_files.iter();
        if mentions.any(|path| self.space.is_active(path, &self.classes)) {
            return None;
        }
        let message = "no package, script or hook of these classes mentions a boot loader, so the \
                       machine will not start from its disk";
        let cure = "add a class that installs one, such as GRUB_PC or GRUB_EFI of FAI's examples";
        Some(Finding::warning("no-boot-loader", message, cure).at_file(&layout.path))
    }
}
