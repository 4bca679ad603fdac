//! cryptsetup(8), dmsetup(8), shred(1).

use super::{Call, Reply};
use crate::HostError;
use crate::sim::block::{Mapping, Place, uuid_of};
use crate::sim::content::Content;
use crate::sim::state::State;

pub(super) fn cryptsetup(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["-q --batch-mode", "--allow-discards"];
    let valued = [
        "--header-backup-file",
        "--key-file -d",
        "--type",
        "--cipher -c",
        "--key-size -s",
        "--hash -h",
        "--pbkdf",
        "--pbkdf-force-iterations",
        "--iter-time -i",
    ];
    let options = call.options(&flags, &valued)?;
    match options.words[..] {
        ["luksFormat", device] => {
            let Some(key) = key(state, call, options.value("--key-file")) else {
                return Ok(Reply::fail(1, "Failed to open key file."));
            };
            luks_format(state, call, device, key)
        }
        ["open", device, name] => {
            let plain = options.value("--type") == Some("plain");
            let key = key(state, call, options.value("--key-file"));
            Ok(open(state, device, name, key.filter(|_| !plain)))
        }
        ["luksAddKey", device, "-"] => {
            let key = key(state, call, options.value("--key-file"));
            Ok(add_key(state, call, device, key))
        }
        ["close", name] => Ok(close(state, name)),
        ["luksHeaderBackup", _] => Ok(Reply::ok()),
        _ => Err(call.unknown("this action is not simulated")),
    }
}

/// The bytes of a key: of a file, or of standard input for `-`.
fn key(state: &State, call: &Call<'_>, file: Option<&str>) -> Option<Vec<u8>> {
    match file? {
        "-" => Some(call.command.stdin.clone().unwrap_or_default()),
        "/dev/urandom" => Some(Vec::new()),
        path => state.read_in("", path).map(<[u8]>::to_vec),
    }
}

fn luks_format(
    state: &mut State,
    call: &Call<'_>,
    device: &str,
    key: Vec<u8>,
) -> Result<Reply, HostError> {
    if key.is_empty() {
        return Ok(Reply::fail(2, "No key available."));
    }
    let Some(place) = state.blocks.find(device) else {
        return Ok(Reply::fail(4, format!("Device {device} does not exist")));
    };
    if let Some(user) = state.user_of(device) {
        return Ok(Reply::fail(5, format!("Cannot use {device} which is in use: {user}")));
    }
    let uuid = uuid_of(&["luks", device]);
    let new = Content::Luks { uuid, key, more_keys: Vec::new(), sealed: None, inner: None };
    state.blocks.set_content(&place, (!call.torn).then_some(new));
    Ok(Reply::ok())
}

/// A further key for a device that `key` opens, from standard input.
fn add_key(state: &mut State, call: &Call<'_>, device: &str, given: Option<Vec<u8>>) -> Reply {
    let new = call.command.stdin.clone().unwrap_or_default();
    let Some(place) = state.blocks.find(device) else {
        return Reply::fail(4, format!("Device {device} does not exist"));
    };
    match state.blocks.content_mut(&place) {
        Some(Content::Luks { key, more_keys, .. }) if given.as_ref() == Some(key) => {
            if !call.torn {
                more_keys.push(new);
            }
            Reply::ok()
        }
        _ => Reply::fail(2, "No key available with this passphrase."),
    }
}

/// Seals a device that a key file opens to the TPM, where the machine has one.
pub(super) fn systemd_cryptenroll(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&[], &["--unlock-key-file", "--tpm2-device", "--tpm2-pcrs"])?;
    let [device] = options.words[..] else { return Err(call.unknown("it takes one device")) };
    if !state.facts.tpm2 {
        return Ok(Reply::fail(1, "No TPM2 device found."));
    }
    let given = key(state, call, options.value("--unlock-key-file"));
    let registers = options.value("--tpm2-pcrs").unwrap_or_default().to_owned();
    let Some(place) = state.blocks.find(device) else {
        return Ok(Reply::fail(1, format!("Failed to load LUKS header of {device}")));
    };
    match state.blocks.content_mut(&place) {
        Some(Content::Luks { key, sealed, .. }) if given.as_ref() == Some(key) => {
            if !call.torn {
                *sealed = Some(registers);
            }
            Ok(Reply::ok())
        }
        _ => Ok(Reply::fail(1, "Failed to unlock LUKS superblock")),
    }
}

/// Opens LUKS with its key, or a plain mapping without one.
fn open(state: &mut State, device: &str, name: &str, key: Option<Vec<u8>>) -> Reply {
    let Some(place) = state.blocks.find(device) else {
        return Reply::fail(4, format!("Device {device} does not exist"));
    };
    if state.blocks.mappings.contains_key(name) {
        return Reply::fail(5, format!("Device {name} already exists."));
    }
    if let Some(user) = state.user_of(device) {
        return Reply::fail(5, format!("Cannot use {device} which is in use: {user}"));
    }
    let plain = match (key, state.blocks.content(&place)) {
        (None, _) => Some(None),
        (Some(given), Some(Content::Luks { key, more_keys, .. }))
            if given == *key || more_keys.contains(&given) =>
        {
            None
        }
        (Some(_), Some(Content::Luks { .. })) => return Reply::fail(2, "No key available."),
        (Some(_), _) => {
            return Reply::fail(1, format!("Device {device} is not a valid LUKS device."));
        }
    };
    if plain.is_some() {
        // Whatever is written from now on is noise below.
        state.blocks.set_content(&place, None);
    }
    state.blocks.mappings.insert(name.to_owned(), Mapping { device: place, plain });
    Reply::ok()
}

fn close(state: &mut State, name: &str) -> Reply {
    if !state.blocks.mappings.contains_key(name) {
        return Reply::fail(4, format!("Device {name} is not active."));
    }
    if let Some(user) = state.user_of(&format!("/dev/mapper/{name}")) {
        return Reply::fail(5, format!("Device {name} is still in use: {user}"));
    }
    // What is in a volume group on a plain mapping is lost with its key.
    let place = Place::Mapping(name.to_owned());
    if state.blocks.mappings[name].plain.is_some() {
        state.blocks.set_content(&place, None);
    }
    state.blocks.mappings.remove(name);
    Reply::ok()
}

pub(super) fn dmsetup(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["--retry", "-f --force"], &[])?;
    match options.words[..] {
        ["remove", name] => Ok(close(state, name)),
        _ => Err(call.unknown("only remove is simulated")),
    }
}

pub(super) fn shred(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-v --verbose"], &["-n --iterations"])?;
    let [device] = options.words[..] else { return Err(call.unknown("it takes one device")) };
    let Some(place) = state.blocks.find(device) else {
        return Ok(Reply::fail(1, format!("shred: {device}: failed to open for writing")));
    };
    state.blocks.set_content(&place, None);
    Ok(Reply::ok())
}
