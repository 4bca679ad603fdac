//! Which disks an installation may wipe. Never one that can be unplugged or that somebody else may use
//! as well, unless it is named; never one of several by chance.

use super::ImageInstall;
use super::summary::natural;
use crate::finding::Finding;
use crate::machine_file::{DiskRule, Section, Transport, describe, transport_of};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::facts::Disk;

/// Who chooses the disks, where no machine file does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DiskChoice {
    /// Nobody: the one that is built in.
    #[default]
    Only,
    /// All that are built in; the first one boots.
    AllFixed,
    /// These, by the kernel's names, in this order: the answer of a drive selector.
    Named(Vec<String>),
}

/// The chosen disks, the one that boots first.
pub(super) fn choose<'a>(install: &ImageInstall<'a>) -> Result<Vec<&'a Disk>, Vec<Diagnostic>> {
    let disks = &install.inputs.facts.disks;
    let settings = install.described.settings.as_ref();
    if let DiskChoice::Named(names) = &install.disks {
        return named(install, names);
    }
    if let Some(file) = settings.filter(|file| file.chooses_disks()) {
        return file.choose(disks).map_err(|mistake| vec![*mistake]);
    }
    let mut fixed: Vec<&Disk> = disks.iter().filter(|disk| is_fixed(disk)).collect();
    fixed.sort_by_key(|disk| natural(place(disk)));
    let rule = settings.and_then(|file| file.policy().disks);
    let takes_all = match rule {
        Some(rule) => rule == DiskRule::AllFixed,
        None => install.disks == DiskChoice::AllFixed,
    };
    match (fixed.as_slice(), takes_all) {
        ([], _) => Err(vec![none(install)]),
        ([_], _) | (_, true) => Ok(fixed),
        (several, false) => Err(vec![several_disks(install, several)]),
    }
}

fn named<'a>(
    install: &ImageInstall<'a>,
    names: &[String],
) -> Result<Vec<&'a Disk>, Vec<Diagnostic>> {
    let disks = &install.inputs.facts.disks;
    let mut chosen: Vec<&Disk> = Vec::new();
    for name in names {
        let name = name.strip_prefix("/dev/").unwrap_or(name);
        let found = disks.iter().find(|disk| disk.name == name);
        let message = match found {
            Some(disk) if !chosen.contains(&disk) => {
                chosen.push(disk);
                continue;
            }
            Some(_) => format!("the disk {name} is chosen twice"),
            None => format!("'{name}' is chosen, which is no disk of this machine"),
        };
        return Err(vec![at(install, message, &format!("its disks are {}", told(disks.iter())))]);
    }
    if chosen.is_empty() {
        let cure = format!("choose at least one of {}", told(disks.iter()));
        return Err(vec![at(install, "no disk is chosen".to_owned(), &cure)]);
    }
    Ok(chosen)
}

/// True for a disk that belongs to this machine and to nothing else.
fn is_fixed(disk: &Disk) -> bool {
    // Fibre Channel and iSCSI show in the path.
    let is_remote = |link: &String| {
        let path = link.strip_prefix("by-path/").unwrap_or_default();
        path.starts_with("ip-") || ["-fc-", "-iscsi-"].iter().any(|part| path.contains(part))
    };
    let is_boot_area = disk.name.starts_with("mmcblk") && disk.name.contains("boot");
    !disk.removable
        && !is_boot_area
        && disk.size_bytes > 0
        && transport_of(disk) != Some(Transport::Usb)
        && !disk.links.iter().any(is_remote)
}

/// Where a disk is plugged in, else its name: what stays the same at the next start.
fn place(disk: &Disk) -> &str {
    disk.links.iter().find_map(|link| link.strip_prefix("by-path/")).unwrap_or(&disk.name)
}

fn told<'a>(disks: impl Iterator<Item = &'a Disk>) -> String {
    let words: Vec<String> = disks.map(describe).collect();
    if words.is_empty() { "none".to_owned() } else { words.join("; ") }
}

fn none(install: &ImageInstall<'_>) -> Diagnostic {
    let disks = &install.inputs.facts.disks;
    let message = "this machine has no disk that is built in".to_owned();
    let cure = match disks.is_empty() {
        true => "check cables, controllers and drivers".to_owned(),
        false => format!("choose one with [[disk]] in hostwright.toml: {}", told(disks.iter())),
    };
    at(install, message, &cure)
}

fn several_disks(install: &ImageInstall<'_>, disks: &[&Disk]) -> Diagnostic {
    let message = format!(
        "this machine has {} disks, and nothing says which may be wiped: {}",
        disks.len(),
        told(disks.iter().copied())
    );
    let cure = "choose them with [[disk]], or write disks = \"all-fixed\" under [policy], in \
                hostwright.toml";
    at(install, message, cure)
}

/// About the settings, else about the layout.
fn at(install: &ImageInstall<'_>, message: String, cure: &str) -> Diagnostic {
    if let Some(settings) = &install.described.settings {
        return settings.error_in(Section::Policy, "disk-choice", message, cure);
    }
    let layout = &install.described.layout;
    layout.source.find(Finding::error("disk-choice", message, cure), layout.at)
}
