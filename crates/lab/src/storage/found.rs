//! What the programs that everybody trusts say of the disks: sfdisk, blkid, mdadm, LVM, cryptsetup,
//! findmnt, as the guest's `read-back` has written it down.

use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Words `KEY=value` about one device.
pub(super) type Words = BTreeMap<String, String>;

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// `sfdisk --json` by device node of the disk.
    pub(super) tables: BTreeMap<String, Value>,
    /// `blkid --probe` by device node, links included.
    pub(super) blkid: BTreeMap<String, Words>,
    /// `mdadm --detail --export` by device node.
    pub(super) arrays: BTreeMap<String, Words>,
    /// `cryptsetup status` by device node.
    pub(super) mappings: BTreeMap<String, Words>,
    /// Size by `group/volume`.
    pub(super) logical_volumes: BTreeMap<String, u64>,
    /// Physical volumes by group.
    pub(super) groups: BTreeMap<String, Vec<String>>,
    /// Mount points below the target, `/` first: source, type, options.
    pub(super) mounts: BTreeMap<String, [String; 3]>,
    /// Devices swapped to.
    pub(super) swaps: Vec<String>,
    /// Any name of a device to the kernel's.
    pub(super) real: BTreeMap<String, String>,
    /// Lines of fstab that count: key, mount point, type, options.
    pub(super) fstab: Vec<Vec<String>>,
}

impl Found {
    /// Reads the answers of one stage. Disks may have other names at each boot: here they have
    /// those of the stage whose answers are in `named_in`.
    pub(super) fn read(dir: &Path, named_in: &Path) -> Result<Self> {
        let raw = |dir: &Path, name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
        let (now, then) = (raw(dir, "disks"), raw(named_in, "disks"));
        let names: Vec<_> = now.split_whitespace().zip(then.split_whitespace()).collect();
        let text = |name: &str| rename_disks(&raw(dir, name), &names);
        let mut found = Self::default();
        for (now, then) in &names {
            let table = text(&format!("table-{now}.json"));
            if let Ok(table) = serde_json::from_str(&table) {
                found.tables.insert(format!("/dev/{then}"), table);
            }
        }
        found.read_blkid(&text("blkid"));
        for block in blocks(&text("mdadm")) {
            found.arrays.insert(block.get("DEVICE").cloned().unwrap_or_default(), block);
        }
        for block in blocks(&text("cryptsetup")) {
            found.mappings.insert(block.get("DEVICE").cloned().unwrap_or_default(), block);
        }
        found.read_lvm(&text("lvs.json"), &text("pvs.json")).context("LVM's reports")?;
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for line in text("mounts").lines() {
            let [target, source, kind, options] = &fields(line)[..] else { continue };
            let point = target.strip_prefix("/target").filter(|p| !p.is_empty()).unwrap_or("/");
            let what = [source.clone(), kind.clone(), options.clone()];
            found.mounts.insert(point.to_owned(), what);
        }
        found.swaps =
            text("swaps").lines().filter_map(|line| fields(line).first().cloned()).collect();
        let table = text("fstab");
        let lines = table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        found.fstab = lines.map(fields).collect();
        Ok(found)
    }

    fn read_blkid(&mut self, text: &str) {
        for block in text.split("\n\n") {
            let device = block.lines().find_map(|line| line.strip_prefix("DEVICE="));
            let Some(device) = device else { continue };
            let links = block.lines().filter_map(|line| line.strip_prefix("LINK="));
            for link in links.chain([device]) {
                self.real.insert(link.to_owned(), device.to_owned());
            }
            let words = words(block);
            self.blkid.insert(device.to_owned(), words);
        }
    }

    fn read_lvm(&mut self, lvs: &str, pvs: &str) -> Result<()> {
        for row in report(lvs, "lv")? {
            let size = row.get("lv_size").and_then(|size| size.parse().ok()).unwrap_or_default();
            let name = format!("{}/{}", row["vg_name"], row["lv_name"]);
            self.logical_volumes.insert(name, size);
        }
        for row in report(pvs, "pv")? {
            self.groups.entry(row["vg_name"].clone()).or_default().push(row["pv_name"].clone());
        }
        Ok(())
    }

    /// The kernel's name for a device that somebody names in any way.
    pub(super) fn real<'a>(&'a self, device: &'a str) -> &'a str {
        self.real.get(device).map_or(device, String::as_str)
    }

    /// One word of blkid about a device.
    pub(super) fn id(&self, device: &str, key: &str) -> Option<&str> {
        self.blkid.get(self.real(device))?.get(key).map(String::as_str)
    }
}

/// A text with other names for disks and their partitions.
fn rename_disks(text: &str, names: &[(&str, &str)]) -> String {
    const PREFIX: &str = "/dev/";
    let mut parts = text.split(PREFIX);
    let mut renamed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        let of_disk = names.iter().find_map(|(now, then)| {
            let partition = word.strip_prefix(now)?;
            let number = partition.strip_prefix('p').unwrap_or(partition);
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{then}{partition}"))
        });
        renamed.push_str(PREFIX);
        renamed.push_str(of_disk.as_deref().unwrap_or(word));
        renamed.push_str(rest);
    }
    renamed
}

fn words(block: &str) -> Words {
    let pairs = block.lines().filter_map(|line| line.split_once('='));
    // blkid writes blanks as '\ '.
    pairs.map(|(key, value)| (key.to_owned(), value.replace('\\', ""))).collect()
}

fn blocks(text: &str) -> Vec<Words> {
    text.split("\n\n").map(words).filter(|block| block.contains_key("DEVICE")).collect()
}

/// The rows of one of LVM's reports; none where nothing was written.
fn report(text: &str, kind: &str) -> Result<Vec<Words>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let value: Value = serde_json::from_str(text)?;
    let rows = value["report"][0][kind].as_array().cloned().unwrap_or_default();
    let row = |row: Value| -> Words {
        let fields = row.as_object().cloned().unwrap_or_default();
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        fields.into_iter().map(|(key, value)| (key, text(value))).collect()
    };
    Ok(rows.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_that_swapped_their_names_get_them_back() {
        let names = [("nvme0n1", "nvme1n1"), ("nvme1n1", "nvme0n1"), ("sda", "sdb")];
        let text =
            "LOWER=/dev/nvme0n1p2\n/dev/nvme1n1 /dev/sda1 /dev/sdab /dev/mapper/x /dev/md0\n";
        let back =
            "LOWER=/dev/nvme1n1p2\n/dev/nvme0n1 /dev/sdb1 /dev/sdab /dev/mapper/x /dev/md0\n";
        assert_eq!(rename_disks(text, &names), back);
    }
}
