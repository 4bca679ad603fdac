//! Saves what names and joins the data of disks before anything changes it, and puts it back.
//!
//! In the record of the run, a directory `storage`:
//!
//! ```text
//! index.json          every device, those that others are built on first
//! vda.sfdisk          its partition table in sfdisk's words
//! vda3.first, .last   the first and the last mebibyte: superblocks, labels, LVM's metadata
//! vg1.vgcfg           LVM's own backup of a group's metadata
//! vda5.luks           a LUKS header with its key slots
//! ```
//!
//! What the plan keeps is not saved: nobody changes it, and a superblock of yesterday would harm it.

use super::nodes;
use super::partition::found_table;
use super::table::Table;
use super::{Done, confirm};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::Disk;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::storage::StorageLayout;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Superblocks of md(4), labels of LVM, tables and the magic words of file systems lie within.
const EDGE_BYTES: u64 = 1 << 20;

/// A device whose ends were saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    device: String,
    size_bytes: u64,
    /// Name of its files.
    name: String,
    /// True for a disk with a partition table.
    has_table: bool,
    /// False for a disk that keeps something: only its table is put back.
    has_edges: bool,
    layer: Layer,
}

/// How a device comes to be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Layer {
    /// A disk or partition.
    Plain,
    /// A RAID array.
    Array { uuid: String, members: Vec<String> },
    /// A logical volume.
    Volume { group_uuid: String },
}

/// Saves everything that the run is going to change on `devices`.
pub(super) fn save(work: &mut Work<'_>, devices: &[String]) -> Result<Done, ActionError> {
    let storage = work.inputs.facts.storage.clone();
    let kept = kept_devices(work.plan.layout.as_ref());
    let mut index = Vec::new();
    for (device, layer) in affected(&storage, devices) {
        if !kept.contains(&device) && work.exists(&device)? {
            index.push(save_device(work, device, layer, &storage, &kept)?);
        }
    }
    save_groups(work, &storage, &index)?;
    let text = serde_json::to_vec_pretty(&index).expect("invariant: plain values");
    work.host.write(&path(work, "index.json"), &text, 0o600)?;
    Ok(Done::changed())
}

fn path(work: &Work<'_>, name: &str) -> String {
    format!("{}/storage/{name}", work.settings.record_dir)
}

/// Everything that keeps its content in this layout.
fn kept_devices(layout: Option<&StorageLayout>) -> BTreeSet<String> {
    let Some(layout) = layout else { return BTreeSet::new() };
    let partitions = layout.disks.iter().flat_map(|disk| &disk.partitions);
    let partitions = partitions.filter(|partition| partition.fate.needs_existing());
    let partitions = partitions.flat_map(|partition| {
        let before = partition.existing.as_ref().map(|old| old.device.clone());
        before.into_iter().chain([partition.device.clone()])
    });
    let arrays = layout.arrays.iter().filter(|array| array.fate.needs_existing());
    let volumes = layout.volume_groups.iter().flat_map(|group| &group.logical_volumes);
    let volumes = volumes.filter(|volume| volume.fate.needs_existing());
    partitions
        .chain(arrays.map(|array| array.device.clone()))
        .chain(volumes.map(|volume| volume.device.clone()))
        .collect()
}

/// The devices themselves and all that is built on them, each behind what it is built on.
fn affected(storage: &ExistingStorage, devices: &[String]) -> Vec<(String, Layer)> {
    let mut found: Vec<(String, Layer)> = Vec::new();
    let add = |found: &mut Vec<(String, Layer)>, device: &str, layer: Layer| {
        if found.iter().all(|(known, _)| known != device) {
            found.push((device.to_owned(), layer));
        }
    };
    let is_layer = |device: &String| {
        storage.arrays.iter().any(|array| array.device.as_ref() == Some(device))
            || storage.groups.iter().flat_map(|g| &g.logical_volumes).any(|v| v.device == *device)
    };
    for device in devices.iter().filter(|device| !is_layer(device)) {
        add(&mut found, device, Layer::Plain);
    }
    for table in &storage.tables {
        if devices.contains(&table.device) {
            for partition in &table.partitions {
                add(&mut found, &partition.device, Layer::Plain);
            }
        }
    }
    loop {
        let before = found.len();
        let on = |members: &[String]| members.iter().any(|m| found.iter().any(|(d, _)| d == m));
        let mut more = Vec::new();
        for array in storage.arrays.iter().filter(|array| on(&array.members)) {
            if let Some(device) = &array.device {
                let (uuid, members) = (array.uuid.clone(), array.members.clone());
                more.push((device.clone(), Layer::Array { uuid, members }));
            }
        }
        for group in storage.groups.iter().filter(|group| on(&group.physical_volumes)) {
            for volume in &group.logical_volumes {
                let group_uuid = group.uuid.clone();
                more.push((volume.device.clone(), Layer::Volume { group_uuid }));
            }
        }
        for (device, layer) in more {
            add(&mut found, &device, layer);
        }
        if found.len() == before {
            return found;
        }
    }
}

