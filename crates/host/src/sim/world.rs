//! What of a simulated machine can be compared: everything that lasts.

use super::block::{Content, Place};
use super::state::State;
use super::tree::Tree;
use std::collections::BTreeMap;

/// Everything that lasts on a simulated machine, a line each: files as `/dev/vda1:/etc/fstab` (or
/// `root:/etc/fstab` on a machine whose root lasts), `/dev/vda table`, `/dev/vda1 partition`,
/// `/dev/vda1 content`, `vg1 group`, `mount /target`, `swap /dev/vda2`. What is in memory is not
/// part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World(BTreeMap<String, String>);

impl World {
    /// The line under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All names with their lines.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, line)| (name.as_str(), line.as_str()))
    }

    /// Without everything whose name holds one of `parts`: logs, for example.
    #[must_use]
    pub fn without(mut self, parts: &[&str]) -> Self {
        self.0.retain(|name, _| !parts.iter().any(|part| name.contains(part)));
        self
    }

    /// What is different in `other`, a readable line each; empty if nothing is.
    pub fn diff(&self, other: &World) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, line) in &self.0 {
            match other.0.get(name) {
                None => lines.push(format!("- {name}: {line}")),
                Some(found) if found != line => {
                    lines.push(format!("- {name}: {line}"));
                    lines.push(format!("+ {name}: {found}"));
                }
                Some(_) => {}
            }
        }
        let new = other.0.iter().filter(|(name, _)| !self.0.contains_key(*name));
        lines.extend(new.map(|(name, line)| format!("+ {name}: {line}")));
        lines
    }

    pub(super) fn of(state: &State, root_lasts: bool) -> Self {
        let mut world = Self::default();
        if root_lasts {
            world.add_tree("root", &state.root);
        }
        world.add_disks(state);
        for (name, group) in &state.blocks.groups {
            world.0.insert(format!("{name} group"), format!("{} bytes", group.size));
            for (volume, found) in &group.volumes {
                let device = format!("/dev/{name}/{volume}");
                let options: Vec<&str> = found.options.iter().map(String::as_str).collect();
                let line = format!("{} bytes, {}", found.size, options.join(" "));
                world.0.insert(format!("{device} volume"), line);
                world.add_content(&device, found.content.as_ref());
            }
        }
        for mount in &state.mounts {
            let line = format!("{} {} {}", mount.source, mount.kind, mount.options);
            world.0.insert(format!("mount {}", mount.target), line);
        }
        for swap in &state.swaps {
            world.0.insert(format!("swap {swap}"), "on".to_owned());
        }
        world
    }

    fn add_disks(&mut self, state: &State) {
        for (name, disk) in &state.blocks.disks {
            let device = format!("/dev/{name}");
            let Some(table) = &disk.table else {
                self.add_content(&device, state.blocks.content(&Place::Disk(name.clone())));
                continue;
            };
            self.0.insert(format!("{device} table"), table.label.clone());
            for (&number, entry) in &table.entries {
                let path = disk.partition_path(number);
                let name = entry.name.as_ref().map(|name| format!(" \"{name}\""));
                let line = format!(
                    "{}+{} type {} {}{}{}",
                    entry.start,
                    entry.size,
                    entry.kind,
                    entry.uuid,
                    name.unwrap_or_default(),
                    if entry.bootable { " bootable" } else { "" },
                );
                self.0.insert(format!("{path} partition"), line);
                self.add_content(&path, disk.areas.get(&entry.start).map(|(_, content)| content));
            }
        }
    }

    fn add_content(&mut self, device: &str, content: Option<&Content>) {
        let Some(content) = content else { return };
        let mut line = format!("{} {}", content.kind(), content.uuid());
        if let Some(label) = content.label() {
            line.push_str(&format!(" \"{label}\""));
        }
        match content {
            Content::FileSystem(file_system) => {
                for option in &file_system.options {
                    line.push_str(&format!(" {option}"));
                }
                self.add_tree(device, &file_system.tree);
            }
            Content::PhysicalVolume { group: Some(group), .. } => {
                line.push_str(&format!(" of {group}"));
            }
            Content::PhysicalVolume { group: None, .. } | Content::Swap { .. } => {}
        }
        self.0.insert(format!("{device} content"), line);
    }

    fn add_tree(&mut self, name: &str, tree: &Tree) {
        for (path, node) in tree.iter().filter(|(path, _)| !path.is_empty()) {
            self.0.insert(format!("{name}:/{path}"), node.describe());
        }
    }
}
