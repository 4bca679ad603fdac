//! Fields of lines: mount points, sizes, file systems, options for programs.

use super::ast::MountPoint;
use super::code::Code;
use super::cursor::Cursor;
use super::file_system::{self, is_known, refused_feature};
use super::guess::closest;
use super::keep_options::{KeepKind, SizeFlag};
use super::parse::{expect_end, trailing_comment};
use super::size::{Amount, BadSize, SizeRange, is_unit_letter, read_range};
use super::source::{Problem, Span, Spanned};
use super::words::{self, BadWords};

/// What reading comes to.
pub(super) type Read<T> = Result<T, Box<Problem>>;

/// A mistake.
pub(super) fn error<T>(
    code: Code,
    at: Span,
    message: impl Into<String>,
    cure: impl Into<String>,
) -> Read<T> {
    Err(Box::new(Problem::error(code, at, message, cure)))
}

/// What is missing where a line ends too early.
pub(super) const FIELDS: &str =
    "a line has a type, mount point, size or devices, file system and mount options";

/// Options at the end of a line.
pub(super) struct Options {
    /// Those that only lines of this kind have.
    pub special: Vec<String>,
    /// `createopts`.
    pub create: Vec<String>,
    /// `tuneopts`.
    pub tune: Option<Spanned<Vec<String>>>,
}

/// Options that have to come before `createopts`, and the lines that have them.
const SPECIAL: [(&str, &str); 4] = [
    ("lvcreateopts", "logical volumes"),
    ("mdcreateopts", "software RAID"),
    ("lukscreateopts", "encrypted devices"),
    ("btrfscreateopts", "lines that begin with btrfs"),
];

/// Reads `createopts` and `tuneopts` in any order, and before them the `special` ones of this kind
/// of line, up to the end of the line.
pub(super) fn read_options(
    cursor: &mut Cursor<'_>,
    special: Option<&'static str>,
    problems: &mut Vec<Problem>,
) -> Read<Options> {
    for (name, owner) in SPECIAL {
        if special != Some(name) && cursor.rest().starts_with(&format!("{name}=")) {
            let message = format!("{name} is for {owner}");
            let cure = format!("remove {name}");
            return error(Code::WrongStanza, cursor.here(), message, cure);
        }
    }
    let first = match special {
        Some(name) => read_words(cursor, name)?,
        None => None,
    };
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
    check_line_end(cursor, special)?;
    Ok(Options {
        special: first.map(|options| options.value).unwrap_or_default(),
        create: create.map(|options| options.value).unwrap_or_default(),
        tune,
    })
}

