//! Everything a simulated machine has at one moment, and where its paths lead.

use super::block::{Blocks, Place, SimDisk};
use super::content::{Content, FileSystem};
use super::image::Image;
use super::tree::{Node, NodeKind, Tree};
use crate::{HostError, MountRequest};
use hostwright_model::facts::Facts;
use std::collections::BTreeMap;
use std::io;

/// More links in a row than any path needs.
const LINKS_MAX: usize = 40;
/// File systems that live in memory or in the kernel.
const VIRTUAL: [&str; 8] =
    ["proc", "sysfs", "tmpfs", "devpts", "devtmpfs", "efivarfs", "securityfs", "ramfs"];

/// Which tree a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TreeRef {
    Root,
    Memory(u64),
    Device(Place),
}

#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) target: String,
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) options: String,
    pub(super) tree: TreeRef,
    /// For a bind mount: the directory in the tree.
    pub(super) base: String,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) facts: Facts,
    pub(super) blocks: Blocks,
    pub(super) root: Tree,
    pub(super) memory: BTreeMap<u64, Tree>,
    pub(super) mounts: Vec<Mount>,
    pub(super) swaps: Vec<String>,
    /// What was read of devices, by the bytes that stand for it.
    pub(super) images: BTreeMap<String, Image>,
    /// Code outside of every file, by device and offset.
    pub(super) boot_code: BTreeMap<(String, u64), Vec<u8>>,
    /// What the firmware can start, by number.
    pub(super) firmware_entries: BTreeMap<u16, String>,
    /// Exported variables of the shell, while it runs.
    pub(super) shell: Option<BTreeMap<String, String>>,
}

pub(super) fn io_error(operation: &'static str, path: &str, kind: io::ErrorKind) -> HostError {
    HostError::Io { operation, path: path.to_owned(), source: kind.into() }
}

/// Joins and cleans: no empty parts, no dots; `..` stays inside.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

impl State {
    pub(super) fn new(facts: Facts) -> Self {
        let disks = facts.disks.iter().cloned();
        let disks = disks.map(|disk| (disk.name.clone(), SimDisk::with_old_content(disk)));
        Self {
            blocks: Blocks { disks: disks.collect(), ..Blocks::default() },
            facts,
            root: Tree::new(),
            memory: BTreeMap::new(),
            mounts: Vec::new(),
            swaps: Vec::new(),
            images: BTreeMap::new(),
            boot_code: BTreeMap::new(),
            firmware_entries: BTreeMap::new(),
            shell: None,
        }
    }

    fn tree(&self, tree: &TreeRef) -> Option<&Tree> {
        match tree {
            TreeRef::Root => Some(&self.root),
            TreeRef::Memory(id) => self.memory.get(id),
            TreeRef::Device(place) => match self.blocks.content(place)? {
                Content::FileSystem(file_system) => Some(&file_system.tree),
                _ => None,
            },
        }
    }

    fn tree_mut(&mut self, tree: &TreeRef) -> Option<&mut Tree> {
        match tree {
            TreeRef::Root => Some(&mut self.root),
            TreeRef::Memory(id) => self.memory.get_mut(id),
            TreeRef::Device(place) => match self.blocks.content_mut(place)? {
                Content::FileSystem(file_system) => Some(&mut file_system.tree),
                _ => None,
            },
        }
    }

    /// The tree that a clean path without links is in, and the path in that tree.
    fn locate(&self, path: &str) -> (TreeRef, String) {
        let inside = |mount: &&Mount| {
            path == mount.target || path.starts_with(&format!("{}/", mount.target))
        };
        let Some(mount) = self.mounts.iter().rev().find(inside) else {
            return (TreeRef::Root, path.trim_start_matches('/').to_owned());
        };
        let below = clean(&format!("{}/{}", mount.base, &path[mount.target.len()..]));
        (mount.tree.clone(), below.trim_start_matches('/').to_owned())
    }

