//! Puts back what lives only until the next reboot, so that a run whose journal survived one can go
//! on: mounts, swap, volume groups, fetched images, file systems on keys that are forgotten.

use super::{base, confirm, encrypt, format, lvm, mirror, mounts, raid, ram_disk};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::plan::{Action, Outcome};

/// `finished` holds the actions that ended well, in order.
pub(crate) fn restore(work: &mut Work<'_>, finished: &[Action]) -> Result<(), ActionError> {
    let is_done = |wanted: fn(&Action) -> bool| finished.iter().any(wanted);
    if is_done(|action| matches!(action, Action::UnmountTarget)) {
        return Ok(());
    }
    let runs_programs = !is_done(|action| matches!(action, Action::Finish));
    let is_flushed = |disk: &str| {
        let is = |action: &Action| matches!(action, Action::FlushRamDisk { path } if path == disk);
        finished.iter().any(is)
    };
    let wants_image = !is_done(|action| {
        matches!(action, Action::LayImage { .. } | Action::Format { ready_made: Some(_), .. })
    });
    // What is encrypted with a key that nobody kept is random bytes after a reboot.
    let mut forgotten: Vec<&str> = Vec::new();
    for action in finished {
        match action {
            Action::ConfirmDisks { disks } => confirm::confirm_same_disks(work, disks)?,
            Action::RaidArray { array } => {
                raid::assemble(work, array)?;
            }
            Action::Encrypt { encrypted } => {
                let opened = encrypt::open_again(work, encrypted)?.outcome == Outcome::Changed;
                if opened && encrypt::is_plain(&encrypted.key) {
                    forgotten.push(&encrypted.mapped_device);
                }
            }
            Action::Format { volume, .. } if forgotten.contains(&volume.device.as_str()) => {
                format::make_file_system(work, volume)?;
            }
            Action::VolumeGroup { group } => lvm::activate(work, &group.name)?,
            Action::Mount { volume } => {
                mounts::mount_volume(work, volume)?;
            }
            Action::MountFstab => {
                mounts::mount_fstab(work)?;
            }
            Action::SwapOn { device } if runs_programs => {
                mounts::swap_on(work, device)?;
            }
            Action::UpdateBase | Action::MountPseudo if runs_programs => {
                mounts::mount_pseudo(work)?;
            }
            Action::MountMirror { source, path, options } => {
                mirror::mount(work, source, path, options)?;
            }
            Action::RamDisk { path } if !is_flushed(path) => ram_disk::demand(work, path)?,
            Action::FetchImage { image } if wants_image => {
                // Disks may have been written since: nothing is looked for on them.
                base::fetch_whole_image(work, image)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Brings up the arrays and volume groups that the layout keeps, for a step that needs what is on
/// them before their own step comes.
pub(super) fn bring_up_kept(work: &mut Work<'_>) -> Result<(), ActionError> {
    let Some(layout) = work.plan.layout.clone() else { return Ok(()) };
    for array in layout.arrays.iter().filter(|array| array.fate.needs_existing()) {
        raid::assemble(work, array)?;
    }
    for group in layout.volume_groups.iter().filter(|group| group.fate.needs_existing()) {
        lvm::activate(work, &group.name)?;
    }
    Ok(())
}
