//! e2fsck(8), resize2fs(8), ntfsresize(8), xfs_growfs(8), btrfs(8).

use super::options::Options;
use super::{Call, Reply};
use crate::HostError;
use crate::sim::block::Place;
use crate::sim::content::{Content, FileSystem};
use crate::sim::state::{State, TreeRef};
use crate::sim::tree::Node;

/// The file system on the only device of a call; the answer if there is none of these kinds.
fn file_system<'a>(
    state: &'a mut State,
    device: &str,
    kinds: &[&str],
) -> Result<(&'a mut FileSystem, u64), Reply> {
    let missing = || Reply::fail(1, format!("{device}: no {} here", kinds.join(" or ")));
    let place = state.blocks.find(device).ok_or_else(missing)?;
    let room = state.blocks.size(&place);
    match state.blocks.content_mut(&place) {
        Some(Content::FileSystem(found)) if kinds.contains(&found.kind.as_str()) => {
            Ok((found, room))
        }
        _ => Err(missing()),
    }
}

const EXT: [&str; 3] = ["ext2", "ext3", "ext4"];

fn first<'a>(options: &Options<'a>, call: &Call<'_>) -> Result<&'a str, HostError> {
    options.words.first().copied().ok_or_else(|| call.unknown("it takes a device"))
}

pub(super) fn e2fsck(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-f", "-p", "-y", "-n"], &[])?;
    let device = first(&options, call)?;
    if let Some(user) = state.user_of(device) {
        return Ok(Reply::fail(8, format!("e2fsck: {device}: {user}")));
    }
    Ok(match file_system(state, device, &EXT) {
        Ok((found, room)) if found.size <= room => Reply::ok(),
        Ok(_) => Reply::fail(4, format!("{device}: the device is smaller than the file system")),
        Err(reply) => Reply { status: 8, ..reply },
    })
}

pub(super) fn resize2fs(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-f", "-p"], &[])?;
    let device = first(&options, call)?;
    let size = match options.words.get(1) {
        None => None,
        Some(word) => {
            let number = word.strip_suffix('K').and_then(|number| number.parse::<u64>().ok());
            Some(number.ok_or_else(|| call.unknown("only sizes as '5K' are simulated"))? * 1024)
        }
    };
    Ok(set_size(state, device, &EXT, size))
}

fn set_size(state: &mut State, device: &str, kinds: &[&str], size: Option<u64>) -> Reply {
    match file_system(state, device, kinds) {
        Ok((found, room)) if size.unwrap_or(room) <= room => {
            let size = size.unwrap_or(room);
            found.size = size;
            if let Some(place) = state.blocks.find(device) {
                state.blocks.fit_area(&place, size);
            }
            Reply::ok()
        }
        Ok(_) => Reply::fail(1, format!("{device}: there is not so much room")),
        Err(reply) => reply,
    }
}

pub(super) fn ntfsresize(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-f --force"], &["-s --size"])?;
    let device = first(&options, call)?;
    let size = options.value("-s").map(str::parse).transpose();
    let size = size.map_err(|_| call.unknown("only sizes in bytes are simulated"))?;
    Ok(set_size(state, device, &["ntfs"], size))
}

pub(super) fn xfs_growfs(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-d"], &[])?;
    let dir = first(&options, call)?;
    Ok(match mounted(state, dir) {
        Some(device) => set_size(state, &device, &["xfs"], None),
        None => Reply::fail(1, format!("xfs_growfs: {dir} is not a mounted XFS file system")),
    })
}

/// Device of what is mounted on a directory.
fn mounted(state: &State, dir: &str) -> Option<String> {
    let mount = state.mounts.iter().rfind(|mount| mount.target == dir)?;
    let TreeRef::Device(place) = &mount.tree else { return None };
    let place: &Place = place;
    state.blocks.node_of(place)
}

pub(super) fn btrfs(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&[], &[])?;
    match options.words[..] {
        ["subvolume", "create", path] => {
            let found = state.resolve("", path, true)?;
            if state.node(&found).is_some() {
                return Ok(Reply::fail(1, format!("ERROR: target path already exists: {path}")));
            }
            if !call.torn {
                state.put(path, Node::directory())?;
            }
            Ok(Reply::ok())
        }
        ["filesystem", "resize", size, dir] => {
            let Some(device) = mounted(state, dir) else {
                return Ok(Reply::fail(1, format!("ERROR: not a btrfs filesystem: {dir}")));
            };
            let size = (size != "max").then(|| size.parse()).transpose();
            let size = size.map_err(|_| call.unknown("only sizes in bytes are simulated"))?;
            Ok(set_size(state, &device, &["btrfs"], size))
        }
        ["device", "scan", ..] => Ok(Reply::ok()),
        _ => Err(call.unknown("this command is not simulated")),
    }
}
