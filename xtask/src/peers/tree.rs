//! Compares two directory trees: kind, mode, owner, extended attributes, device numbers, hard links
//! and content of every path.

use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
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
    /// Of a device.
    device: Option<u64>,
    /// Extended attributes, with file capabilities and access lists among them.
    attributes: BTreeMap<OsString, Vec<u8>>,
    /// The first path, by name, of the same file, if it has several.
    first_name: Option<String>,
}

/// How much of a path may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What is in the file; it must be there, with the same mode and owner.
    Content,
    /// Whether it is there at all.
    Existence,
}

/// What is known to differ between the trees, and may.
pub struct Allowance<'a> {
    /// How much of a path may differ.
    pub by_nature: &'a dyn Fn(&str) -> Option<Extent>,
    /// Names that each build makes anew, ours and theirs, and the word that stands for both.
    pub names: &'a [(String, String, &'static str)],
}

/// Every difference that is not allowed, a line each.
pub fn differences(ours: &Path, theirs: &Path, allowance: &Allowance<'_>) -> Result<Vec<String>> {
    let (left, right) = (inodes(ours)?, inodes(theirs)?);
    let may_be_alone = |path: &str| (allowance.by_nature)(path) == Some(Extent::Existence);
    let mut found = Vec::new();
    for (path, inode) in &left {
        match right.get(path) {
            None if may_be_alone(path) => {}
            None => found.push(format!("only ours:   {path}")),
            Some(other) if other != inode => {
                found.push(format!("inode:       {path}: {} and {}", show(inode), show(other)));
            }
            Some(_) if inode.kind != "file" || (allowance.by_nature)(path).is_some() => {}
            Some(_) if same_content(ours, theirs, path, allowance.names)? => {}
            Some(_) => found.push(format!("content:     {path}")),
        }
    }
    let only_theirs = right.keys().filter(|path| !left.contains_key(*path));
    found.extend(
        only_theirs.filter(|path| !may_be_alone(path)).map(|path| format!("only theirs: {path}")),
    );
    Ok(found)
}

/// How many paths a tree has.
pub fn count(root: &Path) -> Result<usize> {
    Ok(inodes(root)?.len())
}

fn show(inode: &Inode) -> String {
    let Inode { kind, mode, uid, gid, link, device, attributes, first_name } = inode;
    let mut text = format!("{kind} {mode:o} {uid}:{gid}");
    if let Some(link) = link {
        text.push_str(&format!(" -> {}", link.display()));
    }
    if let Some(device) = device {
        text.push_str(&format!(" device {device:#x}"));
    }
    for (name, value) in attributes {
        text.push_str(&format!(" {}={value:02x?}", name.display()));
    }
    if let Some(first) = first_name {
        text.push_str(&format!(" is {first}"));
    }
    text
}

fn inodes(root: &Path) -> Result<BTreeMap<String, Inode>> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![root.to_owned()]);
    let mut several: BTreeMap<(u64, u64), BTreeSet<String>> = BTreeMap::new();
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let path = entry?.path();
            let meta = fs::symlink_metadata(&path)?;
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            if meta.is_dir() {
                waiting.push(path.clone());
            } else if meta.nlink() > 1 {
                several.entry((meta.dev(), meta.ino())).or_default().insert(name.clone());
            }
            found.insert(name, inode(&path, &meta)?);
        }
    }
    // A file with one name here may have others outside of the tree; that says nothing about it.
    for names in several.values().filter(|names| names.len() > 1) {
        for name in names {
            let inode = found.get_mut(name).expect("invariant: each was inserted");
            inode.first_name = names.first().cloned();
        }
    }
    Ok(found)
}

fn inode(path: &Path, meta: &Metadata) -> Result<Inode> {
    let is_device = meta.file_type().is_char_device() || meta.file_type().is_block_device();
    let kind = match meta.file_type() {
        t if t.is_dir() => "directory",
        t if t.is_file() => "file",
        t if t.is_symlink() => "link",
        t if t.is_char_device() => "character device",
        t if t.is_block_device() => "block device",
        t if t.is_fifo() => "pipe",
        _ => "socket",
    };
    let mut attributes = BTreeMap::new();
    let failed = || format!("cannot read the extended attributes of {}", path.display());
    for name in xattr::list(path).with_context(failed)? {
        let value = xattr::get(path, &name).with_context(failed)?.unwrap_or_default();
        attributes.insert(name, value);
    }
    Ok(Inode {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        link: fs::read_link(path).ok(),
        device: is_device.then(|| meta.rdev()),
        attributes,
        first_name: None,
    })
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
    use std::os::unix::fs::PermissionsExt as _;
    use tempfile::TempDir;

    fn two() -> (TempDir, TempDir) {
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
    }

    fn found(
        ours: &Path,
        theirs: &Path,
        by_nature: &dyn Fn(&str) -> Option<Extent>,
        names: &[(String, String, &'static str)],
    ) -> Vec<String> {
        differences(ours, theirs, &Allowance { by_nature, names }).unwrap()
    }

    #[test]
    fn names_that_each_build_makes_are_no_difference() {
        let (ours, theirs) = two();
        fs::write(ours.path().join("fstab"), "UUID=1-2 / ext4").unwrap();
        fs::write(theirs.path().join("fstab"), "UUID=3-4 / ext4").unwrap();
        let names = [("1-2".to_owned(), "3-4".to_owned(), "ROOT")];
        let found = |names| found(ours.path(), theirs.path(), &|_| None, names);
        assert_eq!(found(&[]), ["content:     fstab"]);
        assert_eq!(found(&names), Vec::<String>::new());
    }

    #[test]
    fn what_may_differ_by_nature_still_has_its_mode_and_place() {
        let (ours, theirs) = two();
        for (dir, text, mode) in [(&ours, "a", 0o600), (&theirs, "b", 0o644)] {
            fs::write(dir.path().join("key"), text).unwrap();
            fs::write(dir.path().join("log"), text).unwrap();
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(dir.path().join("key"), mode).unwrap();
        }
        fs::write(ours.path().join("random"), "").unwrap();
        fs::write(ours.path().join("cache"), "").unwrap();
        let by_nature = |path: &str| match path {
            "cache" => Some(Extent::Existence),
            _ => Some(Extent::Content),
        };
        let found = found(ours.path(), theirs.path(), &by_nature, &[]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("inode:       key: file 600"), "{found:?}");
        assert_eq!(found[1], "only ours:   random");
    }

    #[test]
    fn hard_links_and_attributes_are_compared() {
        let (ours, theirs) = two();
        for dir in [&ours, &theirs] {
            fs::write(dir.path().join("one"), "x").unwrap();
            fs::write(dir.path().join("three"), "x").unwrap();
        }
        fs::hard_link(ours.path().join("one"), ours.path().join("two")).unwrap();
        fs::write(theirs.path().join("two"), "x").unwrap();
        xattr::set(theirs.path().join("three"), "user.note", b"x").unwrap();
        let found = found(ours.path(), theirs.path(), &|_| None, &[]);
        let paths: Vec<_> = found.iter().filter_map(|line| line.split([' ', ':']).nth(8)).collect();
        assert_eq!(paths, ["one", "three", "two"], "{found:?}");
    }
}
