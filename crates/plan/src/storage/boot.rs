//! What boot loaders need of a layout, and whether the machine's firmware will find it.

use super::ast::DiskConfig;
use super::code::Code;
use super::file_system::is_fat;
use super::source::{Problem, Span};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::facts::Firmware;
use hostwright_model::storage::{
    BootDevices, DiskLayout, PartitionContent, StorageLayout, TableKind, Volume, Why,
};

/// The devices that FAI's `disk_var.sh` names.
pub(super) fn boot_devices(
    config: &DiskConfig,
    disks: &[DiskLayout],
    volumes: &[Volume],
) -> BootDevices {
    let boot = read_by_loaders(volumes).filter(|volume| volume.device != "tmpfs");
    let disk = boot
        .filter(|volume| volume.btrfs.is_none())
        .and_then(|volume| disk_of(disks, &volume.device));
    let bootable = |disk: &&DiskLayout| {
        let stanza = config.disks.iter().find(|stanza| stanza.disk.at.line == disk.why.line);
        stanza.is_some_and(|stanza| stanza.bootable.is_some())
    };
    let esp = volumes.iter().rfind(|volume| match volume.mount_point.as_deref() {
        Some("/boot/efi") => true,
        Some("/boot") => is_fat(volume.file_system.as_deref()),
        _ => false,
    });
    BootDevices {
        // A logical volume is its own boot device, as in FAI.
        boot_device: boot.map(|volume| disk.map_or(&volume.device, |disk| &disk.device).clone()),
        boot_partition: disk.and(boot).map(|volume| volume.device.clone()),
        esp_device: esp.map(|volume| volume.device.clone()),
        physical_boot_devices: disks
            .iter()
            .filter(bootable)
            .map(|disk| disk.device.clone())
            .collect(),
    }
}

fn disk_of<'a>(disks: &'a [DiskLayout], device: &str) -> Option<&'a DiskLayout> {
    disks.iter().find(|disk| {
        disk.device == device || disk.partitions.iter().any(|partition| partition.device == device)
    })
}

/// The volume that boot loaders read: `/boot`, else `/`. What a server has is not at hand so early.
fn read_by_loaders(volumes: &[Volume]) -> Option<&Volume> {
    let mounted = |path: &str| {
        let mut here = volumes.iter().filter(|v| v.mount_point.as_deref() == Some(path));
        here.find(|volume| volume.file_system.as_deref() != Some("nfs"))
    };
    mounted("/boot").or_else(|| mounted("/"))
}

/// Refuses what boot loaders cannot read: FAI does so when everything is formatted already.
pub(super) fn check_boot(config: &DiskConfig, layout: &StorageLayout, problems: &mut Vec<Problem>) {
    let Some(boot) = read_by_loaders(&layout.volumes) else { return };
    let what = if layout.encrypted.iter().any(|crypt| crypt.mapped_device == boot.device) {
        "is encrypted"
    } else if boot.device == "tmpfs" {
        "is a tmpfs"
    } else {
        return;
    };
    let point = boot.mount_point.as_deref().unwrap_or_default();
    let message = format!("{point} {what}, and boot loaders have to read it");
    let cure = "add a partition for /boot that they can read";
    let mut points = config.mount_points();
    let at = points.find(|mounted| mounted.value.path() == Some(point));
    let at = at.map_or_else(|| place(&boot.why), |mounted| mounted.at);
    problems.push(Problem::error(Code::EncryptedBoot, at, message, cure));
}

/// Warnings about layouts that this kind of firmware cannot boot.
pub fn check_firmware(
    config: &DiskConfig,
    layout: &StorageLayout,
    firmware: Firmware,
) -> Vec<Diagnostic> {
    let problems = match firmware {
        Firmware::Uefi => check_uefi(layout),
        Firmware::Bios => check_bios(layout),
    };
    problems.into_iter().map(|problem| config.source.diagnose(problem)).collect()
}

fn check_uefi(layout: &StorageLayout) -> Option<Problem> {
    let Some(esp) = &layout.boot.esp_device else {
        let disk = layout.disks.first()?;
        let message = "this machine boots by UEFI and gets no EFI system partition";
        let cure = "add a line such as `p=efi /boot/efi 512M vfat rw` to a disk with disklabel:gpt";
        let at = place(&disk.why);
        return Some(Problem::warning(Code::NoEfiSystemPartition, at, message, cure));
    };
    let volume = layout.volumes.iter().find(|volume| volume.device == *esp)?;
    if is_fat(volume.file_system.as_deref()) {
        return None;
    }
    let message = "firmware cannot read this EFI system partition";
    let at = place(&volume.why);
    Some(Problem::warning(Code::EfiSystemPartitionNotFat, at, message, "format it as vfat"))
}

fn check_bios(layout: &StorageLayout) -> Option<Problem> {
    let boot = layout.boot.boot_partition.as_deref();
    let disk = match boot {
        Some(partition) => disk_of(&layout.disks, partition)?,
        None => layout.disks.first()?,
    };
    let is_bios_boot = |content: PartitionContent| content == PartitionContent::BiosBoot;
    let bootable = disk.table == TableKind::Msdos
        || disk.partitions.iter().any(|partition| is_bios_boot(partition.content));
    if bootable {
        return None;
    }
    let message = "this machine boots by BIOS, and GRUB needs a partition of its own on a GPT";
    let cure = "write disklabel:gpt-bios, which adds one of 1 MiB";
    Some(Problem::warning(Code::NoBiosBootPartition, place(&disk.why), message, cure))
}

fn place(why: &Why) -> Span {
    Span { line: why.line, column: 0, length: 0 }
}
