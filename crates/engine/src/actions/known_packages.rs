//! Whether the package managers of the target know every package of the plan, asked before the first
//! one is fetched: one wrong name would otherwise cost the whole call it is in, half an hour later.
//!
//! Each package manager is asked by a dry run of its own, so that it judges as it will judge in
//! earnest: names, versions, releases, patterns, virtual packages, groups.

use super::Done;
use super::apt::{as_in_target, unknown_package};
use crate::barrier;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, HostError, Output, Tool};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::package::{Package, PackageAction, PackageGroup, PackageSystem, Wish};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Discovered, Stage};
use std::collections::{BTreeMap, BTreeSet};

/// The status of a shell, and of chroot(8), for a program that is not there.
const NO_PROGRAM: i32 = 127;
/// How many unknown packages a message names; the rest is in the lines below it.
const NAMED_MAX: usize = 5;

/// Asks for all packages of the plan's steps. What nobody knows stops the run, or is left out if
/// `lenient`. Words that only take something away are left out in any case: what does not exist is
/// not installed.
pub(super) fn check(work: &mut Work<'_>, lenient: bool) -> Result<Done, ActionError> {
    let groups = planned_groups(work);
    let unknown = unknown(work, &groups)?;
    let mut discovered = Discovered::default();
    let mut wanted = Vec::new();
    for (package, is_wanted) in unknown {
        if is_wanted {
            wanted.push(package.clone());
        }
        if is_wanted && lenient {
            work.warn(&format!(
                "WARNING: {}: no package source has '{}'; it is left out",
                package.why, package.name
            ));
        } else if !is_wanted {
            work.warn(&format!(
                "{}: no package source has what '{}' is about; nothing is to be done",
                package.why, package.name
            ));
        }
        discovered.unknown_packages.push(package.name);
    }
    if lenient || wanted.is_empty() {
        return Ok(Done::discovered(discovered));
    }
    Err(refusal(&wanted))
}

/// The same as soon as the package sources have been read, before anything is fetched from them. Where
/// hooks of instsoft are still to run, which may add sources, what is unknown is only told.
pub(super) fn check_early(work: &mut Work<'_>) -> Result<(), ActionError> {
    let is_strict = |action: &Action| matches!(action, Action::CheckPackages { lenient: false });
    if !work.plan.steps().any(|(_, step)| is_strict(&step.action)) {
        return Ok(());
    }
    let groups = planned_groups(work);
    let unknown = unknown(work, &groups)?.into_iter();
    let wanted: Vec<Package> =
        unknown.filter(|(_, is_wanted)| *is_wanted).map(|(package, _)| package).collect();
    let is_hook = |stage: &Stage| stage.phase == Phase::Instsoft && barrier::is_hooks(stage);
    if wanted.is_empty() || !work.plan.stages.iter().any(is_hook) {
        return if wanted.is_empty() { Ok(()) } else { Err(refusal(&wanted)) };
    }
    for package in wanted {
        work.warn(&format!(
            "WARNING: {}: no package source has '{}' by now; hooks of instsoft may add one",
            package.why, package.name
        ));
    }
    Ok(())
}

fn planned_groups(work: &Work<'_>) -> Vec<PackageGroup> {
    let groups = work.plan.steps().filter_map(|(_, step)| match &step.action {
        Action::Packages { group } => Some(group.clone()),
        _ => None,
    });
    groups.collect()
}

fn refusal(unknown: &[Package]) -> ActionError {
    let shown = |package: &Package| format!("'{}' ({})", package.name, package.why);
    let named: Vec<String> = unknown.iter().take(NAMED_MAX).map(shown).collect();
    let more = match unknown.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!("no package source of the target has {}{more}", named.join(", "));
    let cure = "correct the name or add a source that has it; with --lenient it is left out";
    let output = unknown.iter().map(|it| format!("{}: {}", it.why, it.name)).collect();
    let fault = Fault::new(FaultKind::Config, "unknown-package", message, cure);
    ActionError::Fault(Box::new(Fault { output, ..fault }))
}

