//! Mounts: the new file systems, swap, and the pseudo file systems that programs in the target
//! need.

use super::{Done, encrypt, lvm, nodes, raid, uuid_links};
use crate::fault::ActionError;
use crate::sandbox::FIRMWARE_DIR;
use crate::work::{Work, exists};
use hostwright_host::{Command, Host, HostError, MountRequest, ShellRequest, Tool};
use hostwright_model::facts::Firmware;
use hostwright_model::fault::FaultKind;
use hostwright_model::plan::TargetProfile;
use hostwright_model::storage::Volume;

/// What FAI's task mountdisks does with the files that partitioning leaves.
const MOUNT_FSTAB: &str = r#"
[ ! -r disk_var.sh ] || . ./disk_var.sh
if inside_nfsroot; then
    for device in ${SWAPLIST-}; do swapon -p1 "$device"; done
fi
mount2dir "$FAI_ROOT" "$LOGDIR/fstab"
"#;

/// The file system of UEFI's variables.
const EFI_VARIABLES: &str = "efivarfs";

/// Mounts a new file system below the target, unless it is.
pub(super) fn mount_volume(work: &mut Work<'_>, volume: &Volume) -> Result<Done, ActionError> {
    let Some(point) = &volume.mount_point else {
        return Ok(Done::already_true());
    };
    let target = work.target(point);
    if is_mounted(work.host, &target)? {
        return Ok(Done::already_true());
    }
    let file_system = volume.file_system.clone();
    // As FAI does it: access times of an installation interest nobody.
    let options = match volume.mount_options.as_str() {
        "" | "-" | "defaults" => "noatime".to_owned(),
        options => format!("{options},noatime"),
    };
    let source = volume.device.clone();
    super::format::make_known(work, volume)?;
    work.host.mount(&MountRequest { source, target, file_system, options })?;
    Ok(Done::changed())
}

/// Uses a swap area, unless it is used.
pub(super) fn swap_on(work: &mut Work<'_>, device: &str) -> Result<Done, ActionError> {
    if swaps(work)?.iter().any(|used| used == device) {
        return Ok(Done::already_true());
    }
    work.tool(Command::new(Tool::Swapon).args(["--priority", "1", device]))?;
    Ok(Done::changed())
}

/// Mounts what `fstab` in the log directory names, and uses its swap areas, as FAI's own task does
/// for whoever partitions in its place.
pub(super) fn mount_fstab(work: &mut Work<'_>) -> Result<Done, ActionError> {
    let table = work.settings.in_logs("fstab");
    if work.read_text(&table)?.is_none_or(|text| text.trim().is_empty()) {
        return Err(ActionError::new(
            FaultKind::Config,
            "no-fstab",
            format!("the space partitions by itself, but has left no {table} to mount by"),
            "let it write fstab there as setup-storage does, or mount below $target by itself and \
             skip mountdisks",
        ));
    }
    let root = work.target("");
    if is_mounted(work.host, &root)? {
        return Ok(Done::already_true());
    }
    let dir = work.settings.log_dir.clone();
    let script = MOUNT_FSTAB.to_owned();
    let reply = work.shell(&ShellRequest::Eval { script, dir })?;
    if reply.status == 0 {
        return Ok(Done::changed());
    }
    Err(ActionError::new(
        FaultKind::Config,
        "mount-failed",
        format!("not everything in {table} can be mounted below {root}"),
        "compare its lines with the output of lsblk -f; the lines of mount2dir above name the device",
    ))
}

/// Stops using those of these swap areas that are used. True if there was one.
pub(super) fn swap_off(work: &mut Work<'_>, devices: &[String]) -> Result<bool, ActionError> {
    let used = swaps(work)?;
    let used: Vec<&String> = used.iter().filter(|used| devices.contains(used)).collect();
    for device in &used {
        work.tool(Command::new(Tool::Swapoff).arg(*device))?;
    }
    Ok(!used.is_empty())
}

/// Devices of the swap areas in use. The kernel calls those of the device mapper by numbers; they
/// come under each of their other names, too.
fn swaps(work: &mut Work<'_>) -> Result<Vec<String>, HostError> {
    let table = work.read_text("/proc/swaps")?.unwrap_or_default();
    let words = table.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let mut devices: Vec<String> = words.map(str::to_owned).collect();
    for device in devices.clone() {
        if let Some(mapped) = nodes::mapped_name(work, &device)? {
            devices.extend(nodes::volume_of(&mapped));
            devices.push(format!("/dev/mapper/{mapped}"));
        }
    }
    Ok(devices)
}

fn is_mounted(host: &mut dyn Host, path: &str) -> Result<bool, HostError> {
    Ok(host.mounts_below(path)?.iter().any(|point| point == path))
}

