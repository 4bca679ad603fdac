//! Encrypted devices: LUKS with a key file or a passphrase, and dm-crypt with a key that is
//! forgotten.
//!
//! A key file has 2 KiB of random bytes and lies beside the journal, in a directory that only root
//! can enter, as long as the run lasts; on a machine that is netbooted both are in memory. The
//! installed system gets its own copy, or its TPM keeps the key. A passphrase is given to cryptsetup(8) on its standard input
//! and stands nowhere else.

use super::{Done, nodes, recovery};
use crate::fault::ActionError;
use crate::settings::Settings;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::event::EventBody;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::storage::{EncryptedDevice, EncryptionKey, TpmSealing};

/// Length of a key file, FAI's.
const KEY_BYTES: usize = 2048;
/// The cipher of devices whose key is forgotten: cryptsetup's default for LUKS.
const PLAIN_CIPHER: &str = "aes-xts-plain64";
/// Bits of its key.
const PLAIN_KEY_BITS: &str = "512";
/// What is random cannot be guessed, however fast guesses are: so nobody waits for its stretching,
/// neither here nor at each start. The fewest iterations that LUKS2 allows.
const UNSTRETCHED: [&str; 4] =
    ["--type=luks2", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--hash=sha512"];

/// What crypttab(5) says of a device that the TPM opens.
pub(super) const TPM_OPTION: &str = "tpm2-device=auto";

/// Sets a device up and opens it.
pub(super) fn set_up(work: &mut Work<'_>, device: &EncryptedDevice) -> Result<Done, ActionError> {
    if device.fate.needs_existing() {
        return open_again(work, device);
    }
    if work.exists(&device.mapped_device)? {
        close_own(work, device)?;
    }
    nodes::wipe(work, &device.device)?;
    if device.random_fill {
        fill(work, &device.device)?;
    }
    if !is_plain(&device.key) {
        format(work, device)?;
    }
    open(work, device)?;
    Ok(Done::changed())
}

/// Opens a device that exists, unless it is open: one that is kept, or after a reboot.
pub(super) fn open_again(
    work: &mut Work<'_>,
    device: &EncryptedDevice,
) -> Result<Done, ActionError> {
    if work.exists(&device.mapped_device)? {
        return Ok(Done::already_true());
    }
    open(work, device)?;
    Ok(Done::changed())
}

/// Closes what an earlier attempt of this run opened.
fn close_own(work: &mut Work<'_>, device: &EncryptedDevice) -> Result<(), ActionError> {
    if !work.repeated {
        return Err(ActionError::new(
            FaultKind::Environment,
            "mapping-in-use",
            format!("{} cannot be set up: a mapping of that name is open", device.mapped_device),
            format!("run 'cryptsetup close {}', then resume the run", device.name),
        ));
    }
    nodes::insist(work, &Command::new(Tool::Cryptsetup).args(["close", &device.name]))?;
    Ok(())
}

/// Closes a device at the end of a run. One that is in use by now stays open.
pub(super) fn let_go(work: &mut Work<'_>, device: &EncryptedDevice) -> Result<(), ActionError> {
    if work.exists(&device.mapped_device)? {
        work.try_tool(Command::new(Tool::Cryptsetup).args(["close", &device.name]))?;
    }
    Ok(())
}

/// Where the installed system has the key file of a device: below the directory from which
/// cryptsetup-initramfs takes keys.
pub(super) fn installed_key_file(name: &str) -> String {
    format!("/etc/keys/{name}.key")
}

/// The line of a device for crypttab(5). Names of disks may change from boot to boot, and a device
/// whose key is random is formatted at each: so it names what stays.
pub(super) fn crypttab_line(
    work: &mut Work<'_>,
    device: &EncryptedDevice,
    file_system: Option<&str>,
) -> Result<String, ActionError> {
    let ids = work.host.device_ids(&device.device)?;
    let id = match is_plain(&device.key) {
        true => ids.partuuid.map(|id| format!("PARTUUID={id}")),
        false => ids.uuid.map(|id| format!("UUID={id}")),
    };
    let source = id.unwrap_or_else(|| device.device.clone());
    let cipher = format!("cipher={PLAIN_CIPHER},size={PLAIN_KEY_BITS}");
    let (key, options) = match &device.key {
        key if is_sealed(key) => ("none".to_owned(), format!("luks,discard,{TPM_OPTION}")),
        EncryptionKey::File | EncryptionKey::RandomFile { .. } => {
            (installed_key_file(&device.name), "luks,discard".to_owned())
        }
        EncryptionKey::Passphrase { .. } => ("none".to_owned(), "luks,discard".to_owned()),
        EncryptionKey::RandomTmp => {
            let kind = file_system.unwrap_or("ext4");
            ("/dev/urandom".to_owned(), format!("tmp={kind},{cipher}"))
        }
        EncryptionKey::RandomSwap => ("/dev/urandom".to_owned(), format!("swap,{cipher}")),
    };
    Ok(format!("{}\t{source}\t{key}\t{options}\n", device.name))
}

/// True if the TPM keeps the key of the installed system.
pub(super) fn is_sealed(key: &EncryptionKey) -> bool {
    matches!(key, EncryptionKey::RandomFile { tpm2: Some(_), .. })
}

/// True if the key is forgotten when the device is closed.
pub(super) fn is_plain(key: &EncryptionKey) -> bool {
    matches!(key, EncryptionKey::RandomTmp | EncryptionKey::RandomSwap)
}

/// Where the key file of a device is while the run lasts.
pub(super) fn key_file(settings: &Settings, name: &str) -> String {
    format!("{}/keys/{name}", settings.record_dir)
}

fn format(work: &mut Work<'_>, device: &EncryptedDevice) -> Result<(), ActionError> {
    let mut command = Command::new(Tool::Cryptsetup).args(["luksFormat", "--batch-mode"]);
    if matches!(device.key, EncryptionKey::File | EncryptionKey::RandomFile { .. }) {
        make_key(work, &device.name)?;
    }
    if matches!(device.key, EncryptionKey::RandomFile { .. }) {
        command = command.args(UNSTRETCHED);
    }
    // Behind ours, so that the author of the layout has the last word.
    command = command.args(&device.create_options);
    let command = with_key(work, device, command)?.arg(&device.device);
    work.tool(command)?;
    other_ways_in(work, device)
}

/// The TPM and the recovery key, where the plan asks for them: beside the key file, which the run
/// itself needs.
fn other_ways_in(work: &mut Work<'_>, device: &EncryptedDevice) -> Result<(), ActionError> {
    let EncryptionKey::RandomFile { tpm2, recovery_key } = &device.key else { return Ok(()) };
    if *recovery_key {
        recovery::add(work, device)?;
    }
    match tpm2 {
        Some(sealing) => seal(work, device, sealing),
        None => Ok(()),
    }
}

/// Lets the machine's TPM open a device, as long as what it measures at a start stays the same.
fn seal(
    work: &mut Work<'_>,
    device: &EncryptedDevice,
    sealing: &TpmSealing,
) -> Result<(), ActionError> {
    let registers: Vec<String> = sealing.pcrs.iter().map(u8::to_string).collect();
    let command = Command::new(Tool::SystemdCryptenroll)
        .arg(format!("--unlock-key-file={}", key_file(work.settings, &device.name)))
        .args(["--tpm2-device=auto".to_owned(), format!("--tpm2-pcrs={}", registers.join("+"))]);
    let sealed = work.try_tool(command.arg(&device.device))?;
    if sealed.status != 0 {
        return Err(ActionError::Fault(Box::new(Fault {
            command: Some(sealed.command),
            output: sealed.tail,
            ..Fault::new(
                FaultKind::Hardware,
                "tpm-refused",
                format!("the TPM does not take the key of {}", device.device),
                "look whether the TPM is enabled in the firmware and free (tpm2_clear), or leave it \
                 out of the disk_config",
            )
        })));
    }
    Ok(())
}

fn open(work: &mut Work<'_>, device: &EncryptedDevice) -> Result<(), ActionError> {
    let command = Command::new(Tool::Cryptsetup).arg("open");
    let command = match is_plain(&device.key) {
        true => command
            .args(["--type=plain", "--key-file=/dev/urandom"])
            .arg(format!("--cipher={PLAIN_CIPHER}"))
            .arg(format!("--key-size={PLAIN_KEY_BITS}")),
        false => with_key(work, device, command.arg("--type=luks"))?,
    };
    work.tool(command.args([&device.device, &device.name]))?;
    nodes::wait_for(work, &[&device.mapped_device])
}

fn make_key(work: &mut Work<'_>, name: &str) -> Result<(), ActionError> {
    let bytes = work.host.random_bytes(KEY_BYTES)?;
    work.host.make_dir(&format!("{}/keys", work.settings.record_dir), 0o700)?;
    work.host.write(&key_file(work.settings, name), &bytes, 0o600)?;
    Ok(())
}

/// Gives cryptsetup the key.
fn with_key(
    work: &mut Work<'_>,
    device: &EncryptedDevice,
    command: Command,
) -> Result<Command, ActionError> {
    if let EncryptionKey::Passphrase { file, line } = &device.key {
        let passphrase = work
            .passphrases
            .get(file, *line)
            .ok_or_else(|| no_key(device, || format!("{file}:{line} has no passphrase")))?;
        return Ok(command.arg("--key-file=-").stdin(passphrase));
    }
    let path = key_file(work.settings, &device.name);
    if !work.exists(&path)? {
        return Err(no_key(device, || format!("there is no key file {path}")));
    }
    Ok(command.arg(format!("--key-file={path}")))
}

fn no_key(device: &EncryptedDevice, reason: impl FnOnce() -> String) -> ActionError {
    ActionError::new(
        FaultKind::Config,
        "no-key",
        format!("{} cannot be opened: {}", device.device, reason()),
        "a key file lives as long as its run; to keep an encrypted device, give it a passphrase",
    )
}

/// Fills a device with random bytes, so that nobody can tell how much of it is used.
fn fill(work: &mut Work<'_>, device: &str) -> Result<(), ActionError> {
    let step = work.step.clone();
    let command = Command::new(Tool::Shred).args(["--verbose", "--iterations=1", device]);
    let output = work.tool_watched(command, &mut |line, emit| {
        if let Some(done) = percentage(line) {
            let (step, total, unit) = (step.clone(), 100, "percent".to_owned());
            emit(EventBody::StepProgress { step, done, total, unit });
        }
    })?;
    output.success()?;
    Ok(())
}

/// `shred: /dev/vda5: pass 1/1 (random)...512MiB/1.0GiB 50%`
fn percentage(line: &str) -> Option<u64> {
    line.rsplit(' ').next()?.strip_suffix('%')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_of_shred_is_understood() {
        let line = "shred: /dev/vda5: pass 1/1 (random)...512MiB/1.0GiB 50%";
        assert_eq!(percentage(line), Some(50));
        assert_eq!(percentage("shred: /dev/vda5: pass 1/1 (random)..."), None);
    }
}
