//! Which mirrors stand for which names in addresses of packages.

use hyper::Uri;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Names that spaces use for Debian's archive.
const MAIN: [&str; 3] =
    ["deb.debian.org/debian", "ftp.debian.org/debian", "httpredir.debian.org/debian"];
/// Names that spaces use for Debian's security archive.
const SECURITY: [&str; 2] =
    ["deb.debian.org/debian-security", "security.debian.org/debian-security"];

/// Mirrors by what they stand for: a host, or a host with the beginning of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorMap(BTreeMap<String, String>);

/// Why an entry of a [`MirrorMap`] is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadMirror {
    /// What is mapped is not a host.
    #[error("'{0}' is not a host name with or without a path")]
    Name(String),
    /// The mirror is not an address.
    #[error("'{0}' is not the address of a mirror; it has to begin with http://")]
    Target(String),
}

impl MirrorMap {
    /// Lets `target`, `http://mirror.example.org/pub`, stand for `name`, a host with or without a
    /// path. What follows `name` in an address is put behind `target`.
    pub fn insert(&mut self, name: &str, target: &str) -> Result<(), BadMirror> {
        let name = name.trim_end_matches('/');
        let (host, _) = name.split_once('/').unwrap_or((name, ""));
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if host.is_empty() || !host.chars().all(good) {
            return Err(BadMirror::Name(name.to_owned()));
        }
        let bad = || BadMirror::Target(target.to_owned());
        let uri: Uri = target.parse().map_err(|_| bad())?;
        if uri.scheme_str() != Some("http") || uri.host().is_none() || uri.query().is_some() {
            return Err(bad());
        }
        self.0.insert(name.to_owned(), target.trim_end_matches('/').to_owned());
        Ok(())
    }

    /// Debian's names, mapped to the mirrors that this machine's own apt uses.
    ///
    /// A mirror is known by its path, which ends in `/debian` or `/debian-security`; the first of
    /// each counts. Mirrors that speak HTTPS only are left out: spaces ask for plain HTTP, and
    /// packages are signed.
    pub fn from_apt_sources() -> Self {
        let mut map = Self::default();
        for file in source_files(Path::new("/etc/apt")) {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let deb822 = file.extension().is_some_and(|ext| ext == "sources");
            for uri in if deb822 { deb822_uris(&text) } else { one_line_uris(&text) } {
                map.add_debian_mirror(&uri);
            }
        }
        map
    }

    fn add_debian_mirror(&mut self, uri: &str) {
        let uri = uri.trim_end_matches('/');
        let names = match uri.rsplit('/').next() {
            Some("debian") => MAIN.as_slice(),
            Some("debian-security") => &SECURITY,
            _ => return,
        };
        for name in names {
            if !self.0.contains_key(*name) {
                // Refused where it is not plain HTTP.
                let _ = self.insert(name, uri);
            }
        }
    }

    /// The address to ask for what a client calls `http://authority/path…`: the longest name that
    /// fits wins.
    pub(super) fn target(&self, authority: &str, path: &str) -> String {
        let authority = authority.strip_suffix(":80").unwrap_or(authority);
        let asked = format!("{authority}{path}");
        let fits = |name: &str| {
            let rest = asked.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
        };
        let best = self.0.iter().filter(|(name, _)| fits(name).is_some());
        match best.max_by_key(|(name, _)| name.len()) {
            Some((name, target)) => format!("{target}{}", &asked[name.len()..]),
            None => format!("http://{asked}"),
        }
    }
}

/// The files that apt reads, in its order (sources.list(5)).
fn source_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = vec![dir.join("sources.list")];
    let mut more: Vec<_> = fs::read_dir(dir.join("sources.list.d"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    more.retain(|path| path.extension().is_some_and(|ext| ext == "list" || ext == "sources"));
    more.sort_unstable();
    files.append(&mut more);
    files
}

/// Addresses in the one-line style: `deb [options] uri suite components…`.
fn one_line_uris(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let uris = lines.filter_map(|line| {
        let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        rest.split_whitespace().next().map(str::to_owned)
    });
    uris.collect()
}

/// Addresses in the deb822 style: `URIs:` of stanzas that are not disabled.
fn deb822_uris(text: &str) -> Vec<String> {
    let mut uris = Vec::new();
    for stanza in text.split("\n\n") {
        let (mut key, mut enabled, mut here) = (String::new(), true, Vec::new());
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            let value = match line.split_once(':') {
                Some((name, value)) if !line.starts_with([' ', '\t']) => {
                    key = name.to_ascii_lowercase();
                    value
                }
                _ => line,
            };
            match key.as_str() {
                "uris" => here.extend(value.split_whitespace().map(str::to_owned)),
                "enabled" => enabled = !matches!(value.trim(), "no" | "false" | "0" | "off"),
                _ => {}
            }
        }
        if enabled {
            uris.append(&mut here);
        }
    }
    uris
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_wins_and_ends_at_a_slash() {
        let mut map = MirrorMap::default();
        map.insert("deb.example", "http://mirror.example/pub/").unwrap();
        map.insert("deb.example/debian-security", "http://sec.example:8080/s").unwrap();
        let target = |path: &str| map.target("deb.example:80", path);
        assert_eq!(target("/debian/x"), "http://mirror.example/pub/debian/x");
        assert_eq!(target("/debian-security/y?z"), "http://sec.example:8080/s/y?z");
        assert_eq!(target("/debian-security-2/y"), "http://mirror.example/pub/debian-security-2/y");
        assert_eq!(map.target("other.example:81", "/x"), "http://other.example:81/x");
    }

    #[test]
    fn entries_that_cannot_work_are_refused() {
        let mut map = MirrorMap::default();
        assert!(matches!(map.insert("a b", "http://x"), Err(BadMirror::Name(_))));
        for bad in ["https://x", "x", "", "http://"] {
            assert!(matches!(map.insert("a", bad), Err(BadMirror::Target(_))), "{bad}");
        }
    }

    #[test]
    fn both_styles_of_sources_are_understood() {
        let one = "# deb http://no/debian x\ndeb [arch=amd64 signed-by=/k] http://a/debian b main\n\
                   deb-src http://src/debian b main\ndeb http://b/debian-security/ b/updates main";
        assert_eq!(one_line_uris(one), ["http://a/debian", "http://b/debian-security/"]);
        let deb822 = "Types: deb\n# URIs: http://no/debian\nURIs: http://a/debian\n http://b/debian\n\
                      Suites: x\n\nEnabled: no\nURIs: http://c/debian\n\nuris: http://d/other";
        assert_eq!(deb822_uris(deb822), ["http://a/debian", "http://b/debian", "http://d/other"]);
    }

    #[test]
    fn the_first_mirror_of_each_archive_stands_for_debians_names() {
        let mut map = MirrorMap::default();
        for uri in ["https://tls/debian", "http://a/debian/", "http://b/debian", "http://c/node"] {
            map.add_debian_mirror(uri);
        }
        map.add_debian_mirror("http://s/x/debian-security");
        assert_eq!(map.target("deb.debian.org", "/debian/pool"), "http://a/debian/pool");
        let security = map.target("security.debian.org", "/debian-security/dists");
        assert_eq!(security, "http://s/x/debian-security/dists");
    }
}
