//! What probes would see of a simulated machine.

use super::block::{Place, SimDisk};
use super::state::{State, TreeRef};
use hostwright_model::existing::{
    DeviceUse, ExistingArray, ExistingGroup, ExistingLogicalVolume, ExistingMapping,
    ExistingPartition, ExistingSignature, ExistingStorage, ExistingTable,
};
use hostwright_model::facts::Facts;
use hostwright_model::storage::PartitionKind;

impl State {
    /// The facts, with what is on the disks now.
    pub(super) fn probe(&self) -> Facts {
        let mut facts = self.facts.clone();
        for disk in &mut facts.disks {
            disk.signatures = self.blocks.disks[&disk.name].signatures();
        }
        facts.storage = ExistingStorage {
            tables: self.blocks.disks.values().filter_map(table).collect(),
            arrays: self.arrays(),
            groups: self.groups(),
            mappings: self.mappings(),
            signatures: self.signatures(),
            in_use: self.in_use(),
            unread: Vec::new(),
        };
        facts
    }

    fn nodes_of(&self, places: &[Place]) -> Vec<String> {
        let mut nodes: Vec<String> =
            places.iter().filter_map(|place| self.blocks.node_of(place)).collect();
        nodes.sort();
        nodes
    }

    fn arrays(&self) -> Vec<ExistingArray> {
        let seen = |uuid: &str| self.nodes_of(&self.blocks.members_of(uuid));
        let arrays = self.blocks.arrays.iter().map(|(uuid, array)| ExistingArray {
            device: array.running.as_ref().map(|name| format!("/dev/{name}")),
            uuid: uuid.clone(),
            name: None,
            level: Some(array.level),
            metadata: array.metadata.clone(),
            wanted_devices: array.places,
            members: seen(uuid),
            size_bytes: Some(array.size),
        });
        arrays.filter(|array| !array.members.is_empty()).collect()
    }

    fn groups(&self) -> Vec<ExistingGroup> {
        let mut groups = Vec::new();
        for (uuid, group) in &self.blocks.groups {
            let physical_volumes = self.nodes_of(&self.blocks.physical_volumes_of(uuid));
            if physical_volumes.is_empty() {
                continue;
            }
            let volume =
                |(name, volume): (&String, &super::block::LogicalVolume)| ExistingLogicalVolume {
                    name: name.clone(),
                    device: format!("/dev/{}/{name}", group.name),
                    uuid: super::block::uuid_of(&["lv", uuid, name]),
                    size_bytes: volume.size,
                };
            groups.push(ExistingGroup {
                name: group.name.clone(),
                uuid: uuid.clone(),
                physical_volumes,
                is_partial: !self.blocks.is_whole(uuid),
                size_bytes: group.size,
                extent_bytes: super::block::EXTENT_BYTES,
                logical_volumes: group.volumes.iter().map(volume).collect(),
            });
        }
        groups
    }

    fn mappings(&self) -> Vec<ExistingMapping> {
        let mappings = self.blocks.mappings.iter();
        let mapping = mappings.map(|(name, mapping)| ExistingMapping {
            name: name.clone(),
            devices: self.blocks.node_of(&mapping.device).into_iter().collect(),
        });
        mapping.collect()
    }

    fn signatures(&self) -> Vec<ExistingSignature> {
        let mut seen = Vec::new();
        let mut places: Vec<Place> = Vec::new();
        for (device, place) in self.blocks.nodes() {
            let Some(content) = self.blocks.content(&place) else { continue };
            if places.contains(&place) {
                continue;
            }
            seen.push(ExistingSignature {
                device,
                size_bytes: self.blocks.size(&place),
                kind: content.kind().to_owned(),
                uuid: Some(content.uuid().to_owned()),
                label: content.label().map(str::to_owned),
            });
            places.push(place);
        }
        seen
    }

    fn in_use(&self) -> Vec<DeviceUse> {
        let mounts = self.mounts.iter().filter(|mount| matches!(mount.tree, TreeRef::Device(_)));
        let mounted = mounts.map(|mount| DeviceUse {
            device: mount.source.clone(),
            mount_point: Some(mount.target.clone()),
        });
        let swaps = self.swaps.iter();
        let used = swaps.map(|device| DeviceUse { device: device.clone(), mount_point: None });
        mounted.chain(used).collect()
    }
}

fn table(disk: &SimDisk) -> Option<ExistingTable> {
    let table = disk.table.as_ref()?;
    let is_gpt = table.label == "gpt";
    let partition = |(&number, entry): (&u32, &super::block::Entry)| ExistingPartition {
        number,
        device: disk.partition_path(number),
        kind: match number {
            _ if entry.is_extended() => PartitionKind::Extended,
            5.. if !is_gpt => PartitionKind::Logical,
            _ => PartitionKind::Primary,
        },
        start_bytes: entry.start,
        size_bytes: entry.size,
        type_code: entry.kind.clone(),
        name: entry.name.clone(),
        uuid: Some(entry.uuid.to_uppercase()),
        attributes: entry.attributes.clone(),
        bootable: entry.bootable,
    };
    Some(ExistingTable {
        device: format!("/dev/{}", disk.facts.name),
        kind: table.label.clone(),
        id: Some(table.id.clone()),
        partitions: table.entries.iter().map(partition).collect(),
    })
}
