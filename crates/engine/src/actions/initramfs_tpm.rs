//! Lets the initramfs of the installed system open devices whose keys its TPM keeps.
//!
//! Debian's initramfs asks for a passphrase where crypttab(5) names no key file, and knows nothing of
//! TPMs: a hook takes systemd's part for cryptsetup(8) along, and a script opens such devices before
//! anybody is asked. If the TPM refuses, the passphrase asked for is the recovery key. dracut(8) does
//! it all by itself, if it is told to take the parts along.

use super::encrypt::TPM_OPTION;
use crate::fault::ActionError;
use crate::work::Work;

/// Takes along what opens a device by the TPM.
const HOOK: &str = include_str!("initramfs_tpm/hook");
/// Opens the devices of crypttab(5) that have [`TPM_OPTION`].
const SCRIPT: &str = include_str!("initramfs_tpm/script");
const DRACUT: &str = "# Made by Hostwright: the TPM keeps the key of the root device.\n\
                      add_dracutmodules+=\" crypt tpm2-tss \"\n";

/// Puts them into the target, whichever of both it has.
pub(super) fn install(work: &mut Work<'_>) -> Result<(), ActionError> {
    debug_assert!(SCRIPT.contains(TPM_OPTION));
    if work.exists(&work.target("usr/sbin/update-initramfs"))? {
        for (path, text) in
            [("hooks/hostwright-tpm2", HOOK), ("scripts/local-top/hostwright-tpm2", SCRIPT)]
        {
            let path = work.target(&format!("etc/initramfs-tools/{path}"));
            work.host.write(&path, text.as_bytes(), 0o755)?;
        }
        return Ok(());
    }
    if work.exists(&work.target("usr/lib/dracut"))? {
        let path = work.target("etc/dracut.conf.d/90-hostwright-tpm2.conf");
        work.host.write(&path, DRACUT.as_bytes(), 0o644)?;
    }
    Ok(())
}
