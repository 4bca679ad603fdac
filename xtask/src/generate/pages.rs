//! Holds the reference's pages of codes against the codes: a section each, and no other.
//!
//! ```text
//! ## `no-network`
//!
//! What it means, with an example.
//!
//! Cure: what to do.
//! ```

use super::codes::{self, Codes, Source};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where diagnostics are made: mistakes in what people wrote. All other codes are of faults.
const OF_DIAGNOSTICS: [&str; 2] = ["crates/plan/", "crates/server/src/config/"];

/// Pages about diagnostics, below the workspace: all files in it.
const DIAGNOSTICS: &str = "docs/reference/diagnostics";
/// The page about faults.
const FAULTS: &str = "docs/reference/faults.md";

/// Everything in which pages and sources disagree.
pub(super) fn disagreements(root: &Path) -> Result<Vec<String>> {
    let sources = codes::read_sources(root)?;
    let is_diagnostic = |path: &str| OF_DIAGNOSTICS.iter().any(|start| path.starts_with(start));
    let mut found = compare(&sources, is_diagnostic, DIAGNOSTICS, &pages_in(root, DIAGNOSTICS)?)?;
    let faults = [page(root, &root.join(FAULTS))?];
    found.extend(compare(&sources, |path| !is_diagnostic(path), FAULTS, &faults)?);
    Ok(found)
}

fn compare(
    sources: &[Source],
    wanted: impl Fn(&str) -> bool,
    place: &str,
    pages: &[Page],
) -> Result<Vec<String>> {
    Ok(differences(&codes::find(sources, wanted)?, place, pages))
}

/// A page, as its path and its text.
struct Page {
    path: String,
    text: String,
}

fn page(root: &Path, path: &Path) -> Result<Page> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let path = path.strip_prefix(root).unwrap_or(path).display().to_string();
    Ok(Page { path, text })
}

fn pages_in(root: &Path, dir: &str) -> Result<Vec<Page>> {
    let entries = fs::read_dir(root.join(dir)).with_context(|| dir.to_owned())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    paths.iter().map(|path| page(root, path)).collect()
}

fn differences(codes: &Codes, place: &str, pages: &[Page]) -> Vec<String> {
    let (mut found, mut known) = (Vec::new(), BTreeMap::new());
    for page in pages {
        for (code, section) in sections(&page.text) {
            let at = format!("{}: section `{code}`", page.path);
            if !codes.contains_key(code) {
                found.push(format!("{at} is about a code that no source has"));
            }
            if let Some(other) = known.insert(code, &page.path) {
                found.push(format!("{at} is in {other}, too"));
            }
            if !section.contains("\nCure: ") {
                found.push(format!("{at} has no paragraph that begins with 'Cure: '"));
            }
        }
    }
    let missing = codes.iter().filter(|(code, _)| !known.contains_key(code.as_str()));
    found.extend(missing.map(|(code, at)| format!("{place} lacks a section `{code}` ({at})")));
    found
}

/// The sections that are about codes, each with its text.
fn sections(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("\n## ").skip(1).filter_map(|section| section.strip_prefix('`')?.split_once("`\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_disagreement_is_told() {
        let text = "# Faults\n\n## Forms\n\nx\n\n## `a-b`\n\nText.\n\nCure: mend it.\n\n\
                    ## `gone`\n\nText.\n\nCure: none.\n\n## `a-b`\n\nText.\n";
        let pages = [Page { path: "f.md".to_owned(), text: text.to_owned() }];
        let places = [("a-b", "x.rs:1"), ("new", "x.rs:2")];
        let codes = places.map(|(code, at)| (code.to_owned(), at.to_owned())).into();
        assert_eq!(
            differences(&codes, "faults", &pages),
            [
                "f.md: section `gone` is about a code that no source has",
                "f.md: section `a-b` is in f.md, too",
                "f.md: section `a-b` has no paragraph that begins with 'Cure: '",
                "faults lacks a section `new` (x.rs:2)",
            ]
        );
    }
}
