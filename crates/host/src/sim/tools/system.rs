//! What makes a copy of an image a machine of its own, and tools that change nothing here.

use super::{Call, Reply};
use crate::HostError;
use crate::sim::block::uuid_of;
use crate::sim::content::Content;
use crate::sim::state::State;
use crate::sim::tree::Node;

/// The keys that `ssh-keygen -A` makes.
const HOST_KEYS: [&str; 3] = ["ecdsa", "ed25519", "rsa"];

pub(super) fn ssh_keygen(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-A", "-q"], &["-f"])?;
    if !options.has("-A") {
        return Err(call.unknown("only -A is simulated"));
    }
    let prefix = options.value("-f").unwrap_or_default();
    for kind in HOST_KEYS {
        let path = format!("{prefix}/etc/ssh/ssh_host_{kind}_key");
        let found = state.resolve(call.root, &path, true)?;
        if state.node(&found).is_some() {
            continue;
        }
        let key = uuid_of(&["ssh", call.root, prefix, kind]);
        state.put_in(call.root, &path, Node::file(format!("private {key}\n"), 0o600))?;
        let public = Node::file(format!("public {key}\n"), 0o644);
        state.put_in(call.root, &format!("{path}.pub"), public)?;
    }
    Ok(Reply::ok())
}

pub(super) fn machine_id_setup(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["--print", "--commit"], &["--root"])?;
    let path = format!("{}/etc/machine-id", options.value("--root").unwrap_or_default());
    let old = state.read_in(call.root, &path).unwrap_or_default();
    if old.is_empty() || old == b"uninitialized\n" {
        let id = uuid_of(&["machine-id", call.root, &path]).replace('-', "");
        state.put_in(call.root, &path, Node::file(format!("{id}\n"), 0o444))?;
    }
    Ok(Reply::ok())
}

pub(super) fn udevadm(call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["--settle", "--reload", "--reload-rules"];
    let valued = ["-t --timeout", "-s --subsystem-match", "-c --action", "-y --sysname-match"];
    let options = call.options(&flags, &valued)?;
    match options.words.first() {
        Some(&("settle" | "trigger" | "control")) => Ok(Reply::ok()),
        _ => Err(call.unknown("only settle, trigger and control are simulated")),
    }
}

pub(super) fn fsck(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-a", "-p", "-y", "-f", "-n", "-T"], &["-t", "-C"])?;
    for device in &options.words {
        let place = state.blocks.find(device);
        let content = place.and_then(|place| state.blocks.content(&place));
        if !matches!(content, Some(Content::FileSystem(_))) {
            return Ok(Reply::fail(8, format!("fsck: {device}: no file system")));
        }
    }
    Ok(Reply::ok())
}
