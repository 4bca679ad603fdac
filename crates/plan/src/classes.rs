//! A machine's classes, put together in FAI's order.

use crate::finding::Finding;
use crate::space::ConfigSpace;
use hostwright_model::class::{ClassList, ClassName};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::plan::Inputs;

/// The classes before any script has run: only their hooks run before and around `defclass`.
pub fn provisional(inputs: &Inputs) -> ClassList {
    if !inputs.given_classes.is_empty() {
        return inputs.given_classes.iter().cloned().collect();
    }
    let names = ["DEFAULT", "LINUX", &inputs.hostname, "LAST"];
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// The classes after class scripts have printed or set `words`: `DEFAULT`, the words, the classes
/// of the host's own file, the host name, `LAST`. Without class scripts the given classes as they
/// are. What the scripts printed and is no class name is in the diagnostics.
///
/// FAI puts the host name and `LAST` behind everything even where they were named before; so they
/// are moved there, for what they bring has to win.
pub fn assemble(
    space: &ConfigSpace,
    inputs: &Inputs,
    words: &[String],
) -> (ClassList, Vec<Diagnostic>) {
    if !inputs.run_class_scripts {
        return (inputs.given_classes.iter().cloned().collect(), Vec::new());
    }
    let mut found = Vec::new();
    let mut classes = ClassList::default();
    let mut push = |classes: &mut ClassList, word: &str| match word.parse::<ClassName>() {
        Ok(class) => {
            classes.push(class);
        }
        Err(bad) => {
            let cure = "let the class script print names only, separated by blanks";
            found.push(Finding::warning("bad-class-name", bad.to_string(), cure).at_file("class"));
        }
    };
    push(&mut classes, "DEFAULT");
    words.iter().for_each(|word| push(&mut classes, word));
    if let Some(host) = space.host_classes.get(&inputs.hostname) {
        host.classes.iter().for_each(|class| push(&mut classes, class.as_str()));
    }
    let stays = |class: &&ClassName| ![inputs.hostname.as_str(), "LAST"].contains(&class.as_str());
    let mut classes: ClassList = classes.iter().filter(stays).cloned().collect();
    push(&mut classes, &inputs.hostname);
    push(&mut classes, "LAST");
    (classes, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::parse;
    use crate::tree::{ConfigTree, TreeFile};
    use hostwright_model::facts::{Dmi, FACTS_VERSION, Facts, Firmware};
    use hostwright_model::plan::TargetProfile;

    fn inputs(given: &str, run_class_scripts: bool) -> Inputs {
        let facts = Facts {
            version: FACTS_VERSION,
            firmware: Firmware::Bios,
            architecture: "amd64".to_owned(),
            memory_bytes: 0,
            cpus: 1,
            disks: Vec::new(),
            nics: Vec::new(),
            dmi: Dmi::default(),
            kernel: String::new(),
        };
        let given: ClassList = given.parse().expect("classes");
        Inputs {
            facts,
            hostname: "demohost".to_owned(),
            target: TargetProfile::Directory,
            given_classes: given.iter().cloned().collect(),
            run_class_scripts,
            classes: None,
            vars: None,
            skips: Vec::new(),
        }
    }

    #[test]
    fn classes_stand_in_fais_order() {
        let mut tree = ConfigTree::default();
        tree.files.insert("class/demohost".to_owned(), TreeFile::file("# mine\nHALL\n", false));
        let (space, _) = parse(&tree);
        let words = ["A", "LAST", "B", "A", "demohost", "C/D"].map(str::to_owned);
        let (classes, found) = assemble(&space, &inputs("", true), &words);
        assert_eq!(classes.to_string(), "DEFAULT A B HALL demohost LAST");
        assert_eq!(found.iter().map(|d| d.code.as_str()).collect::<Vec<_>>(), ["bad-class-name"]);
        let (classes, _) = assemble(&space, &inputs("X Y", false), &words);
        assert_eq!(classes.to_string(), "X Y", "given classes are taken as they are");
    }

    #[test]
    fn hooks_before_defclass_see_provisional_classes() {
        assert_eq!(provisional(&inputs("", true)).to_string(), "DEFAULT LINUX demohost LAST");
        assert_eq!(provisional(&inputs("A B", true)).to_string(), "A B");
    }
}
