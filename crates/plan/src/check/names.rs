//! Classes that something belongs to and nothing names.

use super::shell_texts;
use crate::finding::Finding;
use crate::space::ConfigSpace;
use crate::tree::ConfigTree;
use hostwright_model::diagnostic::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// Classes that FAI or class scripts give without their name being written anywhere: the fixed
/// ones, and Debian's architectures as `dpkg --print-architecture` prints them, in upper case.
const KNOWN: [&str; 13] = [
    "DEFAULT", "LINUX", "LAST", "AMD64", "ARM64", "I386", "ARMHF", "ARMEL", "PPC64EL", "RISCV64",
    "S390X", "MIPS64EL", "LOONG64",
];

/// A note for each class that has files and that no class script, hook or profile seems to define.
/// Names with lower case letters are taken for host names.
pub(super) fn unnamed_classes(tree: &ConfigTree, space: &ConfigSpace) -> Vec<Diagnostic> {
    let texts: Vec<String> =
        shell_texts(tree).filter(|(path, _)| !path.ends_with(".var")).map(|(_, t)| t).collect();
    let named = Named::read(&texts);
    let unnamed = classes_with_files(space).into_iter().filter(|(class, _)| !named.has(class));
    unnamed
        .map(|(class, path)| {
            let message = format!("nothing in class/ or hooks/ names class {class}");
            let cure = "let a class script print it; until then it has to be given by hand";
            Finding::note("unnamed-class", message, cure).at_file(path)
        })
        .collect()
}

/// Classes with the first file of each.
fn classes_with_files(space: &ConfigSpace) -> BTreeMap<&str, &str> {
    let mut classes: BTreeMap<&str, &str> = BTreeMap::new();
    let listed = [&space.scripts, &space.tests, &space.debconf];
    let paths = listed.into_iter().flatten().filter_map(|(c, paths)| Some((c, paths.first()?)));
    let single = space.packages.iter().map(|(c, file)| (c, &file.path));
    let disks = space.disk_configs.iter().map(|(c, file)| (c, &file.path));
    let vars = space.var_files.iter().map(|(c, file)| (c, &file.path));
    let hooks = space.hooks.iter().map(|hook| (&hook.class, &hook.path));
    for (class, path) in paths.chain(single).chain(disks).chain(vars).chain(hooks) {
        classes.entry(class.as_str()).or_insert(path);
    }
    classes
}

/// The words of all class scripts and hooks.
struct Named<'a> {
    words: BTreeSet<&'a str>,
    /// What follows an expansion, `_EFI` of `${c}_EFI`.
    endings: BTreeSet<&'a str>,
}

impl<'a> Named<'a> {
    fn read(texts: &'a [String]) -> Self {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let mut words: BTreeSet<&str> = KNOWN.into_iter().collect();
        let mut endings = BTreeSet::new();
        for text in texts {
            words.extend(text.split(|c| !is_name(c)));
            for (at, _) in text.match_indices('}') {
                let rest = &text[at + 1..];
                let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                endings.insert(&rest[..end]);
            }
        }
        endings.remove("");
        Self { words, endings }
    }

    fn has(&self, class: &str) -> bool {
        let composed = |ending: &&str| {
            class.strip_suffix(*ending).is_some_and(|stem| self.words.contains(stem))
        };
        class.contains(|c: char| c.is_ascii_lowercase())
            || self.words.contains(class)
            || self.endings.iter().any(composed)
    }
}
