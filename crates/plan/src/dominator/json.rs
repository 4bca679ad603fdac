//! JSON as Dominator reads it, with the place of every value: case of keys does not matter, unknown
//! keys are passed over, and lines that begin with `#`, `//` or `!` are comments.
//!
//! Values of a wrong type are errors, as with Dominator. What it passes over in silence, unknown and
//! repeated keys, becomes a warning, and what its installer ignores a note.

use crate::finding::{Finding, Line};
use crate::storage::{Span, Spanned};
use hostwright_model::diagnostic::Diagnostic;
use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::str::FromStr;

/// A file while it is read, and what was found in it so far.
pub(super) struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    found: RefCell<Vec<Diagnostic>>,
}

/// Reads an object with `read`; `None` if the text is not one. All findings are appended to `found`.
pub(super) fn read<T>(
    file: &str,
    text: &str,
    found: &mut Vec<Diagnostic>,
    read: impl FnOnce(&Fields<'_, '_>) -> T,
) -> Option<T> {
    let reader = Reader { file, text, found: RefCell::default() };
    let plain = without_comments(text);
    let value = match parse_to_ast(&plain, &CollectOptions::default(), &strict()) {
        Ok(parsed) => parsed.value,
        Err(error) => {
            let message = format!("this is not JSON: {}", lower_first(&error.kind().to_string()));
            let cure = "correct the text; lines that begin with #, // or ! are comments";
            reader.error("bad-json", reader.span(error.range()), message, cure);
            found.append(&mut reader.found.borrow_mut());
            return None;
        }
    };
    let got = match &value {
        Some(Value::Object(object)) => {
            let fields = Fields::new(&reader, object);
            let got = read(&fields);
            fields.tell_unknown();
            Some(got)
        }
        other => {
            let at = other
                .as_ref()
                .map_or(Span { line: 1, column: 1, length: 0 }, |value| reader.span(value.range()));
            let cure = "write an object, { … }";
            reader.error("bad-json", at, "the file holds no JSON object", cure);
            None
        }
    };
    found.append(&mut reader.found.borrow_mut());
    got
}

fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// The text with comment lines made blank, so that every byte stays where it is.
fn without_comments(text: &str) -> String {
    let line = |line: &str| {
        let is_comment = ["#", "//", "!"].iter().any(|mark| line.trim_start().starts_with(mark));
        match is_comment {
            true => line.chars().flat_map(|c| blank(c).chars()).collect(),
            false => line.to_owned(),
        }
    };
    text.split_inclusive('\n').map(line).collect()
}

/// As many blanks as the character has bytes.
fn blank(c: char) -> &'static str {
    match c {
        '\n' => "\n",
        c => &"    "[..c.len_utf8()],
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

impl Reader<'_> {
    fn span(&self, range: Range) -> Span {
        let start = range.start.min(self.text.len());
        let before = &self.text.as_bytes()[..start];
        let line = before.iter().filter(|byte| **byte == b'\n').count();
        let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = &self.text.as_bytes()[start..range.end.clamp(start, self.text.len())];
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        Span { line: line as u32 + 1, column: (start - begin) as u32 + 1, length: length as u32 }
    }

    fn push(&self, finding: Finding, at: Span) {
        let text = self.text.lines().nth(at.line.saturating_sub(1) as usize).unwrap_or_default();
        let line = Line { file: self.file, number: at.line, text };
        self.found.borrow_mut().push(finding.at_column(line, at.column, at.length));
    }

    fn error(
        &self,
        code: &'static str,
        at: Span,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.push(Finding::error(code, message, cure), at);
    }
}

/// The fields of one object.
pub(super) struct Fields<'r, 'a> {
    reader: &'r Reader<'r>,
    object: &'r Object<'a>,
    /// Keys that were asked for, in lower case.
    known: RefCell<BTreeSet<String>>,
}

impl<'r, 'a> Fields<'r, 'a> {
    fn new(reader: &'r Reader<'r>, object: &'r Object<'a>) -> Self {
        Self { reader, object, known: RefCell::default() }
    }

    /// Where the object begins.
    pub fn at(&self) -> Span {
        Span { length: 1, ..self.reader.span(self.object.range) }
    }

    /// A finding of the caller's own.
    pub fn error(
        &self,
        code: &'static str,
        at: Span,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.reader.error(code, at, message, cure);
    }

    /// The value of a key; the last one counts. `null` is as good as nothing.
    fn value(&self, key: &str) -> Option<&'r Value<'a>> {
        self.known.borrow_mut().insert(key.to_lowercase());
        let found = self.properties(key).last().map(|property| &property.value);
        found.filter(|value| !matches!(value, Value::NullKeyword(_)))
    }

