//! Simple commands in shell scripts: just enough of the shell's grammar to tell a command from a
//! comment, a string or a here document. What it does not follow it leaves out.

use crate::finding::{Finding, Line};
use hostwright_model::diagnostic::Diagnostic;

/// A script with its simple commands.
pub(super) struct Script<'a> {
    path: &'a str,
    text: &'a str,
    /// Commands in the order of their first words.
    pub commands: Vec<Command<'a>>,
}

/// One simple command.
pub(super) struct Command<'a> {
    /// Its words without redirections and keywords; never empty.
    pub words: Vec<Word<'a>>,
    /// True if the script expects that it may fail: in a condition, or in front of `||`.
    pub tolerated: bool,
}

/// A word as written, with its quotes.
#[derive(Clone, Copy)]
pub(super) struct Word<'a>(pub &'a str);

impl<'a> Word<'a> {
    /// The word without its quotes, where no expansion can change it.
    pub fn literal(self) -> Option<&'a str> {
        let quoted = |quote: char| self.0.strip_prefix(quote)?.strip_suffix(quote);
        if let Some(inner) = quoted('\'').filter(|inner| !inner.contains('\'')) {
            return Some(inner);
        }
        if let Some(inner) = quoted('"') {
            return (!inner.contains(['$', '`', '\\', '"'])).then_some(inner);
        }
        let special = |c| "$`\\\"'*?[]{}~".contains(c);
        (!self.0.contains(special)).then_some(self.0)
    }
}

impl<'a> Command<'a> {
    /// The program, where it is written out.
    pub fn program(&self) -> Option<&'a str> {
        self.words.first().and_then(|word| word.literal())
    }

    /// What follows the program.
    pub fn arguments(&self) -> &[Word<'a>] {
        self.words.get(1..).unwrap_or_default()
    }
}

impl<'a> Script<'a> {
    /// Finds the commands of a script.
    pub fn read(path: &'a str, text: &'a str) -> Self {
        Self { path, text, commands: Lexer::new(text).commands() }
    }

    /// The file, relative to the space.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// A diagnostic about a part of the script's text.
    pub fn at(&self, finding: Finding, span: &str) -> Diagnostic {
        let offset = span.as_ptr() as usize - self.text.as_ptr() as usize;
        let before = &self.text[..offset];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let number = before.bytes().filter(|byte| *byte == b'\n').count() as u32 + 1;
        let text = self.text[start..].split('\n').next().unwrap_or_default();
        let length = span.find('\n').unwrap_or(span.len()) as u32;
        let line = Line { file: self.path, number, text };
        finding.at_column(line, (offset - start) as u32 + 1, length)
    }
}

/// Words that begin a condition.
const CONDITIONS: [&str; 5] = ["if", "elif", "while", "until", "!"];

