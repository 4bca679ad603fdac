//! From a disk_config and a machine to a [`StorageLayout`].

use super::ast::{DeviceName, DiskConfig, DiskName, DiskStanza, GroupLine, MountPoint, VolumeSpec};
use super::boot::boot_devices;
use super::check::{check, duplicate_disk};
use super::code::Code;
use super::file_system::{content, is_fat};
use super::lvm::{self, Room};
use super::machine::{StorageDisk, StorageFacts, partition_device};
use super::numbering::{Content, Numbered, number};
use super::solve::{Extent, place};
use super::source::{Problem, Span, Spanned};
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::storage::{
    DiskLayout, Fate, FstabKey, LogicalVolume, Partition, PartitionContent, PartitionKind,
    StorageLayout, TableFate, TableKind, Volume, VolumeGroup,
};
use std::collections::BTreeMap;

/// Lays `config` out on a machine. All errors are returned, of [`check`] and of the machine; the
/// warnings of both are left to [`super::examine`].
pub fn layout(config: &DiskConfig, facts: &StorageFacts) -> Result<StorageLayout, Vec<Diagnostic>> {
    let mut errors = check(config);
    errors.retain(|diagnostic| diagnostic.severity == Severity::Error);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut architect = Architect { config, facts, placed: Vec::new(), problems: Vec::new() };
    let layout = architect.lay_out();
    if architect.problems.is_empty() {
        return Ok(layout);
    }
    let mut problems = architect.problems;
    problems.sort_by_key(|problem| problem.at);
    Err(problems.into_iter().map(|problem| config.source.diagnose(problem)).collect())
}

/// A stanza on its disk.
struct Placed<'a> {
    stanza: &'a DiskStanza,
    disk: &'a StorageDisk,
    numbered: Vec<Numbered<'a>>,
    extents: BTreeMap<u32, Extent>,
}

struct Architect<'a> {
    config: &'a DiskConfig,
    facts: &'a StorageFacts,
    placed: Vec<Placed<'a>>,
    problems: Vec<Problem>,
}

impl<'a> Architect<'a> {
    fn lay_out(&mut self) -> StorageLayout {
        let config = self.config;
        for stanza in &config.disks {
            if let Err(problem) = self.place_stanza(stanza) {
                self.problems.push(problem);
            }
        }
        if !self.problems.is_empty() {
            return StorageLayout::default();
        }
        let mut used: BTreeMap<String, Span> = BTreeMap::new();
        let mut volumes = Vec::new();
        let mut volume_groups = Vec::new();
        for group in config.groups() {
            match self.group(group, &mut used, &mut volumes) {
                Ok(group) => volume_groups.push(group),
                Err(problem) => self.problems.push(problem),
            }
        }
        let disks: Vec<DiskLayout> =
            self.placed.iter().map(|disk| self.disk(disk, &used)).collect();
        volumes.extend(self.placed.iter().flat_map(|disk| self.partition_volumes(disk)));
        volumes.sort_by_key(|volume| volume.why.line);
        let boot = boot_devices(config, &disks, &volumes);
        StorageLayout { disks, volume_groups, volumes, boot, ..StorageLayout::default() }
    }

    fn place_stanza(&mut self, stanza: &'a DiskStanza) -> Result<(), Problem> {
        let disk = self.find_disk(&stanza.disk)?;
        let twice = self.placed.iter().find(|other| other.disk.name == disk.name);
        if let Some(earlier) = twice {
            return Err(duplicate_disk(stanza.disk.at, earlier.stanza.disk.at));
        }
        let (numbered, _) = number(stanza);
        let extents = place(stanza, &numbered, disk, self.facts.memory_bytes)?;
        self.placed.push(Placed { stanza, disk, numbered, extents });
        Ok(())
    }

