//! A simulated machine that can lose its power at any operation.
//!
//! It keeps disks, partition tables, file systems with their files, volume groups, mounts and
//! packages in memory and knows the tools that change them. Files belong to the file system they
//! are written to: what is unmounted is out of sight, what is formatted is gone. Operations are
//! numbered, and the power can go before, during or after each of them.

mod block;
mod content;
mod image;
mod kernel;
mod probe;
mod shell;
mod state;
mod tools;
mod tree;
mod world;

pub use shell::Effect;
pub use world::World;

use crate::{
    Command, DeviceIds, Host, HostError, MountRequest, OnLine, Output, ShellReply, ShellRequest,
};
use block::{Place, Table, uuid_of};
use content::{Content, FileSystem};
use hostwright_model::event::Stream;
use hostwright_model::facts::Facts;
use hostwright_model::image::{BlockSource, Entry, EntryKind, TreeSource};
use shell::Scripts;
use state::{State, io_error};
use std::collections::BTreeSet;
use std::io::{self, Read};
use tools::{Call, Reply};
use tree::{Node, NodeKind, Tree};

/// Variables whose values scripts leave in their marks unless others are asked for.
const WATCHED: [&str; 3] = ["FAI_ACTION", "FAI_ROOT", "classes"];
/// Where the simulated clock begins: 2026-01-01 UTC.
const CLOCK_START_MS: i64 = 1_767_225_600_000;

/// When the power goes, seen from one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It has not begun.
    Before,
    /// It is half done, where it can be: half a line appended, half the packages unpacked.
    During,
    /// It is done, and nobody has heard of it.
    After,
}

/// Whether the root directory outlives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// A system in memory, as it is netbooted. It starts with what was put into it with
    /// [`SimHost::add_file`].
    Memory,
    /// A system on a disk of its own.
    Disk,
}

/// A simulated machine.
#[derive(Clone, Debug)]
pub struct SimHost {
    state: State,
    scripts: Scripts,
    tool_effects: Vec<(String, Effect)>,
    missing_packages: BTreeSet<String>,
    root: RootKind,
    /// The root as it is after a boot, for a root in memory.
    fresh_root: Tree,
    ops: Vec<String>,
    cut: Option<(u64, Cut)>,
    is_dead: bool,
    now_ms: i64,
}

impl SimHost {
    /// A machine with these disks and nothing in its root directory.
    pub fn new(facts: Facts, root: RootKind) -> Self {
        let watched = WATCHED.into_iter().map(str::to_owned).collect();
        let state = State::new(facts);
        Self {
            fresh_root: state.root.clone(),
            state,
            scripts: Scripts { watched, ..Scripts::default() },
            tool_effects: Vec::new(),
            missing_packages: BTreeSet::new(),
            root,
            ops: Vec::new(),
            cut: None,
            is_dead: false,
            now_ms: CLOCK_START_MS,
        }
    }

    /// Puts a file into the root directory as it is before anything happens. Not an operation.
    pub fn add_file(&mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) {
        let path = state::clean(path);
        let node = Node::file(content, mode);
        self.fresh_root.put(path.trim_start_matches('/'), node.clone());
        self.state.root.put(path.trim_start_matches('/'), node);
    }

    /// The same machine with a TPM.
    #[must_use]
    pub fn with_tpm2(mut self) -> Self {
        self.state.facts.tpm2 = true;
        self
    }

    /// Says what a script does when it is executed or sourced, by its absolute path; or what shell
    /// text does that contains `path`.
    pub fn script(&mut self, path: impl Into<String>, effect: Effect) {
        self.scripts.effects.insert(path.into(), effect);
    }

    /// Says what a tool does whose command line, as [`Command::to_shell`] writes it, contains
    /// `part`. Comes before what the simulation knows of it.
    pub fn tool(&mut self, part: impl Into<String>, effect: Effect) {
        self.tool_effects.push((part.into(), effect));
    }

    /// Makes a variable part of the marks that scripts leave.
    pub fn watch_var(&mut self, name: impl Into<String>) {
        self.scripts.watched.insert(name.into());
    }

    /// Makes a package one that no archive has.
    pub fn hide_package(&mut self, name: impl Into<String>) {
        self.missing_packages.insert(name.into());
    }

    /// What has been done so far, an operation a line. Reading is no operation.
    pub fn ops(&self) -> &[String] {
        &self.ops
    }

    /// Scripts that ran, in order, by their paths.
    pub fn executed(&self) -> &[String] {
        &self.scripts.executed
    }

    /// Makes the power go at operation number `n`, counted from 1 over the life of this machine.
    pub fn power_cut_at(&mut self, n: u64, cut: Cut) {
        self.cut = Some((n, cut));
    }

