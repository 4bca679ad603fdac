//! What is built on what: arrays, encrypted devices, volume groups and btrfs, with device nodes
//! instead of names, and nothing in use twice.

use super::ast::{
    ArrayLine, BtrfsLine, BtrfsStanza, DeviceName, DiskConfig, GroupLine, KeyKind,
    LogicalVolumeLine, LvmStanza, MemberName, RaidStanza, VolumeSpec,
};
use super::code::Code;
use super::names::{Names, array_device, mapping_name};
use super::source::{Problem, Span, Spanned};
use hostwright_model::storage::RaidLevel;
use std::collections::{BTreeMap, BTreeSet};

/// An array and its members.
pub(super) struct Array<'a> {
    pub number: u32,
    pub stanza: &'a RaidStanza,
    pub line: &'a ArrayLine,
    pub device: String,
    /// Members in order; those that are missing have no node.
    pub members: Vec<(Option<String>, &'a MemberName)>,
}

impl Array<'_> {
    /// The members that exist.
    pub fn devices(&self) -> impl Iterator<Item = &String> {
        self.members.iter().filter_map(|(device, _)| device.as_ref())
    }
}

/// An encrypted device, by a line of its own or by `:encrypt`.
pub(super) struct Crypt<'a> {
    pub device: String,
    pub name: String,
    pub key: KeyKind,
    pub options: &'a [String],
    pub random_fill: bool,
    pub volume: &'a VolumeSpec,
    pub at: Span,
}

impl Crypt<'_> {
    /// The node of the clear text.
    pub fn mapped(&self) -> String {
        format!("/dev/mapper/{}", self.name)
    }
}

/// A volume group and its volumes.
pub(super) struct Group<'a> {
    pub line: &'a GroupLine,
    pub devices: Vec<String>,
    pub volumes: Vec<&'a LogicalVolumeLine>,
}

/// A btrfs on several devices.
pub(super) struct Btrfs<'a> {
    pub stanza: &'a BtrfsStanza,
    pub line: &'a BtrfsLine,
    pub devices: Vec<String>,
    /// True if an earlier line has the same devices and makes the file system.
    pub shares: bool,
}

/// Everything above partitions.
#[derive(Default)]
pub(super) struct Stack<'a> {
    pub arrays: Vec<Array<'a>>,
    pub crypts: Vec<Crypt<'a>>,
    pub groups: Vec<Group<'a>>,
    pub btrfs: Vec<Btrfs<'a>>,
    pub lvm: &'a [LvmStanza],
    /// Devices that serve something above them, with the line that says so.
    pub used: BTreeMap<String, Span>,
}

/// Names what lines name. `plain` are the volumes on partitions and whole disks, by device.
pub(super) fn stack<'a>(
    config: &'a DiskConfig,
    names: &Names<'_>,
    plain: &BTreeMap<String, &'a VolumeSpec>,
    problems: &mut Vec<Problem>,
) -> Stack<'a> {
    let mut builder = Builder {
        config,
        names,
        stack: Stack { lvm: &config.lvm, ..Stack::default() },
        specs: plain.clone(),
        problems,
    };
    builder.arrays();
    builder.groups();
    builder.crypts();
    builder.btrfs();
    builder.check_occupied();
    builder.stack
}

struct Builder<'a, 'b> {
    config: &'a DiskConfig,
    names: &'b Names<'b>,
    stack: Stack<'a>,
    /// What devices hold by their own lines.
    specs: BTreeMap<String, &'a VolumeSpec>,
    problems: &'b mut Vec<Problem>,
}

