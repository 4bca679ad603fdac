//! wipefs(8), mkfs(8), mkswap(8), tune2fs(8), swapon(8), swapoff(8).

use super::{Call, Reply};
use crate::HostError;
use crate::sim::block::{Place, uuid_of};
use crate::sim::content::{Content, FileSystem};
use crate::sim::state::State;
use crate::sim::tree::{Node, Tree};
use std::collections::BTreeSet;

/// File systems that can be made, each with mkfs's options for label and identifier.
const KINDS: [(&str, &str, &str); 10] = [
    ("ext2", "-L", "-U"),
    ("ext3", "-L", "-U"),
    ("ext4", "-L", "-U"),
    ("xfs", "-L", ""),
    ("btrfs", "-L", "-U"),
    ("vfat", "-n", "-i"),
    ("fat", "-n", "-i"),
    ("f2fs", "-l", "-U"),
    ("ntfs", "-L", ""),
    ("swap", "-L", "-U"),
];

/// Finds a device; the answer of a tool that does not find it.
fn device(state: &State, call: &Call<'_>, device: &str) -> Result<Place, Reply> {
    let missing = format!("{}: {device}: No such file or directory", call.command.program());
    state.blocks.find(device).ok_or_else(|| Reply::fail(1, missing))
}

pub(super) fn wipefs(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-a --all", "-f --force", "-q --quiet", "-af"], &[])?;
    let (all, force) = (["-a", "-af"], ["-f", "-af"]);
    if !all.iter().any(|name| options.has(name)) {
        return Err(call.unknown("only --all is simulated"));
    }
    let mut reply = Reply::ok();
    for path in &options.words {
        let place = match device(state, call, path) {
            Ok(place) => place,
            Err(reply) => return Ok(reply),
        };
        if let Some(user) = state.user_of(path)
            && !force.iter().any(|name| options.has(name))
        {
            return Ok(Reply::fail(1, format!("wipefs: {path}: {user}")));
        }
        if state.blocks.content(&place).is_some() {
            reply.out.push(format!("{path}: bytes were erased"));
        }
        // Only the signatures of a disk itself go: partitions keep what is in them.
        if let Place::Disk(name) = &place {
            let disk = state.blocks.disks.get_mut(name).expect("invariant: found just now");
            if disk.table.take().is_some() {
                reply.out.push(format!("{path}: bytes were erased"));
                continue;
            }
        }
        state.blocks.wipe(&place);
    }
    Ok(reply)
}

/// Label and identifier among the words for mkfs.
fn word_after<'a>(args: &'a [String], option: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| !option.is_empty() && arg == option)?;
    args.get(at + 1).map(String::as_str)
}

pub(super) fn mkfs(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let kind = call.command.suffix.as_deref().unwrap_or_default();
    let known = KINDS.iter().find(|(known, ..)| *known == kind && kind != "swap");
    let Some((_, label_option, uuid_option)) = known else {
        return Err(call.unknown(format!("file system '{kind}' is not simulated")));
    };
    let (made, given) = match prepare(state, call)? {
        Ok(found) => found,
        Err(reply) => return Ok(reply),
    };
    // btrfs takes several devices; the last is found already.
    let is_device = |arg: &&String| kind == "btrfs" && arg.starts_with("/dev/");
    let (mut devices, mut options) = (Vec::new(), BTreeSet::new());
    for arg in given {
        if !is_device(&arg) {
            options.insert(arg.clone());
            continue;
        }
        if let Some(user) = state.user_of(arg) {
            return Ok(Reply::fail(1, format!("mkfs.btrfs: {user}")));
        }
        match device(state, call, arg) {
            Ok(place) => devices.push(place),
            Err(reply) => return Ok(reply),
        }
    }
    devices.push(made);
    let label = word_after(given, label_option).map(str::to_owned);
    let path = call.command.args.last().map_or("", String::as_str);
    let uuid = word_after(given, uuid_option).map(str::to_owned).unwrap_or_else(|| {
        let uuid = uuid_of(&["mkfs", kind, path, label.as_deref().unwrap_or_default()]);
        match kind {
            "vfat" | "fat" => format!("{}-{}", &uuid[..4], &uuid[4..8]).to_uppercase(),
            _ => uuid,
        }
    });
    let mut tree = Tree::new();
    if kind.starts_with("ext") {
        let mut lost = Node::directory();
        lost.mode = 0o700;
        tree.put("lost+found", lost);
    }
    let kind = if kind == "fat" { "vfat" } else { kind }.to_owned();
    let size = state.blocks.size(&devices[0]);
    let new =
        FileSystem { kind, uuid: uuid.clone(), label, size, devices: devices.len(), options, tree };
    let first = Content::FileSystem(new);
    let further = std::iter::repeat(Content::BtrfsMember { uuid });
    for (place, content) in devices.iter().zip(std::iter::once(first).chain(further)) {
        state.blocks.set_content(place, (!call.torn).then_some(content));
    }
    Ok(Reply::ok())
}

