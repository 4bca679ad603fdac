//! Bracket expressions: `[a-z[:space:]\w-]`, written so that Rust reads in them what Perl reads.
//!
//! Rust knows operators (`&&`, `--`, `~~`) and nested brackets there, Perl does not; to Perl a `-`
//! beside a class is only a `-`.

use super::translate;

/// One part of a bracket expression, or an escape.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A character.
    One(char),
    /// Many characters, as text inside brackets; all others if it begins with `^`.
    Class(String),
}

/// Names of classes that both know.
const NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// The bracket expression that `chars` begin with, and its length.
pub(super) fn translate(chars: &[char]) -> Result<(String, usize), &'static str> {
    let mut at = 1;
    let mut text = "[".to_owned();
    if chars.get(at) == Some(&'^') {
        text.push('^');
        at += 1;
    }
    let start = at;
    let mut items = Vec::new();
    loop {
        let Some(&c) = chars.get(at) else { return Err("a [ is not closed") };
        if c == ']' && at > start {
            break;
        }
        let is_dash = c == '-';
        let (item, length) = next(&chars[at..])?;
        items.push((item, is_dash));
        at += length;
    }
    text.push_str(&join(items)?);
    text.push(']');
    Ok((text, at + 1))
}

/// The length of the bracket expression that `chars` begin with, for who only steps over it.
pub(super) fn length(chars: &[char]) -> usize {
    translate(chars).map_or(1, |(_, length)| length)
}

fn next(chars: &[char]) -> Result<(Item, usize), &'static str> {
    match chars[0] {
        '\\' if chars.get(1) == Some(&'b') => Ok((Item::One('\x08'), 2)),
        '\\' => translate::item(&chars[1..]).map(|(item, length)| (item, length + 1)),
        '[' if chars.get(1) == Some(&':') => named(chars),
        c => Ok((Item::One(c), 1)),
    }
}

/// `[:alpha:]` and `[:^alpha:]`; a `[` if it is not closed.
fn named(chars: &[char]) -> Result<(Item, usize), &'static str> {
    let inside = &chars[2..];
    let end = inside.windows(2).position(|pair| pair == [':', ']']);
    let word = |end: &usize| inside[..*end].iter().all(|c| c.is_ascii_alphabetic() || *c == '^');
    let Some(end) = end.filter(word) else { return Ok((Item::One('['), 1)) };
    let name: String = inside[..end].iter().collect();
    match NAMES.contains(&name.trim_start_matches('^')) {
        true => Ok((Item::Class(format!("[:{name}:]")), end + 4)),
        false => Err("there is no class of this name"),
    }
}

/// The items as text; each with whether it was written as a plain `-`.
fn join(items: Vec<(Item, bool)>) -> Result<String, &'static str> {
    let mut text = String::new();
    let mut items = items.into_iter().peekable();
    while let Some((item, _)) = items.next() {
        let Item::One(first) = item else {
            text.push_str(&nested(item));
            continue;
        };
        if !items.peek().is_some_and(|(_, is_dash)| *is_dash) {
            text.push_str(&literal(first));
            continue;
        }
        items.next();
        match items.peek() {
            Some((Item::One(last), _)) if *last < first => return Err("a range is turned round"),
            Some((Item::One(last), _)) => {
                text.push_str(&format!("{}-{}", literal(first), literal(*last)));
                items.next();
            }
            _ => text.push_str(&format!("{}\\-", literal(first))),
        }
    }
    Ok(text)
}

fn nested(item: Item) -> String {
    match item {
        Item::One(c) => literal(c),
        Item::Class(text) if text.starts_with('^') => format!("[{text}]"),
        Item::Class(text) => text,
    }
}

/// A character that stands for itself, in brackets and outside.
pub(super) fn literal(c: char) -> String {
    match c {
        c if c.is_ascii_alphanumeric() || !c.is_ascii() => c.to_string(),
        c => format!("\\x{:02X}", u32::from(c)),
    }
}
