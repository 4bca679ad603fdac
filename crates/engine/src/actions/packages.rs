//! The package manager: the base system brought up to date, groups installed and removed, loose
//! ends settled.

use super::apt::{self, apt_get, in_target};
use super::{Done, boot_guard, mounts};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::Tool;
use hostwright_model::package::{PackageAction, PackageGroup};
use hostwright_model::plan::TargetProfile;

/// Options under which dpkg asks nothing about changed configuration files.
const KEEP_OR_NEW: [&str; 5] = [
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confnew",
    "--allow-change-held-packages",
];
const NEW: [&str; 2] = ["-o", "Dpkg::Options::=--force-confnew"];

/// Where maintainer scripts ask whether they may start a service.
pub(super) const POLICY: &str = "usr/sbin/policy-rc.d";
/// The answer: never. The exit status is that of Debian's policy-rc.d interface.
pub(super) const DENY: &str = "#!/bin/sh\n# Made by Hostwright for the installation.\nexit 101\n";
/// The name under which dpkg-divert(8) keeps ours apart.
pub(super) const OWNER: &str = "hostwright";

/// Prepares the target for programs and brings it up to date.
pub(super) fn update_base(work: &mut Work<'_>) -> Result<Done, ActionError> {
    mounts::mount_pseudo(work)?;
    // In a system that runs, services have to be restarted with their new versions.
    if work.inputs.target != TargetProfile::RunningSystem {
        forbid_services(work)?;
    }
    boot_guard::forbid_boot_loaders(work)?;
    // Without the mode, an index that cannot be fetched is only a warning.
    let update = apt_get(work).args(["-o", "APT::Update::Error-Mode=any", "update"]);
    work.tool(update)?;
    let check = apt_get(work).args(NEW).arg("check");
    if work.try_tool(check)?.status != 0 {
        let mend = apt_get(work).args(NEW).args(["--fix-broken", "install"]);
        apt::run(work, mend, "the base system")?;
    }
    configure_pending(work)?;
    let upgrade = apt_get(work).args(NEW).arg("dist-upgrade");
    apt::run(work, upgrade, "the base system")?;
    work.tool(apt_get(work).arg("clean"))?;
    Ok(Done::changed())
}

/// Services must not start inside the target: neither now nor by a package's scripts later.
fn forbid_services(work: &mut Work<'_>) -> Result<(), ActionError> {
    if !work.exists(&work.target("usr/bin/dpkg-divert"))? {
        return Ok(());
    }
    let path = format!("/{POLICY}");
    let divert = in_target(work, Tool::DpkgDivert).args([
        "--quiet",
        "--package",
        OWNER,
        "--rename",
        "--add",
        &path,
    ]);
    work.tool(divert)?;
    work.host.write(&work.target(POLICY), DENY.as_bytes(), 0o755)?;
    Ok(())
}

fn configure_pending(work: &mut Work<'_>) -> Result<(), ActionError> {
    let audit = work.try_tool(in_target(work, Tool::Dpkg).arg("--audit"))?;
    if audit.status != 0 || !audit.stdout.trim().is_empty() {
        let configure = in_target(work, Tool::Dpkg).args(["--configure", "--pending"]);
        work.tool(configure.stdin(b"\n".repeat(64)))?;
    }
    Ok(())
}

/// One call of apt-get. Unlike FAI's it does not pass `--fix-missing`, under which a package that
/// cannot be fetched is left out in silence.
pub(super) fn run_group(work: &mut Work<'_>, group: &PackageGroup) -> Result<Done, ActionError> {
    if work.repeated {
        // dpkg may have been cut off between unpacking and configuring.
        configure_pending(work)?;
    }
    let mut command = apt_get(work).args(KEEP_OR_NEW);
    if let Some(release) = &group.release {
        command = command.args(["-t", release]);
    }
    command = match group.action {
        PackageAction::Install => command.arg("install"),
        PackageAction::InstallNorec => command.args(["install", "--no-install-recommends"]),
        PackageAction::Remove => command.args(["remove", "--purge"]),
    };
    let source = format!("package_config (PACKAGES {})", group.action.word());
    apt::run(work, command.args(&group.names), &source)?;
    work.tool(apt_get(work).arg("clean"))?;
    Ok(Done::changed())
}

/// Configures what is pending and drops downloaded packages.
pub(super) fn settle(work: &mut Work<'_>) -> Result<Done, ActionError> {
    work.tool(in_target(work, Tool::Dpkg).args(["--configure", "--pending"]))?;
    work.tool(in_target(work, Tool::Dpkg).arg("--audit"))?;
    work.tool(apt_get(work).arg("clean"))?;
    Ok(Done::changed())
}
