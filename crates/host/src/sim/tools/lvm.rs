//! pvcreate(8), vgcreate(8), vgchange(8), lvcreate(8).

use super::{Call, Reply};
use crate::HostError;
use crate::sim::block::{Content, EXTENT_BYTES, Group, LogicalVolume, Place, uuid_of};
use crate::sim::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// The status with which LVM's commands fail.
const FAILED: i32 = 5;

fn find(state: &State, device: &str) -> Result<Place, Reply> {
    let missing = format!("  No device found for {device}.");
    state.blocks.find(device).ok_or_else(|| Reply::fail(FAILED, missing))
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
    if state.blocks.groups.contains_key(*group) {
        let line = format!("  A volume group called {group} already exists.");
        return Ok(Reply::fail(FAILED, line));
    }
    let mut size = 0;
    for device in members {
        let place = match find(state, device) {
            Ok(place) => place,
            Err(reply) => return Ok(reply),
        };
        // One extent at the beginning holds the metadata.
        size += (state.blocks.size(&place) / EXTENT_BYTES).saturating_sub(1) * EXTENT_BYTES;
        match state.blocks.content(&place) {
            Some(Content::PhysicalVolume { group: None, .. }) => {}
            _ => {
                let line = format!("  {device} is not an unused physical volume.");
                return Ok(Reply::fail(FAILED, line));
            }
        }
    }
    if call.torn {
        return Ok(Reply::ok());
    }
    for device in members {
        let place = state.blocks.find(device);
        let content = place.and_then(|place| state.blocks.content_mut(&place));
        if let Some(Content::PhysicalVolume { group: member_of, .. }) = content {
            *member_of = Some((*group).to_owned());
        }
    }
    let new = Group { size, active: true, volumes: BTreeMap::new() };
    state.blocks.groups.insert((*group).to_owned(), new);
    Ok(Reply::ok())
}

pub(super) fn vgchange(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["-ay", "-an", "-y --yes", "-q --quiet", "--sysinit"];
    let options = call.options(&flags, &["-a --activate"])?;
    let active = match (options.value("-a"), options.has("-ay"), options.has("-an")) {
        (Some("y" | "ay"), ..) | (None, true, false) => true,
        (Some("n"), ..) | (None, false, true) => false,
        _ => return Err(call.unknown("only --activate y and n are simulated")),
    };
    let all: Vec<String> = state.blocks.groups.keys().cloned().collect();
    let named = options.words.iter().map(|word| (*word).to_owned()).collect();
    let names: Vec<String> = if options.words.is_empty() { all } else { named };
    for name in names {
        if !active && let Some(user) = user_of_group(state, &name) {
            return Ok(Reply::fail(FAILED, format!("  {name} is in use: {user}")));
        }
        match state.blocks.groups.get_mut(&name) {
            Some(group) => group.active = active,
            None => {
                let line = format!("  Volume group \"{name}\" not found");
                return Ok(Reply::fail(FAILED, line));
            }
        }
    }
    Ok(Reply::ok())
}

fn user_of_group(state: &State, group: &str) -> Option<String> {
    let volumes = state.blocks.groups.get(group)?.volumes.keys();
    volumes.filter_map(|volume| state.user_of(&format!("/dev/{group}/{volume}"))).next()
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
    let bytes = size.strip_suffix(['b', 'B']).and_then(|number| number.parse::<u64>().ok());
    let Some(bytes) = bytes else {
        return Err(call.unknown("only sizes in bytes, '123b', are simulated"));
    };
    let Some(found) = state.blocks.groups.get_mut(*group) else {
        return Ok(Reply::fail(FAILED, format!("  Volume group \"{group}\" not found")));
    };
    if found.volumes.contains_key(name) {
        let line =
            format!("  Logical Volume \"{name}\" already exists in volume group \"{group}\"");
        return Ok(Reply::fail(FAILED, line));
    }
    let size = bytes.next_multiple_of(EXTENT_BYTES);
    let used: u64 = found.volumes.values().map(|volume| volume.size).sum();
    if used + size > found.size {
        let line = format!("  Volume group \"{group}\" has insufficient free space");
        return Ok(Reply::fail(FAILED, line));
    }
    if !call.torn {
        let kept = |arg: &&String| !arg.starts_with("--yes") && !arg.starts_with("--wipe");
        let options: BTreeSet<String> = call.command.args.iter().filter(kept).cloned().collect();
        let volume = LogicalVolume { size, options, content: None };
        found.volumes.insert(name.to_owned(), volume);
    }
    Ok(Reply::ok())
}
