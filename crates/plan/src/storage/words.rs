//! Options for mkfs, tune2fs and LVM programs, split into words without a shell.

use std::iter::Peekable;
use std::str::Chars;

/// Why options cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadWords {
    /// A character that means something to a shell.
    NeedsShell(char),
    /// A `'` without its partner.
    OpenQuote,
}

/// Splits at blanks; `'…'` keeps blanks together and `\` takes the next character as it is.
///
/// FAI hands options to a shell. Here no shell runs, so whatever only a shell could expand is
/// refused rather than taken literally.
pub(super) fn split(text: &str) -> Result<Vec<String>, BadWords> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if rest.peek().is_none() {
            return Ok(words);
        }
        words.push(read_word(&mut rest)?);
    }
}

fn read_word(rest: &mut Peekable<Chars<'_>>) -> Result<String, BadWords> {
    let mut word = String::new();
    while let Some(c) = rest.next_if(|c| !c.is_ascii_whitespace()) {
        match c {
            '\'' => loop {
                match rest.next() {
                    Some('\'') => break,
                    Some(quoted) => word.push(quoted),
                    None => return Err(BadWords::OpenQuote),
                }
            },
            '\\' => word.extend(rest.next()),
            '$' | '`' | '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?' | '~' => {
                return Err(BadWords::NeedsShell(c));
            }
            _ => word.push(c),
        }
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split_as_a_shell_would_without_expanding() {
        let words = |text| split(text).map(|words| words.join("|"));
        assert_eq!(words("-L home  -m 1 "), Ok("-L|home|-m|1".to_owned()));
        assert_eq!(words("-L 'my home' -O ^has_journal"), {
            Ok("-L|my home|-O|^has_journal".to_owned())
        });
        assert_eq!(words("a\\ b '' c"), Ok("a b||c".to_owned()));
        assert_eq!(words(""), Ok(String::new()));
        assert_eq!(words("-L $HOME"), Err(BadWords::NeedsShell('$')));
        assert_eq!(words("-L 'x"), Err(BadWords::OpenQuote));
    }
}