impl<'a> Builder<'a, '_> {
    /// Notes that a line uses a device; nothing else may then.
    fn take(&mut self, device: &str, at: Span) -> bool {
        let Some(earlier) = self.stack.used.insert(device.to_owned(), at) else { return true };
        let message = format!("{device} is in use by line {} already", earlier.line);
        let cure = "name each device once";
        self.problems.push(Problem::error(Code::DeviceUsedTwice, at, message, cure));
        false
    }

    fn node(&mut self, name: &Spanned<DeviceName>) -> Option<String> {
        let found = self.names.node(name);
        found.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn nodes(&mut self, names: &[Spanned<DeviceName>]) -> Vec<String> {
        let mut nodes = Vec::new();
        for name in names {
            if let Some(node) = self.node(name)
                && self.take(&node, name.at)
            {
                nodes.push(node);
            }
        }
        nodes
    }

    fn arrays(&mut self) {
        for (number, (stanza, line)) in self.config.arrays().enumerate() {
            let mut members = Vec::new();
            for member in &line.members {
                let node = if member.missing { None } else { self.node(&member.device) };
                let is_free = node.as_ref().is_none_or(|node| self.take(node, member.device.at));
                if is_free && (node.is_some() || member.missing) {
                    members.push((node, member));
                }
            }
            self.check_members(line);
            let device = array_device(number);
            self.specs.insert(device.clone(), &line.volume);
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            self.stack.arrays.push(Array { number, stanza, line, device, members });
        }
    }

    fn check_members(&mut self, line: &ArrayLine) {
        let wanted = match line.level {
            RaidLevel::Raid0 | RaidLevel::Raid1 => 1,
            RaidLevel::Raid5 | RaidLevel::Raid10 => 2,
            RaidLevel::Raid6 => 4,
        };
        let level = line.level.name();
        let active = line.members.iter().filter(|member| !member.spare).count();
        let there = line.members.iter().filter(|member| !member.missing).count();
        if active < wanted {
            let message = format!("{level} needs {wanted} members that are no spares");
            let cure = "name more devices, or choose another level";
            self.problems.push(Problem::error(Code::TooFewMembers, line.at, message, cure));
        } else if there == 0 {
            let message = "all members of this array are missing";
            let cure = "name a device that is there";
            self.problems.push(Problem::error(Code::TooFewMembers, line.at, message, cure));
        }
    }

    fn groups(&mut self) {
        for line in self.config.groups() {
            let devices = self.nodes(&line.devices);
            let is_of_group = |volume: &&LogicalVolumeLine| volume.group.value == line.name.value;
            let volumes: Vec<_> = self.config.logical_volumes().filter(is_of_group).collect();
            for volume in &volumes {
                self.specs.insert(logical_device(volume), &volume.volume);
            }
            self.stack.groups.push(Group { line, devices, volumes });
        }
    }

    fn crypts(&mut self) {
        let inline: Vec<(String, &'a VolumeSpec)> = self
            .specs
            .iter()
            .filter(|(_, spec)| spec.encrypt.is_some())
            .map(|(device, spec)| (device.clone(), *spec))
            .collect();
        for (stanza, line) in self.config.encrypted() {
            let Ok(device) = self.names.plain_node(&line.device) else {
                self.node(&line.device);
                continue;
            };
            self.check_free(&device, line.device.at);
            if self.take(&device, line.device.at) {
                self.stack.crypts.push(Crypt {
                    name: mapping_name(&device),
                    device,
                    key: line.key,
                    options: &line.create_options,
                    random_fill: stanza.random_fill,
                    volume: &line.volume,
                    at: line.at,
                });
            }
        }
        for (device, volume) in inline {
            self.specs.remove(&device);
            let Some(encrypt) = &volume.encrypt else { continue };
            if self.take(&device, encrypt.at) {
                self.stack.crypts.push(Crypt {
                    name: mapping_name(&device),
                    device,
                    key: KeyKind::File,
                    options: &[],
                    random_fill: encrypt.value,
                    volume,
                    at: encrypt.at,
                });
            }
        }
        for crypt in &self.stack.crypts {
            self.specs.insert(crypt.mapped(), crypt.volume);
        }
    }

    fn btrfs(&mut self) {
        for (stanza, line) in self.config.btrfs_lines() {
            let earlier = self.same_btrfs(line);
            let shares = earlier.is_some();
            let devices = earlier.unwrap_or_else(|| self.nodes(&line.devices));
            self.stack.btrfs.push(Btrfs { stanza, line, devices, shares });
        }
    }

    /// The devices of an earlier line that makes the file system in which this one has a subvolume.
    fn same_btrfs(&mut self, line: &BtrfsLine) -> Option<Vec<String>> {
        let nodes: Option<BTreeSet<String>> =
            line.devices.iter().map(|name| self.names.node(name).ok()).collect();
        let nodes = nodes?;
        let is_same = |other: &&Btrfs<'_>| {
            !other.shares && other.devices.iter().cloned().collect::<BTreeSet<_>>() == nodes
        };
        let first = self.stack.btrfs.iter().find(is_same)?;
        let devices = first.devices.clone();
        let subvolume = line.volume.subvolume();
        let mut here = self.stack.btrfs.iter().filter(|other| other.devices == devices);
        if let Some(twin) = here.find(|other| other.line.volume.subvolume() == subvolume) {
            let line_twin = twin.line.at.line;
            let message = format!("line {line_twin} makes this subvolume already");
            let cure = "give each line of these devices a subvol= of its own";
            let at = line.volume.mount_options.at;
            self.problems.push(Problem::error(Code::DeviceUsedTwice, at, message, cure));
        }
        Some(devices)
    }

    /// What serves something above it holds nothing else.
    fn check_occupied(&mut self) {
        let crypts = self.stack.crypts.iter().map(|crypt| crypt.device.as_str());
        let crypts: Vec<String> = crypts.map(str::to_owned).collect();
        let used: Vec<(String, Span)> =
            self.stack.used.iter().map(|(device, at)| (device.clone(), *at)).collect();
        for (device, at) in used.iter().filter(|(device, _)| !crypts.contains(device)) {
            self.check_free(device, *at);
        }
    }

    fn check_free(&mut self, device: &str, at: Span) {
        let Some(spec) = self.specs.get(device).filter(|spec| !spec.is_empty()) else { return };
        let message = format!(
            "{device} cannot serve this: line {} puts a file system there",
            spec.file_system.at.line
        );
        let cure = "write - for its mount point and its file system, or name another device";
        self.problems.push(Problem::error(Code::DeviceUsedTwice, at, message, cure));
    }
}

/// The node of a logical volume.
pub(super) fn logical_device(line: &LogicalVolumeLine) -> String {
    format!("/dev/{}/{}", line.group.value, line.name.value)
}
