//! Unified kernel images: systemd's stub with kernel, initramfs and arguments as further sections,
//! a program that firmware or systemd-boot starts.

use super::efi::{self, EfiNames};
use super::pe::{self, NewSection};
use super::{menu, nvram, systemd_boot};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::boot_loader::{BootSetup, KernelFiles};
use hostwright_model::fault::FaultKind;

/// Where systemd-boot looks for them.
const DIR: &str = "EFI/Linux";

/// Makes an image a kernel. systemd-boot chooses among them where the target has it; else the
/// firmware starts the newest.
pub(super) fn install(
    work: &mut Work<'_>,
    setup: &BootSetup,
    kernels: &[KernelFiles],
) -> Result<(), ActionError> {
    let (names, esp) = (EfiNames::of_target(work)?, efi::esp(setup)?.clone());
    let stub = format!("usr/lib/systemd/boot/efi/linux{}.efi.stub", names.suffix);
    let Some(stub) = efi::first_of(work, &[stub])? else {
        return Err(efi::no_loader("stub of systemd for kernels", "systemd-boot-efi"));
    };
    let arguments = menu::arguments(work, setup)?;
    let cmdline = work.target("etc/kernel/cmdline");
    work.host.write(&cmdline, format!("{arguments}\n").as_bytes(), 0o644)?;
    let menu = systemd_boot::program(work, names)?;
    for (nth, kernel) in kernels.iter().enumerate() {
        let image = build(work, &stub, kernel, &arguments)?;
        efi::put(work, &esp, &path_of(kernel), &image)?;
        if nth == 0 && menu.is_none() && setup.removable_path {
            efi::put(work, &esp, &format!("EFI/BOOT/{}", names.fallback()), &image)?;
        }
    }
    let mut started = kernels.first().map(path_of).unwrap_or_default();
    if let Some(program) = menu {
        systemd_boot::put_program(work, setup, &esp, names, &program)?;
        started = format!("EFI/systemd/systemd-boot{}.efi", names.suffix);
    }
    if setup.nvram_entry {
        nvram::add(work, setup, &esp, &started)?;
    }
    Ok(())
}

fn path_of(kernel: &KernelFiles) -> String {
    format!("{DIR}/hostwright-{}.efi", kernel.release)
}

/// One image.
fn build(
    work: &mut Work<'_>,
    stub: &[u8],
    kernel: &KernelFiles,
    arguments: &str,
) -> Result<Vec<u8>, ActionError> {
    let release = match work.host.read(&work.target("etc/os-release"))? {
        Some(release) => release,
        None => work.host.read(&work.target("usr/lib/os-release"))?.unwrap_or_default(),
    };
    let linux = super::content_of(work, &kernel.kernel)?;
    let mut sections = vec![
        NewSection { name: ".osrel", content: release },
        NewSection { name: ".cmdline", content: arguments.as_bytes().to_vec() },
        NewSection { name: ".uname", content: kernel.release.as_bytes().to_vec() },
    ];
    if let Some(initrd) = &kernel.initrd {
        let content = super::content_of(work, initrd)?;
        sections.push(NewSection { name: ".initrd", content });
    }
    // The kernel comes last: it is unpacked in place and may need room behind it.
    sections.push(NewSection { name: ".linux", content: linux });
    pe::with_sections(stub, &sections).map_err(|reason| {
        ActionError::new(
            FaultKind::Environment,
            "bad-stub",
            format!("the target's stub for kernels cannot be used: {reason}"),
            "build the image with another version of systemd-boot-efi, or choose systemd-boot",
        )
    })
}
