//! `hostwright layout`: tries a disk_config without a machine.

use crate::faults::{Failure, file, usage};
use crate::machine_args::{MachineArgs, read_facts};
use crate::render::{diagnostics, json};
use hostwright_model::diagnostic::Severity;
use hostwright_plan::storage::{self, StorageFacts};
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
    #[command(flatten)]
    imagined: MachineArgs,
    /// Facts of a machine, as `hostwright facts --json` prints them: its disks and what is on them.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["disks", "firmware", "ram"])]
    facts: Option<PathBuf>,
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
        let MachineArgs { disks, ram, .. } = &args.imagined;
        if disks.is_empty() {
            let cure = "add --disk vda=20GiB, or --facts with what 'hostwright facts --json' wrote";
            return Err(usage("a layout needs disks to lie on", cure));
        }
        return Ok(StorageFacts::new(disks.clone(), ram.0, args.imagined.firmware()));
    };
    Ok(StorageFacts::from(&read_facts(path)?))
}