/// Unknown packages in the order of the plan, each with whether it is wanted.
fn unknown(
    work: &mut Work<'_>,
    groups: &[PackageGroup],
) -> Result<Vec<(Package, bool)>, ActionError> {
    let of_apt = unknown_to_apt(work, groups)?;
    let mut found = Vec::new();
    for group in groups {
        let unknown = match group.action.system() {
            PackageSystem::Apt => match group.action {
                PackageAction::Taskinst | PackageAction::Taskrm => unknown_tasks(work, group)?,
                _ => of_apt.clone(),
            },
            _ => unknown_to_others(work, group)?,
        };
        for package in &group.packages {
            let (subject, is_wanted) = subject(group.action, &package.name);
            if unknown.contains(subject) {
                found.push((package.clone(), is_wanted));
            }
        }
    }
    Ok(found)
}

/// What a word is about, as its package manager is asked for it, and whether that is wanted.
fn subject(action: PackageAction, word: &str) -> (&str, bool) {
    let is_present = action.wish() == Wish::Present;
    match action {
        PackageAction::DselectUpgrade => {
            let (name, selection) = word.split_once(' ').unwrap_or((word, ""));
            (name, selection == "install")
        }
        _ if action.system() == PackageSystem::Apt => match word.strip_suffix('-') {
            Some(name) => (name, false),
            None => (word, is_present),
        },
        _ => (word, is_present),
    }
}

/// Names, with version and release, that apt of the target does not know. One question for each
/// release, since a word of one group may be installed by another.
fn unknown_to_apt(
    work: &mut Work<'_>,
    groups: &[PackageGroup],
) -> Result<BTreeSet<String>, ActionError> {
    let mut by_release: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for group in groups.iter().filter(|group| group.action.system() == PackageSystem::Apt) {
        if matches!(group.action, PackageAction::Taskinst | PackageAction::Taskrm) {
            continue;
        }
        let words = by_release.entry(group.release.as_deref()).or_default();
        // aptitude's patterns are no names.
        let subjects = group.names().map(|word| subject(group.action, word).0);
        words.extend(subjects.filter(|word| !word.starts_with(['~', '?'])));
    }
    let mut unknown = BTreeSet::new();
    for (release, words) in by_release {
        let release_args = release.iter().flat_map(|release| ["-t", release]);
        let ask = Command::new(Tool::AptGet)
            .args(["--simulate", "--no-install-recommends", "install"])
            .args(release_args)
            .args(words.iter().copied());
        let lines = ask_quietly(work, ask)?;
        for line in &lines {
            if line.contains("is invalid for APT::Default-Release") {
                return Err(no_release(release.unwrap_or_default()));
            }
            let named = unknown_package(line).unwrap_or_default();
            // A word with a version is told without it.
            let is_about =
                |word: &&&str| **word == named || word.split(['=', '/']).next() == Some(named);
            unknown.extend(words.iter().filter(is_about).map(|word| (*word).to_owned()));
        }
    }
    Ok(unknown)
}

fn no_release(release: &str) -> ActionError {
    ActionError::new(
        FaultKind::Config,
        "unknown-release",
        format!("no package source of the target is for release '{release}'"),
        "correct 'release=' in package_config, or add a source for it in files/etc/apt",
    )
}

/// Tasks that tasksel of the target does not list.
fn unknown_tasks(
    work: &mut Work<'_>,
    group: &PackageGroup,
) -> Result<BTreeSet<String>, ActionError> {
    let lines = ask_quietly(work, Command::new(Tool::Tasksel).arg("--list-tasks"))?;
    // A line is `i ssh-server<TAB>SSH server`: installed or not, the name, what it is.
    let listed: BTreeSet<&str> =
        lines.iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let unknown = group.names().filter(|task| !listed.contains(task));
    Ok(unknown.map(str::to_owned).collect())
}

