//! Which of its entries UEFI boots next: the network, as long as an installation is not finished.
//!
//! A boot loader's setup puts the disk first in `BootOrder`, in the middle of the installation. A
//! machine that loses power after that would start what is half installed. `BootNext` goes before the
//! order and is used up by one boot, so it is set when the session begins, to the entry that this
//! boot came from, and taken away at the end. Changing the order itself was rejected: the boot
//! loader's setup writes it at a moment that nobody outside sees, and the firmware counts its writes.
//!
//! ```text
//! efivarfs file: attributes (u32) | data;  BootCurrent, BootNext: number of an entry (u16)
//! ```

use super::failed_io;
use crate::HostError;
use std::fs;
use std::path::Path;

/// Where the kernel shows UEFI's variables.
pub const VARIABLES: &str = "/sys/firmware/efi/efivars";

/// The vendor that the UEFI specification (section 3.3) gives its own variables.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Kept without power, seen by boot services, seen by the running system.
const KEPT: u32 = 1 | 2 | 4;

/// Lets the next boot be like this one, whatever becomes of the order; true if that was possible. It
/// is not on a machine without UEFI, or whose firmware does not say what it booted.
pub fn repeat(variables: &Path) -> Result<bool, HostError> {
    let current = variables.join(format!("BootCurrent-{GLOBAL}"));
    let Ok(bytes) = fs::read(&current) else { return Ok(false) };
    let Some([low, high]) = bytes.get(4..6).and_then(|data| <[u8; 2]>::try_from(data).ok()) else {
        return Ok(false);
    };
    let next = next_path(variables);
    let mut content = KEPT.to_le_bytes().to_vec();
    content.extend([low, high]);
    // One write is one call of the firmware.
    fs::write(&next, content).map_err(failed_io("write", next.display().to_string()))?;
    Ok(true)
}

/// Lets the next boot follow the order.
pub fn follow_order(variables: &Path) -> Result<(), HostError> {
    let next = next_path(variables);
    match fs::remove_file(&next) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed_io("remove", next.display().to_string())(error))
        }
        _ => Ok(()),
    }
}

fn next_path(variables: &Path) -> std::path::PathBuf {
    variables.join(format!("BootNext-{GLOBAL}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_boot_is_like_this_one_until_it_follows_the_order() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(format!("{name}-{GLOBAL}"));
        assert!(!repeat(dir.path()).unwrap(), "a machine without UEFI");
        assert!(!at("BootNext").exists());

        fs::write(at("BootCurrent"), [6, 0, 0, 0]).unwrap();
        assert!(!repeat(dir.path()).unwrap(), "no number");
        fs::write(at("BootCurrent"), [6, 0, 0, 0, 0x03, 0x10]).unwrap();
        assert!(repeat(dir.path()).unwrap());
        assert_eq!(fs::read(at("BootNext")).unwrap(), [7, 0, 0, 0, 0x03, 0x10]);
        // A session that is started again.
        assert!(repeat(dir.path()).unwrap());

        follow_order(dir.path()).unwrap();
        assert!(!at("BootNext").exists());
        follow_order(dir.path()).unwrap();
    }
}