    /// Follows links as the kernel would inside `root`; parts that are not there stay as they are.
    pub(super) fn resolve(
        &self,
        root: &str,
        path: &str,
        follow_last: bool,
    ) -> Result<String, HostError> {
        let mut rest: Vec<String> = parts(path);
        let (mut done, mut links) = (String::new(), 0);
        while !rest.is_empty() {
            let part = rest.remove(0);
            if part == ".." {
                done.truncate(done.rfind('/').unwrap_or(0));
                continue;
            }
            let next = format!("{done}/{part}");
            let link = match self.node(&format!("{root}{next}")).map(|node| &node.kind) {
                Some(NodeKind::Symlink(target)) if follow_last || !rest.is_empty() => target,
                _ => {
                    done = next;
                    continue;
                }
            };
            links += 1;
            if links > LINKS_MAX {
                return Err(io_error("follow", path, io::ErrorKind::TooManyLinks));
            }
            if link.starts_with('/') {
                done.clear();
            }
            rest.splice(0..0, parts(link));
        }
        Ok(clean(&format!("{root}{done}")))
    }

    /// The node at a path that holds no links but perhaps its last part.
    pub(super) fn node(&self, path: &str) -> Option<&Node> {
        let (tree, path) = self.locate(&clean(path));
        self.tree(&tree)?.get(&path)
    }

    /// Content of a file, following links inside `root`.
    pub(super) fn read_in(&self, root: &str, path: &str) -> Option<&[u8]> {
        let path = self.resolve(root, path, true).ok()?;
        match &self.node(&path)?.kind {
            NodeKind::File(content) => Some(content),
            _ => None,
        }
    }

    /// Puts a node at a path, following links above it, and makes directories.
    pub(super) fn put(&mut self, path: &str, node: Node) -> Result<(), HostError> {
        self.put_in("", path, node)
    }

