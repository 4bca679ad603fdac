//! A reading position within one line, with FAI's idea of blanks: free before every token.

use super::source::{Span, Spanned};

/// Reads one line from left to right.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    line: u32,
    position: usize,
}

/// True for what FAI takes as blank within a line.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

impl<'a> Cursor<'a> {
    /// At the first token of line number `line`.
    pub fn new(text: &'a str, line: u32) -> Self {
        let mut cursor = Self { text, line, position: 0 };
        cursor.skip_blanks();
        cursor
    }

    fn skip_blanks(&mut self) {
        self.position = self.text.len() - self.rest().trim_start_matches(is_blank).len();
    }

    /// The unread text; it begins with a token.
    pub fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    /// True if everything is read.
    pub fn at_end(&self) -> bool {
        self.rest().is_empty()
    }

    /// True if the next token follows the last one without a blank.
    pub fn is_glued(&self) -> bool {
        let before = self.text[..self.position].chars().next_back();
        !self.at_end() && !before.is_none_or(is_blank)
    }

    /// The next `length` bytes as a span.
    pub fn span(&self, length: usize) -> Span {
        let short = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { line: self.line, column: short(self.position + 1), length: short(length) }
    }

    /// The next word as a span; empty at the end of the line.
    pub fn here(&self) -> Span {
        self.span(self.peek_word().len())
    }

    /// The text up to the next blank.
    pub fn peek_word(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(is_blank).unwrap_or(rest.len())]
    }

    /// Reads `length` bytes as one token.
    pub fn advance(&mut self, length: usize) -> Spanned<&'a str> {
        let token = Spanned::new(&self.rest()[..length], self.span(length));
        self.position += length;
        self.skip_blanks();
        token
    }

    /// Reads `literal`, whatever follows it.
    pub fn eat(&mut self, literal: &str) -> Option<Span> {
        self.rest().starts_with(literal).then(|| self.advance(literal.len()).at)
    }

    /// Reads `literal` if a blank follows it.
    pub fn eat_word(&mut self, literal: &str) -> Option<Span> {
        let next = self.rest().strip_prefix(literal)?.chars().next()?;
        is_blank(next).then(|| self.advance(literal.len()).at)
    }

    /// Reads up to the next blank; `None` at the end of the line.
    pub fn word(&mut self) -> Option<Spanned<&'a str>> {
        (!self.at_end()).then(|| self.advance(self.peek_word().len()))
    }

    /// Reads as many characters as fulfil `accept`; may be none.
    pub fn take(&mut self, accept: impl Fn(char) -> bool) -> Spanned<&'a str> {
        let rest = self.rest();
        self.advance(rest.find(|c| !accept(c)).unwrap_or(rest.len()))
    }

    /// Reads `name="…"`. `Some(Err(_))` if the closing quote is missing.
    pub fn quoted(&mut self, name: &str) -> Option<Result<Spanned<&'a str>, Span>> {
        let value = self.rest().strip_prefix(name)?.strip_prefix("=\"")?;
        let opening = name.len() + 2;
        let Some(length) = value.find('"') else {
            return Some(Err(self.span(self.rest().len())));
        };
        let mut at = self.span(length);
        at.column += u32::try_from(opening).unwrap_or(u32::MAX);
        self.advance(opening + length + 1);
        Some(Ok(Spanned::new(&value[..length], at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_free_and_columns_count_bytes() {
        let mut cursor = Cursor::new(" \tprimary/  ä rw", 7);
        assert_eq!(cursor.eat("primary"), Some(Span { line: 7, column: 3, length: 7 }));
        assert!(cursor.is_glued());
        assert_eq!(cursor.word().map(|word| word.value), Some("/"));
        assert!(!cursor.is_glued());
        assert_eq!(cursor.here(), Span { line: 7, column: 13, length: 2 });
        assert_eq!(cursor.word().map(|word| word.value), Some("ä"));
        assert!(cursor.eat_word("rw").is_none(), "no blank follows");
        assert_eq!(cursor.word().map(|word| word.value), Some("rw"));
        assert!(cursor.at_end() && cursor.word().is_none());
    }

    #[test]
    fn quoted_options_need_both_quotes() {
        let mut cursor = Cursor::new("createopts=\"-m 1\" tuneopts=\"-c", 1);
        assert!(cursor.quoted("tuneopts").is_none());
        let value = cursor.quoted("createopts").expect("it is there").expect("it is closed");
        assert_eq!((value.value, value.at), ("-m 1", Span { line: 1, column: 13, length: 4 }));
        assert!(matches!(cursor.quoted("tuneopts"), Some(Err(_))));
    }
}
