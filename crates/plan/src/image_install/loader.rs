//! Which kernel and boot loader the installed system starts with, and whether the image has them.

use super::ImageInstall;
use crate::finding::Finding;
use crate::machine_file::{BootSection, LoaderName, MachineFile, Section};
use hostwright_model::boot_loader::{BootLoader, BootSetup, EspPlace, KernelFiles, KexecSetup};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::facts::Firmware;
use hostwright_model::plan::Why;
use hostwright_model::storage::{StorageLayout, Volume};

/// Seconds that a menu waits with UEFI, where firmware shows none: Dominator's.
const UEFI_TIMEOUT_SECONDS: u32 = 2;

/// The choice.
pub(super) struct Boot {
    /// Which one; disks of GRUB for BIOS are added once they are known.
    pub name: LoaderName,
    /// The kernel.
    pub kernel: KernelFiles,
    /// What asks for it.
    pub why: Why,
}

/// The loader of this name on a boot disk.
pub(super) fn loader(name: LoaderName, disk: &str) -> BootLoader {
    match name {
        LoaderName::GrubBios => BootLoader::GrubBios { disks: vec![disk.to_owned()] },
        LoaderName::GrubUefi => BootLoader::GrubUefi,
        LoaderName::SystemdBoot => BootLoader::SystemdBoot,
        LoaderName::Uki => BootLoader::Uki,
    }
}

/// Chooses kernel and loader, and makes sure that the image has all they need.
pub(super) fn choose(install: &ImageInstall<'_>) -> Result<Boot, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let kernel = kernel(install).map_err(|mistake| found.push(*mistake)).ok();
    let wanted = section(install).loader;
    let name = match wanted {
        Some(name) => suits(install, name).map(|()| name),
        None => automatic(install),
    };
    let name = name.map_err(|mistake| found.push(*mistake)).ok();
    if let Some(name) = name.filter(|_| found.is_empty()) {
        found.extend(missing_tools(install, name));
    }
    match (kernel, name) {
        (Some(kernel), Some(name)) if found.is_empty() => {
            Ok(Boot { name, kernel, why: why(install) })
        }
        _ => Err(found),
    }
}

fn section(install: &ImageInstall<'_>) -> BootSection {
    install.described.settings.as_ref().map(|file| file.boot()).unwrap_or_default()
}

fn why(install: &ImageInstall<'_>) -> Why {
    match &install.described.settings {
        Some(file) if file.boot().loader.is_some() => file.why(Section::Boot),
        _ => Why::because("it suits firmware and image"),
    }
}

/// About the image; in the settings, if they ask for something that it lacks.
fn about_image(install: &ImageInstall<'_>, finding: Finding) -> Box<Diagnostic> {
    let why = &install.described.image.why;
    Box::new(finding.at_line(&why.file, why.line))
}

/// The newest kernel, with its initramfs.
fn kernel(install: &ImageInstall<'_>) -> Result<KernelFiles, Box<Diagnostic>> {
    let kernels = &install.summary.kernels;
    let image = &install.described.image.name;
    let Some(newest) = kernels.last() else {
        let message = format!("image {image} has no kernel: there is no /boot/vmlinuz-*");
        let cure = "install a kernel into the image";
        return Err(about_image(install, Finding::error("no-kernel", message, cure)));
    };
    if newest.initrd.is_none() {
        let message = format!("image {image} has no initramfs for its kernel {}", newest.release);
        let cure = "make one in the image, as /boot/initrd.img-RELEASE or /boot/initramfs-RELEASE";
        return Err(about_image(install, Finding::error("no-kernel", message, cure)));
    }
    Ok(newest.clone())
}

/// The end of names of UEFI programs for an architecture, and GRUB's name of it.
fn uefi_names(architecture: &str) -> (&'static str, &'static str) {
    match architecture {
        "arm64" => ("aa64", "arm64-efi"),
        _ => ("x64", "x86_64-efi"),
    }
}

/// The part of a boot loader that the image has to have.
fn part(install: &ImageInstall<'_>, name: LoaderName) -> String {
    let (uefi, grub) = uefi_names(&install.inputs.facts.architecture);
    match name {
        LoaderName::GrubBios => "grub/i386-pc".to_owned(),
        LoaderName::GrubUefi => format!("grub/{grub}"),
        LoaderName::SystemdBoot => format!("systemd-boot/{uefi}"),
        LoaderName::Uki => format!("uki-stub/{uefi}"),
    }
}

fn has_part(install: &ImageInstall<'_>, name: LoaderName) -> bool {
    let grub = ["grub-install", "grub2-install"];
    let has_program = grub.iter().any(|grub| install.summary.programs.contains(*grub));
    let needs_program = matches!(name, LoaderName::GrubBios | LoaderName::GrubUefi);
    install.summary.loader_parts.contains(&part(install, name)) && (has_program || !needs_program)
}

