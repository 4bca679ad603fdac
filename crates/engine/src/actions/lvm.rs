//! LVM: physical volumes and their group, logical volumes; made, kept or resized.

use super::Done;
use super::nodes;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, HostError, Tool};
use hostwright_model::fault::FaultKind;
use hostwright_model::storage::{Fate, LogicalVolume, VolumeGroup};

/// Makes the physical volumes and the group, or gives a kept group the physical volumes that it is
/// to have. What is half made from an earlier attempt is made anew: nothing can be in it yet.
pub(super) fn make_group(work: &mut Work<'_>, group: &VolumeGroup) -> Result<Done, ActionError> {
    if group.fate.needs_existing() {
        return keep_group(work, group);
    }
    for device in &group.physical_volumes {
        make_physical_volume(work, group, device)?;
    }
    let vgcreate = Command::new(Tool::Vgcreate)
        .arg("--yes")
        .args(&group.vg_create_options)
        .arg(&group.name)
        .args(&group.physical_volumes);
    work.tool(vgcreate)?;
    activate(work, &group.name)?;
    Ok(Done::changed())
}

fn make_physical_volume(
    work: &mut Work<'_>,
    group: &VolumeGroup,
    device: &str,
) -> Result<(), ActionError> {
    nodes::wipe(work, device)?;
    let pvcreate = Command::new(Tool::Pvcreate)
        .args(["-ff", "--yes"])
        .args(&group.pv_create_options)
        .arg(device);
    work.tool(pvcreate)?;
    Ok(())
}

fn keep_group(work: &mut Work<'_>, group: &VolumeGroup) -> Result<Done, ActionError> {
    let name = &group.name;
    let known = physical_volumes(work, name)?;
    let mut changed = false;
    for device in group.physical_volumes.iter().filter(|device| !known.contains(device)) {
        make_physical_volume(work, group, device)?;
        work.tool(Command::new(Tool::Vgextend).args(["--yes", name, device]))?;
        changed = true;
    }
    for device in known.iter().filter(|device| !group.physical_volumes.contains(device)) {
        // It refuses where a volume still has extents there.
        work.tool(Command::new(Tool::Vgreduce).args(["--yes", name, device]))?;
        work.tool(Command::new(Tool::Pvremove).args(["--yes", device]))?;
        changed = true;
    }
    activate(work, name)?;
    Ok(if changed { Done::changed() } else { Done::already_true() })
}

/// Device nodes of the physical volumes that a group has now.
fn physical_volumes(work: &mut Work<'_>, group: &str) -> Result<Vec<String>, ActionError> {
    let select = format!("vg_name={group}");
    let command =
        Command::new(Tool::Pvs).args(["--noheadings", "--options", "pv_name", "--select", &select]);
    let output = work.tool(command)?;
    let names: Vec<String> = output.stdout.split_whitespace().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(ActionError::new(
            FaultKind::Hardware,
            "no-volume-group",
            format!("the volume group {group} that is to be kept is not there"),
            "look for a missing disk with 'pvs' and 'vgs'; nothing of the group was changed",
        ));
    }
    Ok(names)
}

/// Makes, keeps or resizes a logical volume. LVM makes it at once or not at all, and the group is
/// new: one with its name is ours.
pub(super) fn make_volume(
    work: &mut Work<'_>,
    group: &str,
    volume: &LogicalVolume,
) -> Result<Done, ActionError> {
    match volume.fate {
        Fate::Keep | Fate::Reformat => {
            nodes::wait_for(work, &[&volume.device])?;
            return Ok(Done::already_true());
        }
        Fate::Resize { .. } => return resize(work, group, volume),
        Fate::Create => {}
    }
    if work.repeated && work.exists(&volume.device)? {
        return Ok(Done::already_true());
    }
    let lvcreate = Command::new(Tool::Lvcreate)
        .args(["--yes", "--wipesignatures", "y"])
        .args(&volume.create_options)
        .args(["--name", &volume.name])
        .args(["--size", &format!("{}b", volume.size_bytes), group]);
    work.tool(lvcreate)?;
    Ok(Done::changed())
}

/// lvresize(8) takes a size that is the same already for a mistake.
fn resize(work: &mut Work<'_>, group: &str, volume: &LogicalVolume) -> Result<Done, ActionError> {
    let name = format!("{group}/{}", volume.name);
    let Some((size_bytes, extent_bytes)) = size_of(work, &name)? else {
        return Err(ActionError::new(
            FaultKind::Hardware,
            "no-logical-volume",
            format!("the logical volume {name} that is to be resized is not there"),
            "look for a missing disk with 'lvs'; nothing of it was changed",
        ));
    };
    if volume.size_bytes.next_multiple_of(extent_bytes.max(1)) == size_bytes {
        return Ok(Done::already_true());
    }
    let size = format!("{}b", volume.size_bytes);
    let lvresize = Command::new(Tool::Lvresize).args(["--yes", "--force", "--size", &size, &name]);
    work.tool(lvresize)?;
    Ok(Done::changed())
}

/// Size of a logical volume `GROUP/NAME` and of the extents of its group; `None` if there is none.
pub(super) fn size_of(work: &mut Work<'_>, volume: &str) -> Result<Option<(u64, u64)>, HostError> {
    let command = Command::new(Tool::Lvs)
        .args(["--noheadings", "--nosuffix", "--units", "b"])
        .args(["--options", "lv_size,vg_extent_size", volume]);
    let output = work.try_tool(command)?;
    let mut numbers = output.stdout.split_whitespace().map_while(|word| word.parse().ok());
    Ok(numbers.next().zip(numbers.next()).filter(|_| output.status == 0))
}

/// Lets go of a group at the end of a run. One that is in use by now stays.
pub(super) fn deactivate(work: &mut Work<'_>, group: &str) -> Result<(), ActionError> {
    work.try_tool(Command::new(Tool::Vgchange).args(["--activate", "n", group]))?;
    Ok(())
}

/// Makes the volumes of a group usable.
pub(super) fn activate(work: &mut Work<'_>, group: &str) -> Result<(), ActionError> {
    work.tool(Command::new(Tool::Vgchange).args(["--activate", "y", group]))?;
    Ok(())
}
