//! Whether an image holds what its machine is to start with: asked before a disk is touched.

use super::efi::{EfiNames, no_loader};
use super::kernels::{self, no_kernel};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::boot_loader::{BootLoader, BootSetup};
use hostwright_model::image::ImageRef;
use hostwright_model::plan::Action;
use hostwright_model::storage::EncryptionKey;
use std::collections::BTreeSet;

/// Fails if the image that the plan lays down lacks the parts of the boot loader that it installs.
pub(in crate::actions) fn demand_parts(work: &mut Work<'_>) -> Result<(), ActionError> {
    let actions = || work.plan.steps().map(|(_, step)| &step.action);
    let image = actions().find_map(|action| match action {
        Action::LayImage { image } => Some(image.clone()),
        _ => None,
    });
    let setup = actions().find_map(|action| match action {
        Action::BootLoader { setup } => Some(setup.clone()),
        _ => None,
    });
    let (Some(image), Some(setup)) = (image, setup) else { return Ok(()) };
    let paths = paths_of(work, &image)?;
    let names = match setup.loader.needs_esp() {
        true => Some(EfiNames::of_target(work)?),
        false => None,
    };
    demand_kernel(&setup, &paths)?;
    demand_loader(&setup, names, &paths)?;
    if setup.rebuild_initrd {
        demand_initramfs(work, &paths)?;
    }
    Ok(())
}

/// The files of an image that are asked for.
fn paths_of(work: &mut Work<'_>, image: &ImageRef) -> Result<BTreeSet<String>, ActionError> {
    let source = work.images.open(image)?;
    let interesting = ["boot/", "usr/lib/grub/", "usr/lib/systemd/", "usr/sbin/", "usr/bin/"];
    let paths = source.entries().iter().map(|entry| entry.path.as_str());
    let is_wanted = |path: &&str| {
        interesting.iter().any(|dir| path.starts_with(dir))
            || path.contains("/libcryptsetup-token-")
            || path.contains("/libtss2-")
            || path.starts_with("usr/share/initramfs-tools/hooks/")
    };
    Ok(paths.filter(is_wanted).map(str::to_owned).collect())
}

fn demand_kernel(setup: &BootSetup, paths: &BTreeSet<String>) -> Result<(), ActionError> {
    if let Some(planned) = &setup.kernel {
        let mut files = std::iter::once(&planned.kernel).chain(&planned.initrd);
        return match files.find(|path| !paths.contains(path.trim_start_matches('/'))) {
            None => Ok(()),
            Some(missing) => Err(no_kernel(&format!("the image has no {missing}"))),
        };
    }
    let in_boot = paths.iter().filter_map(|path| path.strip_prefix("boot/"));
    let names: Vec<String> = in_boot.map(str::to_owned).collect();
    if kernels::among(&names).is_empty() {
        return Err(no_kernel("the image has no kernel: there is no /boot/vmlinuz-RELEASE in it"));
    }
    Ok(())
}

fn demand_loader(
    setup: &BootSetup,
    names: Option<EfiNames>,
    paths: &BTreeSet<String>,
) -> Result<(), ActionError> {
    let any = |wanted: &[String]| wanted.iter().any(|path| paths.contains(path));
    let (suffix, target) = names.map_or(("", "i386-pc"), |names| (names.suffix, names.grub_target));
    let systemd = |name: &str| any(&[format!("usr/lib/systemd/boot/efi/{name}")]);
    match &setup.loader {
        BootLoader::GrubBios { .. } if !any(&["usr/lib/grub/i386-pc/boot.img".to_owned()]) => {
            Err(no_loader("GRUB for BIOS (/usr/lib/grub/i386-pc)", "grub-pc-bin"))
        }
        BootLoader::GrubUefi
            if !any(&[
                format!("usr/lib/grub/{target}-signed/grub{suffix}.efi.signed"),
                format!("usr/lib/grub/{target}/monolithic/grub{suffix}.efi"),
                format!("usr/lib/grub/{target}/ext2.mod"),
            ]) =>
        {
            Err(no_loader(&format!("GRUB for UEFI (/usr/lib/grub/{target})"), "grub-efi-amd64-bin"))
        }
        BootLoader::SystemdBoot if !systemd(&format!("systemd-boot{suffix}.efi")) => {
            Err(no_loader("systemd-boot (/usr/lib/systemd/boot/efi)", "systemd-boot-efi"))
        }
        BootLoader::Uki if !systemd(&format!("linux{suffix}.efi.stub")) => {
            Err(no_loader("stub of systemd for kernels", "systemd-boot-efi"))
        }
        _ => Ok(()),
    }
}

