//! Lines below a `disk_config`: which kind each is, and its fields in their order.

use super::ast::{
    ArrayLine, BtrfsLine, EncryptedLine, GroupLine, KeyKind, LineKind, LogicalVolumeLine, NfsLine,
    PartitionLine, TmpfsLine, VolumeSpec,
};
use super::code::Code;
use super::cursor::Cursor;
use super::devices::{read_devices, read_members};
use super::fields::{
    FIELDS, Options, Read, error, read_file_system, read_flag, read_mount_options,
    read_mount_point, read_options, read_size, read_tmpfs_size, read_words, replace,
};
use super::guess::closest;
use super::parse::expect_end;
use super::passphrase;
use super::source::{Problem, Span, Spanned};
use hostwright_model::storage::{PartitionKind, RaidLevel};

/// A line of a stanza.
pub(super) enum Line {
    Partition(PartitionLine),
    Array(ArrayLine),
    Encrypted(EncryptedLine),
    Btrfs(BtrfsLine),
    Group(GroupLine),
    LogicalVolume(LogicalVolumeLine),
    Tmpfs(TmpfsLine),
    Nfs(NfsLine),
}

const LEVELS: [RaidLevel; 5] =
    [RaidLevel::Raid0, RaidLevel::Raid1, RaidLevel::Raid5, RaidLevel::Raid6, RaidLevel::Raid10];

/// Reads any line but comments and headers. Warnings go to `problems`.
pub(super) fn read_line(cursor: &mut Cursor<'_>, problems: &mut Vec<Problem>) -> Read<Line> {
    if cursor.eat_word("vg").is_some() {
        return read_group(cursor, problems).map(Line::Group);
    }
    for level in LEVELS {
        if let Some(at) = cursor.eat_word(level.name()) {
            return read_array(at, level, cursor, problems).map(Line::Array);
        }
    }
    if let Some(at) = cursor.eat_word("btrfs") {
        return read_btrfs(at, cursor, problems).map(Line::Btrfs);
    }
    if let Some((at, key)) = read_key(cursor)? {
        return read_encrypted(at, key, cursor, problems).map(Line::Encrypted);
    }
    if let Some(at) = cursor.eat_word("tmpfs") {
        return read_tmpfs(at, cursor).map(Line::Tmpfs);
    }
    if let Some(at) = cursor.eat_word("nfs") {
        return read_nfs(at, cursor).map(Line::Nfs);
    }
    let (at, kind, name) = if let Some(at) = cursor.eat("primary") {
        (at, LineKind::Partition(PartitionKind::Primary), None)
    } else if let Some(at) = cursor.eat("logical") {
        (at, LineKind::Partition(PartitionKind::Logical), None)
    } else if let Some(at) = cursor.eat("raw-disk") {
        (at, LineKind::RawDisk, None)
    } else if let Some(name) = read_partition_name(cursor)? {
        let text = Some(name.value).filter(|name| !name.is_empty());
        (name.at, LineKind::Partition(PartitionKind::Primary), text)
    } else {
        return read_logical_volume(cursor, problems).map(Line::LogicalVolume);
    };
    let name = name.map(str::to_owned);
    let fields = read_fields(cursor, None, problems)?;
    let Fields { size, flag, volume, .. } = fields;
    Ok(Line::Partition(PartitionLine { at, kind, name, size, flag, volume }))
}

/// What partitions and logical volumes have behind their type.
struct Fields {
    size: Spanned<super::size::SizeRange>,
    flag: Option<Spanned<super::keep_options::SizeFlag>>,
    volume: VolumeSpec,
    special_options: Vec<String>,
}

fn read_fields(
    cursor: &mut Cursor<'_>,
    special: Option<&'static str>,
    problems: &mut Vec<Problem>,
) -> Read<Fields> {
    let (mount_point, encrypt) = read_mount_point(cursor, problems)?;
    let size = read_size(cursor)?;
    let flag = read_flag(cursor)?;
    let file_system = read_file_system(cursor)?;
    let mount_options = read_mount_options(cursor, Some(&file_system))?;
    let options = read_options(cursor, special, problems)?;
    let Options { special, create, tune } = options;
    let volume = VolumeSpec {
        mount_point,
        encrypt,
        mount_options,
        create_options: create,
        tune_options: tune.unwrap_or_else(|| Spanned::new(Vec::new(), file_system.at)),
        file_system,
    };
    Ok(Fields { size, flag, volume, special_options: special })
}

