//! sfdisk(8), partx(8), blockdev(8).

use super::{Call, Reply};
use crate::HostError;
use crate::sim::block::{Entry, SimDisk, Table, uuid_of};
use crate::sim::state::State;
use std::collections::BTreeMap;

/// Header lines of a script that change nothing here.
const HEADERS: [&str; 5] = ["device", "first-lba", "last-lba", "table-length", "grain"];

/// Finds the disk of a call; its name in /dev.
fn disk_name<'a>(state: &State, device: &'a str) -> Result<&'a str, Reply> {
    let name = device.strip_prefix("/dev/").filter(|name| state.blocks.disks.contains_key(*name));
    name.ok_or_else(|| Reply::fail(1, format!("{device}: No such file or directory")))
}

pub(super) fn sfdisk(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["-q --quiet", "--no-reread", "--no-tell-kernel", "-f --force", "-d --dump"];
    let options = call.options(&flags, &["-w --wipe", "-W --wipe-partitions", "-X --label"])?;
    let [device] = options.words[..] else {
        return Err(call.unknown("it takes one device and a script"));
    };
    let name = match disk_name(state, device) {
        Ok(name) => name.to_owned(),
        Err(reply) => return Ok(reply),
    };
    if options.has("-d") {
        return Ok(dump(&state.blocks.disks[&name]));
    }
    let user = state.user_of(device).filter(|_| !options.has("-f") && !options.has("--no-reread"));
    if let Some(user) = user {
        return Ok(Reply::fail(1, format!("{device}: this disk is currently in use: {user}")));
    }
    let disk = state.blocks.disks.get_mut(&name).expect("invariant: found just now");
    if call.torn {
        // One of the two copies of a GPT is whole at any moment, and a PC table is one sector.
        return Ok(Reply::ok());
    }
    let table = match parse_script(&call.input(), options.value("-X"), disk) {
        Ok(table) => table,
        Err(Trouble::Unknown(reason)) => return Err(call.unknown(reason)),
        Err(Trouble::Refused(reason)) => {
            return Ok(Reply::fail(1, format!("{device}: {reason}")));
        }
    };
    if options.value("-W") == Some("always") {
        return Err(call.unknown("wiping new partitions is not simulated"));
    }
    if options.value("-w") == Some("always") || disk.table.is_none() {
        disk.areas.remove(&0);
    }
    disk.table = Some(table);
    if !options.has("--no-tell-kernel") {
        disk.reread();
    }
    Ok(Reply::ok())
}

/// What `sfdisk --dump` prints.
fn dump(disk: &SimDisk) -> Reply {
    let device = format!("/dev/{}", disk.facts.name);
    let Some(table) = &disk.table else {
        return Reply::fail(1, format!("sfdisk: {device}: does not contain a partition table"));
    };
    let mut out = vec![
        format!("label: {}", table.label),
        format!("label-id: {}", table.id),
        format!("device: {device}"),
        "unit: sectors".to_owned(),
        String::new(),
    ];
    let sector = u64::from(disk.facts.sector_bytes);
    for (&number, entry) in &table.entries {
        let (start, size) = (entry.start / sector, entry.size / sector);
        let path = disk.partition_path(number);
        let mut line = format!("{path} : start={start:>12}, size={size:>12}, type={}", entry.kind);
        if table.label == "gpt" {
            line.push_str(&format!(", uuid={}", entry.uuid.to_uppercase()));
        }
        if let Some(name) = &entry.name {
            line.push_str(&format!(", name=\"{name}\""));
        }
        if let Some(attributes) = &entry.attributes {
            line.push_str(&format!(", attrs=\"{attributes}\""));
        }
        if entry.bootable {
            line.push_str(", bootable");
        }
        out.push(line);
    }
    Reply { out, ..Reply::default() }
}

/// Why there is no table.
enum Trouble {
    /// The simulation does not know the words.
    Unknown(String),
    /// sfdisk itself would refuse it.
    Refused(String),
}

fn parse_script(script: &str, label: Option<&str>, disk: &SimDisk) -> Result<Table, Trouble> {
    let label_of = |line: &str| line.strip_prefix("label:").map(|text| text.trim().to_owned());
    let stated = script.lines().find_map(|line| label_of(line.trim()));
    let label = stated.or_else(|| label.map(str::to_owned));
    let label = label.ok_or_else(|| Trouble::Unknown("the script names no label".to_owned()))?;
    if !matches!(label.as_str(), "gpt" | "dos") {
        return Err(Trouble::Unknown(format!("label '{label}' is not simulated")));
    }
    let id_of = |line: &str| line.strip_prefix("label-id:").map(|text| text.trim().to_owned());
    let id = script.lines().find_map(|line| id_of(line.trim()));
    let id = id.unwrap_or_else(|| uuid_of(&["table", &disk.facts.name]).to_uppercase());
    let mut table = Table { label, id, entries: BTreeMap::new() };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') || is_header(line)? {
            continue;
        }
        let (number, entry) = parse_entry(line, &table, disk)?;
        check_entry(&entry, &table, disk)?;
        table.entries.insert(number, entry);
    }
    Ok(table)
}

fn is_header(line: &str) -> Result<bool, Trouble> {
    match line.split_once(':') {
        Some(("label" | "label-id", _)) => Ok(true),
        Some(("unit", unit)) if unit.trim() == "sectors" => Ok(true),
        Some(("unit", unit)) => Err(Trouble::Unknown(format!("unit '{}' ", unit.trim()))),
        Some((name, _)) => Ok(HEADERS.contains(&name)),
        None => Ok(false),
    }
}

