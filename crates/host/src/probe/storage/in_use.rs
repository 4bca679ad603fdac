//! Which devices are mounted or swapped to, from proc(5).

use super::super::Probe;
use super::devices::{self, Device};
use hostwright_model::existing::DeviceUse;

/// Each use once, sorted.
pub(super) fn read(probe: &Probe, devices: &[Device]) -> Vec<DeviceUse> {
    let mounts = probe.text("proc/self/mountinfo").unwrap_or_default();
    let swaps = probe.text("proc/swaps").unwrap_or_default();
    let mut uses: Vec<DeviceUse> =
        mounts.lines().filter_map(|line| mount(probe, line, devices)).collect();
    uses.extend(swaps.lines().filter_map(|line| {
        let path = line.split_whitespace().next().filter(|path| path.starts_with("/dev/"))?;
        let device = devices::node_of_link(probe, devices, &unescape(path));
        Some(DeviceUse { device, mount_point: None })
    }));
    uses.sort_by(|a, b| (&a.device, &a.mount_point).cmp(&(&b.device, &b.mount_point)));
    uses.dedup();
    uses
}

/// One line of mountinfo (proc(5)): id, parent, number of the device, root, mount point, …, `-`,
/// type, source, options. The number counts, since the source may be any name; but btrfs has none
/// of its own there.
fn mount(probe: &Probe, line: &str, devices: &[Device]) -> Option<DeviceUse> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(2);
    let (number, mount_point) = (front.next()?, unescape(front.nth(1)?));
    let by_number = devices.iter().find(|device| device.number == number);
    let source = unescape(back.split(' ').nth(1)?);
    let device = match by_number {
        Some(device) => device.node.clone(),
        None if source.starts_with("/dev/") => devices::node_of_link(probe, devices, &source),
        None => return None,
    };
    Some(DeviceUse { device, mount_point: Some(mount_point) })
}

/// Takes back `\040` for a blank and the like.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn blanks_in_paths_are_taken_back() {
        assert_eq!(unescape(r"/mnt/a\040b\134c"), r"/mnt/a b\c");
        assert_eq!(unescape(r"odd\04"), r"odd\04");
    }
}
