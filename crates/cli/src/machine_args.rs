//! Machines that a verb plans for without being on them: recorded ones, and ones that are imagined
//! from the options that `check`, `layout` and `plan` share.

use crate::faults::{Failure, file, usage};
use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::{Disk, Dmi, FACTS_VERSION, Facts, Firmware, Nic};
use hostwright_model::size::ByteSize;
use hostwright_plan::storage::StorageDisk;
use std::path::Path;

/// Firmware on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum FirmwareArg {
    /// PC BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

impl From<FirmwareArg> for Firmware {
    fn from(arg: FirmwareArg) -> Self {
        match arg {
            FirmwareArg::Bios => Self::Bios,
            FirmwareArg::Uefi => Self::Uefi,
        }
    }
}

/// An imagined machine.
#[derive(clap::Args)]
pub struct MachineArgs {
    /// A disk of an imagined machine, in the order of its disks; SECTOR is 512 unless given.
    #[arg(long = "disk", value_name = "NAME=SIZE[,SECTOR]")]
    pub disks: Vec<StorageDisk>,
    /// Firmware of the imagined machine: bios unless given; `check` takes either unless given.
    #[arg(long)]
    pub firmware: Option<FirmwareArg>,
    /// Memory of the imagined machine, for sizes such as RAM:50%.
    #[arg(long, default_value = "8GiB")]
    pub ram: ByteSize,
}

impl MachineArgs {
    /// Its firmware.
    pub fn firmware(&self) -> Firmware {
        self.firmware.map_or(Firmware::Bios, Firmware::from)
    }

    /// The machine, with one network interface.
    pub fn facts(&self, firmware: Firmware) -> Facts {
        let nic = Nic {
            name: "eth0".to_owned(),
            predictable_name: None,
            mac: hostwright_model::ids::MacAddr([0x02, 0, 0, 0, 0, 1]),
            driver: None,
            link_up: true,
            addresses: Vec::new(),
        };
        Facts {
            version: FACTS_VERSION,
            firmware,
            architecture: "amd64".to_owned(),
            memory_bytes: self.ram.0,
            cpus: 2,
            disks: self.disks.iter().map(disk).collect(),
            nics: vec![nic],
            dmi: Dmi::default(),
            kernel: "imagined".to_owned(),
            tpm2: false,
            storage: ExistingStorage::default(),
        }
    }
}

fn disk(disk: &StorageDisk) -> Disk {
    Disk {
        links: Vec::new(),
        name: disk.name.clone(),
        size_bytes: disk.size_bytes,
        sector_bytes: disk.sector_bytes,
        model: None,
        serial: None,
        wwn: None,
        rotational: false,
        removable: false,
        signatures: Vec::new(),
    }
}

/// A machine as `hostwright facts --json` wrote it down.
pub fn read_facts(path: &Path) -> Result<Facts, Failure> {
    let text = std::fs::read(path).map_err(|error| file("read", path, &error))?;
    serde_json::from_slice(&text).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        usage(message, "write it with 'hostwright facts --json' on the machine")
    })
}
