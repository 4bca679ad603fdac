//! A directory has no disk to boot from: packages whose scripts install a boot loader would install
//! it on a disk of the machine that builds.

use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::plan::TargetProfile;

/// Found before the real one.
const STAND_IN: &str = "usr/local/sbin/grub-install";
const TEXT: &str = "#!/bin/sh\n# Made by Hostwright for the installation.\n\
                    echo \"a directory gets no boot loader: grub-install $*\" >&2\n";

/// Puts something that does nothing in the place of grub-install, as policy-rc.d stands in the way
/// of services.
pub(super) fn forbid_boot_loaders(work: &mut Work<'_>) -> Result<(), ActionError> {
    let path = work.target(STAND_IN);
    let has_place = work.exists(&work.target("usr/local/sbin"))?;
    if work.inputs.target == TargetProfile::Directory && has_place && !work.exists(&path)? {
        work.host.write(&path, TEXT.as_bytes(), 0o755)?;
    }
    Ok(())
}

/// Takes it away again.
pub(super) fn allow_boot_loaders(work: &mut Work<'_>) -> Result<(), ActionError> {
    let path = work.target(STAND_IN);
    if work.host.read(&path)?.as_deref() == Some(TEXT.as_bytes()) {
        work.host.remove(&path)?;
    }
    Ok(())
}
