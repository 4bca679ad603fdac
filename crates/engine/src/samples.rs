//! Values that several unit tests start from.

use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::{Dmi, FACTS_VERSION, Facts, Firmware};
use hostwright_model::overrides::Overrides;
use hostwright_model::plan::{Discovered, Inputs, Rules, TargetProfile};

/// A host without disks that nothing is known of yet.
pub(crate) fn inputs() -> Inputs {
    let facts = Facts {
        version: FACTS_VERSION,
        firmware: Firmware::Bios,
        architecture: "amd64".to_owned(),
        memory_bytes: 1 << 30,
        cpus: 1,
        disks: vec![],
        nics: vec![],
        dmi: Dmi::default(),
        kernel: "6.1".to_owned(),
        tpm2: false,
        storage: ExistingStorage::default(),
    };
    Inputs {
        facts,
        hostname: "web1.lan".to_owned(),
        target: TargetProfile::Directory,
        given_classes: vec![],
        run_class_scripts: true,
        classes: None,
        vars: None,
        skips: vec![],
        rules: Rules::default(),
        discovered: Discovered::default(),
        overrides: Overrides::default(),
    }
}
