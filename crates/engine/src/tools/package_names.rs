//! Which names apt of the target knows, for `install_packages`: FAI's own check, which leaves unknown
//! names out.

use super::{Session, ToolError};
use hostwright_host::{Command, HostError, Tool, metadata};
use hostwright_model::package::PackageGroup;
use std::collections::HashSet;

/// apt's cache of what is to be had. FAI 6.0 looks for names only where this is.
const CACHE: &str = "/var/cache/apt/pkgcache.bin";
/// Where apt keeps what the sources list.
const LISTS: &str = "/var/lib/apt/lists";

/// True if there is something to check names against. Without any list of packages every name would
/// look unknown.
pub(super) fn is_possible(session: &mut Session<'_>) -> Result<bool, ToolError> {
    if session.fai_bugs() {
        let cache = metadata::resolve_in_root(&session.target(), CACHE, true)?;
        return Ok(metadata::stat(&cache)?.is_some());
    }
    let lists = metadata::resolve_in_root(&session.target(), LISTS, true)?;
    Ok(session.host.list(&lists)?.iter().any(|name| name.contains("_Packages")))
}

/// Takes names out that apt of the target does not know, and gives them back.
pub(super) fn take_unknown(
    groups: &mut [PackageGroup],
    session: &mut Session<'_>,
) -> Result<Vec<String>, HostError> {
    let command = session.in_target(Command::new(Tool::AptCache).arg("dumpavail"));
    let available = session.run_for_output(command)?.success()?.stdout;
    let known = known_names(&available);
    let mut unknown = Vec::new();
    for group in groups.iter_mut().filter(|group| group.action.takes_chunks()) {
        group.packages.retain(|package| {
            let is_known = is_known(&package.name, &known);
            if !is_known {
                unknown.push(package.name.clone());
            }
            is_known
        });
    }
    Ok(unknown)
}

/// Names of packages, and what they provide, in the output of `apt-cache dumpavail`.
fn known_names(available: &str) -> HashSet<&str> {
    let mut names = HashSet::new();
    for line in available.lines() {
        if let Some(name) = line.strip_prefix("Package: ") {
            names.insert(name);
        } else if let Some(provided) = line.strip_prefix("Provides: ") {
            let first_word = |entry: &'_ str| entry.trim().find([' ', ':']);
            for entry in provided.split(',').map(str::trim) {
                names.insert(first_word(entry).map_or(entry, |end| &entry[..end]));
            }
        }
    }
    names
}

/// FAI's order: as it is, without `-`, without `+`, without `/release` or `=version`, without
/// `:arch`.
fn is_known(name: &str, known: &HashSet<&str>) -> bool {
    let mut name = name;
    let mut tries = vec![name];
    for end in ['-', '+'] {
        name = name.strip_suffix(end).unwrap_or(name);
        tries.push(name);
    }
    for mark in [&['/', '='][..], &[':'][..]] {
        name = name.split(mark).next().unwrap_or(name);
        tries.push(name);
    }
    tries.iter().any(|name| known.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_without_their_marks() {
        let available = "Package: nginx\nProvides: httpd (= 1), web:any\n\nPackage: g++\n";
        let known = known_names(available);
        for name in
            ["nginx", "nginx-", "nginx=1.2", "nginx/sid", "nginx:amd64", "g++", "httpd", "web"]
        {
            assert!(is_known(name, &known), "{name}");
        }
        assert!(!is_known("apache2", &known) && !is_known("", &known));
    }
}
