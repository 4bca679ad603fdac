//! LVM: physical volumes and their group, logical volumes.

use super::Done;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::storage::{LogicalVolume, VolumeGroup};

/// Makes the physical volumes and the group. What is half made from an earlier attempt is made
/// anew: nothing can be in it yet.
pub(super) fn make_group(work: &mut Work<'_>, group: &VolumeGroup) -> Result<Done, ActionError> {
    for device in &group.physical_volumes {
        work.tool(Command::new(Tool::Wipefs).args(["--all", "--force", device]))?;
        let pvcreate = Command::new(Tool::Pvcreate)
            .args(["-ff", "--yes"])
            .args(&group.pv_create_options)
            .arg(device);
        work.tool(pvcreate)?;
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

/// Makes a logical volume. LVM makes it at once or not at all, and the group is new: one with its
/// name is ours.
pub(super) fn make_volume(
    work: &mut Work<'_>,
    group: &str,
    volume: &LogicalVolume,
) -> Result<Done, ActionError> {
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

/// Makes the volumes of a group usable.
pub(super) fn activate(work: &mut Work<'_>, group: &str) -> Result<(), ActionError> {
    work.tool(Command::new(Tool::Vgchange).args(["--activate", "y", group]))?;
    Ok(())
}
