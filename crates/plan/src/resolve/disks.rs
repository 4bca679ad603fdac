//! From a solved layout to steps: tables, volume groups, file systems, mounts.

use super::{Planner, image, step};
use crate::finding::Finding;
use crate::resolve::skips::Skipped;
use crate::storage::{self, StorageFacts};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::{Disk, Facts};
use hostwright_model::image::ReadyMade;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Step, Why};
use hostwright_model::storage::{Fate, OldLayer, StorageLayout, TableFate, Volume, VolumeGroup};
use hostwright_model::vars::Var;

/// Tasks behind the variables whose hooks run before disks are partitioned.
const DISK_HOOKS: [Phase; 3] = [Phase::Action, Phase::Install, Phase::Partition];

/// What is open as long as hooks may change what keeps the layout from being made.
pub(super) fn open(found: &[Diagnostic]) -> Vec<String> {
    let first = found.first().map(ToString::to_string).unwrap_or_default();
    vec![format!("the disks: hooks may change them or skip partition; by now there is {first}")]
}

impl Planner<'_> {
    /// The layout for these classes and this machine; `None` where no disk is written to.
    pub(super) fn layout(&self) -> Result<Option<StorageLayout>, Vec<Diagnostic>> {
        if !self.inputs.target.has_disks()
            || self.skipped(Phase::Partition) > Skipped::No
            || self.own_task(Phase::Partition).is_some()
        {
            return Ok(None);
        }
        let Some((_, file)) = self.space.disk_config_of(&self.classes) else {
            let message = format!("none of the classes has a disk_config: {}", self.classes);
            let cure = "add disk_config/CLASS for one of them";
            return Err(vec![
                Finding::error("no-disk-config", message, cure).at_file("disk_config"),
            ]);
        };
        if let Some(no_root) = storage::check_root(&file.config) {
            return Err(vec![no_root]);
        }
        storage::layout(&file.config, &self.storage_facts()?).map(Some)
    }

    /// The machine as far as storage is concerned, with what its variables say about it.
    pub(super) fn storage_facts(&self) -> Result<StorageFacts, Vec<Diagnostic>> {
        let var = |name: &str| {
            let vars = self.inputs.vars.as_ref();
            vars.and_then(|vars| vars.0.get(name)).map_or("", |var| var.value.as_str())
        };
        let words = |text: &str| -> Vec<String> {
            let words = text.split(|c: char| c == ',' || c.is_whitespace());
            words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let is_set = |value: &str| !matches!(value, "" | "0");
        let initial = words(var("FAI_FLAGS")).iter().any(|flag| flag == "initial");
        Ok(StorageFacts {
            hostname: self.inputs.hostname.clone(),
            is_first_install: initial || is_set(var("flag_initial")),
            ignored_groups: words(var("SS_IGNORE_VG")),
            fai_bugs: self.inputs.rules.fai_bugs,
            ..StorageFacts::from(&self.chosen_disks()?)
        })
    }

    /// The facts with those disks, in that order, that user code has put into `disklist`; else with
    /// those that the machine file chooses.
    fn chosen_disks(&self) -> Result<Facts, Vec<Diagnostic>> {
        let facts = &self.inputs.facts;
        let file = self.space.machine_file_of(&self.inputs.hostname, &self.classes);
        let file = file.filter(|file| file.chooses_disks());
        let chosen = match (&self.inputs.overrides.disk_list, file) {
            (Some(list), _) => self.listed(list)?,
            (None, Some(file)) => file.choose(&facts.disks).map_err(|mistake| vec![*mistake])?,
            (None, None) => return Ok(facts.clone()),
        };
        let chosen = chosen.into_iter().map(|disk| Disk { removable: false, ..disk.clone() });
        Ok(Facts { disks: chosen.collect(), ..facts.clone() })
    }

    /// The disks that `disklist` names.
    fn listed(&self, list: &Var) -> Result<Vec<&Disk>, Vec<Diagnostic>> {
        let disks = &self.inputs.facts.disks;
        let names = list.value.split_whitespace();
        let find = |name: &str| {
            let name = name.strip_prefix("/dev/").unwrap_or(name);
            disks.iter().find(|disk| disk.name == name).ok_or_else(|| {
                let known: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
                let message = format!("disklist names '{name}', which is no disk of this machine");
                let cure = format!("the disks are: {}", known.join(", "));
                let finding = Finding::error("unknown-disk", message, cure);
                vec![self.space.at_variable(finding, "disklist", list)]
            })
        };
        names.map(find).collect()
    }

    /// True while hooks are to run that may do to disks what the layout needs, or skip partition.
    pub(super) fn may_still_change_disks(&self) -> bool {
        let is_open = |phase: &Phase| {
            !self.inputs.discovered.hooks_done.contains(phase)
                && !self.hook_steps(*phase).is_empty()
        };
        self.inputs.target.has_disks() && DISK_HOOKS.iter().any(is_open)
    }

    /// Everything behind the variables up to the last hook that may change disks.
    pub(super) fn plan_disk_hooks(&mut self) -> Result<(), Vec<Diagnostic>> {
        self.hooks(Phase::Action);
        self.body(Phase::Action, Vec::new(), false);
        self.hooks(Phase::Install);
        if !self.hook_steps(Phase::Partition).is_empty() {
            self.prepare(None)?;
            self.hooks(Phase::Partition);
        }
        Ok(())
    }

    /// What has to be done before anything can be lost.
    fn prepare(&mut self, layout: Option<&StorageLayout>) -> Result<(), Vec<Diagnostic>> {
        let mut steps = Vec::new();
        if let Some(image) = self.inputs.target.image() {
            self.refuse_missing_classes(image)?;
            self.refuse_contradictions(image)?;
            image::refuse_large_image(image, layout)?;
            steps.push(image::fetch(image));
        }
        let made = layout.and_then(|layout| self.ready_made_root(layout));
        steps.extend(made.map(|(_, made)| image::fetch(&made.blocks)));
        self.body(Phase::Install, steps, false);
        Ok(())
    }

    /// The phases install, partition and mountdisks.
    pub(super) fn plan_disks(
        &mut self,
        layout: Option<&StorageLayout>,
    ) -> Result<(), Vec<Diagnostic>> {
        self.hooks(Phase::Install);
        self.prepare(layout)?;
        self.hooks(Phase::Partition);
        // Behind the hooks, which may choose other disks.
        let steps = layout.map(|layout| {
            let mut steps = vec![self.confirm(layout)];
            steps.extend(self.keep_old_etc(layout));
            let made = self.ready_made_root(layout);
            steps.extend(partition_steps(layout, &self.inputs.facts.storage, made));
            steps
        });
        self.body(Phase::Partition, steps.unwrap_or_default(), false);
        self.hooks(Phase::Mountdisks);
        let steps = match layout {
            Some(layout) if self.does(Phase::Partition) => {
                mount_steps(layout, self.inputs.target.is_own_machine())
            }
            _ => vec![self.mount_fstab()],
        };
        self.body(Phase::Mountdisks, steps, false);
        Ok(())
    }

    /// Who partitions in FAI's place says in `fstab` of the log directory what is to be mounted.
    fn mount_fstab(&self) -> Step {
        let skip = self.inputs.skips.iter().find(|skip| skip.phase == Phase::Partition);
        let why = match skip {
            Some(skip) => format!("{} skips partition", skip.by),
            None => "the space partitions by itself".to_owned(),
        };
        step("mount/fstab", Action::MountFstab, Why::because(why))
    }

    fn confirm(&self, layout: &StorageLayout) -> Step {
        let is_used =
            |disk: &&Disk| layout.disks.iter().any(|planned| planned.device == disk.path());
        let disks = self.inputs.facts.disks.iter().filter(is_used).cloned().collect();
        let why = Why::because("the plan is for these disks and no others");
        step("disks", Action::ConfirmDisks { disks }, why)
    }
}