/// An initramfs that opens the root needs programs for it, and for a sealed key those of the TPM.
fn demand_initramfs(work: &Work<'_>, paths: &BTreeSet<String>) -> Result<(), ActionError> {
    let layout = work.plan.layout.as_ref();
    let encrypted = layout.map(|layout| layout.encrypted.as_slice()).unwrap_or_default();
    let tools = paths.contains("usr/sbin/update-initramfs");
    let dracut = paths.contains("usr/bin/dracut") || paths.contains("usr/sbin/dracut");
    if !tools && !dracut {
        return Err(no_loader(
            "initramfs-tools or dracut, and its root is encrypted",
            "initramfs-tools",
        ));
    }
    if tools && !paths.contains("usr/share/initramfs-tools/hooks/cryptroot") {
        return Err(no_loader("cryptsetup in its initramfs", "cryptsetup-initramfs"));
    }
    let is_sealed = |key: &EncryptionKey| crate::actions::encrypt::is_sealed(key);
    let has = |part: &str| paths.iter().any(|path| path.contains(part));
    if encrypted.iter().any(|device| is_sealed(&device.key)) {
        if !has("/libcryptsetup-token-systemd-tpm2.so") {
            return Err(no_loader("support of systemd for the TPM", "systemd"));
        }
        if !has("/libtss2-esys.so") || !has("/libtss2-tcti-device.so") {
            return Err(no_loader("libraries for the TPM", "libtss2-esys-3.0.2-0 libtss2-rc0"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::ActionError;

    fn setup(loader: BootLoader) -> BootSetup {
        BootSetup {
            loader,
            esp: None,
            boot_mount: None,
            root_device: "/dev/vda2".to_owned(),
            kernel: None,
            kernel_args: Vec::new(),
            rebuild_initrd: false,
            nvram_entry: false,
            removable_path: true,
            label: "Debian".to_owned(),
            timeout_seconds: 0,
            serial: None,
        }
    }

    fn paths(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    fn code(result: Result<(), ActionError>) -> String {
        match result {
            Ok(()) => "fine".to_owned(),
            Err(error) => Box::<hostwright_model::fault::Fault>::from(error).code,
        }
    }

    #[test]
    fn an_image_without_a_kernel_is_refused() {
        let setup = setup(BootLoader::Uki);
        let with = |names: &[&str]| code(demand_kernel(&setup, &paths(names)));
        assert_eq!(with(&["boot/grub/grub.cfg", "boot/vmlinuz.old"]), "no-kernel");
        assert_eq!(with(&["boot/vmlinuz-6.1.0-18-amd64"]), "fine");
    }

    #[test]
    fn each_loader_needs_its_own_parts() {
        let names = EfiNames::of("amd64");
        let bios = BootLoader::GrubBios { disks: Vec::new() };
        let systemd = "usr/lib/systemd/boot/efi";
        let cases = [
            (bios, None, "usr/lib/grub/i386-pc/boot.img".to_owned()),
            (BootLoader::GrubUefi, names, "usr/lib/grub/x86_64-efi/ext2.mod".to_owned()),
            (BootLoader::SystemdBoot, names, format!("{systemd}/systemd-bootx64.efi")),
            (BootLoader::Uki, names, format!("{systemd}/linuxx64.efi.stub")),
        ];
        for (loader, names, part) in cases {
            let setup = setup(loader);
            let with = |part: &str| code(demand_loader(&setup, names, &paths(&[part])));
            assert_eq!(with(&part), "fine", "{part}");
            assert_eq!(with("usr/lib/grub/other"), "image-lacks-loader", "{part}");
        }
    }
}
