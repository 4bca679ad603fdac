//! Everything that is formatted or mounted, in the order of the file.

use super::assemble::Parts;
use super::ast::{LineKind, MountPoint, VolumeSpec};
use super::numbering::Content;
use super::size::{Amount, mib_to_bytes};
use super::source::Span;
use super::stack::logical_device;
use hostwright_model::storage::{BtrfsProfile, Fate, FstabKey, TableKind, Volume};

/// The volumes of a layout.
pub(super) fn volumes(parts: &mut Parts<'_, '_>) -> Vec<Volume> {
    let mut volumes = Vec::new();
    volumes.extend(on_disks(parts));
    volumes.extend(on_stack(parts));
    volumes.extend(in_memory(parts));
    volumes.extend(on_servers(parts));
    volumes.sort_by_key(|volume| volume.why.line);
    volumes
}

/// What is asked of one volume.
struct Request<'a> {
    spec: &'a VolumeSpec,
    at: Span,
    device: String,
    key: FstabKey,
    /// Of a btrfs that has a line of its own: its profile, all devices, and whether an earlier line
    /// makes it.
    btrfs: Option<(&'a str, &'a [String], bool)>,
}

/// `None` where nothing is to be made or mounted.
fn volume(parts: &Parts<'_, '_>, request: Request<'_>) -> Option<Volume> {
    let Request { spec, at, device, key, btrfs } = request;
    if spec.is_empty() {
        return None;
    }
    let file_system = spec.file_system.value.clone();
    let alone = [device.clone()];
    let (profile, devices, shares) = btrfs.unwrap_or(("single", &alone, false));
    let is_btrfs = file_system.as_deref() == Some("btrfs");
    Some(Volume {
        size_bytes: devices.iter().filter_map(|device| parts.sizes.get(device)).sum(),
        mount_point: spec.mount_point.value.path().map(str::to_owned),
        mount_options: spec.mount_options.value.clone(),
        create_options: spec.create_options.clone(),
        tune_options: spec.tune_options.value.clone(),
        fstab_key: key,
        partition_name: None,
        btrfs: spec.subvolume().filter(|_| is_btrfs).map(|subvolume| BtrfsProfile {
            data_profile: Some(profile.to_owned()),
            devices: devices.to_vec(),
            subvolume: subvolume.to_owned(),
            shares,
        }),
        fate: fate(parts, &device),
        why: parts.config.why(at),
        file_system,
        device,
    })
}

/// What becomes of the content of a device.
fn fate(parts: &Parts<'_, '_>, device: &str) -> Fate {
    let keeping = parts.keeping;
    if !keeping.holds(device) {
        return Fate::Create;
    }
    if keeping.always_format.contains(device) {
        return Fate::Reformat;
    }
    let partition = keeping.partitions.get(device);
    let logical = keeping.volumes.get(device);
    let from = match (partition, logical) {
        (Some(kept), _) if kept.resize => kept.existing.size_bytes,
        (_, Some(kept)) if kept.resize.is_some() => kept.existing.size_bytes,
        _ => return Fate::Keep,
    };
    match parts.sizes.get(device) {
        Some(size) if *size != from => Fate::Resize { from_bytes: from },
        _ => Fate::Keep,
    }
}

fn on_disks(parts: &Parts<'_, '_>) -> Vec<Volume> {
    let mut volumes = Vec::new();
    for place in parts.places {
        let key = place.stanza.fstab_key;
        for line in place.stanza.partitions.iter().filter(|line| line.kind == LineKind::RawDisk) {
            let device = place.disk.device();
            let (spec, at) = (&line.volume, line.at);
            volumes.extend(volume(parts, Request { spec, at, device, key, btrfs: None }));
        }
        for partition in &place.numbered {
            let Content::Line(line) = partition.content else { continue };
            let (spec, at) = (&line.volume, line.at);
            let device = place.device_of(partition.number);
            let request = Request { spec, at, device, key, btrfs: None };
            let made = volume(parts, request).filter(|_| spec.encrypt.is_none());
            volumes.extend(made.map(|volume| Volume {
                partition_name:
                    line.name.clone().filter(|_| place.stanza.table != TableKind::Msdos),
                ..volume
            }));
        }
    }
    volumes
}