/// What is needed of which Debian package.
fn package(install: &ImageInstall<'_>, name: LoaderName) -> &'static str {
    match (name, install.inputs.facts.architecture.as_str()) {
        (LoaderName::GrubBios, _) => "grub-pc-bin and grub2-common",
        (LoaderName::GrubUefi, "arm64") => "grub-efi-arm64-bin and grub2-common",
        (LoaderName::GrubUefi, _) => "grub-efi-amd64-bin and grub2-common",
        (LoaderName::SystemdBoot | LoaderName::Uki, _) => "systemd-boot",
    }
}

fn automatic(install: &ImageInstall<'_>) -> Result<LoaderName, Box<Diagnostic>> {
    let candidates: &[LoaderName] = match install.inputs.facts.firmware {
        Firmware::Bios => &[LoaderName::GrubBios],
        // The first one is a copy of two files, the other takes seconds.
        Firmware::Uefi => &[LoaderName::SystemdBoot, LoaderName::GrubUefi],
    };
    if let Some(name) = candidates.iter().find(|name| has_part(install, **name)) {
        return Ok(*name);
    }
    let packages: Vec<&str> = candidates.iter().map(|name| package(install, *name)).collect();
    let message = format!(
        "image {} has no boot loader for {} machines",
        install.described.image.name,
        firmware_name(install.inputs.facts.firmware)
    );
    let cure = format!("install {} into the image", packages.join(", or "));
    Err(about_image(install, Finding::error("image-lacks-part", message, cure)))
}

fn firmware_name(firmware: Firmware) -> &'static str {
    match firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
    }
}

/// The mistake of a loader for other firmware than the machine has.
pub(crate) fn wrong_firmware(
    file: &MachineFile,
    name: LoaderName,
    firmware: Firmware,
) -> Option<Diagnostic> {
    let needs = if name == LoaderName::GrubBios { Firmware::Bios } else { Firmware::Uefi };
    (needs != firmware).then(|| {
        let message = format!(
            "this machine boots by {}, and the boot loader is for {}",
            firmware_name(firmware),
            firmware_name(needs)
        );
        let cure = "leave loader out, or change how the machine boots in its firmware";
        file.error_in(Section::Boot, "wrong-loader", message, cure)
    })
}

/// Whether a loader that is asked for suits the machine and is in the image.
fn suits(install: &ImageInstall<'_>, name: LoaderName) -> Result<(), Box<Diagnostic>> {
    let Some(file) = &install.described.settings else { return Ok(()) };
    if let Some(mistake) = wrong_firmware(file, name, install.inputs.facts.firmware) {
        return Err(Box::new(mistake));
    }
    if has_part(install, name) {
        return Ok(());
    }
    let message = format!("image {} lacks this boot loader", install.described.image.name);
    let cure = format!("install {} into the image, or leave loader out", package(install, name));
    Err(Box::new(file.error_in(Section::Boot, "image-lacks-part", message, cure)))
}

/// True if anything is encrypted.
pub(super) fn encrypts(install: &ImageInstall<'_>) -> bool {
    let section = install.described.settings.as_ref().map(|file| file.encryption());
    let section = section.unwrap_or_default();
    section.root || section.volumes.unwrap_or(install.described.layout.encrypt)
}

fn encrypts_root(install: &ImageInstall<'_>) -> bool {
    install.described.settings.as_ref().is_some_and(|file| file.encryption().root)
}

/// Programs that the installed system needs to open what is encrypted.
fn missing_tools(install: &ImageInstall<'_>, name: LoaderName) -> Vec<Diagnostic> {
    let has = |program: &str| install.summary.programs.contains(program);
    let mut found = Vec::new();
    let mut lacks = |what: &str, why: &str, package: &str| {
        let message = format!("image {} has no {what}, {why}", install.described.image.name);
        let cure = format!("install {package} into the image");
        found.push(*about_image(install, Finding::error("image-lacks-part", message, cure)));
    };
    if encrypts(install) && !has("cryptsetup") && !has("systemd-cryptsetup") {
        lacks("cryptsetup", "and the machine is to be encrypted", "cryptsetup");
    }
    let makers = ["update-initramfs", "dracut", "mkinitcpio"];
    if encrypts_root(install) && !makers.iter().any(|maker| has(maker)) {
        let why = "and an initramfs has to be made that opens the root";
        lacks("update-initramfs, dracut or mkinitcpio", why, "initramfs-tools or dracut");
    }
    if section(install).nvram_entry == Some(true) && name == LoaderName::GrubBios {
        let file = install.described.settings.as_ref();
        let cure = "leave nvram_entry out";
        let message = "BIOS has no list of entries";
        found.extend(file.map(|f| f.error_in(Section::Boot, "wrong-loader", message, cure)));
    }
    found
}

