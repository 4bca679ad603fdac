//! Boot loaders: what makes the installed system start, made of what the image holds.
//!
//! Nothing is chosen here: which loader, where and with which arguments is in the plan. What only the
//! finished target can tell is looked up: its kernels, and the identifiers of its file systems.
//! Everything is written whole or not at all and may be written again.

mod boot_sector;
mod efi;
mod grub;
pub(super) mod kernels;
mod menu;
mod nvram;
mod parts;
mod pe;
mod systemd_boot;
mod uki;

pub(super) use parts::demand_parts;

use super::{Done, apt, mounts};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::boot_loader::{BootLoader, BootSetup, KernelFiles};
use hostwright_model::fault::FaultKind;

/// Installs the boot loader of a plan.
pub(super) fn install(work: &mut Work<'_>, setup: &BootSetup) -> Result<Done, ActionError> {
    mounts::mount_pseudo(work)?;
    if setup.rebuild_initrd {
        rebuild_initramfs(work)?;
    }
    let kernels = kernels::of_target(work, setup.kernel.as_ref())?;
    match &setup.loader {
        BootLoader::GrubBios { disks } => grub::install_bios(work, setup, disks, &kernels)?,
        BootLoader::GrubUefi => grub::install_uefi(work, setup, &kernels)?,
        BootLoader::SystemdBoot => systemd_boot::install(work, setup, &kernels)?,
        BootLoader::Uki => uki::install(work, setup, &kernels)?,
    }
    Ok(Done::changed())
}

/// Makes the initramfs of each kernel anew, by the target's own program for it.
fn rebuild_initramfs(work: &mut Work<'_>) -> Result<(), ActionError> {
    if work.exists(&work.target("usr/sbin/update-initramfs"))? {
        let command = apt::in_target(work, Tool::UpdateInitramfs).args(["-u", "-k", "all"]);
        work.tool(command)?;
        return Ok(());
    }
    if grub::has_program(work, Tool::Dracut)? {
        let command = apt::in_target(work, Tool::Dracut).args(["--force", "--regenerate-all"]);
        work.tool(command)?;
        return Ok(());
    }
    Err(ActionError::new(
        FaultKind::Config,
        "no-initramfs-tools",
        "the initramfs has to open the root file system, and the target cannot make it anew",
        "build the image with initramfs-tools and cryptsetup-initramfs, or with dracut",
    ))
}

/// The file system with the kernels, as a loader finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    uuid: String,
    /// Where `/boot` is in it.
    dir: String,
}

impl Place {
    /// GRUB's words that lead to its directory.
    fn early(&self, grub: &str) -> String {
        format!("search.fs_uuid {} root\nset prefix=($root){}/{grub}\n", self.uuid, self.dir)
    }

    /// A file of `/boot`, as GRUB names it.
    fn of_file(&self, path: &str) -> String {
        format!("{}{}", self.dir, path.strip_prefix("/boot").unwrap_or(path))
    }
}

/// Where `/boot` is. GRUB must be able to read it.
fn boot_place(work: &mut Work<'_>, setup: &BootSetup) -> Result<Place, ActionError> {
    let layout = work.plan.layout.clone().unwrap_or_default();
    let mounted = setup.boot_mount.as_deref().and_then(|point| {
        let mut volumes = layout.volumes.iter();
        volumes.find(|volume| volume.mount_point.as_deref() == Some(point))
    });
    let device = mounted.map_or(&setup.root_device, |volume| &volume.device).clone();
    let mut below = vec![&device];
    let group = layout
        .volume_groups
        .iter()
        .find(|group| group.logical_volumes.iter().any(|volume| volume.device == device));
    below.extend(group.iter().flat_map(|group| &group.physical_volumes));
    if layout.encrypted.iter().any(|encrypted| below.contains(&&encrypted.mapped_device)) {
        return Err(ActionError::new(
            FaultKind::Config,
            "boot-encrypted",
            format!("GRUB cannot read the kernel: /boot is on {device}, which is encrypted"),
            "give /boot a partition of its own, or choose systemd-boot or uki as boot loader",
        ));
    }
    let subvolume = kernels::volume_on(&layout, &device).and_then(|volume| volume.btrfs.as_ref());
    let subvolume = subvolume.map(|btrfs| format!("/{}", btrfs.subvolume.trim_matches('/')));
    let boot = if mounted.is_some() { "" } else { "/boot" };
    let dir = format!("{}{boot}", subvolume.unwrap_or_default());
    Ok(Place { uuid: kernels::uuid_of(work, &device)?, dir })
}

/// A file of a kernel, whole.
fn content_of(work: &mut Work<'_>, path: &str) -> Result<Vec<u8>, ActionError> {
    let content = work.host.read(&work.target(path))?;
    content.ok_or_else(|| kernels::no_kernel(&format!("the target has no {path}")))
}

/// The kernel that a machine is restarted into without its firmware.
pub(super) fn newest_kernel(
    work: &mut Work<'_>,
    planned: Option<&KernelFiles>,
) -> Result<KernelFiles, ActionError> {
    let mut kernels = kernels::of_target(work, planned)?;
    Ok(kernels.remove(0))
}

/// Loads a kernel of the target, for a restart without the firmware. One that the running kernel
/// does not take is no reason to fail: the firmware starts the system, too.
pub(super) fn load_kernel(
    work: &mut Work<'_>,
    setup: &hostwright_model::boot_loader::KexecSetup,
) -> Result<Done, ActionError> {
    let kernel = newest_kernel(work, setup.kernel.as_ref())?;
    let mut words = kernels::root_arguments(work, &setup.root_device)?;
    words.extend(setup.kernel_args.iter().cloned());
    let mut command = Command::new(Tool::Kexec).arg("--load").arg(work.target(&kernel.kernel));
    if let Some(initrd) = &kernel.initrd {
        command = command.arg(format!("--initrd={}", work.target(initrd)));
    }
    let loaded = work.try_tool(command.arg(format!("--command-line={}", words.join(" "))))?;
    if loaded.status != 0 {
        work.warn("the kernel cannot be loaded for a restart without the firmware, which does it");
        return Ok(Done::already_true());
    }
    Ok(Done::changed())
}
