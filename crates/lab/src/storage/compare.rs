//! What a plan promised against what was found.

use super::found::Found;
use hostwright_model::storage::{
    DiskLayout, EncryptedDevice, EncryptionKey, Fate, FstabKey, Partition, PartitionContent,
    RaidArray, StorageLayout, TableFate, TableKind, Volume, VolumeGroup,
};
use serde_json::Value;

/// Everything of a layout that is not there, or is otherwise.
pub(super) fn with_layout(layout: &StorageLayout, found: &Found) -> Vec<String> {
    let mut problems = Vec::new();
    for disk in layout.disks.iter().filter(|disk| disk.table_fate == TableFate::Write) {
        problems.extend(table(disk, found));
    }
    problems.extend(layout.arrays.iter().flat_map(|a| array(a, found)));
    problems.extend(layout.encrypted.iter().flat_map(|e| encrypted(e, found)));
    problems.extend(layout.volume_groups.iter().flat_map(|g| group(g, found)));
    problems.extend(layout.volumes.iter().flat_map(|v| volume(v, found)));
    problems
}

/// A note where two things that should be the same are not.
fn differs(
    problems: &mut Vec<String>,
    what: impl std::fmt::Display,
    wanted: impl std::fmt::Display,
    found: impl std::fmt::Display,
) {
    let (wanted, found) = (wanted.to_string(), found.to_string());
    if wanted != found {
        problems.push(format!("{what} is '{found}', promised was '{wanted}'"));
    }
}

fn table(disk: &DiskLayout, found: &Found) -> Vec<String> {
    let Some(table) = found.tables.get(&disk.device) else {
        return vec![format!("{} has no partition table", disk.device)];
    };
    let table = &table["partitiontable"];
    let mut problems = Vec::new();
    let kind = if disk.table == TableKind::Msdos { "dos" } else { "gpt" };
    differs(&mut problems, format!("table of {}", disk.device), kind, text(&table["label"]));
    let entries = table["partitions"].as_array().cloned().unwrap_or_default();
    differs(
        &mut problems,
        format!("number of partitions of {}", disk.device),
        disk.partitions.len(),
        entries.len(),
    );
    for partition in &disk.partitions {
        match entries.iter().find(|entry| text(&entry["node"]) == partition.device) {
            Some(entry) => problems.extend(entry_differs(partition, disk, entry)),
            None => problems.push(format!("{} is not there", partition.device)),
        }
    }
    problems
}

fn entry_differs(partition: &Partition, disk: &DiskLayout, entry: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let name = &partition.device;
    let sector = u64::from(disk.sector_bytes);
    let bytes = |key: &str| entry[key].as_u64().unwrap_or_default() * sector;
    differs(&mut problems, format!("start of {name}"), partition.start_bytes, bytes("start"));
    // sfdisk shows all of an extended partition, as the table does.
    differs(&mut problems, format!("size of {name}"), partition.size_bytes(), bytes("size"));
    if let Some(wanted) = &partition.name {
        differs(&mut problems, format!("name of {name}"), wanted, text(&entry["name"]));
    }
    if let Some(existing) = partition.existing.as_ref().filter(|_| partition.fate != Fate::Create) {
        if let Some(uuid) = &existing.uuid {
            differs(&mut problems, format!("PARTUUID of {name}"), uuid, text(&entry["uuid"]));
        }
        return problems;
    }
    let bootable = entry["bootable"].as_bool().unwrap_or(false);
    differs(&mut problems, format!("active flag of {name}"), partition.bootable, bootable);
    if let Some(kinds) = type_codes(partition.content, disk.table) {
        let kind = text(&entry["type"]);
        if !kinds.contains(&kind) {
            problems.push(format!("type of {name} is {kind}, promised was {}", kinds.join(" or ")));
        }
    }
    problems
}

/// The types that a partition for this content may have; `None` where any will do.
fn type_codes(content: PartitionContent, table: TableKind) -> Option<&'static [&'static str]> {
    let codes: (&[&str], &[&str]) = match content {
        PartitionContent::Linux => (&["83"], &["0FC63DAF-8483-4772-8E79-3D69D8477DE4"]),
        PartitionContent::Swap => (&["82"], &["0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"]),
        PartitionContent::Lvm => (&["8e"], &["E6D6D379-F507-44C2-A23C-238F2A3DF928"]),
        PartitionContent::Raid => (&["fd"], &["A19D880F-05FC-4D3B-A006-743F0F84911E"]),
        PartitionContent::EfiSystem => (&["ef"], &["C12A7328-F81F-11D2-BA4B-00A0C93EC93B"]),
        PartitionContent::BiosBoot => (&[], &["21686148-6449-6E6F-744E-656564454649"]),
        PartitionContent::Extended => (&["5", "f"], &[]),
        PartitionContent::Fat => return None,
    };
    Some(if table == TableKind::Msdos { codes.0 } else { codes.1 })
}