/// Where a boot loader is installed.
pub(crate) struct Site<'a> {
    /// The disks.
    pub layout: &'a StorageLayout,
    /// Debian's name of the architecture.
    pub architecture: &'a str,
    /// What the entry is called.
    pub label: &'a str,
    /// The kernel, where it is known.
    pub kernel: Option<KernelFiles>,
    /// True if the initramfs has to be made anew.
    pub rebuild_initrd: bool,
}

/// What is installed for an image, and what kexec would start.
pub(super) fn setups(
    install: &ImageInstall<'_>,
    layout: &StorageLayout,
    boot: &Boot,
) -> (BootSetup, KexecSetup) {
    let section = section(install);
    let site = Site {
        layout,
        architecture: &install.inputs.facts.architecture,
        label: &install.described.image.name,
        kernel: Some(boot.kernel.clone()),
        rebuild_initrd: encrypts_root(install),
    };
    (setup(&section, boot.name, &site), kexec(&section, &site))
}

/// Everything that the engine needs to install the loader.
pub(crate) fn setup(section: &BootSection, name: LoaderName, site: &Site<'_>) -> BootSetup {
    let uefi = name != LoaderName::GrubBios;
    let layout = site.layout;
    let root = mounted(layout, "/");
    let disk = boot_disk(layout);
    let timeout = if uefi { UEFI_TIMEOUT_SECONDS } else { 0 };
    BootSetup {
        loader: loader(name, disk),
        esp: esp(layout).filter(|_| uefi),
        boot_mount: mounted(layout, "/boot").map(|_| "/boot".to_owned()),
        root_device: root.map_or_else(String::new, |root| root.device.clone()),
        kernel: site.kernel.clone(),
        kernel_args: kernel_args(site.architecture, section, root),
        rebuild_initrd: site.rebuild_initrd,
        nvram_entry: uefi && section.nvram_entry.unwrap_or(true),
        removable_path: uefi && section.removable_path.unwrap_or(true),
        label: site.label.to_owned(),
        timeout_seconds: section.timeout_seconds.unwrap_or(timeout),
        serial: section.serial.console(),
    }
}

/// The disk that holds `/boot` or the root, else the first.
fn boot_disk(layout: &StorageLayout) -> &str {
    let is_disk = |device: &&String| layout.disks.iter().any(|disk| disk.device == **device);
    let told = layout.boot.boot_device.as_ref().filter(is_disk);
    told.or(layout.disks.first().map(|disk| &disk.device)).map_or("", String::as_str)
}

/// The same kernel, started without the firmware.
pub(crate) fn kexec(section: &BootSection, site: &Site<'_>) -> KexecSetup {
    let root = mounted(site.layout, "/");
    KexecSetup {
        root_device: root.map_or_else(String::new, |root| root.device.clone()),
        kernel: site.kernel.clone(),
        kernel_args: kernel_args(site.architecture, section, root),
    }
}

fn mounted<'a>(layout: &'a StorageLayout, point: &str) -> Option<&'a Volume> {
    layout.volumes.iter().find(|volume| volume.mount_point.as_deref() == Some(point))
}

fn esp(layout: &StorageLayout) -> Option<EspPlace> {
    let device = layout.boot.esp_device.as_ref()?;
    let volume = layout.volumes.iter().find(|volume| volume.device == *device)?;
    let disk = layout.disks.iter().find_map(|disk| {
        let partition = disk.partitions.iter().find(|partition| partition.device == *device)?;
        Some((disk.device.clone(), partition.number))
    });
    let (disk, partition) = disk?;
    let mount_point = volume.mount_point.clone()?;
    Some(EspPlace { mount_point, device: device.clone(), disk, partition })
}

/// Dominator's arguments, then the machine's own. The last console is the one that `/dev/console` is.
fn kernel_args(architecture: &str, section: &BootSection, root: Option<&Volume>) -> Vec<String> {
    let mut args = vec!["ro".to_owned()];
    if let Some(btrfs) = root.and_then(|root| root.btrfs.as_ref()) {
        args.push(format!("rootflags=subvol={}", btrfs.subvolume));
    }
    args.push("console=tty0".to_owned());
    if let Some(serial) = section.serial.console() {
        let line = if architecture == "arm64" { "ttyAMA" } else { "ttyS" };
        args.push(format!("console={line}{},{}n8", serial.unit, serial.baud));
    }
    args.extend(section.kernel_args.iter().cloned());
    args
}
