//! Is our layout that of setup-storage?

use crate::oracle::{Answer, Placed};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::size::MIB;
use hostwright_model::storage::{
    DiskLayout, FstabKey, Partition, PartitionKind, RaidMember, StorageLayout, TableFate,
    TableKind, Volume,
};
use std::collections::{BTreeMap, BTreeSet};

/// What we say of a sample.
pub type Ours = Result<StorageLayout, Vec<Diagnostic>>;

/// Everything that differs, in words.
pub fn differences(theirs: &Answer, ours: &Ours) -> Vec<String> {
    match ours {
        Ok(layout) if theirs.accepted => {
            let mut found = Vec::new();
            partitions(theirs, layout, &mut found);
            volumes(theirs, layout, &mut found);
            fstab(theirs, layout, &mut found);
            variables(theirs, layout, &mut found);
            found
        }
        Ok(_) => vec![format!("FAI refuses: {} {:?}", theirs.message.trim(), theirs.words)],
        Err(_) if !theirs.accepted => Vec::new(),
        Err(errors) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            vec![format!("only we refuse: {}", errors.join("; "))]
        }
    }
}

fn unequal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    theirs: &T,
    ours: &T,
    found: &mut Vec<String>,
) {
    if theirs != ours {
        found.push(format!("{what}:\n      FAI  {theirs:?}\n      ours {ours:?}"));
    }
}

/// Number, first and last byte, whether it is the extended one, GPT name.
type Place = (u32, u64, u64, bool, String);

/// FAI computes fractions of bytes; what they do to a partition is less than this and a sector.
const FRACTION_BYTES: f64 = 16.0;

fn partitions(theirs: &Answer, layout: &StorageLayout, found: &mut Vec<String>) {
    let disks: BTreeSet<&String> =
        theirs.partitions.keys().chain(layout.disks.iter().map(|disk| &disk.device)).collect();
    for device in disks {
        let placed = theirs.partitions.get(device);
        let Some(disk) = layout.disks.iter().find(|other| other.device == *device) else {
            found.push(format!("{device} is not in our layout"));
            continue;
        };
        if placed.is_none() && disk.table_fate == TableFate::Leave {
            continue;
        }
        let placed = placed.cloned().unwrap_or_default();
        let ours = our_places(disk, &placed);
        let theirs = their_places(disk, &placed, &ours);
        unequal(device, &theirs, &ours, found);
        let is_moved = |(theirs, ours): (&Place, &Place)| {
            let rounded = placed[&theirs.0].start.floor() != ours.1 as f64
                || placed[&theirs.0].end.floor() != ours.2 as f64;
            theirs == ours && rounded
        };
        if theirs.len() == ours.len() && theirs.iter().zip(&ours).any(is_moved) {
            found.push(format!("rounding on {device}"));
        }
    }
}

/// True if a table has names, and this partition's is not the one it had before.
fn is_named(disk: &DiskLayout, place: Option<&Placed>) -> bool {
    let stays = disk.table_fate == TableFate::Leave || place.is_some_and(|place| place.kept);
    disk.table != TableKind::Msdos && !stays
}

fn our_places(disk: &DiskLayout, placed: &BTreeMap<u32, Placed>) -> Vec<Place> {
    let place = |part: &Partition| {
        let name = part.name.clone().filter(|_| is_named(disk, placed.get(&part.number)));
        let extended = part.kind == PartitionKind::Extended;
        (part.number, part.start_bytes, part.end_bytes, extended, name.unwrap_or_default())
    };
    disk.partitions.iter().map(place).collect()
}

/// With fractions rounded, and an extended partition of FAI's not before what lies before it.
fn their_places(disk: &DiskLayout, placed: &BTreeMap<u32, Placed>, ours: &[Place]) -> Vec<Place> {
    let sector_bytes = f64::from(disk.sector_bytes);
    let near =
        |theirs: f64, ours: u64| (theirs - ours as f64).abs() < FRACTION_BYTES + sector_bytes;
    let place = |(number, place): (&u32, &Placed)| {
        let own = ours.iter().find(|own| own.0 == *number);
        let round = |value: f64, own: Option<u64>| {
            own.filter(|own| near(value, *own)).unwrap_or(value.floor().max(0.0) as u64)
        };
        let mut start = round(place.start, own.map(|own| own.1));
        let before = ours.iter().map(|own| own.2 + 1).chain([MIB]);
        if let Some(own) = own.filter(|own| own.3 && start < own.1)
            && before.clone().any(|end| end == own.1)
        {
            start = own.1;
        }
        let name = if is_named(disk, Some(place)) { place.name.as_str() } else { "" };
        let end = round(place.end, own.map(|own| own.2));
        (*number, start, end, place.extended, name.to_owned())
    };
    placed.iter().map(place).collect()
}

