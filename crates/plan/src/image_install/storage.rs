//! The layout of an image's machine: solved, encrypted without stretched keys, and large enough.

use super::ImageInstall;
use super::loader::{Boot, encrypts, loader};
use crate::dominator::layout::{Site, disk_config};
use crate::finding::Finding;
use crate::machine_file::Section;
use crate::resolve::step;
use crate::storage::{self, StorageFacts};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::existing::{ExistingSignature, ExistingStorage};
use hostwright_model::facts::{Disk, Facts};
use hostwright_model::plan::{Action, Step, Why};
use hostwright_model::size::{ByteSize, MIB};
use hostwright_model::storage::{EncryptionKey, FstabKey, StorageLayout, TpmSealing, Volume};

/// Words for cryptsetup luksFormat: a key of 2 KiB from the kernel's random numbers cannot be guessed
/// faster for want of stretching.
const LUKS_OPTIONS: [&str; 7] = [
    "--type=luks2",
    "--cipher=aes-xts-plain64",
    "--key-size=512",
    "--hash=sha512",
    "--pbkdf=pbkdf2",
    "--pbkdf-force-iterations=1000",
    "--use-urandom",
];
/// The register that measures who may start what (Secure Boot's keys).
const DEFAULT_PCRS: [u8; 1] = [7];
/// Room that a file system needs for itself: hundredths, and a floor.
const OVERHEAD_PERCENT: u64 = 5;
const OVERHEAD_BYTES: u64 = 16 * MIB;
/// GPT types of root file systems (the Discoverable Partitions Specification), amd64 and arm64.
const ROOT_TYPES: [&str; 2] =
    ["4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"];

/// The layout on the chosen disks.
pub(super) fn layout(
    install: &ImageInstall<'_>,
    chosen: &[&Disk],
    boot: &Boot,
) -> Result<StorageLayout, Vec<Diagnostic>> {
    let file = &install.described.layout;
    let mut devices: Vec<String> = chosen.iter().map(|disk| disk.path()).collect();
    if file.extra_basename.is_none() {
        // Nothing is asked for on other disks, so they are left alone.
        devices.truncate(1);
    }
    let keys = keys(install)?;
    let loader = loader(boot.name, &devices[0]);
    let site = Site {
        firmware: install.inputs.facts.firmware,
        disks: &devices,
        image_bytes: install.summary.occupied_bytes,
        encrypts: encrypts(install),
        encrypts_root: keys.root,
        loader: &loader,
    };
    let config = disk_config(file, &site);
    let facts = facts(install, chosen);
    let mut layout = storage::layout(&config, &facts)?;
    seal(&mut layout, &keys);
    let small = too_small(install, &layout);
    if small.is_empty() { Ok(layout) } else { Err(small) }
}

/// The machine with the chosen disks only, in their order.
fn facts(install: &ImageInstall<'_>, chosen: &[&Disk]) -> StorageFacts {
    let whole = &install.inputs.facts;
    let disks = chosen.iter().map(|disk| Disk { removable: false, ..(*disk).clone() });
    let facts = Facts { disks: disks.collect(), ..whole.clone() };
    StorageFacts { hostname: install.inputs.hostname.clone(), ..StorageFacts::from(&facts) }
}

/// What opens the encrypted devices.
struct Keys {
    root: bool,
    tpm2: Option<TpmSealing>,
    recovery_key: bool,
}

fn keys(install: &ImageInstall<'_>) -> Result<Keys, Vec<Diagnostic>> {
    let Some(file) = &install.described.settings else {
        return Ok(Keys { root: false, tpm2: None, recovery_key: false });
    };
    let section = file.encryption();
    if section.tpm2 && !install.inputs.facts.tpm2 {
        let message = "keys are to be sealed to a TPM 2, and this machine shows none";
        let cure = "enable the TPM in the firmware, or leave tpm2 out";
        return Err(vec![file.error_in(Section::Encryption, "no-tpm", message, cure)]);
    }
    let mut pcrs = section.pcrs.unwrap_or_else(|| DEFAULT_PCRS.to_vec());
    pcrs.sort_unstable();
    pcrs.dedup();
    let tpm2 = section.tpm2.then_some(TpmSealing { pcrs });
    Ok(Keys { root: section.root, tpm2, recovery_key: section.recovery_key })
}

