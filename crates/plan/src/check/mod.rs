//! Every mistake in a config space that can be seen without a machine.

mod copies;
mod names;

use crate::finding::{self, Finding};
use crate::space::{ConfigSpace, parse, variable};
use crate::tree::ConfigTree;
use hostwright_model::diagnostic::Diagnostic;
use std::collections::BTreeSet;

/// Finds mistakes in single files and in what files say about each other, in the order of files and
/// lines. Errors stop a run of the machines that they concern; the rest is advice.
pub fn check(tree: &ConfigTree) -> Vec<Diagnostic> {
    let (space, mut found) = parse(tree);
    if let Some(no_space) = space.no_class_directory() {
        // Whatever this directory is, advice about it as a space would only be noise.
        return vec![no_space];
    }
    found.extend(no_base_system(&space));
    found.extend(names::unnamed_classes(tree, &space));
    found.extend(copies::missing_sources(tree, &space));
    found.extend(unset_variables(tree, &space));
    finding::sort(&mut found);
    found
}

fn no_base_system(space: &ConfigSpace) -> Option<Diagnostic> {
    let sets = space.var_files.values().any(|f| f.assignments.contains_key("FAI_DEBOOTSTRAP"));
    if sets || !space.base_files.is_empty() {
        return None;
    }
    let message = "nothing says where the base system comes from: there is no base file, and no \
                   .var file sets FAI_DEBOOTSTRAP";
    let cure = "set FAI_DEBOOTSTRAP=\"SUITE MIRROR\" in a .var file";
    Some(Finding::warning("no-base-system", message, cure).at_file("class"))
}

/// Variables in package files that no file of the space seems to set.
fn unset_variables(tree: &ConfigTree, space: &ConfigSpace) -> Vec<Diagnostic> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    known.extend(space.var_files.values().flat_map(|f| f.assignments.keys().map(String::as_str)));
    let texts: Vec<String> = shell_texts(tree).map(|(_, text)| text).collect();
    let is_set = |name: &str| {
        known.contains(name) || texts.iter().any(|text| text.contains(&format!("{name}=")))
    };
    let mut found = Vec::new();
    for file in space.packages.values() {
        for word in file.blocks.iter().flat_map(|block| &block.words) {
            let Ok(Some((_, name))) = variable(&word.text) else { continue };
            if is_set(name) {
                continue;
            }
            let message = format!("no file of the space sets '{name}'");
            let cure = format!("set it in class/CLASS.var: {name}=…");
            let finding = Finding::warning("unset-variable", message, cure);
            found.push(file.at(finding, word.line, word.column, word.text.len() as u32));
        }
    }
    found
}

/// Everything in `class/` and `hooks/` as text.
fn shell_texts(tree: &ConfigTree) -> impl Iterator<Item = (String, String)> {
    let files = tree.expanded().into_iter();
    let shell = files.filter(|(path, _)| path.starts_with("class/") || path.starts_with("hooks/"));
    shell.map(|(path, file)| (path, file.text())).collect::<Vec<_>>().into_iter()
}
