//! Perl's regular expressions over lines of bytes, on top of fancy-regex.
//!
//! What differs between the two and occurs in config spaces is translated: a `{` that begins no
//! repetition, `[` and doubled operators inside a bracket, `\h`, and escaped characters that the
//! Rust syntax gives another meaning (`\<`). Text is matched byte by byte as Perl does it without
//! a locale: each byte stands for the character with its number.

use fancy_regex::{Error, Regex};

/// A compiled pattern.
pub(super) struct LinePattern(Regex);

impl LinePattern {
    /// Compiles what stands between Perl's slashes.
    pub(super) fn new(pattern: &str) -> Result<Self, Box<Error>> {
        let pattern = translate(&as_characters(pattern.as_bytes()));
        Regex::new(&pattern).map(Self).map_err(Box::new)
    }

    /// True if `line`, with or without its line end, matches somewhere. `$` matches in front of a
    /// line end, and `\s` matches the line end itself: hence both forms.
    pub(super) fn matches(&self, line: &[u8]) -> bool {
        // A pattern that runs away in back references matches nothing.
        let found = |line: &[u8]| self.0.is_match(&as_characters(line)).unwrap_or(false);
        let without_end = line.strip_suffix(b"\n").unwrap_or(line);
        found(without_end) || (without_end.len() < line.len() && found(line))
    }
}

fn as_characters(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn translate(pattern: &str) -> String {
    let (mut done, mut rest) = (String::new(), pattern);
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => escape(after, &mut done),
            '[' => bracket(after, &mut done),
            '{' if !begins_repetition(after) => {
                done.push_str(r"\{");
                after
            }
            _ => {
                done.push(c);
                after
            }
        };
    }
    done
}

/// True for the rest of `{3}`, `{3,}` and `{3,5}`.
fn begins_repetition(after: &str) -> bool {
    let Some((inside, _)) = after.split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}

/// Translates the character behind a backslash; gives what follows it.
fn escape<'a>(after: &'a str, done: &mut String) -> &'a str {
    let Some(c) = after.chars().next() else {
        done.push_str(r"\\");
        return after;
    };
    match c {
        'h' => done.push_str(r"[ \t]"),
        'H' => done.push_str(r"[^ \t]"),
        // To Perl only letters, digits and nothing else mean something behind a backslash.
        c if c.is_ascii_alphanumeric() => done.extend(['\\', c]),
        c => done.push_str(&quote(&c.to_string())),
    }
    &after[c.len_utf8()..]
}

/// Translates a bracket expression from behind its `[`; gives what follows it.
fn bracket<'a>(after: &'a str, done: &mut String) -> &'a str {
    done.push('[');
    let mut rest = after;
    if let Some(negated) = rest.strip_prefix('^') {
        done.push('^');
        rest = negated;
    }
    let mut is_first = true;
    while let Some(c) = rest.chars().next() {
        let next = &rest[c.len_utf8()..];
        match c {
            ']' if !is_first => {
                done.push(']');
                return next;
            }
            '[' if next.starts_with(':') && next.contains(":]") => {
                let end = next.find(":]").map_or(next.len(), |at| at + 2);
                done.push('[');
                done.push_str(&next[..end]);
                rest = &next[end..];
                is_first = false;
                continue;
            }
            '\\' => {
                rest = escape_in_bracket(next, done);
                is_first = false;
                continue;
            }
            '[' | ']' | '&' | '~' => done.extend(['\\', c]),
            _ => done.push(c),
        }
        is_first = false;
        rest = next;
    }
    rest
}

fn escape_in_bracket<'a>(after: &'a str, done: &mut String) -> &'a str {
    let Some(c) = after.chars().next() else { return after };
    match c {
        'h' => done.push_str(r" \t"),
        c if c.is_ascii_alphanumeric() => done.extend(['\\', c]),
        c => done.extend(['\\', c]),
    }
    &after[c.len_utf8()..]
}

/// A pattern that matches `text` and nothing else, Perl's `\Q`.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '_' | '<' | '>') {
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
        LinePattern::new(pattern).unwrap().matches(line.as_bytes())
    }

    #[test]
    fn anchors_and_blanks_know_the_line_end() {
        assert!(matches("^foo$", "foo\n") && matches("^foo$", "foo"));
        assert!(matches(r"foo\s+", "foo\n") && !matches(r"foo\s+", "foo"));
        assert!(!matches("^$", "foo\n") && matches("^$", "\n"));
        assert!(matches("", "anything\n"));
    }

    #[test]
    fn perl_takes_odd_characters_literally() {
        assert!(matches("{%x%}", "a {%x%} b\n"));
        assert!(matches("a{,3}", "a{,3}"));
        assert!(matches("^a{2}$", "aa") && !matches("^a{2}$", "a"));
        assert!(matches(r"\<a\>", "x<a>y\n"));
        assert!(matches("[[]x[]]", "[x]"));
        assert!(matches("^[a&&b]$", "&"));
        assert!(matches(r"^[\w.-]+$", "a-b.c\n"));
        assert!(matches("^[[:space:]]x", "\tx"));
        assert!(matches(r"a\hb", "a\tb"));
        assert!(matches(r#"\"x\"\@\/"#, "\"x\"@/"));
    }

    #[test]
    fn look_around_back_references_and_bytes() {
        assert!(matches(r"^(?!#)(\w+)=\1", "a=a\n"));
        assert!(!matches(r"^(?!#)", "#a\n"));
        assert!(matches("Grüße", "Grüße\n") && matches("Gr..e", "Gr\u{fc}e\n"));
        assert!(LinePattern::new("* foo").is_err());
    }

    #[test]
    fn quoted_text_matches_itself_only() {
        let text = r"a.b*c+(d)[e]{f}^$|\<g>#&~ -";
        assert!(matches(&format!("^{}$", quote(text)), text));
        assert!(!matches(&quote("a.b"), "axb"));
    }
}
