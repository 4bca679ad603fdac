//! The few files that go over TFTP: iPXE for each firmware, and the script it loads first.

use crate::decide::BootFileNames;
use crate::files::{BootFile, Files};
use crate::script::{ScriptError, Scripts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

const SCRIPT: &str = "boot.ipxe";
const SCRIPT_WITHOUT_HTTP: &str = "no-http.ipxe";

/// Where iPXE is; the defaults are those of Debian's package `ipxe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Loaders {
    /// For BIOS firmware, which must keep its own network driver: a `.kpxe`.
    pub bios: PathBuf,
    /// For UEFI firmware of 64-bit PCs. `snponly.efi` uses the firmware's network driver and so
    /// works wherever the firmware itself could load it; `ipxe.efi` brings its own.
    pub uefi_x64: PathBuf,
}

impl Default for Loaders {
    fn default() -> Self {
        Self {
            bios: "/usr/lib/ipxe/undionly.kpxe".into(),
            uefi_x64: "/usr/lib/ipxe/snponly.efi".into(),
        }
    }
}

/// Why the first stage cannot be served.
#[derive(Debug, Error)]
pub enum FirstStageError {
    /// A loader is not there.
    #[error("cannot read boot loader {path} (Debian package ipxe has one)")]
    Loader {
        /// Where it should be.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A loader's file name does not fit a DHCP message or would hide a script.
    #[error("boot loader {0} cannot be served under its name: rename the file")]
    Name(PathBuf),
    /// The scripts cannot be made.
    #[error("cannot make the first boot script")]
    Script(#[from] ScriptError),
}

/// Loaders and first scripts, ready to be served by TFTP.
#[derive(Clone, Debug)]
pub struct FirstStage {
    names: BootFileNames,
    files: BTreeMap<String, Arc<[u8]>>,
}

impl FirstStage {
    /// Reads the loaders and makes the scripts, which lead to `scripts`' server over HTTP and to
    /// the TFTP server at `server`.
    pub fn new(
        loaders: &Loaders,
        server: Ipv4Addr,
        scripts: &Scripts,
    ) -> Result<Self, FirstStageError> {
        let names = BootFileNames {
            bios: name_of(&loaders.bios)?,
            uefi_x64: name_of(&loaders.uefi_x64)?,
            script: SCRIPT.to_owned(),
            script_without_http: SCRIPT_WITHOUT_HTTP.to_owned(),
        };
        let without_http = scripts.without_http(server, &names.bios, &names.uefi_x64)?;
        let files = BTreeMap::from([
            (names.bios.clone(), read(&loaders.bios)?),
            (names.uefi_x64.clone(), read(&loaders.uefi_x64)?),
            (names.script.clone(), scripts.first()?.into_bytes().into()),
            (names.script_without_http.clone(), without_http.into_bytes().into()),
        ]);
        Ok(Self { names, files })
    }

    /// What DHCP tells each kind of client to load.
    pub fn names(&self) -> &BootFileNames {
        &self.names
    }
}

impl Files for FirstStage {
    fn open(&self, name: &str) -> Option<BootFile> {
        self.files.get(name).cloned().map(BootFile::Bytes)
    }
}

fn read(path: &Path) -> Result<Arc<[u8]>, FirstStageError> {
    let content = std::fs::read(path);
    content
        .map(Into::into)
        .map_err(|source| FirstStageError::Loader { path: path.to_owned(), source })
}

fn name_of(path: &Path) -> Result<String, FirstStageError> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let taken = name == SCRIPT || name == SCRIPT_WITHOUT_HTTP;
    if name.is_empty() || name.len() > 100 || taken || !name.chars().all(safe) {
        return Err(FirstStageError::Name(path.to_owned()));
    }
    Ok(name.to_owned())
}
