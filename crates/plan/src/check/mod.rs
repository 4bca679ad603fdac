//! Every mistake in a config space that can be seen without a machine.

mod calls;
mod copies;
mod grammar;
mod machines;
mod names;
mod packages;
mod secrets;
mod shell;
mod survey;
mod syntax;

pub(crate) use calls::skipped_tasks;
pub use packages::PackageIndex;
pub use syntax::{ShellFile, shell_files, shell_syntax};

use crate::finding::{self, Finding};
use crate::space::{ConfigSpace, parse, variable};
use crate::tree::ConfigTree;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::facts::Facts;
use std::collections::BTreeSet;
use survey::{Survey, Texts};

/// What a space is held against beside itself.
#[derive(Clone, Debug, Default)]
pub struct Against {
    /// What packages there are.
    pub packages: Option<PackageIndex>,
    /// Machines that the disk layouts are for.
    pub machines: Vec<Machine>,
}

/// A machine, recorded or imagined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What messages call it.
    pub name: String,
    /// What it is.
    pub facts: Facts,
}

/// Finds mistakes in single files and in what files say about each other, in the order of files and
/// lines. Errors stop a run of the machines that they concern; the rest is advice.
pub fn check(tree: &ConfigTree) -> Vec<Diagnostic> {
    check_against(tree, &Against::default())
}

/// The same, and what is wrong with the space for these machines and packages.
pub fn check_against(tree: &ConfigTree, against: &Against) -> Vec<Diagnostic> {
    let (space, mut found) = parse(tree);
    if let Some(no_space) = space.no_class_directory() {
        // Whatever this directory is, advice about it as a space would only be noise.
        return vec![no_space];
    }
    let files = survey::files(tree);
    let texts = Texts::read(&files);
    let survey = Survey::new(&space, &texts);
    found.extend(no_base_system(&space));
    found.extend(no_boot_loader(&space));
    found.extend(settings(&space));
    found.extend(names::findings(&survey));
    found.extend(copies::findings(&survey));
    found.extend(calls::findings(&survey));
    found.extend(grammar::findings(&survey));
    found.extend(secrets::findings(&survey));
    found.extend(unset_variables(&survey));
    found.extend(machines::findings(&space, &against.machines));
    found.extend(against.packages.iter().flat_map(|index| packages::findings(&space, index)));
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

/// A space with layouts and without a boot loader in any package list, script or hook. Which classes
/// come together only a plan knows.
fn no_boot_loader(space: &ConfigSpace) -> Option<Diagnostic> {
    let layout = space.disk_configs.values().next()?;
    if !space.loader_files.is_empty() || !space.base_files.is_empty() {
        return None;
    }
    let message = "no package, script or hook of the space mentions a boot loader, so no machine will \
                   start from its disk";
    let cure = "add a class that installs one, such as GRUB_PC or GRUB_EFI of FAI's examples";
    Some(Finding::warning("no-boot-loader", message, cure).at_file(&layout.path))
}

/// Settings that are worth a second look.
fn settings(space: &ConfigSpace) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let sets = |name: &str| space.var_files.values().any(|f| f.assignments.contains_key(name));
    if !sets("STOP_ON_ERROR") {
        let message = "no .var file sets STOP_ON_ERROR, so a run goes on after every error that is \
                       not above 700";
        let cure = "set STOP_ON_ERROR=600 in class/DEFAULT.var, or as low as you want it";
        found.push(Finding::note("no-stop-on-error", message, cure).at_file("class"));
    }
    for file in space.var_files.values() {
        let Some(assignment) = file.assignments.get("FAI_ALLOW_UNSIGNED") else { continue };
        if assignment.text.contains("FAI_ALLOW_UNSIGNED=1") {
            let message = "packages of this machine are not verified";
            let cure = "remove the line, and put the keys of repositories into package_config/";
            let finding = Finding::note("unsigned-packages", message, cure);
            found.push(file.at(finding, "FAI_ALLOW_UNSIGNED"));
        }
    }
    found
}

/// Variables in package files that no file of the space seems to set.
fn unset_variables(survey: &Survey<'_>) -> Vec<Diagnostic> {
    let mut set: BTreeSet<&str> = BTreeSet::new();
    let texts = survey.texts.below("class/").chain(survey.texts.below("hooks/"));
    for file in texts {
        for (at, _) in file.text.match_indices('=') {
            let before = &file.text[..at];
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let start = before.rfind(|c| !is_name(c)).map_or(0, |other| other + 1);
            set.extend(before.get(start..));
        }
    }
    let mut found = Vec::new();
    for file in survey.space.packages.values() {
        for word in file.blocks.iter().flat_map(|block| &block.words) {
            let Ok(Some((_, name))) = variable(&word.text) else { continue };
            if set.contains(name) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TreeFile;

    #[test]
    fn a_space_that_installs_no_boot_loader_is_told_so() {
        let mut tree = ConfigTree::default();
        let mut put = |path: &str, text: &str| {
            tree.files.insert(path.to_owned(), TreeFile::file(text.as_bytes(), false));
        };
        put("class/DEFAULT.var", "FAI_DEBOOTSTRAP=\"bookworm http://x/debian\"\n");
        put("disk_config/DEFAULT", "disk_config disk1\nprimary / 2G- ext4 rw\n");
        put("package_config/DEFAULT", "PACKAGES install\nless\n");
        let has = |tree: &ConfigTree| check(tree).iter().any(|it| it.code == "no-boot-loader");
        assert!(has(&tree));
        let packages = TreeFile::file(b"PACKAGES install\ngrub-pc\n", false);
        let mut with_loader = tree.clone();
        with_loader.files.insert("package_config/DEFAULT".to_owned(), packages);
        assert!(!has(&with_loader));
        tree.files.remove("disk_config/DEFAULT");
        assert!(!has(&tree), "it is for directories only");
    }
}
