//! The package manager: the base system brought up to date, groups installed and removed, loose
//! ends settled.

use super::apt::{self, apt_get, as_in_target, in_target};
use super::{Done, known_packages, mounts, stand_in};
use crate::fault::ActionError;
use crate::package_calls::{self, Manner};
use crate::task_error;
use crate::work::Work;
use hostwright_host::{Command, HostError, MountRequest, Tool};
use hostwright_model::package::{PackageGroup, PackageSystem};

/// Options under which dpkg asks nothing about changed configuration files.
const KEEP_OR_NEW: [&str; 5] = [
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confnew",
    "--allow-change-held-packages",
];
const NEW: [&str; 2] = ["-o", "Dpkg::Options::=--force-confnew"];

/// Prepares the target for programs and brings it up to date.
pub(super) fn update_base(work: &mut Work<'_>) -> Result<Done, ActionError> {
    let updated = try_update_base(work);
    if updated.is_err() {
        work.note(task_error::UPDATE_FAILED);
    }
    updated
}

fn try_update_base(work: &mut Work<'_>) -> Result<Done, ActionError> {
    mounts::mount_pseudo(work)?;
    stand_in::forbid_services(work)?;
    stand_in::forbid_boot_loaders(work)?;
    // Without the mode, an index that cannot be fetched is only a warning.
    let update = apt_get(work).args(["-o", "APT::Update::Error-Mode=any", "update"]);
    work.tool(update)?;
    let check = apt_get(work).args(NEW).arg("check");
    if work.try_tool(check)?.status != 0 {
        // apt refuses everything where dpkg was cut off, as on a running system it may have been.
        // What cannot be configured yet waits for the call behind it.
        let configure = configure(work);
        work.try_tool(configure)?;
        let mend = apt_get(work).args(NEW).args(["--fix-broken", "install"]);
        apt::run(work, mend, "the base system")?;
    }
    configure_pending(work)?;
    known_packages::check_early(work)?;
    let upgrade = apt_get(work).args(NEW).arg("dist-upgrade");
    apt::run(work, upgrade, "the base system")?;
    work.tool(apt_get(work).arg("clean"))?;
    Ok(Done::changed())
}

fn configure_pending(work: &mut Work<'_>) -> Result<(), ActionError> {
    let audit = work.try_tool(in_target(work, Tool::Dpkg).arg("--audit"))?;
    if audit.status != 0 || !audit.stdout.trim().is_empty() {
        let configure = configure(work);
        work.tool(configure)?;
    }
    Ok(())
}

/// Configures what is unpacked; questions get their default answers.
fn configure(work: &Work<'_>) -> Command {
    let configure = in_target(work, Tool::Dpkg).args(["--configure", "--pending"]);
    configure.stdin(b"\n".repeat(64))
}

/// The calls for one group, or one part of it. Unlike FAI's they are without `--fix-missing`, under
/// which a package that cannot be fetched is left out in silence.
pub(super) fn run_group(work: &mut Work<'_>, group: &PackageGroup) -> Result<Done, ActionError> {
    let is_debian = group.action.system() == PackageSystem::Apt;
    if work.repeated && is_debian {
        // dpkg may have been cut off between unpacking and configuring.
        configure_pending(work)?;
    }
    if group.action.takes_chunks() {
        // Scripts of the space read it to learn what is installed right now.
        let path = work.target(package_calls::LIST);
        work.host.write(&path, package_calls::list(group).as_bytes(), 0o644)?;
    }
    for command in package_calls::calls(group, &Manner::Strict) {
        let source = format!("package_config (PACKAGES {})", group.action);
        let command = as_in_target(work, command);
        apt::run(work, command, &source).map_err(|error| raise(work, error))?;
    }
    if is_debian {
        work.tool(apt_get(work).arg("clean"))?;
    }
    Ok(Done::changed())
}

/// FAI's numbers of errors of instsoft, for the scripts that look at them while logs are saved.
fn raise(work: &mut Work<'_>, error: ActionError) -> ActionError {
    let output = match &error {
        ActionError::Host(HostError::Failed { output, .. }) => output.clone(),
        ActionError::Host(_) => Vec::new(),
        ActionError::Fault(fault) => fault.output.clone(),
    };
    let has = |words: &str| output.iter().any(|line| line.contains(words));
    let mut code = task_error::PACKAGES_FAILED;
    if output.iter().any(|line| line.starts_with("E:")) {
        code = task_error::APT_COMPLAINED;
    }
    if has("E: Sub-process /usr/bin/dpkg returned an error code") {
        code = task_error::DPKG_FAILED;
    }
    work.note(code);
    error
}

/// Installs package files of the space, with what they depend on.
pub(super) fn install_files(work: &mut Work<'_>, paths: &[String]) -> Result<Done, ActionError> {
    const INSIDE: &str = "tmp/hostwright-pkgs";
    let point = work.target(INSIDE);
    let (source, options) = (work.settings.in_space("pkgs"), "bind,private".to_owned());
    work.host.unmount(&point)?;
    work.host.mount(&MountRequest { source, target: point.clone(), file_system: None, options })?;
    let inside: Vec<String> = paths
        .iter()
        .map(|path| format!("/{INSIDE}/{}", path.strip_prefix("pkgs/").unwrap_or(path)))
        .collect();
    let installed = match paths.iter().all(|path| path.ends_with(".deb")) {
        true => {
            let command = in_target(work, Tool::AptGet).arg("-y").args(KEEP_OR_NEW).arg("install");
            apt::run(work, command.args(inside), "pkgs/")
        }
        false => install_rpms(work, inside),
    };
    work.host.unmount(&point)?;
    work.host.remove(&point)?;
    installed.map_err(|error| raise(work, error))?;
    Ok(Done::changed())
}

/// By the program of the target that can fetch what they depend on.
fn install_rpms(work: &mut Work<'_>, files: Vec<String>) -> Result<(), ActionError> {
    let candidates: [(Tool, &str, &[&str]); 3] = [
        (Tool::Dnf, "usr/bin/dnf", &["-y", "install"]),
        (Tool::Yum, "usr/bin/yum", &["-y", "install"]),
        (Tool::Zypper, "usr/bin/zypper", &["-n", "install", "--allow-unsigned-rpm"]),
    ];
    for (tool, program, args) in candidates {
        if work.exists(&work.target(program))? {
            let command = in_target(work, tool).args(args.iter().copied());
            work.tool(command.args(files))?;
            return Ok(());
        }
    }
    let command = in_target(work, Tool::Rpm).args(["--upgrade", "--replacepkgs"]);
    work.tool(command.args(files))?;
    Ok(())
}

/// Configures what is pending and drops downloaded packages.
pub(super) fn settle(work: &mut Work<'_>) -> Result<Done, ActionError> {
    work.tool(in_target(work, Tool::Dpkg).args(["--configure", "--pending"]))?;
    work.tool(in_target(work, Tool::Dpkg).arg("--audit"))?;
    work.tool(apt_get(work).arg("clean"))?;
    Ok(Done::changed())
}
