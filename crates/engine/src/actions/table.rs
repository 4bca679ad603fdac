//! A partition table as sfdisk(8) writes and reads it.
//!
//! ```text
//! label: gpt
//! label-id: 3B3A…
//! unit: sectors
//!
//! 1: start=2048, size=4096, type=0FC6…, uuid=9A…, name="root", attrs="LegacyBIOSBootable"
//! ```
//!
//! A dump names devices instead of numbers and pads with blanks.

use hostwright_model::storage::{DiskLayout, Partition, PartitionContent, TableKind};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The attribute that marks a partition for boot loaders of BIOS machines (UEFI specification,
/// table 5.8, bit 2), in sfdisk's words.
const LEGACY_BOOT: &str = "LegacyBIOSBootable";

/// A whole table; every number in sectors.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    label: String,
    /// `None` for one that sfdisk chooses.
    id: Option<String>,
    /// Where a new table lets partitions begin.
    first_lba: Option<u64>,
    entries: BTreeMap<u32, Entry>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    start: u64,
    size: u64,
    kind: String,
    /// `None` for one that sfdisk chooses.
    uuid: Option<String>,
    name: Option<String>,
    attributes: Option<String>,
    bootable: bool,
}

/// sfdisk's name for the kind of a table.
pub(super) fn label(disk: &DiskLayout) -> &'static str {
    match disk.table {
        TableKind::Msdos => "dos",
        TableKind::Gpt | TableKind::GptBios => "gpt",
    }
}

impl Table {
    /// What a layout asks for, with the identifier that the table is to keep.
    pub(super) fn wanted(disk: &DiskLayout, id: Option<String>) -> Self {
        let sector = u64::from(disk.sector_bytes);
        let label = label(disk).to_owned();
        // Right behind the table (16 KiB), for layouts that are not aligned to a mebibyte.
        let first_lba = (label == "gpt").then(|| 2 + 16_384_u64.div_ceil(sector));
        let entry = |partition: &Partition| (partition.number, Entry::wanted(disk, partition));
        let entries = disk.partitions.iter().map(entry).collect();
        Self { label, id, first_lba, entries }
    }

    /// The script that makes it.
    pub(super) fn script(&self) -> String {
        let mut text = format!("label: {}\n", self.label);
        if let Some(id) = &self.id {
            put(&mut text, format_args!("label-id: {id}\n"));
        }
        text.push_str("unit: sectors\n");
        if let Some(first) = self.first_lba {
            put(&mut text, format_args!("first-lba: {first}\n"));
        }
        text.push('\n');
        for (number, entry) in &self.entries {
            put(&mut text, format_args!("{number}: {}\n", entry.line()));
        }
        text
    }

    /// The highest number of a partition.
    pub(super) fn last_number(&self) -> Option<u32> {
        self.entries.keys().last().copied()
    }

    /// True if `found` is this table; what it leaves open may be anything there.
    pub(super) fn is_met_by(&self, found: &Self) -> bool {
        self.label == found.label
            && self.id.as_ref().is_none_or(|id| same(Some(id), found.id.as_ref()))
            && self.entries.len() == found.entries.len()
            && self.entries.iter().all(|(number, entry)| {
                found.entries.get(number).is_some_and(|f| entry.is_met_by(f))
            })
    }

    /// Reads what `sfdisk --dump` printed; `None` for what is no dump of `device`.
    pub(super) fn parse_dump(device: &str, text: &str) -> Option<Self> {
        let header = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim().to_owned())
        };
        let mut entries = BTreeMap::new();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix(device) else { continue };
            let (number, fields) = rest.split_once(" : ")?;
            let number = number.trim_start_matches('p').trim().parse().ok()?;
            entries.insert(number, Entry::parse(fields)?);
        }
        Some(Self { label: header("label")?, id: header("label-id"), first_lba: None, entries })
    }
}

impl Entry {
    fn wanted(disk: &DiskLayout, partition: &Partition) -> Self {
        let sector = u64::from(disk.sector_bytes);
        let is_gpt = disk.table != TableKind::Msdos;
        let kept = partition.existing.as_ref().filter(|_| partition.fate.needs_existing());
        let kind = match (kept, is_gpt) {
            (Some(old), _) => old.type_code.clone(),
            (None, true) => gpt_type(partition).to_owned(),
            (None, false) => msdos_type(partition).to_owned(),
        };
        let name = match kept {
            Some(old) => old.name.clone(),
            // parted, and so FAI, gives partitions without a name a blank.
            None => Some(partition.name.clone().unwrap_or_else(|| " ".to_owned())),
        };
        // Only one partition of a PC table is active.
        let chosen = disk.partitions.iter().any(|other| other.bootable);
        let was_active = kept.is_some_and(|old| old.bootable) && !chosen;
        let mut attributes = kept.and_then(|old| old.attributes.clone()).unwrap_or_default();
        let is_esp = partition.content == PartitionContent::EfiSystem;
        if partition.bootable && !is_esp && !attributes.contains(LEGACY_BOOT) {
            attributes = format!("{attributes} {LEGACY_BOOT}").trim().to_owned();
        }
        Self {
            start: partition.start_bytes / sector,
            size: partition.size_bytes() / sector,
            kind,
            uuid: kept.and_then(|old| old.uuid.clone()).filter(|_| is_gpt),
            name: name.filter(|_| is_gpt),
            attributes: Some(attributes).filter(|text| is_gpt && !text.is_empty()),
            bootable: !is_gpt && (partition.bootable || was_active),
        }
    }

