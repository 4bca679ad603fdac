//! Programs that must not run in a target, and what stands in their place until the run is over.

use super::apt::in_target;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::Tool;
use hostwright_model::plan::TargetProfile;

/// The name under which dpkg-divert(8) keeps ours apart.
const OWNER: &str = "hostwright";

/// What stands in the place of a program.
struct StandIn {
    program: &'static str,
    text: &'static str,
}

/// A directory has no disk to boot from: packages whose scripts install a boot loader would install
/// it on a disk of the machine that builds. update-grub still finds the directory that grub-install
/// makes. Not in front of it in PATH: apt gives dpkg a PATH of its own.
const BOOT_LOADER: StandIn = StandIn {
    program: "/usr/sbin/grub-install",
    text: "#!/bin/sh\n# Made by Hostwright for the installation.\n\
           echo \"a directory gets no boot loader: grub-install $*\" >&2\n\
           mkdir -p /boot/grub\n",
};

/// Services must not start inside the target: neither now nor by a package's scripts later.
/// Maintainer scripts ask this one. The exit status is that of Debian's policy-rc.d interface.
const SERVICES: StandIn = StandIn {
    program: "/usr/sbin/policy-rc.d",
    text: "#!/bin/sh\n# Made by Hostwright for the installation.\nexit 101\n",
};

/// An init that is told to start itself anew, as libc's scripts do, knows no chroot. FAI's scripts
/// see one that does nothing, too; grub-mkconfig makes a menu entry for what it stands in for.
const INIT: StandIn = StandIn {
    program: "/sbin/init",
    text: "#!/bin/sh\n# Made by Hostwright for the installation.\nexit 0\n",
};

/// Packages that have an init.
const INIT_PACKAGES: [&str; 3] = ["systemd-sysv", "sysvinit-core", "runit-init"];

/// Keeps boot loaders from being installed, where the target has no disk.
pub(super) fn forbid_boot_loaders(work: &mut Work<'_>) -> Result<(), ActionError> {
    if work.inputs.target != TargetProfile::Directory || !can_divert(work)? {
        return Ok(());
    }
    place(work, &BOOT_LOADER)
}

/// Keeps services from being started. In a system that runs they have to be restarted with their
/// new versions.
pub(super) fn forbid_services(work: &mut Work<'_>) -> Result<(), ActionError> {
    if work.inputs.target == TargetProfile::RunningSystem || !can_divert(work)? {
        return Ok(());
    }
    place(work, &SERVICES)?;
    if can_divert_init(work)? { place(work, &INIT) } else { Ok(()) }
}

/// Takes all of it away again, if need be half of it.
pub(super) fn allow_all(work: &mut Work<'_>) -> Result<(), ActionError> {
    if !can_divert(work)? {
        return Ok(());
    }
    take_away(work, &SERVICES)?;
    take_away(work, &INIT)?;
    match work.inputs.target {
        TargetProfile::Directory => take_away(work, &BOOT_LOADER),
        _ => Ok(()),
    }
}

/// Takes back what scripts diverted by fai-divert and left so, as FAI does at this point.
pub(super) fn remove_diversions_of_scripts(work: &mut Work<'_>) -> Result<(), ActionError> {
    let table = work.read_text(&work.target("var/lib/dpkg/diversions"))?.unwrap_or_default();
    // A path, where to, and for whom, a line each.
    if table.lines().any(|line| line == "fai") {
        work.eval("fai-divert -R")?;
    }
    Ok(())
}

/// False if a package has its init at /usr/sbin/init: dpkg does not see that /sbin/init is the same
/// file, and would put a new version over what stands in for it.
fn can_divert_init(work: &mut Work<'_>) -> Result<bool, ActionError> {
    for package in INIT_PACKAGES {
        let list = work.target(&format!("var/lib/dpkg/info/{package}.list"));
        let files = work.read_text(&list)?.unwrap_or_default();
        if files.lines().any(|file| file == "/usr/sbin/init") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Others know no diversions.
fn can_divert(work: &mut Work<'_>) -> Result<bool, ActionError> {
    Ok(work.exists(&work.target("usr/bin/dpkg-divert"))?)
}

fn place(work: &mut Work<'_>, stand_in: &StandIn) -> Result<(), ActionError> {
    if is_placed(work, stand_in)? {
        return Ok(());
    }
    divert(work, "--add", stand_in.program)?;
    work.host.write(&work.target(stand_in.program), stand_in.text.as_bytes(), 0o755)?;
    Ok(())
}

fn take_away(work: &mut Work<'_>, stand_in: &StandIn) -> Result<(), ActionError> {
    if is_placed(work, stand_in)? {
        work.host.remove(&work.target(stand_in.program))?;
    }
    divert(work, "--remove", stand_in.program)
}

fn is_placed(work: &mut Work<'_>, stand_in: &StandIn) -> Result<bool, ActionError> {
    let path = work.target(stand_in.program);
    Ok(work.host.read(&path)?.as_deref() == Some(stand_in.text.as_bytes()))
}

fn divert(work: &mut Work<'_>, what: &str, program: &str) -> Result<(), ActionError> {
    let words = ["--quiet", "--package", OWNER, "--rename", what, program];
    work.tool(in_target(work, Tool::DpkgDivert).args(words))?;
    Ok(())
}