/// Packages that another package manager than apt does not know.
fn unknown_to_others(
    work: &mut Work<'_>,
    group: &PackageGroup,
) -> Result<BTreeSet<String>, ActionError> {
    use PackageAction as A;
    let (tool, args): (Tool, &[&str]) = match group.action {
        A::Zypper => (Tool::Zypper, &["-n", "install", "-l", "--dry-run"]),
        A::ZypperPattern => (Tool::Zypper, &["-n", "install", "-l", "--dry-run", "-t", "pattern"]),
        A::ZypperProduct => (Tool::Zypper, &["-n", "install", "-l", "--dry-run", "-t", "product"]),
        A::ZypperRm => (Tool::Zypper, &["-n", "remove", "--dry-run"]),
        A::Yumi => (Tool::Yum, &["install", "--assumeno"]),
        A::Yumgroup => (Tool::Yum, &["groupinstall", "--assumeno"]),
        A::Dnfi => (Tool::Dnf, &["install", "--assumeno"]),
        A::Dnfgroup => (Tool::Dnf, &["group", "install", "--assumeno"]),
        A::PacmanS => (Tool::Pacman, &["--noconfirm", "-S", "--print"]),
        A::PacmanRns => (Tool::Pacman, &["--noconfirm", "-Rns", "--print"]),
        A::ApkAdd => (Tool::Apk, &["add", "--simulate"]),
        // Removing what is not there is no error for these.
        _ => return Ok(BTreeSet::new()),
    };
    let ask = Command::new(tool).args(args.iter().copied()).args(group.names());
    let lines = ask_quietly(work, ask)?;
    Ok(lines.iter().filter_map(|line| complained_about(line)).map(str::to_owned).collect())
}

/// The package or group that a line of dnf, yum, zypper, pacman or apk says it does not know.
fn complained_about(line: &str) -> Option<&str> {
    let line = line.trim();
    let between = |start: &str, end: &str| line.strip_prefix(start)?.strip_suffix(end);
    line.strip_prefix("No match for argument: ")
        .or_else(|| between("No package ", " available."))
        .or_else(|| between("Module or Group '", "' is not available."))
        .or_else(|| between("Warning: Group ", " does not exist."))
        .or_else(|| between("No provider of '", "' found."))
        .or_else(|| line.strip_prefix("error: target not found: "))
        .or_else(|| between("", " (no such package):"))
}

/// Asks in the target. Anything but a missing program is an answer: a package may depend on what
/// an earlier group installs, and a dry run is told to go no further.
fn ask_quietly(work: &mut Work<'_>, command: Command) -> Result<Vec<String>, ActionError> {
    let mut lines = Vec::new();
    let command = as_in_target(work, command);
    let output: Output = work.tool_watched(command, &mut |line, _| lines.push(line.to_owned()))?;
    if output.status == NO_PROGRAM {
        let Output { command, status, tail: output, .. } = output;
        return Err(HostError::Failed { command, status, output }.into());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_manager_names_what_it_does_not_know() {
        let lines = [
            ("No match for argument: nosuch", Some("nosuch")),
            ("No package nosuch available.", Some("nosuch")),
            ("Module or Group 'nogroup' is not available.", Some("nogroup")),
            ("No provider of 'nosuch' found.", Some("nosuch")),
            ("error: target not found: nosuch", Some("nosuch")),
            ("  nosuch (no such package):", Some("nosuch")),
            ("Error: Unable to find a match: nosuch", None),
            ("Operation aborted.", None),
        ];
        for (line, expected) in lines {
            assert_eq!(complained_about(line), expected, "{line}");
        }
    }

    #[test]
    fn a_word_is_asked_for_without_its_mark() {
        assert_eq!(subject(PackageAction::Install, "nginx-"), ("nginx", false));
        assert_eq!(subject(PackageAction::Install, "nginx=1.2"), ("nginx=1.2", true));
        assert_eq!(subject(PackageAction::Remove, "nginx"), ("nginx", false));
        assert_eq!(subject(PackageAction::DselectUpgrade, "vim hold"), ("vim", false));
        assert_eq!(subject(PackageAction::DselectUpgrade, "vim install"), ("vim", true));
        assert_eq!(subject(PackageAction::Dnfi, "a-"), ("a-", true));
    }
}