/// Gives every encrypted device its key, and fstab names that stay.
fn seal(layout: &mut StorageLayout, keys: &Keys) {
    let root = layout.volumes.iter().find(|volume| volume.mount_point.as_deref() == Some("/"));
    let root = root.map(|root| root.device.clone());
    for device in &mut layout.encrypted {
        let is_root = Some(&device.mapped_device) == root.as_ref();
        // In an encrypted root the key files of the others are safe, and open them sooner.
        let is_sealed = is_root || !keys.root;
        device.key = EncryptionKey::RandomFile {
            tpm2: keys.tpm2.clone().filter(|_| is_sealed),
            recovery_key: keys.recovery_key,
        };
        device.create_options = LUKS_OPTIONS.map(str::to_owned).to_vec();
    }
    for volume in &mut layout.volumes {
        volume.fstab_key = FstabKey::Uuid;
    }
}

/// File systems that are too small for their part of the image.
fn too_small(install: &ImageInstall<'_>, layout: &StorageLayout) -> Vec<Diagnostic> {
    let mounted: Vec<(&str, &Volume)> = layout
        .volumes
        .iter()
        .filter_map(|volume| Some((volume.mount_point.as_deref()?, volume)))
        .collect();
    let below = |point: &str| -> u64 {
        match point {
            "/" => install.summary.occupied_bytes,
            point => install.summary.directory_bytes.get(point).copied().unwrap_or(0),
        }
    };
    let is_inside = |inner: &str, outer: &str| {
        let outer = outer.trim_end_matches('/');
        inner != outer && inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
    };
    let mut found = Vec::new();
    for (point, volume) in &mounted {
        // What is mounted directly below counts there; deeper ones are a part of it.
        let inner = mounted.iter().map(|(other, _)| *other).filter(|other| is_inside(other, point));
        let inner: Vec<&str> = inner.collect();
        let direct = inner.iter().filter(|one| !inner.iter().any(|other| is_inside(one, other)));
        let elsewhere: u64 = direct.map(|inner| below(inner)).sum();
        let own = below(point).saturating_sub(elsewhere);
        let needed = own + own * OVERHEAD_PERCENT / 100 + OVERHEAD_BYTES;
        if own > 0 && needed > volume.size_bytes {
            let message = format!(
                "the image has {} for {point}, and the file system only {}",
                ByteSize(own).rounded(),
                ByteSize(volume.size_bytes).rounded()
            );
            let cure = format!("ask for {} or more", ByteSize(needed).rounded());
            let source = &install.described.layout.source;
            let at = storage::Span { line: volume.why.line, column: 1, length: 0 };
            found.push(source.find(Finding::error("image-does-not-fit", message, cure), at));
        }
    }
    found
}

/// The step that keeps `/etc` of the system that was there: of the partition that is marked as a root,
/// else of the one that a root comes to, if it holds a file system.
pub(crate) fn old_root(layout: &StorageLayout, existing: &ExistingStorage) -> Option<Step> {
    let is_ours = |device: &str| layout.disks.iter().any(|disk| disk.device == device);
    let tables = existing.tables.iter().filter(|table| is_ours(&table.device));
    let partitions: Vec<_> = tables.flat_map(|table| &table.partitions).collect();
    let holds = |device: &str| {
        let known = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"];
        let signature = existing.signatures.iter().find(|found| found.device == device)?;
        known.contains(&signature.kind.as_str()).then_some(signature)
    };
    let new_root = layout.volumes.iter().find(|volume| volume.mount_point.as_deref() == Some("/"));
    let is_labelled = |signature: &&ExistingSignature| signature.label.as_deref() == Some("rootfs");
    let found = partitions
        .iter()
        .filter_map(|partition| holds(&partition.device))
        .find(is_labelled)
        .or_else(|| {
            let typed = partitions.iter().find(|p| ROOT_TYPES.contains(&p.type_code.as_str()));
            typed.and_then(|partition| holds(&partition.device))
        })
        .or_else(|| new_root.and_then(|root| holds(&root.device)))?;
    let device = found.device.clone();
    let action = Action::KeepOldEtc { device, file_system: found.kind.clone() };
    Some(step("keep-old-etc", action, Why::because("what was set there may be wanted again")))
}
