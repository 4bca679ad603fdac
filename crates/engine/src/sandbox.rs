//! A view of the machine in which class scripts see the firmware that is asked for, not the one of
//! the host that builds.

use hostwright_host::{HostError, namespace};
use hostwright_model::facts::Firmware;

/// Where class scripts and packages look for UEFI.
pub(crate) const FIRMWARE_DIR: &str = "/sys/firmware";

/// Where scripts name FAI's programs by their paths; [`crate::shell::SHIMS`] are put there.
const SHIM_DIR: &str = "/usr/lib/fai";

/// Puts this process, and everything it starts, into a mount namespace of its own whose
/// `/sys/firmware` is that of a machine with `firmware`, and whose `/usr/lib/fai` is empty and may be
/// filled, whether FAI is installed or not. To be called once, before there is a second thread.
pub fn enter(firmware: Firmware) -> Result<(), HostError> {
    namespace::own_mounts()?;
    namespace::show_own_processes()?;
    namespace::add_directory(SHIM_DIR)?;
    namespace::hide(FIRMWARE_DIR, directories(firmware))
}

fn directories(firmware: Firmware) -> &'static [&'static str] {
    match firmware {
        Firmware::Bios => &[],
        Firmware::Uefi => &["efi"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_host::Host as _;
    use hostwright_host::real::RealHost;

    /// In a thread, so that only its namespace changes.
    #[test]
    fn root_scripts_see_the_firmware_that_is_asked_for() {
        for (firmware, names) in [(Firmware::Bios, vec![]), (Firmware::Uefi, vec!["efi"])] {
            let seen = std::thread::spawn(move || {
                enter(firmware).unwrap();
                RealHost::default().list(FIRMWARE_DIR).unwrap()
            });
            assert_eq!(seen.join().unwrap(), names);
        }
    }
}
