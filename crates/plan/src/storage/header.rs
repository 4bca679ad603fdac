//! `disk_config …` lines: which stanza begins, and its options.

use super::ast::{BtrfsStanza, DiskName, DiskStanza, EncryptionStanza, LvmStanza, RaidStanza};
use super::code::Code;
use super::cursor::Cursor;
use super::devices::absolute;
use super::guess::closest;
use super::keep_options::{KeepKind, KeepOption, KeepOptions, Which};
use super::parse::expect_end;
use super::size::{is_unit_letter, to_mib};
use super::source::{Problem, Span, Spanned};
use hostwright_model::storage::{FstabKey, TableKind};

/// What a `disk_config` line begins.
pub(super) enum Header {
    End,
    Disk(DiskStanza),
    Raid(RaidStanza),
    Encryption(EncryptionStanza),
    Btrfs(BtrfsStanza),
    Lvm(LvmStanza),
    Tmpfs,
    Nfs,
}

/// First words of stanzas. FAI compares only the beginning of a word with them.
const KINDS: [(&str, Kind); 7] = [
    ("raid", Kind::Raid),
    ("btrfs", Kind::Btrfs),
    ("cryptsetup", Kind::Encryption),
    ("lvm", Kind::Lvm),
    ("end", Kind::End),
    ("tmpfs", Kind::Tmpfs),
    ("nfs", Kind::Nfs),
];

#[derive(Clone, Copy)]
enum Kind {
    Raid,
    Btrfs,
    Encryption,
    Lvm,
    End,
    Tmpfs,
    Nfs,
}

/// For guesses at what somebody meant.
const DISK_OPTIONS: [&str; 12] = [
    "disklabel",
    "bootable",
    "fstabkey",
    "align-at",
    "preserve_always",
    "preserve_reinstall",
    "preserve_lazy",
    "resize",
    "always_format",
    "sameas",
    "virtual",
    "vg",
];
const RAID_OPTIONS: [&str; 5] = {
    let [_, _, key, _, always, reinstall, lazy, _, format, ..] = DISK_OPTIONS;
    [key, always, reinstall, lazy, format]
};
const LVM_OPTIONS: [&str; 6] = {
    let [_, _, key, _, always, reinstall, lazy, resize, format, ..] = DISK_OPTIONS;
    [key, always, reinstall, lazy, resize, format]
};
const FSTAB_KEYS: [(&str, FstabKey); 5] = [
    ("device", FstabKey::Device),
    ("label", FstabKey::Label),
    ("uuid", FstabKey::Uuid),
    ("partuuid", FstabKey::Partuuid),
    ("partlabel", FstabKey::Partlabel),
];
const DISK_LABELS: [(&str, TableKind); 3] =
    [("msdos", TableKind::Msdos), ("gpt", TableKind::Gpt), ("gpt-bios", TableKind::GptBios)];

type Read<T> = Result<T, Box<Problem>>;

/// Reads what follows `disk_config`. `earlier` stanzas may be copied by `sameas`.
pub(super) fn read_header(cursor: &mut Cursor<'_>, earlier: &[DiskStanza]) -> Read<Header> {
    let word = cursor.peek_word();
    if word.is_empty() {
        let cure = "name a disk (disk1, sda), or raid, cryptsetup, lvm, btrfs, tmpfs, nfs, end";
        let problem =
            Problem::error(Code::BadStanza, cursor.here(), "disk_config of what is not said", cure);
        return Err(Box::new(problem));
    }
    let Some((name, kind)) = KINDS.into_iter().find(|(name, _)| word.starts_with(name)) else {
        return read_disk_header(cursor, earlier).map(Header::Disk);
    };
    // `lvmfstabkey:uuid` is two words to FAI; `lvmfoo` is nothing.
    let glued = &word[name.len()..];
    if !glued.is_empty() && !LVM_OPTIONS.iter().any(|option| glued.starts_with(option)) {
        let message = format!("'{word}' is neither a disk nor '{name}'");
        let cure = format!("write `disk_config {name}`; FAI reads no device whose name begins so");
        return Err(Box::new(Problem::error(Code::BadStanza, cursor.here(), message, cure)));
    }
    let at = cursor.advance(name.len()).at;
    match kind {
        Kind::Raid => read_raid_header(at, cursor).map(Header::Raid),
        Kind::Btrfs => read_btrfs_header(at, cursor).map(Header::Btrfs),
        Kind::Encryption => read_encryption_header(at, cursor).map(Header::Encryption),
        Kind::Lvm => read_lvm_header(at, cursor).map(Header::Lvm),
        Kind::End => expect_end(cursor, &[]).map(|()| Header::End),
        Kind::Tmpfs => expect_end(cursor, &[]).map(|()| Header::Tmpfs),
        Kind::Nfs => expect_end(cursor, &[]).map(|()| Header::Nfs),
    }
}

