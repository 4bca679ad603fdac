//! Compares two directory trees: kind, mode, owner and content of every path.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// What can be said about a path without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inode {
    kind: &'static str,
    mode: u32,
    uid: u32,
    gid: u32,
    link: Option<PathBuf>,
}

/// Every difference, a line each, but for paths of which `differs_by_nature` is true.
pub fn differences(
    ours: &Path,
    theirs: &Path,
    differs_by_nature: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let (left, right) = (inodes(ours)?, inodes(theirs)?);
    let mut found = Vec::new();
    for (path, inode) in &left {
        if differs_by_nature(path) {
            continue;
        }
        match right.get(path) {
            None => found.push(format!("only ours:   {path}")),
            Some(other) if other != inode => {
                found.push(format!("inode:       {path}: {} and {}", show(inode), show(other)));
            }
            Some(_) if inode.kind == "file" && !same_content(ours, theirs, path)? => {
                found.push(format!("content:     {path}"));
            }
            Some(_) => {}
        }
    }
    let only_theirs = right.keys().filter(|path| !left.contains_key(*path));
    found.extend(
        only_theirs
            .filter(|path| !differs_by_nature(path))
            .map(|path| format!("only theirs: {path}")),
    );
    Ok(found)
}

/// How many paths a tree has.
pub fn count(root: &Path) -> Result<usize> {
    Ok(inodes(root)?.len())
}

fn show(inode: &Inode) -> String {
    let Inode { kind, mode, uid, gid, link } = inode;
    let link = link.as_ref().map_or(String::new(), |link| format!(" -> {}", link.display()));
    format!("{kind} {mode:o} {uid}:{gid}{link}")
}

fn inodes(root: &Path) -> Result<BTreeMap<String, Inode>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let path = entry?.path();
            let meta = fs::symlink_metadata(&path)?;
            if meta.is_dir() {
                waiting.push(path.clone());
            }
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            found.insert(name, inode(&path, &meta));
        }
    }
    Ok(found)
}

fn inode(path: &Path, meta: &Metadata) -> Inode {
    let kind = match meta.file_type() {
        t if t.is_dir() => "directory",
        t if t.is_file() => "file",
        t if t.is_symlink() => "link",
        t if t.is_char_device() || t.is_block_device() => "device",
        _ => "special",
    };
    let link = fs::read_link(path).ok();
    Inode { kind, mode: meta.mode() & 0o7777, uid: meta.uid(), gid: meta.gid(), link }
}

fn same_content(ours: &Path, theirs: &Path, path: &str) -> Result<bool> {
    Ok(fs::read(ours.join(path))? == fs::read(theirs.join(path))?)
}
