//! Takes apart what an earlier life of the disks left, one layer at a time, the topmost first.
//!
//! Each layer is let go of and then wiped at both ends of every device it was made of, so that
//! nothing recognises it again. What is gone already is fine.

use super::Done;
use super::nodes;
use super::{mounts, raid};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::storage::OldLayer;

/// Takes one layer apart.
pub(super) fn take_down(work: &mut Work<'_>, layer: &OldLayer) -> Result<Done, ActionError> {
    let changed = match layer {
        OldLayer::Swap { device } => mounts::swap_off(work, std::slice::from_ref(device))?,
        OldLayer::Mapping { name } => close(work, name)?,
        OldLayer::LogicalVolume { group, name } => remove_volume(work, group, name)?,
        OldLayer::VolumeGroup { uuid, physical_volumes, .. } => {
            deactivate(work, uuid)?;
            wipe_all(work, physical_volumes)?
        }
        OldLayer::Array { members, .. } => take_array(work, members)?,
        OldLayer::Signatures { device } => wipe_all(work, std::slice::from_ref(device))?,
    };
    Ok(if changed { Done::changed() } else { Done::already_true() })
}

/// Closes a mapping. Whoever still looks at it, such as udev, gets a moment.
fn close(work: &mut Work<'_>, name: &str) -> Result<bool, ActionError> {
    if !work.exists(&format!("/dev/mapper/{name}"))? {
        return Ok(false);
    }
    nodes::insist(work, &Command::new(Tool::Dmsetup).args(["remove", "--retry", name]))?;
    Ok(true)
}

fn remove_volume(work: &mut Work<'_>, group: &str, name: &str) -> Result<bool, ActionError> {
    let volume = format!("{group}/{name}");
    if super::lvm::size_of(work, &volume)?.is_none() {
        super::restore::bring_up_kept(work)?;
        if super::lvm::size_of(work, &volume)?.is_none() {
            return Ok(false);
        }
    }
    let device = format!("/dev/{volume}");
    if work.exists(&device)? {
        nodes::wipe(work, &device)?;
    }
    let remove = Command::new(Tool::Lvremove).args(["--yes", "--force", &volume]);
    nodes::insist(work, &remove)?;
    Ok(true)
}

/// Names of groups need not be unique; identifiers are.
pub(super) fn deactivate(work: &mut Work<'_>, uuid: &str) -> Result<(), ActionError> {
    let select = format!("vg_uuid={uuid}");
    let command = Command::new(Tool::Vgchange).args(["--activate", "n", "--select", &select]);
    nodes::insist(work, &command)?;
    Ok(())
}

/// Stops an array wherever it runs and wipes its members. Between the two, udev may assemble what
/// it still recognises under another name: each member is looked at again.
fn take_array(work: &mut Work<'_>, members: &[String]) -> Result<bool, ActionError> {
    let mut changed = false;
    for member in members {
        changed |= stop_holders(work, member)?;
    }
    for member in members {
        nodes::settle(work);
        stop_holders(work, member)?;
        changed |= wipe_all(work, std::slice::from_ref(member))?;
    }
    Ok(changed)
}

fn stop_holders(work: &mut Work<'_>, member: &str) -> Result<bool, ActionError> {
    let holders = nodes::holders(work, member)?;
    let arrays: Vec<&String> = holders.iter().filter(|name| name.starts_with("md")).collect();
    for array in &arrays {
        raid::stop_running(work, &format!("/dev/{array}"))?;
    }
    Ok(!arrays.is_empty())
}

fn wipe_all(work: &mut Work<'_>, devices: &[String]) -> Result<bool, ActionError> {
    let mut changed = false;
    for device in devices {
        if work.exists(device)? {
            changed |= nodes::wipe(work, device)?;
        }
    }
    Ok(changed)
}
