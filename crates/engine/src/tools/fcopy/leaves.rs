//! `fcopy -r`: which directories below a source hold variants.
//!
//! A directory is one if it has entries and none of them is a directory. To FAI the source itself
//! never is one, whatever is in it.

use super::settings::{Settings, plain_name};
use crate::tools::{Session, ToolError};
use hostwright_host::metadata::{self, FileKind};
use hostwright_model::quirk::Quirk;

/// The leaf directories below all sources, in the order of their names, relative to the source
/// root.
pub(super) fn find(
    settings: &Settings,
    session: &mut Session<'_>,
) -> Result<Vec<String>, ToolError> {
    let mut leaves = Vec::new();
    for source in &settings.sources {
        let name = plain_name(source);
        let top = format!("{}/{name}", settings.source_root);
        match metadata::stat(&top)? {
            Some(meta) if meta.is_dir() => visit(settings, session, name, true, &mut leaves)?,
            // Reported like any source that is not a directory.
            Some(_) => leaves.push(name.to_owned()),
            None => session.warn(&format!("fcopy: there is nothing at {top}")),
        }
    }
    leaves.sort();
    leaves.dedup();
    Ok(leaves)
}

fn visit(
    settings: &Settings,
    session: &mut Session<'_>,
    name: &str,
    is_source: bool,
    leaves: &mut Vec<String>,
) -> Result<(), ToolError> {
    let (mut has_entries, mut has_dirs) = (false, false);
    for entry in session.host.list(&format!("{}/{name}", settings.source_root))? {
        let child = join(name, &entry);
        let path = format!("{}/{child}", settings.source_root);
        let is_dir = metadata::stat(&path)?.is_some_and(|meta| meta.is_dir());
        if is_dir && settings.ignored_dirs.contains(&entry) {
            continue;
        }
        has_entries = true;
        let is_link = metadata::stat_link(&path)?.is_some_and(|m| m.kind == FileKind::Symlink);
        has_dirs |= is_dir && !(is_link && settings.copy_links);
        if is_dir && !is_link {
            visit(settings, session, &child, false, leaves)?;
        }
    }
    if !has_entries || has_dirs {
        return Ok(());
    }
    let what = format!("fcopy -r {name}: the source itself is not copied");
    if !is_source || !session.has_quirk(Quirk::FcopyLeafSource, &what) {
        leaves.push(name.to_owned());
    }
    Ok(())
}

fn join(name: &str, entry: &str) -> String {
    if name.is_empty() { entry.to_owned() } else { format!("{name}/{entry}") }
}
