//! A mirror of packages that the space wants mounted below the target.

use super::Done;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, MountRequest, Tool};

/// Mounts it, unless it is: a share of another machine by mount(8), which knows how to ask for it, a
/// directory of this one by itself.
pub(super) fn mount(
    work: &mut Work<'_>,
    source: &str,
    path: &str,
    options: &str,
) -> Result<Done, ActionError> {
    let point = work.target(path);
    if work.host.mounts_below(&point)?.contains(&point) {
        return Ok(Done::already_true());
    }
    if let Some(dir) = source.strip_prefix('/') {
        let request = MountRequest {
            source: format!("/{dir}"),
            target: point,
            file_system: None,
            options: "bind,private,ro".to_owned(),
        };
        work.host.mount(&request)?;
        return Ok(Done::changed());
    }
    work.host.make_dir(&point, 0o755)?;
    let options: Vec<&str> = ["-o", options].into_iter().filter(|_| !options.is_empty()).collect();
    work.tool(Command::new(Tool::Mount).args(["-t", "nfs"]).args(options).args([source, &*point]))?;
    Ok(Done::changed())
}
