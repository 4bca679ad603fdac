//! The grammar of small files: answers for debconf, owners and modes for fcopy.

use super::survey::Survey;
use crate::finding::{Finding, Line};
use hostwright_model::diagnostic::Diagnostic;

/// Types of debconf questions, and `seen`, which sets a flag.
const DEBCONF_TYPES: [&str; 10] = [
    "string",
    "boolean",
    "select",
    "multiselect",
    "note",
    "text",
    "password",
    "title",
    "error",
    "seen",
];

/// Lines that their readers refuse.
pub(super) fn findings(survey: &Survey<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let answers = survey.space.debconf.values().flatten();
    for path in answers {
        let texts = survey.texts.below(path).take_while(|file| file.path == path);
        texts.for_each(|file| found.extend(debconf(file.path, &file.text)));
    }
    let modes = survey.texts.below("files/").filter(|file| file.path.ends_with("/file-modes"));
    modes.for_each(|file| found.extend(file_modes(file.path, &file.text)));
    found
}

/// `owner question type value`; a backslash at its end joins a line with the next one.
fn debconf(path: &str, text: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut is_continued = false;
    for line in Line::all(path, text) {
        let continues = line.text.ends_with('\\');
        let code = line.text.trim();
        let is_code = !code.is_empty() && !code.starts_with('#');
        if is_code && !is_continued {
            found.extend(debconf_line(line, continues));
        }
        is_continued = continues;
    }
    found
}

fn debconf_line(line: Line<'_>, continues: bool) -> Option<Diagnostic> {
    let words: Vec<&str> = line.text.split_whitespace().collect();
    let cure = "write 'PACKAGE QUESTION TYPE VALUE', as debconf-set-selections(1) reads it";
    match words.get(2) {
        None if continues => None,
        None => {
            let message = "debconf answers have an owner, a question, a type and a value";
            let finding = Finding::warning("bad-debconf-line", message, cure);
            Some(finding.at_span(line, line.text.trim()))
        }
        Some(kind) if !DEBCONF_TYPES.contains(kind) => {
            let message = format!("debconf has no type '{kind}'");
            Some(Finding::warning("bad-debconf-line", message, cure).at_span(line, kind))
        }
        Some(_) => None,
    }
}

/// `owner group mode [class]`.
fn file_modes(path: &str, text: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for line in Line::all(path, text) {
        let code = line.text.split('#').next().unwrap_or_default();
        let words: Vec<&str> = code.split_whitespace().collect();
        let is_octal = |mode: &str| {
            (3..=5).contains(&mode.len()) && mode.bytes().all(|byte| matches!(byte, b'0'..=b'7'))
        };
        let is_good = match words.as_slice() {
            [] => true,
            [_, _, mode] | [_, _, mode, _] => is_octal(mode),
            _ => false,
        };
        if !is_good {
            let message = format!("'{}' is not an owner, a group and a mode", code.trim());
            let cure = "write 'OWNER GROUP MODE [CLASS]', such as 'root root 0644'";
            let finding = Finding::warning("bad-file-modes", message, cure);
            found.push(finding.at_span(line, code.trim()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(found: &[Diagnostic]) -> Vec<(u32, u32)> {
        found.iter().filter_map(|d| d.at.as_ref()).map(|at| (at.line, at.column)).collect()
    }

    #[test]
    fn debconf_lines_have_a_known_type() {
        let text = "# c\nd-i time/zone string Europe/Berlin\na b select\nlocales x multiselect \\\n \
                    en, de\n\nonly two\na b colour red\nexim4 exim4/x seen true\na \\\nb string c\n";
        assert_eq!(places(&debconf("debconf/A", text)), [(7, 1), (8, 5)]);
    }

    #[test]
    fn modes_are_octal() {
        let text = "# c\nroot root 0644\nroot root 4755 A # c\nroot 0644\nroot root rw-r\n";
        assert_eq!(places(&file_modes("files/x/file-modes", text)), [(4, 1), (5, 1)]);
    }
}
