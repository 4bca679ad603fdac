//! Package names that no package index lists.

use crate::finding::Finding;
use crate::space::{BlockAction, ConfigSpace, PackageFile, PackageWord};
use hostwright_model::apt_names;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::package::{PackageAction, PackageSystem};
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
        apt_names::listed(text).for_each(|name| self.insert(name));
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

    /// True if apt would understand a word of a package_config.
    fn knows(&self, word: &str) -> bool {
        // A pattern, or the name of a task, is for apt to expand.
        let is_pattern = word.contains(['*', '?', '^', '~']);
        is_pattern || apt_names::candidates(word).iter().any(|name| self.names.contains(*name))
    }
}

/// A warning for each package of a Debian action that the index does not list.
pub(super) fn findings(space: &ConfigSpace, index: &PackageIndex) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for file in space.packages.values() {
        for block in file.blocks.iter().filter(|block| has_names_for_apt(&block.action)) {
            let words = block.words.iter().filter(|word| !word.text.contains(['$', '`']));
            let words = words.filter(|word| is_name(&block.action, &block.words, word));
            let unknown = words.filter(|word| !index.knows(&word.text));
            found.extend(unknown.map(|word| unknown_package(file, word)));
        }
    }
    found
}

/// True for actions whose words apt looks up; tasks are tasksel's.
fn has_names_for_apt(action: &BlockAction) -> bool {
    let BlockAction::Known(action) = action else { return false };
    let is_task = matches!(action, PackageAction::Taskinst | PackageAction::Taskrm);
    action.system() == PackageSystem::Apt && !is_task
}

/// Lines of dselect-upgrade are a name and what is selected for it.
fn is_name(action: &BlockAction, words: &[PackageWord], word: &PackageWord) -> bool {
    let is_selection = *action == BlockAction::Known(PackageAction::DselectUpgrade);
    let mut before = words.iter().filter(|other| other.line == word.line);
    !is_selection || before.all(|other| other.column >= word.column)
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

    use crate::space::parse;
    use crate::tree::ConfigTree;
    use hostwright_model::space::TreeFile;

    #[test]
    fn only_what_apt_looks_up_is_looked_up() {
        let mut index = PackageIndex::default();
        index.add("Package: nginx\n");
        assert_eq!(index.len(), 1);
        let text = "PACKAGES install\nnginx nosuch1 ngin* nginx-\nPACKAGES dnfi\nkernel\n\
                    PACKAGES dnfgroup\ncore\nPACKAGES zypper\nvim\nPACKAGES pacman-S\nvim\n\
                    PACKAGES taskinst\nssh-server\nPACKAGES dselect-upgrade\nnginx hold\n\
                    nosuch2 deinstall\nPACKAGES aptitude\n~nvim nosuch3\nPACKAGES hold\nnosuch4\n";
        let mut tree = ConfigTree::default();
        tree.files.insert("package_config/A".to_owned(), TreeFile::file(text.as_bytes(), false));
        let found = findings(&parse(&tree).0, &index);
        let words: Vec<&str> =
            found.iter().filter_map(|it| it.message.split('\'').nth(1)).collect();
        assert_eq!(words, ["nosuch1", "nosuch2", "nosuch3", "nosuch4"]);
    }
}
