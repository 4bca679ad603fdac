//! `disk_config …` lines: which stanza begins, and its options.

use super::ast::{DiskName, DiskStanza, LvmStanza};
use super::code::Code;
use super::cursor::Cursor;
use super::guess::closest;
use super::parse::expect_end;
use super::size::{is_unit_letter, to_mib};
use super::source::{Problem, Span, Spanned};
use hostwright_model::storage::{FstabKey, TableKind};

/// What a `disk_config` line begins.
pub(super) enum Header {
    End,
    Disk(DiskStanza),
    Lvm(LvmStanza),
}

/// First words of stanzas. FAI compares only the beginning of a word with them.
const KINDS: [(&str, Kind); 7] = [
    ("raid", Kind::NotSupported("software RAID")),
    ("btrfs", Kind::NotSupported("btrfs")),
    ("cryptsetup", Kind::NotSupported("encryption")),
    ("lvm", Kind::Lvm),
    ("end", Kind::End),
    ("tmpfs", Kind::NotSupported("tmpfs")),
    ("nfs", Kind::NotSupported("NFS")),
];

#[derive(Clone, Copy)]
enum Kind {
    NotSupported(&'static str),
    Lvm,
    End,
}

const DISK_OPTIONS: [&str; 4] = ["disklabel", "bootable", "fstabkey", "align-at"];
const FSTAB_KEYS: [(&str, FstabKey); 5] = [
    ("device", FstabKey::Device),
    ("label", FstabKey::Label),
    ("uuid", FstabKey::Uuid),
    ("partuuid", FstabKey::Partuuid),
    ("partlabel", FstabKey::Partlabel),
];
const DISK_LABELS: [(&str, TableKind); 3] =
    [("msdos", TableKind::Msdos), ("gpt", TableKind::Gpt), ("gpt-bios", TableKind::GptBios)];

/// Options that keep what is on the disk, or use it otherwise than by partitioning it.
const REFUSED_OPTIONS: [(&str, &str); 8] = [
    ("preserve_always:", "keeping partitions (preserve_always)"),
    ("preserve_reinstall:", "keeping partitions (preserve_reinstall)"),
    ("preserve_lazy:", "keeping partitions (preserve_lazy)"),
    ("resize:", "resizing partitions (resize)"),
    ("always_format:", "always_format"),
    ("virtual", "a virtual disk"),
    ("vg:", "a whole disk as a physical volume (vg:)"),
    ("sameas:", "copying a stanza (sameas)"),
];

/// Reads what follows `disk_config`. A refused option is reported and the rest is still read.
pub(super) fn read_header(
    cursor: &mut Cursor<'_>,
    problems: &mut Vec<Problem>,
) -> Result<Header, Box<Problem>> {
    let word = cursor.peek_word();
    if word.is_empty() {
        let cure = "name a disk (disk1, sda), or lvm, or end";
        let problem =
            Problem::error(Code::BadStanza, cursor.here(), "disk_config of what is not said", cure);
        return Err(Box::new(problem));
    }
    let Some((name, kind)) = KINDS.into_iter().find(|(name, _)| word.starts_with(name)) else {
        return read_disk_header(cursor, problems).map(Header::Disk);
    };
    if word != name {
        let message = format!("'{word}' is neither a disk nor '{name}'");
        let cure = format!("write `disk_config {name}`; FAI reads no device whose name begins so");
        return Err(Box::new(Problem::error(Code::BadStanza, cursor.here(), message, cure)));
    }
    let at = cursor.advance(name.len()).at;
    match kind {
        Kind::NotSupported(feature) => {
            let cure = "remove the stanza, or make these volumes in a hook or script";
            Err(Box::new(Problem::not_supported(feature, at, cure)))
        }
        Kind::End => expect_end(cursor, &[]).map(|()| Header::End),
        Kind::Lvm => read_lvm_header(at, cursor, problems).map(Header::Lvm),
    }
}

fn read_lvm_header(
    at: Span,
    cursor: &mut Cursor<'_>,
    problems: &mut Vec<Problem>,
) -> Result<LvmStanza, Box<Problem>> {
    let mut stanza =
        LvmStanza { at, fstab_key: FstabKey::Device, groups: Vec::new(), volumes: Vec::new() };
    while !cursor.at_end() {
        if cursor.rest().starts_with("fstabkey:") {
            stanza.fstab_key = read_choice(cursor, "fstabkey", &FSTAB_KEYS[..3])?.value;
        } else if !refuse_option(cursor, &REFUSED_OPTIONS[..5], problems) {
            expect_end(cursor, &["fstabkey"])?;
        }
    }
    Ok(stanza)
}

fn read_disk_header(
    cursor: &mut Cursor<'_>,
    problems: &mut Vec<Problem>,
) -> Result<DiskStanza, Box<Problem>> {
    let mut stanza = DiskStanza {
        disk: read_disk_name(cursor)?,
        table: TableKind::Msdos,
        bootable: None,
        fstab_key: FstabKey::Device,
        align_mib: None,
        partitions: Vec::new(),
    };
    let mut partlabel = None;
    while !cursor.at_end() {
        let rest = cursor.rest();
        if rest.starts_with("disklabel:") {
            stanza.table = read_disk_label(cursor)?;
        } else if rest.starts_with("bootable:") {
            stanza.bootable = Some(read_number(cursor, "bootable", "the number of a partition")?);
        } else if rest.starts_with("fstabkey:") {
            let key = read_choice(cursor, "fstabkey", &FSTAB_KEYS)?;
            stanza.fstab_key = key.value;
            if key.value == FstabKey::Partlabel {
                partlabel = Some((key.at, stanza.table));
            }
        } else if rest.starts_with("align-at:") {
            stanza.align_mib = Some(read_alignment(cursor)?);
        } else if !refuse_option(cursor, &REFUSED_OPTIONS, problems) {
            expect_end(cursor, &DISK_OPTIONS)?;
        }
    }
    check_partlabel(partlabel, &stanza)?;
    Ok(stanza)
}

/// FAI reads options from left to right and still sees an msdos table when `disklabel` comes later.
fn check_partlabel(
    partlabel: Option<(Span, TableKind)>,
    stanza: &DiskStanza,
) -> Result<(), Box<Problem>> {
    let Some((at, table_then)) = partlabel else { return Ok(()) };
    let msdos = TableKind::Msdos;
    let cure = match (table_then == msdos, stanza.table == msdos) {
        (false, false) => return Ok(()),
        (_, true) => "write disklabel:gpt before it, or use fstabkey:uuid",
        (true, false) => "write disklabel before fstabkey: FAI reads options in their order",
    };
    let message = "fstabkey:partlabel needs a GPT, which names its partitions";
    Err(Box::new(Problem::error(Code::PartlabelOnMsdos, at, message, cure)))
}

fn read_disk_name(cursor: &mut Cursor<'_>) -> Result<Spanned<DiskName>, Box<Problem>> {
    let rest = cursor.rest();
    let digits = rest.strip_prefix("disk").unwrap_or("");
    let digits = &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())];
    if digits.is_empty() {
        return read_device_name(cursor);
    }
    let at = cursor.span("disk".len() + digits.len());
    let bad = |message: String, cure: &str| {
        Err(Box::new(Problem::error(Code::BadStanza, at, message, cure)))
    };
    let number = digits.parse().unwrap_or(0);
    if number == 0 {
        return bad(
            format!("there is no disk number {digits}"),
            "disk1 is the first disk of the machine",
        );
    }
    cursor.advance("disk".len() + digits.len());
    if cursor.is_glued() && cursor.rest().starts_with('.') {
        let message = "a stanza is about a whole disk, not about a partition".to_owned();
        return bad(message, "disk1.2 is for the devices of a `vg` line; write disk1 here");
    }
    Ok(Spanned::new(DiskName::Nth(number), at))
}

