//! `hostwright facts`: what the probes see of this machine.

use crate::faults::Failure;
use crate::render::{json, table};
use hostwright_host::Host as _;
use hostwright_host::real::{RealHost, RealOptions};
use hostwright_model::existing::ExistingStorage;
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
    print_storage(&facts.storage);
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

/// Everything on the disks that is not nothing: partitions, arrays, groups, file systems.
fn print_storage(storage: &ExistingStorage) {
    let holds = |device: &str| {
        let found = storage.signatures.iter().filter(|signature| signature.device == device);
        let words: Vec<String> = found
            .map(|found| match &found.label {
                Some(label) => format!("{} '{label}'", found.kind),
                None => found.kind.clone(),
            })
            .collect();
        words.join(" ")
    };
    let mut rows: Vec<[String; 4]> = Vec::new();
    let mut add = |device: &str, size_bytes: u64, what: String| {
        let size = ByteSize(size_bytes).rounded();
        rows.push([device.to_owned(), size, what, holds(device)]);
    };
    for table in &storage.tables {
        for partition in &table.partitions {
            let name = partition.name.as_ref().map(|name| format!(" '{name}'")).unwrap_or_default();
            let what = format!("{} partition {}{name}", table.kind, partition.number);
            add(&partition.device, partition.size_bytes, what);
        }
    }
    for array in &storage.arrays {
        let level = array.level.map_or("array", |level| level.name());
        let what = format!("{level} of {}", array.members.join(" "));
        let device = array.device.as_deref().unwrap_or("(stopped)");
        add(device, array.size_bytes.unwrap_or_default(), what);
    }
    for group in &storage.groups {
        let partial = if group.is_partial { ", a disk is missing" } else { "" };
        let what = format!("volume group of {}{partial}", group.physical_volumes.join(" "));
        add(&group.name, group.size_bytes, what);
        for volume in &group.logical_volumes {
            add(&volume.device, volume.size_bytes, "logical volume".to_owned());
        }
    }
    if !rows.is_empty() {
        println!();
        table::print(["DEVICE", "SIZE", "IS", "HOLDS"], &rows);
    }
    for unread in &storage.unread {
        println!("not looked at: {}: {}", unread.what, unread.reason);
    }
}
