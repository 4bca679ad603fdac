//! The phases of a run: FAI's tasks, under FAI's names, so that hooks and logs keep theirs.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! phases {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A task of FAI, in the order in which tasks run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum Phase {
            $($(#[$doc])* $variant,)*
        }

        impl Phase {
            /// All phases in order.
            pub const ALL: &'static [Phase] = &[$(Phase::$variant),*];

            /// FAI's name of the task.
            pub fn name(self) -> &'static str {
                match self { $(Phase::$variant => $name),* }
            }
        }
    };
}

phases! {
    /// Fetch the config space.
    Confdir = "confdir",
    /// Clock, functions of the space.
    Setup = "setup",
    /// Define classes.
    Defclass = "defclass",
    /// Define variables.
    Defvar = "defvar",
    /// Choose the action.
    Action = "action",
    /// Hooks around a whole installation onto disks.
    Install = "install",
    /// Hooks around a whole installation into a directory.
    Dirinstall = "dirinstall",
    /// Hooks around bringing a running system up to date.
    Softupdate = "softupdate",
    /// Show the hardware.
    Sysinfo = "sysinfo",
    /// List the hardware, a line each.
    Inventory = "inventory",
    /// Partition tables, volumes, file systems.
    Partition = "partition",
    /// Mount the new file systems.
    Mountdisks = "mountdisks",
    /// The base system: an image, a base file, or debootstrap.
    Extrbase = "extrbase",
    /// Preseed debconf.
    Debconf = "debconf",
    /// Package sources and keys.
    Repository = "repository",
    /// Bring the base system up to date.
    Updatebase = "updatebase",
    /// Packages.
    Instsoft = "instsoft",
    /// The space's scripts.
    Configure = "configure",
    /// The space's tests.
    Tests = "tests",
    /// Take back what was only for the installation.
    Finish = "finish",
    /// Tell the boot server to boot from disk.
    Chboot = "chboot",
    /// Save logs.
    Savelog = "savelog",
    /// Unmount; reboot.
    Faiend = "faiend",
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Phase {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|phase| phase.name() == text);
        found.copied().ok_or_else(|| format!("'{text}' is not a task of FAI"))
    }
}