    fn find_disk(&self, name: &Spanned<DiskName>) -> Result<&'a StorageDisk, Problem> {
        let disks = &self.facts.disks;
        let found = match &name.value {
            DiskName::Nth(number) => disks.get((*number as usize).wrapping_sub(1)),
            DiskName::Device(device) => disks.iter().find(|disk| disk.device() == *device),
        };
        found.ok_or_else(|| no_such_disk(disks, name))
    }

    fn disk(&self, placed: &Placed<'_>, used: &BTreeMap<String, Span>) -> DiskLayout {
        let device = placed.disk.device();
        let partition = |numbered: &Numbered<'_>| {
            let path = partition_device(&device, numbered.number);
            let is_physical_volume = used.contains_key(&path);
            self.partition(placed, numbered, path, is_physical_volume)
        };
        DiskLayout {
            model: None,
            serial: None,
            before: Vec::new(),
            size_bytes: placed.disk.size_bytes,
            sector_bytes: placed.disk.sector_bytes,
            table: placed.stanza.table,
            table_fate: TableFate::Write,
            partitions: placed.numbered.iter().map(partition).collect(),
            why: self.config.why(placed.stanza.disk.at),
            device,
        }
    }

    fn partition(
        &self,
        placed: &Placed<'_>,
        numbered: &Numbered<'_>,
        device: String,
        is_physical_volume: bool,
    ) -> Partition {
        let Extent { start, end } = placed.extents[&numbered.number];
        let msdos = placed.stanza.table == TableKind::Msdos;
        let (name, content) = match numbered.content {
            Content::Extended(_) => (None, PartitionContent::Extended),
            Content::BiosBoot(_) => (None, PartitionContent::BiosBoot),
            Content::Line(line) if is_physical_volume => (line.name.clone(), PartitionContent::Lvm),
            Content::Line(line) if is_efi_system(&line.volume) => {
                (line.name.clone(), PartitionContent::EfiSystem)
            }
            Content::Line(line) => {
                (line.name.clone(), content(line.volume.file_system.value.as_deref()))
            }
        };
        let bootable = placed.stanza.bootable.as_ref().map(|number| number.value);
        Partition {
            number: numbered.number,
            device,
            kind: numbered.kind(),
            start_bytes: start,
            end_bytes: end,
            name: name.filter(|_| !msdos),
            content,
            bootable: msdos && bootable == Some(numbered.number),
            fate: Fate::Create,
            existing: None,
            why: self.config.why(numbered.at()),
        }
    }

    fn partition_volumes(&self, placed: &Placed<'_>) -> Vec<Volume> {
        let device = placed.disk.device();
        let lines = placed.numbered.iter().filter_map(|numbered| match numbered.content {
            Content::Line(line) => Some((numbered.number, line)),
            Content::Extended(_) | Content::BiosBoot(_) => None,
        });
        let volumes = lines.filter_map(|(number, line)| {
            let size_bytes = placed.extents[&number].size_bytes();
            let path = partition_device(&device, number);
            let key = placed.stanza.fstab_key;
            let mut volume = self.volume(&line.volume, line.at, path, size_bytes, key)?;
            volume.partition_name =
                line.name.clone().filter(|_| placed.stanza.table != TableKind::Msdos);
            Some(volume)
        });
        volumes.collect()
    }

    /// `None` where nothing is to be made or mounted.
    fn volume(
        &self,
        spec: &VolumeSpec,
        at: Span,
        device: String,
        size_bytes: u64,
        fstab_key: FstabKey,
    ) -> Option<Volume> {
        let file_system = spec.file_system.value.clone();
        if file_system.is_none() && spec.mount_point.value == MountPoint::Nowhere {
            return None;
        }
        Some(Volume {
            device,
            size_bytes,
            file_system,
            mount_point: spec.mount_point.value.path().map(str::to_owned),
            mount_options: spec.mount_options.value.clone(),
            create_options: spec.create_options.clone(),
            tune_options: spec.tune_options.value.clone(),
            fstab_key,
            partition_name: None,
            btrfs: None,
            fate: Fate::Create,
            why: self.config.why(at),
        })
    }

    fn group(
        &self,
        group: &GroupLine,
        used: &mut BTreeMap<String, Span>,
        volumes: &mut Vec<Volume>,
    ) -> Result<VolumeGroup, Problem> {
        let name = &group.name.value;
        let mut physical_volumes = Vec::new();
        let mut physical_bytes = Vec::new();
        for device in &group.devices {
            let (path, size_bytes) = self.physical_volume(device)?;
            if let Some(earlier) = used.insert(path.clone(), device.at) {
                let message =
                    format!("{path} is a physical volume by line {} already", earlier.line);
                let cure = "name each partition once";
                return Err(Problem::error(Code::DeviceUsedTwice, device.at, message, cure));
            }
            physical_volumes.push(path);
            physical_bytes.push(size_bytes);
        }
        let of_group = |line: &&super::ast::LogicalVolumeLine| line.group.value == *name;
        let lines: Vec<_> = self.config.logical_volumes().filter(of_group).collect();
        let room = Room { group, physical_bytes, memory_bytes: self.facts.memory_bytes };
        let sizes = lvm::sizes(&room, &lines)?;
        // FAI keeps one fstabkey for all groups: that of the last stanza.
        let key = self.config.lvm.last().map_or(FstabKey::Device, |stanza| stanza.fstab_key);
        let mut logical_volumes = Vec::new();
        for (line, size_bytes) in lines.into_iter().zip(sizes) {
            let device = format!("/dev/{name}/{}", line.name.value);
            let real_bytes = lvm::rounded_to_extents(group, size_bytes);
            let at = line.group.at;
            volumes.extend(self.volume(&line.volume, at, device.clone(), real_bytes, key));
            logical_volumes.push(LogicalVolume {
                name: line.name.value.clone(),
                device,
                size_bytes,
                create_options: line.lv_create_options.clone(),
                fate: Fate::Create,
                why: self.config.why(at),
            });
        }
        Ok(VolumeGroup {
            name: name.clone(),
            physical_volumes,
            pv_create_options: group.pv_create_options.clone(),
            vg_create_options: group.vg_create_options.clone(),
            logical_volumes,
            fate: Fate::Create,
            why: self.config.why(group.name.at),
        })
    }

    /// Device node and size of a partition that a `vg` line names.
    fn physical_volume(&self, name: &Spanned<DeviceName>) -> Result<(String, u64), Problem> {
        let path = match &name.value {
            DeviceName::Device(path) => path.clone(),
            DeviceName::Partition { disk, number } => {
                let disk = self.find_disk(&Spanned::new(DiskName::Nth(*disk), name.at))?;
                partition_device(&disk.device(), *number)
            }
        };
        if self.facts.disks.iter().any(|disk| disk.device() == path) {
            let cure = "give the disk a stanza with one partition, and name that";
            let feature = "a whole disk as a physical volume";
            return Err(Problem::not_supported(feature, name.at, cure));
        }
        for placed in &self.placed {
            let device = placed.disk.device();
            for numbered in &placed.numbered {
                let Content::Line(line) = numbered.content else { continue };
                if partition_device(&device, numbered.number) == path {
                    check_free(&line.volume, &path, name.at)?;
                    return Ok((path, placed.extents[&numbered.number].size_bytes()));
                }
            }
        }
        let message = format!("no line of this file makes a partition {path}");
        let cure = "name a partition that this file makes; others are never touched";
        Err(Problem::error(Code::NoSuchPartition, name.at, message, cure))
    }
}

