//! File systems of an earlier life, mounted while an image is fetched: what they have need not come
//! over the network. Nothing is written to them, not even their journals, and they are unmounted
//! before anything else happens.

use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::MountRequest;
use hostwright_model::existing::ExistingStorage;

/// Kinds of file systems, each with the options by which the kernel leaves even its journal alone.
const KINDS: [(&str, &str); 5] = [
    ("ext2", "ro"),
    ("ext3", "ro,noload"),
    ("ext4", "ro,noload"),
    ("xfs", "ro,norecovery,nouuid"),
    ("btrfs", "ro,rescue=nologreplay"),
];

/// Mounts everything that can be; the directories. What cannot be mounted is of no use here.
pub(super) fn mount(work: &mut Work<'_>) -> Result<Vec<String>, ActionError> {
    // An attempt that was cut off may have left some mounted.
    unmount(work)?;
    let mut roots = Vec::new();
    let found = wanted(&work.inputs.facts.storage);
    for (number, (source, kind, options)) in found.into_iter().enumerate() {
        let target = format!("{}/{number}", directory(work));
        let request = MountRequest {
            source: source.clone(),
            target: target.clone(),
            file_system: Some(kind.to_owned()),
            options: options.to_owned(),
        };
        match work.host.mount(&request) {
            Ok(()) => roots.push(target),
            Err(error @ hostwright_host::HostError::PowerCut) => return Err(error.into()),
            Err(error) => work.say(&format!("nothing is taken from {source}: {error}")),
        }
    }
    Ok(roots)
}

/// Unmounts all of them. What cannot be unmounted stops the run: it must not be overwritten.
pub(super) fn unmount(work: &mut Work<'_>) -> Result<(), ActionError> {
    let mounted = work.host.mounts_below(&directory(work))?;
    for point in mounted.iter().rev() {
        work.host.unmount(point)?;
    }
    Ok(())
}

fn directory(work: &Work<'_>) -> String {
    format!("{}/old", work.settings.record_dir)
}

/// Device, kind and options of each; not of those that something on this machine uses.
fn wanted(storage: &ExistingStorage) -> Vec<(String, &'static str, &'static str)> {
    let is_free = |device: &str| storage.in_use.iter().all(|used| used.device != device);
    let known = storage.signatures.iter().filter_map(|signature| {
        let (kind, options) = KINDS.iter().find(|(kind, _)| *kind == signature.kind)?;
        is_free(&signature.device).then(|| (signature.device.clone(), *kind, *options))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::existing::{DeviceUse, ExistingSignature};

    #[test]
    fn only_file_systems_that_nobody_uses_are_mounted() {
        let signature = |device: &str, kind: &str| ExistingSignature {
            device: device.to_owned(),
            size_bytes: 1 << 30,
            kind: kind.to_owned(),
            uuid: None,
            label: None,
        };
        let used = DeviceUse { device: "/dev/sdb1".to_owned(), mount_point: Some("/".to_owned()) };
        let storage = ExistingStorage {
            signatures: vec![
                signature("/dev/vda1", "ext4"),
                signature("/dev/vda2", "swap"),
                signature("/dev/md0", "xfs"),
                signature("/dev/sdb1", "btrfs"),
                signature("/dev/sdc", "crypto_LUKS"),
            ],
            in_use: vec![used],
            ..ExistingStorage::default()
        };
        let found: Vec<_> = wanted(&storage).into_iter().map(|(device, ..)| device).collect();
        assert_eq!(found, ["/dev/vda1", "/dev/md0"]);
    }
}
