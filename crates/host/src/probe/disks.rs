//! Whole disks, from /sys/block.

use super::{Probe, links, signatures};
use hostwright_model::facts::Disk;
use std::fs;

/// Sysfs counts in these whatever the disk's own sectors are.
pub(super) const SYSFS_SECTOR_BYTES: u64 = 512;
/// Where the serial number begins in SCSI's page of it (SPC-4, 7.8.15): behind page code and length.
const VPD_HEADER_BYTES: usize = 4;

/// Every disk that an installation may use, in the byte order of the names.
pub(super) fn read(probe: &Probe) -> Vec<Disk> {
    let names = probe.names("sys/block").into_iter().filter(|name| is_disk(name));
    let disks = names.filter_map(|name| disk(probe, name));
    disks.map(|disk| Disk { links: links::of(probe, &disk), ..disk }).collect()
}

/// True for the names that fai-disk-info lists: real disks, never loop devices, RAM disks, optical
/// drives, floppies, RAID or device mapper.
fn is_disk(name: &str) -> bool {
    let letters = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase()))
    };
    let numbers = |prefix: &str, middle: &str| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        name.strip_prefix(prefix).is_some_and(|rest| match middle {
            "" => digits(rest),
            _ => rest.split_once(middle).is_some_and(|(a, b)| digits(a) && digits(b)),
        })
    };
    ["sd", "vd", "xvd", "hd", "fio"].into_iter().any(letters)
        || numbers("nvme", "n")
        || numbers("mmcblk", "")
        || ["cciss!", "ida!", "rd!", "i2o!", "etherd!"].iter().any(|bus| name.starts_with(bus))
}

/// One disk; `None` for a drive without a medium.
pub(super) fn disk(probe: &Probe, name: String) -> Option<Disk> {
    let attribute = |file: &str| probe.text(&format!("sys/block/{name}/{file}"));
    let number = |file: &str| probe.number(&format!("sys/block/{name}/{file}"));
    let size_bytes = number("size").filter(|sectors| *sectors > 0)? * SYSFS_SECTOR_BYTES;
    let sector = number("queue/logical_block_size").and_then(|bytes| u32::try_from(bytes).ok());
    let sector_bytes = sector.unwrap_or(512);
    // sysfs writes the '/' of a device node below a directory as '!'.
    let name_in_dev = name.replace('!', "/");
    let node = probe.path(&format!("dev/{name_in_dev}"));
    Some(Disk {
        size_bytes,
        sector_bytes,
        model: attribute("device/model"),
        serial: attribute("serial")
            .or_else(|| attribute("device/serial"))
            .or_else(|| vpd_serial(probe, &name)),
        wwn: attribute("wwid").or_else(|| attribute("device/wwid")),
        rotational: number("queue/rotational") == Some(1),
        removable: number("removable") == Some(1),
        links: Vec::new(),
        signatures: signatures::of_device(&node, size_bytes, sector_bytes),
        name: name_in_dev,
    })
}

fn vpd_serial(probe: &Probe, name: &str) -> Option<String> {
    let page = fs::read(probe.path(&format!("sys/block/{name}/device/vpd_pg80"))).ok()?;
    let text = String::from_utf8_lossy(page.get(VPD_HEADER_BYTES..)?).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::is_disk;

    #[test]
    fn only_real_disks_count() {
        for name in ["sda", "sdab", "vda", "xvdb", "nvme0n1", "mmcblk0", "hdc", "cciss!c0d0"] {
            assert!(is_disk(name), "{name}");
        }
        let others = [
            "loop0",
            "ram1",
            "zram0",
            "sr0",
            "fd0",
            "md0",
            "md127",
            "dm-0",
            "nbd0",
            "mmcblk0boot0",
            "nvme0c0n1",
            "sd",
            "nvme0",
            "sda1",
        ];
        for name in others {
            assert!(!is_disk(name), "{name}");
        }
    }
}
