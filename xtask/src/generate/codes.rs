//! Finds the stable codes of diagnostics and faults in the sources, as text.
//!
//! What counts as a code:
//!
//! ```text
//! Fault::new(kind, "no-network", …)       an argument of a constructor: of any function of ours
//! self.say(span, "config-path", …)        with a parameter `code: &str`, and one that is called
//!                                         `message` or `cure`
//! ActionError::new(kind, TASK_ERROR, …)   a constant of the same crate, for its text
//! let (code, cure) = match … {            a variable from a pattern, for the texts in the tuples
//!     … => ("no-space", "…"),             of the same function, at the same place in them
//! code: "x".to_owned()                    a field of a struct
//! code: format!("http-{status}")          the same; what is in braces counts in upper case
//! codes! { Crlf = "disk-config-crlf", }   an entry of this macro
//! ```
//!
//! A constructor that passes its own `code` on, or `….code` of somebody else's error, names no code.
//! A call whose code cannot be told in these ways is an error: it must not escape the reference.
//! Left out are tests, examples, and everything behind `#[cfg(test)]`.

use super::functions::{Function, functions, owners};
use super::tokens::{Token, Tokens};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// A source file.
pub(super) struct Source {
    /// Relative to the workspace.
    path: String,
    tokens: Tokens,
    functions: Vec<Function>,
    /// `impl` blocks.
    owners: Vec<(Range<usize>, String)>,
}

impl Source {
    /// Reads the text of the file `path`.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let tokens = Tokens::of(text);
        let (functions, owners) = (functions(&tokens), owners(&tokens));
        Self { path: path.to_owned(), tokens, functions, owners }
    }

    /// `crates/plan/`.
    fn crate_dir(&self) -> &str {
        let end = self.path.match_indices('/').nth(1).map_or(self.path.len(), |(at, _)| at + 1);
        &self.path[..end]
    }

    fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path, self.tokens.line(at))
    }

    fn enclosing(&self, at: usize) -> Option<&Function> {
        let around = self.functions.iter().filter(|function| function.body.contains(&at));
        around.min_by_key(|function| function.body.len())
    }
}

/// Codes with the first place of each.
pub(super) type Codes = BTreeMap<String, String>;

/// All sources of the crates.
pub(super) fn read_sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(root.join("crates"))? {
        read_dir(root, &entry?.path().join("src"), &mut sources)?;
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn read_dir(root: &Path, dir: &Path, sources: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        if path.is_dir() {
            read_dir(root, &path, sources)?;
        } else if name.ends_with(".rs") && !name.ends_with("/tests.rs") {
            let text = fs::read_to_string(&path).with_context(|| name.clone())?;
            sources.push(Source::new(&name, &text));
        }
    }
    Ok(())
}

/// The codes in those `sources` whose path `wanted` accepts.
pub(super) fn find(sources: &[Source], wanted: impl Fn(&str) -> bool) -> Result<Codes> {
    let all = sources.iter().flat_map(|s| s.functions.iter().map(move |function| (s, function)));
    let constructors = all.filter(|(_, function)| function.code_position.is_some()).collect();
    let mut scan = Scan { sources, constructors, found: Codes::new(), untold: Vec::new() };
    for source in sources.iter().filter(|source| wanted(&source.path)) {
        for at in 0..source.tokens.len() {
            scan.call(source, at);
            scan.field(source, at);
            scan.macro_entries(source, at);
        }
    }
    if scan.untold.is_empty() {
        return Ok(scan.found);
    }
    bail!(
        "cannot tell which code is meant; see the forms in xtask/src/generate/codes.rs:\n  {}",
        scan.untold.join("\n  ")
    )
}

struct Scan<'a> {
    sources: &'a [Source],
    constructors: Vec<(&'a Source, &'a Function)>,
    found: Codes,
    /// Places of calls whose code cannot be told.
    untold: Vec<String>,
}

