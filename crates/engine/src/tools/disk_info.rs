//! `fai-disk-info`: names the disks of the machine, one a line, in the order of the kernel.

use super::session::words;
use super::{Session, ToolError};
use fancy_regex::Regex;
use hostwright_host::metadata;

pub(super) const USAGE: &str = "";

/// Names that whole disks have in /proc/partitions. More than FAI knows where letters run out:
/// the disk after vdz is vdaa.
const DISKS: &str = r"(?x) ^(
    (sd|vd|xvd)[a-z]+ | hd[a-z] | fio[a-z] | nvme\d+n\d+ | mmcblk\d+ | md\d{3,}
    | etherd/e\d+\.\d+ | i2o/hd[a-z]+ | (cciss|ida|rd)/c\d+d\d+ | (.*/)?disc
)$";

pub(super) fn run(_args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let table = session.host.read("/proc/partitions")?.unwrap_or_default();
    let mounts = session.host.read("/proc/mounts")?.unwrap_or_default();
    let stick = boot_medium(&String::from_utf8_lossy(&mounts));
    for name in whole_disks(&String::from_utf8_lossy(&table)) {
        // FAI asks for group "disk" of the node, which only udev gives it. What the kernel lists
        // below /sys/block is a disk without udev, too.
        let in_sys = format!("/sys/block/{}", name.replace('/', "!"));
        let is_medium = stick.as_deref().is_some_and(|stick| is_part_of(stick, &name));
        if !is_medium && metadata::stat(&in_sys)?.is_some() {
            session.say(&name);
        }
    }
    Ok(0)
}

/// Names of the whole disks in the text of /proc/partitions.
pub(super) fn whole_disks(table: &str) -> Vec<String> {
    let pattern = Regex::new(DISKS).expect("invariant: a valid pattern");
    let names = table.lines().filter_map(|line| words(line).into_iter().nth(3));
    names.filter(|name| pattern.is_match(name).unwrap_or(false)).collect()
}

/// True if `device` is `disk` or a partition of it.
pub(super) fn is_part_of(device: &str, disk: &str) -> bool {
    let Some(rest) = device.strip_prefix(disk) else { return false };
    let number = rest.strip_prefix('p').unwrap_or(rest);
    rest.is_empty() || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The device, without /dev/, that a live system runs from.
fn boot_medium(mounts: &str) -> Option<String> {
    let line = mounts.lines().find(|line| line.contains("run/initramfs/live"))?;
    line.split(' ').next()?.strip_prefix("/dev/").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_disks_are_named() {
        let table = "major minor  #blocks  name\n\n   8 0 100 sda\n   8 1 99 sda1\n  11 0 1 sr0\n\
             254 0 5 vda\n 254 16 5 vdaa\n 254 1 5 vda1\n 259 0 9 nvme0n1\n 259 1 9 nvme0n1p1\n\
             179 0 9 mmcblk0\n 179 8 9 mmcblk0boot0\n 7 0 1 loop0\n 9 127 1 md127\n 9 0 1 md0\n";
        let disks = ["sda", "vda", "vdaa", "nvme0n1", "mmcblk0", "md127"];
        assert_eq!(whole_disks(table), disks);
    }

    #[test]
    fn the_stick_we_run_from_is_known() {
        let mounts = "proc /proc proc rw 0 0\n/dev/sdb1 /run/initramfs/live iso9660 ro 0 0\n";
        assert_eq!(boot_medium(mounts).as_deref(), Some("sdb1"));
        assert!(is_part_of("sdb1", "sdb") && is_part_of("nvme0n1p1", "nvme0n1"));
        assert!(!is_part_of("sdba1", "sdb") && is_part_of("sdb", "sdb"));
    }
}