type Prepared<'a> = Result<(Place, &'a [String]), Reply>;

/// The device of a call that makes something on it, its last argument, and the options before it.
fn prepare<'a>(state: &State, call: &Call<'a>) -> Result<Prepared<'a>, HostError> {
    let Some((path, given)) = call.command.args.split_last() else {
        return Err(call.unknown("it takes a device"));
    };
    if let Some(user) = state.user_of(path) {
        return Ok(Err(Reply::fail(1, format!("{}: {user}", call.command.program()))));
    }
    Ok(device(state, call, path).map(|place| (place, given)))
}

pub(super) fn mkswap(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let (place, given) = match prepare(state, call)? {
        Ok(found) => found,
        Err(reply) => return Ok(reply),
    };
    let label = word_after(given, "-L").map(str::to_owned);
    let path = call.command.args.last().map_or("", String::as_str);
    let uuid = word_after(given, "-U").map(str::to_owned);
    let uuid = uuid.unwrap_or_else(|| uuid_of(&["mkswap", path]));
    let content = Content::Swap { uuid, label };
    state.blocks.set_content(&place, (!call.torn).then_some(content));
    Ok(Reply::ok())
}

pub(super) fn tune2fs(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let Some((path, given)) = call.command.args.split_last() else {
        return Err(call.unknown("it takes a device"));
    };
    let place = match device(state, call, path) {
        Ok(place) => place,
        Err(reply) => return Ok(reply),
    };
    match state.blocks.content_mut(&place) {
        Some(Content::FileSystem(file_system)) if file_system.kind.starts_with("ext") => {
            file_system.options.extend(given.iter().cloned());
            if let Some(label) = word_after(given, "-L") {
                file_system.label = Some(label.to_owned());
            }
            if let Some(uuid) = word_after(given, "-U") {
                file_system.uuid = uuid.to_owned();
            }
            Ok(Reply::ok())
        }
        _ => Ok(Reply::fail(1, format!("tune2fs: bad magic number while opening {path}"))),
    }
}

pub(super) fn swapon(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&[], &["-p --priority"])?;
    for path in &options.words {
        let place = match device(state, call, path) {
            Ok(place) => place,
            Err(reply) => return Ok(reply),
        };
        if !matches!(state.blocks.content(&place), Some(Content::Swap { .. })) {
            return Ok(Reply::fail(255, format!("swapon: {path}: read swap header failed")));
        }
        if state.swaps.iter().any(|swap| swap == path) {
            return Ok(Reply::fail(255, format!("swapon: {path}: Device or resource busy")));
        }
        state.swaps.push((*path).to_owned());
    }
    Ok(Reply::ok())
}

pub(super) fn swapoff(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-a --all"], &[])?;
    if options.has("-a") {
        state.swaps.clear();
    }
    for path in &options.words {
        let Some(at) = state.swaps.iter().position(|swap| swap == path) else {
            return Ok(Reply::fail(4, format!("swapoff: {path}: Invalid argument")));
        };
        state.swaps.remove(at);
    }
    Ok(Reply::ok())
}