impl Scan<'_> {
    fn add(&mut self, code: &str, source: &Source, at: usize) {
        self.found.entry(code.to_owned()).or_insert_with(|| source.place(at));
    }

    /// A call of a constructor.
    fn call(&mut self, source: &Source, at: usize) {
        let tokens = &source.tokens;
        if !tokens.is(at + 1, "(") {
            return;
        }
        let arguments = tokens.inside(at + 1).map_or(Vec::new(), |inside| tokens.split(inside));
        let Some(position) = self.constructor(source, at, arguments.len()) else { return };
        match self.told(source, arguments[position].clone()) {
            Some(codes) => codes.iter().for_each(|code| self.add(code, source, at)),
            None => self.untold.push(source.place(at)),
        }
    }

    /// If the word at `at` calls a constructor: which of its arguments is the code.
    fn constructor(&self, source: &Source, at: usize, arguments: usize) -> Option<usize> {
        let tokens = &source.tokens;
        let name = tokens.word(at)?;
        let before = at.checked_sub(1);
        if before.and_then(|before| tokens.word(before)) == Some("fn") {
            return None;
        }
        let is_method = before.is_some_and(|before| tokens.is(before, "."));
        let is_path = at >= 3 && tokens.is(at - 2, "::");
        let qualifier = if is_path { tokens.word(at - 3) } else { None };
        let own_type = source.owners.iter().rfind(|(block, _)| block.contains(&at));
        let own_type = own_type.map(|(_, name)| name);
        let called = |function: &Function| match (&function.owner, qualifier) {
            (Some(_), None) => is_method && function.has_receiver,
            (Some(owner), Some("Self")) => own_type == Some(owner),
            (Some(owner), Some(qualifier)) => owner == qualifier,
            (None, _) => !is_method,
        };
        let visible = |other: &Source, function: &Function| {
            function.is_public || other.crate_dir() == source.crate_dir()
        };
        let mut fitting = self.constructors.iter().filter(|(other, function)| {
            let fits = function.name == name && function.arguments == arguments;
            fits && called(function) && visible(other, function)
        });
        fitting.next()?.1.code_position
    }

    /// The codes that an argument can be; `None` if nobody can tell.
    fn told(&self, source: &Source, argument: Range<usize>) -> Option<Vec<String>> {
        let tokens = &source.tokens;
        if let Some(code) = literal(tokens, argument.clone()) {
            return Some(vec![code.to_owned()]);
        }
        let last = tokens.word(argument.end - 1)?;
        if last == "code" && argument.len() > 1 && tokens.is(argument.end - 2, ".") {
            return Some(Vec::new());
        }
        let is_name =
            argument.len() == 1 || (argument.len() == 2 && tokens.is(argument.start, "&"));
        if !is_name {
            return None;
        }
        let function = source.enclosing(argument.start);
        if last == "code" && function.is_some_and(|function| function.code_position.is_some()) {
            return Some(Vec::new());
        }
        if let Some(text) = self.constant(source, last) {
            return Some(vec![text]);
        }
        let codes = in_tuples(tokens, function?.body.clone(), last)?;
        (!codes.is_empty()).then_some(codes)
    }

    /// The text of `const NAME: &str = "…"` in the same crate.
    fn constant(&self, source: &Source, name: &str) -> Option<String> {
        let near = self.sources.iter().filter(|other| other.crate_dir() == source.crate_dir());
        near.map(|other| &other.tokens).find_map(|tokens| {
            let at = (1..tokens.len()).find(|at| {
                tokens.word(*at) == Some(name) && tokens.word(at - 1) == Some("const")
            })?;
            let text_at = (at..at + 8).find(|at| tokens.is(*at, "="))? + 1;
            tokens.text(text_at).map(str::to_owned)
        })
    }

    /// `code: "…"` and `code: format!("…")`.
    fn field(&mut self, source: &Source, at: usize) {
        let tokens = &source.tokens;
        if tokens.word(at) != Some("code") || !tokens.is(at + 1, ":") || tokens.is(at + 2, ":") {
            return;
        }
        if let Some(code) = tokens.text(at + 2) {
            self.add(code, source, at);
        } else if tokens.word(at + 2) == Some("format")
            && tokens.is(at + 3, "!(")
            && let Some(format) = tokens.text(at + 5)
        {
            self.add(&with_placeholders(format), source, at);
        }
    }

    /// `Name = "code",` in `codes! { … }`.
    fn macro_entries(&mut self, source: &Source, at: usize) {
        let tokens = &source.tokens;
        if tokens.word(at) != Some("codes") || !tokens.is(at + 1, "!{") {
            return;
        }
        for entry in tokens.inside(at + 2).map_or(Vec::new(), |inside| tokens.split(inside)) {
            if let Some(code) = tokens.text(entry.end - 1) {
                self.add(code, source, entry.end - 1);
            }
        }
    }
}

/// `"code"` or `"code".to_owned()`.
fn literal(tokens: &Tokens, argument: Range<usize>) -> Option<&str> {
    let text = tokens.text(argument.start)?;
    let is_owned = tokens.word(argument.start + 2) == Some("to_owned");
    (argument.len() == 1 || is_owned).then_some(text)
}

