//! What the kernel command line tells the agent.

use hostwright_model::ids::MacAddr;
use hostwright_model::installer::BootParameters;

/// The words on the kernel command line that are for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootOptions {
    /// The server and the run's token; without them the machine was not booted to be installed.
    pub parameters: Option<BootParameters>,
    /// The interface that the firmware booted from: `hostwright.mac=52:54:00:12:34:56`, or
    /// PXELINUX's `BOOTIF=01-52-54-00-12-34-56`, which iPXE users know too.
    pub mac: Option<MacAddr>,
    /// What comes after a finished installation: `hostwright.after=poweroff`, else a reboot.
    pub power_off: bool,
}

impl BootOptions {
    /// Reads them; of a word that comes twice the last counts, as with the kernel.
    pub fn from_cmdline(cmdline: &str) -> Self {
        let last = |key: &str| cmdline.split_whitespace().rev().find_map(|w| w.strip_prefix(key));
        let ours = last("hostwright.mac=");
        // The first number is the type of hardware, 1 for Ethernet.
        let mac = ours.or_else(|| last("BOOTIF=")?.strip_prefix("01-"));
        Self {
            parameters: BootParameters::from_cmdline(cmdline),
            mac: mac.and_then(|text| text.parse().ok()),
            power_off: last("hostwright.after=") == Some("poweroff"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_interface_is_found_under_both_names() {
        let mac = |cmdline: &str| BootOptions::from_cmdline(cmdline).mac.map(|mac| mac.to_string());
        let expected = Some("52:54:00:12:34:56".to_owned());
        assert_eq!(mac("quiet hostwright.mac=52:54:00:12:34:56"), expected);
        assert_eq!(mac("BOOTIF=01-52-54-00-12-34-56 quiet\n"), expected);
        assert_eq!(mac("BOOTIF=06-52-54-00-12-34-56"), None);
        assert_eq!(mac("hostwright.mac=nonsense"), None);
    }

    #[test]
    fn an_installed_machine_can_be_switched_off() {
        let options =
            BootOptions::from_cmdline("hostwright.after=poweroff hostwright.server=http://a");
        assert!(options.power_off);
        assert_eq!(options.parameters, None, "a server without a token is nothing");
        assert!(!BootOptions::from_cmdline("hostwright.after=reboot").power_off);
    }
}
