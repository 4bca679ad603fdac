//! Packages as a space asks for them.

use serde::{Deserialize, Serialize};

/// What to do with the packages of a group: FAI's action names that this version executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageAction {
    /// apt-get install, with recommended packages.
    Install,
    /// apt-get install without recommended packages.
    InstallNorec,
    /// apt-get remove --purge.
    Remove,
}

impl PackageAction {
    /// The word behind `PACKAGES` in a package_config file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::InstallNorec => "install-norec",
            Self::Remove => "remove",
        }
    }
}

/// Packages for one call of the package manager (one per chunk of MAXPACKAGES names).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageGroup {
    /// What to do with them.
    pub action: PackageAction,
    /// `apt-get -t`, from `release=`.
    pub release: Option<String>,
    /// Names as apt takes them, `$variables` expanded: `nginx`, `nginx-`, `nginx=1.2`.
    pub names: Vec<String>,
}
