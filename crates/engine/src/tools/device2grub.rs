//! `device2grub`: the name by which GRUB 1 knows a disk or partition: `(hd0,0)` for `/dev/sda1`.
//!
//! Old scripts for Red Hat's systems call it. FAI's asks grub-mkdevicemap, which no current
//! distribution has; here the disks are numbered as that did it: by kind, then by name.

use super::disk_info;
use super::session::usage;
use super::{Session, ToolError};

pub(super) const USAGE: &str = "DEVICE";

/// Status when there is no such disk.
const NO_DISK: i32 = 2;
/// Kinds of disks in the order of the numbers; others come behind.
const KINDS: [&str; 6] = ["hd", "vd", "xvd", "sd", "nvme", "mmcblk"];

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let [device] = args else { return Err(usage("a device is needed")) };
    let table = session.host.read("/proc/partitions")?.unwrap_or_default();
    let disks = disk_info::whole_disks(&String::from_utf8_lossy(&table));
    let no_disk = || ToolError::refused(NO_DISK, format!("{device} is no disk and no partition"));
    let name = grub_name(disks, device).ok_or_else(no_disk)?;
    session.say(&name);
    Ok(0)
}

/// GRUB's name of `device`; partitions count from 0 there.
fn grub_name(mut disks: Vec<String>, device: &str) -> Option<String> {
    let kind =
        |name: &str| KINDS.iter().position(|kind| name.starts_with(kind)).unwrap_or(KINDS.len());
    disks.sort_by_key(|name| (kind(name), name.len(), name.clone()));
    let device = device.strip_prefix("/dev/")?;
    // The longest: sdaa is no partition of sda.
    let (number, disk) = disks
        .iter()
        .enumerate()
        .filter(|(_, disk)| disk_info::is_part_of(device, disk))
        .max_by_key(|(_, disk)| disk.len())?;
    let partition = device.strip_prefix(disk.as_str())?.trim_start_matches('p');
    match partition {
        "" => Some(format!("(hd{number})")),
        partition => {
            Some(format!("(hd{number},{})", partition.parse::<u32>().ok()?.checked_sub(1)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_numbered_by_kind_and_name() {
        let disks = ["sdb", "sda", "nvme0n1", "vda", "sdaa"].map(str::to_owned).to_vec();
        let name = |device: &str| grub_name(disks.clone(), device);
        assert_eq!(name("/dev/vda").as_deref(), Some("(hd0)"));
        assert_eq!(name("/dev/sda1").as_deref(), Some("(hd1,0)"));
        assert_eq!(name("/dev/sdb12").as_deref(), Some("(hd2,11)"));
        assert_eq!(name("/dev/sdaa2").as_deref(), Some("(hd3,1)"));
        assert_eq!(name("/dev/nvme0n1p3").as_deref(), Some("(hd4,2)"));
        assert_eq!(name("/dev/sdc"), None);
        assert_eq!(name("/dev/sda0"), None);
        assert_eq!(name("sda"), None);
    }
}
