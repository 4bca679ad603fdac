//! Perl's syntax as Rust's: what the two write differently.

use super::bracket::{self, Item};
use super::{PatternError, character};

/// Nesting that a pattern may have: what reads it calls itself.
const DEPTH_MAX: usize = 100;

/// Perl's vertical blanks, `\v`, for use inside brackets.
const VERTICAL: &str = r"\n\x0B\x0C\r\u{E085}";
/// Perl's horizontal blanks, `\h`: tab, blank and the unbreakable blank.
const HORIZONTAL: &str = r"\t \u{E0A0}";

/// The pattern as fancy-regex wants it.
pub(super) fn translate(pattern: &str) -> Result<String, PatternError> {
    let chars: Vec<char> = pattern.chars().collect();
    let groups = count_groups(&chars);
    let mut translator =
        Translator { chars: &chars, at: 0, done: String::new(), depth: 0, lines: false, groups };
    translator.run()?;
    Ok(translator.done)
}

struct Translator<'a> {
    chars: &'a [char],
    at: usize,
    done: String,
    depth: usize,
    /// True behind `(?m)`: `$` then matches at every line end.
    lines: bool,
    /// Groups in the whole pattern: `\10` is a back reference only if there are ten.
    groups: usize,
}

/// What stands in front of a quantifier.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Something,
    Quantifier,
}

