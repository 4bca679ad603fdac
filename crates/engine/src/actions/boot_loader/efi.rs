//! What UEFI calls things on each architecture, and files in the EFI system partition.

use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::HostError;
use hostwright_model::boot_loader::{BootSetup, EspPlace};
use hostwright_model::fault::FaultKind;

/// Names that depend on the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EfiNames {
    /// `x64`, at the end of programs' names.
    pub(super) suffix: &'static str,
    /// GRUB's name of the platform.
    pub(super) grub_target: &'static str,
}

impl EfiNames {
    /// The names for an architecture as Debian calls it.
    pub(super) fn of(architecture: &str) -> Option<Self> {
        match architecture {
            "amd64" | "x86_64" => Some(Self { suffix: "x64", grub_target: "x86_64-efi" }),
            "arm64" | "aarch64" => Some(Self { suffix: "aa64", grub_target: "arm64-efi" }),
            _ => None,
        }
    }

    /// The names for the machine that is installed.
    pub(super) fn of_target(work: &Work<'_>) -> Result<Self, ActionError> {
        let architecture = &work.inputs.facts.architecture;
        Self::of(architecture).ok_or_else(|| {
            ActionError::new(
                FaultKind::Environment,
                "no-boot-loader-here",
                format!("there is no boot loader for UEFI on {architecture}"),
                "install this machine with a boot loader of its own, by a script of the space",
            )
        })
    }

    /// The program that firmware starts without an entry, below `EFI/BOOT`.
    pub(super) fn fallback(self) -> String {
        format!("BOOT{}.EFI", self.suffix.to_uppercase())
    }
}

/// The EFI system partition of a setup that needs one.
pub(super) fn esp(setup: &BootSetup) -> Result<&EspPlace, ActionError> {
    setup.esp.as_ref().ok_or_else(|| {
        ActionError::new(
            FaultKind::Bug,
            "no-esp",
            format!("the plan installs {} without an EFI system partition", setup.loader.name()),
            "report this with the plan",
        )
    })
}

/// A path of the EFI system partition, as seen from here.
pub(super) fn in_esp(work: &Work<'_>, esp: &EspPlace, path: &str) -> String {
    work.target(&format!("{}/{path}", esp.mount_point.trim_end_matches('/')))
}

/// Writes a file of the EFI system partition, unless it is there as it should be.
pub(super) fn put(
    work: &mut Work<'_>,
    esp: &EspPlace,
    path: &str,
    content: &[u8],
) -> Result<(), HostError> {
    let path = in_esp(work, esp, path);
    if work.host.read(&path)?.as_deref() == Some(content) {
        return Ok(());
    }
    work.host.write(&path, content, 0o644)
}

/// The first of these files of the target that is there.
pub(super) fn first_of(
    work: &mut Work<'_>,
    paths: &[String],
) -> Result<Option<Vec<u8>>, HostError> {
    for path in paths {
        if let Some(content) = work.host.read(&work.target(path))? {
            return Ok(Some(content));
        }
    }
    Ok(None)
}

/// The fault of an image without the loader that it is to start with.
pub(super) fn no_loader(what: &str, package: &str) -> ActionError {
    ActionError::new(
        FaultKind::Config,
        "image-lacks-loader",
        format!("the target has no {what}"),
        format!("build the image with Debian's package {package}, or choose another boot loader"),
    )
}
