//! Reads a tree's inodes: everything about them but the content of files.

use crate::StoreError;
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Stands for the digest of a file whose content has not been read yet.
const UNREAD: Digest = Digest([0; 32]);

/// Walks `root` in the order of names, a directory before its content. Paths in `empty_dirs` (such
/// as `proc`) keep their directory and lose what is in it. Files have no digest yet.
pub fn walk(root: &Path, empty_dirs: &[String]) -> Result<Vec<Entry>, StoreError> {
    let mut walk = Walk { root, empty_dirs, entries: Vec::new(), links: HashMap::new() };
    walk.visit(root.to_owned(), String::new())?;
    Ok(walk.entries)
}

struct Walk<'a> {
    root: &'a Path,
    empty_dirs: &'a [String],
    entries: Vec<Entry>,
    /// First path of each inode with more than one.
    links: HashMap<(u64, u64), String>,
}

impl Walk<'_> {
    fn visit(&mut self, path: PathBuf, relative: String) -> Result<(), StoreError> {
        let meta = fs::symlink_metadata(&path).map_err(StoreError::io("read", &path))?;
        let kind = self.kind(&path, &relative, &meta)?;
        let is_dir = kind == EntryKind::Directory;
        let xattrs = match kind {
            EntryKind::Hardlink { .. } => BTreeMap::new(),
            _ => xattrs(&path)?,
        };
        self.entries.push(Entry {
            path: relative.clone(),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: meta.mtime(),
            xattrs,
            kind,
        });
        if is_dir && !self.empty_dirs.contains(&relative) {
            self.visit_children(&path, &relative)?;
        }
        Ok(())
    }

    fn visit_children(&mut self, path: &Path, relative: &str) -> Result<(), StoreError> {
        let read = |e| StoreError::io("list", path)(e);
        let mut names = Vec::new();
        for child in fs::read_dir(path).map_err(read)? {
            let name = child.map_err(read)?.file_name();
            let not_utf8 = |name| StoreError::NotUtf8 { path: path.join(name) };
            names.push(name.into_string().map_err(not_utf8)?);
        }
        names.sort_unstable();
        for name in names {
            let below =
                if relative.is_empty() { name.clone() } else { format!("{relative}/{name}") };
            self.visit(path.join(&name), below)?;
        }
        Ok(())
    }

    fn kind(&mut self, path: &Path, rel: &str, meta: &Metadata) -> Result<EntryKind, StoreError> {
        let file_type = meta.file_type();
        if !file_type.is_dir() && meta.nlink() > 1 {
            let inode = (meta.dev(), meta.ino());
            if let Some(target) = self.links.get(&inode) {
                return Ok(EntryKind::Hardlink { target: target.clone() });
            }
            self.links.insert(inode, rel.to_owned());
        }
        let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
        Ok(match file_type {
            t if t.is_dir() => EntryKind::Directory,
            t if t.is_file() => EntryKind::File { size: meta.len(), digest: UNREAD },
            t if t.is_symlink() => EntryKind::Symlink { target: link_target(path)? },
            t if t.is_char_device() => EntryKind::CharDevice { major, minor },
            t if t.is_block_device() => EntryKind::BlockDevice { major, minor },
            t if t.is_fifo() => EntryKind::Fifo,
            _ => return Err(StoreError::Socket { path: self.root.join(rel) }),
        })
    }
}

fn link_target(path: &Path) -> Result<String, StoreError> {
    let target = fs::read_link(path).map_err(StoreError::io("read link", path))?;
    let not_utf8 = |_| StoreError::NotUtf8 { path: path.to_owned() };
    target.into_os_string().into_string().map_err(not_utf8)
}

fn xattrs(path: &Path) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
    let read = |e| StoreError::io("read attributes of", path)(e);
    let mut attributes = BTreeMap::new();
    for name in xattr::list(path).map_err(read)? {
        let value = xattr::get(path, &name).map_err(read)?.unwrap_or_default();
        let not_utf8 = |_| StoreError::NotUtf8 { path: path.to_owned() };
        attributes.insert(name.into_string().map_err(not_utf8)?, value);
    }
    Ok(attributes)
}