fn save_device(
    work: &mut Work<'_>,
    device: String,
    layer: Layer,
    storage: &ExistingStorage,
    kept: &BTreeSet<String>,
) -> Result<Saved, ActionError> {
    let name = device.trim_start_matches("/dev/").replace('/', "_");
    let size_bytes = size_of(work, &device)?;
    let table = storage.tables.iter().find(|table| table.device == device);
    let has_table = table.is_some() && save_table(work, &device, &name)?;
    let keeps =
        table.is_some_and(|table| table.partitions.iter().any(|part| kept.contains(&part.device)));
    if !keeps {
        for (end, offset, length) in edges(size_bytes) {
            let bytes = work.host.read_at(&device, offset, length)?;
            work.host.write(&path(work, &format!("{name}.{end}")), &bytes, 0o600)?;
        }
    }
    let mut signatures = storage.signatures.iter();
    if signatures.any(|found| found.device == device && found.kind == "crypto_LUKS") {
        save_luks_header(work, &device, &name)?;
    }
    let has_edges = !keeps;
    Ok(Saved { device, size_bytes, name, has_table, has_edges, layer })
}

/// False for a table that sfdisk(8) does not understand: then only its bytes are saved.
fn save_table(work: &mut Work<'_>, device: &str, name: &str) -> Result<bool, ActionError> {
    let dump = work.try_tool(Command::new(Tool::Sfdisk).args(["--dump", device]))?;
    if dump.status == 0 {
        work.host.write(&path(work, &format!("{name}.sfdisk")), dump.stdout.as_bytes(), 0o600)?;
    }
    Ok(dump.status == 0)
}

fn size_of(work: &mut Work<'_>, device: &str) -> Result<u64, ActionError> {
    let output = work.tool(Command::new(Tool::Blockdev).args(["--getsize64", device]))?;
    output.stdout.trim().parse().map_err(|_| {
        ActionError::new(
            FaultKind::Environment,
            "no-device-size",
            format!("blockdev does not tell the size of {device}"),
            "look for errors of the disk in dmesg",
        )
    })
}

