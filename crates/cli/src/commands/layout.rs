//! `hostwright layout`: tries a disk_config without a machine.

use super::lab::FirmwareArg;
use crate::faults::{Failure, file};
use crate::render::{diagnostics, json};
use hostwright_model::diagnostic::Severity;
use hostwright_model::size::ByteSize;
use hostwright_plan::storage::{self, StorageDisk, StorageFacts};
use std::path::PathBuf;
use std::process::ExitCode;

/// Try a disk layout without a machine: every volume with its first and last byte.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright layout disk_config/FAIBASE --disk sda=20GiB
  hostwright layout disk_config/LVM --disk nvme0n1=1TB --disk nvme1n1=1TB --ram 64GiB --json
  hostwright layout disk_config/MAIL --facts mail1.json")]
pub struct Args {
    /// The disk_config.
    disk_config: PathBuf,
    /// A disk, in the order of the machine's disks; SECTOR is 512 unless given.
    #[arg(
        long = "disk",
        required_unless_present = "facts",
        conflicts_with = "facts",
        value_name = "NAME=SIZE[,SECTOR]"
    )]
    disks: Vec<StorageDisk>,
    /// Facts of a machine, as `hostwright facts --json` prints them: its disks and what is on them.
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Memory, for sizes such as RAM:50%.
    #[arg(long, default_value = "8GiB")]
    ram: ByteSize,
    /// Firmware, for warnings about what it can boot.
    #[arg(long, default_value = "bios")]
    firmware: FirmwareArg,
}

/// Does it.
pub fn run(args: &Args, as_json: bool) -> Result<ExitCode, Failure> {
    let path = &args.disk_config;
    let bytes = std::fs::read(path).map_err(|error| file("read", path, &error))?;
    let text = String::from_utf8_lossy(&bytes);
    let facts = machine(args)?;
    let examined = storage::examine(&path.display().to_string(), &text, None, &facts);
    let Some(layout) = examined.layout else {
        return Err(examined.diagnostics.into());
    };
    if as_json {
        json::print(&layout);
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", storage::draw(&layout));
    if examined.diagnostics.iter().any(|diagnostic| diagnostic.severity > Severity::Note) {
        diagnostics::print(&examined.diagnostics);
    }
    Ok(ExitCode::SUCCESS)
}

/// The recorded machine, or one with blank disks.
fn machine(args: &Args) -> Result<StorageFacts, Failure> {
    let Some(path) = &args.facts else {
        let disks = args.disks.clone();
        return Ok(StorageFacts::new(disks, args.ram.0, args.firmware.into()));
    };
    Ok(StorageFacts::from(&super::plan::read_facts(path)?))
}