/// `vg1/root` for `/dev/vg1/root`.
fn short(device: &str) -> &str {
    device.strip_prefix("/dev/").unwrap_or(device)
}

pub(crate) fn partition_steps(
    layout: &StorageLayout,
    existing: &ExistingStorage,
    made: Option<(&Volume, &ReadyMade)>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    steps.extend(save_metadata(layout, existing));
    steps.extend(layout.takedown.iter().map(take_down));
    steps.extend(resizes(layout, Resizing::Shrink));
    let written = layout.disks.iter().filter(|disk| disk.table_fate == TableFate::Write);
    for disk in written {
        let id = format!("partition/{}", short(&disk.device));
        steps.push(step(id, Action::PartitionTable { disk: disk.clone() }, disk.why.clone()));
    }
    steps.extend(stacked_steps(layout));
    steps.extend(resizes(layout, Resizing::Grow));
    for volume in layout.volumes.iter().filter(|volume| is_formatted(volume)) {
        let id = match &volume.btrfs {
            Some(btrfs) if btrfs.shares => {
                format!("subvolume/{}/{}", short(&volume.device), btrfs.subvolume)
            }
            _ => format!("format/{}", short(&volume.device)),
        };
        let made = made.filter(|(root, _)| root.device == volume.device);
        let ready_made = made.map(|(_, made)| Box::new(made.clone()));
        let action = Action::Format { volume: volume.clone(), ready_made };
        steps.push(step(id, action, volume.why.clone()));
    }
    let why = Why::because("hooks and scripts read them, fstab is installed later");
    steps.push(step("storage-files", Action::StorageFiles { layout: layout.clone() }, why));
    steps
}

