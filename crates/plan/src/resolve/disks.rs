//! From a solved layout to steps: tables, volume groups, file systems, mounts.

use super::{Planner, step};
use crate::finding::Finding;
use crate::resolve::skips::Skipped;
use crate::storage::{self, StorageFacts};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::facts::Disk;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Stage, Step, Why};
use hostwright_model::storage::{StorageLayout, Volume};

impl Planner<'_> {
    /// The layout for these classes and this machine; `None` where no disk is written to.
    pub(super) fn layout(&self) -> Result<Option<StorageLayout>, Vec<Diagnostic>> {
        if !self.inputs.target.has_disks() || self.skipped(Phase::Partition) == Skipped::Whole {
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
        let facts = StorageFacts::from(&self.inputs.facts);
        storage::layout(&file.config, &facts).map(Some)
    }

    /// The phases install, partition and mountdisks. `preparation` has to be done before anything
    /// can be lost.
    pub(super) fn plan_disks(
        &mut self,
        layout: Option<&StorageLayout>,
        preparation: Vec<Step>,
    ) -> Result<(), Vec<Diagnostic>> {
        self.hooks(Phase::Install);
        let mut steps = preparation;
        steps.extend(layout.map(|layout| self.confirm(layout)));
        self.body(Phase::Install, steps, false);
        self.hooks(Phase::Partition);
        if let Some(layout) = layout {
            self.body(Phase::Partition, partition_steps(layout), false);
        }
        self.hooks(Phase::Mountdisks);
        match layout {
            _ if self.skipped(Phase::Mountdisks) > Skipped::No => {}
            Some(layout) if self.skipped(Phase::Partition) == Skipped::No => {
                let (phase, steps) = (Phase::Mountdisks, mount_steps(layout));
                self.stages.push(Stage { phase, steps, barrier: false });
            }
            _ => return Err(self.mounts_without_partitions()),
        }
        Ok(())
    }

    /// Who skips `partition` knows what is on the disks, and has to mount it.
    fn mounts_without_partitions(&self) -> Vec<Diagnostic> {
        let skip = self.inputs.skips.iter().find(|skip| skip.phase == Phase::Partition);
        let by = skip.map_or("hooks", |skip| skip.by.as_str());
        let message = format!("{by} skips partition, so nothing is known that could be mounted");
        let cure = "let the same hook mount the file systems below $target and skip mountdisks";
        let finding = Finding::error("mounts-without-partitions", message, cure);
        vec![finding.at_file(&by.replacen("hook/", "hooks/", 1))]
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

/// Mounts from the root outwards, then swap.
fn mount_steps(layout: &StorageLayout) -> Vec<Step> {
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
    let is_swap = |volume: &&Volume| volume.file_system.as_deref() == Some("swap");
    let swaps = layout.volumes.iter().filter(is_swap).map(|volume| {
        let id = format!("swap/{}", short(&volume.device));
        step(id, Action::SwapOn { device: volume.device.clone() }, volume.why.clone())
    });
    mounts.chain(swaps).collect()
}
