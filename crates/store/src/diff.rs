//! What is different between two images.

use crate::manifest::Manifest;
use hostwright_model::image::{Entry, EntryKind};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A path that two images do not have in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The path.
    pub path: String,
    /// In what they differ.
    pub change: Change,
    /// Bytes of content in the first image.
    pub old_bytes: u64,
    /// Bytes of content in the second image.
    pub new_bytes: u64,
}

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Only the second image has it.
    Added,
    /// Only the first image has it.
    Removed,
    /// It is of another kind: a file became a link.
    Kind,
    /// The content of the file, or the target of the link.
    Content,
    /// Mode, owner or extended attributes, and nothing else but perhaps the time.
    Metadata,
    /// The time of modification alone.
    Time,
}

/// The differences between two images, by path.
pub fn differences(old: &Manifest, new: &Manifest) -> Vec<Difference> {
    let by_path = |manifest: &'_ Manifest| -> BTreeMap<String, Entry> {
        manifest.entries.iter().map(|entry| (entry.path.clone(), entry.clone())).collect()
    };
    let (old, new) = (by_path(old), by_path(new));
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let compare = |path: &String| {
        let (before, after) = (old.get(path), new.get(path));
        let change = change(before, after)?;
        let bytes = |entry: Option<&Entry>| entry.map_or(0, Entry::size_bytes);
        let (old_bytes, new_bytes) = (bytes(before), bytes(after));
        Some(Difference { path: path.clone(), change, old_bytes, new_bytes })
    };
    paths.into_iter().filter_map(compare).collect()
}

fn change(before: Option<&Entry>, after: Option<&Entry>) -> Option<Change> {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (None, _) => return Some(Change::Added),
        (_, None) => return Some(Change::Removed),
    };
    let same_kind = std::mem::discriminant(&before.kind) == std::mem::discriminant(&after.kind);
    let metadata = |entry: &Entry| (entry.mode, entry.uid, entry.gid, entry.xattrs.clone());
    if !same_kind {
        Some(Change::Kind)
    } else if before.kind != after.kind {
        Some(Change::Content)
    } else if metadata(before) != metadata(after) {
        Some(Change::Metadata)
    } else {
        // Directories change their time whenever something is made in them.
        let time = before.mtime != after.mtime && !matches!(after.kind, EntryKind::Directory);
        time.then_some(Change::Time)
    }
}
