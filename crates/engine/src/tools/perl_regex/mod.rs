//! Perl's regular expressions over lines of bytes, on top of fancy-regex.
//!
//! Perl matches text byte by byte where no locale is in use, and its classes and cases know ASCII
//! only. So each byte above 127 stands as a character of its own that is neither a letter, nor a
//! digit, nor a blank to anybody ([`character`]), and the pattern is [translated](translate) into
//! the Rust syntax. A construct that Rust does not have (recursion, code, branch reset) is an error
//! here: nothing is guessed.

mod bracket;
mod translate;

use fancy_regex::Regex;
use thiserror::Error;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum PatternError {
    /// Perl would refuse it, too.
    #[error("{message}, at character {at}")]
    Syntax {
        /// What is wrong.
        message: &'static str,
        /// Where, from 1.
        at: usize,
    },
    /// The regular expressions of this program do not have it, or it makes no sense to them.
    #[error(transparent)]
    Engine(#[from] Box<fancy_regex::Error>),
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct LinePattern(Regex);

impl LinePattern {
    /// Compiles what stands between Perl's slashes.
    pub(crate) fn new(pattern: &str) -> Result<Self, PatternError> {
        let pattern = translate::translate(&as_characters(pattern.as_bytes()))?;
        Ok(Self(Regex::new(&pattern).map_err(Box::new)?))
    }

    /// True if `line`, with or without its line end, matches somewhere.
    ///
    /// # Errors
    /// The pattern tries too many ways, as `(a*)*\1b` does on a long line.
    pub(crate) fn matches(&self, line: &[u8]) -> Result<bool, PatternError> {
        Ok(self.0.is_match(&as_characters(line)).map_err(Box::new)?)
    }
}

/// The character that stands for a byte: itself in ASCII, else one of Unicode's private ones.
fn character(byte: u8) -> char {
    match byte {
        0..0x80 => char::from(byte),
        _ => char::from_u32(PRIVATE + u32::from(byte)).expect("invariant: no surrogate"),
    }
}

/// Where the characters of bytes above 127 begin, less 128.
const PRIVATE: u32 = 0xe000;

fn as_characters(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| character(byte)).collect()
}

/// A pattern that matches `text` and nothing else, Perl's `\Q`.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, line: &str) -> bool {
        LinePattern::new(pattern).unwrap().matches(line.as_bytes()).unwrap()
    }

    #[test]
    fn anchors_and_blanks_know_the_line_end() {
        assert!(matches("^foo$", "foo\n") && matches("^foo$", "foo"));
        assert!(matches(r"foo\s+", "foo\n") && !matches(r"foo\s+", "foo"));
        assert!(!matches("^$", "foo\n") && matches("^$", "\n"));
        assert!(matches(r"foo\Z", "foo\n") && !matches(r"foo\z", "foo\n"));
        assert!(matches("", "anything\n"));
    }

    #[test]
    fn perl_takes_odd_characters_literally() {
        assert!(matches("{%x%}", "a {%x%} b\n"));
        assert!(matches("^a{2}$", "aa") && !matches("^a{2}$", "a"));
        assert!(matches("^a{,2}$", "") && matches("^a{ 1, 2 }$", "aa"));
        assert!(matches(r"\<a\>", "x<a>y\n"));
        assert!(matches("[[]x[]]", "[x]"));
        assert!(matches("^[a&&b]$", "&") && matches("^[a+--]$", ","));
        assert!(matches(r"^[\w.-]+$", "a-b.c\n") && matches(r"^[\w-z]+$", "a-z"));
        assert!(matches("^[[:space:]]x", "\tx"));
        assert!(matches(r"a\hb", "a\tb"));
        assert!(matches(r#"\"x\"\@\/"#, "\"x\"@/"));
        assert!(matches(r"\E\Qa", "EQa"));
    }

    #[test]
    fn look_around_back_references_and_bytes() {
        assert!(matches(r"^(?!#)(\w+)=\1", "a=a\n"));
        assert!(!matches(r"^(?!#)", "#a\n"));
        assert!(matches("Grüße", "Grüße\n") && matches("^Gr.{4}e", "Grüße\n"));
        assert!(!matches(r"^\w+$", "grün") && !matches("(?i)Ü", "ü") && matches("(?i)A", "a"));
        assert!(matches(r"\xc3\xbc", "ü") && matches(r"[\x80-\xff]", "ü"));
    }

    #[test]
    fn what_perl_refuses_is_refused() {
        for pattern in
            ["* foo", "a**", "a{2}{3}", "(", ")", "[a", "a\\", r"(a)\2", "[z-a]", "[[:x:]]"]
        {
            assert!(LinePattern::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn quoted_text_matches_itself_only() {
        let text = r"a.b*c+(d)[e]{f}^$|\<g>#&~ -";
        assert!(matches(&format!("^{}$", quote(text)), text));
        assert!(!matches(&quote("a.b"), "axb"));
    }

    #[test]
    fn a_pattern_that_runs_away_is_an_error() {
        let pattern = LinePattern::new(r"^(?:(a+)+\1)+$").unwrap();
        assert!(pattern.matches(format!("{}b", "a".repeat(60)).as_bytes()).is_err());
    }
}
