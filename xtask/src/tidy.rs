//! House rules that no lint knows: lengths of files, opening sentences, words that say nothing.

use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Production lines a file may have.
const LINES_MAX: usize = 600;

/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// Words in names of files and modules that say nothing about what is in them.
const EMPTY_WORDS: &[&str] = &["manager", "util", "utils", "helper", "helpers", "common", "misc"];

/// Lines a function may have, but for one in ten; clippy knows how many the others may have.
const FUNCTION_LINES: usize = 35;

/// Fails with everything that is untidy.
pub fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    for top in ["crates", "fuzz", "xtask"] {
        rust_files(&root.join(top), &mut files)?;
    }
    files.sort();
    let (mut untidy, mut lengths) = (Vec::new(), Vec::new());
    for path in &files {
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let text = fs::read_to_string(path)?;
        untidy
            .extend(problems(&name, &text).into_iter().map(|problem| format!("{name}: {problem}")));
        if !name.contains("/tests/") {
            lengths.extend(function_lengths(production(&text)));
        }
    }
    let long = lengths.iter().filter(|length| **length > FUNCTION_LINES).count();
    if long * 10 > lengths.len() {
        let all = lengths.len();
        untidy.push(format!("{long} of {all} functions have more than {FUNCTION_LINES} lines"));
    }
    if untidy.is_empty() {
        println!("tidy: {} files; {long} of {} functions are long", files.len(), lengths.len());
        return Ok(());
    }
    bail!("untidy:\n  {}", untidy.join("\n  "))
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// A file without its tests.
fn production(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

/// Lines of each function, as rustfmt writes them: the end has the indentation of the beginning.
fn function_lengths(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut lengths = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let words = line.trim_start();
        let words = words.strip_prefix("pub").map_or(words, |rest| {
            rest.trim_start_matches("(crate)").trim_start_matches("(super)").trim_start()
        });
        let words = ["const ", "async ", "unsafe "]
            .iter()
            .fold(words, |words, qualifier| words.strip_prefix(qualifier).unwrap_or(words));
        // One on a single line, or without a body, has no end of its own.
        if !words.starts_with("fn ") || line.ends_with(['}', ';']) {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let ends = |line: &str| line.strip_prefix(indent) == Some("}");
        lengths.extend(lines[start..].iter().position(|line| ends(line)).map(|at| at + 1));
    }
    lengths
}

/// What the opening of a `lib.rs` lacks: what the crate never does, and which two types to read.
fn opening_problem(text: &str) -> Option<&'static str> {
    let opening: String = text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .map(|line| format!("{line} "))
        .collect();
    let lower = opening.to_lowercase();
    let says_never = ["never", "not ", "nothing", " no "].iter().any(|word| lower.contains(word));
    if !says_never {
        return Some("does not say what the crate never does");
    }
    (opening.matches("[`").count() < 2).then_some("does not name the two types to read first")
}

fn problems(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        problems.push("does not open with a sentence on what it is for (//!)".to_owned());
    }
    let lines = production(text).lines().count();
    let may_be_long = name.contains("/tests/") || LONG_FILES.iter().any(|(file, _)| *file == name);
    if lines > LINES_MAX && !may_be_long {
        problems.push(format!("{lines} production lines; {LINES_MAX} are allowed"));
    }
    if name.starts_with("crates/") && name.ends_with("/src/lib.rs") {
        problems.extend(opening_problem(text).map(str::to_owned));
    }
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if EMPTY_WORDS.contains(&stem) {
        problems.push(format!("'{stem}' says nothing about what is in the file"));
    }
    for (i, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("//") && (line.contains("TODO") || line.contains("FIXME"))
        {
            problems
                .push(format!("line {}: an unfinished thought; finish it or file an issue", i + 1));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_to_their_last_line() {
        let text = "impl A {\n    pub(crate) async fn a() {\n        if b {\n        }\n    }\n\n    \
                    fn c() {}\n    fn d();\n}\nfn e(\n    x: u8,\n) {\n}\n";
        assert_eq!(function_lengths(text), [4, 4]);
    }

    #[test]
    fn a_crate_opens_with_what_it_never_does_and_whom_to_read() {
        assert!(opening_problem("//! For x. Never y. Read [`a`], then [`b`].\n").is_none());
        assert!(opening_problem("//! For x. Read [`a`], then [`b`].\n").is_some());
        assert!(opening_problem("//! For x. Never y. Read [`a`].\n//!\nuse b;\n").is_some());
    }
}