/// Keeps the last one of options that are given twice.
pub(super) fn replace(
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

fn check_line_end(cursor: &Cursor<'_>, special: Option<&'static str>) -> Read<()> {
    let word = cursor.peek_word();
    if let Some(name) = special.filter(|name| word.starts_with(&format!("{name}=\""))) {
        let message = format!("{name} comes too late on its line");
        let cure = format!("move {name} before createopts and tuneopts, where FAI wants it");
        return error(Code::UnknownOption, cursor.here(), message, cure);
    }
    for name in ["createopts", "tuneopts"].into_iter().chain(special) {
        if word.starts_with(&format!("{name}=")) {
            let message = format!("the value of {name}= is not in double quotes");
            let cure = format!("write {name}=\"…\"");
            return error(Code::BadProgramOptions, cursor.here(), message, cure);
        }
    }
    expect_end(cursor, &["createopts", "tuneopts"])
}

/// Reads the options for mount(8). A file system glued to them is none at all.
pub(super) fn read_mount_options(
    cursor: &mut Cursor<'_>,
    file_system: Option<&Spanned<Option<String>>>,
) -> Read<Spanned<String>> {
    if cursor.rest().starts_with('#') {
        return Err(trailing_comment(cursor));
    }
    let glued = cursor.is_glued();
    let Some(word) = cursor.word() else {
        let cure = "add mount options behind the file system, `defaults` or `-`";
        return error(Code::MissingField, cursor.here(), "there are no mount options", cure);
    };
    let goes_on = !cursor.at_end() && !cursor.rest().contains("opts=\"");
    if let (true, true, Some(file_system)) = (glued, goes_on, file_system) {
        let name = file_system.value.as_deref().unwrap_or("-");
        let message = format!("no file system has a name that begins with '{name}' and goes on");
        let cure = format!("put a blank behind '{name}', or name another file system");
        return error(Code::BadFileSystem, file_system.at, message, cure);
    }
    Ok(Spanned::new(word.value.to_owned(), word.at))
}

/// A mount point; with it, if it is encrypted, whether its device is filled with random bytes.
type MountPointField = (Spanned<MountPoint>, Option<Spanned<bool>>);

/// Reads a path, `swap` or `-`, and `:encrypt[:randinit]` behind it.
pub(super) fn read_mount_point(
    cursor: &mut Cursor<'_>,
    problems: &mut Vec<Problem>,
) -> Read<MountPointField> {
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
    let token = token.at;
    let encrypt = if cursor.is_glued() { cursor.eat(":encrypt") } else { None };
    let encrypt = encrypt.map(|at| {
        let message = "encryption by :encrypt is FAI's old way, which makes a key file";
        let cure = "write a `disk_config cryptsetup` stanza with a line for this device";
        problems.push(Problem::warning(Code::InlineEncryption, at, message, cure));
        let random_fill = cursor.is_glued() && cursor.eat(":randinit").is_some();
        Spanned::new(random_fill, at)
    });
    if cursor.is_glued() && cursor.rest().starts_with(':') {
        let cure = "choose a path without ':'";
        return error(Code::BadMountPoint, at, "a mount point cannot hold ':'", cure);
    }
    Ok((Spanned::new(value, token), encrypt))
}

/// Reads a size or a range.
pub(super) fn read_size(cursor: &mut Cursor<'_>) -> Read<Spanned<SizeRange>> {
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
    if cursor.is_glued() && !cursor.rest().starts_with(':') && !may_be_glued(cursor.peek_word()) {
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

/// Reads what may stand behind a size: `:resize`, `:preserve_always`, ….
pub(super) fn read_flag(cursor: &mut Cursor<'_>) -> Read<Option<Spanned<SizeFlag>>> {
    let flag = match (cursor.is_glued(), cursor.rest().strip_prefix(':')) {
        (true, Some(flag)) => flag,
        _ => return Ok(None),
    };
    let flags = KeepKind::ALL.into_iter().filter(|kind| *kind != KeepKind::AlwaysFormat);
    match flags.into_iter().find(|kind| flag.starts_with(kind.name())) {
        Some(kind) => Ok(Some(Spanned::new(kind, cursor.advance(1 + kind.name().len()).at))),
        None => {
            let message = format!("'{}' is not understood behind a size", cursor.peek_word());
            let cure = "write :preserve_always, :preserve_reinstall, :preserve_lazy or :resize, \
                        or a blank";
            error(Code::UnknownOption, cursor.here(), message, cure)
        }
    }
}

/// Reads the size of a tmpfs; `None` for `-`.
pub(super) fn read_tmpfs_size(cursor: &mut Cursor<'_>) -> Read<Option<Amount>> {
    let at = cursor.here();
    let word = cursor.peek_word();
    if word == "-" {
        cursor.advance(1);
        return Ok(None);
    }
    match read_range(cursor) {
        Ok(SizeRange { min, max })
            if min == max && !matches!(min, Amount::Percent(_)) && !cursor.is_glued() =>
        {
            return Ok(Some(min));
        }
        _ => {}
    }
    let message = format!("'{word}' is not the size of a tmpfs");
    let cure = "write one size, a share of the memory such as RAM:20%, or -";
    error(Code::BadSize, at, message, cure)
}

/// Reads a file system; `None` for `-`.
pub(super) fn read_file_system(cursor: &mut Cursor<'_>) -> Read<Spanned<Option<String>>> {
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
        let cure = "keep the journal inside the file system, or use FAI for this machine";
        return Err(Box::new(Problem::not_supported(feature, word.at, cure)));
    }
    if !is_known(word.value) {
        let known = file_system::KNOWN;
        let message = format!("no program here makes a file system '{}'", word.value);
        let cure = match closest(word.value, &known) {
            Some(guess) => format!("write `{guess}` if that is what you mean"),
            None => format!("use one of {}, swap, -", known.join(", ")),
        };
        return error(Code::BadFileSystem, word.at, message, cure);
    }
    Ok(Spanned::new(Some(word.value.to_owned()), word.at))
}

/// Reads `name="…"` and splits what is in the quotes.
pub(super) fn read_words(
    cursor: &mut Cursor<'_>,
    name: &str,
) -> Read<Option<Spanned<Vec<String>>>> {
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
