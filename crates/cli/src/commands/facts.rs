//! `hostwright facts`: what the probes see of this machine.

use crate::faults::Failure;
use crate::render::{json, table};
use hostwright_host::Host as _;
use hostwright_host::real::{RealHost, RealOptions};
use hostwright_model::facts::{Facts, Firmware};
use hostwright_model::size::ByteSize;
use std::process::ExitCode;

/// Show what the probes see of this machine.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright facts
  hostwright facts --json > machine.json         for hostwright plan --facts machine.json")]
pub struct Args {}

/// Does it.
pub fn run(_: &Args, as_json: bool) -> Result<ExitCode, Failure> {
    let facts = RealHost::new(RealOptions::default()).facts()?;
    match as_json {
        true => json::print(&facts),
        false => print(&facts),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(facts: &Facts) {
    let firmware = match facts.firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
    };
    let unknown = || "unknown".to_owned();
    println!("firmware      {firmware}");
    println!("architecture  {}", facts.architecture);
    println!("memory        {}", ByteSize(facts.memory_bytes).rounded());
    println!("processors    {}", facts.cpus);
    println!("kernel        {}", facts.kernel);
    println!("product       {}", facts.dmi.product.clone().unwrap_or_else(unknown));
    println!("serial        {}\n", facts.dmi.serial.clone().unwrap_or_else(unknown));
    let disks: Vec<_> = facts
        .disks
        .iter()
        .map(|disk| {
            let size = ByteSize(disk.size_bytes).rounded();
            let [model, serial] =
                [&disk.model, &disk.serial].map(|s| s.clone().unwrap_or_default());
            [disk.path(), size, model, serial, disk.signatures.join(" ")]
        })
        .collect();
    table::print(["DISK", "SIZE", "MODEL", "SERIAL", "HOLDS"], &disks);
    println!();
    let nics: Vec<_> = facts
        .nics
        .iter()
        .map(|nic| {
            let link = if nic.link_up { "up" } else { "down" };
            let name = nic.predictable_name.clone().unwrap_or_else(|| nic.name.clone());
            [nic.name.clone(), name, nic.mac.to_string(), link.to_owned(), nic.addresses.join(" ")]
        })
        .collect();
    table::print(["INTERFACE", "INSTALLED AS", "MAC", "LINK", "ADDRESSES"], &nics);
}