/// What the variable `name`, bound by `let (…, name, …) =` in `body`, can be: the texts at the same
/// place in tuples of as many parts.
fn in_tuples(tokens: &Tokens, body: Range<usize>, name: &str) -> Option<Vec<String>> {
    let parts = |at: usize| tokens.inside(at).map(|inside| tokens.split(inside));
    let (count, position) = body.clone().find_map(|at| {
        let is_pattern = tokens.word(at) == Some("let") && tokens.is(at + 1, "(");
        let pattern = parts(at + 1).filter(|_| is_pattern)?;
        let is_wanted =
            |part: &Range<usize>| part.len() == 1 && tokens.word(part.start) == Some(name);
        Some((pattern.len(), pattern.iter().position(is_wanted)?))
    })?;
    let is_call = |at: usize| match tokens.get(at - 1) {
        Some(Token::Word(_) | Token::Text(_)) => true,
        Some(Token::Mark(mark)) => matches!(mark, '!' | ')' | ']'),
        None => false,
    };
    let tuples = body.filter(|at| tokens.is(*at, "(") && !is_call(*at)).filter_map(parts);
    let fitting = tuples.filter(|tuple| tuple.len() == count);
    Some(
        fitting
            .filter_map(|tuple| literal(tokens, tuple[position].clone()).map(str::to_owned))
            .collect(),
    )
}

/// `http-{status}` as people are told of it: `http-STATUS`.
fn with_placeholders(format: &str) -> String {
    let mut text = String::new();
    for part in format.split_inclusive('}') {
        match part.split_once('{') {
            Some((before, name)) => {
                text.push_str(before);
                text.push_str(&name.trim_end_matches('}').to_uppercase());
            }
            None => text.push_str(part),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "impl Fault { pub fn new(kind: FaultKind, code: &str, \
                         message: impl Into<String>, cure: impl Into<String>) -> Self { todo(code) } }";

    fn codes_of(text: &str) -> Result<Vec<String>> {
        let model = Source::new("crates/model/src/fault.rs", MODEL);
        let sources = [model, Source::new("crates/x/src/a.rs", text)];
        Ok(find(&sources, |_| true)?.into_keys().collect())
    }

    fn codes(text: &str) -> Vec<String> {
        codes_of(text).expect("every code can be told")
    }

    #[test]
    fn literals_and_constants() {
        let text = r#"
            const STOP: &str = "task-error";
            fn f() { Err(Fault::new(Kind::A, "no-network", format!("a, {b}"), "cure")) }
            fn g() { Fault::new(Kind::A, STOP, m, c); other("not-a-code"); }
        "#;
        assert_eq!(codes(text), ["no-network", "task-error"]);
    }

    #[test]
    fn constructors_of_other_crates_are_found_by_their_parameters() {
        let text = r#"
            impl Problem {
                fn bad(code: &str, message: &str) -> Self { Self::new(400, code, message) }
                fn new(status: u16, code: &str, message: &str) -> Self { Self { code: code.to_owned() } }
                fn none() -> Self { Self::new(404, "no-such-run", "m") }
            }
            impl Checker<'_> {
                fn say<T: Into<String>>(&mut self, span: Range<usize>, code: &'static str, cure: T) {}
                fn look(&mut self) { self.say(0..1, "config-path", "cure"); console.say("hello"); }
            }
            fn refused(kind: Kind, code: &str, cure: &str) -> Fault { Fault::new(kind, code, m, cure) }
            fn f() { refused(Kind::A, "plan-refused", "c"); Problem::bad("bad-body", "m"); }
            fn lines(line: &str, code: &str) {}
            fn g() { lines("", "this is no code"); }
        "#;
        assert_eq!(codes(text), ["bad-body", "config-path", "no-such-run", "plan-refused"]);
    }

    #[test]
    fn variables_are_followed_into_tuples() {
        let text = r#"
            fn f(e: &Error) -> Fault {
                let (kind, code, cure) = match e {
                    Error::A => (Kind::A, "store-io", format!("a {}", "b")),
                    Error::B => { (Kind::B, "store-corrupt".to_owned(), "c", ) }
                    Error::C => (Kind::C, e.code.clone(), "c"),
                };
                Fault::new(kind, &code, "not-this", cure)
            }
        "#;
        assert_eq!(codes(text), ["store-corrupt", "store-io"]);
    }

    #[test]
    fn fields_and_the_macro() {
        let text = r#"
            fn f() -> ApiError { ApiError { code: format!("http-{status}"), message: m } }
            codes! { /// Doc.
                Crlf = "disk-config-crlf", Old = "disk-config-old", }
        "#;
        assert_eq!(codes(text), ["disk-config-crlf", "disk-config-old", "http-STATUS"]);
    }

    #[test]
    fn what_cannot_be_told_is_an_error_with_its_place() {
        let error = codes_of("\nfn f() { Fault::new(kind, name(), m, c); }").expect_err("untold");
        assert!(error.to_string().contains("crates/x/src/a.rs:2"), "{error}");
        assert_eq!(codes("fn f(e: E) { Fault::new(kind, &e.code, m, c); }"), [""; 0]);
    }
}