fn read_raid_header(at: Span, cursor: &mut Cursor<'_>) -> Read<RaidStanza> {
    let mut stanza = RaidStanza {
        at,
        fstab_key: FstabKey::Device,
        keep: KeepOptions::default(),
        arrays: Vec::new(),
    };
    while !cursor.at_end() {
        if cursor.rest().starts_with("fstabkey:") {
            stanza.fstab_key = read_choice(cursor, "fstabkey", &FSTAB_KEYS)?.value;
        } else if cursor.rest().starts_with("resize:") {
            let message = "an array cannot be resized";
            let cure = "remove resize:, or keep the array by preserve_always:";
            let at = cursor.here();
            return Err(Box::new(Problem::error(Code::UnknownOption, at, message, cure)));
        } else if !read_keep(cursor, &mut stanza.keep, (read_id, "1"))? {
            expect_end(cursor, &RAID_OPTIONS)?;
        }
    }
    Ok(stanza)
}

fn read_btrfs_header(at: Span, cursor: &mut Cursor<'_>) -> Read<BtrfsStanza> {
    let mut stanza = BtrfsStanza { at, fstab_key: FstabKey::Device, volumes: Vec::new() };
    while !cursor.at_end() {
        if cursor.rest().starts_with("fstabkey:") {
            stanza.fstab_key = read_choice(cursor, "fstabkey", &FSTAB_KEYS)?.value;
        } else {
            expect_end(cursor, &["fstabkey"])?;
        }
    }
    Ok(stanza)
}

fn read_encryption_header(at: Span, cursor: &mut Cursor<'_>) -> Read<EncryptionStanza> {
    let mut stanza = EncryptionStanza { at, random_fill: false, devices: Vec::new() };
    while !cursor.at_end() {
        if cursor.eat("randinit").is_some() {
            stanza.random_fill = true;
        } else {
            expect_end(cursor, &["randinit"])?;
        }
    }
    Ok(stanza)
}

fn read_lvm_header(at: Span, cursor: &mut Cursor<'_>) -> Read<LvmStanza> {
    let mut stanza = LvmStanza {
        at,
        fstab_key: FstabKey::Device,
        keep: KeepOptions::default(),
        groups: Vec::new(),
        volumes: Vec::new(),
    };
    while !cursor.at_end() {
        if cursor.rest().starts_with("fstabkey:") {
            stanza.fstab_key = read_choice(cursor, "fstabkey", &FSTAB_KEYS[..3])?.value;
        } else if !read_keep(cursor, &mut stanza.keep, (read_logical_name, "GROUP-VOLUME"))? {
            expect_end(cursor, &LVM_OPTIONS)?;
        }
    }
    Ok(stanza)
}

/// Reads one of the options that keep things; false if there is none.
fn read_keep<T>(
    cursor: &mut Cursor<'_>,
    keep: &mut KeepOptions<T>,
    (read_one, example): (fn(&str) -> Option<T>, &str),
) -> Read<bool> {
    let rest = cursor.rest();
    let is_this = |kind: &KeepKind| {
        rest.strip_prefix(kind.name()).is_some_and(|behind| behind.starts_with(':'))
    };
    let Some(kind) = KeepKind::ALL.into_iter().find(is_this) else { return Ok(false) };
    let at = cursor.here();
    let word = &cursor.peek_word()[kind.name().len() + 1..];
    if word.starts_with("all") {
        let at = cursor.advance(kind.name().len() + 1 + "all".len()).at;
        keep.0.push(KeepOption { kind, which: Which::All, at });
        return Ok(true);
    }
    let ids: Option<Vec<T>> = word.split(',').map(read_one).collect();
    let Some(ids) = ids else {
        let name = kind.name();
        let message = format!("'{word}' is no list of what {name} is about");
        let cure = format!("write {name}:{example},… or {name}:all");
        return Err(Box::new(Problem::error(Code::BadOptionValue, at, message, cure)));
    };
    let at = cursor.advance(cursor.peek_word().len()).at;
    keep.0.push(KeepOption { kind, which: Which::Listed(ids), at });
    Ok(true)
}

