//! Volume groups, asked of LVM's own reports (lvmreport(7)) in a mode that changes nothing.

use super::super::RunTool;
use crate::{Command, HostError, Tool};
use hostwright_model::existing::{ExistingGroup, ExistingLogicalVolume};
use std::collections::BTreeMap;

/// Between the fields of a report; no name may hold it.
const SEPARATOR: char = '\t';

/// Every volume group, in the order of their names.
pub(super) fn groups(run: RunTool<'_>) -> Result<Vec<ExistingGroup>, HostError> {
    let fields = "vg_uuid,vg_name,vg_size,vg_extent_size,vg_missing_pv_count";
    let groups = report(Tool::Vgs, fields, run)?;
    let physical = report(Tool::Pvs, "vg_uuid,pv_name", run)?;
    let logical = report(Tool::Lvs, "vg_uuid,vg_name,lv_name,lv_uuid,lv_size", run)?;
    Ok(assemble(&groups, &physical, &logical))
}

/// Runs one of the three reports. `--readonly` neither takes locks nor talks to the kernel about
/// volumes, so nothing can become active.
fn report(tool: Tool, fields: &str, run: RunTool<'_>) -> Result<Vec<Vec<String>>, HostError> {
    let separator = SEPARATOR.to_string();
    let command = Command::new(tool)
        .args(["--readonly", "--noheadings", "--nosuffix", "--units", "b", "--separator"])
        .args([separator.as_str(), "--options", fields]);
    let output = run(&command)?;
    let lines = output.success()?.stdout;
    let row = |line: &str| line.trim_start().split(SEPARATOR).map(str::to_owned).collect();
    Ok(lines.lines().filter(|line| line.contains(SEPARATOR)).map(row).collect())
}

fn assemble(
    groups: &[Vec<String>],
    physical: &[Vec<String>],
    logical: &[Vec<String>],
) -> Vec<ExistingGroup> {
    let mut found: BTreeMap<(String, String), ExistingGroup> = BTreeMap::new();
    for row in groups {
        let [uuid, name, size, extent, missing] = &row[..] else { continue };
        let group = ExistingGroup {
            name: name.clone(),
            uuid: uuid.clone(),
            physical_volumes: Vec::new(),
            is_partial: missing != "0",
            size_bytes: size.parse().unwrap_or_default(),
            extent_bytes: extent.parse().unwrap_or_default(),
            logical_volumes: Vec::new(),
        };
        found.insert((name.clone(), uuid.clone()), group);
    }
    let mut found: Vec<ExistingGroup> = found.into_values().collect();
    let by_uuid = |groups: &mut Vec<ExistingGroup>, uuid: &str| {
        groups.iter().position(|group| group.uuid == uuid)
    };
    for row in physical {
        let [uuid, device] = &row[..] else { continue };
        // A missing one is called '[unknown]'.
        let at = by_uuid(&mut found, uuid).filter(|_| device.starts_with('/'));
        if let Some(at) = at {
            found[at].physical_volumes.push(device.clone());
        }
    }
    for row in logical {
        let [group, group_name, name, uuid, size] = &row[..] else { continue };
        if let Some(at) = by_uuid(&mut found, group) {
            found[at].logical_volumes.push(ExistingLogicalVolume {
                name: name.clone(),
                device: format!("/dev/{group_name}/{name}"),
                uuid: uuid.clone(),
                size_bytes: size.parse().unwrap_or_default(),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_one_name_are_kept_apart_and_a_missing_disk_is_told() {
        let rows = |rows: &[&str]| -> Vec<Vec<String>> {
            rows.iter().map(|row| row.split(' ').map(str::to_owned).collect()).collect()
        };
        let groups = assemble(
            &rows(&["U2 vg 8388608 4194304 1", "U1 vg 4194304 4194304 0"]),
            &rows(&["U1 /dev/sda1", "U2 /dev/sdb1", "U2 [unknown]"]),
            &rows(&["U1 vg root L1 4194304", "U2 vg root L2 8388608"]),
        );
        let [first, second] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!((first.uuid.as_str(), first.is_partial), ("U1", false));
        assert_eq!((second.uuid.as_str(), second.is_partial), ("U2", true));
        assert_eq!(second.physical_volumes, ["/dev/sdb1"]);
        assert_eq!(second.logical_volumes[0].device, "/dev/vg/root");
        assert_eq!(first.logical_volumes[0].uuid, "L1");
    }
}