/// lvcreate(8) reads a decimal number of MiB as so many whole sectors.
fn sectors(mib: &str) -> u64 {
    (mib.parse::<f64>().expect("a number") * 2048.0) as u64
}

/// The words of setup-storage's commands.
struct Commands(Vec<Vec<String>>);

impl Commands {
    fn of(theirs: &Answer) -> Self {
        let words = |command: &String| command.split_whitespace().map(str::to_owned).collect();
        Self(theirs.commands.iter().map(words).collect())
    }

    /// Commands that begin with a program, or several programs of one name.
    fn of_tool(&self, name: &'static str) -> impl Iterator<Item = &Vec<String>> {
        self.0.iter().filter(move |words| words[0].starts_with(name))
    }
}

/// File systems, arrays, groups and volumes that are made.
fn volumes(theirs: &Answer, layout: &StorageLayout, found: &mut Vec<String>) {
    let commands = Commands::of(theirs);
    file_systems(&commands, layout, found);
    logical_volumes(&commands, layout, found);
    arrays(&commands, layout, found);
    groups(&commands, layout, found);
    encrypted(theirs, layout, found);
}

fn file_systems(commands: &Commands, layout: &StorageLayout, found: &mut Vec<String>) {
    let kind = |tool: &str| match tool {
        "mkswap" => "swap".to_owned(),
        tool => tool["mkfs.".len()..].to_owned(),
    };
    let theirs: BTreeSet<(String, String)> = commands
        .of_tool("mkfs.")
        .chain(commands.of_tool("mkswap"))
        .filter(|words| words[0] != "mkfs.btrfs")
        .map(|words| (kind(&words[0]), words.last().unwrap().clone()))
        .collect();
    let ours: BTreeSet<(String, String)> = layout
        .volumes
        .iter()
        .filter(|volume| !volume.fate.keeps_content())
        .filter_map(|volume| Some((volume.file_system.clone()?, volume.device.clone())))
        .filter(|(kind, _)| kind != "tmpfs" && kind != "nfs" && kind != "btrfs")
        .collect();
    unequal("file systems", &theirs, &ours, found);
}

fn logical_volumes(commands: &Commands, layout: &StorageLayout, found: &mut Vec<String>) {
    let after = |words: &[String], flag: &str| {
        words[words.iter().position(|word| word == flag).unwrap() + 1].clone()
    };
    let theirs: BTreeMap<String, u64> = commands
        .of_tool("lvcreate")
        .map(|words| {
            let device = format!("/dev/{}/{}", words.last().unwrap(), after(words, "-n"));
            (device, sectors(&after(words, "-L")))
        })
        .collect();
    let ours: BTreeMap<String, u64> = layout
        .volume_groups
        .iter()
        .flat_map(|group| &group.logical_volumes)
        .filter(|volume| !volume.fate.needs_existing())
        .map(|volume| (volume.device.clone(), volume.size_bytes / 512))
        .collect();
    unequal("logical volumes", &theirs, &ours, found);
}

fn arrays(commands: &Commands, layout: &StorageLayout, found: &mut Vec<String>) {
    let theirs: BTreeSet<(String, BTreeSet<String>)> = commands
        .0
        .iter()
        .filter(|words| words.iter().any(|word| word == "--create"))
        .map(|words| {
            let devices = words.iter().filter(|w| w.starts_with("/dev/") || *w == "missing");
            let devices: Vec<String> = devices.cloned().collect();
            (devices[0].clone(), devices[1..].iter().cloned().collect())
        })
        .collect();
    let member =
        |member: &RaidMember| member.device.clone().unwrap_or_else(|| "missing".to_owned());
    let ours: BTreeSet<(String, BTreeSet<String>)> = layout
        .arrays
        .iter()
        .filter(|array| !array.fate.needs_existing())
        .map(|array| (array.device.clone(), array.members.iter().map(member).collect()))
        .collect();
    unequal("arrays", &theirs, &ours, found);
}

