//! LVM's commands.

use super::{Call, Reply};
use crate::HostError;
use crate::sim::block::{EXTENT_BYTES, Group, LogicalVolume, Place, uuid_of};
use crate::sim::content::Content;
use crate::sim::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// The status with which LVM's commands fail.
const FAILED: i32 = 5;

fn find(state: &State, device: &str) -> Result<Place, Reply> {
    let missing = format!("  No device found for {device}.");
    state.blocks.find(device).ok_or_else(|| Reply::fail(FAILED, missing))
}

/// Room for volumes on a physical volume: one extent at the beginning holds the metadata.
fn room(state: &State, place: &Place) -> u64 {
    (state.blocks.size(place) / EXTENT_BYTES).saturating_sub(1) * EXTENT_BYTES
}

pub(super) fn pvcreate(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["-f --force", "-ff", "-y --yes", "-q --quiet", "-Z"];
    let valued = ["--metadatasize", "--dataalignment", "-u --uuid", "--zero"];
    let options = call.options(&flags, &valued)?;
    for device in &options.words {
        let place = match find(state, device) {
            Ok(place) => place,
            Err(reply) => return Ok(reply),
        };
        if let Some(user) = state.user_of(device) {
            return Ok(Reply::fail(FAILED, format!("  Can't open {device} exclusively: {user}")));
        }
        if let Some(Content::PhysicalVolume { group: Some(group), .. }) =
            state.blocks.content(&place)
            && !options.has("-ff")
        {
            let line = format!("  Can't initialize physical volume {device} of {group}");
            return Ok(Reply::fail(FAILED, line));
        }
        let uuid = uuid_of(&["pv", device]);
        let content = Content::PhysicalVolume { uuid, group: None };
        state.blocks.set_content(&place, (!call.torn).then_some(content));
    }
    Ok(Reply::ok())
}

pub(super) fn vgcreate(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["-y --yes", "-q --quiet", "-f --force"];
    let options =
        call.options(&flags, &["-s --physicalextentsize", "--addtag", "--dataalignment"])?;
    let [group, members @ ..] = &options.words[..] else {
        return Err(call.unknown("it takes a name and devices"));
    };
    if state.blocks.group_named(group).is_some() {
        let line = format!("  A volume group called {group} already exists.");
        return Ok(Reply::fail(FAILED, line));
    }
    let mut size = 0;
    for device in members {
        match free_volume(state, device) {
            Ok(place) => size += room(state, &place),
            Err(reply) => return Ok(reply),
        }
    }
    if call.torn {
        return Ok(Reply::ok());
    }
    let uuid = uuid_of(&["vg", group, &members.join(" ")]);
    members.iter().for_each(|device| join(state, device, Some(&uuid)));
    let name = (*group).to_owned();
    let new = Group { name, size, active: true, volumes: BTreeMap::new() };
    state.blocks.groups.insert(uuid, new);
    Ok(Reply::ok())
}

/// A physical volume that is in no group.
fn free_volume(state: &State, device: &str) -> Result<Place, Reply> {
    let place = find(state, device)?;
    match state.blocks.content(&place) {
        Some(Content::PhysicalVolume { group: None, .. }) => Ok(place),
        _ => {
            let line = format!("  {device} is not an unused physical volume.");
            Err(Reply::fail(FAILED, line))
        }
    }
}

/// Writes into a physical volume which group it is in.
fn join(state: &mut State, device: &str, group: Option<&str>) {
    let place = state.blocks.find(device);
    let content = place.and_then(|place| state.blocks.content_mut(&place));
    if let Some(Content::PhysicalVolume { group: member_of, .. }) = content {
        *member_of = group.map(str::to_owned);
    }
}

/// The group that a command names; the answer of one that does not find it.
fn named(state: &State, name: &str) -> Result<String, Reply> {
    let missing = || Reply::fail(FAILED, format!("  Volume group \"{name}\" not found"));
    state.blocks.group_named(name).ok_or_else(missing)
}

pub(super) fn vgextend(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-y --yes"], &[])?;
    let [group, device] = options.words[..] else {
        return Err(call.unknown("it takes a group and a device"));
    };
    let (uuid, place) = match (named(state, group), free_volume(state, device)) {
        (Ok(uuid), Ok(place)) => (uuid, place),
        (Err(reply), _) | (_, Err(reply)) => return Ok(reply),
    };
    if !call.torn {
        let more = room(state, &place);
        join(state, device, Some(&uuid));
        state.blocks.groups.get_mut(&uuid).expect("invariant: found just now").size += more;
    }
    Ok(Reply::ok())
}

