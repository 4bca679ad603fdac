//! How an installer behaves around its run: what follows a failure, and programs of the site's own.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a machine file, an order or the kernel command line says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Manners {
    /// What follows a failure; without it the machine stays up and waits.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub on_failure: Option<FailurePolicy>,
    /// Programs that the site puts in the place of the installer's own.
    pub plugins: Plugins,
}

impl Manners {
    /// True if nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These manners where they say something, else `below`'s.
    pub fn over(self, below: Self) -> Self {
        let Plugins {
            configuration_loader,
            drive_selector,
            network_configurator,
            completion_notifier,
            notify,
        } = self.plugins;
        let under = below.plugins;
        Self {
            on_failure: self.on_failure.or(below.on_failure),
            plugins: Plugins {
                configuration_loader: configuration_loader.or(under.configuration_loader),
                drive_selector: drive_selector.or(under.drive_selector),
                network_configurator: network_configurator.or(under.network_configurator),
                completion_notifier: completion_notifier.or(under.completion_notifier),
                notify: if notify.is_empty() { under.notify } else { notify },
            },
        }
    }
}

/// Programs with the contracts of Dominator's installer; docs/reference/agent.md tells them. A path
/// is one of the installer's root, or relative to the config space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Plugins {
    /// Fetches the configuration: `PROGRAM CONFIG_DIR INTERFACE`.
    pub configuration_loader: Option<String>,
    /// Chooses disks: their names as arguments, the chosen ones on standard output, one a line.
    pub drive_selector: Option<String>,
    /// Configures the target's network: `PROGRAM CONFIG_DIR TARGET INTERFACE TOOLS_ROOT`.
    pub network_configurator: Option<String>,
    /// Hears of the end: `PROGRAM CONFIG_DIR INTERFACE`.
    pub completion_notifier: Option<String>,
    /// What the notifier hears of beside a success. A notifier made for Dominator takes every call
    /// for a success, so it is only called for more if the site says so.
    pub notify: Vec<Notice>,
}

/// What a notifier can hear of beside a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// The run failed.
    Failure,
    /// A phase began.
    Progress,
}

impl FromStr for Notice {
    type Err = BadManner;

    fn from_str(text: &str) -> Result<Self, BadManner> {
        match text {
            "failure" => Ok(Self::Failure),
            "progress" => Ok(Self::Progress),
            _ => Err(BadManner { text: text.to_owned(), known: "failure, progress" }),
        }
    }
}

/// What follows a failure. Never a restart: a machine that installs the same again and again tells
/// nobody why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FailurePolicy {
    /// The machine stays up and waits.
    Hold,
    /// The failed step is tried again this often, each time after a longer pause; then the machine
    /// waits.
    Retry {
        /// How often.
        times: u32,
    },
    /// The machine is switched off.
    PowerOff,
}

impl FailurePolicy {
    /// How often `retry` without a number tries again.
    pub const RETRIES: u32 = 3;
    /// More would be a loop.
    pub const RETRIES_MAX: u32 = 20;
}

/// A word that is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadManner {
    text: String,
    known: &'static str,
}

impl fmt::Display for BadManner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is none of: {}", self.text, self.known)
    }
}

impl std::error::Error for BadManner {}

impl FromStr for FailurePolicy {
    type Err = BadManner;

    fn from_str(text: &str) -> Result<Self, BadManner> {
        let known = "hold, power-off, retry, retry=1 to retry=20";
        let bad = || BadManner { text: text.to_owned(), known };
        match text.split_once('=') {
            None if text == "hold" => Ok(Self::Hold),
            None if text == "power-off" => Ok(Self::PowerOff),
            None if text == "retry" => Ok(Self::Retry { times: Self::RETRIES }),
            Some(("retry", number)) => match number.parse() {
                Ok(times @ 1..=Self::RETRIES_MAX) => Ok(Self::Retry { times }),
                _ => Err(bad()),
            },
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for FailurePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold => f.write_str("hold"),
            Self::Retry { times } => write!(f, "retry={times}"),
            Self::PowerOff => f.write_str("power-off"),
        }
    }
}

impl TryFrom<String> for FailurePolicy {
    type Error = BadManner;

    fn try_from(text: String) -> Result<Self, BadManner> {
        text.parse()
    }
}

impl From<FailurePolicy> for String {
    fn from(policy: FailurePolicy) -> Self {
        policy.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_words_and_a_retry_is_bounded() {
        for text in ["hold", "retry=1", "retry=20", "power-off"] {
            assert_eq!(text.parse::<FailurePolicy>().unwrap().to_string(), text);
        }
        let times = FailurePolicy::RETRIES;
        assert_eq!("retry".parse(), Ok(FailurePolicy::Retry { times }));
        for text in ["", "retry=0", "retry=21", "retry=x", "reboot", "Hold"] {
            let error = text.parse::<FailurePolicy>().unwrap_err();
            assert!(error.to_string().contains("hold, power-off, retry"), "{error}");
        }
    }

    #[test]
    fn what_is_said_wins_over_what_is_below_it() {
        let text =
            r#"{"on_failure":"retry=2","plugins":{"drive_selector":"/a","notify":["failure"]}}"#;
        let below: Manners = serde_json::from_str(text).unwrap();
        let text = r#"{"plugins":{"drive_selector":"/b"}}"#;
        let above: Manners = serde_json::from_str(text).unwrap();
        let both = above.over(below.clone());
        assert_eq!(both.on_failure, Some(FailurePolicy::Retry { times: 2 }));
        assert_eq!(both.plugins.drive_selector.as_deref(), Some("/b"));
        assert_eq!(both.plugins.notify, [Notice::Failure]);
        assert!(!below.is_empty() && Manners::default().is_empty());
        assert!(serde_json::from_str::<Manners>(r#"{"on_fail":"hold"}"#).is_err());
    }
}
