//! From the file as written to a [`Config`], with every mistake that can be found.

use super::{Config, Raw, RawDhcp, RawMonitor, RawProxy, SourceText, StoreConfig};
use crate::monitor::MonitorConfig;
use crate::package_proxy::{MirrorMap, PackageProxyConfig};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::installer::INSTALLER_FILE;
use hostwright_model::plan::Rules;
use hostwright_netboot::dhcp::{DhcpConfig, Network};
use hostwright_netboot::first_stage::Loaders;
use hostwright_store::{PublicKey, S3Settings, StoreAddress};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use toml::Spanned;

const DEFAULT_LEASE_S: u32 = 3600;
const DEFAULT_STORE_CACHE_GIB: u32 = 20;

/// Checks everything that does not depend on what is running.
pub(super) fn check(raw: Raw, source: &SourceText<'_>) -> Result<Config, Vec<Diagnostic>> {
    let mut checker = Checker { source, mistakes: Vec::new() };
    let listen = *raw.listen.get_ref();
    let tftp = raw.tftp.as_ref().map_or(raw.dhcp.is_some(), |tftp| *tftp.get_ref());
    if (tftp || raw.dhcp.is_some()) && boot_address(listen).is_none() {
        checker.say(
            raw.listen.span(),
            "config-listen-address",
            format!("listen = \"{listen}\" does not tell machines where to load from"),
            "give the IPv4 address that machines reach this server by, such as 10.0.0.1:8080",
        );
    }
    let config = Config {
        listen,
        state_dir: checker.absolute("state_dir", raw.state_dir),
        store_dir: checker.absolute("store_dir", raw.store_dir),
        store: checker.store(raw.store, raw.store_key, raw.store_cache_gib),
        installer_dir: raw.installer_dir.map(|dir| checker.installer_dir(dir)),
        open_page: raw.open_page.unwrap_or(listen.ip().is_loopback()),
        kernel_cmdline: raw.kernel_cmdline.map_or(String::new(), |line| checker.cmdline(line)),
        rules: Rules { fai_bugs: raw.fai_bugs, lenient: raw.lenient, ..Rules::default() },
        tftp,
        spaces: checker.spaces(raw.spaces),
        dhcp: raw.dhcp.and_then(|dhcp| checker.dhcp(dhcp, listen)),
        loaders: checker.loaders(raw.loaders, tftp, raw.tftp.map_or(0..0, |tftp| tftp.span())),
        monitor: raw.monitor.map(|monitor| checker.monitor(monitor)),
        package_proxy: raw.package_proxy.map(|proxy| checker.proxy(proxy)),
    };
    if checker.mistakes.is_empty() { Ok(config) } else { Err(checker.mistakes) }
}

/// The address that goes into boot messages.
pub(crate) fn boot_address(listen: SocketAddr) -> Option<std::net::Ipv4Addr> {
    match listen.ip() {
        IpAddr::V4(address) if !address.is_unspecified() => Some(address),
        _ => None,
    }
}