pub(super) fn vgreduce(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-y --yes"], &[])?;
    let [group, device] = options.words[..] else {
        return Err(call.unknown("it takes a group and a device"));
    };
    let (uuid, place) = match (named(state, group), find(state, device)) {
        (Ok(uuid), Ok(place)) => (uuid, place),
        (Err(reply), _) | (_, Err(reply)) => return Ok(reply),
    };
    let less = room(state, &place);
    let found = state.blocks.groups.get_mut(&uuid).expect("invariant: found just now");
    let used: u64 = found.volumes.values().map(|volume| volume.size).sum();
    if used + less > found.size {
        return Ok(Reply::fail(FAILED, format!("  Physical volume \"{device}\" still in use")));
    }
    if !call.torn {
        found.size -= less;
        join(state, device, None);
    }
    Ok(Reply::ok())
}

pub(super) fn vgcfgbackup(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&[], &["-f --file"])?;
    let ([group], Some(_)) = (&options.words[..], options.value("-f")) else {
        return Err(call.unknown("it takes --file and a group"));
    };
    Ok(named(state, group).map_or_else(|reply| reply, |_| Reply::ok()))
}

pub(super) fn pvremove(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-y --yes", "-ff"], &[])?;
    for device in &options.words {
        match free_volume(state, device) {
            Ok(place) => state.blocks.wipe(&place),
            Err(reply) => return Ok(reply),
        }
    }
    Ok(Reply::ok())
}

/// `name=value` of --select.
fn selected<'a>(select: Option<&'a str>, name: &str) -> Option<&'a str> {
    select?.strip_prefix(name)?.strip_prefix('=')
}

pub(super) fn pvs(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["--noheadings"], &["-o --options", "-S --select"])?;
    let group = selected(options.value("-S"), "vg_name");
    let (Some("pv_name"), Some(group)) = (options.value("-o"), group) else {
        return Err(call.unknown("only names of the volumes of one group are simulated"));
    };
    let uuid = state.blocks.group_named(group);
    let places = uuid.map(|uuid| state.blocks.physical_volumes_of(&uuid)).unwrap_or_default();
    let nodes = places.iter().filter_map(|place| state.blocks.node_of(place));
    Ok(Reply { out: nodes.map(|node| format!("  {node}")).collect(), ..Reply::default() })
}

pub(super) fn vgchange(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["-ay", "-an", "-y --yes", "-q --quiet", "--sysinit"];
    let options = call.options(&flags, &["-a --activate", "-S --select"])?;
    let active = match (options.value("-a"), options.has("-ay"), options.has("-an")) {
        (Some("y" | "ay"), ..) | (None, true, false) => true,
        (Some("n"), ..) | (None, false, true) => false,
        _ => return Err(call.unknown("only --activate y and n are simulated")),
    };
    let uuids: Vec<String> = match selected(options.value("-S"), "vg_uuid") {
        Some(uuid) => {
            let known = state.blocks.groups.contains_key(uuid);
            known.then(|| uuid.to_owned()).into_iter().collect()
        }
        None if options.words.is_empty() => state.blocks.groups.keys().cloned().collect(),
        None => {
            let found: Result<_, _> = options.words.iter().map(|name| named(state, name)).collect();
            match found {
                Ok(found) => found,
                Err(reply) => return Ok(reply),
            }
        }
    };
    for uuid in uuids {
        if !active && let Some(user) = user_of_group(state, &uuid) {
            return Ok(Reply::fail(FAILED, format!("  it is in use: {user}")));
        }
        state.blocks.groups.get_mut(&uuid).expect("invariant: found just now").active = active;
    }
    Ok(Reply::ok())
}

fn user_of_group(state: &State, uuid: &str) -> Option<String> {
    let group = state.blocks.groups.get(uuid)?;
    let volumes = group.volumes.keys();
    volumes.filter_map(|volume| state.user_of(&format!("/dev/{}/{volume}", group.name))).next()
}

/// A size in bytes, '123b'.
fn bytes(text: &str) -> Option<u64> {
    text.strip_suffix(['b', 'B'])?.parse().ok()
}

