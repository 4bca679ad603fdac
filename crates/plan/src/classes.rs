//! The classes a run begins with.

use hostwright_model::class::ClassList;
use hostwright_model::plan::Inputs;

/// The classes before any script has run: only their hooks run before and around `defclass`.
pub fn provisional(inputs: &Inputs) -> ClassList {
    if !inputs.given_classes.is_empty() {
        return inputs.given_classes.iter().cloned().collect();
    }
    let names = ["DEFAULT", "LINUX", &inputs.hostname, "LAST"];
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::existing::ExistingStorage;
    use hostwright_model::facts::{Dmi, FACTS_VERSION, Facts, Firmware};
    use hostwright_model::overrides::Overrides;
    use hostwright_model::plan::{Discovered, Rules, TargetProfile};

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
            tpm2: false,
            storage: ExistingStorage::default(),
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
            rules: Rules::default(),
            discovered: Discovered::default(),
            overrides: Overrides::default(),
        }
    }

    #[test]
    fn hooks_before_defclass_see_provisional_classes() {
        assert_eq!(provisional(&inputs("", true)).to_string(), "DEFAULT LINUX demohost LAST");
        assert_eq!(provisional(&inputs("A B", true)).to_string(), "A B");
    }
}
