//! Names of new file systems by their UUIDs below `/dev`, where there is no udev(7) to make them.
//!
//! grub-mkconfig(8) lets the kernel look for its root by UUID only if such a link is there. Else it
//! writes the device's name, which is another one when a disk image boots.

use crate::fault::ActionError;
use crate::work::Work;

/// Where udev has them.
const DIR: &str = "/dev/disk/by-uuid";
/// The socket of a udev that runs.
const UDEV: &str = "/run/udev/control";

/// Makes a link for each file system of the layout that has none.
pub(super) fn make(work: &mut Work<'_>) -> Result<(), ActionError> {
    for (link, device) in links(work)? {
        if !work.exists(&link)? {
            work.host.make_dir(DIR, 0o755)?;
            work.host.symlink(&link, &device)?;
        }
    }
    Ok(())
}

/// Takes the links away: the next file system on that device has another name.
pub(super) fn remove(work: &mut Work<'_>) -> Result<(), ActionError> {
    for (link, _) in links(work)? {
        work.host.remove(&link)?;
    }
    Ok(())
}

/// Links and what they point to; none if udev is at work, and none where nothing was formatted.
fn links(work: &mut Work<'_>) -> Result<Vec<(String, String)>, ActionError> {
    if !work.inputs.target.has_disks() || work.exists(UDEV)? {
        return Ok(Vec::new());
    }
    let Some(layout) = work.plan.layout.clone() else { return Ok(Vec::new()) };
    let mut links = Vec::new();
    for volume in layout.volumes.iter().filter(|volume| volume.mount_point.is_some()) {
        if volume.device.starts_with("/dev/")
            && work.exists(&volume.device)?
            && let Some(uuid) = work.host.device_ids(&volume.device)?.uuid
        {
            links.push((format!("{DIR}/{uuid}"), volume.device.clone()));
        }
    }
    Ok(links)
}