    fn line(&self) -> String {
        let Self { start, size, kind, .. } = self;
        let mut text = format!("start={start}, size={size}, type={kind}");
        if let Some(uuid) = &self.uuid {
            put(&mut text, format_args!(", uuid={uuid}"));
        }
        if let Some(name) = &self.name {
            put(&mut text, format_args!(", name=\"{}\"", escaped(name)));
        }
        if let Some(attributes) = &self.attributes {
            put(&mut text, format_args!(", attrs=\"{attributes}\""));
        }
        if self.bootable {
            text.push_str(", bootable");
        }
        text
    }

    fn is_met_by(&self, found: &Self) -> bool {
        let blank = |name: &Option<String>| name.as_deref().unwrap_or_default().trim().to_owned();
        (self.start, self.size, self.bootable) == (found.start, found.size, found.bootable)
            && self.kind.eq_ignore_ascii_case(&found.kind)
            && self.uuid.as_ref().is_none_or(|uuid| same(Some(uuid), found.uuid.as_ref()))
            && blank(&self.name) == blank(&found.name)
            && self.attributes == found.attributes
    }

    fn parse(fields: &str) -> Option<Self> {
        let mut values: BTreeMap<&str, String> = BTreeMap::new();
        let mut bootable = false;
        for field in split_fields(fields) {
            match field.split_once('=') {
                Some((name, value)) => {
                    values.insert(name.trim(), unescaped(value.trim().trim_matches('"')));
                }
                None => bootable |= field.trim() == "bootable",
            }
        }
        Some(Self {
            start: values.get("start")?.parse().ok()?,
            size: values.get("size")?.parse().ok()?,
            kind: values.remove("type")?,
            uuid: values.remove("uuid"),
            name: values.remove("name"),
            attributes: values.remove("attrs"),
            bootable,
        })
    }
}

/// True if `text` is what `sfdisk --dump` prints of `device`.
pub(crate) fn is_dump(device: &str, text: &str) -> bool {
    Table::parse_dump(device, text).is_some()
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("invariant: a String takes everything");
}

/// Identifiers are the same in any case.
fn same(one: Option<&String>, other: Option<&String>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// Splits at commas outside quotes.
fn split_fields(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

fn escaped(name: &str) -> String {
    name.replace('\\', "\\x5c").replace('"', "\\x22")
}

/// sfdisk writes what could end a word as `\x22`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[2..]);
            }
            None => {
                plain.push_str("\\x");
                plain.push_str(part);
            }
        }
    }
    plain
}

/// Partition types of a PC table: <https://www.win.tue.nl/~aeb/partitions/partition_types-1.html>.
fn msdos_type(partition: &Partition) -> &'static str {
    match partition.content {
        PartitionContent::Linux | PartitionContent::BiosBoot => "83",
        PartitionContent::Swap => "82",
        PartitionContent::Lvm => "8e",
        PartitionContent::Raid => "fd",
        PartitionContent::EfiSystem => "ef",
        PartitionContent::Fat => "c",
        PartitionContent::Extended => "5",
    }
}

