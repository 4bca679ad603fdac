//! Variables of a run, each with the place that set it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A value and who set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Var {
    /// The text; the shell knows no other type.
    pub value: String,
    /// A file of the config space (`class/FAIBASE.var`), or `hostwright`, `command line`, `kernel`.
    pub origin: String,
}

/// Variables by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vars(pub BTreeMap<String, Var>);

/// True for a variable whose value must not be shown: in logs, on pages, in comparisons.
pub fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 5] = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN"];
    const ENDINGS: [&str; 8] =
        ["PW", "PASS", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE", "PRIVATE_KEY", "CREDENTIALS"];
    let name = name.to_ascii_uppercase();
    PARTS.iter().any(|part| name.contains(part))
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || name.split('_').any(|word| matches!(word, "PW" | "PASS"))
}

impl Vars {
    /// Sets `name`, replacing what was there.
    pub fn set(&mut self, name: &str, value: impl Into<String>, origin: &str) {
        let var = Var { value: value.into(), origin: origin.to_owned() };
        self.0.insert(name.to_owned(), var);
    }

    /// The value of `name`; `None` if it is not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|var| var.value.as_str())
    }

    /// Takes over everything in `other`, which wins.
    pub fn extend(&mut self, other: &Vars) {
        self.0.extend(other.0.iter().map(|(name, var)| (name.clone(), var.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_their_names() {
        for name in [
            "ROOTPW",
            "USERPW",
            "rootpw",
            "LOGPASSWD",
            "api_token",
            "DB_SECRET",
            "LUKS_PASSPHRASE",
            "S3_API_KEY",
            "DB_PASS",
            "PASS_OF_ADMIN",
            "WG_PRIVATE_KEY",
            "WG_PRIVATE",
            "TOKEN_URL",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["LOGDIR", "PATH", "release", "KEYMAP", "PRIVATE_NETWORK", "COMPASSES", "PWD"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