pub(super) fn lvcreate(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["-y --yes", "-q --quiet"];
    let valued = [
        "-n --name",
        "-L --size",
        "-W --wipesignatures",
        "-Z --zero",
        "-i --stripes",
        "-I --stripesize",
        "-m --mirrors",
        "--type",
        "-C --contiguous",
        "-r --readahead",
        "--addtag",
    ];
    let options = call.options(&flags, &valued)?;
    let ([group], Some(name), Some(size)) =
        (&options.words[..], options.value("-n"), options.value("-L"))
    else {
        return Err(call.unknown("it takes --name, --size and a volume group"));
    };
    let Some(bytes) = bytes(size) else {
        return Err(call.unknown("only sizes in bytes, '123b', are simulated"));
    };
    let found = match named(state, group) {
        Ok(uuid) => state.blocks.groups.get_mut(&uuid).expect("invariant: found just now"),
        Err(reply) => return Ok(reply),
    };
    if found.volumes.contains_key(name) {
        let line =
            format!("  Logical Volume \"{name}\" already exists in volume group \"{group}\"");
        return Ok(Reply::fail(FAILED, line));
    }
    let size = bytes.next_multiple_of(EXTENT_BYTES);
    if used(found) + size > found.size {
        let line = format!("  Volume group \"{group}\" has insufficient free space");
        return Ok(Reply::fail(FAILED, line));
    }
    if !call.torn {
        let kept = |arg: &&String| !arg.starts_with("--yes") && !arg.starts_with("--wipe");
        let options: BTreeSet<String> = call.command.args.iter().filter(kept).cloned().collect();
        let volume = LogicalVolume { size, options, slot: None };
        found.volumes.insert(name.to_owned(), volume);
    }
    Ok(Reply::ok())
}

fn used(group: &Group) -> u64 {
    group.volumes.values().map(|volume| volume.size).sum()
}

/// A logical volume as `GROUP/NAME`: the group's UUID and the volume's name.
fn volume(state: &State, word: &str) -> Result<(String, String), Reply> {
    let missing = || Reply::fail(FAILED, format!("  Failed to find logical volume \"{word}\""));
    let (group, name) = word.split_once('/').ok_or_else(missing)?;
    let uuid = named(state, group)?;
    let found = state.blocks.groups[&uuid].volumes.contains_key(name);
    found.then(|| (uuid, name.to_owned())).ok_or_else(missing)
}

pub(super) fn lvremove(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-y --yes", "-f --force"], &[])?;
    for word in &options.words {
        let (uuid, name) = match volume(state, word) {
            Ok(found) => found,
            Err(reply) => return Ok(reply),
        };
        if let Some(user) = state.user_of(&format!("/dev/{word}")) {
            return Ok(Reply::fail(FAILED, format!("  Logical volume {word} in use: {user}")));
        }
        if !call.torn {
            let place = Place::Volume { group: uuid.clone(), name: name.clone() };
            state.blocks.set_content(&place, None);
            let group = state.blocks.groups.get_mut(&uuid).expect("invariant: found just now");
            group.volumes.remove(&name);
        }
    }
    Ok(Reply::ok())
}

pub(super) fn lvresize(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-y --yes", "-f --force"], &["-L --size"])?;
    let ([word], Some(size)) = (&options.words[..], options.value("-L").and_then(bytes)) else {
        return Err(call.unknown("it takes --size in bytes and a volume"));
    };
    let (uuid, name) = match volume(state, word) {
        Ok(found) => found,
        Err(reply) => return Ok(reply),
    };
    let group = state.blocks.groups.get_mut(&uuid).expect("invariant: found just now");
    let size = size.next_multiple_of(EXTENT_BYTES);
    let (all, before) = (used(group), group.volumes[&name].size);
    if before == size {
        return Ok(Reply::fail(FAILED, "  New size matches existing size."));
    }
    if all - before + size > group.size {
        return Ok(Reply::fail(FAILED, "  Insufficient free space"));
    }
    if !call.torn {
        group.volumes.get_mut(&name).expect("invariant: found just now").size = size;
    }
    Ok(Reply::ok())
}

pub(super) fn lvs(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["--noheadings", "--nosuffix"];
    let options = call.options(&flags, &["--units", "-o --options"])?;
    let ([word], Some("lv_size,vg_extent_size")) = (&options.words[..], options.value("-o")) else {
        return Err(call.unknown("only the size of one volume is simulated"));
    };
    Ok(match volume(state, word) {
        Ok((uuid, name)) => {
            let size = state.blocks.groups[&uuid].volumes[&name].size;
            Reply::say(format!("  {size} {EXTENT_BYTES}"))
        }
        Err(reply) => reply,
    })
}
