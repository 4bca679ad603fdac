//! Places in a disk_config, and what is found there until it becomes a [`Diagnostic`].

use super::code::Code;
use super::passphrase::masked;
use crate::finding::{Finding, Line};
use hostwright_model::diagnostic::{Diagnostic, Location, Severity};

/// A stretch of text within one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
    /// Length in bytes.
    pub length: u32,
}

/// A value and the text that gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Span,
}

impl<T> Spanned<T> {
    /// `value`, read at `at`.
    pub fn new(value: T, at: Span) -> Self {
        Self { value, at }
    }
}

/// The text of a disk_config, kept so that every later finding can show its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name of the file, relative to its config space where it belongs to one.
    pub file: String,
    /// Its lines, without line ends.
    pub lines: Vec<String>,
}

impl Source {
    /// Splits `text` at line feeds; a carriage return before one is dropped.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), lines: text.lines().map(str::to_owned).collect() }
    }

    /// A finding about a stretch of the text.
    pub(crate) fn find(&self, finding: Finding, at: Span) -> Diagnostic {
        let text = self.lines.get((at.line as usize).wrapping_sub(1)).map_or("", String::as_str);
        let line = Line { file: &self.file, number: at.line, text };
        finding.at_column(line, at.column, at.length)
    }

    /// Gives a problem its file name and its line of text.
    pub(super) fn diagnose(&self, problem: Problem) -> Diagnostic {
        let Problem { code, severity, at, message, cure } = problem;
        let index = (at.line as usize).wrapping_sub(1);
        Diagnostic {
            code: code.name().to_owned(),
            severity,
            message,
            at: Some(Location {
                file: self.file.clone(),
                line: at.line,
                column: at.column,
                length: at.length,
            }),
            cure,
            source_line: self.lines.get(index).map(String::as_str).map(masked),
        }
    }
}

/// Something wrong at a place of a [`Source`].
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub code: Code,
    pub severity: Severity,
    pub at: Span,
    pub message: String,
    pub cure: String,
}

impl Problem {
    /// A mistake that no run may start with.
    pub fn error(
        code: Code,
        at: Span,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        let (message, cure) = (message.into(), cure.into());
        Self { code, severity: Severity::Error, at, message, cure }
    }

    /// Something that works, but probably not as meant.
    pub fn warning(
        code: Code,
        at: Span,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, message, cure) }
    }

    /// A part of FAI's language that is recognised and not carried out.
    pub fn not_supported(feature: &str, at: Span, cure: &str) -> Self {
        let message = format!("{feature} is not supported by this version");
        Self::error(Code::NotSupported, at, message, cure)
    }
}