    fn properties(&self, key: &str) -> impl Iterator<Item = &'r ObjectProp<'a>> {
        let key = key.to_lowercase();
        self.object.properties.iter().filter(move |p| p.name.as_str().to_lowercase() == key)
    }

    fn wrong(&self, key: &str, value: &Value<'_>, expected: &str) {
        let message = format!("{key} has to be {expected}");
        let cure = format!("write {expected}, or leave {key} out");
        self.error("bad-json-value", self.reader.span(value.range()), message, cure);
    }

    /// A string.
    pub fn text(&self, key: &str) -> Option<Spanned<String>> {
        match self.value(key)? {
            Value::StringLit(text) => {
                Some(Spanned::new(text.value.clone().into_owned(), self.reader.span(text.range)))
            }
            other => {
                self.wrong(key, other, "a string");
                None
            }
        }
    }

    /// A string that stands for something else; an empty one for nothing.
    pub fn parsed<T: FromStr>(&self, key: &str, expected: &str) -> Option<Spanned<T>> {
        let text = self.text(key).filter(|text| !text.value.is_empty())?;
        match text.value.parse() {
            Ok(value) => Some(Spanned::new(value, text.at)),
            Err(_) => {
                self.unreadable(key, &text, expected);
                None
            }
        }
    }

    fn unreadable(&self, key: &str, text: &Spanned<String>, expected: &str) {
        let message = format!("{key} is '{}', not {expected}", text.value);
        self.error("bad-json-value", text.at, message, format!("write {expected}"));
    }

    /// A whole number.
    pub fn number(&self, key: &str) -> Option<Spanned<u64>> {
        let value = self.value(key)?;
        let number = match value {
            Value::NumberLit(number) => number.value.parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong(key, value, "a whole number, 0 or more");
        }
        Some(Spanned::new(number?, self.reader.span(value.range())))
    }

    /// True or false; false where the key is missing.
    pub fn flag(&self, key: &str) -> bool {
        self.spanned_flag(key).is_some_and(|flag| flag.value)
    }

    /// True or false, where it says so.
    pub fn spanned_flag(&self, key: &str) -> Option<Spanned<bool>> {
        match self.value(key)? {
            Value::BooleanLit(flag) => Some(Spanned::new(flag.value, self.reader.span(flag.range))),
            other => {
                self.wrong(key, other, "true or false");
                None
            }
        }
    }

    /// An object, read by `read`.
    pub fn object<T>(&self, key: &str, read: impl FnOnce(&Fields<'_, '_>) -> T) -> Option<T> {
        match self.value(key)? {
            Value::Object(object) => {
                let fields = Fields::new(self.reader, object);
                let got = read(&fields);
                fields.tell_unknown();
                Some(got)
            }
            other => {
                self.wrong(key, other, "an object");
                None
            }
        }
    }

    /// A list of objects, each read by `read`.
    pub fn objects<T>(&self, key: &str, read: impl Fn(&Fields<'_, '_>) -> T) -> Vec<T> {
        let each = |value: &Value<'_>| match value {
            Value::Object(object) => {
                let fields = Fields::new(self.reader, object);
                let got = read(&fields);
                fields.tell_unknown();
                Some(got)
            }
            other => {
                self.wrong(key, other, "a list of objects");
                None
            }
        };
        self.elements(key).iter().filter_map(each).collect()
    }

    /// A list of strings that stand for something else.
    pub fn list<T: FromStr>(&self, key: &str, expected: &str) -> Vec<Spanned<T>> {
        let each = |value: &Value<'_>| {
            let Value::StringLit(text) = value else {
                self.wrong(key, value, "a list of strings");
                return None;
            };
            let at = self.reader.span(text.range);
            match text.value.parse() {
                Ok(value) => Some(Spanned::new(value, at)),
                Err(_) => {
                    let text = Spanned::new(text.value.clone().into_owned(), at);
                    self.unreadable(key, &text, expected);
                    None
                }
            }
        };
        self.elements(key).iter().filter_map(each).collect()
    }

    fn elements(&self, key: &str) -> &'r [Value<'a>] {
        match self.value(key) {
            None => &[],
            Some(Value::Array(array)) => &array.elements,
            Some(other) => {
                self.wrong(key, other, "a list");
                &[]
            }
        }
    }

    /// The strings of an object whose keys are free.
    pub fn map(&self, key: &str) -> Vec<(String, Spanned<String>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Value::Object(object) = value else {
            self.wrong(key, value, "an object");
            return Vec::new();
        };
        let entry = |property: &ObjectProp<'_>| match &property.value {
            Value::StringLit(text) => {
                let at = self.reader.span(text.range);
                let value = Spanned::new(text.value.clone().into_owned(), at);
                Some((property.name.as_str().to_owned(), value))
            }
            other => {
                self.wrong(key, other, "an object of strings");
                None
            }
        };
        object.properties.iter().filter_map(entry).collect()
    }

    /// Notes keys that are known and that an installation does nothing with.
    pub fn unused(&self, keys: &[&str]) {
        for key in keys {
            self.known.borrow_mut().insert(key.to_lowercase());
            for property in self.properties(key) {
                let message = format!("{key} has no meaning for an installation");
                let finding = Finding::note("unused-key", message, "nothing has to be done");
                self.reader.push(finding, self.reader.span(property.name.range()));
            }
        }
    }

    /// Warns of keys that nobody has asked for, and of those that are there twice.
    fn tell_unknown(&self) {
        let known = self.known.borrow();
        let mut seen = BTreeSet::new();
        for property in &self.object.properties {
            let (name, lower) = (property.name.as_str(), property.name.as_str().to_lowercase());
            let finding = if !known.contains(&lower) {
                let message = format!("nothing reads the key '{name}'");
                let cure = match nearest(&lower, &known) {
                    Some(near) => format!("did you mean {near}? Otherwise remove it"),
                    None => "correct its spelling, or remove it".to_owned(),
                };
                Finding::warning("unknown-key", message, cure)
            } else if !seen.insert(lower) {
                let message = format!("the key '{name}' is here twice, and the last one counts");
                Finding::warning("repeated-key", message, "remove one of them")
            } else {
                continue;
            };
            self.reader.push(finding, self.reader.span(property.name.range()));
        }
    }
}