fn on_stack(parts: &Parts<'_, '_>) -> Vec<Volume> {
    let mut volumes = Vec::new();
    let plain = |spec: &VolumeSpec| spec.encrypt.is_none();
    for array in parts.stack.arrays.iter().filter(|array| plain(&array.line.volume)) {
        let (spec, at, device) = (&array.line.volume, array.line.at, array.device.clone());
        let key = array.stanza.fstab_key;
        volumes.extend(volume(parts, Request { spec, at, device, key, btrfs: None }));
    }
    for crypt in &parts.stack.crypts {
        let (spec, at, device) = (crypt.volume, crypt.at, crypt.mapped());
        let key = FstabKey::Device;
        volumes.extend(volume(parts, Request { spec, at, device, key, btrfs: None }));
    }
    // FAI keeps one fstabkey for all groups: that of the last stanza.
    let key = parts.config.lvm.last().map_or(FstabKey::Device, |stanza| stanza.fstab_key);
    let logical = parts.stack.groups.iter().flat_map(|group| &group.volumes);
    for line in logical.filter(|line| plain(&line.volume)) {
        let (spec, at, device) = (&line.volume, line.group.at, logical_device(line));
        volumes.extend(volume(parts, Request { spec, at, device, key, btrfs: None }));
    }
    for btrfs in &parts.stack.btrfs {
        let Some(first) = btrfs.devices.first() else { continue };
        let (spec, at, device) = (&btrfs.line.volume, btrfs.line.at, first.clone());
        let key = btrfs.stanza.fstab_key;
        let on = Some((btrfs.line.profile.as_str(), btrfs.devices.as_slice(), btrfs.shares));
        let made = volume(parts, Request { spec, at, device, key, btrfs: on });
        // What lies on more than one device cannot be kept: no line says what it was.
        volumes.extend(made.map(|volume| Volume { fate: Fate::Create, ..volume }));
    }
    volumes
}

/// Something that no device of this machine holds.
fn elsewhere(
    kind: &str,
    device: String,
    mount_point: &MountPoint,
    mount_options: String,
) -> Option<Volume> {
    let path = mount_point.path()?;
    Some(Volume {
        device,
        size_bytes: 0,
        file_system: Some(kind.to_owned()),
        mount_point: Some(path.to_owned()),
        mount_options,
        create_options: Vec::new(),
        tune_options: Vec::new(),
        fstab_key: FstabKey::Device,
        partition_name: None,
        btrfs: None,
        fate: Fate::Keep,
        why: hostwright_model::storage::Why::default(),
    })
}

fn in_memory(parts: &Parts<'_, '_>) -> Vec<Volume> {
    let volume = |line: &super::ast::TmpfsLine| {
        let options = &line.mount_options.value;
        let is_limited = options.contains("size=") || options.contains("nr_blocks=");
        let size = match line.size.filter(|_| !is_limited) {
            None => String::new(),
            Some(Amount::Mib(mib)) if mib.fract() == 0.0 => format!(",size={mib}m"),
            // The kernel reads whole numbers only; FAI writes a fraction, and the mount fails.
            Some(Amount::Mib(mib)) => format!(",size={}", mib_to_bytes(mib).round()),
            Some(Amount::RamPercent(percent) | Amount::Percent(percent)) => {
                format!(",size={percent}%")
            }
        };
        let point = &line.mount_point.value;
        let made = elsewhere("tmpfs", "tmpfs".to_owned(), point, format!("{options}{size}"))?;
        Some(Volume { why: parts.config.why(line.at), ..made })
    };
    parts.config.tmpfs.iter().filter_map(volume).collect()
}

fn on_servers(parts: &Parts<'_, '_>) -> Vec<Volume> {
    let volume = |line: &super::ast::NfsLine| {
        let source = line.source.value.replace("HOSTNAME", &parts.facts.hostname);
        let options = line.mount_options.value.clone();
        let made = elsewhere("nfs", source, &line.mount_point.value, options)?;
        Some(Volume { why: parts.config.why(line.at), ..made })
    };
    parts.config.nfs.iter().filter_map(volume).collect()
}
