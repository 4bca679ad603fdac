//! Passphrases of encrypted devices, `luks:"…"` of a disk_config. They are in no plan and in no
//! message: whatever shows a line shows it masked.

use super::ast::DiskConfig;
use super::code::Code;
use super::cursor::{Cursor, is_blank};
use super::source::Problem;

const KEYWORD: &str = "luks";
const OPENING: &str = "luks:\"";

/// The passphrase of an encrypted device, which is part of no plan: the engine asks for it by the
/// line that a plan names.
pub fn passphrase(config: &DiskConfig, line: u32) -> Option<&str> {
    of_line(config.source.lines.get((line as usize).checked_sub(1)?)?)
}

/// The passphrase that a line gives, if it is written well.
pub(crate) fn of_line(line: &str) -> Option<&str> {
    let text = line.trim_start_matches(is_blank);
    let length = length(text)?;
    Some(&text[OPENING.len()..][..length])
}

/// Length of the passphrase of a text that begins with `luks:"…"` and a blank.
fn length(text: &str) -> Option<usize> {
    let value = text.strip_prefix(OPENING)?;
    let length = value.find('"').filter(|length| *length > 0)?;
    value[length + 1..].starts_with(is_blank).then_some(length)
}

/// Bytes of the first field of a line that begins with a passphrase, which may be written badly:
/// then nothing may say what stands there.
pub(super) fn field_length(cursor: &Cursor<'_>) -> Result<Option<usize>, Box<Problem>> {
    let text = cursor.rest();
    if let Some(length) = length(text) {
        return Ok(Some(OPENING.len() + length + 1));
    }
    if secret_start(text).is_none() {
        return Ok(None);
    }
    let message = "the passphrase of this line is not written as one";
    let cure =
        "write luks:\"PASSPHRASE\" and a blank: small letters, two double quotes, and none inside";
    Err(Box::new(Problem::error(Code::BadOptionValue, cursor.span(KEYWORD.len()), message, cure)))
}

/// Where the secret begins in a text that looks as if it began with a passphrase.
fn secret_start(text: &str) -> Option<usize> {
    let head = text.get(..KEYWORD.len()).filter(|head| head.eq_ignore_ascii_case(KEYWORD))?;
    let rest = text[head.len()..].trim_start_matches(is_blank);
    rest.starts_with([':', '"', '\'']).then(|| text.len() - rest.len() + 1)
}

/// A line as it may be shown: every byte of a passphrase is a star. Of one that is written badly,
/// or stands in a comment, nobody knows where it ends: the rest of the line is masked.
pub(crate) fn masked(line: &str) -> String {
    let code = line.trim_start_matches(|c| is_blank(c) || c == '#');
    let indent = line.len() - code.len();
    let (start, end) = match (length(code), secret_start(code)) {
        (Some(length), _) => (OPENING.len(), OPENING.len() + length),
        (None, Some(start)) => (start, code.len()),
        (None, None) => return line.to_owned(),
    };
    let (start, end) = (indent + start, indent + end);
    format!("{}{}{}", &line[..start], "*".repeat(end - start), &line[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_a_row_of_stars() {
        for (line, shown) in [
            ("luks:\"two words\" / disk1.1 ext4 rw", "luks:\"*********\" / disk1.1 ext4 rw"),
            ("\tluks:\"ä\" / disk1.1 ext4 rw", "\tluks:\"**\" / disk1.1 ext4 rw"),
            ("# luks:\"old\" / disk1.1", "# luks:\"***\" / disk1.1"),
            ("luks:\"never ends", "luks:***********"),
            ("luks:\"a\"b\" /", "luks:*******"),
            ("LUKS:\"word\" /", "LUKS:********"),
            ("luks : 'word' /", "luks :*********"),
            ("luks / disk1.5 ext4 rw", "luks / disk1.5 ext4 rw"),
            ("primary /luks:x 5 ext4 rw", "primary /luks:x 5 ext4 rw"),
        ] {
            assert_eq!(masked(line), shown);
        }
    }
}