/// `[NUMBER-OR-DEVICE:] start=N, size=N[, type=T][, name="N"][, uuid=U][, bootable]`
fn parse_entry(line: &str, table: &Table, disk: &SimDisk) -> Result<(u32, Entry), Trouble> {
    let unknown = |what: &str| Trouble::Unknown(format!("'{what}' in the script is not simulated"));
    let head = line.split_once(':').filter(|(head, _)| !head.contains('='));
    let (head, fields) = head.map_or((None, line), |(head, fields)| (Some(head.trim()), fields));
    let sector = u64::from(disk.facts.sector_bytes);
    let sectors = |text: &str| text.parse::<u64>().map(|n| n * sector).map_err(|_| unknown(text));
    let (mut start, mut size, mut uuid) = (None, None, None);
    let (mut kind, mut name, mut bootable) = (String::new(), None, false);
    let mut attributes = None;
    for field in split_fields(fields) {
        match field.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("start", value)) => start = Some(sectors(value)?),
            Some(("size", value)) => size = Some(sectors(value)?),
            Some(("type", value)) => kind = value.to_owned(),
            Some(("name", value)) => name = Some(value.trim_matches('"').to_owned()),
            Some(("uuid", value)) => uuid = Some(value.to_lowercase()),
            Some(("attrs", value)) => attributes = Some(value.trim_matches('"').to_owned()),
            None if field == "bootable" => bootable = true,
            _ => return Err(unknown(&field)),
        }
    }
    let start = start.ok_or_else(|| Trouble::Unknown("a partition without start".to_owned()))?;
    let size = size.ok_or_else(|| Trouble::Unknown("a partition without size".to_owned()))?;
    let number = match head {
        Some(head) => number_in(head, disk).ok_or_else(|| unknown(head))?,
        None => next_number(table, start),
    };
    let name_in_dev = disk.facts.name.as_str();
    let uuid = uuid.unwrap_or_else(|| match table.label.as_str() {
        "dos" => format!(
            "{}-{number:02x}",
            table.id.trim_start_matches("0x").get(..8).unwrap_or_default()
        )
        .to_lowercase(),
        _ => uuid_of(&["partition", name_in_dev, &number.to_string()]),
    });
    Ok((number, Entry { start, size, kind, name, uuid, attributes, bootable }))
}

/// Splits at commas outside quotes.
fn split_fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        match c {
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("invariant: never empty").push(c),
        }
    }
    fields.into_iter().map(|f| f.trim().to_owned()).filter(|f| !f.is_empty()).collect()
}

fn number_in(head: &str, disk: &SimDisk) -> Option<u32> {
    let number = match head.strip_prefix("/dev/") {
        Some(name) => name.strip_prefix(&disk.facts.name)?.trim_start_matches('p'),
        None => head,
    };
    number.parse().ok()
}

fn next_number(table: &Table, start: u64) -> u32 {
    let is_inside = |entry: &Entry| {
        entry.is_extended() && (entry.start..entry.start + entry.size).contains(&start)
    };
    let first = if table.entries.values().any(is_inside) { 5 } else { 1 };
    (first..).find(|number| !table.entries.contains_key(number)).unwrap_or(first)
}

fn check_entry(entry: &Entry, table: &Table, disk: &SimDisk) -> Result<(), Trouble> {
    let end = entry.start + entry.size;
    if entry.start == 0 || entry.size == 0 || end > disk.facts.size_bytes {
        let reason = format!("a partition of {} bytes at {} does not fit", entry.size, entry.start);
        return Err(Trouble::Refused(reason));
    }
    let is_logical = |other: &Entry| {
        other.is_extended() && other.start < entry.start && end <= other.start + other.size
    };
    let overlaps = |other: &Entry| other.start < end && entry.start < other.start + other.size;
    match table.entries.values().find(|other| overlaps(other) && !is_logical(other)) {
        Some(other) => {
            let reason = format!("partitions at {} and {} overlap", other.start, entry.start);
            Err(Trouble::Refused(reason))
        }
        None => Ok(()),
    }
}

pub(super) fn partx(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["-u --update", "-a --add", "-d --delete"];
    let options = call.options(&flags, &["-n --nr"])?;
    let [device] = options.words[..] else { return Err(call.unknown("it takes one device")) };
    let name = match disk_name(state, device) {
        Ok(name) => name.to_owned(),
        Err(reply) => return Ok(reply),
    };
    let user = state.user_of(device).filter(|_| options.has("-d"));
    if let Some(user) = user {
        return Ok(Reply::fail(1, format!("partx: {device}: error deleting partitions: {user}")));
    }
    let disk = state.blocks.disks.get_mut(&name).expect("invariant: found just now");
    match (options.has("-d"), options.has("-u") || options.has("-a")) {
        (true, false) => disk.known.clear(),
        (false, true) => disk.reread(),
        _ => return Err(call.unknown("only --update, --add and --delete are simulated")),
    }
    Ok(Reply::ok())
}

pub(super) fn blockdev(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["--rereadpt", "--flushbufs", "--getsize64"], &[])?;
    let [device] = options.words[..] else { return Err(call.unknown("it takes one device")) };
    let Some(place) = state.blocks.find(device) else {
        return Ok(Reply::fail(1, format!("blockdev: cannot open {device}")));
    };
    if options.has("--getsize64") {
        return Ok(Reply::say(state.blocks.size(&place).to_string()));
    }
    if options.has("--rereadpt") {
        let name = match disk_name(state, device) {
            Ok(name) => name.to_owned(),
            Err(reply) => return Ok(reply),
        };
        if let Some(user) = state.user_of(device) {
            return Ok(Reply::fail(1, format!("blockdev: {device}: {user}")));
        }
        let disk = state.blocks.disks.get_mut(&name).expect("invariant: found just now");
        disk.reread();
    }
    Ok(Reply::ok())
}
