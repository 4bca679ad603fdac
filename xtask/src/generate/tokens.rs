//! Rust source text as tokens: enough of the language to find calls and their arguments.

use std::ops::Range;

/// A token. Comments, lifetimes and characters are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An identifier, a keyword or a number.
    Word(String),
    /// What is between the quotes of a string literal, escapes as they are written.
    Text(String),
    /// Any other character.
    Mark(char),
}

/// The tokens of one file.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
    /// Line of each token, from 1.
    lines: Vec<usize>,
    /// For an opening bracket, where its closing one is.
    closing: Vec<Option<usize>>,
}

impl Tokens {
    /// Reads a file; items behind `#[cfg(test)]` are left out.
    pub(super) fn of(source: &str) -> Self {
        let mut lexer = Lexer { rest: source, line: 1, found: Self::default() };
        while lexer.step() {}
        let mut found = lexer.found;
        found.pair_brackets();
        found.without_tests()
    }

    /// The token at `at`.
    pub(super) fn get(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Its line.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.get(at).copied().unwrap_or(0)
    }

    /// The word at `at`.
    pub(super) fn word(&self, at: usize) -> Option<&str> {
        match self.get(at)? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    /// The string literal at `at`.
    pub(super) fn text(&self, at: usize) -> Option<&str> {
        match self.get(at)? {
            Token::Text(text) => Some(text),
            _ => None,
        }
    }

    /// True if the characters from `at` on are these.
    pub(super) fn is(&self, at: usize, marks: &str) -> bool {
        marks.chars().enumerate().all(|(i, mark)| self.get(at + i) == Some(&Token::Mark(mark)))
    }

    /// What is between the bracket at `at` and its closing one.
    pub(super) fn inside(&self, at: usize) -> Option<Range<usize>> {
        let end = (*self.closing.get(at)?)?;
        Some(at + 1..end)
    }

    /// Where it goes on behind `at`: behind the closing bracket, if it is an opening one.
    pub(super) fn next(&self, at: usize) -> usize {
        self.inside(at).map_or(at, |inside| inside.end) + 1
    }

    /// The parts of `range` between commas that are in no bracket. Nothing behind the last comma is
    /// no part.
    pub(super) fn split(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let (mut start, mut at) = (range.start, range.start);
        while at < range.end {
            if self.is(at, ",") {
                parts.push(start..at);
                start = at + 1;
            }
            at = self.next(at);
        }
        if start < range.end {
            parts.push(start..range.end);
        }
        parts
    }

    fn pair_brackets(&mut self) {
        self.closing = vec![None; self.tokens.len()];
        let mut open = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Mark('(' | '[' | '{') => open.push(at),
                Token::Mark(')' | ']' | '}') => {
                    if let Some(start) = open.pop() {
                        self.closing[start] = Some(at);
                    }
                }
                _ => {}
            }
        }
    }

    fn without_tests(self) -> Self {
        let mut kept = Self::default();
        let mut at = 0;
        while at < self.len() {
            if self.is_test_attribute(at) {
                at = self.behind_item(self.next(at + 1));
                continue;
            }
            kept.tokens.push(self.tokens[at].clone());
            kept.lines.push(self.lines[at]);
            at += 1;
        }
        kept.pair_brackets();
        kept
    }

    fn is_test_attribute(&self, at: usize) -> bool {
        let words = (self.word(at + 2), self.word(at + 4));
        self.is(at, "#[") && words == (Some("cfg"), Some("test")) && self.is(at + 5, ")]")
    }

    /// Behind the item that begins at `at`: behind its body, or its semicolon.
    fn behind_item(&self, mut at: usize) -> usize {
        while at < self.len() && !self.is(at, ";") {
            let is_body = self.is(at, "{");
            at = self.next(at);
            if is_body {
                return at;
            }
        }
        at + 1
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    found: Tokens,
}

impl Lexer<'_> {
    /// Takes one token, or what is none; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        if self.rest.starts_with("//") {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip(comment_length(self.rest));
        } else if let Some((opening, hashes)) = opening_quote(self.rest) {
            self.string(opening, hashes);
        } else if first == '\'' {
            self.skip(quote_length(self.rest));
        } else if is_name(first) {
            let length = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
            self.push(Token::Word(self.rest[..length].to_owned()), length);
        } else if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else {
            self.push(Token::Mark(first), first.len_utf8());
        }
        true
    }

    fn string(&mut self, opening: usize, hashes: Option<usize>) {
        let inside = &self.rest[opening..];
        let (length, closing) = match hashes {
            Some(hashes) => {
                let end = format!("\"{}", "#".repeat(hashes));
                (inside.find(&end).unwrap_or(inside.len()), end.len())
            }
            None => (escaped_length(inside), 1),
        };
        let text = inside[..length].to_owned();
        self.push(Token::Text(text), opening + length + closing);
    }

    fn push(&mut self, token: Token, length: usize) {
        self.found.tokens.push(token);
        self.found.lines.push(self.line);
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        let (skipped, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of what opens a string here, and for a raw one its number of hashes.
fn opening_quote(rest: &str) -> Option<(usize, Option<usize>)> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|p| {
        let behind = rest.strip_prefix(p).unwrap_or_default();
        behind.trim_start_matches('#').starts_with('"')
    })?;
    let hashes = rest[prefix.len()..].bytes().take_while(|byte| *byte == b'#').count();
    let is_raw = prefix.ends_with('r');
    (is_raw || hashes == 0).then_some((prefix.len() + hashes + 1, is_raw.then_some(hashes)))
}

/// How far it is to the quote that closes.
fn escaped_length(inside: &str) -> usize {
    let mut characters = inside.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return at,
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    inside.len()
}

/// Length of a comment; they nest.
fn comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let (step, change) = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

/// Length of a character literal, or of the quote of a lifetime.
fn quote_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        // The character behind the backslash may itself be a quote.
        (Some((_, '\\')), Some((at, c))) => {
            let behind = at + c.len_utf8();
            rest[behind..].find('\'').map_or(1, |end| behind + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        let tokens = Tokens::of(source);
        (0..tokens.len()).filter_map(|at| tokens.text(at).map(str::to_owned)).collect()
    }

    #[test]
    fn strings_are_told_from_comments_characters_and_lifetimes() {
        let source = r##"
            // "no"
            /* "no" /* "no" */ "no" */
            fn f<'a>(x: &'a str) { g('"', '\'', b"one", r"two\", r#"th"ree"#, "f\"our"); }
        "##;
        assert_eq!(texts(source), ["one", "two\\", "th\"ree", "f\\\"our"]);
    }

    #[test]
    fn tests_are_left_out() {
        let source = "#[cfg(test)]\nmod tests { f(\"no\"); }\n#[cfg(test)] mod more;\nf(\"yes\");";
        assert_eq!(texts(source), ["yes"]);
    }

    #[test]
    fn arguments_are_split_at_commas_outside_of_brackets() {
        let tokens = Tokens::of("f(a, g(b, c), [d, e],)");
        let parts = tokens.split(tokens.inside(1).expect("a bracket"));
        assert_eq!(parts.len(), 3);
        assert_eq!(tokens.word(parts[1].start), Some("g"));
    }
}
