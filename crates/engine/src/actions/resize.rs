//! File systems that change their size with their content: smaller before their device is, larger
//! after it.

use super::Done;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, MountRequest, Tool};
use hostwright_model::fault::FaultKind;

/// Shrinks to `size_bytes`, or grows to all of the device. Done again, it changes nothing.
pub(super) fn resize(
    work: &mut Work<'_>,
    device: &str,
    file_system: &str,
    size_bytes: Option<u64>,
) -> Result<Done, ActionError> {
    if !work.exists(device)? {
        super::restore::bring_up_kept(work)?;
    }
    match (file_system, size_bytes) {
        ("ext2" | "ext3" | "ext4", _) => resize_ext(work, device, size_bytes)?,
        ("ntfs", _) => resize_ntfs(work, device, size_bytes)?,
        ("xfs", None) => {
            let grow = |dir: &str| Command::new(Tool::XfsGrowfs).args(["-d", dir]);
            while_mounted(work, device, file_system, grow)?;
        }
        ("btrfs", _) => {
            let size = size_bytes.map_or("max".to_owned(), |bytes| bytes.to_string());
            let resize =
                |dir: &str| Command::new(Tool::Btrfs).args(["filesystem", "resize", &size, dir]);
            while_mounted(work, device, file_system, resize)?;
        }
        // It has no content that would be worth keeping but its identifier.
        ("swap", _) => return Ok(Done::already_true()),
        _ => {
            let verb = if size_bytes.is_some() { "made smaller" } else { "made larger" };
            return Err(ActionError::new(
                FaultKind::Config,
                "cannot-resize",
                format!("the {file_system} on {device} cannot be {verb}"),
                "keep its size, or leave resize: away and have it formatted",
            ));
        }
    }
    Ok(Done::changed())
}

/// resize2fs(8) wants the file system checked first; e2fsck(8) ends with 1 if it mended something.
fn resize_ext(
    work: &mut Work<'_>,
    device: &str,
    size_bytes: Option<u64>,
) -> Result<(), ActionError> {
    let check = work.try_tool(Command::new(Tool::E2fsck).args(["-f", "-p", device]))?;
    if check.status > 1 {
        check.success()?;
    }
    let resize = Command::new(Tool::Resize2fs).arg(device);
    // In units of 1024 bytes; a fraction of one would be lost at the end of the device.
    let size = size_bytes.map(|bytes| format!("{}K", bytes / 1024));
    work.tool(resize.args(size))?;
    Ok(())
}

fn resize_ntfs(
    work: &mut Work<'_>,
    device: &str,
    size_bytes: Option<u64>,
) -> Result<(), ActionError> {
    let resize = Command::new(Tool::Ntfsresize).args(["--force", "--force"]);
    let size = size_bytes.map(|bytes| format!("--size={bytes}"));
    // It asks whether one is sure.
    work.tool(resize.args(size).arg(device).stdin("y\n"))?;
    Ok(())
}

/// For file systems that only change while they are mounted.
fn while_mounted(
    work: &mut Work<'_>,
    device: &str,
    file_system: &str,
    command: impl FnOnce(&str) -> Command,
) -> Result<(), ActionError> {
    let target = work.settings.scratch_mount();
    work.host.unmount(&target)?;
    work.host.mount(&MountRequest {
        source: device.to_owned(),
        target: target.clone(),
        file_system: Some(file_system.to_owned()),
        options: String::new(),
    })?;
    let resized = work.tool(command(&target));
    work.host.unmount(&target)?;
    resized?;
    Ok(())
}