fn read_id(word: &str) -> Option<u32> {
    word.parse().ok()
}

fn read_logical_name(word: &str) -> Option<(String, String)> {
    let (group, name) = word.split_once('-')?;
    let plain = |name: &str| !name.is_empty() && !name.contains(['/', '-']);
    (plain(group) && plain(name)).then(|| (group.to_owned(), name.to_owned()))
}

fn read_disk_header(cursor: &mut Cursor<'_>, earlier: &[DiskStanza]) -> Read<DiskStanza> {
    let mut stanza = DiskStanza {
        disk: read_disk_name(cursor)?,
        table: TableKind::Msdos,
        bootable: None,
        fstab_key: FstabKey::Device,
        align_mib: None,
        keep: KeepOptions::default(),
        is_virtual: false,
        is_physical_volume: false,
        partitions: Vec::new(),
    };
    let mut partlabel = None;
    while !cursor.at_end() {
        read_disk_option(cursor, &mut stanza, &mut partlabel, earlier)?;
    }
    check_partlabel(partlabel, &stanza)?;
    Ok(stanza)
}

fn read_disk_option(
    cursor: &mut Cursor<'_>,
    stanza: &mut DiskStanza,
    partlabel: &mut Option<(Span, TableKind)>,
    earlier: &[DiskStanza],
) -> Read<()> {
    let rest = cursor.rest();
    if rest.starts_with("disklabel:") {
        stanza.table = read_disk_label(cursor)?;
    } else if rest.starts_with("bootable:") {
        stanza.bootable = Some(read_number(cursor, "bootable", "the number of a partition")?);
    } else if rest.starts_with("fstabkey:") {
        let key = read_choice(cursor, "fstabkey", &FSTAB_KEYS)?;
        stanza.fstab_key = key.value;
        if key.value == FstabKey::Partlabel {
            *partlabel = Some((key.at, stanza.table));
        }
    } else if rest.starts_with("align-at:") {
        stanza.align_mib = Some(read_alignment(cursor)?);
    } else if rest.starts_with("virtual") {
        cursor.eat("virtual");
        stanza.is_virtual = true;
    } else if rest.starts_with("vg:") {
        let number = read_number(cursor, "vg", "the number 1")?;
        stanza.is_physical_volume = number.value == 1;
    } else if rest.starts_with("sameas:") {
        *stanza = read_same_as(cursor, stanza, earlier)?;
    } else if !read_keep(cursor, &mut stanza.keep, (read_id, "1"))? {
        expect_end(cursor, &DISK_OPTIONS)?;
    }
    Ok(())
}

/// `sameas:DISK` takes over all that the stanza of DISK says, its options and its lines.
fn read_same_as(
    cursor: &mut Cursor<'_>,
    stanza: &DiskStanza,
    earlier: &[DiskStanza],
) -> Read<DiskStanza> {
    let at = cursor.here();
    cursor.eat("sameas:");
    if !cursor.is_glued() {
        let message = "sameas needs a disk behind its ':'";
        let cure = "write sameas:disk1, without a blank";
        return Err(Box::new(Problem::error(Code::BadOptionValue, at, message, cure)));
    }
    let name = read_disk_name(cursor)?;
    if let Some(original) = earlier.iter().find(|other| other.disk.value == name.value) {
        return Ok(DiskStanza { disk: stanza.disk.clone(), ..original.clone() });
    }
    let message = "no stanza before this one is for the disk that sameas names";
    let cure = match earlier.is_empty() {
        true => "put the stanza to copy first".to_owned(),
        false => "name the disk as its own stanza does".to_owned(),
    };
    Err(Box::new(Problem::error(Code::NoSuchStanza, at, message, cure)))
}

/// FAI reads options from left to right and still sees an msdos table when `disklabel` comes later.
fn check_partlabel(partlabel: Option<(Span, TableKind)>, stanza: &DiskStanza) -> Read<()> {
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

fn read_disk_name(cursor: &mut Cursor<'_>) -> Read<Spanned<DiskName>> {
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

fn read_device_name(cursor: &mut Cursor<'_>) -> Read<Spanned<DiskName>> {
    let word = cursor.advance(cursor.peek_word().len());
    Ok(Spanned::new(DiskName::Device(absolute(word.value)), word.at))
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
fn read_disk_label(cursor: &mut Cursor<'_>) -> Read<TableKind> {
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

fn read_alignment(cursor: &mut Cursor<'_>) -> Read<Spanned<f64>> {
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
