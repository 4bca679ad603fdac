//! Whether what earlier lives left is taken apart in a safe order, and nothing else with it.

use super::Auditor;
use hostwright_model::ids::StepId;
use hostwright_model::plan::{Action, Plan};
use hostwright_model::storage::OldLayer;
use std::collections::BTreeSet;

/// Layers are at most this high; metadata that refers to itself ends there.
const HEIGHT_MAX: u32 = 16;

/// Partitions that the tables of a plan keep with their content.
pub(super) fn kept_partitions(plan: &Plan) -> BTreeSet<String> {
    let disks = plan.steps().filter_map(|(_, step)| match &step.action {
        Action::PartitionTable { disk } => Some(disk),
        _ => None,
    });
    let partitions = disks.flat_map(|disk| &disk.partitions);
    let kept = partitions.filter(|partition| partition.fate.keeps_content());
    kept.map(|partition| partition.device.clone()).collect()
}

impl Auditor<'_> {
    pub(super) fn take_down(&mut self, id: &StepId, layer: &OldLayer) {
        self.demand(self.state.has_saved, "plan-not-saved", id, "nothing was saved before");
        let (below, above) = self.neighbours(layer);
        let mut bases = BTreeSet::new();
        below.iter().for_each(|device| self.bases(device, HEIGHT_MAX, &mut bases));
        for (disk, device) in bases {
            let is_ours = self.state.confirmed.contains_key(&disk);
            let message = format!("{device} is on {disk}, which was not confirmed");
            self.demand(is_ours, "plan-takes-foreign", id, message);
            // A logical volume may go although its group and its disks stay.
            let may_stay = matches!(layer, OldLayer::LogicalVolume { .. });
            let is_kept = self.state.keeps.contains(&device) && !may_stay;
            let is_on_top = below.contains(&device) && is_kept;
            let message = format!("{device} has to be kept");
            self.demand(!is_on_top, "plan-destroys-kept", id, message);
        }
        for device in above {
            self.demand_free(id, &device);
        }
        self.state.taken.push(layer.clone());
    }

    /// The devices that a layer lies on, and those that it makes.
    fn neighbours(&self, layer: &OldLayer) -> (Vec<String>, Vec<String>) {
        let storage = &self.inputs.facts.storage;
        let group = |name: &str| storage.groups.iter().find(|group| group.name == name);
        match layer {
            OldLayer::Swap { device } => (vec![device.clone()], Vec::new()),
            OldLayer::Signatures { device } => (vec![device.clone()], vec![device.clone()]),
            OldLayer::Mapping { name } => {
                let mapping = storage.mappings.iter().find(|mapping| mapping.name == *name);
                let below = mapping.map(|mapping| mapping.devices.clone()).unwrap_or_default();
                (below, vec![format!("/dev/mapper/{name}")])
            }
            OldLayer::LogicalVolume { group: name, name: volume } => {
                let below = group(name).map(|group| group.physical_volumes.clone());
                (below.unwrap_or_default(), vec![format!("/dev/{name}/{volume}")])
            }
            OldLayer::VolumeGroup { uuid, physical_volumes, .. } => {
                let old = storage.groups.iter().find(|group| group.uuid == *uuid);
                let volumes = old.map(|group| group.logical_volumes.as_slice()).unwrap_or_default();
                let above = volumes.iter().map(|volume| volume.device.clone()).collect();
                (physical_volumes.clone(), above)
            }
            OldLayer::Array { device, members, .. } => {
                (members.clone(), device.iter().cloned().collect())
            }
        }
    }

    /// The disks and partitions at the bottom of a device, as (disk, device).
    fn bases(&self, device: &str, height: u32, found: &mut BTreeSet<(String, String)>) {
        let storage = &self.inputs.facts.storage;
        let on_table = storage
            .tables
            .iter()
            .find(|table| table.partitions.iter().any(|partition| partition.device == device));
        let below: Vec<String> = if let Some(table) = on_table {
            found.insert((table.device.clone(), device.to_owned()));
            return;
        } else if let Some(array) =
            storage.arrays.iter().find(|array| array.device.as_deref() == Some(device))
        {
            array.members.clone()
        } else if let Some(group) = storage
            .groups
            .iter()
            .find(|group| group.logical_volumes.iter().any(|volume| volume.device == device))
        {
            group.physical_volumes.clone()
        } else if let Some(mapping) = storage
            .mappings
            .iter()
            .find(|mapping| device == format!("/dev/mapper/{}", mapping.name))
        {
            mapping.devices.clone()
        } else {
            found.insert((device.to_owned(), device.to_owned()));
            return;
        };
        if height > 0 {
            below.iter().for_each(|device| self.bases(device, height - 1, found));
        }
    }

    /// Nothing of an earlier life may lie on a device any more when it gets something new.
    pub(super) fn demand_free(&mut self, id: &StepId, device: &str) {
        let storage = &self.inputs.facts.storage;
        let mut left = Vec::new();
        for array in storage.arrays.iter().filter(|old| old.members.iter().any(|m| m == device)) {
            let is_gone = |layer: &OldLayer| matches!(layer, OldLayer::Array { uuid, .. } if *uuid == array.uuid);
            if !self.state.taken.iter().any(is_gone) {
                left.push(format!("the array {}", array.uuid));
            }
        }
        for group in &storage.groups {
            let is_gone = |layer: &OldLayer| matches!(layer, OldLayer::VolumeGroup { uuid, .. } if *uuid == group.uuid);
            let is_on_it = group.physical_volumes.iter().any(|pv| pv == device);
            if is_on_it && !self.state.taken.iter().any(is_gone) {
                left.push(format!("the volume group {}", group.name));
            }
        }
        for mapping in &storage.mappings {
            let layer = OldLayer::Mapping { name: mapping.name.clone() };
            let is_on_it = mapping.devices.iter().any(|below| below == device);
            if is_on_it && !self.state.taken.contains(&layer) {
                left.push(format!("the mapping {}", mapping.name));
            }
        }
        for used in storage.in_use.iter().filter(|used| used.device == device) {
            let layer = OldLayer::Swap { device: device.to_owned() };
            if used.mount_point.is_some() || !self.state.taken.contains(&layer) {
                left.push("the running system".to_owned());
            }
        }
        for what in left {
            let message = format!("{what} still uses {device}");
            self.object("plan-takedown-order", Some(id), message);
        }
    }
}
