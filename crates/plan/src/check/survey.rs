//! What the rules of `check` look at: the space with the text of each of its files, decoded once.

use super::shell::Script;
use crate::space::ConfigSpace;
use crate::tree::{ConfigTree, TreeFile};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Larger files are data, not configuration.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The text of one file.
pub(super) struct TextFile<'a> {
    /// Relative to the space.
    pub path: &'a str,
    /// Its content.
    pub text: Cow<'a, str>,
}

/// Every text of a tree, links followed.
pub(super) struct Texts<'a> {
    files: Vec<TextFile<'a>>,
}

/// A space, its texts and its shell scripts.
pub(super) struct Survey<'a> {
    pub space: &'a ConfigSpace,
    pub texts: &'a Texts<'a>,
    /// What a shell reads in class/, hooks/, scripts/ and tests/.
    pub scripts: Vec<Script<'a>>,
}

impl<'a> Texts<'a> {
    /// Decodes the files of an expanded tree; binary and very large ones are left out.
    pub fn read(files: &'a BTreeMap<String, &'a TreeFile>) -> Self {
        let texts = files.iter().filter(|(_, file)| is_text(file));
        let texts = texts
            .map(|(path, file)| TextFile { path, text: String::from_utf8_lossy(&file.content) });
        Self { files: texts.collect() }
    }

    /// All of them in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = &TextFile<'a>> {
        self.files.iter()
    }

    /// Those below a directory, which ends in `/`.
    pub fn below(&self, directory: &str) -> impl Iterator<Item = &TextFile<'a>> {
        let start = self.files.partition_point(|file| file.path < directory);
        self.files[start..].iter().take_while(move |file| file.path.starts_with(directory))
    }
}

impl<'a> Survey<'a> {
    pub fn new(space: &'a ConfigSpace, texts: &'a Texts<'a>) -> Self {
        let shell = texts.iter().filter(|file| is_shell(file.path, &file.text));
        let scripts = shell.map(|file| Script::read(file.path, &file.text)).collect();
        Self { space, texts, scripts }
    }
}

fn is_text(file: &TreeFile) -> bool {
    file.content.len() <= TEXT_BYTES_MAX && !file.content.contains(&0)
}

/// True for what bash or sh reads.
pub(super) fn is_shell(path: &str, text: &str) -> bool {
    let code = ["class/", "hooks/", "scripts/", "tests/"];
    if !code.iter().any(|directory| path.starts_with(directory)) {
        return false;
    }
    match text.strip_prefix("#!") {
        Some(rest) => {
            let words = rest.lines().next().unwrap_or_default().split_whitespace();
            let names = words.filter_map(|word| word.rsplit('/').next());
            names.take(2).any(|name| matches!(name, "sh" | "bash" | "dash" | "ksh"))
        }
        None => {
            let sourced = [".sh", ".var"].iter().any(|ending| path.ends_with(ending));
            sourced || path == "hooks/subroutines"
        }
    }
}

/// A view of a tree's files for [`Texts::read`].
pub(super) fn files(tree: &ConfigTree) -> BTreeMap<String, &TreeFile> {
    tree.expanded()
}