    /// The same inside `root`.
    pub(super) fn put_in(&mut self, root: &str, path: &str, node: Node) -> Result<(), HostError> {
        let path = self.resolve(root, path, false)?;
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let above = self.node(parent).map(|node| &node.kind);
        if above.is_some_and(|kind| *kind != NodeKind::Directory) {
            return Err(io_error("write", &path, io::ErrorKind::NotADirectory));
        }
        if matches!(self.node(&path), Some(old) if old.kind == NodeKind::Directory)
            && node.kind != NodeKind::Directory
        {
            return Err(io_error("write", &path, io::ErrorKind::IsADirectory));
        }
        let (tree, inner) = self.locate(&path);
        let tree = self.tree_mut(&tree);
        let tree = tree.ok_or_else(|| io_error("write", &path, io::ErrorKind::NotFound))?;
        tree.put(&inner, node);
        Ok(())
    }

    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let (tree, path) = self.locate(&clean(path));
        self.tree(&tree).map(|tree| tree.names(&path)).unwrap_or_default()
    }

    pub(super) fn remove(&mut self, path: &str) -> Result<(), HostError> {
        let path = self.resolve("", path, false)?;
        let below = format!("{path}/");
        let is_busy = |mount: &Mount| mount.target == path || mount.target.starts_with(&below);
        if self.mounts.iter().any(is_busy) {
            return Err(io_error("remove", &path, io::ErrorKind::ResourceBusy));
        }
        let (tree, inner) = self.locate(&path);
        if let Some(tree) = self.tree_mut(&tree).filter(|_| !inner.is_empty()) {
            tree.remove(&inner);
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), HostError> {
        let (from_path, to_path) = (self.resolve("", from, false)?, self.resolve("", to, false)?);
        let (from_tree, from_inner) = self.locate(&from_path);
        let (to_tree, to_inner) = self.locate(&to_path);
        if from_tree != to_tree {
            return Err(io_error("rename", from, io::ErrorKind::CrossesDevices));
        }
        match self.tree_mut(&from_tree).is_some_and(|tree| tree.rename(&from_inner, &to_inner)) {
            true => Ok(()),
            false => Err(io_error("rename", from, io::ErrorKind::NotFound)),
        }
    }

    pub(super) fn mount(&mut self, request: &MountRequest) -> Result<(), HostError> {
        let shown = format!("{} on {}", request.source, request.target);
        let refuse = |kind| io_error("mount", &shown, kind);
        let target = self.resolve("", &request.target, true)?;
        if self.node(&target).is_none() {
            self.put(&target, Node::directory())?;
        }
        let has = |option: &str| request.options.split(',').any(|given| given == option);
        let kind = request.file_system.clone().unwrap_or_else(|| "none".to_owned());
        let (tree, base) = if has("bind") || has("rbind") {
            let source = self.resolve("", &request.source, true)?;
            self.node(&source).ok_or_else(|| refuse(io::ErrorKind::NotFound))?;
            self.locate(&source)
        } else if VIRTUAL.contains(&kind.as_str()) {
            let id = self.memory.keys().last().map_or(0, |last| last + 1);
            self.memory.insert(id, Tree::new());
            (TreeRef::Memory(id), String::new())
        } else {
            let place = self.blocks.find(&request.source);
            let place = place.ok_or_else(|| refuse(io::ErrorKind::NotFound))?;
            match self.blocks.content(&place) {
                Some(Content::FileSystem(found)) if self.is_mountable(found, &kind, &place) => {}
                _ => return Err(refuse(io::ErrorKind::InvalidInput)),
            }
            (TreeRef::Device(place), String::new())
        };
        let (source, options) = (request.source.clone(), request.options.clone());
        self.mounts.push(Mount { target, source, kind, options, tree, base });
        Ok(())
    }

    pub(super) fn unmount(&mut self, path: &str) -> Result<(), HostError> {
        let path = self.resolve("", path, true)?;
        let Some(at) = self.mounts.iter().rposition(|mount| mount.target == path) else {
            return Ok(());
        };
        let below = format!("{path}/");
        if self.mounts[at + 1..].iter().any(|mount| mount.target.starts_with(&below)) {
            return Err(io_error("unmount", &path, io::ErrorKind::ResourceBusy));
        }
        let mount = self.mounts.remove(at);
        if let TreeRef::Memory(id) = mount.tree
            && !self.mounts.iter().any(|other| other.tree == mount.tree)
        {
            self.memory.remove(&id);
        }
        Ok(())
    }

    pub(super) fn mounts_below(&self, path: &str) -> Vec<String> {
        let path = self.resolve("", path, true).unwrap_or_else(|_| path.to_owned());
        let below = if path == "/" { path.clone() } else { format!("{path}/") };
        let targets = self.mounts.iter().map(|mount| &mount.target);
        targets.filter(|target| **target == path || target.starts_with(&below)).cloned().collect()
    }

    /// Who uses a device, a partition of it, or a volume on it.
    pub(super) fn user_of(&self, device: &str) -> Option<String> {
        let place = self.blocks.find(device)?;
        let is_inside = |used: &Place| match (&place, used) {
            (Place::Disk(disk), Place::Partition { disk: of, .. }) => disk == of,
            _ => place == *used,
        };
        let mount = self
            .mounts
            .iter()
            .find(|mount| matches!(&mount.tree, TreeRef::Device(used) if is_inside(used)));
        if let Some(mount) = mount {
            return Some(format!("{} is mounted on {}", mount.source, mount.target));
        }
        let swap =
            self.swaps.iter().find(|swap| self.blocks.find(swap).is_some_and(|p| is_inside(&p)));
        if let Some(swap) = swap {
            return Some(format!("{swap} is used as swap"));
        }
        let inside = self.blocks.nodes().into_iter().filter(|(_, used)| is_inside(used));
        inside.into_iter().find_map(|(node, used)| {
            self.blocks.user_above(&used).map(|user| format!("{node}: {user}"))
        })
    }

    /// A file system whose device is too small has lost a part; one on several devices needs all.
    fn is_mountable(&self, found: &FileSystem, kind: &str, place: &Place) -> bool {
        let further = self
            .blocks
            .nodes()
            .iter()
            .filter(|(_, place)| {
                let content = self.blocks.content(place);
                matches!(content, Some(Content::BtrfsMember { uuid }) if *uuid == found.uuid)
            })
            .count();
        found.kind == kind && found.size <= self.blocks.size(place) && further + 1 >= found.devices
    }
}

fn parts(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
}