fn array(array: &RaidArray, found: &Found) -> Vec<String> {
    let name = &array.device;
    let Some(words) = found.arrays.get(found.real(name)) else {
        return vec![format!("{name} is not there")];
    };
    let word = |key: &str| words.get(key).map(String::as_str).unwrap_or_default();
    let mut problems = Vec::new();
    differs(&mut problems, format!("level of {name}"), array.level.name(), word("MD_LEVEL"));
    let places = array.members.iter().filter(|member| !member.spare).count();
    differs(&mut problems, format!("devices of {name}"), places, word("MD_DEVICES"));
    let mut members: Vec<&str> = words
        .iter()
        .filter(|(key, _)| key.starts_with("MD_DEVICE_") && key.ends_with("_DEV"))
        .map(|(_, device)| found.real(device))
        .collect();
    let mut wanted: Vec<&str> =
        array.members.iter().filter_map(|m| Some(found.real(m.device.as_deref()?))).collect();
    members.sort_unstable();
    wanted.sort_unstable();
    differs(&mut problems, format!("members of {name}"), wanted.join(" "), members.join(" "));
    if let Some(uuid) = &array.uuid {
        differs(&mut problems, format!("UUID of {name}"), uuid, word("MD_UUID"));
    }
    problems
}

fn encrypted(device: &EncryptedDevice, found: &Found) -> Vec<String> {
    let name = &device.mapped_device;
    let Some(words) = found.mappings.get(name) else {
        return vec![format!("{name} is not open")];
    };
    let mut problems = Vec::new();
    let is_plain = matches!(device.key, EncryptionKey::RandomTmp | EncryptionKey::RandomSwap);
    let kind = words.get("TYPE").map(String::as_str).unwrap_or_default();
    if is_plain != (kind == "PLAIN") {
        problems.push(format!("{name} is of type {kind}"));
    }
    let lower = words.get("LOWER").map(String::as_str).unwrap_or_default();
    let wanted = found.real(&device.device);
    differs(&mut problems, format!("device below {name}"), wanted, found.real(lower));
    if !is_plain {
        let holds = found.id(&device.device, "TYPE").unwrap_or_default();
        differs(&mut problems, format!("content of {}", device.device), "crypto_LUKS", holds);
    }
    problems
}

fn group(group: &VolumeGroup, found: &Found) -> Vec<String> {
    let name = &group.name;
    let Some(devices) = found.groups.get(name) else {
        return vec![format!("volume group {name} is not there")];
    };
    let mut problems = Vec::new();
    let mut wanted: Vec<&str> = group.physical_volumes.iter().map(|d| found.real(d)).collect();
    let mut devices: Vec<&str> = devices.iter().map(|device| found.real(device)).collect();
    wanted.sort_unstable();
    devices.sort_unstable();
    let what = format!("physical volumes of {name}");
    differs(&mut problems, what, wanted.join(" "), devices.join(" "));
    for volume in &group.logical_volumes {
        let key = format!("{name}/{}", volume.name);
        match found.logical_volumes.get(&key) {
            // lvcreate rounds up to extents, and the layout says what is asked for.
            Some(size) if *size >= volume.size_bytes && *size - volume.size_bytes < 64 << 20 => {}
            Some(size) => differs(&mut problems, format!("size of {key}"), volume.size_bytes, size),
            None => problems.push(format!("logical volume {key} is not there")),
        }
    }
    problems
}