impl Translator<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn rest_starts_with(&self, text: &str) -> bool {
        let mut rest = self.chars[self.at..].iter();
        text.chars().all(|c| rest.next() == Some(&c))
    }

    fn wrong<T>(&self, message: &'static str) -> Result<T, PatternError> {
        Err(PatternError::Syntax { message, at: self.at + 1 })
    }

    fn run(&mut self) -> Result<(), PatternError> {
        let mut before = Before::Nothing;
        while let Some(c) = self.peek() {
            before = match c {
                '\\' => self.escape()?,
                '[' => self.bracket()?,
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.literal(c);
                    Before::Nothing
                }
                '*' | '+' | '?' => self.quantifier(c.to_string(), 1, before)?,
                '{' => match braces(&self.chars[self.at..]) {
                    Some((text, length)) => self.quantifier(text, length, before)?,
                    None => self.quoted(c),
                },
                '}' | ']' => self.quoted(c),
                '$' if !self.lines => {
                    self.at += 1;
                    self.done.push_str(r"(?=\n?\z)");
                    Before::Something
                }
                _ => {
                    self.literal(c);
                    Before::Something
                }
            };
        }
        if self.depth > 0 { self.wrong("a ( is not closed") } else { Ok(()) }
    }

    fn literal(&mut self, c: char) {
        self.at += 1;
        self.done.push(c);
    }

    fn quoted(&mut self, c: char) -> Before {
        self.at += 1;
        self.done.extend(['\\', c]);
        Before::Something
    }

    fn quantifier(
        &mut self,
        text: String,
        length: usize,
        before: Before,
    ) -> Result<Before, PatternError> {
        match before {
            Before::Nothing if text.starts_with('{') => return Ok(self.quoted('{')),
            Before::Nothing => return self.wrong("there is nothing to repeat"),
            Before::Quantifier => return self.wrong("a repetition is repeated"),
            Before::Something => {}
        }
        self.at += length;
        self.done.push_str(&text);
        if let Some(c @ ('?' | '+')) = self.peek() {
            self.literal(c);
        }
        Ok(Before::Quantifier)
    }

    fn open(&mut self) -> Result<Before, PatternError> {
        if self.rest_starts_with("(?#") {
            let rest = &self.chars[self.at..];
            let Some(end) = rest.iter().position(|c| *c == ')') else {
                return self.wrong("a comment is not closed");
            };
            self.at += end + 1;
            return Ok(Before::Something);
        }
        for refused in ["(?|", "(?{", "(??", "(?R", "(?&", "(?P>", "(*"] {
            if self.rest_starts_with(refused) {
                return self.wrong("this kind of group is not supported");
            }
        }
        if self.depth == DEPTH_MAX {
            return self.wrong("groups are nested too deep");
        }
        self.depth += 1;
        self.literal('(');
        if self.peek() == Some('?') {
            return self.head();
        }
        Ok(Before::Nothing)
    }

    /// What follows `(?`: a kind of group, a name, or flags.
    fn head(&mut self) -> Result<Before, PatternError> {
        self.literal('?');
        let start = self.at;
        let is_flag = |c: &char| c.is_ascii_alphabetic() || "^-".contains(*c);
        let length = self.chars[start..].iter().take_while(|c| is_flag(c)).count();
        let end = self.chars.get(start + length).copied();
        if length == 0 || !matches!(end, Some(')' | ':')) {
            // `(?:`, `(?=`, `(?<name>`: the same in both.
            while let Some(c @ (':' | '=' | '!' | '<' | '>' | '\'' | 'P')) = self.peek() {
                self.literal(c);
            }
            return Ok(Before::Nothing);
        }
        let flags: String = self.chars[start..start + length].iter().collect();
        self.at += length + 1;
        let (on, off) = flags.split_once('-').unwrap_or((&flags, ""));
        // `a`, `d`, `l`, `u`: all text is bytes here; `^`: back to what holds without flags.
        let kept = |text: &str| text.chars().filter(|c| !"adlu^p".contains(*c)).collect::<String>();
        if !kept(&flags).chars().all(|c| "imsx-".contains(c)) {
            return self.wrong("a flag is unknown");
        }
        self.lines = (self.lines || on.contains('m')) && !off.contains('m');
        let mut words = kept(on);
        let off = match flags.starts_with('^') {
            true => "imsx".chars().filter(|c| !on.contains(*c)).collect(),
            false => kept(off),
        };
        if !off.is_empty() {
            words = format!("{words}-{off}");
        }
        if end == Some(':') {
            self.done.push_str(&format!("{words}:"));
            return Ok(Before::Nothing);
        }
        self.depth -= 1;
        match words.as_str() {
            // `(?)` and flags without a meaning here.
            "" => self.done.push_str(":)"),
            words => self.done.push_str(&format!("{words})")),
        }
        Ok(Before::Nothing)
    }

    fn close(&mut self) -> Result<Before, PatternError> {
        if self.depth == 0 {
            return self.wrong("a ) has no (");
        }
        self.depth -= 1;
        self.literal(')');
        Ok(Before::Something)
    }

    fn bracket(&mut self) -> Result<Before, PatternError> {
        let (text, length) = bracket::translate(&self.chars[self.at..])
            .map_err(|message| PatternError::Syntax { message, at: self.at + 1 })?;
        self.at += length;
        self.done.push_str(&text);
        Ok(Before::Something)
    }

    fn escape(&mut self) -> Result<Before, PatternError> {
        self.at += 1;
        let Some(c) = self.peek() else { return self.wrong("there is nothing behind a \\") };
        if c.is_ascii_digit() && c != '0' && self.is_back_reference() {
            return self.back_reference();
        }
        let same = match c {
            'A' | 'z' | 'b' | 'B' | 'K' | 'd' | 'D' | 'w' | 'W' => Some(format!("\\{c}")),
            // At the start of a line; nothing has matched before.
            'G' => Some(r"\A".to_owned()),
            'Z' => Some(r"(?=\n?\z)".to_owned()),
            'N' if self.chars.get(self.at + 1) != Some(&'{') => Some("[^\\n]".to_owned()),
            'R' => Some(format!("(?>\\r\\n|[{VERTICAL}])")),
            'X' => Some(r"(?>\r\n|(?s:.))".to_owned()),
            'p' | 'P' | 'N' | 'k' | 'g' => return self.with_name(c),
            _ => None,
        };
        if let Some(text) = same {
            self.at += 1;
            self.done.push_str(&text);
            return Ok(Before::Something);
        }
        let (item, length) = item(&self.chars[self.at..])
            .map_err(|message| PatternError::Syntax { message, at: self.at + 1 })?;
        self.at += length;
        match item {
            Item::One(c) => self.done.push_str(&bracket::literal(c)),
            Item::Class(text) => self.done.push_str(&format!("[{text}]")),
        }
        Ok(Before::Something)
    }

    /// `\1` to `\9` always are one, as in Perl; of more digits only if there are so many groups.
    fn is_back_reference(&self) -> bool {
        let number = number(&self.chars[self.at..]).0;
        number < 10 || number <= self.groups
    }

    fn back_reference(&mut self) -> Result<Before, PatternError> {
        let (number, digits) = number(&self.chars[self.at..]);
        if number > self.groups {
            return self.wrong("there is no such group");
        }
        self.at += digits;
        // Set apart from digits that follow.
        self.done.push_str(&format!("(?:\\{number})"));
        Ok(Before::Something)
    }

    /// `\p{Name}`, `\k<name>`, `\g{1}`: as they are.
    fn with_name(&mut self, c: char) -> Result<Before, PatternError> {
        self.done.extend(['\\', c]);
        self.at += 1;
        let end = match self.peek() {
            Some('{') => '}',
            Some('<') => '>',
            Some('\'') => '\'',
            _ => return Ok(Before::Something),
        };
        let rest = &self.chars[self.at + 1..];
        let Some(length) = rest.iter().position(|c| *c == end) else {
            return self.wrong("a name is not closed");
        };
        let name: String = rest[..length].iter().collect();
        self.at += length + 2;
        match c {
            'p' | 'P' => self.done.push_str(&format!("{{{name}}}")),
            _ => self.done.push_str(&format!("<{name}>")),
        }
        Ok(Before::Something)
    }
}

