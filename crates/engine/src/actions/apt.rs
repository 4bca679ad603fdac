//! apt-get(8) in the target: its options, and what its lines mean.

use crate::environment;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::event::EventBody;
use hostwright_model::fault::FaultKind;

/// A call of apt-get in the target that asks nothing.
pub(super) fn apt_get(work: &Work<'_>) -> Command {
    in_target(work, Tool::AptGet).arg("-y")
}

/// A tool in the target, in the environment that maintainer scripts are to see.
pub(super) fn in_target(work: &Work<'_>, tool: Tool) -> Command {
    as_in_target(work, Command::new(tool))
}

/// A command in the target, in the same environment.
pub(super) fn as_in_target(work: &Work<'_>, command: Command) -> Command {
    command
        .in_root(&work.settings.target_dir)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", environment::locale(work.inputs))
}

/// Runs apt-get with progress. A package that no source has is told by its name.
pub(super) fn run(work: &mut Work<'_>, command: Command, source: &str) -> Result<(), ActionError> {
    let mut progress = Progress::default();
    let mut unknown = Vec::new();
    let step = work.step.clone();
    let output = work.tool_watched(command, &mut |line, emit| {
        unknown.extend(unknown_package(line).map(str::to_owned));
        if let Some((done, total)) = progress.line(line) {
            let unit = "package steps".to_owned();
            emit(EventBody::StepProgress { step: step.clone(), done, total, unit });
        }
    })?;
    if output.status == 0 || unknown.is_empty() {
        output.success()?;
        return Ok(());
    }
    unknown.dedup();
    let plural = if unknown.len() == 1 { "" } else { "s" };
    Err(ActionError::new(
        FaultKind::Config,
        "unknown-package",
        format!("no package source of the target has package{plural} {}", unknown.join(", ")),
        format!("correct the name in {source}, or add a source that has it"),
    ))
}

/// The package that a line of apt's says it cannot find.
pub(super) fn unknown_package(line: &str) -> Option<&str> {
    let error = line.strip_prefix("E: ")?;
    if let Some(name) = error.strip_prefix("Unable to locate package ") {
        return Some(name.trim());
    }
    if let Some(rest) = error.strip_prefix("Package '") {
        return rest.strip_suffix("' has no installation candidate");
    }
    let (version, rest) = error.strip_prefix("Version '")?.split_once("' for '")?;
    let name = rest.strip_suffix("' was not found")?;
    Some(if name.is_empty() { version } else { name })
}

/// How far apt is: each package is fetched, unpacked and set up; removals are one step.
#[derive(Debug, Default)]
struct Progress {
    done: u64,
    total: u64,
}

impl Progress {
    fn line(&mut self, line: &str) -> Option<(u64, u64)> {
        if let Some(total) = steps_announced(line) {
            (self.done, self.total) = (0, total);
        } else if ["Get:", "Unpacking ", "Setting up ", "Removing "]
            .iter()
            .any(|prefix| line.starts_with(prefix))
        {
            self.done += 1;
        } else {
            return None;
        }
        (self.total > 0).then(|| (self.done.min(self.total), self.total))
    }
}

/// Steps behind `3 upgraded, 120 newly installed, 1 to remove and 0 not upgraded.`
fn steps_announced(line: &str) -> Option<u64> {
    let (upgraded, rest) = line.split_once(" upgraded, ")?;
    let (installed, rest) = rest.split_once(" newly installed, ")?;
    // Some calls add "N reinstalled, " or "N downgraded, ".
    let (removed, _) = rest.split_once(" to remove")?;
    let removed = removed.rsplit(' ').next()?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    Some(3 * (number(upgraded)? + number(installed)?) + number(removed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_packages_are_found_in_apt_s_complaints() {
        let lines = [
            ("E: Unable to locate package linux-image-686-pae", Some("linux-image-686-pae")),
            ("E: Package 'ntp' has no installation candidate", Some("ntp")),
            ("E: Version '9' for 'bash' was not found", Some("bash")),
            ("E: Unable to correct problems, you have held broken packages.", None),
            ("Get:1 http://deb.example.org bookworm/main", None),
        ];
        for (line, name) in lines {
            assert_eq!(unknown_package(line), name, "{line}");
        }
    }

    #[test]
    fn progress_follows_what_apt_announced() {
        let mut progress = Progress::default();
        assert_eq!(progress.line("Setting up early (1) ..."), None);
        let announced = "1 upgraded, 1 newly installed, 1 to remove and 0 not upgraded.";
        assert_eq!(progress.line(announced), Some((0, 7)));
        assert_eq!(progress.line("Get:1 http://x bookworm/main amd64 a 1"), Some((1, 7)));
        assert_eq!(progress.line("Preparing to unpack .../a.deb ..."), None);
        assert_eq!(progress.line("Unpacking a (1) ..."), Some((2, 7)));
    }
}