/// Words that only structure a script.
const KEYWORDS: [&str; 9] = ["then", "else", "fi", "do", "done", "{", "}", "time", "esac"];

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    words: Vec<Word<'a>>,
    /// Index of the first command of the list that `&&` and `||` join.
    list_start: usize,
    in_condition: bool,
    /// Ends of here documents that begin behind this line.
    documents: Vec<(&'a str, bool)>,
    commands: Vec<Command<'a>>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        let (words, documents, commands) = (Vec::new(), Vec::new(), Vec::new());
        Self { text, at: 0, words, list_start: 0, in_condition: false, documents, commands }
    }

    fn commands(mut self) -> Vec<Command<'a>> {
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\\' if self.peek(1) == Some(b'\n') => self.at += 2,
                b'\n' => {
                    self.at += 1;
                    self.end_list();
                    self.skip_documents();
                }
                b'#' => self.at = self.line_end(self.at),
                b'&' if self.peek(1) == Some(b'>') => self.redirection(),
                b'<' | b'>' => self.redirection(),
                b';' | b'&' | b'|' | b'(' | b')' => self.operator(),
                _ => self.word(),
            }
        }
        self.end_list();
        self.commands
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn line_end(&self, from: usize) -> usize {
        self.text[from..].find('\n').map_or(self.text.len(), |length| from + length)
    }

    fn end_command(&mut self) {
        if !self.words.is_empty() {
            let words = std::mem::take(&mut self.words);
            self.commands.push(Command { words, tolerated: self.in_condition });
        }
    }

    fn end_list(&mut self) {
        self.end_command();
        self.in_condition = false;
        self.list_start = self.commands.len();
    }

    fn operator(&mut self) {
        let pair = &self.text.as_bytes()[self.at..self.text.len().min(self.at + 2)];
        self.at += if matches!(pair, b"&&" | b"||" | b";;" | b"|&") { 2 } else { 1 };
        match pair {
            b"||" => {
                self.end_command();
                let list = &mut self.commands[self.list_start..];
                list.iter_mut().for_each(|command| command.tolerated = true);
            }
            b"&&" => self.end_command(),
            [b';' | b'&', ..] => self.end_list(),
            _ => self.end_command(),
        }
    }

    /// Skips `2>/dev/null`, and remembers where a here document ends.
    fn redirection(&mut self) {
        let is_descriptor = |word: &Word<'_>| word.0.bytes().all(|byte| byte.is_ascii_digit());
        let touches = self.at > 0 && self.text.as_bytes()[self.at - 1].is_ascii_digit();
        if touches && self.words.last().is_some_and(is_descriptor) {
            self.words.pop();
        }
        let start = self.at;
        while matches!(self.peek(0), Some(b'<' | b'>' | b'&' | b'|')) {
            self.at += 1;
        }
        let mark = &self.text[start..self.at];
        let strips = mark == "<<" && self.peek(0) == Some(b'-');
        self.at += usize::from(strips || self.peek(0) == Some(b'-'));
        while matches!(self.peek(0), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        let target_start = self.at;
        self.skip_word();
        if mark == "<<" {
            let end = self.text[target_start..self.at].trim_matches(['"', '\'', '\\']);
            self.documents.push((end, strips));
        }
    }

    fn skip_documents(&mut self) {
        for (end, strips) in std::mem::take(&mut self.documents) {
            while self.at < self.text.len() {
                let line_end = self.line_end(self.at);
                let line = &self.text[self.at..line_end];
                self.at = self.text.len().min(line_end + 1);
                if (if strips { line.trim_start_matches('\t') } else { line }) == end {
                    break;
                }
            }
        }
    }

    fn word(&mut self) {
        let start = self.at;
        self.skip_word();
        let word = &self.text[start..self.at];
        if self.words.is_empty() {
            if CONDITIONS.contains(&word) {
                self.in_condition = true;
                return;
            }
            if KEYWORDS.contains(&word) {
                return;
            }
        }
        self.words.push(Word(word));
    }

    /// Goes to the end of a word, over quotes and substitutions.
    fn skip_word(&mut self) {
        let start = self.at;
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => {
                    break;
                }
                b'\\' => self.skip(2),
                b'\'' | b'"' | b'`' => self.skip_quoted(byte),
                b'$' if self.peek(1) == Some(b'(') => self.skip_nested(b'(', b')'),
                b'$' if self.peek(1) == Some(b'{') => self.skip_nested(b'{', b'}'),
                _ => self.skip(1),
            }
        }
        // What no word can begin with must not stop the reader.
        if self.at == start && matches!(self.peek(0), Some(b'<' | b'>')) {
            self.at += 1;
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.text.len());
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
    }

    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                _ if byte == quote => {
                    self.at += 1;
                    return;
                }
                b'\\' if quote != b'\'' => self.skip(2),
                b'$' if quote == b'"' && self.peek(1) == Some(b'(') => self.skip_nested(b'(', b')'),
                _ => self.skip(1),
            }
        }
    }

    /// Skips `$(…)` or `${…}`. Quotes inside are followed, so that a `)` in one does not count.
    fn skip_nested(&mut self, open: u8, close: u8) {
        let mut depth = 0_u32;
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                _ if byte == open => depth += 1,
                _ if byte == close => depth -= 1,
                b'\\' => {
                    self.skip(2);
                    continue;
                }
                b'\'' | b'"' if open == b'(' => {
                    self.skip_plain_quoted(byte);
                    continue;
                }
                _ => {}
            }
            self.skip(1);
            if depth == 0 {
                return;
            }
        }
    }

    /// Skips a quoted text without looking for substitutions in it, so that nothing nests deeper.
    fn skip_plain_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            self.skip(if byte == b'\\' && quote == b'"' { 2 } else { 1 });
            if byte == quote {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let script = Script::read("x", text);
        let show = |command: &Command<'_>| {
            let words: Vec<&str> = command.words.iter().map(|word| word.0).collect();
            format!("{}{}", words.join(" "), if command.tolerated { " ?" } else { "" })
        };
        script.commands.iter().map(show).collect()
    }

    #[test]
    fn commands_are_told_from_comments_strings_and_here_documents() {
        let text = "#!/bin/sh\na b # c\nif ! x y; then z; fi\nd \\\n e 2>/dev/null >f\n\
                    g \"$(h \"i; j\")\" 'k; l' && m || n; o\ncat <<-\"EOF\" | p\n\tq r\n\tEOF\ns\n\
                    case $t in u) v ;; esac\nw=${x:-y z} cmd\n";
        let expected = [
            "a b",
            "x y ?",
            "z",
            "d e",
            "g \"$(h \"i; j\")\" 'k; l' ?",
            "m ?",
            "n",
            "o",
            "cat",
            "p",
            "s",
            "case $t in u",
            "v",
            "w=${x:-y z} cmd",
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn literals_are_words_that_no_expansion_changes() {
        for (word, expected) in [
            ("abc", Some("abc")),
            ("'a $b'", Some("a $b")),
            ("\"a b\"", Some("a b")),
            ("\"a $b\"", None),
            ("a$b", None),
            ("a*", None),
            ("a'b'", None),
        ] {
            assert_eq!(Word(word).literal(), expected, "{word}");
        }
    }

    #[test]
    fn places_have_line_and_column() {
        let script = Script::read("x", "a\n  bb cc\n");
        let finding = Finding::note("unknown-task", "m", "c");
        let found = script.at(finding, script.commands[1].words[1].0);
        let at = found.at.expect("a place");
        assert_eq!((at.line, at.column, at.length), (2, 6, 2));
        assert_eq!(found.source_line.as_deref(), Some("  bb cc"));
    }

    #[test]
    fn whatever_the_text_is_the_reader_ends() {
        for text in ["<", "a <<", "\"", "$(", "${", "`", "\\", "a <<E\n", ">&\n<\u{e9}(", "$(\"("] {
            let _ = read(text);
        }
    }
}
