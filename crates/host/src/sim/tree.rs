//! The files of one simulated file system.

use std::collections::BTreeMap;

/// What a path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    File(Vec<u8>),
    Directory,
    Symlink(String),
    /// A device or pipe, by its description.
    Special(String),
}

/// A path with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
}

impl Node {
    pub(super) fn new(kind: NodeKind, mode: u32) -> Self {
        Self { kind, mode, owner: (0, 0), xattrs: BTreeMap::new() }
    }

    pub(super) fn directory() -> Self {
        Self::new(NodeKind::Directory, 0o755)
    }

    pub(super) fn file(content: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self::new(NodeKind::File(content.into()), mode)
    }

    /// One line that says everything, for comparing worlds.
    pub(super) fn describe(&self) -> String {
        let what = match &self.kind {
            NodeKind::File(content) => format!("file \"{}\"", content.escape_ascii()),
            NodeKind::Directory => "directory".to_owned(),
            NodeKind::Symlink(target) => return format!("link to {target}"),
            NodeKind::Special(text) => text.clone(),
        };
        let (uid, gid) = self.owner;
        let attributes: String = self
            .xattrs
            .iter()
            .map(|(name, value)| format!(" {name}={}", value.escape_ascii()))
            .collect();
        format!("{:04o} {uid}:{gid} {what}{attributes}", self.mode)
    }
}

/// Nodes by path relative to the root of their file system, without a leading `/`. The root itself
/// is the empty path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// With nothing but a root.
    pub(super) fn new() -> Self {
        Self(BTreeMap::from([(String::new(), Node::directory())]))
    }

    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.0.get(path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.0.iter()
    }

    /// Puts a node at a path and makes the directories above it.
    pub(super) fn put(&mut self, path: &str, node: Node) {
        self.make_parents(path);
        self.0.insert(path.to_owned(), node);
    }

    pub(super) fn make_parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert_with(Node::directory);
        }
    }

    /// Removes a path with everything below it.
    pub(super) fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        self.0.retain(|name, _| name != path && !name.starts_with(&below));
    }

    /// Gives a path, with everything below it, another name. False if it is not there.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        if !self.0.contains_key(from) {
            return false;
        }
        let below = format!("{from}/");
        let is_moved = |name: &String| name == from || name.starts_with(&below);
        let moved: Vec<String> = self.0.keys().filter(|name| is_moved(name)).cloned().collect();
        self.remove(to);
        self.make_parents(to);
        for name in moved {
            if let Some(node) = self.0.remove(&name) {
                self.0.insert(format!("{to}{}", &name[from.len()..]), node);
            }
        }
        true
    }

    /// Names directly in a directory, sorted.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let below = self.0.range(prefix.clone()..).map(|(name, _)| name);
        let below = below.take_while(|name| name.starts_with(&prefix));
        let direct = below.filter_map(|name| {
            let rest = &name[prefix.len()..];
            (!rest.is_empty() && !rest.contains('/')).then(|| rest.to_owned())
        });
        direct.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_directly_inside() {
        let mut tree = Tree::new();
        for path in ["etc/a/deep", "etc/b", "etcetera", "a"] {
            tree.put(path, Node::file("", 0o644));
        }
        assert_eq!(tree.names(""), ["a", "etc", "etcetera"]);
        assert_eq!(tree.names("etc"), ["a", "b"]);
        assert_eq!(tree.names("none"), Vec::<String>::new());
        tree.remove("etc");
        assert_eq!(tree.names(""), ["a", "etcetera"]);
    }

    #[test]
    fn a_directory_is_renamed_with_what_is_in_it() {
        let mut tree = Tree::new();
        tree.put("old/x/y", Node::file("1", 0o644));
        tree.put("new/gone", Node::file("2", 0o644));
        assert!(tree.rename("old", "new"));
        assert!(!tree.rename("old", "new"));
        assert_eq!(tree.names("new"), ["x"]);
        assert_eq!(tree.get("new/x/y").map(Node::describe).as_deref(), Some("0644 0:0 file \"1\""));
    }
}
