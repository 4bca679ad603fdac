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

/// Fails with everything that is untidy.
pub fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    for top in ["crates", "fuzz", "xtask"] {
        rust_files(&root.join(top), &mut files)?;
    }
    files.sort();
    let mut untidy = Vec::new();
    for path in &files {
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let text = fs::read_to_string(path)?;
        untidy
            .extend(problems(&name, &text).into_iter().map(|problem| format!("{name}: {problem}")));
    }
    if untidy.is_empty() {
        println!("tidy: {} files", files.len());
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

fn problems(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        problems.push("does not open with a sentence on what it is for (//!)".to_owned());
    }
    let production = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let lines = production.lines().count();
    let may_be_long = name.contains("/tests/") || LONG_FILES.iter().any(|(file, _)| *file == name);
    if lines > LINES_MAX && !may_be_long {
        problems.push(format!("{lines} production lines; {LINES_MAX} are allowed"));
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
