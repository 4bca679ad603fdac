//! The end of a run: what was only for the installation goes, the logs stay.

use super::{Done, mounts, old_etc, repository, stand_in};
use crate::fault::ActionError;
use crate::logs::let_administrators_read;
use crate::task_error;
use crate::work::Work;
use hostwright_host::HostError;
use hostwright_model::plan::{Action, TargetProfile};

/// Takes back what was only for the installation.
pub(super) fn finish(work: &mut Work<'_>) -> Result<Done, ActionError> {
    stand_in::allow_all(work)?;
    stand_in::remove_diversions_of_scripts(work)?;
    for name in repository::TEMPORARY {
        work.host.remove(&work.target(&format!("etc/apt/apt.conf.d/{name}")))?;
    }
    mounts::unmount_pseudo(work)?;
    let swaps: Vec<String> = work
        .plan
        .steps()
        .filter_map(|(_, step)| match &step.action {
            Action::SwapOn { device } => Some(device.clone()),
            _ => None,
        })
        .collect();
    mounts::swap_off(work, &swaps)?;
    Ok(Done::changed())
}

/// Saves the logs into the target, where FAI's readers and a later softupdate look for them.
pub(super) fn save_logs(work: &mut Work<'_>) -> Result<Done, ActionError> {
    work.logs.flush(work.host, work.settings)?;
    let action = work.inputs.target.fai_action();
    let run = format!("{action}-{}", work.run_date);
    let (host, base) = (work.inputs.hostname.clone(), work.target("var/log/fai"));
    let saved = format!("{base}/{host}/{run}");
    work.host.make_dir(&saved, 0o750)?;
    let logs = work.settings.log_dir.clone();
    copy_files(work, &logs, &saved)?;
    let_administrators_read(work.host, &saved);
    // Behind the line above: of the old system only root may read.
    if let Some(archive) = work.host.read(&old_etc::in_record(work))? {
        work.host.write(&format!("{saved}/{}", old_etc::ARCHIVE), &archive, 0o600)?;
    }
    for name in ["last".to_owned(), format!("last-{action}")] {
        work.host.symlink(&format!("{base}/{host}/{name}"), &run)?;
    }
    work.host.symlink(&format!("{base}/localhost"), &host)?;
    for name in ["FAI_CLASSES", "disk_var.sh"] {
        if let Some(content) = work.host.read(&work.settings.in_logs(name))? {
            let path = work.target(&format!("var/lib/fai/{name}"));
            work.host.write(&path, &content, 0o644)?;
        }
    }
    if work.inputs.target != TargetProfile::Directory && wants_remote_logs(work) {
        let reply = work.eval(format!("_hostwright_save_remote {run} {action}"))?;
        if reply.status != 0 {
            work.raise(task_error::SAVELOG_FAILED)?;
        }
    }
    Ok(Done::changed())
}

/// True if the variables name an account for logs on another machine.
fn wants_remote_logs(work: &Work<'_>) -> bool {
    let is = |name: &str, value: &str| work.shell_vars.get(name).is_some_and(|set| set == value);
    work.shell_vars.get("LOGUSER").is_some_and(|user| !user.is_empty())
        && !is("FAI_LOGPROTO", "none")
}

/// Copies what is not empty; directories are entered.
fn copy_files(work: &mut Work<'_>, from: &str, to: &str) -> Result<(), HostError> {
    for name in work.host.list(from)? {
        let (from, to) = (format!("{from}/{name}"), format!("{to}/{name}"));
        if !work.host.list(&from)?.is_empty() {
            work.host.make_dir(&to, 0o750)?;
            copy_files(work, &from, &to)?;
        } else if let Ok(Some(content)) = work.host.read(&from)
            && !content.is_empty()
        {
            work.host.write(&to, &content, 0o640)?;
        }
    }
    Ok(())
}