    /// The power is back: disks are as they were, everything in memory is as after a boot.
    pub fn reboot(&mut self) {
        self.is_dead = false;
        self.cut = None;
        if self.root == RootKind::Memory {
            self.state.root = self.fresh_root.clone();
        }
        self.state.memory.clear();
        self.state.mounts.clear();
        self.state.swaps.clear();
        self.state.shell = None;
        self.state.blocks.reboot();
    }

    /// At its next start the kernel finds two disks the other way round: each has the other's name.
    pub fn exchange_disks(&mut self, one: &str, other: &str) {
        let exchanged = |name: &str| match name {
            name if name == one => other.to_owned(),
            name if name == other => one.to_owned(),
            name => name.to_owned(),
        };
        for disk in &mut self.state.facts.disks {
            disk.name = exchanged(&disk.name);
        }
        self.state.facts.disks.sort_by(|a, b| a.name.cmp(&b.name));
        let disks = std::mem::take(&mut self.state.blocks.disks);
        for (name, mut disk) in disks {
            disk.facts.name = exchanged(&name);
            self.state.blocks.disks.insert(disk.facts.name.clone(), disk);
        }
        self.reboot();
    }

    /// Only the agent was killed: everything is as it was, but its shell is gone.
    pub fn restart(&mut self) {
        self.is_dead = false;
        self.cut = None;
        self.state.shell = None;
    }

    /// Everything that lasts, to be compared.
    pub fn world(&self) -> World {
        World::of(&self.state, self.root == RootKind::Disk)
    }

    fn alive(&self) -> Result<(), HostError> {
        if self.is_dead { Err(HostError::PowerCut) } else { Ok(()) }
    }

    /// Does one operation; `act` is told whether the power goes while it works.
    fn operate<T>(
        &mut self,
        what: String,
        act: impl FnOnce(&mut Self, bool) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        self.alive()?;
        self.ops.push(what);
        self.now_ms += 1000;
        let number = self.ops.len() as u64;
        let Some((_, cut)) = self.cut.filter(|(at, _)| *at == number) else {
            return act(self, false);
        };
        if cut != Cut::Before {
            // Whatever it would have answered, nobody hears it.
            let _ = act(self, cut == Cut::During);
        }
        self.is_dead = true;
        Err(HostError::PowerCut)
    }

    fn run_tool(&mut self, command: &Command, torn: bool) -> Result<Reply, HostError> {
        let root = match &command.root {
            Some(root) => self.state.resolve("", root, true)?,
            None => String::new(),
        };
        let shown = command.to_shell();
        let known = self.tool_effects.iter().find(|(part, _)| shown.contains(part.as_str()));
        if let Some((_, effect)) = known {
            effect.write_files(&mut self.state, &root, torn)?;
            let (out, err) = (effect.stdout.clone(), effect.stderr.clone());
            return Ok(Reply { status: effect.status, out, err });
        }
        let missing_packages = &self.missing_packages;
        tools::run(&mut self.state, &Call { command, root: &root, torn, missing_packages })
    }

    /// Runs the tools that a script is said to run.
    fn run_commands_of(&mut self, request: &ShellRequest, torn: bool) -> Result<(), HostError> {
        let (ShellRequest::Source { path, .. } | ShellRequest::Execute { path, .. }) = request
        else {
            return Ok(());
        };
        let effect = self.scripts.effects.get(path).cloned().unwrap_or_default();
        for command in effect.commands.iter().filter(|_| !torn) {
            self.run_tool(command, false)?;
        }
        Ok(())
    }
}

fn tell(reply: &Reply, on_line: OnLine<'_>) -> Vec<String> {
    reply.out.iter().for_each(|line| on_line(Stream::Out, line));
    reply.err.iter().for_each(|line| on_line(Stream::Err, line));
    reply.out.iter().chain(&reply.err).cloned().collect()
}

impl Host for SimHost {
    fn run(&mut self, command: &Command, on_line: OnLine<'_>) -> Result<Output, HostError> {
        let shown = command.to_shell();
        let reply = self.operate(shown.clone(), |host, torn| host.run_tool(command, torn))?;
        let tail = tell(&reply, on_line);
        let stdout = reply.out.iter().map(|line| format!("{line}\n")).collect();
        Ok(Output { command: shown, status: reply.status, stdout, tail })
    }

