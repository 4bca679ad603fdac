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

/// What is known to differ between the trees, and may.
pub struct Allowance<'a> {
    /// True for paths that are not compared.
    pub differs_by_nature: &'a dyn Fn(&str) -> bool,
    /// Names that each build makes anew, ours and theirs, and the word that stands for both.
    pub names: &'a [(String, String, &'static str)],
}

/// Every difference that is not allowed, a line each.
pub fn differences(ours: &Path, theirs: &Path, allowance: &Allowance<'_>) -> Result<Vec<String>> {
    let differs_by_nature = allowance.differs_by_nature;
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
            Some(_)
                if inode.kind == "file" && !same_content(ours, theirs, path, allowance.names)? =>
            {
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

/// Files above this size hold no names that are worth comparing without.
const TEXT_BYTES_MAX: u64 = 1 << 20;

fn same_content(
    ours: &Path,
    theirs: &Path,
    path: &str,
    names: &[(String, String, &'static str)],
) -> Result<bool> {
    let (left, right) = (ours.join(path), theirs.join(path));
    let (left, right) = (fs::read(left)?, fs::read(right)?);
    if left == right || left.len() as u64 > TEXT_BYTES_MAX {
        return Ok(left == right);
    }
    let (Ok(mut left), Ok(mut right)) = (String::from_utf8(left), String::from_utf8(right)) else {
        return Ok(false);
    };
    for (ours, theirs, word) in names {
        left = left.replace(ours, word);
        right = right.replace(theirs, word);
    }
    Ok(left == right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_each_build_makes_are_no_difference() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(ours.path().join("fstab"), "UUID=1-2 / ext4").unwrap();
        fs::write(theirs.path().join("fstab"), "UUID=3-4 / ext4").unwrap();
        let never = |_: &str| false;
        let names = [("1-2".to_owned(), "3-4".to_owned(), "ROOT")];
        let found = |names: &[(String, String, &'static str)]| {
            let allowance = Allowance { differs_by_nature: &never, names };
            differences(ours.path(), theirs.path(), &allowance).unwrap()
        };
        assert_eq!(found(&[]), ["content:     fstab"]);
        assert_eq!(found(&names), Vec::<String>::new());
    }
}
