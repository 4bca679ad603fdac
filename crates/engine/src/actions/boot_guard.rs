//! A directory has no disk to boot from: packages whose scripts install a boot loader would install
//! it on a disk of the machine that builds.

use super::apt::in_target;
use super::packages::OWNER;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::Tool;
use hostwright_model::plan::TargetProfile;

const PROGRAM: &str = "/usr/sbin/grub-install";
const TEXT: &str = "#!/bin/sh\n# Made by Hostwright for the installation.\n\
                    echo \"a directory gets no boot loader: grub-install $*\" >&2\n\
                    mkdir -p /boot/grub\n";

/// Puts something that does nothing in the place of grub-install, as policy-rc.d stands in the way
/// of services; update-grub still finds the directory that grub-install makes. Not in front of it in
/// PATH: apt gives dpkg a PATH of its own.
pub(super) fn forbid_boot_loaders(work: &mut Work<'_>) -> Result<(), ActionError> {
    if !is_concerned(work)? || is_forbidden(work)? {
        return Ok(());
    }
    divert(work, "--add")?;
    work.host.write(&work.target(PROGRAM), TEXT.as_bytes(), 0o755)?;
    Ok(())
}

/// Takes it away again, if need be half of it.
pub(super) fn allow_boot_loaders(work: &mut Work<'_>) -> Result<(), ActionError> {
    if !is_concerned(work)? {
        return Ok(());
    }
    if is_forbidden(work)? {
        work.host.remove(&work.target(PROGRAM))?;
    }
    divert(work, "--remove")
}

fn is_concerned(work: &mut Work<'_>) -> Result<bool, ActionError> {
    let can_divert = work.exists(&work.target("usr/bin/dpkg-divert"))?;
    Ok(can_divert && work.inputs.target == TargetProfile::Directory)
}

fn is_forbidden(work: &mut Work<'_>) -> Result<bool, ActionError> {
    let path = work.target(PROGRAM);
    Ok(work.host.read(&path)?.as_deref() == Some(TEXT.as_bytes()))
}

fn divert(work: &mut Work<'_>, what: &str) -> Result<(), ActionError> {
    let words = ["--quiet", "--package", OWNER, "--rename", what, PROGRAM];
    let divert = in_target(work, Tool::DpkgDivert).args(words);
    work.tool(divert)?;
    Ok(())
}
