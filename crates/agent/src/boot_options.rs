//! What the kernel command line tells the agent.

use hostwright_model::ids::MacAddr;
use hostwright_model::installer::BootParameters;
use hostwright_model::manners::{Manners, Plugins};
use std::collections::BTreeMap;

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
    /// How the installer behaves, where the order says nothing: `hostwright.on-failure=retry=3`,
    /// `hostwright.configuration-loader=/sbin/load`, `hostwright.drive-selector=`,
    /// `hostwright.network-configurator=`, `hostwright.completion-notifier=`,
    /// `hostwright.notify=failure,progress`.
    pub manners: Manners,
    /// Words that are for the agent and not understood, each with what is wrong.
    pub mistakes: Vec<String>,
    /// Words `NAME=value`, which FAI makes variables of: `FAI_FLAGS=verbose,sshd`.
    pub vars: BTreeMap<String, String>,
}

/// Variables that the kernel command line must not set: with them nothing would work as planned.
const PROTECTED: [&str; 12] = [
    "BASH_ENV", "ENV", "FAI", "FAI_ROOT", "HOME", "IFS", "LOGDIR", "PATH", "ROOTCMD", "SHELL",
    "TERM", "target",
];

/// A word of the kernel command line as a variable.
fn variable(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let mut chars = name.chars();
    let is_name = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_safe = !PROTECTED.contains(&name) && !name.starts_with("LD_");
    (is_name && is_safe).then(|| (name.to_owned(), value.trim_matches('"').to_owned()))
}

/// What the kernel command line says of the installer's manners.
fn manners<'a>(last: &impl Fn(&str) -> Option<&'a str>, mistakes: &mut Vec<String>) -> Manners {
    let path = |key: &str| last(key).filter(|path| !path.is_empty()).map(str::to_owned);
    let mut manners = Manners {
        on_failure: None,
        plugins: Plugins {
            configuration_loader: path("hostwright.configuration-loader="),
            drive_selector: path("hostwright.drive-selector="),
            network_configurator: path("hostwright.network-configurator="),
            completion_notifier: path("hostwright.completion-notifier="),
            notify: Vec::new(),
        },
    };
    match last("hostwright.on-failure=").map(str::parse) {
        Some(Ok(policy)) => manners.on_failure = Some(policy),
        Some(Err(error)) => mistakes.push(format!("hostwright.on-failure: {error}")),
        None => {}
    }
    for word in last("hostwright.notify=").into_iter().flat_map(|text| text.split(',')) {
        match word.parse() {
            Ok(notice) => manners.plugins.notify.push(notice),
            Err(error) => mistakes.push(format!("hostwright.notify: {error}")),
        }
    }
    manners
}

impl BootOptions {
    /// Reads them; of a word that comes twice the last counts, as with the kernel.
    pub fn from_cmdline(cmdline: &str) -> Self {
        let last = |key: &str| cmdline.split_whitespace().rev().find_map(|w| w.strip_prefix(key));
        let ours = last("hostwright.mac=");
        // The first number is the type of hardware, 1 for Ethernet.
        let mac = ours.or_else(|| last("BOOTIF=")?.strip_prefix("01-"));
        let mut mistakes = Vec::new();
        let manners = manners(&last, &mut mistakes);
        Self {
            manners,
            mistakes,
            parameters: BootParameters::from_cmdline(cmdline),
            mac: mac.and_then(|text| text.parse().ok()),
            vars: cmdline.split_whitespace().filter_map(variable).collect(),
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
    fn words_become_variables_but_not_the_agent_s_own() {
        let options = BootOptions::from_cmdline(
            "quiet FAI_FLAGS=verbose,sshd ADDCLASSES=A,B PATH=/x LD_PRELOAD=/y hostwright.mac=z 1x=2",
        );
        let vars: Vec<_> =
            options.vars.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(vars, ["ADDCLASSES=A,B", "FAI_FLAGS=verbose,sshd"]);
    }

    #[test]
    fn manners_are_read_and_a_wrong_word_is_told() {
        let options = BootOptions::from_cmdline(
            "hostwright.on-failure=retry=2 hostwright.drive-selector=/sbin/pick \
             hostwright.notify=failure,progress",
        );
        assert_eq!(options.manners.on_failure.map(|it| it.to_string()).as_deref(), Some("retry=2"));
        let plugins = &options.manners.plugins;
        assert_eq!(plugins.drive_selector.as_deref(), Some("/sbin/pick"));
        assert_eq!((plugins.notify.len(), plugins.completion_notifier.is_none()), (2, true));
        assert_eq!(options.mistakes, [""; 0]);
        let options = BootOptions::from_cmdline("hostwright.on-failure=reboot");
        assert_eq!(options.manners, Manners::default());
        assert!(options.mistakes[0].starts_with("hostwright.on-failure: 'reboot'"));
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
