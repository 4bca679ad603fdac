//! Files that a space wants in the target before packages are installed (`PRELOAD`).

use super::Done;
use crate::fault::ActionError;
use crate::package_calls;
use crate::work::Work;

/// Puts the file into `directory` of the target.
pub(super) fn fetch(work: &mut Work<'_>, url: &str, directory: &str) -> Result<Done, ActionError> {
    for command in package_calls::preload(url, directory, &work.settings.target_dir) {
        work.tool(command)?;
    }
    Ok(Done::changed())
}

/// Removes it again.
pub(super) fn remove(work: &mut Work<'_>, url: &str, directory: &str) -> Result<Done, ActionError> {
    let target = &work.settings.target_dir;
    work.tool(package_calls::remove_preloaded(url, directory, target))?;
    Ok(Done::changed())
}
