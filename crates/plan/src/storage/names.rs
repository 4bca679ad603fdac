//! From the names of a disk_config to device nodes: numbers, links, patterns, encrypted devices.

use super::ast::{DeviceName, DiskConfig, DiskName, VolumeSpec};
use super::code::Code;
use super::devices::is_pattern;
use super::machine::{StorageDisk, StorageFacts, partition_device};
use super::numbering::number;
use super::source::{Problem, Span, Spanned};
use std::collections::BTreeMap;

/// Knows which device node is meant.
pub(super) struct Names<'a> {
    facts: &'a StorageFacts,
    /// Every node that a pattern may fit.
    nodes: Vec<String>,
    /// Encrypted devices, with the node of their clear text.
    mapped: BTreeMap<String, String>,
}

impl<'a> Names<'a> {
    /// For `config` on this machine.
    pub fn new(config: &DiskConfig, facts: &'a StorageFacts) -> Self {
        let mut names = Self { facts, nodes: Vec::new(), mapped: BTreeMap::new() };
        names.nodes = names.all_nodes(config);
        for (_, line) in config.encrypted() {
            if let Ok(node) = names.plain_node(&line.device) {
                names.add_mapped(node);
            }
        }
        for device in names.inline_encrypted(config) {
            names.add_mapped(device);
        }
        names
    }

    fn add_mapped(&mut self, device: String) {
        let mapped = format!("/dev/mapper/{}", mapping_name(&device));
        self.mapped.insert(device, mapped);
    }

    fn all_nodes(&self, config: &DiskConfig) -> Vec<String> {
        let existing = &self.facts.existing;
        let mut nodes: Vec<String> = self.facts.disks.iter().map(StorageDisk::device).collect();
        nodes.extend(
            existing.tables.iter().flat_map(|table| &table.partitions).map(|p| p.device.clone()),
        );
        nodes.extend(existing.arrays.iter().filter_map(|array| array.device.clone()));
        for stanza in &config.disks {
            let Ok(disk) = self.disk(&stanza.disk) else { continue };
            let device = disk.device();
            let numbers = number(stanza).0.into_iter().map(|numbered| numbered.number);
            nodes.extend(numbers.map(|number| partition_device(&device, number)));
        }
        nodes.extend((0..config.arrays().count()).map(array_device));
        nodes.sort();
        nodes.dedup();
        nodes
    }

    /// Devices with `:encrypt` behind their mount points.
    fn inline_encrypted(&self, config: &DiskConfig) -> Vec<String> {
        let is_encrypted = |volume: &VolumeSpec| volume.encrypt.is_some();
        let mut devices = Vec::new();
        for stanza in &config.disks {
            let Ok(disk) = self.disk(&stanza.disk) else { continue };
            for numbered in number(stanza).0 {
                if numbered.volume().is_some_and(is_encrypted) {
                    devices.push(partition_device(&disk.device(), numbered.number));
                }
            }
        }
        for (number, (_, line)) in config.arrays().enumerate() {
            if is_encrypted(&line.volume) {
                devices.push(array_device(number));
            }
        }
        for line in config.logical_volumes().filter(|line| is_encrypted(&line.volume)) {
            devices.push(format!("/dev/{}/{}", line.group.value, line.name.value));
        }
        devices
    }

    /// The disk of a stanza.
    pub fn disk(&self, name: &Spanned<DiskName>) -> Result<&'a StorageDisk, Problem> {
        let disks = &self.facts.disks;
        match &name.value {
            DiskName::Nth(number) => disks.get((*number as usize).wrapping_sub(1)),
            DiskName::Device(path) if is_link(path) || is_pattern(path) => {
                return self.fitting_disk(path, name.at);
            }
            DiskName::Device(path) => self.facts.disk(path),
        }
        .ok_or_else(|| self.no_such_disk(&name.value, name.at))
    }

    fn fitting_disk(&self, pattern: &str, at: Span) -> Result<&'a StorageDisk, Problem> {
        let fits = |disk: &&StorageDisk| {
            let links = disk.links.iter().map(|link| format!("/dev/disk/{link}"));
            links.chain([disk.device()]).any(|name| matches(pattern, &name))
        };
        let found: Vec<&StorageDisk> = self.facts.disks.iter().filter(fits).collect();
        match found[..] {
            [disk] => Ok(disk),
            [] => Err(self.no_such_disk(&DiskName::Device(pattern.to_owned()), at)),
            _ => Err(ambiguous(pattern, found.iter().map(|disk| disk.device()), at)),
        }
    }

    /// The node of a device; of an encrypted one, that of its clear text.
    pub fn node(&self, name: &Spanned<DeviceName>) -> Result<String, Problem> {
        let node = self.plain_node(name)?;
        Ok(self.mapped.get(&node).cloned().unwrap_or(node))
    }

    /// The node of a device, be it encrypted or not.
    pub fn plain_node(&self, name: &Spanned<DeviceName>) -> Result<String, Problem> {
        let path = match &name.value {
            DeviceName::Disk(disk) => return Ok(self.nth(*disk, name.at)?.device()),
            DeviceName::Partition { disk, number } => {
                return Ok(partition_device(&self.nth(*disk, name.at)?.device(), *number));
            }
            DeviceName::Device(path) => path,
        };
        if is_link(path) {
            let (link, part) = split_part(path);
            let disk = self.fitting_disk(link, name.at)?.device();
            return Ok(part.map_or(disk.clone(), |number| partition_device(&disk, number)));
        }
        if !is_pattern(path) {
            return Ok(path.clone());
        }
        let found: Vec<&String> = self.nodes.iter().filter(|node| matches(path, node)).collect();
        match found[..] {
            [node] => Ok(node.clone()),
            [] => Err(no_such_device(path, name.at)),
            _ => Err(ambiguous(path, found.into_iter().cloned(), name.at)),
        }
    }

    fn nth(&self, number: u32, at: Span) -> Result<&'a StorageDisk, Problem> {
        self.disk(&Spanned::new(DiskName::Nth(number), at))
    }

    fn no_such_disk(&self, name: &DiskName, at: Span) -> Problem {
        let names: Vec<&str> = self.facts.disks.iter().map(|disk| disk.name.as_str()).collect();
        let message = match name {
            DiskName::Nth(number) => format!("the machine has no disk number {number}"),
            DiskName::Device(device) => format!("the machine has no disk {device}"),
        };
        let cure = match names.is_empty() {
            true => "no fixed disk was found; check cables, controllers and drivers".to_owned(),
            false => format!("its disks are {}", names.join(", ")),
        };
        Problem::error(Code::NoSuchDisk, at, message, cure)
    }
}