fn is_formatted(volume: &Volume) -> bool {
    let is_remote = matches!(volume.file_system.as_deref(), None | Some("tmpfs" | "nfs"));
    !is_remote && matches!(volume.fate, Fate::Create | Fate::Reformat)
}

/// Everything that is changed and has something worth saving; nothing for blank disks.
fn save_metadata(layout: &StorageLayout, existing: &ExistingStorage) -> Option<Step> {
    let has_something = |device: &String| {
        existing.tables.iter().any(|table| table.device == *device)
            || existing.signatures.iter().any(|signature| signature.device == *device)
    };
    let disks = layout.disks.iter().map(|disk| disk.device.clone());
    let former = layout.disks.iter().flat_map(|disk| &disk.before);
    let partitions = former.map(|former| former.partition.device.clone());
    let mut devices: Vec<String> = disks.chain(partitions).filter(has_something).collect();
    devices.sort();
    devices.dedup();
    let why = Why::because("a failure before anything is formatted can be undone");
    (!devices.is_empty()).then(|| step("save-metadata", Action::SaveMetadata { devices }, why))
}

fn take_down(layer: &OldLayer) -> Step {
    let name = match layer {
        OldLayer::Swap { device } => format!("swap/{}", short(device)),
        OldLayer::Mapping { name } => format!("mapping/{name}"),
        OldLayer::LogicalVolume { group, name } => format!("lv/{group}/{name}"),
        // Names of groups need not be unique.
        OldLayer::VolumeGroup { name, uuid, .. } => format!("vg/{name}/{uuid}"),
        OldLayer::Array { uuid, .. } => format!("array/{uuid}"),
        OldLayer::Signatures { device } => format!("signatures/{}", short(device)),
    };
    let why = Why::because("an earlier life of the disks left it");
    step(format!("take-down/{name}"), Action::TakeDown { layer: layer.clone() }, why)
}

#[derive(Clone, Copy, PartialEq)]
enum Resizing {
    /// Before the device becomes smaller.
    Shrink,
    /// Once the device has become larger.
    Grow,
}