fn read_device_name(cursor: &mut Cursor<'_>) -> Result<Spanned<DiskName>, Box<Problem>> {
    let word = cursor.advance(cursor.peek_word().len());
    let name = word.value;
    if name.contains(['*', '?', '[', '{', '~']) {
        let cure = "name the disk itself, or say disk1, disk2, … in the order of their names";
        return Err(Box::new(Problem::not_supported("a pattern for a disk", word.at, cure)));
    }
    if name.starts_with("/dev/disk/") {
        let cure = "name the disk as the kernel does (sda), or say disk1";
        return Err(Box::new(Problem::not_supported(
            "a link below /dev/disk as the name of a disk",
            word.at,
            cure,
        )));
    }
    let device = if name.starts_with('/') { name.to_owned() } else { format!("/dev/{name}") };
    Ok(Spanned::new(DiskName::Device(device), word.at))
}

/// Reads `name:VALUE`, where a value may be the beginning of a word.
fn read_choice<T: Copy>(
    cursor: &mut Cursor<'_>,
    name: &str,
    choices: &[(&str, T)],
) -> Result<Spanned<T>, Box<Problem>> {
    let whole = cursor.here();
    let length = name.len() + 1;
    let value = &cursor.rest()[length..];
    let fitting = choices.iter().find(|(choice, _)| value.starts_with(choice));
    if let Some((choice, meaning)) = fitting {
        return Ok(Spanned::new(*meaning, cursor.advance(length + choice.len()).at));
    }
    let word = &cursor.peek_word()[length..];
    let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
    let cure = match closest(word, &names) {
        Some(guess) => format!("write `{name}:{guess}`"),
        None => format!("write one of {}", names.join(", ")),
    };
    let message = format!("'{word}' is no value for {name}");
    Err(Box::new(Problem::error(Code::BadOptionValue, whole, message, cure)))
}

