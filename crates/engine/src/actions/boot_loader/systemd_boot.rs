//! systemd-boot(7): a program, a file with its settings, and an entry a kernel, laid out as
//! kernel-install(8) does it, so that the installed system goes on with it.
//!
//! ```text
//! EFI/systemd/systemd-bootx64.efi      and EFI/BOOT/BOOTX64.EFI
//! loader/loader.conf
//! loader/entries/TOKEN-RELEASE.conf
//! TOKEN/RELEASE/linux, initrd.img
//! ```

use super::efi::{self, EfiNames};
use super::{menu, nvram};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::HostError;
use hostwright_model::boot_loader::{BootSetup, EspPlace, KernelFiles};

/// What kernel-install(8) of the installed system adds to later entries.
const CMDLINE: &str = "etc/kernel/cmdline";
/// By what kernel-install(8) tells this system's entries from those of others.
const TOKEN: &str = "etc/kernel/entry-token";

/// Installs it.
pub(super) fn install(
    work: &mut Work<'_>,
    setup: &BootSetup,
    kernels: &[KernelFiles],
) -> Result<(), ActionError> {
    let (names, esp) = (EfiNames::of_target(work)?, efi::esp(setup)?.clone());
    let Some(program) = program(work, names)? else {
        return Err(efi::no_loader("systemd-boot (/usr/lib/systemd/boot/efi)", "systemd-boot-efi"));
    };
    let token = token(work)?;
    let arguments = menu::arguments(work, setup)?;
    work.host.write(&work.target(CMDLINE), format!("{arguments}\n").as_bytes(), 0o644)?;
    for kernel in kernels {
        put_kernel(work, &esp, &token, kernel)?;
        let (path, text) = entry(setup, &token, kernel, &arguments);
        efi::put(work, &esp, &path, text.as_bytes())?;
    }
    put_program(work, setup, &esp, names, &program)?;
    let path = format!("EFI/systemd/systemd-boot{}.efi", names.suffix);
    if setup.nvram_entry {
        nvram::add(work, setup, &esp, &path)?;
    }
    Ok(())
}

/// The program with its settings, at its own path and at the firmware's.
pub(super) fn put_program(
    work: &mut Work<'_>,
    setup: &BootSetup,
    esp: &EspPlace,
    names: EfiNames,
    program: &[u8],
) -> Result<(), ActionError> {
    let settings = format!("timeout {}\nconsole-mode keep\n", setup.timeout_seconds);
    efi::put(work, esp, "loader/loader.conf", settings.as_bytes())?;
    efi::put(work, esp, &format!("EFI/systemd/systemd-boot{}.efi", names.suffix), program)?;
    if setup.removable_path {
        efi::put(work, esp, &format!("EFI/BOOT/{}", names.fallback()), program)?;
    }
    Ok(())
}

/// The target's systemd-boot; a signed one where there is one.
pub(super) fn program(work: &mut Work<'_>, names: EfiNames) -> Result<Option<Vec<u8>>, HostError> {
    let path = format!("usr/lib/systemd/boot/efi/systemd-boot{}.efi", names.suffix);
    efi::first_of(work, &[format!("{path}.signed"), path])
}

/// The name of this system among others in one partition: its machine id, or where that is made at
/// its first start, a name that stays.
fn token(work: &mut Work<'_>) -> Result<String, ActionError> {
    let path = work.target(TOKEN);
    if let Some(token) = work.read_text(&path)?.filter(|token| !token.trim().is_empty()) {
        return Ok(token.trim().to_owned());
    }
    let id = work.read_text(&work.target("etc/machine-id"))?.unwrap_or_default();
    let id = id.trim();
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let token = if is_id { id } else { "hostwright" }.to_owned();
    work.host.write(&path, format!("{token}\n").as_bytes(), 0o644)?;
    Ok(token)
}

fn put_kernel(
    work: &mut Work<'_>,
    esp: &EspPlace,
    token: &str,
    kernel: &KernelFiles,
) -> Result<(), ActionError> {
    let dir = format!("{token}/{}", kernel.release);
    let files = [(Some(&kernel.kernel), "linux"), (kernel.initrd.as_ref(), "initrd.img")];
    for (from, to) in files {
        let Some(from) = from else { continue };
        let content = super::content_of(work, from)?;
        efi::put(work, esp, &format!("{dir}/{to}"), &content)?;
    }
    Ok(())
}

/// Path and text of a kernel's entry (Boot Loader Specification, type 1).
fn entry(
    setup: &BootSetup,
    token: &str,
    kernel: &KernelFiles,
    arguments: &str,
) -> (String, String) {
    let release = &kernel.release;
    let mut text = format!(
        "title {}\nversion {release}\nsort-key {token}\noptions {arguments}\n\
         linux /{token}/{release}/linux\n",
        setup.label
    );
    if kernel.initrd.is_some() {
        text.push_str(&format!("initrd /{token}/{release}/initrd.img\n"));
    }
    (format!("loader/entries/{token}-{release}.conf"), text)
}
