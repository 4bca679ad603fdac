//! The server's configuration: one TOML file, checked whole before anything starts.
//!
//! ```toml
//! listen = "10.0.0.1:8080"             # address and port of API, page and boot files
//! state_dir = "/var/lib/hostwright"    # database, keys, archives of spaces
//! store_dir = "/var/lib/hostwright/store"
//! installer_dir = "/var/lib/hostwright/installer"   # from `hostwright installer build`
//! open_page = false                    # true: page and reading need no token (default: loopback only)
//! kernel_cmdline = "console=ttyS0"     # added to what the installer's kernel is told
//! tftp = true                          # default: as dhcp
//!
//! [spaces]
//! simple = "/srv/spaces/simple"
//!
//! [dhcp]                               # leave out where another DHCP server leads here
//! interface = "br0"
//! subnet = "10.0.0.0/24"
//! pool = "10.0.0.100-10.0.0.199"
//! unknown = "ignore"                   # or "lease"
//!
//! [loaders]                            # default: Debian's package ipxe
//! bios = "/usr/lib/ipxe/undionly.kpxe"
//! uefi_x64 = "/usr/lib/ipxe/snponly.efi"
//!
//! [monitor]                            # FAI's monitor protocol
//! listen = "10.0.0.1:4711"
//! [monitor.variables]                  # what machines may ask for
//! FAI_CONFIG_SRC = "nfs://10.0.0.1/srv/fai/config"
//!
//! [package_proxy]
//! listen = "10.0.0.1:3142"
//! cache_dir = "/var/cache/hostwright/packages"
//! upstream = "http://proxy.example.org:3128"
//! [package_proxy.map]                  # default: Debian's names to the mirrors in apt's sources
//! "deb.example.org" = "http://mirror.example.org"
//! ```

mod check;

pub(crate) use check::boot_address;

use crate::monitor::MonitorConfig;
use crate::package_proxy::PackageProxyConfig;
use hostwright_model::diagnostic::{Diagnostic, Location, Severity};
use hostwright_model::plan::Rules;
use hostwright_netboot::dhcp::{Network, Pool, Subnet, Unknown};
use hostwright_netboot::first_stage::Loaders;
use hostwright_store::{PublicKey, S3Settings, StoreAddress};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::Spanned;

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where API, page and boot files are served; port 0 for any.
    pub listen: SocketAddr,
    /// Database, keys, archives of spaces.
    pub state_dir: PathBuf,
    /// The image store; with [`Self::store`] what came from there is kept in it.
    pub store_dir: PathBuf,
    /// The image store, if it is elsewhere.
    pub store: Option<StoreConfig>,
    /// What `hostwright installer build` made.
    pub installer_dir: Option<PathBuf>,
    /// True if the page and the reading endpoints need no token.
    pub open_page: bool,
    /// Words for the installer's kernel.
    pub kernel_cmdline: String,
    /// How config spaces are read where there is a choice.
    pub rules: Rules,
    /// True if TFTP is served.
    pub tftp: bool,
    /// Directories of config spaces by name.
    pub spaces: BTreeMap<String, PathBuf>,
    /// DHCP, if it is served.
    pub dhcp: Option<Network>,
    /// Boot loaders for TFTP.
    pub loaders: Loaders,
    /// FAI's monitor, if it is served.
    pub monitor: Option<MonitorConfig>,
    /// The package proxy, if there is one.
    pub package_proxy: Option<PackageProxyConfig>,
}

/// An image store that is elsewhere.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Where.
    pub address: StoreAddress,
    /// Whose signatures under names count.
    pub key: PublicKey,
    /// How much of what came from there is kept.
    pub cache_bytes: u64,
    /// How an S3 service is reached; whoever starts the server knows.
    pub settings: S3Settings,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// It has mistakes; all that could be found.
    #[error("{}", list(.0))]
    Mistakes(Vec<Diagnostic>),
}

fn list(mistakes: &[Diagnostic]) -> String {
    mistakes.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    listen: Spanned<SocketAddr>,
    state_dir: Spanned<PathBuf>,
    store_dir: Spanned<PathBuf>,
    store: Option<Spanned<String>>,
    store_key: Option<Spanned<String>>,
    store_cache_gib: Option<u32>,
    installer_dir: Option<Spanned<PathBuf>>,
    open_page: Option<bool>,
    #[serde(default)]
    kernel_cmdline: Option<Spanned<String>>,
    #[serde(default)]
    fai_bugs: bool,
    #[serde(default)]
    lenient: bool,
    tftp: Option<Spanned<bool>>,
    #[serde(default)]
    spaces: BTreeMap<Spanned<String>, Spanned<PathBuf>>,
    dhcp: Option<Spanned<RawDhcp>>,
    loaders: Option<Spanned<Loaders>>,
    monitor: Option<RawMonitor>,
    package_proxy: Option<RawProxy>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDhcp {
    interface: String,
    subnet: Subnet,
    pool: Option<Pool>,
    router: Option<Ipv4Addr>,
    #[serde(default)]
    dns: Vec<Ipv4Addr>,
    domain: Option<String>,
    lease_s: Option<u32>,
    #[serde(default)]
    unknown: Unknown,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMonitor {
    listen: SocketAddr,
    #[serde(default)]
    variables: BTreeMap<Spanned<String>, Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProxy {
    listen: SocketAddr,
    cache_dir: Spanned<PathBuf>,
    map: Option<BTreeMap<Spanned<String>, Spanned<String>>>,
    upstream: Option<Spanned<String>>,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Checks the text of a file called `name`. Directories that must exist are looked at.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let source = SourceText { name, text };
        let raw: Raw = toml::from_str(text)
            .map_err(|e| ConfigError::Mistakes(vec![source.not_understood(&e)]))?;
        check::check(raw, &source).map_err(ConfigError::Mistakes)
    }
}

/// The file's text, to find lines in.
struct SourceText<'a> {
    name: &'a str,
    text: &'a str,
}

impl SourceText<'_> {
    /// A mistake at a byte range.
    fn mistake(
        &self,
        span: std::ops::Range<usize>,
        code: &str,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Diagnostic {
        let start = span.start.min(self.text.len());
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[..start].matches('\n').count() as u32 + 1;
        let at = Location {
            file: self.name.to_owned(),
            line,
            column: (start - line_start) as u32 + 1,
            length: span.len() as u32,
        };
        Diagnostic {
            code: code.to_owned(),
            severity: Severity::Error,
            message: message.into(),
            at: Some(at),
            cure: cure.into(),
            source_line: self.text[line_start..].lines().next().map(str::to_owned),
        }
    }

    /// What the TOML reader did not accept.
    fn not_understood(&self, error: &toml::de::Error) -> Diagnostic {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().trim().replace('\n', ", ");
        let (code, cure) = if message.starts_with("unknown field") {
            ("config-unknown-key", "remove the key, or correct its name to one of those expected")
        } else if message.starts_with("missing field") {
            ("config-missing-key", "add the key; docs/reference/serve.md shows a complete file")
        } else {
            ("config-bad-value", "correct the value; docs/reference/serve.md shows a complete file")
        };
        self.mistake(span, code, message, cure)
    }
}

#[cfg(test)]
mod tests;
