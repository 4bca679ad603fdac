//! Making diagnostics: what is wrong, at which bytes of which line, and what cures it.

use crate::codes;
use crate::storage::masked_line;
use hostwright_model::diagnostic::{Diagnostic, Location, Severity};

/// One line of a text file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The file, relative to the space.
    pub file: &'a str,
    /// Its number, from 1.
    pub number: u32,
    /// Its text, without its end.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// The lines of a file, numbered.
    pub fn all(file: &'a str, text: &'a str) -> impl Iterator<Item = Line<'a>> {
        (1..).zip(text.split_terminator('\n')).map(move |(number, text)| Line {
            file,
            number,
            text,
        })
    }

    /// Column of `span`, which is a part of this line's text.
    pub fn column_of(&self, span: &str) -> u32 {
        let offset = (span.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        offset.min(self.text.len()) as u32 + 1
    }
}

/// A diagnostic that still lacks its place.
pub(crate) struct Finding {
    severity: Severity,
    code: &'static str,
    message: String,
    cure: String,
}

impl Finding {
    pub fn error(code: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Self {
        debug_assert!(codes::is_known(code), "{code} is missing in codes.rs");
        Self { severity: Severity::Error, code, message: message.into(), cure: cure.into() }
    }

    pub fn warning(
        code: &'static str,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, cure) }
    }

    pub fn note(code: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, message, cure) }
    }

    /// About `span`, which is a part of the line's text.
    pub fn at_span(self, line: Line<'_>, span: &str) -> Diagnostic {
        self.at_column(line, line.column_of(span), span.len() as u32)
    }

    /// About `length` bytes from `column` of a line on.
    pub fn at_column(self, line: Line<'_>, column: u32, length: u32) -> Diagnostic {
        let at = Location { file: line.file.to_owned(), line: line.number, column, length };
        // A carriage return would move the cursor when the line is drawn.
        self.at(at, Some(shown(line.file, line.text.trim_end_matches('\r'))))
    }

    /// About a file, shown at its first line.
    pub fn at_start(self, file: &str, text: &str) -> Diagnostic {
        let first = text.lines().next().unwrap_or_default();
        let line = Line { file, number: 1, text: first };
        self.at_column(line, 1, first.len() as u32)
    }

    /// About a line whose text is not at hand; about the whole file for line 0.
    pub fn at_line(self, file: &str, line: u32) -> Diagnostic {
        self.at(Location { line, ..Location::file(file) }, None)
    }

    /// About something that is not there, or a file without lines.
    pub fn at_file(self, file: &str) -> Diagnostic {
        self.at(Location::file(file), None)
    }

    fn at(self, at: Location, source_line: Option<String>) -> Diagnostic {
        let Self { severity, code, message, cure } = self;
        Diagnostic { code: code.to_owned(), severity, message, at: Some(at), cure, source_line }
    }
}

/// A line of a file of the space as anybody may see it: without a passphrase.
pub(crate) fn shown(file: &str, line: &str) -> String {
    match file.starts_with("disk_config/") {
        true => masked_line(line),
        false => line.to_owned(),
    }
}

/// Puts diagnostics into the order of their places, each once.
pub(crate) fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| (&a.at, &a.code, &a.message).cmp(&(&b.at, &b.code, &b.message)));
    diagnostics.dedup();
}
