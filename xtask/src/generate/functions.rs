//! Finds functions and whose they are: enough to know which calls carry a code.

use super::tokens::{Token, Tokens};
use std::ops::Range;

/// A function that is written in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Its name.
    pub name: String,
    /// The type whose `impl` it is in.
    pub owner: Option<String>,
    /// True for `pub`, but not for `pub(crate)`.
    pub is_public: bool,
    /// True if it takes `self`.
    pub has_receiver: bool,
    /// How many arguments it takes beside `self`.
    pub arguments: usize,
    /// Which of its arguments, beside `self`, is a code: a text called `code`, beside one that is
    /// called `message` or `cure`.
    pub code_position: Option<usize>,
    /// Tokens of its body.
    pub body: Range<usize>,
}

/// Types with the tokens of their `impl` blocks.
pub(super) fn owners(tokens: &Tokens) -> Vec<(Range<usize>, String)> {
    let is_item = |at: usize| match at.checked_sub(1).and_then(|before| tokens.get(before)) {
        // `impl` in a type stands behind other marks.
        Some(Token::Mark(mark)) => matches!(mark, '}' | ';' | ']' | '{'),
        Some(Token::Word(word)) => word == "unsafe",
        Some(Token::Text(_)) => false,
        None => true,
    };
    let items = (0..tokens.len()).filter(|at| tokens.word(*at) == Some("impl") && is_item(*at));
    items.filter_map(|at| owner(tokens, at + 1)).collect()
}

fn owner(tokens: &Tokens, from: usize) -> Option<(Range<usize>, String)> {
    let mut at = behind_generics(tokens, from);
    let mut name = None;
    while !tokens.is(at, "{") && tokens.word(at) != Some("where") {
        tokens.get(at)?;
        match tokens.word(at) {
            // What came before was a trait.
            Some("for") => name = None,
            Some(word) => name = Some(word.to_owned()),
            None => {}
        }
        at = behind_generics(tokens, at).max(at + 1);
    }
    let block = (at..tokens.len()).find(|at| tokens.is(*at, "{"))?;
    Some((tokens.inside(block)?, name?))
}

/// All functions of a file.
pub(super) fn functions(tokens: &Tokens) -> Vec<Function> {
    let owners = owners(tokens);
    let starts = (0..tokens.len()).filter(|at| tokens.word(*at) == Some("fn"));
    starts.filter_map(|at| function(tokens, &owners, at)).collect()
}

fn function(tokens: &Tokens, owners: &[(Range<usize>, String)], at: usize) -> Option<Function> {
    let name = tokens.word(at + 1)?.to_owned();
    let opening = behind_generics(tokens, at + 2);
    let parameters = parameters(tokens, tokens.inside(opening)?);
    let mut end = tokens.next(opening);
    while end < tokens.len() && !tokens.is(end, "{") && !tokens.is(end, ";") {
        end = tokens.next(end);
    }
    let body = tokens.inside(end).unwrap_or(end..end);
    let owner = owners.iter().rfind(|(block, _)| block.contains(&at));
    let has_receiver = parameters.first().is_some_and(|(name, _)| name == "self");
    let mut others = parameters.iter().skip(usize::from(has_receiver));
    let says = parameters.iter().any(|(name, _)| name == "message" || name == "cure");
    let code = others.position(|(name, is_text)| name == "code" && *is_text);
    Some(Function {
        name,
        owner: owner.map(|(_, name)| name.clone()),
        is_public: is_public(tokens, at),
        has_receiver,
        arguments: parameters.len() - usize::from(has_receiver),
        code_position: code.filter(|_| says),
        body,
    })
}

/// True if `pub` stands before the `fn` at `at`, with nothing but its qualifiers between.
fn is_public(tokens: &Tokens, at: usize) -> bool {
    let words = (0..at).rev().map_while(|at| tokens.word(at));
    let mut words = words.skip_while(|word| matches!(*word, "const" | "async" | "unsafe"));
    words.next() == Some("pub")
}

/// Name of each parameter, and whether its type is a text.
fn parameters(tokens: &Tokens, range: Range<usize>) -> Vec<(String, bool)> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    // Commas between angle brackets separate no parameters.
    let mut depth = 0;
    for part in tokens.split(range) {
        match parts.last_mut() {
            Some(last) if depth > 0 => last.end = part.end,
            _ => parts.push(part.clone()),
        }
        depth += part.map(|at| angle(tokens, at)).sum::<i32>();
    }
    let name = |part: &Range<usize>| {
        let mut words = part.clone().filter_map(|at| tokens.word(at));
        words.find(|word| *word != "mut").unwrap_or_default().to_owned()
    };
    let is_text = |part: &Range<usize>| part.clone().any(|at| tokens.word(at) == Some("str"));
    parts.iter().map(|part| (name(part), is_text(part))).collect()
}

/// Behind `<…>`, if that is what begins at `at`.
fn behind_generics(tokens: &Tokens, at: usize) -> usize {
    let mut depth = 0;
    for behind in at..tokens.len() {
        depth += angle(tokens, behind);
        if depth == 0 {
            return if behind == at { at } else { behind + 1 };
        }
    }
    at
}

/// 1 for an opening angle bracket, -1 for a closing one that is not part of an arrow.
fn angle(tokens: &Tokens, at: usize) -> i32 {
    let is_arrow = at > 0 && (tokens.is(at - 1, "->") || tokens.is(at - 1, "=>"));
    match tokens.get(at) {
        Some(Token::Mark('<')) => 1,
        Some(Token::Mark('>')) if !is_arrow => -1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Function {
        let mut all = functions(&Tokens::of(text));
        assert_eq!(all.len(), 1, "{text}");
        all.remove(0)
    }

    #[test]
    fn functions_know_whose_they_are_and_which_argument_is_a_code() {
        let text = "impl<'a, T: Fn(u8) -> u8> From<B<T>> for a::Checker<'a> where T: X {\n\
                    fn say(&mut self, map: Map<u8, u8>, code: &'static str, cure: impl Into<String>) {} }";
        let found = only(text);
        assert_eq!(found.owner.as_deref(), Some("Checker"));
        assert_eq!((found.has_receiver, found.is_public), (true, false));
        assert_eq!((found.arguments, found.code_position), (3, Some(1)));
    }

    #[test]
    fn a_code_without_message_or_cure_is_another_kind_of_code() {
        assert_eq!(only("fn packages(line: Line<'_>, code: &str) {}").code_position, None);
        assert_eq!(only("fn reply(code: u16, message: &str) {}").code_position, None);
    }

    #[test]
    fn only_pub_is_public() {
        assert!(only("impl F { pub const fn new() {} }").is_public);
        assert!(!only("impl F { pub(crate) fn new() {} }").is_public);
        assert_eq!(only("fn f() -> impl Fn(u8) -> [u8; 4] { g() }").owner, None);
    }
}