    fn shell(
        &mut self,
        request: &ShellRequest,
        on_line: OnLine<'_>,
    ) -> Result<ShellReply, HostError> {
        let what = match request {
            ShellRequest::Start { .. } => "start the shell".to_owned(),
            ShellRequest::Eval { script, .. } => format!("eval {}", script.trim()),
            ShellRequest::Source { path, .. } => format!("source {path}"),
            ShellRequest::Execute { path, args, .. } => {
                format!("execute {path} {}", args.join(" "))
            }
        };
        let (reply, said) = self.operate(what, |host, torn| {
            let answer = shell::talk(&mut host.state, &mut host.scripts, request, torn)?;
            host.run_commands_of(request, torn)?;
            Ok(answer)
        })?;
        tell(&said, on_line);
        Ok(reply)
    }

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.alive()?;
        if let Some(text) = self.state.kernel_file(&state::clean(path)) {
            return Ok(Some(text.into_bytes()));
        }
        let found = self.state.resolve("", path, true)?;
        match self.state.node(&found).map(|node| &node.kind) {
            Some(NodeKind::File(content)) => Ok(Some(content.clone())),
            Some(NodeKind::Directory) => Err(io_error("read", path, io::ErrorKind::IsADirectory)),
            Some(_) => Err(io_error("read", path, io::ErrorKind::InvalidInput)),
            None => Ok(None),
        }
    }

    fn read_at(&mut self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>, HostError> {
        self.alive()?;
        self.state.read_image(path, offset, length)
    }

    fn write_at(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.operate(format!("overwrite {path} at {offset}"), |host, torn| {
            if torn { Ok(()) } else { host.state.write_image(path, offset, bytes) }
        })
    }

    fn random_bytes(&mut self, count: usize) -> Result<Vec<u8>, HostError> {
        self.alive()?;
        // As good as the caller can tell, and the same in every run.
        Ok((0..count).map(|at| (at * 131 % 251) as u8).collect())
    }

    fn write(&mut self, path: &str, content: &[u8], mode: u32) -> Result<(), HostError> {
        self.operate(format!("write {path}"), |host, torn| match torn {
            true => Ok(()),
            false => host.state.put(path, Node::file(content, mode)),
        })
    }

    fn append(&mut self, path: &str, content: &[u8]) -> Result<(), HostError> {
        self.operate(format!("append to {path}"), |host, torn| {
            let count = if torn { content.len() / 2 } else { content.len() };
            let found = host.state.resolve("", path, true)?;
            let old = host.state.node(&found).cloned();
            let mut node = old.unwrap_or_else(|| Node::file("", 0o644));
            let NodeKind::File(text) = &mut node.kind else {
                return Err(io_error("append to", path, io::ErrorKind::IsADirectory));
            };
            text.extend_from_slice(&content[..count]);
            host.state.put(&found, node)
        })
    }

    fn make_dir(&mut self, path: &str, mode: u32) -> Result<(), HostError> {
        self.operate(format!("make directory {path}"), |host, torn| {
            let found = host.state.resolve("", path, true)?;
            match host.state.node(&found).map(|node| &node.kind) {
                Some(NodeKind::Directory) => Ok(()),
                Some(_) => Err(io_error("make directory", path, io::ErrorKind::AlreadyExists)),
                None if torn => Ok(()),
                None => host.state.put(&found, Node::new(NodeKind::Directory, mode)),
            }
        })
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<(), HostError> {
        self.operate(format!("link {path} to {target}"), |host, torn| match torn {
            true => Ok(()),
            false => host.state.put(path, Node::new(NodeKind::Symlink(target.to_owned()), 0o777)),
        })
    }

    fn remove(&mut self, path: &str) -> Result<(), HostError> {
        self.operate(format!("remove {path}"), |host, torn| {
            if !torn {
                return host.state.remove(path);
            }
            let inside = host.state.names(path);
            let half = &inside[..inside.len() / 2];
            half.iter().try_for_each(|name| host.state.remove(&format!("{path}/{name}")))
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), HostError> {
        self.operate(format!("rename {from} to {to}"), |host, torn| match torn {
            true => Ok(()),
            false => host.state.rename(from, to),
        })
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, HostError> {
        self.alive()?;
        if let Some(names) = self.state.kernel_names(&state::clean(path)) {
            return Ok(names);
        }
        let found = self.state.resolve("", path, true)?;
        Ok(self.state.names(&found))
    }

    fn mount(&mut self, request: &MountRequest) -> Result<(), HostError> {
        let what = format!("mount {} on {}", request.source, request.target);
        self.operate(what, |host, torn| if torn { Ok(()) } else { host.state.mount(request) })
    }

    fn unmount(&mut self, path: &str) -> Result<(), HostError> {
        self.operate(format!("unmount {path}"), |host, torn| match torn {
            true => Ok(()),
            false => host.state.unmount(path),
        })
    }

    fn mounts_below(&mut self, path: &str) -> Result<Vec<String>, HostError> {
        self.alive()?;
        Ok(self.state.mounts_below(path))
    }

    fn lay_tree(
        &mut self,
        root: &str,
        source: &dyn TreeSource,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HostError> {
        let sum = self.operate(format!("lay a tree down in {root}"), |host, torn| {
            let entries = source.entries();
            let count = if torn { entries.len() / 2 } else { entries.len() };
            let mut sum = 0;
            for entry in &entries[..count] {
                sum += lay_entry(&mut host.state, root, source, entry)?;
            }
            Ok(sum)
        })?;
        on_bytes(sum);
        Ok(())
    }

    /// A simulated disk holds files, not blocks: every part is read, and what is there afterwards is
    /// an ext4 without files.
    fn lay_blocks(
        &mut self,
        device: &str,
        source: &dyn BlockSource,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HostError> {
        self.operate(format!("lay a file system down on {device}"), |host, torn| {
            let failed =
                |source| HostError::Io { operation: "write to", path: device.to_owned(), source };
            let place = host.state.blocks.find(device);
            let place = place.ok_or_else(|| io_error("find", device, io::ErrorKind::NotFound))?;
            let mut buffer = vec![0; source.part_bytes_max()];
            for number in 0..source.parts() {
                source.read_part(number, &mut buffer).map_err(failed)?;
            }
            let made = FileSystem {
                kind: "ext4".to_owned(),
                uuid: uuid_of(&["ready-made", device]),
                label: None,
                size: host.state.blocks.size(&place),
                devices: 1,
                options: BTreeSet::new(),
                tree: Tree::new(),
            };
            let content = (!torn).then_some(Content::FileSystem(made));
            host.state.blocks.set_content(&place, content);
            Ok(())
        })?;
        on_bytes(source.content_bytes());
        Ok(())
    }

    fn facts(&mut self) -> Result<Facts, HostError> {
        self.alive()?;
        Ok(self.state.probe())
    }

    fn device_ids(&mut self, device: &str) -> Result<DeviceIds, HostError> {
        self.alive()?;
        let blocks = &self.state.blocks;
        let place = blocks.find(device);
        let place = place.ok_or_else(|| io_error("probe", device, io::ErrorKind::NotFound))?;
        let content = blocks.content(&place);
        let entry = match &place {
            Place::Partition { disk, number, .. } => {
                let table: Option<&Table> = blocks.disks[disk].table.as_ref();
                table.and_then(|table| table.entries.get(number))
            }
            _ => None,
        };
        Ok(DeviceIds {
            uuid: content.map(|content| content.uuid().to_owned()),
            label: content.and_then(|content| content.label()).map(str::to_owned),
            partuuid: entry.map(|entry| entry.uuid.clone()),
            partlabel: entry.and_then(|entry| entry.name.clone()),
            kind: content.map(|content| content.kind().to_owned()),
        })
    }

    fn now_ms(&mut self) -> i64 {
        self.now_ms
    }
}

/// Lays one entry down; how many bytes of content it had.
fn lay_entry(
    state: &mut State,
    root: &str,
    source: &dyn TreeSource,
    entry: &Entry,
) -> Result<u64, HostError> {
    let path = format!("{root}/{}", entry.path);
    let failed = |source| HostError::Io { operation: "lay down", path: path.clone(), source };
    let mut bytes = 0;
    let kind = match &entry.kind {
        EntryKind::Directory => NodeKind::Directory,
        EntryKind::File { .. } => {
            let mut content = Vec::new();
            source
                .open(entry)
                .and_then(|mut file| file.read_to_end(&mut content))
                .map_err(failed)?;
            bytes = content.len() as u64;
            NodeKind::File(content)
        }
        EntryKind::Symlink { target } => NodeKind::Symlink(target.clone()),
        EntryKind::Hardlink { target } => {
            let target = state.node(&format!("{root}/{target}")).cloned();
            let node = target.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
            return state.put(&path, node).map(|()| 0);
        }
        EntryKind::CharDevice { major, minor } => NodeKind::Special(format!("c {major}:{minor}")),
        EntryKind::BlockDevice { major, minor } => NodeKind::Special(format!("b {major}:{minor}")),
        EntryKind::Fifo => NodeKind::Special("pipe".to_owned()),
    };
    let (mode, owner, xattrs) = (entry.mode, (entry.uid, entry.gid), entry.xattrs.clone());
    state.put(&path, Node { kind, mode, owner, xattrs })?;
    Ok(bytes)
}