/// Mounts what programs in the target need, unless it is mounted.
pub(super) fn mount_pseudo(work: &mut Work<'_>) -> Result<Done, ActionError> {
    let mut changed = false;
    if is_running_system(&work.settings.target_dir) {
        return Ok(Done::already_true());
    }
    for request in pseudo(work)? {
        if is_mounted(work.host, &request.target)? {
            continue;
        }
        match work.host.mount(&request) {
            // A kernel may lack it. Boot loaders say themselves what they cannot do without it.
            Err(HostError::Io { source, .. }) if request.source == EFI_VARIABLES => {
                work.say(&format!("cannot mount {EFI_VARIABLES}: {source}"));
            }
            result => {
                result?;
                changed = true;
            }
        }
    }
    if work.settings.firmware_view == Some(Firmware::Uefi) && work.exists(FIRMWARE_DIR)? {
        // grub-install takes an empty directory for a BIOS, and asks this file for the width.
        let width = work.target("sys/firmware/efi/fw_platform_size");
        work.host.write(&width, b"64\n", 0o444)?;
    }
    uuid_links::make(work)?;
    Ok(if changed { Done::changed() } else { Done::already_true() })
}

/// Everything that is mounted for programs in the target, in order.
fn pseudo(work: &mut Work<'_>) -> Result<Vec<MountRequest>, HostError> {
    let mut list = vec![("proc", "proc", "proc", ""), ("sysfs", "sys", "sysfs", "")];
    if work.settings.firmware_view.is_some() {
        if work.exists(FIRMWARE_DIR)? {
            list.push(("hostwright", "sys/firmware", "tmpfs", "mode=0755,size=64k"));
        }
    } else if work.inputs.target.is_own_machine() && has_efi_variables(work)? {
        list.push((EFI_VARIABLES, "sys/firmware/efi/efivars", EFI_VARIABLES, ""));
    }
    list.push(("/dev", "dev", "", "bind,private"));
    list.push(("devpts", "dev/pts", "devpts", "private"));
    if exists(work.host, "/run/udev")? {
        list.push(("/run/udev", "run/udev", "", "bind,private"));
    }
    let request = |(source, point, kind, options): (&str, &str, &str, &str)| MountRequest {
        source: source.to_owned(),
        target: work.settings.in_target(point),
        file_system: (!kind.is_empty()).then(|| kind.to_owned()),
        options: options.to_owned(),
    };
    Ok(list.into_iter().map(request).collect())
}

fn has_efi_variables(work: &mut Work<'_>) -> Result<bool, HostError> {
    let wants = work.inputs.facts.firmware == Firmware::Uefi;
    Ok(wants && work.exists(&format!("{FIRMWARE_DIR}/efi/efivars"))?)
}

/// Unmounts what [`mount_pseudo`] mounted, and what user code mounted below it.
pub(super) fn unmount_pseudo(work: &mut Work<'_>) -> Result<(), ActionError> {
    if is_running_system(&work.settings.target_dir) {
        return Ok(());
    }
    uuid_links::remove(work)?;
    for name in ["run/udev", "dev", "sys", "proc"] {
        let point = work.target(name);
        unmount_below(work.host, &point)?;
    }
    Ok(())
}

/// True for the root of the running system, where everything is mounted that it needs, and stays.
fn is_running_system(target: &str) -> bool {
    target.trim_end_matches('/').is_empty()
}

fn unmount_below(host: &mut dyn Host, path: &str) -> Result<(), HostError> {
    for point in host.mounts_below(path)?.iter().rev() {
        host.unmount(point)?;
    }
    Ok(())
}

/// Unmounts what this run mounted at and below the target. True if there was something.
///
/// A directory that was given as a target may be a mount point of its owner's: that one stays.
pub(crate) fn unmount_target(
    host: &mut dyn Host,
    target: &str,
    profile: &TargetProfile,
) -> Result<bool, HostError> {
    if is_running_system(target) {
        return Ok(false);
    }
    let mut points = host.mounts_below(target)?;
    points.retain(|point| profile.has_disks() || point != target);
    for point in points.iter().rev() {
        host.unmount(point)?;
    }
    Ok(!points.is_empty())
}

/// The last step of a run.
pub(super) fn unmount_step(work: &mut Work<'_>) -> Result<Done, ActionError> {
    let target = &work.settings.target_dir;
    let changed = unmount_target(work.host, target, &work.inputs.target)?;
    if work.inputs.target.has_disks() {
        let_layers_go(work)?;
    }
    Ok(if changed { Done::changed() } else { Done::already_true() })
}

/// Lets go of what the run set up on the disks, the topmost layer first, so that they can be taken
/// out. What somebody uses by now stays.
fn let_layers_go(work: &mut Work<'_>) -> Result<(), ActionError> {
    let Some(layout) = work.plan.layout.clone() else { return Ok(()) };
    for group in layout.volume_groups.iter().rev() {
        lvm::deactivate(work, &group.name)?;
    }
    for device in layout.encrypted.iter().rev() {
        encrypt::let_go(work, device)?;
    }
    for array in layout.arrays.iter().rev() {
        raid::let_go(work, array)?;
    }
    Ok(())
}
