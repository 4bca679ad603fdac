//! Whether the running kernel can do what a layout asks for, beside what the machine has already:
//! asked before anything is written.

use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::fault::FaultKind;
use hostwright_model::storage::{StorageLayout, Volume};

/// Fails if a file system of the layout cannot be mounted here, or a volume group not be used.
pub(super) fn demand_support(
    work: &mut Work<'_>,
    layout: &StorageLayout,
) -> Result<(), ActionError> {
    for volume in layout.volumes.iter().filter(|volume| volume.mount_point.is_some()) {
        demand_file_system(work, volume)?;
    }
    if let Some(group) = layout.volume_groups.first()
        && !knows(work, "/proc/misc", "device-mapper", "dm_mod")?
    {
        let what = format!("volume group {} ({})", group.name, group.why);
        return Err(lacks("device mapper", &what));
    }
    if !work.inputs.target.is_own_machine() {
        spare_groups(work, layout)?;
    }
    Ok(())
}

/// Groups of the machine that builds have nothing to do with the image, and LVM cannot tell two of
/// one name apart.
fn spare_groups(work: &mut Work<'_>, layout: &StorageLayout) -> Result<(), ActionError> {
    if layout.volume_groups.is_empty() {
        return Ok(());
    }
    let list = Command::new(Tool::Vgs).args(["--noheadings", "--options", "vg_name"]);
    let known = work.tool(list)?.stdout;
    let is_known = |name: &str| known.split_whitespace().any(|known| known == name);
    match layout.volume_groups.iter().find(|group| is_known(&group.name)) {
        None => Ok(()),
        Some(group) => Err(ActionError::new(
            FaultKind::Environment,
            "group-exists",
            format!("this machine has a volume group {} of its own ({})", group.name, group.why),
            "nothing was written; build on another machine, or name the group differently",
        )),
    }
}

fn demand_file_system(work: &mut Work<'_>, volume: &Volume) -> Result<(), ActionError> {
    let Some(kind) = volume.file_system.as_deref() else {
        return Ok(());
    };
    let is_staged = kind == "vfat" && work.settings.fat_stage_dir.is_some();
    if is_staged || knows(work, "/proc/filesystems", kind, kind)? {
        return Ok(());
    }
    let point = volume.mount_point.as_deref().unwrap_or_default();
    Err(lacks(kind, &format!("{point} on {} ({})", volume.device, volume.why)))
}

/// True if `word` is in a list of the kernel's, if need be after its module was loaded. A machine
/// without the list is no real one.
fn knows(work: &mut Work<'_>, list: &str, word: &str, module: &str) -> Result<bool, ActionError> {
    let is_listed = |text: &str| text.split_whitespace().any(|listed| listed == word);
    let Some(text) = work.read_text(list)? else {
        return Ok(true);
    };
    if is_listed(&text) {
        return Ok(true);
    }
    work.try_tool(Command::new(Tool::Modprobe).args(["--quiet", module]))?;
    Ok(work.read_text(list)?.is_some_and(|text| is_listed(&text)))
}

fn lacks(what: &str, wanted_for: &str) -> ActionError {
    ActionError::new(
        FaultKind::Environment,
        "kernel-lacks",
        format!("the kernel of this machine has no {what}, which is wanted for {wanted_for}"),
        "nothing was written; build on a machine whose kernel has it, or choose another layout",
    )
}