struct Checker<'a> {
    source: &'a SourceText<'a>,
    mistakes: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn say(
        &mut self,
        span: std::ops::Range<usize>,
        code: &str,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.mistakes.push(self.source.mistake(span, code, message, cure));
    }

    fn absolute(&mut self, key: &str, path: Spanned<PathBuf>) -> PathBuf {
        if !path.get_ref().is_absolute() {
            let message = format!("{key} = \"{}\" is not absolute", path.get_ref().display());
            self.say(path.span(), "config-path", message, "write the path from / on");
        }
        path.into_inner()
    }

    fn directory(&mut self, key: &str, path: Spanned<PathBuf>, cure: &str) -> PathBuf {
        let span = path.span();
        let before = self.mistakes.len();
        let path = self.absolute(key, path);
        if self.mistakes.len() == before && !path.is_dir() {
            let message = format!("{key} = \"{}\" is not a directory", path.display());
            self.say(span, "config-path", message, cure);
        }
        path
    }

    fn installer_dir(&mut self, dir: Spanned<PathBuf>) -> PathBuf {
        let span = dir.span();
        let cure = "make it with 'hostwright installer build', or correct the path";
        let before = self.mistakes.len();
        let dir = self.directory("installer_dir", dir, cure);
        if self.mistakes.len() == before && !dir.join(INSTALLER_FILE).is_file() {
            let message = format!("{} holds no {INSTALLER_FILE}", dir.display());
            self.say(span, "config-installer", message, cure);
        }
        dir
    }

    /// iPXE would change or cut the line; netboot refuses it at each boot, which is too late.
    fn cmdline(&mut self, line: Spanned<String>) -> String {
        let text = line.get_ref();
        let special = |word: &str| matches!(word, "&&" | "||") || word.starts_with('#');
        let bad = text.contains("${")
            || text.chars().any(char::is_control)
            || text.split(' ').any(special);
        if bad {
            let message = "kernel_cmdline has a word that iPXE does not pass on";
            let cure = "leave out '${', control characters, and words '&&', '||' and '#…'";
            self.say(line.span(), "config-kernel-cmdline", message, cure);
        }
        line.into_inner()
    }

    fn store(
        &mut self,
        address: Option<Spanned<String>>,
        key: Option<Spanned<String>>,
        cache_gib: Option<u32>,
    ) -> Option<StoreConfig> {
        let Some(address) = address else {
            if let Some(key) = key {
                let cure = "say where the store is by 'store', or remove the key";
                self.say(key.span(), "config-store", "store_key is without 'store'", cure);
            }
            return None;
        };
        let parsed = address.get_ref().parse::<StoreAddress>();
        if let Err(error) = &parsed {
            let cure = "write it as \"s3://BUCKET/PREFIX\"";
            self.say(address.span(), "config-store", error.to_string(), cure);
        }
        let Some(key) = key else {
            let message = "'store' is without store_key: nobody could vouch for its images";
            let cure = "add what 'hostwright image key' says where images are pushed from";
            self.say(address.span(), "config-store", message, cure);
            return None;
        };
        let signer = key.get_ref().parse::<PublicKey>();
        if let Err(error) = &signer {
            let cure = "copy what 'hostwright image key' says where images are pushed from";
            self.say(key.span(), "config-store", error.to_string(), cure);
        }
        let cache_bytes = u64::from(cache_gib.unwrap_or(DEFAULT_STORE_CACHE_GIB)) << 30;
        let settings = S3Settings::default();
        Some(StoreConfig { address: parsed.ok()?, key: signer.ok()?, cache_bytes, settings })
    }

    fn spaces(
        &mut self,
        spaces: BTreeMap<Spanned<String>, Spanned<PathBuf>>,
    ) -> BTreeMap<String, PathBuf> {
        let mut checked = BTreeMap::new();
        for (name, path) in spaces {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if name.get_ref().is_empty() || !name.get_ref().chars().all(good) {
                let message = format!("'{}' cannot name a config space", name.get_ref());
                let cure = "use letters, digits, '.', '_' and '-'";
                self.say(name.span(), "config-space-name", message, cure);
            }
            let cure = "unpack the config space there, or correct the path";
            let path = self.directory(&format!("spaces.{}", name.get_ref()), path, cure);
            checked.insert(name.into_inner(), path);
        }
        checked
    }

    fn dhcp(&mut self, raw: Spanned<RawDhcp>, listen: SocketAddr) -> Option<Network> {
        let span = raw.span();
        let raw = raw.into_inner();
        let config = DhcpConfig {
            interface: raw.interface,
            server_address: boot_address(listen)?,
            subnet: raw.subnet,
            pool: raw.pool,
            router: raw.router,
            dns: raw.dns,
            domain: raw.domain,
            lease_s: raw.lease_s.unwrap_or(DEFAULT_LEASE_S),
            unknown: raw.unknown,
        };
        match Network::new(config) {
            Ok(network) => Some(network),
            Err(error) => {
                let message = format!("in [dhcp], {error}");
                let cure = "make the keys of [dhcp] and the address in 'listen' agree";
                self.say(span.start..span.start, "config-dhcp", message, cure);
                None
            }
        }
    }

    fn loaders(
        &mut self,
        loaders: Option<Spanned<Loaders>>,
        tftp: bool,
        tftp_span: std::ops::Range<usize>,
    ) -> Loaders {
        let span = loaders.as_ref().map_or(tftp_span, Spanned::span);
        let loaders = loaders.map(Spanned::into_inner).unwrap_or_default();
        let missing = |path: &&Path| tftp && !path.is_file();
        for path in [loaders.bios.as_path(), &loaders.uefi_x64].iter().filter(|p| missing(p)) {
            let message = format!("there is no boot loader {}", path.display());
            let cure = "install Debian's package ipxe, or correct [loaders]";
            self.say(span.clone(), "config-loader", message, cure);
        }
        loaders
    }

    fn monitor(&mut self, raw: RawMonitor) -> MonitorConfig {
        let mut variables = BTreeMap::new();
        for (name, value) in raw.variables {
            if value.get_ref().contains(char::is_control) {
                let message = format!("the value of {} has a control character", name.get_ref());
                self.say(value.span(), "config-bad-value", message, "write it on one line");
            }
            variables.insert(name.into_inner(), value.into_inner());
        }
        MonitorConfig { listen: raw.listen, variables }
    }

    fn proxy(&mut self, raw: RawProxy) -> PackageProxyConfig {
        let mut map = MirrorMap::default();
        for (name, target) in raw.map.iter().flatten() {
            if let Err(error) = map.insert(name.get_ref(), target.get_ref()) {
                let cure = "write it as \"deb.example.org\" = \"http://mirror.example.org\"";
                self.say(target.span(), "config-mirror", error.to_string(), cure);
            }
        }
        let upstream = raw.upstream.and_then(|upstream| {
            let parsed = upstream.get_ref().parse();
            if let Err(error) = &parsed {
                let message = format!("upstream: {error}");
                let cure = "write it as \"http://proxy.example.org:3128\"";
                self.say(upstream.span(), "config-upstream", message, cure);
            }
            parsed.ok()
        });
        PackageProxyConfig {
            listen: raw.listen,
            cache_dir: self.absolute("package_proxy.cache_dir", raw.cache_dir),
            map: if raw.map.is_some() { map } else { MirrorMap::from_apt_sources() },
            upstream,
        }
    }
}
