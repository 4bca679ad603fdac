//! Packages as a space asks for them.

use crate::plan::Why;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $word:literal of $system:ident, $wish:ident;)*) => {
        /// What to do with the packages of a group: FAI's actions, in the order in which FAI
        /// carries them out, whatever the order in the files.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum PackageAction {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl PackageAction {
            /// Every action, in FAI's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word behind `PACKAGES` in a package_config file.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// Who carries it out.
            pub fn system(self) -> PackageSystem {
                match self { $(Self::$variant => PackageSystem::$system),* }
            }

            /// What is wanted of the packages.
            pub fn wish(self) -> Wish {
                match self { $(Self::$variant => Wish::$wish),* }
            }
        }
    };
}

actions! {
    /// zypper install.
    Zypper = "zypper" of Zypper, Present;
    /// zypper install of patterns.
    ZypperPattern = "zypper-pattern" of Zypper, Present;
    /// zypper install of products.
    ZypperProduct = "zypper-product" of Zypper, Present;
    /// zypper remove.
    ZypperRm = "zypper-rm" of Zypper, Absent;
    /// rpm --erase.
    Rpmr = "rpmr" of Rpm, Absent;
    /// yum groupinstall.
    Yumgroup = "yumgroup" of Yum, Present;
    /// yum install.
    Yumi = "yumi" of Yum, Present;
    /// yum remove.
    Yumr = "yumr" of Yum, Absent;
    /// dnf group install.
    Dnfgroup = "dnfgroup" of Dnf, Present;
    /// dnf install.
    Dnfi = "dnfi" of Dnf, Present;
    /// dnf remove.
    Dnfr = "dnfr" of Dnf, Absent;
    /// dpkg is told to keep the packages as they are.
    Hold = "hold" of Apt, Kept;
    /// tasksel remove.
    Taskrm = "taskrm" of Apt, Absent;
    /// tasksel install.
    Taskinst = "taskinst" of Apt, Present;
    /// apt-get install, with recommended packages.
    Install = "install" of Apt, Present;
    /// apt-get install without recommended packages.
    InstallNorec = "install-norec" of Apt, Present;
    /// aptitude install without recommended packages.
    Aptitude = "aptitude" of Apt, Present;
    /// aptitude install with recommended packages.
    AptitudeR = "aptitude-r" of Apt, Present;
    /// apt install.
    Apt = "apt" of Apt, Present;
    /// Downloaded and unpacked without dependencies; configured at the end.
    Unpack = "unpack" of Apt, Present;
    /// apt-get remove --purge.
    Remove = "remove" of Apt, Absent;
    /// Selections for dpkg, `PACKAGE ACTION` each, then apt-get dselect-upgrade.
    DselectUpgrade = "dselect-upgrade" of Apt, Kept;
    /// pacman -Rns.
    PacmanRns = "pacman-Rns" of Pacman, Absent;
    /// pacman -S.
    PacmanS = "pacman-S" of Pacman, Present;
    /// apk add.
    ApkAdd = "apk-add" of Apk, Present;
    /// apk del.
    ApkDel = "apk-del" of Apk, Absent;
}

impl PackageAction {
    /// True for actions that FAI splits into calls of at most MAXPACKAGES names; they are the ones
    /// whose names it checks, too.
    pub fn takes_chunks(self) -> bool {
        use PackageAction::{Apt, Aptitude, AptitudeR, Install, InstallNorec, Unpack};
        matches!(self, Install | InstallNorec | Aptitude | AptitudeR | Apt | Unpack)
    }
}

impl fmt::Display for PackageAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The family of package managers that an action belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackageSystem {
    /// apt, aptitude, tasksel and dpkg.
    Apt,
    /// dnf.
    Dnf,
    /// yum.
    Yum,
    /// zypper.
    Zypper,
    /// rpm without a repository.
    Rpm,
    /// pacman.
    Pacman,
    /// apk.
    Apk,
}

/// What an action wants of its packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// They are installed; a word that ends in `-` is removed.
    Present,
    /// They are removed.
    Absent,
    /// dpkg keeps a selection for them.
    Kept,
}

/// A package with the place that asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// As the package manager takes it, `$variables` expanded: `nginx`, `nginx-`, `nginx=1.2`. For
    /// `dselect-upgrade` the name and the selection, `nginx hold`.
    pub name: String,
    /// The line.
    pub why: Why,
}

/// Packages for one call of the package manager (one per chunk of MAXPACKAGES names).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageGroup {
    /// What to do with them.
    pub action: PackageAction,
    /// `apt-get -t`, from `release=`.
    pub release: Option<String>,
    /// With what, in the order of classes and lines.
    pub packages: Vec<Package>,
}

impl PackageGroup {
    /// The names alone.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.packages.iter().map(|package| package.name.as_str())
    }

    /// The group in parts of at most `size` packages.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = Self> {
        let part = |packages: &[Package]| Self {
            action: self.action,
            release: self.release.clone(),
            packages: packages.to_vec(),
        };
        self.packages.chunks(size.max(1)).map(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_names_on_the_wire_and_order_is_fai_s() {
        for action in PackageAction::ALL {
            let json = serde_json::to_string(action).unwrap();
            assert_eq!(json, format!("\"{}\"", action.word()));
        }
        assert!(PackageAction::ALL.is_sorted());
        assert!(PackageAction::Hold < PackageAction::Taskrm);
        assert!(PackageAction::Unpack < PackageAction::Remove);
        assert!(PackageAction::PacmanRns < PackageAction::PacmanS);
    }
}
