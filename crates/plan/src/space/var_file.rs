//! `class/CLASS.var`: shell text that sets variables. bash reads it; here only what no shell can
//! have been meant to read is found, and which line sets which variable.

use crate::finding::{Finding, Line};
use hostwright_model::diagnostic::Diagnostic;
use std::collections::BTreeMap;

/// A line that sets a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Its number, from 1.
    pub line: u32,
    /// Column of the name, from 1.
    pub column: u32,
    /// The whole line.
    pub text: String,
}

/// A `.var` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VarFile {
    /// `class/FAIBASE.var`.
    pub path: String,
    /// Variables that it seems to set, each with the last line that does.
    pub assignments: BTreeMap<String, Assignment>,
}

impl VarFile {
    /// Reads a file.
    pub fn parse(path: &str, text: &str) -> (Self, Vec<Diagnostic>) {
        let mut findings = Vec::new();
        let mut assignments = BTreeMap::new();
        for line in Line::all(path, text) {
            if let Some((name, _)) = assignment(line.text) {
                let column = line.column_of(name);
                let text = line.text.to_owned();
                let assignment = Assignment { line: line.number, column, text };
                assignments.insert(name.to_owned(), assignment);
            }
            if line.text.ends_with('\r') {
                findings.push(carriage_return(line));
                break;
            }
            findings.extend(mistake(line));
        }
        findings.extend(open_quote(path, text));
        (Self { path: path.to_owned(), assignments }, findings)
    }

    /// A diagnostic about the line that sets a variable; about the file if none seems to.
    pub(crate) fn at(&self, finding: Finding, name: &str) -> Diagnostic {
        let Some(place) = self.assignments.get(name) else { return finding.at_file(&self.path) };
        let line = Line { file: &self.path, number: place.line, text: &place.text };
        finding.at_column(line, place.column, name.len() as u32)
    }
}

/// The finding for a file that bash reads, at the first line that ends as in DOS.
pub(super) fn carriage_return(line: Line<'_>) -> Diagnostic {
    let message = "the line ends with a carriage return, which the shell takes for text";
    let cure = format!("convert the file to Unix line ends: sed -i 's/\\r$//' {}", line.file);
    Finding::warning("carriage-return", message, cure).at_column(line, line.text.len() as u32, 1)
}

/// Name and value of an assignment that begins a line.
fn assignment(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let text = text.strip_prefix("export ").unwrap_or(text).trim_start();
    let (name, value) = text.split_once('=')?;
    is_name(name).then_some((name, value))
}

fn is_name(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `NAME = value` and `$NAME=value`, which the shell takes for commands.
fn mistake(line: Line<'_>) -> Option<Diagnostic> {
    let text = line.text.trim();
    let text = text.strip_prefix("export ").unwrap_or(text).trim_start();
    if let Some((name, _)) = text.strip_prefix('$').and_then(|rest| rest.split_once('='))
        && is_name(name)
    {
        let message = format!("'${name}=' does not set a variable");
        let cure = format!("write '{name}=…' without '$'");
        return Some(Finding::warning("bad-assignment", message, cure).at_span(line, text));
    }
    let (name, rest) = text.split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    if !is_name(name) || !rest.starts_with('=') || rest.starts_with("==") {
        return None;
    }
    let message = format!("blanks around '=' make '{name}' a command, not a variable");
    let cure = format!("write '{name}={}'", rest[1..].trim());
    Some(Finding::warning("bad-assignment", message, cure).at_span(line, text))
}

/// A quote that nothing closes. Files with here documents or command substitutions, whose quotes
/// nest in ways that only the shell follows, are left alone.
fn open_quote(path: &str, text: &str) -> Option<Diagnostic> {
    if text.contains("<<") || text.contains("$(") || text.contains('`') {
        return None;
    }
    let mut open: Option<(char, Line<'_>, usize)> = None;
    for line in Line::all(path, text) {
        let mut before = ' ';
        let mut characters = line.text.char_indices();
        while let Some((at, c)) = characters.next() {
            match (open, c) {
                (Some((quote, ..)), c) if c == quote => open = None,
                (Some(('"', ..)) | None, '\\') => {
                    characters.next();
                }
                (None, '"' | '\'') => open = Some((c, line, at)),
                (None, '#') if before.is_whitespace() => break,
                _ => {}
            }
            before = c;
        }
    }
    let (quote, line, at) = open?;
    let message = format!("nothing closes the quote {quote}");
    let cure = "close it at the end of the value";
    Some(Finding::error("open-quote", message, cure).at_column(line, at as u32 + 1, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<(String, u32, u32)> {
        let (_, findings) = VarFile::parse("class/X.var", text);
        let place = |d: &Diagnostic| d.at.as_ref().map_or((0, 0), |at| (at.line, at.column));
        findings.iter().map(|d| (d.code.clone(), place(d).0, place(d).1)).collect()
    }

    #[test]
    fn shell_that_is_fine_is_left_alone() {
        let text = "# don't\nA=1\nexport B='x y' # it's\nif [ $A = 1 ]; then\n  C=\"it's\\\"\"\nfi\n\
                    D=a\\'b\nE=${A:-x}\ntest A = B && F=1\n";
        assert_eq!(codes(text), []);
        let (file, _) = VarFile::parse("class/X.var", text);
        let names: Vec<&str> = file.assignments.keys().map(String::as_str).collect();
        assert_eq!(names, ["A", "B", "C", "D", "E"]);
        assert_eq!((file.assignments["B"].line, file.assignments["B"].column), (3, 8));
    }

    #[test]
    fn mistakes_have_places() {
        let at = |code: &str, line, column| vec![(code.to_owned(), line, column)];
        assert_eq!(codes("A=1\n  NAME = value\n"), at("bad-assignment", 2, 3));
        assert_eq!(codes("$NAME=value\n"), at("bad-assignment", 1, 1));
        assert_eq!(codes("A=1\r\nB=2\r\n"), at("carriage-return", 1, 4));
        assert_eq!(codes("A=1\nB='x\nC=2\n"), at("open-quote", 2, 3));
    }
}
