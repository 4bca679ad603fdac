//! Lines of partitions, volume groups and logical volumes.

use super::ast::{DeviceName, GroupLine, LogicalVolumeLine, MountPoint, PartitionLine, VolumeSpec};
use super::code::Code;
use super::cursor::Cursor;
use super::file_system::{is_known, refused_feature};
use super::guess::closest;
use super::parse::{expect_end, trailing_comment};
use super::size::{BadSize, SizeRange, is_unit_letter, read_range};
use super::source::{Problem, Span, Spanned};
use super::words::{self, BadWords};
use hostwright_model::storage::PartitionKind;

/// A line of a stanza.
pub(super) enum Line {
    Partition(PartitionLine),
    Group(GroupLine),
    LogicalVolume(LogicalVolumeLine),
}

type Read<T> = Result<T, Box<Problem>>;

fn error<T>(code: Code, at: Span, message: impl Into<String>, cure: impl Into<String>) -> Read<T> {
    Err(Box::new(Problem::error(code, at, message, cure)))
}

fn not_supported<T>(feature: &str, at: Span) -> Read<T> {
    let cure = "remove it, or use FAI for this machine";
    Err(Box::new(Problem::not_supported(feature, at, cure)))
}

/// Lines of stanzas that this version refuses; seen here, they stand in another one.
const STRAY_WORDS: [&str; 12] = [
    "raid0", "raid1", "raid5", "raid6", "raid10", "btrfs", "luks", "luks:", "tmp", "swap", "tmpfs",
    "nfs",
];

/// Reads any line but comments and headers. Warnings go to `problems`.
pub(super) fn read_line(cursor: &mut Cursor<'_>, problems: &mut Vec<Problem>) -> Read<Line> {
    if cursor.eat_word("vg").is_some() {
        return read_group(cursor, problems).map(Line::Group);
    }
    let word = cursor.peek_word();
    if STRAY_WORDS.contains(&word) || word.starts_with("luks:\"") {
        let message = format!("'{word}' belongs into a stanza of another kind");
        let cure = "put the line below its own `disk_config` line, or remove it";
        return error(Code::WrongStanza, cursor.here(), message, cure);
    }
    let (at, kind, name) = if let Some(at) = cursor.eat("primary") {
        (at, PartitionKind::Primary, None)
    } else if let Some(at) = cursor.eat("logical") {
        (at, PartitionKind::Logical, None)
    } else if cursor.rest().starts_with("raw-disk") {
        return not_supported("a file system on a whole disk (raw-disk)", cursor.here());
    } else if let Some(name) = read_partition_name(cursor)? {
        let text = Some(name.value).filter(|name| !name.is_empty());
        (name.at, PartitionKind::Primary, text)
    } else {
        return read_logical_volume(cursor, problems).map(Line::LogicalVolume);
    };
    let name = name.map(str::to_owned);
    let volume = read_volume(cursor, false, problems)?.0;
    Ok(Line::Partition(PartitionLine { at, kind, name, volume }))
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

const FIELDS: &str = "a line has a type, mount point, size, file system and mount options";

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
    let (volume, lv_create_options) = read_volume(cursor, true, problems)?;
    Ok(LogicalVolumeLine {
        group: Spanned::new(group, group_at),
        name: Spanned::new(name, name_at),
        volume,
        lv_create_options,
    })
}