/// Names, offsets and lengths of both ends.
fn edges(size_bytes: u64) -> [(&'static str, u64, usize); 2] {
    let length = EDGE_BYTES.min(size_bytes);
    [("first", 0, length as usize), ("last", size_bytes - length, length as usize)]
}

/// Key slots lie behind the first mebibyte. A damaged header has nothing worth saving.
fn save_luks_header(work: &mut Work<'_>, device: &str, name: &str) -> Result<(), ActionError> {
    let file = path(work, &format!("{name}.luks"));
    work.host.remove(&file)?;
    let backup = Command::new(Tool::Cryptsetup).args([
        "luksHeaderBackup",
        "--header-backup-file",
        &file,
        device,
    ]);
    work.try_tool(backup)?;
    Ok(())
}

/// LVM writes its own backup of each group that loses something. One that it cannot read is saved
/// with the ends of its devices only.
fn save_groups(
    work: &mut Work<'_>,
    storage: &ExistingStorage,
    index: &[Saved],
) -> Result<(), ActionError> {
    let is_saved = |device: &String| index.iter().any(|saved| saved.device == *device);
    for group in &storage.groups {
        if !group.is_partial && group.physical_volumes.iter().any(is_saved) {
            let file = path(work, &format!("{}.vgcfg", group.name));
            work.try_tool(Command::new(Tool::Vgcfgbackup).args(["--file", &file, &group.name]))?;
        }
    }
    Ok(())
}

/// Puts back what [`save`] saved from `disks`, and reads it again to be sure. How many devices were
/// changed.
pub(crate) fn put_back(work: &mut Work<'_>, disks: &[Disk]) -> Result<usize, ActionError> {
    confirm::confirm_saved_disks(work, disks)?;
    let file = path(work, "index.json");
    let unreadable = |reason: String| {
        ActionError::from(Box::new(Fault::new(
            FaultKind::Environment,
            "nothing-saved",
            format!("{file} cannot be read: {reason}"),
            "only a run that saved the disks' metadata can be undone, from its record directory",
        )))
    };
    let bytes = work.host.read(&file)?.ok_or_else(|| unreadable("it is not there".to_owned()))?;
    let index: Vec<Saved> =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let mut changed = 0;
    for saved in &index {
        bring_up(work, saved)?;
        changed += usize::from(put_device_back(work, saved)?);
    }
    Ok(changed)
}

/// Layers that were let go of come up again, once what they are built on is back.
fn bring_up(work: &mut Work<'_>, saved: &Saved) -> Result<(), ActionError> {
    if work.exists(&saved.device)? {
        return Ok(());
    }
    match &saved.layer {
        Layer::Plain => {}
        Layer::Array { uuid, members } => {
            let assemble = Command::new(Tool::Mdadm)
                .args(["--assemble", &saved.device, "--run"])
                .arg(format!("--uuid={uuid}"));
            work.tool(assemble.args(members))?;
        }
        Layer::Volume { group_uuid } => {
            let select = format!("vg_uuid={group_uuid}");
            let activate =
                Command::new(Tool::Vgchange).args(["--activate", "y", "--select", &select]);
            work.tool(activate)?;
        }
    }
    nodes::wait_for(work, &[&saved.device])
}

fn put_device_back(work: &mut Work<'_>, saved: &Saved) -> Result<bool, ActionError> {
    let device = &saved.device;
    if size_of(work, device)? != saved.size_bytes {
        return Err(not_put_back(device, "it has another size now"));
    }
    let mut changed = false;
    if saved.has_edges {
        for (end, offset, length) in edges(saved.size_bytes) {
            let wanted = read_saved(work, &format!("{}.{end}", saved.name))?;
            if work.host.read_at(device, offset, length)? == wanted {
                continue;
            }
            work.host.write_at(device, offset, &wanted)?;
            if work.host.read_at(device, offset, length)? != wanted {
                return Err(not_put_back(device, "it does not hold what was written"));
            }
            changed = true;
        }
    }
    if saved.has_table {
        changed |= put_table_back(work, saved)?;
    }
    Ok(changed)
}

/// Logical partitions are described all over the disk, so sfdisk(8) writes the table once more.
fn put_table_back(work: &mut Work<'_>, saved: &Saved) -> Result<bool, ActionError> {
    let device = &saved.device;
    let dump = read_saved(work, &format!("{}.sfdisk", saved.name))?;
    let wanted = Table::parse_dump(device, &String::from_utf8_lossy(&dump));
    let changed = found_table(work, device)? != wanted;
    if changed {
        let sfdisk = Command::new(Tool::Sfdisk).args([
            "--wipe",
            "never",
            "--wipe-partitions",
            "never",
            "--no-reread",
            "--quiet",
        ]);
        work.tool(sfdisk.arg(device).stdin(dump))?;
        if found_table(work, device)? != wanted {
            return Err(not_put_back(device, "it has another partition table"));
        }
    }
    let last = wanted.as_ref().and_then(Table::last_number).unwrap_or(1);
    let range = format!("1:{}", last.max(1));
    work.tool(Command::new(Tool::Partx).args(["--update", device]))?;
    work.tool(Command::new(Tool::Partx).args(["--update", "--nr", &range, device]))?;
    nodes::settle(work);
    Ok(changed)
}

fn read_saved(work: &mut Work<'_>, name: &str) -> Result<Vec<u8>, ActionError> {
    let file = path(work, name);
    let bytes = work.host.read(&file)?;
    bytes.ok_or_else(|| not_put_back(&file, "it is not in the record of the run"))
}

fn not_put_back(what: &str, reason: &str) -> ActionError {
    ActionError::new(
        FaultKind::Hardware,
        "not-put-back",
        format!("{what} cannot be put back: {reason}"),
        "look for errors of the disk in dmesg; the saved tables are below 'storage' in the record",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::existing::{ExistingArray, ExistingGroup, ExistingLogicalVolume};

    #[test]
    fn layers_come_behind_what_they_are_built_on() {
        let storage = ExistingStorage {
            arrays: vec![ExistingArray {
                device: Some("/dev/md0".to_owned()),
                uuid: "1".to_owned(),
                name: None,
                level: None,
                metadata: "1.2".to_owned(),
                wanted_devices: 1,
                members: vec!["/dev/sda".to_owned()],
                size_bytes: None,
            }],
            groups: vec![ExistingGroup {
                name: "vg".to_owned(),
                uuid: "2".to_owned(),
                physical_volumes: vec!["/dev/md0".to_owned()],
                is_partial: false,
                size_bytes: 1,
                extent_bytes: 1,
                logical_volumes: vec![ExistingLogicalVolume {
                    name: "lv".to_owned(),
                    device: "/dev/vg/lv".to_owned(),
                    uuid: "3".to_owned(),
                    size_bytes: 1,
                }],
            }],
            ..ExistingStorage::default()
        };
        let given = ["/dev/vg/lv", "/dev/sda"].map(str::to_owned);
        let found: Vec<String> =
            affected(&storage, &given).into_iter().map(|(device, _)| device).collect();
        assert_eq!(found, ["/dev/sda", "/dev/md0", "/dev/vg/lv"]);
        assert!(affected(&storage, &["/dev/sdb".to_owned()]).len() == 1);
    }

    #[test]
    fn the_ends_of_a_small_device_are_all_of_it() {
        assert_eq!(edges(1024), [("first", 0, 1024), ("last", 0, 1024)]);
        assert_eq!(edges(3 << 20)[1], ("last", 2 << 20, 1 << 20));
    }
}