/// A physical volume holds nothing else.
fn check_free(volume: &VolumeSpec, path: &str, at: Span) -> Result<(), Problem> {
    let nowhere = volume.mount_point.value == MountPoint::Nowhere;
    if nowhere && volume.file_system.value.is_none() {
        return Ok(());
    }
    let message = format!(
        "{path} cannot be a physical volume: line {} puts a file system there",
        volume.file_system.at.line
    );
    let cure = "write - for its mount point and its file system, or name another partition";
    Err(Problem::error(Code::DeviceUsedTwice, at, message, cure))
}

/// FAI flags partition 1 of a GPT instead, whichever one the firmware is to read.
fn is_efi_system(volume: &VolumeSpec) -> bool {
    match volume.mount_point.value.path() {
        Some("/boot/efi") => true,
        Some("/boot") => is_fat(volume.file_system.value.as_deref()),
        _ => false,
    }
}

fn no_such_disk(disks: &[StorageDisk], name: &Spanned<DiskName>) -> Problem {
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    let message = match &name.value {
        DiskName::Nth(number) => format!("the machine has no disk number {number}"),
        DiskName::Device(device) => format!("the machine has no disk {device}"),
    };
    let cure = match names.is_empty() {
        true => "no fixed disk was found; check cables, controllers and drivers".to_owned(),
        false => format!("its disks are {}", names.join(", ")),
    };
    Problem::error(Code::NoSuchDisk, name.at, message, cure)
}

/// True for kinds that hold data of their own; the extended partition holds only others.
pub(super) fn holds_data(partition: &Partition) -> bool {
    partition.kind != PartitionKind::Extended
}
