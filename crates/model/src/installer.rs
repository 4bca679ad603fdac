//! What a machine boots to be installed: `installer.json`, and the words on its kernel command line.

use crate::ids::Digest;
use serde::{Deserialize, Serialize};

/// Name of the file that describes an installer, beside its other files.
pub const INSTALLER_FILE: &str = "installer.json";

/// A file that only the root of the tools image has, relative to it.
pub const TOOLS_MARKER: &str = "etc/hostwright-tools";

/// The content of `installer.json`, written by `hostwright installer build`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallerManifest {
    /// Release of the kernel, which the modules in `initrd` and `tools` belong to.
    pub kernel_release: String,
    /// The kernel.
    pub kernel: InstallerFile,
    /// The initramfs with the agent.
    pub initrd: InstallerFile,
    /// The tools image, squashfs.
    pub tools: InstallerFile,
}

/// One file of an installer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallerFile {
    /// Its name, in the directory of `installer.json`.
    pub file: String,
    /// Its length.
    pub size_bytes: u64,
    /// BLAKE3 of its content.
    pub digest: Digest,
}

/// What the boot server tells the agent on the kernel command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootParameters {
    /// The server, `http://10.0.0.1:8080`.
    pub server: String,
    /// The run's token.
    pub token: String,
}

const SERVER: &str = "hostwright.server=";
const TOKEN: &str = "hostwright.token=";

impl BootParameters {
    /// Words for the kernel command line.
    pub fn to_cmdline(&self) -> String {
        format!("{SERVER}{} {TOKEN}{}", self.server, self.token)
    }

    /// Finds the words in a kernel command line; the last of each counts, as with the kernel.
    pub fn from_cmdline(cmdline: &str) -> Option<Self> {
        let last = |key: &str| cmdline.split_whitespace().rev().find_map(|w| w.strip_prefix(key));
        let (server, token) = (last(SERVER)?.to_owned(), last(TOKEN)?.to_owned());
        Some(Self { server, token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_carries_server_and_token() {
        let sent =
            BootParameters { server: "http://10.0.0.1:8080".into(), token: "abc=123".into() };
        let cmdline = format!("quiet hostwright.token=old {} console=ttyS0\n", sent.to_cmdline());
        assert_eq!(BootParameters::from_cmdline(&cmdline), Some(sent));
        assert_eq!(BootParameters::from_cmdline("quiet hostwright.server=x"), None);
    }
}