/// How many groups keep what they match.
fn count_groups(chars: &[char]) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 1,
            '[' => at += bracket::length(&chars[at..]).saturating_sub(1),
            '(' if chars.get(at + 1) != Some(&'?') => count += 1,
            // A name; `(?<=` and `(?<!` look behind.
            '(' if matches!(chars.get(at + 2), Some('<')) => {
                count += usize::from(!matches!(chars.get(at + 3), Some('=' | '!')));
            }
            '(' if matches!(chars.get(at + 2), Some('\'' | 'P')) => count += 1,
            _ => {}
        }
        at += 1;
    }
    count
}

/// The number that `chars` begin with, and its digits.
fn number(chars: &[char]) -> (usize, usize) {
    let digits: String = chars.iter().take_while(|c| c.is_ascii_digit()).collect();
    (digits.parse().unwrap_or(usize::MAX), digits.len())
}

/// A repetition `{2}`, `{2,}`, `{,3}`, `{2,3}`, blanks allowed, and how long it is; `None` if the
/// brace is only a brace.
fn braces(chars: &[char]) -> Option<(String, usize)> {
    let end = chars.iter().position(|c| *c == '}')?;
    let inside: String = chars[1..end].iter().collect();
    let (least, most) = match inside.split_once(',') {
        Some((least, most)) => {
            (least.trim_matches([' ', '\t']), Some(most.trim_matches([' ', '\t'])))
        }
        None => (inside.trim_matches([' ', '\t']), None),
    };
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if !is_number(least) || !most.is_none_or(is_number) {
        return None;
    }
    let text = match (least, most) {
        ("", None | Some("")) => return None,
        (least, None) => format!("{{{least}}}"),
        ("", Some(most)) => format!("{{0,{most}}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    };
    Some((text, end + 1))
}

/// What the escape behind a backslash is, in brackets and outside, and how many characters it has.
pub(super) fn item(chars: &[char]) -> Result<(Item, usize), &'static str> {
    let Some(&c) = chars.first() else { return Err("there is nothing behind a \\") };
    let one = |c| Ok((Item::One(c), 1));
    let class = |text: &str| Ok((Item::Class(text.to_owned()), 1));
    match c {
        't' => one('\t'),
        'n' => one('\n'),
        'r' => one('\r'),
        'f' => one('\x0c'),
        'e' => one('\x1b'),
        'a' => one('\x07'),
        'd' => class("0-9"),
        'D' => class("^0-9"),
        'w' => class("0-9A-Za-z_"),
        'W' => class("^0-9A-Za-z_"),
        's' => class(r"\t-\r "),
        'S' => class(r"^\t-\r "),
        'h' => class(HORIZONTAL),
        'H' => class(&format!("^{HORIZONTAL}")),
        'v' => class(VERTICAL),
        'V' => class(&format!("^{VERTICAL}")),
        'x' => hexadecimal(chars),
        'o' if chars.get(1) == Some(&'{') => braced(chars, 8),
        '0'..='7' => {
            let digits = chars.iter().take(3).take_while(|c| ('0'..='7').contains(*c));
            let text: String = digits.collect();
            Ok((Item::One(byte(u32::from_str_radix(&text, 8).unwrap_or(0))?), text.len()))
        }
        'c' => match chars.get(1) {
            Some(c) if c.is_ascii() => {
                Ok((Item::One(char::from(c.to_ascii_uppercase() as u8 ^ 64)), 2))
            }
            _ => Err("\\c needs a character"),
        },
        'p' | 'P' | 'N' => Err("a property inside brackets is not supported"),
        // To Perl what it does not know means itself.
        c => one(c),
    }
}

fn hexadecimal(chars: &[char]) -> Result<(Item, usize), &'static str> {
    if chars.get(1) == Some(&'{') {
        return braced(chars, 16);
    }
    let text: String = chars[1..].iter().take(2).take_while(|c| c.is_ascii_hexdigit()).collect();
    Ok((Item::One(byte(u32::from_str_radix(&text, 16).unwrap_or(0))?), 1 + text.len()))
}

/// `x{41}` and `o{101}`.
fn braced(chars: &[char], radix: u32) -> Result<(Item, usize), &'static str> {
    let end = chars.iter().position(|c| *c == '}').ok_or("a { is not closed")?;
    let text: String = chars[2..end].iter().collect();
    let number = u32::from_str_radix(text.trim(), radix).map_err(|_| "this is no number")?;
    Ok((Item::One(byte(number)?), end + 1))
}

fn byte(number: u32) -> Result<char, &'static str> {
    u8::try_from(number).map(character).map_err(|_| "there is no such byte")
}