/// The mistake of a device that nothing makes.
pub(super) fn no_such_device(path: &str, at: Span) -> Problem {
    let message = format!("no line of this file makes {path}, and it does not exist");
    let cure = "name a device that this file makes, or one that is there already";
    Problem::error(Code::NoSuchPartition, at, message, cure)
}

fn ambiguous(pattern: &str, found: impl Iterator<Item = String>, at: Span) -> Problem {
    let names: Vec<String> = found.collect();
    let message = format!("{pattern} fits {}", names.join(" and "));
    let cure = "write a pattern that fits one device only; a wrong guess would cost data";
    Problem::error(Code::AmbiguousDevice, at, message, cure)
}

/// `/dev/md0`.
pub(super) fn array_device(number: usize) -> String {
    format!("/dev/md{number}")
}

/// FAI's name for the clear text of a device: `crypt_dev_sda5`.
pub(super) fn mapping_name(device: &str) -> String {
    format!("crypt{}", device.replace('/', "_"))
}

fn is_link(path: &str) -> bool {
    path.starts_with("/dev/disk/")
}

/// Takes `-part3` off the end of a link.
fn split_part(link: &str) -> (&str, Option<u32>) {
    let parts = link.rsplit_once("-part").map(|(disk, number)| (disk, number.parse()));
    match parts {
        Some((disk, Ok(number))) => (disk, Some(number)),
        _ => (link, None),
    }
}

/// Whether a shell's pattern of `*`, `?` and `[…]` fits all of `name`. As in a shell, none of them
/// fits a `/`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    let Some(first) = rest.next() else { return name.is_empty() };
    let mut left = name.chars();
    match first {
        '*' => {
            let ends = name.char_indices().map(|(i, _)| i).chain([name.len()]);
            let mut ends = ends.take_while(|end| !name[..*end].contains('/'));
            ends.any(|end| matches(rest.as_str(), &name[end..]))
        }
        '?' => left.next().is_some_and(|c| c != '/') && matches(rest.as_str(), left.as_str()),
        '[' => {
            let Some((set, behind)) = rest.as_str().split_once(']') else { return false };
            left.next().is_some_and(|c| in_set(set, c)) && matches(behind, left.as_str())
        }
        _ => left.next() == Some(first) && matches(rest.as_str(), left.as_str()),
    }
}

/// Whether a set such as `a-cx` or `!0-9` holds a character.
fn in_set(set: &str, c: char) -> bool {
    let (set, negated) = match set.strip_prefix(['!', '^']) {
        Some(rest) => (rest, true),
        None => (set, false),
    };
    let chars: Vec<char> = set.chars().collect();
    let mut found = false;
    let mut i = 0;
    while let Some(from) = chars.get(i) {
        match (chars.get(i + 1), chars.get(i + 2)) {
            (Some('-'), Some(to)) => {
                found |= (*from..=*to).contains(&c);
                i += 3;
            }
            _ => {
                found |= *from == c;
                i += 1;
            }
        }
    }
    found != negated && c != '/'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name, fits) in [
            ("/dev/sd?", "/dev/sda", true),
            ("/dev/sd?", "/dev/sda1", false),
            ("/dev/sd[a-c]", "/dev/sdb", true),
            ("/dev/sd[!a-c]", "/dev/sdb", false),
            ("/dev/*", "/dev/md/0", false),
            ("/dev/disk/by-id/nvme-*_S1", "/dev/disk/by-id/nvme-Acme_S1", true),
            ("/dev/disk/by-id/nvme-*", "/dev/disk/by-path/nvme-x", false),
            ("/dev/sd[a", "/dev/sda", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn names_of_mappings_and_of_partitions_by_link() {
        assert_eq!(mapping_name("/dev/vg1/root"), "crypt_dev_vg1_root");
        assert_eq!(split_part("/dev/disk/by-id/x-part12"), ("/dev/disk/by-id/x", Some(12)));
        assert_eq!(split_part("/dev/disk/by-id/a-party"), ("/dev/disk/by-id/a-party", None));
    }
}
