//! Directories of the target that are kept in memory while packages are installed, because a package
//! manager syncs its data base after each of them (`FAI_RAMDISKS`).

use super::Done;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, HostError, MountRequest, Tool};
use hostwright_model::fault::FaultKind;

/// Copies a tree with everything that a file has beside its content.
pub(crate) const COPY: &str = "set -e -o pipefail
tar --create --file=- --acls --selinux --xattrs --xattrs-include='*' --numeric-owner \
    --directory=\"$1\" . |
tar --extract --file=- --acls --selinux --xattrs --xattrs-include='*' --numeric-owner \
    --preserve-permissions --directory=\"$2\"";

/// Puts a RAM disk with the content of the directory over it. As with FAI a directory that is not
/// there needs none.
pub(super) fn mount(work: &mut Work<'_>, path: &str) -> Result<Done, ActionError> {
    let path = below_target(work, path)?;
    if is_mounted(work, &path)? || !work.exists(&path)? {
        return Ok(Done::already_true());
    }
    let staged = staging(work);
    work.host.unmount(&staged)?;
    work.host.mount(&MountRequest {
        source: "hostwright-ramdisk".to_owned(),
        target: staged.clone(),
        file_system: Some("tmpfs".to_owned()),
        options: "noatime,size=80%,private".to_owned(),
    })?;
    copy(work, &path, &staged)?;
    bind(work, &staged, &path)?;
    work.host.unmount(&staged)?;
    Ok(Done::changed())
}

/// Writes the content back and takes the RAM disk away.
pub(super) fn flush(work: &mut Work<'_>, path: &str) -> Result<Done, ActionError> {
    let path = below_target(work, path)?;
    let staged = staging(work);
    if is_mounted(work, &path)? {
        work.host.unmount(&staged)?;
        bind(work, &path, &staged)?;
        work.host.unmount(&path)?;
    } else if !is_mounted(work, &staged)? {
        return Ok(Done::already_true());
    }
    for name in work.host.list(&path)? {
        work.host.remove(&format!("{path}/{name}"))?;
    }
    copy(work, &staged, &path)?;
    work.host.unmount(&staged)?;
    Ok(Done::changed())
}

/// Fails if the RAM disk is gone and with it what was written there.
pub(super) fn demand(work: &mut Work<'_>, path: &str) -> Result<(), ActionError> {
    let path = below_target(work, path)?;
    let staged = staging(work);
    if is_mounted(work, &path)? || is_mounted(work, &staged)? || !work.exists(&path)? {
        return Ok(());
    }
    Err(ActionError::new(
        FaultKind::Environment,
        "ram-disk-lost",
        format!("what was installed into the RAM disk over {path} is lost with it"),
        "start the run over; without the variable FAI_RAMDISKS it can be taken up where it stopped",
    ))
}

/// FAI's variable names directories as this machine sees them.
fn below_target(work: &Work<'_>, path: &str) -> Result<String, ActionError> {
    let root = work.target("/");
    let below = path.strip_prefix(root.trim_end_matches('/'));
    if below.is_some_and(|rest| rest.starts_with('/') && rest.len() > 1) {
        return Ok(path.trim_end_matches('/').to_owned());
    }
    Err(ActionError::new(
        FaultKind::Config,
        "ram-disk-outside",
        format!("FAI_RAMDISKS names {path}, which is not below the target"),
        "write directories such as $target/var/lib/rpm",
    ))
}

fn staging(work: &Work<'_>) -> String {
    format!("{}/ram-disk", work.settings.record_dir)
}

fn is_mounted(work: &mut Work<'_>, path: &str) -> Result<bool, HostError> {
    Ok(work.host.mounts_below(path)?.iter().any(|point| point == path))
}

fn bind(work: &mut Work<'_>, from: &str, to: &str) -> Result<(), HostError> {
    work.host.mount(&MountRequest {
        source: from.to_owned(),
        target: to.to_owned(),
        file_system: None,
        options: "bind,private".to_owned(),
    })
}

fn copy(work: &mut Work<'_>, from: &str, to: &str) -> Result<(), ActionError> {
    work.tool(Command::new(Tool::Bash).args(["-c", COPY, "copy", from, to]))?;
    Ok(())
}
