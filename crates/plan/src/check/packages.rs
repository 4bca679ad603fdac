//! Package names that no package index lists.

use crate::finding::Finding;
use crate::space::{BlockAction, ConfigSpace, PackageFile, PackageWord};
use hostwright_model::diagnostic::Diagnostic;
use std::collections::BTreeSet;

/// Every name that apt would know: of packages, and of what they provide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageIndex {
    names: BTreeSet<String>,
}

impl PackageIndex {
    /// Adds the packages of a `Packages` file of a Debian repository, or of what
    /// `apt-cache dumpavail` prints.
    pub fn add(&mut self, text: &str) {
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("Package:") {
                self.insert(name.trim());
            } else if let Some(provided) = line.strip_prefix("Provides:") {
                let names = provided.split(',').filter_map(|one| one.split_whitespace().next());
                names.for_each(|name| self.insert(name));
            }
        }
    }

    fn insert(&mut self, name: &str) {
        if !self.names.contains(name) {
            self.names.insert(name.to_owned());
        }
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True if no file was added, or only empty ones.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// True if apt would understand a word of a package_config. In the order in which FAI tries it:
    /// the word itself, without `-` or `+` at its end, without `=version`, `/release`, `:arch`.
    fn knows(&self, word: &str) -> bool {
        let has = |name: &str| self.names.contains(name);
        let bare = word.split(['=', '/']).next().unwrap_or_default();
        let bare = bare.split(':').next().unwrap_or_default();
        let stem = bare.strip_suffix(['-', '+']).unwrap_or(bare);
        // A pattern, or the name of a task, is for apt to expand.
        has(bare) || has(stem) || bare.contains(['*', '?', '^'])
    }
}

/// A warning for each package of a Debian action that the index does not list.
pub(super) fn findings(space: &ConfigSpace, index: &PackageIndex) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for file in space.packages.values() {
        for block in file.blocks.iter().filter(|block| is_debian(&block.action)) {
            let words = block.words.iter().filter(|word| !word.text.contains(['$', '`']));
            let unknown = words.filter(|word| !index.knows(&word.text));
            found.extend(unknown.map(|word| unknown_package(file, word)));
        }
    }
    found
}

fn is_debian(action: &BlockAction) -> bool {
    match action {
        BlockAction::Known(_) => true,
        BlockAction::Foreign(word) => {
            ["aptitude", "aptitude-r", "apt", "hold", "unpack"].contains(&word.as_str())
        }
    }
}

fn unknown_package(file: &PackageFile, word: &PackageWord) -> Diagnostic {
    let message = format!("the package index has no package '{}'", word.text);
    let cure = "correct the name, or add the index of the repository that has it";
    let finding = Finding::warning("unknown-package", message, cure);
    file.at(finding, word.line, word.column, word.text.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_looked_up_as_fai_does() {
        let mut index = PackageIndex::default();
        index.add("Package: nginx\nProvides: httpd, httpd-cgi (= 1)\n\nPackage: g++\nVersion: 1\n");
        assert_eq!(index.len(), 4);
        for word in ["nginx", "nginx-", "nginx=1.2", "nginx/sid", "nginx:i386", "g++", "httpd-cgi"]
        {
            assert!(index.knows(word), "{word}");
        }
        assert!(index.knows("ngin*") && !index.knows("ngin") && !index.knows("ngin-"));
    }
}
