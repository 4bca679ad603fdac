//! File systems and swap areas.

use super::Done;
use super::nodes;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, MountRequest, Tool};
use hostwright_model::event::EventBody;
use hostwright_model::image::ReadyMade;
use hostwright_model::storage::{BtrfsProfile, Volume};

/// Makes what the volume says, over whatever was there; what is kept is left alone.
pub(super) fn make_file_system(work: &mut Work<'_>, volume: &Volume) -> Result<Done, ActionError> {
    let Some(kind) = volume.file_system.as_deref().filter(|_| !volume.fate.keeps_content()) else {
        return Ok(Done::already_true());
    };
    if let Some(profile) = &volume.btrfs {
        return make_btrfs(work, volume, profile);
    }
    // A new partition may begin where an old file system did, and two signatures confuse blkid(8).
    nodes::wipe(work, &volume.device)?;
    let make = match kind {
        "swap" => Command::new(Tool::Mkswap),
        kind => Command::mkfs(kind).args(never_ask(kind).iter().copied()),
    };
    work.tool(make.args(&volume.create_options).arg(&volume.device))?;
    if !volume.tune_options.is_empty() {
        let tune = Command::new(Tool::Tune2fs).args(&volume.tune_options).arg(&volume.device);
        work.tool(tune)?;
    }
    Ok(Done::changed())
}

/// Lays a file system down as blocks, with the files of an image in it, and makes it this volume's:
/// as large, with a journal, and with an identity of its own.
pub(super) fn lay_ready_made(
    work: &mut Work<'_>,
    volume: &Volume,
    made: &ReadyMade,
) -> Result<Done, ActionError> {
    nodes::wipe(work, &volume.device)?;
    let source = work.images.open_ready_made(made)?;
    let (emit, step, total) = (&mut *work.emit, &work.step, source.content_bytes());
    work.host.lay_blocks(&volume.device, &*source, &mut |done| {
        let unit = "bytes".to_owned();
        emit(EventBody::StepProgress { step: step.clone(), done, total, unit });
    })?;
    drop(source);
    // It was checked when it was made, and every block has been compared since.
    work.tool(Command::new(Tool::Resize2fs).args(["-f", &volume.device]))?;
    let identify = Command::new(Tool::Tune2fs).args(["-j", "-U", "random"]);
    work.tool(identify.args(&volume.tune_options).arg(&volume.device))?;
    Ok(Done::changed())
}

/// Options with which mkfs asks nothing and refuses nothing.
fn never_ask(kind: &str) -> &'static [&'static str] {
    match kind {
        "ext2" | "ext3" | "ext4" => &["-F", "-q"],
        "xfs" | "btrfs" | "f2fs" | "nilfs2" => &["-f"],
        // It takes arrays and whole disks for mistakes.
        "fat" | "vfat" | "msdos" => &["-I"],
        "jfs" | "reiserfs" => &["-q"],
        "ntfs" => &["-F"],
        _ => &[],
    }
}

/// Makes a btrfs on all its devices, and the subvolume that is mounted later.
fn make_btrfs(
    work: &mut Work<'_>,
    volume: &Volume,
    profile: &BtrfsProfile,
) -> Result<Done, ActionError> {
    // An attempt that failed may have left it mounted.
    let dir = work.settings.scratch_mount();
    work.host.unmount(&dir)?;
    if !profile.shares {
        for device in &profile.devices {
            nodes::wipe(work, device)?;
        }
        let mut make = Command::mkfs("btrfs").arg("-f");
        if let Some(level) = &profile.data_profile {
            make = make.args(["-d", level]);
        }
        work.tool(make.args(&volume.create_options).args(&profile.devices))?;
    }
    make_known(work, volume)?;
    work.host.mount(&MountRequest {
        source: volume.device.clone(),
        target: dir.clone(),
        file_system: Some("btrfs".to_owned()),
        options: String::new(),
    })?;
    let made = make_subvolume(work, &dir, &profile.subvolume);
    work.host.unmount(&dir)?;
    made?;
    Ok(Done::changed())
}

fn make_subvolume(work: &mut Work<'_>, dir: &str, name: &str) -> Result<(), ActionError> {
    let path = format!("{dir}/{}", name.trim_start_matches('/'));
    // An attempt that was cut off may have made it.
    if work.exists(&path)? {
        return Ok(());
    }
    if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| *parent != dir) {
        work.host.make_dir(parent, 0o755)?;
    }
    work.tool(Command::new(Tool::Btrfs).args(["subvolume", "create", &path]))?;
    Ok(())
}

/// Tells the kernel which devices make a btrfs: one of several cannot be mounted before.
pub(super) fn make_known(work: &mut Work<'_>, volume: &Volume) -> Result<(), ActionError> {
    let several = volume.btrfs.as_ref().filter(|profile| profile.devices.len() > 1);
    if let Some(profile) = several {
        work.tool(Command::new(Tool::Btrfs).args(["device", "scan"]).args(&profile.devices))?;
    }
    Ok(())
}
