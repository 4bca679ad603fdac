//! From a solved layout to steps: tables, volume groups, file systems, mounts.

use super::{Planner, step};
use crate::finding::Finding;
use crate::resolve::skips::Skipped;
use crate::storage::{self, StorageFacts};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::facts::{Disk, Facts};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Step, Why};
use hostwright_model::storage::{StorageLayout, Volume};

impl Planner<'_> {
    /// The layout for these classes and this machine; `None` where no disk is written to.
    pub(super) fn layout(&self) -> Result<Option<StorageLayout>, Vec<Diagnostic>> {
        if !self.inputs.target.has_disks()
            || self.skipped(Phase::Partition) == Skipped::Whole
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

    /// The machine with those disks, in that order, that user code has put into `disklist`.
    fn storage_facts(&self) -> Result<StorageFacts, Vec<Diagnostic>> {
        let facts = &self.inputs.facts;
        let Some(list) = &self.inputs.overrides.disk_list else {
            return Ok(StorageFacts::from(facts));
        };
        let names = list.value.split_whitespace();
        let names = names.map(|name| name.strip_prefix("/dev/").unwrap_or(name));
        let mut disks = Vec::new();
        for name in names {
            let Some(disk) = facts.disks.iter().find(|disk| disk.name == name) else {
                let known: Vec<&str> = facts.disks.iter().map(|disk| disk.name.as_str()).collect();
                let message = format!("disklist names '{name}', which is no disk of this machine");
                let cure = format!("the disks are: {}", known.join(", "));
                let finding = Finding::error("unknown-disk", message, cure);
                return Err(vec![self.space.at_variable(finding, "disklist", list)]);
            };
            disks.push(Disk { removable: false, ..disk.clone() });
        }
        Ok(StorageFacts::from(&Facts { disks, ..facts.clone() }))
    }

    /// The phases install, partition and mountdisks. `preparation` has to be done before anything
    /// can be lost.
    pub(super) fn plan_disks(&mut self, layout: Option<&StorageLayout>, preparation: Vec<Step>) {
        self.hooks(Phase::Install);
        self.body(Phase::Install, preparation, false);
        self.hooks(Phase::Partition);
        // Behind the hooks, which may choose other disks.
        let steps = layout.map(|layout| {
            let mut steps = vec![self.confirm(layout)];
            steps.extend(partition_steps(layout));
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

fn partition_steps(layout: &StorageLayout) -> Vec<Step> {
    let mut steps = Vec::new();
    for disk in &layout.disks {
        let id = format!("partition/{}", short(&disk.device));
        steps.push(step(id, Action::PartitionTable { disk: disk.clone() }, disk.why.clone()));
    }
    for group in &layout.volume_groups {
        let id = format!("vg/{}", group.name);
        steps.push(step(id, Action::VolumeGroup { group: group.clone() }, group.why.clone()));
        for volume in &group.logical_volumes {
            let id = format!("lv/{}/{}", group.name, volume.name);
            let action =
                Action::LogicalVolume { group: group.name.clone(), volume: volume.clone() };
            steps.push(step(id, action, volume.why.clone()));
        }
    }
    for volume in layout.volumes.iter().filter(|volume| volume.file_system.is_some()) {
        let id = format!("format/{}", short(&volume.device));
        steps.push(step(id, Action::Format { volume: volume.clone() }, volume.why.clone()));
    }
    let why = Why::because("hooks and scripts read them, fstab is installed later");
    steps.push(step("storage-files", Action::StorageFiles { layout: layout.clone() }, why));
    steps
}

/// Mounts from the root outwards, then swap, where this machine is the one that it is for.
fn mount_steps(layout: &StorageLayout, is_own_machine: bool) -> Vec<Step> {
    let mut mounted: Vec<(&str, &Volume)> = layout
        .volumes
        .iter()
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