/// The fields of what has devices instead of a size: `MOUNTPOINT DEVICES FILESYSTEM OPTIONS`.
fn read_stacked<D>(
    cursor: &mut Cursor<'_>,
    read_below: fn(&mut Cursor<'_>) -> Read<Vec<D>>,
    special: &'static str,
    problems: &mut Vec<Problem>,
) -> Read<(Vec<D>, VolumeSpec, Vec<String>)> {
    let (mount_point, encrypt) = read_mount_point(cursor, problems)?;
    let devices = read_below(cursor)?;
    let file_system = match special {
        // The one kind of line that has no place for it.
        "btrfscreateopts" => Spanned::new(Some("btrfs".to_owned()), mount_point.at),
        _ => read_file_system(cursor)?,
    };
    let mount_options = read_mount_options(cursor, None)?;
    let Options { special, create, tune } = read_options(cursor, Some(special), problems)?;
    let volume = VolumeSpec {
        mount_point,
        encrypt,
        mount_options,
        create_options: create,
        tune_options: tune.unwrap_or_else(|| Spanned::new(Vec::new(), file_system.at)),
        file_system,
    };
    Ok((devices, volume, special))
}

fn read_array(
    at: Span,
    level: RaidLevel,
    cursor: &mut Cursor<'_>,
    problems: &mut Vec<Problem>,
) -> Read<ArrayLine> {
    let (members, volume, create_options) =
        read_stacked(cursor, read_members, "mdcreateopts", problems)?;
    let odd = members.iter().find(|member| member.spare || member.missing);
    if let (RaidLevel::Raid0, Some(odd)) = (level, odd) {
        let message = "RAID 0 has neither spares nor missing members";
        let cure = "remove the option, or choose a level with redundancy";
        return error(Code::Raid0Spare, odd.device.at, message, cure);
    }
    Ok(ArrayLine { at, level, members, volume, create_options })
}

fn read_btrfs(at: Span, cursor: &mut Cursor<'_>, problems: &mut Vec<Problem>) -> Read<BtrfsLine> {
    const PROFILES: [&str; 6] = ["single", "raid0", "raid1", "raid5", "raid6", "raid10"];
    let word = cursor.peek_word();
    if !PROFILES.contains(&word) {
        let message = format!("'{word}' is no profile of btrfs");
        let cure = format!("write one of {}", PROFILES.join(", "));
        return error(Code::BadOptionValue, cursor.here(), message, cure);
    }
    let profile = cursor.advance(word.len()).value.to_owned();
    let (devices, mut volume, mut options) =
        read_stacked(cursor, read_devices, "btrfscreateopts", problems)?;
    options.append(&mut volume.create_options);
    volume.create_options = options;
    Ok(BtrfsLine { at, profile, devices, volume })
}

/// Reads `luks`, `luks:"…"`, `tmp` or `swap`.
fn read_key(cursor: &mut Cursor<'_>) -> Read<Option<(Span, KeyKind)>> {
    let simple =
        [("luks", KeyKind::File), ("tmp", KeyKind::RandomTmp), ("swap", KeyKind::RandomSwap)];
    if let Some(length) = passphrase::field_length(cursor)? {
        let mut at = cursor.advance(length).at;
        at.length = 4;
        return Ok(Some((at, KeyKind::Passphrase)));
    }
    let mut simple = simple.into_iter();
    Ok(simple.find_map(|(word, key)| cursor.eat_word(word).map(|at| (at, key))))
}

fn read_encrypted(
    at: Span,
    key: KeyKind,
    cursor: &mut Cursor<'_>,
    problems: &mut Vec<Problem>,
) -> Read<EncryptedLine> {
    let (mut devices, volume, create_options) =
        read_stacked(cursor, read_devices, "lukscreateopts", problems)?;
    if devices.len() > 1 {
        let message = "an encrypted device is made of one device, and FAI takes the last";
        let cure = "name one; for more, put a volume group or an array below";
        problems.push(Problem::warning(Code::OneDevice, devices[0].at, message, cure));
    }
    let device = devices.pop().expect("invariant: a list of devices is never empty");
    Ok(EncryptedLine { at, key, device, volume, create_options })
}

fn read_tmpfs(at: Span, cursor: &mut Cursor<'_>) -> Read<TmpfsLine> {
    let (mount_point, _) = read_mount_point(cursor, &mut Vec::new())?;
    let size = read_tmpfs_size(cursor)?;
    let mount_options = read_mount_options(cursor, None)?;
    expect_end(cursor, &[])?;
    Ok(TmpfsLine { at, mount_point, size, mount_options })
}

fn read_nfs(at: Span, cursor: &mut Cursor<'_>) -> Read<NfsLine> {
    let word = cursor.advance(cursor.peek_word().len());
    let source = Spanned::new(word.value.to_owned(), word.at);
    let (mount_point, _) = read_mount_point(cursor, &mut Vec::new())?;
    let mount_options = read_mount_options(cursor, None)?;
    expect_end(cursor, &[])?;
    Ok(NfsLine { at, source, mount_point, mount_options })
}

fn read_partition_name<'a>(cursor: &mut Cursor<'a>) -> Read<Option<Spanned<&'a str>>> {
    let word = cursor.peek_word();
    let Some(name) = word.strip_prefix("p=") else { return Ok(None) };
    if let Some(bad) = name.chars().find(|c| matches!(c, '/' | ',' | ';' | '=')) {
        let message = format!("the partition name '{name}' holds '{bad}'");
        let cure = "separate name and mount point by a blank; a name has no '/', ',', ';' or '='";
        return error(Code::BadName, cursor.here(), message, cure);
    }
    if word.len() == cursor.rest().len() {
        return error(Code::MissingField, cursor.here(), "the line ends too early", FIELDS);
    }
    let at = cursor.advance(word.len()).at;
    Ok(Some(Spanned::new(name, at)))
}

