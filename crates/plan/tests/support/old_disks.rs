//! Disks that have had another life, put together by hand.

use hostwright_model::existing::{
    DeviceUse, ExistingArray, ExistingGroup, ExistingLogicalVolume, ExistingMapping,
    ExistingPartition, ExistingSignature, ExistingStorage, ExistingTable,
};
use hostwright_model::storage::{PartitionKind, RaidLevel};
use hostwright_plan::storage::partition_device;

/// What is on the disks.
#[derive(Default)]
pub struct OldDisks(pub ExistingStorage);

impl OldDisks {
    /// A table with partitions: number, kind, first and length in MiB.
    pub fn table(&mut self, disk: &str, kind: &str, parts: &[(u32, PartitionKind, u64, u64)]) {
        let device = format!("/dev/{disk}");
        self.0.tables.push(ExistingTable {
            device,
            kind: kind.to_owned(),
            id: None,
            partitions: Vec::new(),
        });
        for (number, kind, start, size) in parts {
            self.partition(disk, *number, *kind, *start, *size);
        }
    }

    /// One more partition of a table.
    pub fn partition(
        &mut self,
        disk: &str,
        number: u32,
        kind: PartitionKind,
        start_mib: u64,
        size_mib: u64,
    ) {
        let disk = format!("/dev/{disk}");
        let table = self.0.tables.iter_mut().find(|table| table.device == disk).unwrap();
        table.partitions.push(ExistingPartition {
            number,
            device: partition_device(&disk, number),
            kind,
            start_bytes: start_mib << 20,
            size_bytes: size_mib << 20,
            type_code: String::new(),
            name: None,
            uuid: None,
            attributes: None,
            bootable: false,
        });
    }

    /// What a device holds.
    pub fn signature(&mut self, device: &str, kind: &str) {
        self.0.signatures.push(ExistingSignature {
            device: device.to_owned(),
            size_bytes: 0,
            kind: kind.to_owned(),
            uuid: None,
            label: None,
        });
    }

    /// A running array of 4 GiB; its identifier is made from its name.
    pub fn array(&mut self, device: Option<&str>, level: RaidLevel, members: &[&str]) {
        self.0.arrays.push(ExistingArray {
            device: device.map(str::to_owned),
            uuid: format!("uuid-of-{}", members.join("-").replace('/', "")),
            name: None,
            level: Some(level),
            metadata: "1.2".to_owned(),
            wanted_devices: u32::try_from(members.len()).unwrap(),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            size_bytes: Some(4 << 30),
        });
        members.iter().for_each(|member| self.signature(member, "linux_raid_member"));
    }

    /// A volume group with volumes: name and MiB.
    pub fn group(&mut self, name: &str, devices: &[&str], volumes: &[(&str, u64)]) {
        let volume = |(volume, mib): &(&str, u64)| ExistingLogicalVolume {
            name: (*volume).to_owned(),
            device: format!("/dev/{name}/{volume}"),
            uuid: format!("uuid-of-{volume}"),
            size_bytes: mib << 20,
        };
        self.0.groups.push(ExistingGroup {
            name: name.to_owned(),
            uuid: format!("uuid-of-{name}-{}", devices.join("-").replace('/', "")),
            physical_volumes: devices.iter().map(|device| (*device).to_owned()).collect(),
            is_partial: false,
            size_bytes: 100 << 30,
            extent_bytes: 4 << 20,
            logical_volumes: volumes.iter().map(volume).collect(),
        });
        devices.iter().for_each(|device| self.signature(device, "LVM2_member"));
    }

    /// An open mapping.
    pub fn mapping(&mut self, name: &str, devices: &[&str]) {
        let devices = devices.iter().map(|device| (*device).to_owned()).collect();
        self.0.mappings.push(ExistingMapping { name: name.to_owned(), devices });
    }

    /// A device that is mounted, or used as swap.
    pub fn in_use(&mut self, device: &str, mount_point: Option<&str>) {
        let mount_point = mount_point.map(str::to_owned);
        self.0.in_use.push(DeviceUse { device: device.to_owned(), mount_point });
    }
}
