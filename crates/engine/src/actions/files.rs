//! What setup-storage leaves behind, and the installed system's fstab.

use super::{Done, encrypt, fstab, initramfs_keys, initramfs_tpm, raid, scripts};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::fault::FaultKind;
use hostwright_model::storage::{FstabKey, StorageLayout, Volume};

/// ARRAY lines for the installed system, in the log directory.
const MDADM_CONF: &str = "mdadm.conf";
/// What a mdadm.conf(5) has beside them where mdadm is not installed yet.
const MDADM_DEFAULTS: &str = "HOMEHOST <system>\nMAILADDR root\n";

/// Writes `fstab`, `crypttab`, `mdadm.conf` and `disk_var.sh` to the log directory and reads the
/// last into the shell.
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
    crypttab(work, layout)?;
    mdadm_conf(work, layout)?;
    let path = work.settings.in_logs("disk_var.sh");
    work.host.write(&path, vars.as_bytes(), 0o644)?;
    scripts::source_own(work, &path)?;
    Ok(Done::changed())
}

fn crypttab(work: &mut Work<'_>, layout: &StorageLayout) -> Result<(), ActionError> {
    let mut text = String::new();
    for device in &layout.encrypted {
        let volume = layout.volumes.iter().find(|volume| volume.device == device.mapped_device);
        let kind = volume.and_then(|volume| volume.file_system.as_deref());
        text.push_str(&encrypt::crypttab_line(work, device, kind)?);
    }
    if !text.is_empty() {
        work.host.write(&work.settings.in_logs("crypttab"), text.as_bytes(), 0o600)?;
    }
    Ok(())
}

fn mdadm_conf(work: &mut Work<'_>, layout: &StorageLayout) -> Result<(), ActionError> {
    let mut text = String::new();
    for array in &layout.arrays {
        text.push_str(&raid::conf_line(work, array)?);
    }
    if !text.is_empty() {
        work.host.write(&work.settings.in_logs(MDADM_CONF), text.as_bytes(), 0o644)?;
    }
    Ok(())
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
    install_crypttab(work)?;
    install_mdadm_conf(work)?;
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
    let new = match (work.inputs.target.image(), &old) {
        (Some(_), Some(old)) => fstab::merge(&own, old),
        _ => own,
    };
    if old.as_ref() == Some(&new) {
        return Ok(Done::already_true());
    }
    if let Some(old) = old {
        work.host.write(&work.target("etc/fstab.old"), old.as_bytes(), 0o644)?;
    }
    work.host.write(&path, new.as_bytes(), 0o644)?;
    Ok(Done::changed())
}

/// Puts crypttab into the target, and the key files that it names: FAI deletes them, and such a
/// system cannot open its devices.
fn install_crypttab(work: &mut Work<'_>) -> Result<(), ActionError> {
    let Some(crypttab) = work.host.read(&work.settings.in_logs("crypttab"))? else {
        return Ok(());
    };
    work.host.write(&work.target("etc/crypttab"), &crypttab, 0o600)?;
    let layout = work.plan.layout.clone().unwrap_or_default();
    let mut has_keys = false;
    for device in &layout.encrypted {
        if encrypt::is_sealed(&device.key) && !is_root_encrypted(&layout) {
            // Beside the TPM it would let everybody in who has the disk.
            continue;
        }
        let from = encrypt::key_file(work.settings, &device.name);
        let Some(key) = work.host.read(&from)? else { continue };
        let to = encrypt::installed_key_file(&device.name);
        work.say(&format!("the key of {} is {to} of the installed system", device.name));
        work.host.make_dir(&work.target("etc/keys"), 0o700)?;
        work.host.write(&work.target(&to), &key, 0o600)?;
        has_keys = true;
    }
    if has_keys {
        initramfs_keys::allow(work)?;
    }
    if layout.encrypted.iter().any(|device| encrypt::is_sealed(&device.key)) {
        initramfs_tpm::install(work)?;
    }
    Ok(())
}

/// True if whoever has the disk cannot read the root file system.
fn is_root_encrypted(layout: &StorageLayout) -> bool {
    let root = layout.volumes.iter().find(|volume| volume.mount_point.as_deref() == Some("/"));
    let Some(root) = root else { return false };
    let group = layout
        .volume_groups
        .iter()
        .find(|group| group.logical_volumes.iter().any(|volume| volume.device == root.device));
    let members = group.map(|group| group.physical_volumes.as_slice()).unwrap_or_default();
    let is_encrypted = |device: &String| {
        layout.encrypted.iter().any(|encrypted| encrypted.mapped_device == *device)
    };
    is_encrypted(&root.device) || (!members.is_empty() && members.iter().all(is_encrypted))
}

/// Gives the installed system the names of its arrays. What it has beside them stays.
fn install_mdadm_conf(work: &mut Work<'_>) -> Result<(), ActionError> {
    let Some(arrays) = work.read_text(&work.settings.in_logs(MDADM_CONF))? else {
        return Ok(());
    };
    let path = work.target("etc/mdadm/mdadm.conf");
    let old = work.read_text(&path)?.unwrap_or_else(|| MDADM_DEFAULTS.to_owned());
    let new = replace_arrays(&old, &arrays);
    work.host.write(&path, new.as_bytes(), 0o644)?;
    Ok(())
}

/// A mdadm.conf(5) with these ARRAY lines instead of its own.
fn replace_arrays(conf: &str, arrays: &str) -> String {
    let mut in_array = false;
    let mut text = String::new();
    for line in conf.lines() {
        // A line that begins with a blank goes on with the one before.
        in_array = line.starts_with("ARRAY") || (in_array && line.starts_with([' ', '\t']));
        if !in_array {
            text.push_str(line);
            text.push('\n');
        }
    }
    text + arrays
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_replace_those_of_the_image_and_nothing_else() {
        let conf = "HOMEHOST <system>\nARRAY /dev/md9 UUID=1\n   name=old\nMAILADDR root\n";
        let new = replace_arrays(conf, "ARRAY /dev/md0 UUID=2\n");
        assert_eq!(new, "HOMEHOST <system>\nMAILADDR root\nARRAY /dev/md0 UUID=2\n");
        assert_eq!(replace_arrays(&new, "ARRAY /dev/md0 UUID=2\n"), new);
    }
}