fn read_logical_volume(
    cursor: &mut Cursor<'_>,
    problems: &mut Vec<Problem>,
) -> Read<LogicalVolumeLine> {
    let word = cursor.peek_word();
    let at = cursor.here();
    let plain = |name: &str| !name.is_empty() && !name.contains(['/', ',', '-']);
    let (group, name) = match word.split_once('-') {
        Some((group, name)) if plain(group) && plain(name) => (group, name),
        Some((group, name)) if plain(group) && name.contains('-') => {
            let message =
                format!("'{word}' holds more than one '-', so that its parts are unclear");
            let cure = "choose names of groups and volumes without '-'";
            return error(Code::BadName, at, message, cure);
        }
        _ => return unknown_line(word, at),
    };
    let column = at.column + u32::try_from(group.len() + 1).unwrap_or(0);
    let name_at = Span { column, length: u32::try_from(name.len()).unwrap_or(0), ..at };
    let group_at = Span { length: column - 1 - at.column, ..at };
    let (group, name) = (group.to_owned(), name.to_owned());
    cursor.advance(word.len());
    let Fields { size, flag, volume, special_options } =
        read_fields(cursor, Some("lvcreateopts"), problems)?;
    Ok(LogicalVolumeLine {
        group: Spanned::new(group, group_at),
        name: Spanned::new(name, name_at),
        size,
        flag,
        volume,
        lv_create_options: special_options,
    })
}

fn unknown_line<T>(word: &str, at: Span) -> Read<T> {
    const BEGINNINGS: [&str; 12] = [
        "primary",
        "logical",
        "raw-disk",
        "disk_config",
        "vg",
        "raid0",
        "raid1",
        "raid5",
        "raid6",
        "raid10",
        "btrfs",
        "luks",
    ];
    let message = format!("no line begins with '{word}'");
    let option = word.split(':').next().unwrap_or(word);
    let cure = match closest(word, &BEGINNINGS) {
        Some(guess) if guess.eq_ignore_ascii_case(word) => {
            format!("write `{guess}`: keywords are in lower case")
        }
        Some(guess) => format!("write `{guess}` if that is what you mean"),
        None if word.contains(':') && !option.contains('/') => {
            "write options on the line of `disk_config`".to_owned()
        }
        None => "begin with primary, logical, p=NAME, vg, GROUP-VOLUME or disk_config".to_owned(),
    };
    error(Code::UnknownLine, at, message, cure)
}

fn read_group(cursor: &mut Cursor<'_>, problems: &mut Vec<Problem>) -> Read<GroupLine> {
    let name = cursor.advance(cursor.peek_word().len());
    if name.value.is_empty() || name.value.contains(['/', ',', '-']) {
        let message = format!("'{}' is not the name of a volume group", name.value);
        let cure = "write `vg NAME DEVICE,DEVICE`; a name has no '-', '/' or ','";
        return error(Code::BadName, name.at, message, cure);
    }
    let devices = read_devices(cursor)?;
    let mut pv_create = None;
    let mut vg_create = None;
    loop {
        if let Some(options) = read_words(cursor, "pvcreateopts")? {
            replace(&mut pv_create, options, "pvcreateopts", problems);
        } else if let Some(options) = read_words(cursor, "vgcreateopts")? {
            replace(&mut vg_create, options, "vgcreateopts", problems);
        } else {
            break;
        }
    }
    if cursor.rest().starts_with(',') {
        let cure = "write the devices with commas and without blanks between them";
        return error(Code::BadDevice, cursor.here(), "the list of devices is broken", cure);
    }
    expect_end(cursor, &["pvcreateopts", "vgcreateopts"])?;
    Ok(GroupLine {
        name: Spanned::new(name.value.to_owned(), name.at),
        devices,
        pv_create_options: pv_create.map(|options| options.value).unwrap_or_default(),
        vg_create_options: vg_create.map(|options| options.value).unwrap_or_default(),
    })
}