/// A known key that differs in at most two letters.
fn nearest<'k>(name: &str, known: &'k BTreeSet<String>) -> Option<&'k str> {
    let distance = |other: &str| {
        let other: Vec<char> = other.chars().collect();
        let mut row: Vec<usize> = (0..=other.len()).collect();
        for (i, c) in name.chars().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], i + 1);
            for (j, o) in other.iter().enumerate() {
                let cost = diagonal + usize::from(c != *o);
                diagonal = row[j + 1];
                row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
            }
        }
        row[other.len()]
    };
    let close = known.iter().map(|key| (distance(key), key));
    close.filter(|(far, _)| *far <= 2).min().map(|(_, key)| key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        read("config.json", text, &mut found, |fields| {
            fields.text("Name");
            fields.number("Size");
            fields.flag("Encrypt");
            fields.list::<u32>("Ports", "a number");
            fields.object("Inner", |inner| inner.text("Name"));
            fields.unused(&["Owner"]);
        });
        found
            .iter()
            .map(|diagnostic| {
                let at = diagnostic.at.as_ref().expect("a place");
                format!("{}:{} {} {}", at.line, at.column, diagnostic.code, diagnostic.message)
            })
            .collect()
    }

    #[test]
    fn what_dominator_takes_is_taken() {
        let text = "# a comment\n// another\n! a third\n{\n \"NAME\": \"x\", \"sIzE\": 7,\n\
                    // inside\n \"encrypt\": true, \"Ports\": [\"1\", \"2\"], \"Inner\": null\n}\n";
        assert_eq!(findings(text), Vec::<String>::new());
    }

    #[test]
    fn mistakes_have_their_place() {
        for (text, expected) in [
            ("{\n  \"Name\": 7\n}", "2:11 bad-json-value Name has to be a string"),
            ("{\"Size\": -7}", "1:10 bad-json-value Size has to be a whole number, 0 or more"),
            ("{\"Size\": \"7\"}", "1:10 bad-json-value Size has to be a whole number, 0 or more"),
            ("{\"Encrypt\": 1}", "1:13 bad-json-value Encrypt has to be true or false"),
            ("{\"Ports\": [\"ä\"]}", "1:12 bad-json-value Ports is 'ä', not a number"),
            ("{\"Inner\":\n{\"Nane\": \"\"}}", "2:2 unknown-key nothing reads the key 'Nane'"),
            ("{\"Owner\": \"me\"}", "1:2 unused-key Owner has no meaning for an installation"),
            (
                "{\"Size\": 1, \"size\": 2}",
                "1:13 repeated-key the key 'size' is here twice, and the last one counts",
            ),
            ("[]", "1:1 bad-json the file holds no JSON object"),
            ("", "1:1 bad-json the file holds no JSON object"),
            ("{\"Size\": 1,}", "1:11 bad-json this is not JSON: trailing commas are not allowed"),
        ] {
            assert_eq!(findings(text), [expected], "{text}");
        }
        assert!(
            findings("{\"Name\": \"x\"\n\"Size\": 1}")[0].contains(" bad-json this is not JSON")
        );
        assert_eq!(findings(&"[".repeat(100_000)).len(), 1);
    }
}