/// Partition types of a GPT: UEFI specification, table 5.7, and the Discoverable Partitions
/// Specification.
fn gpt_type(partition: &Partition) -> &'static str {
    match partition.content {
        PartitionContent::Linux | PartitionContent::Extended => {
            "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
        }
        PartitionContent::Swap => "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
        PartitionContent::Lvm => "E6D6D379-F507-44C2-A23C-238F2A3DF928",
        PartitionContent::Raid => "A19D880F-05FC-4D3B-A006-743F0F84911E",
        PartitionContent::EfiSystem => "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        PartitionContent::Fat => "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
        PartitionContent::BiosBoot => "21686148-6449-6E6F-744E-656564454649",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::existing::ExistingPartition;
    use hostwright_model::plan::Why;
    use hostwright_model::storage::{Fate, PartitionKind, TableFate};

    fn partition(number: u32, content: PartitionContent, mib: std::ops::Range<u64>) -> Partition {
        Partition {
            existing: None,
            fate: Fate::Create,
            number,
            device: format!("/dev/vda{number}"),
            kind: PartitionKind::Primary,
            start_bytes: mib.start << 20,
            end_bytes: (mib.end << 20) - 1,
            name: None,
            content,
            bootable: false,
            why: Why::default(),
        }
    }

    fn disk(table: TableKind, sector_bytes: u32, partitions: Vec<Partition>) -> DiskLayout {
        let device = "/dev/vda".to_owned();
        DiskLayout {
            model: None,
            serial: None,
            before: Vec::new(),
            table_fate: TableFate::Write,
            device,
            size_bytes: 8 << 30,
            sector_bytes,
            table,
            partitions,
            why: Why::default(),
        }
    }

    #[test]
    fn a_pc_table_with_a_logical_partition() {
        let mut root = partition(1, PartitionContent::Linux, 1..2049);
        root.bootable = true;
        let partitions = vec![
            root,
            partition(2, PartitionContent::Extended, 2049..8192),
            partition(5, PartitionContent::Swap, 2050..3000),
        ];
        assert_eq!(
            Table::wanted(&disk(TableKind::Msdos, 512, partitions), None).script(),
            "label: dos\nunit: sectors\n\n\
             1: start=2048, size=4194304, type=83, bootable\n\
             2: start=4196352, size=12580864, type=5\n\
             5: start=4198400, size=1945600, type=82\n"
        );
    }

    #[test]
    fn a_gpt_on_a_disk_with_large_sectors() {
        let mut esp = partition(1, PartitionContent::EfiSystem, 1..513);
        esp.name = Some("e\"fi".to_owned());
        assert_eq!(
            Table::wanted(&disk(TableKind::Gpt, 4096, vec![esp]), None).script(),
            "label: gpt\nunit: sectors\nfirst-lba: 6\n\n\
             1: start=256, size=131072, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=\"e\\x22fi\"\n"
        );
    }

    const UUID: &str = "410CF77C-4DCC-4544-8D69-942305ABEE1B";

    fn kept() -> DiskLayout {
        let mut data = partition(3, PartitionContent::Linux, 513..1025);
        data.fate = Fate::Keep;
        data.existing = Some(ExistingPartition {
            number: 3,
            device: data.device.clone(),
            kind: PartitionKind::Primary,
            start_bytes: data.start_bytes,
            size_bytes: data.size_bytes(),
            type_code: "933AC7E1-2EB4-4F13-B844-0E14E2AEF915".to_owned(),
            name: Some("da,ta".to_owned()),
            uuid: Some(UUID.to_owned()),
            attributes: Some("GUID:63".to_owned()),
            bootable: false,
        });
        let mut root = partition(1, PartitionContent::Linux, 1..513);
        root.bootable = true;
        disk(TableKind::Gpt, 512, vec![root, data])
    }

    #[test]
    fn a_kept_partition_keeps_everything_that_names_it() {
        let wanted = Table::wanted(&kept(), Some("ID".to_owned()));
        assert_eq!(
            wanted.script(),
            format!(
                "label: gpt\nlabel-id: ID\nunit: sectors\nfirst-lba: 34\n\n\
                 1: start=2048, size=1048576, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, \
                 name=\" \", attrs=\"LegacyBIOSBootable\"\n\
                 3: start=1050624, size=1048576, type=933AC7E1-2EB4-4F13-B844-0E14E2AEF915, \
                 uuid={UUID}, name=\"da,ta\", attrs=\"GUID:63\"\n"
            )
        );
    }

    #[test]
    fn a_dump_of_the_same_table_meets_it_and_any_other_does_not() {
        let wanted = Table::wanted(&kept(), Some("id".to_owned()));
        let dump = format!(
            "label: gpt\nlabel-id: ID\ndevice: /dev/vda\nunit: sectors\nfirst-lba: 34\n\
             last-lba: 16777182\nsector-size: 512\n\n\
             /dev/vda1 : start=        2048, size=     1048576, \
             type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, \
             uuid=1C1CF77C-4DCC-4544-8D69-942305ABEE1B, name=\" \", \
             attrs=\"LegacyBIOSBootable\"\n\
             /dev/vda3 : start=     1050624, size=     1048576, \
             type=933AC7E1-2EB4-4F13-B844-0E14E2AEF915, uuid={UUID}, name=\"da,ta\", \
             attrs=\"GUID:63\"\n"
        );
        let met = |dump: &str| {
            let found = Table::parse_dump("/dev/vda", dump).expect("a dump");
            wanted.is_met_by(&found)
        };
        assert!(met(&dump));
        for (old, new) in [
            ("start=     1050624", "start=     1050625"),
            ("da,ta", "date"),
            (UUID, "910CF77C-4DCC-4544-8D69-942305ABEE1B"),
            ("933AC7E1", "933AC7E2"),
            ("GUID:63", "GUID:62"),
            ("label-id: ID", "label-id: OTHER"),
        ] {
            assert!(!met(&dump.replace(old, new)), "{old}");
        }
        assert_eq!(Table::parse_dump("/dev/vda", ""), None);
    }

    #[test]
    fn names_with_quotes_survive() {
        let name = r#"a"b\\c \\x22"#;
        assert_eq!(unescaped(&escaped(name)), name);
    }
}