fn unknown_line<T>(word: &str, at: Span) -> Read<T> {
    const BEGINNINGS: [&str; 5] = ["primary", "logical", "raw-disk", "disk_config", "vg"];
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

/// Reads the fields behind the type. The second value is `lvcreateopts`.
fn read_volume(
    cursor: &mut Cursor<'_>,
    logical_volume: bool,
    problems: &mut Vec<Problem>,
) -> Read<(VolumeSpec, Vec<String>)> {
    let mount_point = read_mount_point(cursor)?;
    let size = read_size(cursor)?;
    let file_system = read_file_system(cursor)?;
    if cursor.rest().starts_with('#') {
        return Err(trailing_comment(cursor));
    }
    let glued = cursor.is_glued();
    let Some(mount_options) = cursor.word() else {
        let cure = "add mount options behind the file system, `defaults` or `-`";
        return error(Code::MissingField, cursor.here(), "there are no mount options", cure);
    };
    let mut lv_create = None;
    if let Some(options) = read_words(cursor, "lvcreateopts")? {
        if !logical_volume {
            let message = "lvcreateopts is for logical volumes, and this is a partition";
            return error(Code::WrongStanza, options.at, message, "remove lvcreateopts");
        }
        lv_create = Some(options);
    }
    let mut create = None;
    let mut tune = None;
    loop {
        if let Some(options) = read_words(cursor, "createopts")? {
            replace(&mut create, options, "createopts", problems);
        } else if let Some(options) = read_words(cursor, "tuneopts")? {
            replace(&mut tune, options, "tuneopts", problems);
        } else {
            break;
        }
    }
    check_line_end(cursor, glued.then_some(&file_system), logical_volume)?;
    let spec = VolumeSpec {
        mount_point,
        size,
        mount_options: Spanned::new(mount_options.value.to_owned(), mount_options.at),
        create_options: create.map(|options| options.value).unwrap_or_default(),
        tune_options: tune.unwrap_or_else(|| Spanned::new(Vec::new(), file_system.at)),
        file_system,
    };
    Ok((spec, lv_create.map(|options| options.value).unwrap_or_default()))
}

fn replace(
    slot: &mut Option<Spanned<Vec<String>>>,
    options: Spanned<Vec<String>>,
    name: &str,
    problems: &mut Vec<Problem>,
) {
    if slot.is_some() {
        let message = format!("{name} is given twice, and only the last one counts");
        let cure = format!("put everything into one {name}");
        problems.push(Problem::warning(Code::RepeatedOption, options.at, message, cure));
    }
    *slot = Some(options);
}

fn check_line_end(
    cursor: &Cursor<'_>,
    glued_file_system: Option<&Spanned<Option<String>>>,
    logical_volume: bool,
) -> Read<()> {
    let word = cursor.peek_word();
    if let (Some(file_system), false) = (glued_file_system, cursor.at_end()) {
        let name = file_system.value.as_deref().unwrap_or("-");
        let message = format!("no file system has a name that begins with '{name}' and goes on");
        let cure = format!("put a blank behind '{name}', or name another file system");
        return error(Code::BadFileSystem, file_system.at, message, cure);
    }
    if word.starts_with("lvcreateopts=\"") && logical_volume {
        let cure = "move lvcreateopts before createopts and tuneopts, where FAI wants it";
        let message = "lvcreateopts comes too late on its line";
        return error(Code::UnknownOption, cursor.here(), message, cure);
    }
    for (name, feature) in [("lukscreateopts=", "encryption"), ("mdcreateopts=", "software RAID")] {
        if word.starts_with(name) {
            return not_supported(feature, cursor.here());
        }
    }
    for name in ["createopts=", "tuneopts=", "lvcreateopts="] {
        if word.starts_with(name) {
            let message = format!("the value of {name} is not in double quotes");
            let cure = format!("write {name}\"…\"");
            return error(Code::BadProgramOptions, cursor.here(), message, cure);
        }
    }
    expect_end(cursor, &["createopts", "tuneopts"])
}

fn read_mount_point(cursor: &mut Cursor<'_>) -> Read<Spanned<MountPoint>> {
    let at = cursor.here();
    let rest = cursor.rest();
    let path_end = rest.find([':', ' ', '\t']).unwrap_or(rest.len());
    let (length, value) = if rest.starts_with('-') {
        (1, MountPoint::Nowhere)
    } else if rest.starts_with("swap") {
        (4, MountPoint::Swap)
    } else if rest.starts_with('/') {
        (path_end, MountPoint::Path(rest[..path_end].to_owned()))
    } else if rest.is_empty() {
        return error(Code::MissingField, at, "there is no mount point", FIELDS);
    } else {
        let message = format!("'{}' is not a mount point", cursor.peek_word());
        let cure = "write a path beginning with '/', or swap, or - for none";
        return error(Code::BadMountPoint, at, message, cure);
    };
    let token = cursor.advance(length);
    if cursor.is_glued() && cursor.rest().starts_with(":encrypt") {
        return not_supported("encryption (:encrypt)", cursor.here());
    }
    if cursor.is_glued() && cursor.rest().starts_with(':') {
        let cure = "choose a path without ':'";
        return error(Code::BadMountPoint, at, "a mount point cannot hold ':'", cure);
    }
    Ok(Spanned::new(value, token.at))
}

fn read_size(cursor: &mut Cursor<'_>) -> Read<Spanned<SizeRange>> {
    let word = cursor.peek_word();
    let mut at = cursor.here();
    if word.is_empty() {
        return error(Code::MissingField, at, "there is no size", FIELDS);
    }
    let units = "units are k, M, G, T, P, the same with iB or B, and %";
    let before = cursor.rest().len();
    let range = match read_range(cursor) {
        Ok(range) => range,
        Err(BadSize::NotASize) => {
            let cure = "write a size or a range: 10G, 2G-50G, 100-, -50%; without a unit it is MiB";
            return error(Code::BadSize, at, format!("'{word}' is not a size"), cure);
        }
        Err(BadSize::Unit(unit)) => {
            let message = format!("'{word}' is not a size: there is no unit '{unit}'");
            return error(Code::BadSize, at, message, units);
        }
        Err(BadSize::TooLarge) => {
            let message = format!("'{word}' is more than any disk holds");
            return error(Code::BadSize, at, message, "write a smaller size");
        }
    };
    if let (true, Some(flag)) = (cursor.is_glued(), cursor.rest().strip_prefix(':')) {
        return refuse_flag(cursor, flag);
    }
    if cursor.is_glued() && !may_be_glued(cursor.peek_word()) {
        let message = format!("'{word}' is not a size");
        let cure = match word.contains(['.', 'g', 'm', 't']) {
            true => format!("write whole numbers; {units}"),
            false => units.to_owned(),
        };
        return error(Code::BadSize, at, message, cure);
    }
    if word.len() > before - cursor.rest().len() {
        at.length = u32::try_from(before - cursor.rest().len()).unwrap_or(at.length);
    }
    Ok(Spanned::new(range, at))
}

/// FAI needs no blank between size and file system, but what follows must be a file system then.
fn may_be_glued(word: &str) -> bool {
    word.starts_with('-') || word.starts_with("swap") || {
        !word.starts_with(is_unit_letter) && (is_known(word) || refused_feature(word).is_some())
    }
}

fn refuse_flag<T>(cursor: &Cursor<'_>, flag: &str) -> Read<T> {
    let flags = ["resize", "preserve_always", "preserve_reinstall", "preserve_lazy"];
    match flags.into_iter().find(|name| flag.starts_with(name)) {
        Some("resize") => not_supported("resizing a volume (:resize)", cursor.here()),
        Some(name) => not_supported(&format!("keeping a volume (:{name})"), cursor.here()),
        None => {
            let message = format!("'{}' is not understood behind a size", cursor.peek_word());
            error(Code::UnknownOption, cursor.here(), message, "put a blank behind the size")
        }
    }
}

fn read_file_system(cursor: &mut Cursor<'_>) -> Read<Spanned<Option<String>>> {
    if cursor.at_end() {
        let cure = "add a file system behind the size, such as ext4, swap or -";
        return error(Code::MissingField, cursor.here(), "there is no file system", cure);
    }
    // FAI takes these two as tokens, whatever follows them.
    if let Some(at) = cursor.eat("-") {
        return Ok(Spanned::new(None, at));
    }
    if let Some(at) = cursor.eat("swap") {
        return Ok(Spanned::new(Some("swap".to_owned()), at));
    }
    let word = cursor.advance(cursor.peek_word().len());
    if let Some(feature) = refused_feature(word.value) {
        return not_supported(feature, word.at);
    }
    if !is_known(word.value) {
        let known = super::file_system::KNOWN;
        let message = format!("no program here makes a file system '{}'", word.value);
        let cure = match closest(word.value, &known) {
            Some(guess) => format!("write `{guess}` if that is what you mean"),
            None => format!("use one of {}, swap, -", known.join(", ")),
        };
        return error(Code::BadFileSystem, word.at, message, cure);
    }
    Ok(Spanned::new(Some(word.value.to_owned()), word.at))
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

fn read_devices(cursor: &mut Cursor<'_>) -> Read<Vec<Spanned<DeviceName>>> {
    let mut devices = Vec::new();
    loop {
        let device = cursor.take(|c| !matches!(c, ',' | ' ' | '\t'));
        devices.push(read_device(device)?);
        if !cursor.is_glued() || cursor.eat(",").is_none() {
            return Ok(devices);
        }
        if !cursor.is_glued() {
            let cure = "write the devices with commas and without blanks between them";
            return error(Code::BadDevice, cursor.here(), "no device follows the ','", cure);
        }
    }
}

fn read_device(word: Spanned<&str>) -> Read<Spanned<DeviceName>> {
    let Spanned { value: name, at } = word;
    let bad = |message: String| {
        let cure = "name partitions such as disk1.2 or sda2, with commas between them";
        error(Code::BadDevice, at, message, cure)
    };
    if name.is_empty() {
        return bad("a device is missing".to_owned());
    }
    if let Some((device, option)) = name.split_once(':') {
        return bad(format!("'{option}' behind '{device}' is for software RAID only"));
    }
    if name.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return bad(format!("'{name}' is not a device"));
    }
    if name.contains(['*', '?', '[', '{', '~']) || name.starts_with("/dev/disk/") {
        return not_supported("a device by pattern or by link", at);
    }
    if let Some(feature) = stacked_feature(name) {
        return not_supported(feature, at);
    }
    let parts = name.strip_prefix("disk").and_then(|numbers| numbers.split_once('.'));
    let device = match parts.map(|(disk, number)| (disk.parse(), number.parse())) {
        Some((Ok(disk), Ok(number))) => DeviceName::Partition { disk, number },
        _ if is_whole_disk(name) => {
            return not_supported("a whole disk as a physical volume", at);
        }
        _ if name.starts_with('/') => DeviceName::Device(name.to_owned()),
        _ => DeviceName::Device(format!("/dev/{name}")),
    };
    Ok(Spanned::new(device, at))
}

/// The feature of FAI's that makes a device of this name.
fn stacked_feature(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let after_md = name.strip_prefix("md").and_then(|rest| rest.chars().next());
    if after_md.is_some_and(|c| c.is_ascii_digit() || c == '/') {
        return Some("software RAID");
    }
    (name.starts_with("mapper/") || name.starts_with("crypt_")).then_some("encryption")
}

/// True for `disk3`; whether `sdb` is a whole disk is seen once the machine is known.
fn is_whole_disk(name: &str) -> bool {
    name.strip_prefix("disk").is_some_and(|number| number.parse::<u32>().is_ok())
}

fn read_words(cursor: &mut Cursor<'_>, name: &str) -> Read<Option<Spanned<Vec<String>>>> {
    let text = match cursor.quoted(name) {
        None => return Ok(None),
        Some(Ok(text)) => text,
        Some(Err(at)) => {
            let message = format!("{name} has no closing quote");
            return error(Code::BadProgramOptions, at, message, "add a '\"' behind the options");
        }
    };
    match words::split(text.value) {
        Ok(words) => Ok(Some(Spanned::new(words, text.at))),
        Err(BadWords::OpenQuote) => {
            let message = format!("{name} holds a ' without its partner");
            error(Code::BadProgramOptions, text.at, message, "close the quote")
        }
        Err(BadWords::NeedsShell(c)) => {
            let message = format!("{name} holds '{c}', and no shell is there to read it");
            let cure = format!("write the options out, or quote them as '{c}' or \\{c}");
            error(Code::BadProgramOptions, text.at, message, cure)
        }
    }
}
