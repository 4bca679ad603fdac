//! The files of a config space as somebody read them, with a digest of the whole.

use hostwright_model::ids::Digest;
pub use hostwright_model::space::{FileKind, TreeFile};
use std::collections::{BTreeMap, VecDeque};

/// How many links in a row are followed, as in the kernel.
const LINKS_MAX: usize = 40;

/// The files of a config space by path. Paths are relative to the space, with `/`, without `.` or
/// `..`; directories are not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigTree {
    /// Files and links by path.
    pub files: BTreeMap<String, TreeFile>,
}

impl ConfigTree {
    /// BLAKE3 of everything that can change a plan or a run.
    ///
    /// Hashed are, for each file in the order of its path: the path, one byte for its kind (`f`,
    /// `x` executable, `l` link), and its content or the link's target; path and content with their
    /// length as 8 bytes, little endian, in front, so that no two trees frame to the same bytes.
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        let mut frame = |bytes: &[u8], kind: Option<u8>| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
            hasher.update(kind.as_slice());
        };
        for (path, file) in &self.files {
            let (kind, content) = match &file.kind {
                FileKind::File if file.executable => (b'x', file.content.as_slice()),
                FileKind::File => (b'f', file.content.as_slice()),
                FileKind::Symlink { target } => (b'l', target.as_bytes()),
            };
            frame(path.as_bytes(), Some(kind));
            frame(content, None);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Every regular file by every path that leads to it, through links to files and directories.
    pub fn expanded(&self) -> BTreeMap<String, &TreeFile> {
        let mut all = BTreeMap::new();
        for (path, file) in &self.files {
            match &file.kind {
                FileKind::File => {
                    all.insert(path.clone(), file);
                }
                FileKind::Symlink { .. } => {
                    for (found, file) in self.behind(path) {
                        all.insert(found, file);
                    }
                }
            }
        }
        all
    }

    /// True if there is anything in `class/`, which may be a link. Without it this is no space.
    pub fn has_class_directory(&self) -> bool {
        let plain = |path: &String| path.starts_with("class/");
        self.files.keys().any(plain) || !self.behind("class").is_empty()
    }

    /// Links that lead to nothing in the tree.
    pub fn dangling_links(&self) -> impl Iterator<Item = &str> {
        let links = self.files.iter().filter(|(_, file)| file.kind != FileKind::File);
        links.filter(|(path, _)| self.behind(path).is_empty()).map(|(path, _)| path.as_str())
    }

    /// Files that the link at `path` leads to: itself, or everything below it. Links inside a linked
    /// directory are followed if they lead to files.
    fn behind(&self, path: &str) -> Vec<(String, &TreeFile)> {
        let Some(real) = self.real_path(path) else { return Vec::new() };
        if let Some(file) = self.files.get(&real) {
            return vec![(path.to_owned(), file)];
        }
        let below = format!("{real}/");
        let inside = self.files.range(below.clone()..).take_while(|(at, _)| at.starts_with(&below));
        let files = inside.filter_map(|(at, _)| {
            let file = self.files.get(&self.real_path(at)?)?;
            Some((format!("{path}/{}", &at[below.len()..]), file))
        });
        files.collect()
    }

    /// The path without links; `None` if it leaves the tree or goes in circles.
    fn real_path(&self, path: &str) -> Option<String> {
        let mut rest: VecDeque<&str> = path.split('/').collect();
        let mut real: Vec<&str> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            match name {
                "" | "." => continue,
                ".." => {
                    real.pop()?;
                    continue;
                }
                name => real.push(name),
            }
            let Some(file) = self.files.get(&real.join("/")) else { continue };
            if let FileKind::Symlink { target } = &file.kind {
                links += 1;
                if links > LINKS_MAX || target.starts_with('/') {
                    return None;
                }
                real.pop();
                target.split('/').rev().for_each(|name| rest.push_front(name));
            }
        }
        Some(real.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, TreeFile)]) -> ConfigTree {
        let files = files.iter().map(|(path, file)| ((*path).to_owned(), file.clone()));
        ConfigTree { files: files.collect() }
    }

    #[test]
    fn the_directory_of_classes_may_be_a_link() {
        let script = ("site/10-a", TreeFile::file("#!/bin/sh\n", true));
        let with = |link: &str| tree(&[script.clone(), ("class", TreeFile::symlink(link))]);
        assert!(with("site").has_class_directory());
        assert!(!with("elsewhere").has_class_directory());
        assert!(!with("../site").has_class_directory());
        assert!(!tree(std::slice::from_ref(&script)).has_class_directory());
        assert!(tree(&[("class/10-a", script.1.clone())]).has_class_directory());
    }

    #[test]
    fn every_change_changes_the_digest() {
        let trees = [
            tree(&[]),
            tree(&[("a", TreeFile::file("", false))]),
            tree(&[("a", TreeFile::file("", true))]),
            tree(&[("a", TreeFile::file("b", false))]),
            tree(&[("ab", TreeFile::file("", false))]),
            tree(&[("a", TreeFile::symlink("b"))]),
            tree(&[("a", TreeFile::file("", false)), ("b", TreeFile::file("", false))]),
        ];
        for (i, one) in trees.iter().enumerate() {
            for (j, other) in trees.iter().enumerate() {
                assert_eq!(one.digest() == other.digest(), i == j, "trees {i} and {j}");
            }
        }
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let tree = tree(&[
            ("scripts/A/10-x", TreeFile::file("x", true)),
            ("scripts/A/20-y", TreeFile::symlink("10-x")),
            ("scripts/B", TreeFile::symlink("A")),
            ("scripts/C", TreeFile::symlink("./../scripts/B")),
            ("out", TreeFile::symlink("../other")),
            ("root", TreeFile::symlink("/etc")),
            ("loop", TreeFile::symlink("loop")),
        ]);
        let expanded = tree.expanded();
        let paths: Vec<&str> = expanded.keys().map(String::as_str).collect();
        let both = ["scripts/A/10-x", "scripts/A/20-y"];
        let linked = ["scripts/B/10-x", "scripts/B/20-y", "scripts/C/10-x", "scripts/C/20-y"];
        assert_eq!(paths, [both.as_slice(), &linked].concat());
        assert!(expanded.values().all(|file| file.content == b"x"));
        assert_eq!(tree.dangling_links().collect::<Vec<_>>(), ["loop", "out", "root"]);
    }
}
