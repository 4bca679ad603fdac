//! Recovery keys: a way into an encrypted device for the day when nothing else opens it.
//!
//! A key has 256 random bits, written as eight groups of eight letters that every keyboard has in the
//! same place (modhex). It lies beside the key files of the run until whoever runs the engine has
//! taken it; it stands in no log and in no event.

use super::encrypt::key_file;
use crate::fault::ActionError;
use crate::settings::Settings;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::api::RecoveryKey;
use hostwright_model::storage::EncryptedDevice;

const KEY_BYTES: usize = 32;
/// Letters for the sixteen values of half a byte.
const MODHEX: &[u8; 16] = b"cbdefghijklnrtuv";

/// Adds a recovery key to a device and leaves it for [`taken_from`].
pub(super) fn add(work: &mut Work<'_>, device: &EncryptedDevice) -> Result<(), ActionError> {
    let key = spell(&work.host.random_bytes(KEY_BYTES)?);
    let path = place(work.settings, &device.name);
    work.host.write(&path, key.as_bytes(), 0o600)?;
    let command = Command::new(Tool::Cryptsetup)
        .args(["luksAddKey", "--batch-mode", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"])
        .arg(format!("--key-file={}", key_file(work.settings, &device.name)))
        .args([&device.device, "-"])
        .stdin(key);
    work.tool(command)?;
    Ok(())
}

/// The recovery key that a finished step has left; `None` if it left none.
pub(crate) fn taken_from(
    work: &mut Work<'_>,
    device: &EncryptedDevice,
) -> Result<Option<RecoveryKey>, ActionError> {
    let Some(key) = work.read_text(&place(work.settings, &device.name))? else { return Ok(None) };
    let uuid = work.host.device_ids(&device.device)?.uuid.unwrap_or_default();
    Ok(Some(RecoveryKey { device: device.device.clone(), uuid, key }))
}

/// Forgets a recovery key that somebody keeps now.
pub(crate) fn forget(work: &mut Work<'_>, device: &EncryptedDevice) -> Result<(), ActionError> {
    work.host.remove(&place(work.settings, &device.name))?;
    Ok(())
}

fn place(settings: &Settings, name: &str) -> String {
    format!("{}/keys/{name}.recovery", settings.record_dir)
}

fn spell(bytes: &[u8]) -> String {
    let letter = |half: u8| char::from(MODHEX[usize::from(half)]);
    let word = |bytes: &[u8]| -> String {
        bytes.iter().flat_map(|byte| [letter(byte >> 4), letter(byte & 15)]).collect()
    };
    bytes.chunks(4).map(word).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spelled_in_groups() {
        assert_eq!(spell(&[0x00, 0x1f, 0xff, 0x80, 0x12]), "ccbvvvjc-bd");
        assert_eq!(spell(&[7; KEY_BYTES]).len(), 8 * 8 + 7);
    }
}
