//! What setup-storage leaves behind, and the installed system's fstab.

use super::{Done, fstab, scripts};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::fault::FaultKind;
use hostwright_model::plan::TargetProfile;
use hostwright_model::storage::{FstabKey, StorageLayout, Volume};

/// Writes `fstab` and `disk_var.sh` to the log directory and reads the latter into the shell.
pub(super) fn storage_files(
    work: &mut Work<'_>,
    layout: &StorageLayout,
) -> Result<Done, ActionError> {
    let mut volumes: Vec<(&Volume, String)> = Vec::new();
    for volume in layout.volumes.iter().filter(|volume| fstab::is_listed(volume)) {
        volumes.push((volume, key(work, volume)?));
    }
    let table = fstab::fstab(&volumes);
    let vars = fstab::disk_var(layout, &volumes);
    work.host.write(&work.settings.in_logs("fstab"), table.as_bytes(), 0o644)?;
    let path = work.settings.in_logs("disk_var.sh");
    work.host.write(&path, vars.as_bytes(), 0o644)?;
    scripts::source_own(work, &path)?;
    Ok(Done::changed())
}

fn key(work: &mut Work<'_>, volume: &Volume) -> Result<String, ActionError> {
    if volume.fstab_key == FstabKey::Device {
        return Ok(volume.device.clone());
    }
    let ids = work.host.device_ids(&volume.device)?;
    fstab::key(volume, &ids).map_err(|missing| {
        ActionError::new(
            FaultKind::Config,
            "no-identifier",
            format!("{} has no {} for fstab", missing.device, missing.identifier),
            format!("choose another fstabkey in {}", volume.why),
        )
    })
}

/// Puts fstab and crypttab into the target. What an image brought along for other mount points is
/// kept; what was there before is `fstab.old`.
pub(super) fn install_fstab(work: &mut Work<'_>) -> Result<Done, ActionError> {
    let path = work.target("etc/fstab");
    let old = work.read_text(&path)?;
    let Some(own) = work.read_text(&work.settings.in_logs("fstab"))? else {
        // A directory has no disks, but scripts add to its fstab.
        if old.is_some() {
            return Ok(Done::already_true());
        }
        work.host.write(&path, b"", 0o644)?;
        return Ok(Done::changed());
    };
    let new = match (&work.inputs.target, &old) {
        (TargetProfile::DisksImage { .. }, Some(old)) => fstab::merge(&own, old),
        _ => own,
    };
    if old.as_ref() == Some(&new) {
        return Ok(Done::already_true());
    }
    if let Some(old) = old {
        work.host.write(&work.target("etc/fstab.old"), old.as_bytes(), 0o644)?;
    }
    work.host.write(&path, new.as_bytes(), 0o644)?;
    if let Some(crypttab) = work.host.read(&work.settings.in_logs("crypttab"))? {
        work.host.write(&work.target("etc/crypttab"), &crypttab, 0o600)?;
    }
    Ok(Done::changed())
}
