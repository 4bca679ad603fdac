//! What of a simulated machine can be compared: everything that lasts.

use super::block::Place;
use super::content::{Content, Slot};
use super::state::State;
use super::tree::Tree;
use std::collections::BTreeMap;

/// Everything that lasts on a simulated machine, a line each: files as `/dev/vda1:/etc/fstab` (or
/// `root:/etc/fstab` on a machine whose root lasts), `/dev/vda table`, `/dev/vda1 partition`,
/// `/dev/vda1 content`, `/dev/vda code at 0`, `vg1 group`, `mount /target`, `swap /dev/vda2`. What is in memory is not
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
        world.add_layers(state);
        for mount in &state.mounts {
            let line = format!("{} {} {}", mount.source, mount.kind, mount.options);
            world.0.insert(format!("mount {}", mount.target), line);
        }
        for ((device, offset), code) in &state.boot_code {
            let sum: u64 = code.iter().zip(1..).map(|(byte, at)| u64::from(*byte) * at).sum();
            let line = format!("{} bytes, sum {sum}", code.len());
            world.0.insert(format!("{device} code at {offset}"), line);
        }
        for (number, entry) in &state.firmware_entries {
            world.0.insert(format!("firmware entry {number}"), entry.clone());
        }
        for swap in &state.swaps {
            world.0.insert(format!("swap {swap}"), "on".to_owned());
        }
        world
    }

    fn add_layers(&mut self, state: &State) {
        let blocks = &state.blocks;
        for (uuid, group) in blocks.groups.iter().filter(|(uuid, _)| blocks.is_whole(uuid)) {
            let (name, size) = (&group.name, group.size);
            let count = blocks.physical_volumes_of(uuid).len();
            self.0.insert(format!("{name} group"), format!("{size} bytes on {count}"));
            for (volume, found) in &group.volumes {
                let device = format!("/dev/{name}/{volume}");
                let options: Vec<&str> = found.options.iter().map(String::as_str).collect();
                let line = format!("{} bytes, {}", found.size, options.join(" "));
                self.0.insert(format!("{device} volume"), line);
                self.add_content(&device, found.slot.as_ref().and_then(Slot::seen));
            }
        }
        for (uuid, array) in &blocks.arrays {
            let members = blocks.members_of(uuid).len();
            if members as u32 >= array.least() {
                let line = format!("{} {} of {}", array.level.name(), members, array.places);
                self.0.insert(format!("{uuid} array"), line);
                self.add_content(uuid, array.slot.as_ref().and_then(Slot::seen));
            }
        }
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
                    "{}+{} type {} {}{}{}{}",
                    entry.start,
                    entry.size,
                    entry.kind,
                    entry.uuid,
                    name.unwrap_or_default(),
                    if entry.bootable { " bootable" } else { "" },
                    entry.attributes.as_ref().map(|text| format!(" {text}")).unwrap_or_default(),
                );
                self.0.insert(format!("{path} partition"), line);
                self.add_content(
                    &path,
                    disk.areas.get(&entry.start).and_then(|(_, slot)| slot.seen()),
                );
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
            Content::Luks { inner, more_keys, sealed, .. } => {
                if !more_keys.is_empty() {
                    line.push_str(&format!(" and {} keys more", more_keys.len()));
                }
                if let Some(registers) = sealed {
                    line.push_str(&format!(" sealed to {registers}"));
                }
                let inner = inner.as_deref().and_then(Slot::seen);
                self.add_content(&format!("{device} clear"), inner);
            }
            Content::PhysicalVolume { group: None, .. }
            | Content::Swap { .. }
            | Content::RaidMember { .. }
            | Content::BtrfsMember { .. } => {}
        }
        self.0.insert(format!("{device} content"), line);
    }

    fn add_tree(&mut self, name: &str, tree: &Tree) {
        for (path, node) in tree.iter().filter(|(path, _)| !path.is_empty()) {
            self.0.insert(format!("{name}:/{path}"), node.describe());
        }
    }
}