fn volume(volume: &Volume, found: &Found) -> Vec<String> {
    let kind = volume.file_system.as_deref();
    let mut problems = Vec::new();
    let device = &volume.device;
    let is_remote = matches!(kind, Some("nfs"));
    if let Some(kind) = kind.filter(|kind| *kind != "tmpfs" && !is_remote) {
        let holds = found.id(device, "TYPE").unwrap_or("nothing");
        differs(&mut problems, format!("content of {device}"), kind, holds);
        if let Some(label) = wanted_label(volume) {
            let found = found.id(device, "LABEL").unwrap_or_default();
            differs(&mut problems, format!("label of {device}"), label, found);
        }
    }
    if kind == Some("swap") {
        if !found.swaps.iter().any(|swap| found.real(swap) == found.real(device)) {
            problems.push(format!("{device} is not swapped to"));
        }
    } else if let Some(point) = volume.mount_point.as_deref().filter(|_| !is_remote) {
        match found.mounts.get(point) {
            Some([source, _, _]) if kind != Some("tmpfs") => {
                // findmnt adds the subvolume of a btrfs in brackets.
                let source = source.split('[').next().unwrap_or_default();
                let devices = volume.btrfs.as_ref().map(|btrfs| btrfs.devices.as_slice());
                let all = devices.unwrap_or(std::slice::from_ref(device));
                if !all.iter().any(|device| found.real(device) == found.real(source)) {
                    problems.push(format!("{source} is mounted on {point} instead of {device}"));
                }
            }
            Some(_) => {}
            None => problems.push(format!("nothing is mounted on {point}")),
        }
    }
    problems.extend(fstab_line(volume, found));
    problems
}

/// The label that mkfs was asked for.
fn wanted_label(volume: &Volume) -> Option<&str> {
    let flags = ["-L", "-n", "--label"];
    let at = volume.create_options.iter().position(|word| flags.contains(&word.as_str()))?;
    volume.create_options.get(at + 1).map(String::as_str)
}

/// The line of fstab for a volume, if fstab was read with this look at the machine.
fn fstab_line(volume: &Volume, found: &Found) -> Vec<String> {
    if found.fstab.is_empty() {
        return Vec::new();
    }
    let word = match volume.fstab_key {
        FstabKey::Device => None,
        FstabKey::Label => found.id(&volume.device, "LABEL").map(|id| format!("LABEL={id}")),
        FstabKey::Uuid => found.id(&volume.device, "UUID").map(|id| format!("UUID={id}")),
        FstabKey::Partuuid => {
            found.id(&volume.device, "PART_ENTRY_UUID").map(|id| format!("PARTUUID={id}"))
        }
        FstabKey::Partlabel => {
            volume.partition_name.as_ref().map(|name| format!("PARTLABEL={name}"))
        }
    };
    let key = word.unwrap_or_else(|| volume.device.clone());
    let is_swap = volume.file_system.as_deref() == Some("swap");
    let point = match &volume.mount_point {
        Some(point) => point.as_str(),
        None if is_swap => "none",
        None => return Vec::new(),
    };
    let has_line = found.fstab.iter().any(|fields| {
        fields.len() >= 4
            && (fields[0] == key || volume.file_system.as_deref() == Some("tmpfs"))
            && fields[1] == point
    });
    if has_line { Vec::new() } else { vec![format!("fstab has no line '{key} {point}'")] }
}

/// What was made in one boot has to have the same identifiers in the next.
pub(super) fn same_identifiers(
    layout: &StorageLayout,
    before: &Found,
    after: &Found,
) -> Vec<String> {
    let random = |device: &str| {
        layout.encrypted.iter().any(|encrypted| {
            encrypted.mapped_device == device
                && matches!(encrypted.key, EncryptionKey::RandomTmp | EncryptionKey::RandomSwap)
        })
    };
    let mut problems = Vec::new();
    for volume in layout.volumes.iter().filter(|volume| !random(&volume.device)) {
        for key in ["UUID", "LABEL", "PART_ENTRY_UUID"] {
            let (old, new) = (before.id(&volume.device, key), after.id(&volume.device, key));
            let what = format!("{key} of {} after a reboot", volume.device);
            differs(&mut problems, what, old.unwrap_or("none"), new.unwrap_or("none"));
        }
    }
    problems
}

/// What is kept has its identifiers and its content of the life before, what is made has new ones.
pub(super) fn fates(
    layout: &StorageLayout,
    before: Option<&Found>,
    after: &Found,
    marks: &[String],
) -> Vec<String> {
    let mut problems = Vec::new();
    for volume in &layout.volumes {
        let kept = volume.fate.keeps_content();
        if let Some(before) = before.filter(|_| volume.file_system.is_some()) {
            let ids = (before.id(&volume.device, "UUID"), after.id(&volume.device, "UUID"));
            if let (Some(old), Some(new)) = ids
                && kept != (old == new)
            {
                let word = if kept { "kept" } else { "new" };
                problems.push(format!("{} is not {word}: {old} became {new}", volume.device));
            }
        }
        let Some(point) = &volume.mount_point else { continue };
        let marked = marks.iter().any(|mark| mark == point);
        if before.is_some() && kept != marked {
            let word = if kept { "gone" } else { "still there" };
            problems.push(format!("the content of {point} is {word}"));
        }
    }
    problems
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
