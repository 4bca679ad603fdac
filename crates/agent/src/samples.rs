//! A machine for tests.

use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::{Disk, Dmi, FACTS_VERSION, Facts, Firmware};

/// A machine with disks of these names.
pub(crate) fn facts(disks: &[&str]) -> Facts {
    let disk = |name: &&str| Disk {
        links: Vec::new(),
        name: (*name).to_owned(),
        size_bytes: 1 << 30,
        sector_bytes: 512,
        model: None,
        serial: None,
        wwn: None,
        rotational: false,
        removable: false,
        signatures: Vec::new(),
    };
    Facts {
        version: FACTS_VERSION,
        firmware: Firmware::Bios,
        architecture: "amd64".to_owned(),
        memory_bytes: 1 << 30,
        cpus: 1,
        disks: disks.iter().map(disk).collect(),
        nics: Vec::new(),
        dmi: Dmi::default(),
        kernel: "6.1.0".to_owned(),
        tpm2: false,
        storage: ExistingStorage::default(),
    }
}