/// The value of `disklabel` is a whole word, other than those of the other options.
fn read_disk_label(cursor: &mut Cursor<'_>) -> Result<TableKind, Box<Problem>> {
    let word = &cursor.peek_word()["disklabel:".len()..];
    let fitting: Vec<_> = DISK_LABELS.into_iter().filter(|(label, _)| *label == word).collect();
    read_choice(cursor, "disklabel", &fitting).map(|label| label.value).map_err(|mut problem| {
        problem.cure = "write one of msdos, gpt, gpt-bios".to_owned();
        problem
    })
}

fn read_number(
    cursor: &mut Cursor<'_>,
    name: &str,
    wanted: &str,
) -> Result<Spanned<u32>, Box<Problem>> {
    let at = cursor.here();
    cursor.eat(name);
    cursor.eat(":");
    let digits = if cursor.is_glued() { cursor.take(|c| c.is_ascii_digit()).value } else { "" };
    digits.parse().map(|number| Spanned::new(number, at)).map_err(|_| {
        let message = format!("{name} needs {wanted}");
        let cure = format!("write {name}:1, for example");
        Box::new(Problem::error(Code::BadOptionValue, at, message, cure))
    })
}

fn read_alignment(cursor: &mut Cursor<'_>) -> Result<Spanned<f64>, Box<Problem>> {
    let number = read_number(cursor, "align-at", "a whole number and a unit")?;
    let letters = |c: char| is_unit_letter(c) && c != '%';
    let unit = if cursor.is_glued() { cursor.take(letters).value } else { "" };
    match to_mib(f64::from(number.value), unit) {
        Some(mib) if mib > 0.0 => Ok(Spanned::new(mib, number.at)),
        _ => {
            let message = format!("'{}{unit}' is not an alignment", number.value);
            let cure = "write a whole number and a unit, such as align-at:1M";
            Err(Box::new(Problem::error(Code::BadOptionValue, number.at, message, cure)))
        }
    }
}

/// Skips an option of FAI's that this version lacks, and reports it. True if there was one.
fn refuse_option(
    cursor: &mut Cursor<'_>,
    refused: &[(&str, &str)],
    problems: &mut Vec<Problem>,
) -> bool {
    let rest = cursor.rest();
    let Some((_, feature)) = refused.iter().find(|(name, _)| rest.starts_with(name)) else {
        return false;
    };
    let word = cursor.advance(cursor.peek_word().len());
    let cure = "remove the option, or use FAI for this machine";
    problems.push(Problem::not_supported(feature, word.at, cure));
    true
}