fn resizes(layout: &StorageLayout, which: Resizing) -> Vec<Step> {
    let resized = layout.volumes.iter().filter_map(|volume| {
        let Fate::Resize { from_bytes } = volume.fate else { return None };
        let way = if volume.size_bytes < from_bytes { Resizing::Shrink } else { Resizing::Grow };
        let file_system = volume.file_system.clone().filter(|_| way == which)?;
        let size_bytes = (way == Resizing::Shrink).then_some(volume.size_bytes);
        let device = volume.device.clone();
        let id = format!("resize/{}", short(&device));
        let action = Action::ResizeFileSystem { device, file_system, size_bytes };
        Some(step(id, action, volume.why.clone()))
    });
    resized.collect()
}

/// Arrays, encrypted devices and volume groups in an order in which each finds its devices.
fn stacked_steps(layout: &StorageLayout) -> Vec<Step> {
    let mut parts: Vec<(Vec<String>, Vec<String>, Vec<Step>)> = Vec::new();
    for array in &layout.arrays {
        let id = format!("raid/{}", short(&array.device));
        let step = step(id, Action::RaidArray { array: array.clone() }, array.why.clone());
        let below = array.members.iter().filter_map(|member| member.device.clone()).collect();
        parts.push((below, vec![array.device.clone()], vec![step]));
    }
    for encrypted in &layout.encrypted {
        let id = format!("encrypt/{}", encrypted.name);
        let action = Action::Encrypt { encrypted: encrypted.clone() };
        let below = vec![encrypted.device.clone()];
        let step = step(id, action, encrypted.why.clone());
        parts.push((below, vec![encrypted.mapped_device.clone()], vec![step]));
    }
    for group in &layout.volume_groups {
        let made = group.logical_volumes.iter().map(|volume| volume.device.clone()).collect();
        parts.push((group.physical_volumes.clone(), made, group_steps(group)));
    }
    let mut open: Vec<String> = parts.iter().flat_map(|(_, made, _)| made.clone()).collect();
    let mut steps = Vec::new();
    while !parts.is_empty() {
        let is_ready = |below: &[String]| below.iter().all(|device| !open.contains(device));
        let next = parts.iter().position(|(below, ..)| is_ready(below));
        // The layout refuses circles; were there one, the order of the file would be as good.
        let (_, made, mut own) = parts.remove(next.unwrap_or(0));
        open.retain(|device| !made.contains(device));
        steps.append(&mut own);
    }
    steps
}

fn group_steps(group: &VolumeGroup) -> Vec<Step> {
    let id = format!("vg/{}", group.name);
    let mut steps = vec![step(id, Action::VolumeGroup { group: group.clone() }, group.why.clone())];
    for volume in &group.logical_volumes {
        let id = format!("lv/{}/{}", group.name, volume.name);
        let action = Action::LogicalVolume { group: group.name.clone(), volume: volume.clone() };
        steps.push(step(id, action, volume.why.clone()));
    }
    steps
}

/// Mounts from the root outwards, then swap, where this machine is the one that it is for.
pub(crate) fn mount_steps(layout: &StorageLayout, is_own_machine: bool) -> Vec<Step> {
    let mut mounted: Vec<(&str, &Volume)> = layout
        .volumes
        .iter()
        // FAI mounts these two in the installed system only.
        .filter(|volume| !matches!(volume.file_system.as_deref(), Some("tmpfs" | "nfs")))
        .filter_map(|volume| Some((volume.mount_point.as_deref()?, volume)))
        .collect();
    let depth = |point: &str| point.split('/').filter(|name| !name.is_empty()).count();
    mounted.sort_by_key(|(point, _)| (depth(point), *point));
    let mounts = mounted.into_iter().map(|(point, volume)| {
        let id = format!("mount/target{}", point.trim_end_matches('/'));
        step(id, Action::Mount { volume: volume.clone() }, volume.why.clone())
    });
    let is_swap =
        |volume: &&Volume| is_own_machine && volume.file_system.as_deref() == Some("swap");
    let swaps = layout.volumes.iter().filter(is_swap).map(|volume| {
        let id = format!("swap/{}", short(&volume.device));
        step(id, Action::SwapOn { device: volume.device.clone() }, volume.why.clone())
    });
    mounts.chain(swaps).collect()
}
