//! The base system: from an image, from an archive of the space, or by debootstrap(8).

use super::{Done, mounts, old_systems, repository, stand_in};
use crate::fault::ActionError;
use crate::task_error;
use crate::work::Work;
use hostwright_host::{Command, HostError, Tool};
use hostwright_model::event::EventBody;
use hostwright_model::image::ImageRef;
use hostwright_model::plan::Action;
use std::collections::BTreeSet;

/// Fewest packages that a base system is thought to have, for a bar that moves before debootstrap
/// has told how many there are.
const LIKELY_PACKAGES: u64 = 150;

/// Brings an image here and verifies it, but for what systems that were installed before have.
pub(super) fn fetch_image(work: &mut Work<'_>, image: &ImageRef) -> Result<Done, ActionError> {
    if !work.inputs.target.is_own_machine() {
        return fetch_whole_image(work, image);
    }
    let roots = old_systems::mount(work)?;
    work.images.reuse(&roots);
    let fetched = fetch_whole_image(work, image);
    work.images.reuse(&[]);
    old_systems::unmount(work)?;
    fetched
}

/// Brings an image here and verifies it.
pub(super) fn fetch_whole_image(
    work: &mut Work<'_>,
    image: &ImageRef,
) -> Result<Done, ActionError> {
    let emit = &mut *work.emit;
    work.images.fetch(image, &mut |done_bytes, total_bytes| {
        emit(EventBody::Fetch { what: "image".to_owned(), done_bytes, total_bytes });
    })?;
    Ok(Done::changed())
}

/// Lays a fetched image down, over what an earlier attempt may have laid down.
pub(super) fn lay_image(work: &mut Work<'_>, image: &ImageRef) -> Result<Done, ActionError> {
    let source = work.images.open(image)?;
    let (emit, step, total) = (&mut *work.emit, &work.step, image.content_bytes);
    work.host.lay_tree(&work.settings.target_dir, &*source, &mut |done| {
        let unit = "bytes".to_owned();
        emit(EventBody::StepProgress { step: step.clone(), done, total, unit });
    })?;
    Ok(Done::changed())
}

/// Unpacks an archive of the space, over what an earlier attempt may have unpacked.
pub(super) fn base_file(work: &mut Work<'_>, path: &str) -> Result<Done, ActionError> {
    let is_fetched = path.starts_with('/');
    let archive = if is_fetched { path.to_owned() } else { work.settings.in_space(path) };
    if is_fetched && work.repeated && !work.exists(&archive)? {
        // Removing it was the last thing that the attempt before did.
        return Ok(Done::changed());
    }
    let root = work.settings.target_dir.clone();
    work.host.make_dir(&root, 0o755)?;
    let tar = Command::new(Tool::Tar)
        .args(["--extract", "--numeric-owner", "--acls", "--selinux", "--xattrs"])
        .args(["--xattrs-include=*", "--directory", &root, "--file", &archive]);
    work.tool(tar)?;
    if is_fetched {
        work.host.remove(&archive)?;
    }
    prepare(work)?;
    Ok(Done::changed())
}

/// What a new base system needs before any program in it runs, whoever runs it.
fn prepare(work: &mut Work<'_>) -> Result<(), ActionError> {
    repository::use_proxy(work)?;
    stand_in::forbid_boot_loaders(work)
}

/// Makes the base system, unless a hook has made one, which as with FAI is a target with `/etc`.
pub(super) fn debootstrap(
    work: &mut Work<'_>,
    suite: &str,
    mirror: &str,
    options: &[String],
) -> Result<Done, ActionError> {
    let root = work.settings.target_dir.clone();
    work.host.make_dir(&root, 0o755)?;
    // What was in the target before, a path a line: debootstrap does not mend what it left half
    // done, so that must go before it starts again.
    let list = format!("{}/before-base", work.settings.record_dir);
    match work.read_text(&list)?.filter(|_| work.repeated) {
        Some(before) => clear_target(work, &before)?,
        None if work.exists(&format!("{root}/etc"))? => return Ok(Done::already_true()),
        None => {
            let before = contents(work)?.join("\n");
            work.host.write(&list, before.as_bytes(), 0o600)?;
        }
    }
    let mut command =
        Command::new(Tool::Debootstrap).args(options).args([suite, root.as_str(), mirror]);
    command = command.env("LC_ALL", "C");
    if let Some(proxy) = &work.settings.package_proxy {
        command = command.env("http_proxy", proxy.clone());
    }
    let mut progress = DebootstrapProgress::default();
    let step = work.step.clone();
    let output = work.tool_watched(command, &mut |line, emit| {
        if let Some((done, total)) = progress.line(line) {
            let unit = "package steps".to_owned();
            emit(EventBody::StepProgress { step: step.clone(), done, total, unit });
        }
    })?;
    if output.status != 0 {
        work.note(task_error::BASE_FAILED);
    }
    output.success()?;
    prepare(work)?;
    Ok(Done::changed())
}

/// How far debootstrap is: each package is retrieved, unpacked and configured.
#[derive(Debug, Default)]
struct DebootstrapProgress {
    retrieved: u64,
    handled: u64,
}

impl DebootstrapProgress {
    fn line(&mut self, line: &str) -> Option<(u64, u64)> {
        let word = line.strip_prefix("I: ")?.split(' ').next()?;
        match word {
            "Retrieving" => self.retrieved += 1,
            "Unpacking" | "Configuring" => self.handled += 1,
            _ => return None,
        }
        let packages =
            if self.handled == 0 { self.retrieved.max(LIKELY_PACKAGES) } else { self.retrieved };
        let total = (3 * packages).max(self.retrieved + self.handled);
        Some((self.retrieved + self.handled, total))
    }
}

/// Removes what is in the target, and in the file systems mounted there, and was not there before.
fn clear_target(work: &mut Work<'_>, before: &str) -> Result<(), ActionError> {
    mounts::unmount_pseudo(work)?;
    let roots = roots(work);
    for path in contents(work)? {
        if !roots.contains(&path) && before.lines().all(|old| *old != path) {
            work.host.remove(&path)?;
        }
    }
    Ok(())
}

/// What is directly in the target, in the file systems mounted there and on the way to them. Not
/// deeper, because a link in the target may lead out of it.
fn contents(work: &mut Work<'_>) -> Result<Vec<String>, HostError> {
    let mut paths = Vec::new();
    for root in roots(work) {
        let names = work.host.list(&root)?;
        paths.extend(names.iter().map(|name| format!("{}/{name}", root.trim_end_matches('/'))));
    }
    Ok(paths)
}

/// The target, and every directory that the plan mounts something at or below.
fn roots(work: &Work<'_>) -> BTreeSet<String> {
    let points = work.plan.steps().filter_map(|(_, step)| match &step.action {
        Action::Mount { volume } => volume.mount_point.as_deref(),
        _ => None,
    });
    let ways = points.flat_map(|point| {
        let ends = point.match_indices('/').map(|(at, _)| at).skip(1).chain([point.len()]);
        ends.map(|end| work.target(&point[..end])).collect::<Vec<_>>()
    });
    ways.chain([work.target("/")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_never_passes_its_total() {
        let mut progress = DebootstrapProgress::default();
        assert_eq!(progress.line("I: Checking Release signature"), None);
        assert_eq!(progress.line("I: Retrieving adduser 3.134"), Some((1, 450)));
        assert_eq!(progress.line("I: Unpacking adduser..."), Some((2, 3)));
        assert_eq!(progress.line("I: Configuring adduser..."), Some((3, 3)));
        assert_eq!(progress.line("I: Configuring again..."), Some((4, 4)));
    }
}
