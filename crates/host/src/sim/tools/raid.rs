//! mdadm(8).

use super::{Call, Reply};
use crate::HostError;
use crate::sim::block::{Array, Place, uuid_of};
use crate::sim::content::Content;
use crate::sim::state::State;
use hostwright_model::storage::RaidLevel;

/// What the metadata of an array takes from each member.
const METADATA_BYTES: u64 = 1 << 20;

const LEVELS: [RaidLevel; 5] =
    [RaidLevel::Raid0, RaidLevel::Raid1, RaidLevel::Raid5, RaidLevel::Raid6, RaidLevel::Raid10];

pub(super) fn mdadm(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["--create", "--assemble", "--stop", "--detail", "--export", "--run", "--force"];
    let valued = [
        "--level",
        "--raid-devices -n",
        "--spare-devices",
        "--homehost",
        "--uuid",
        "--action",
        "--metadata -e",
        "--bitmap",
        "--chunk -c",
        "--layout",
        "--name",
    ];
    let options = call.options(&flags, &valued)?;
    let [array, devices @ ..] = &options.words[..] else {
        return Err(call.unknown("it takes an array"));
    };
    let Some(name) = array.strip_prefix("/dev/") else {
        return Err(call.unknown("it takes a node of an array"));
    };
    if options.has("--create") {
        let level = LEVELS.into_iter().find(|level| Some(level.name()) == options.value("--level"));
        let places = options.value("--raid-devices").and_then(|count| count.parse().ok());
        let (Some(level), Some(places)) = (level, places) else {
            return Err(call.unknown("it takes --level and --raid-devices"));
        };
        let metadata = options.value("--metadata").unwrap_or("1.2").to_owned();
        let new =
            Array { running: Some(name.to_owned()), level, places, metadata, size: 0, slot: None };
        return Ok(create(state, call, new, devices));
    }
    if options.has("--assemble") {
        let degraded = options.has("--run");
        return Ok(assemble(state, name, devices, options.value("--uuid"), degraded));
    }
    let Some(Place::Array(uuid)) = state.blocks.find(array) else {
        return Ok(Reply::fail(1, format!("mdadm: error opening {array}: No such file")));
    };
    if options.has("--stop") {
        if let Some(user) = state.user_of(array) {
            return Ok(Reply::fail(1, format!("mdadm: Cannot get exclusive access: {user}")));
        }
        let found = state.blocks.arrays.get_mut(&uuid).expect("invariant: found just now");
        found.running = None;
        return Ok(Reply::ok());
    }
    let found = &state.blocks.arrays[&uuid];
    match options.value("--action") {
        Some("frozen" | "idle") if found.level != RaidLevel::Raid0 => Ok(Reply::ok()),
        Some(_) => Ok(Reply::fail(1, format!("mdadm: {array} has no such action"))),
        None if options.has("--detail") && options.has("--export") => {
            let lines = [
                format!("MD_LEVEL={}", found.level.name()),
                format!("MD_METADATA={}", found.metadata),
                format!("MD_UUID={uuid}"),
            ];
            Ok(Reply { out: lines.to_vec(), ..Reply::default() })
        }
        None => Err(call.unknown("this mode is not simulated")),
    }
}

fn create(state: &mut State, call: &Call<'_>, mut new: Array, devices: &[&str]) -> Reply {
    let name = new.running.clone().unwrap_or_default();
    if state.blocks.find(&format!("/dev/{name}")).is_some() {
        return Reply::fail(1, format!("mdadm: {name} is in use"));
    }
    let mut members = Vec::new();
    for device in devices.iter().filter(|device| **device != "missing") {
        let Some(place) = state.blocks.find(device) else {
            return Reply::fail(2, format!("mdadm: cannot open {device}: No such file"));
        };
        if let Some(user) = state.user_of(device) {
            return Reply::fail(2, format!("mdadm: cannot open {device}: {user}"));
        }
        members.push(place);
    }
    let sizes = members.iter().map(|place| state.blocks.size(place));
    let least = sizes.min().unwrap_or(0).saturating_sub(METADATA_BYTES);
    let count = u64::from(new.places);
    new.size = match new.level {
        RaidLevel::Raid0 => least * count,
        RaidLevel::Raid1 => least,
        RaidLevel::Raid5 => least * count.saturating_sub(1),
        RaidLevel::Raid6 => least * count.saturating_sub(2),
        RaidLevel::Raid10 => least * count / 2,
    };
    let uuid = array_uuid(&name, devices);
    let count = if call.torn { members.len() / 2 } else { members.len() };
    for place in &members[..count] {
        state.blocks.set_content(place, Some(Content::RaidMember { array: uuid.clone() }));
    }
    if call.torn {
        new.running = None;
    }
    state.blocks.arrays.insert(uuid, new);
    Reply::ok()
}

/// As mdadm prints it: four groups of eight digits.
fn array_uuid(name: &str, devices: &[&str]) -> String {
    let hex = uuid_of(&["md", name, &devices.join(" ")]).replace('-', "");
    format!("{}:{}:{}:{}", &hex[..8], &hex[8..16], &hex[16..24], &hex[24..])
}

fn assemble(
    state: &mut State,
    name: &str,
    devices: &[&str],
    wanted: Option<&str>,
    degraded: bool,
) -> Reply {
    let mut found: Option<String> = None;
    for device in devices {
        let place = state.blocks.find(device);
        let content = place.and_then(|place| state.blocks.content(&place));
        let Some(Content::RaidMember { array }) = content else {
            return Reply::fail(1, format!("mdadm: no RAID superblock on {device}"));
        };
        if wanted.is_some_and(|wanted| wanted != array)
            || found.as_ref().is_some_and(|found| found != array)
        {
            return Reply::fail(1, format!("mdadm: {device} has the wrong UUID"));
        }
        found = Some(array.clone());
    }
    let array = found.and_then(|uuid| state.blocks.arrays.get_mut(&uuid));
    let Some(array) = array else {
        return Reply::fail(1, "mdadm: no array to assemble");
    };
    if let Some(running) = &array.running {
        return Reply::fail(1, format!("mdadm: {running} is running already"));
    }
    let count = devices.len() as u32;
    if count < array.least() || (count < array.places && !degraded) {
        return Reply::fail(1, format!("mdadm: {name} has too few members to start"));
    }
    array.running = Some(name.to_owned());
    Reply::ok()
}