fn groups(commands: &Commands, layout: &StorageLayout, found: &mut Vec<String>) {
    let theirs: BTreeSet<(String, BTreeSet<String>)> = commands
        .of_tool("vgcreate")
        .map(|words| (words[1].clone(), words[2..].iter().cloned().collect()))
        .collect();
    let ours: BTreeSet<(String, BTreeSet<String>)> = layout
        .volume_groups
        .iter()
        .filter(|group| !group.fate.needs_existing())
        .map(|group| (group.name.clone(), group.physical_volumes.iter().cloned().collect()))
        .collect();
    unequal("volume groups", &theirs, &ours, found);
}

fn encrypted(theirs: &Answer, layout: &StorageLayout, found: &mut Vec<String>) {
    let theirs: BTreeSet<(String, String)> = theirs
        .crypttab
        .iter()
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            (fields.next().unwrap(), fields.next().unwrap())
        })
        .collect();
    let ours: BTreeSet<(String, String)> =
        layout.encrypted.iter().map(|own| (own.name.clone(), own.device.clone())).collect();
    unequal("encrypted devices", &theirs, &ours, found);
}

/// How fstab names a volume, with the identifiers that the oracle is told.
fn key(volume: &Volume) -> String {
    let device = volume.device.as_str();
    let name = match volume.fstab_key {
        FstabKey::Device => return device.to_owned(),
        FstabKey::Label => "LABEL",
        FstabKey::Uuid => "UUID",
        FstabKey::Partuuid => "PARTUUID",
        FstabKey::Partlabel => "PARTLABEL",
    };
    format!("{name}={name}-of-{device}")
}

fn fstab(theirs: &Answer, layout: &StorageLayout, found: &mut Vec<String>) {
    unequal("fstab", &their_fstab(theirs), &our_fstab(layout), found);
}

/// The first four fields of each line.
fn their_fstab(theirs: &Answer) -> BTreeSet<Vec<String>> {
    let entries = theirs.fstab.iter().flat_map(|text| text.lines());
    entries
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split('\t').take(4).map(whole_size).collect())
        .collect()
}

/// A field of fstab. The kernel refuses fractions such as FAI's `size=73.4329223632812m`.
fn whole_size(field: &str) -> String {
    let size = field.split("size=").nth(1).and_then(|rest| rest.strip_suffix('m'));
    match size.filter(|size| size.contains('.')).and_then(|size| size.parse::<f64>().ok()) {
        Some(mib) => {
            let bytes = (mib * MIB as f64).round();
            format!("{}size={bytes}", field.split("size=").next().unwrap_or_default())
        }
        None => field.to_owned(),
    }
}

fn our_fstab(layout: &StorageLayout) -> BTreeSet<Vec<String>> {
    let listed = |volume: &&Volume| {
        volume.mount_point.is_some() || volume.file_system.as_deref() == Some("swap")
    };
    let entry = |volume: &Volume| {
        let point = volume.mount_point.clone().unwrap_or_else(|| "none".to_owned());
        let kind = volume.file_system.clone().unwrap_or_else(|| "-".to_owned());
        vec![key(volume), point, kind, volume.mount_options.clone()]
    };
    layout.volumes.iter().filter(listed).map(entry).collect()
}

fn variables(theirs: &Answer, layout: &StorageLayout, found: &mut Vec<String>) {
    let value = |name: &str| {
        let value = theirs.variables.get(name).map(|value| value.trim_matches('"').to_owned());
        value.filter(|value| !value.is_empty())
    };
    let boot = &layout.boot;
    unequal("BOOT_DEVICE", &value("BOOT_DEVICE"), &boot.boot_device, found);
    unequal("BOOT_PARTITION", &value("BOOT_PARTITION"), &boot.boot_partition, found);
    unequal("ESP_DEVICE", &value("ESP_DEVICE"), &boot.esp_device, found);
}

/// True if fstab differs only by how it names file systems of btrfs.
pub fn differs_by_names_of_btrfs(theirs: &Answer, layout: &StorageLayout) -> bool {
    let rest = |entries: BTreeSet<Vec<String>>| -> BTreeSet<Vec<String>> {
        let is_btrfs = |entry: &[String]| entry[2] == "btrfs";
        let cut = |entry: Vec<String>| if is_btrfs(&entry) { entry[1..].to_vec() } else { entry };
        entries.into_iter().map(cut).collect()
    };
    rest(their_fstab(theirs)) == rest(our_fstab(layout))
}
