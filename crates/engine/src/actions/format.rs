//! File systems and swap areas.

use super::Done;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::storage::Volume;

/// Makes what the volume says, over whatever was there.
pub(super) fn make_file_system(work: &mut Work<'_>, volume: &Volume) -> Result<Done, ActionError> {
    let Some(kind) = volume.file_system.as_deref() else {
        return Ok(Done::already_true());
    };
    // A new partition may begin where an old file system did, and two signatures confuse blkid(8).
    work.tool(Command::new(Tool::Wipefs).args(["--all", "--force", &volume.device]))?;
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

/// Options with which mkfs asks nothing and refuses nothing.
fn never_ask(kind: &str) -> &'static [&'static str] {
    match kind {
        "ext2" | "ext3" | "ext4" => &["-F", "-q"],
        "xfs" | "btrfs" => &["-f"],
        _ => &[],
    }
}
