//! Which names apt of the target knows, for `install_packages`: FAI's own check, which leaves unknown
//! names out.

use super::{Session, ToolError};
use hostwright_host::{Command, HostError, Tool, metadata};
use hostwright_model::apt_names;
use hostwright_model::package::PackageGroup;
use hostwright_model::quirk::Quirk;
use std::collections::HashSet;

/// apt's cache of what is to be had. FAI 6.0 looks for names only where this is.
const CACHE: &str = "/var/cache/apt/pkgcache.bin";
/// Where apt keeps what the sources list.
const LISTS: &str = "/var/lib/apt/lists";

/// True if there is something to check names against. Without any list of packages every name would
/// look unknown.
pub(super) fn is_possible(session: &mut Session<'_>) -> Result<bool, ToolError> {
    let lists = metadata::resolve_in_root(&session.target(), LISTS, true)?;
    let has_lists = session.host.list(&lists)?.iter().any(|name| name.contains("_Packages"));
    let cache = metadata::resolve_in_root(&session.target(), CACHE, true)?;
    let has_cache = metadata::stat(&cache)?.is_some();
    let what = format!("install_packages: {CACHE} alone says whether names are looked for");
    if has_cache != has_lists && session.has_quirk(Quirk::PackageNameCache, &what) {
        return Ok(has_cache);
    }
    Ok(has_lists)
}

/// Takes names out that apt of the target does not know, and gives them back.
pub(super) fn take_unknown(
    groups: &mut [PackageGroup],
    session: &mut Session<'_>,
) -> Result<Vec<String>, HostError> {
    let command = session.in_target(Command::new(Tool::AptCache).arg("dumpavail"));
    let available = session.run_for_output(command)?.success()?.stdout;
    let known: HashSet<&str> = apt_names::listed(&available).collect();
    let mut unknown = Vec::new();
    for group in groups.iter_mut().filter(|group| group.action.takes_chunks()) {
        group.packages.retain(|package| {
            let names = apt_names::candidates(&package.name);
            let is_known = names.iter().any(|name| known.contains(name));
            if !is_known {
                unknown.push(package.name.clone());
            }
            is_known
        });
    }
    Ok(unknown)
}
