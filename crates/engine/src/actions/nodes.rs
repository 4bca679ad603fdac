//! Device nodes and what is built on them, as sysfs tells it.

use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, HostError, Output, Tool};
use hostwright_model::fault::FaultKind;
use std::thread::sleep;
use std::time::Duration;

/// How long the kernel and udev get to make nodes, and users of a device to let go of it.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Waits for udev to do what it has to. A system without udev has nothing to settle.
pub(super) fn settle(work: &mut Work<'_>) {
    let _ = work.try_tool(Command::new(Tool::Udevadm).args(["settle", "--timeout=10"]));
}

/// Waits until every node exists.
pub(super) fn wait_for(work: &mut Work<'_>, devices: &[&str]) -> Result<(), ActionError> {
    for attempt in 0.. {
        let mut missing = None;
        for device in devices {
            if !work.exists(device)? {
                missing = Some(*device);
                break;
            }
        }
        let Some(missing) = missing else { break };
        if attempt == ATTEMPTS {
            return Err(ActionError::new(
                FaultKind::Environment,
                "no-device-node",
                format!("there is no device node {missing}"),
                "look for errors of the disk in dmesg, and for what the plan takes to be there",
            ));
        }
        sleep(PAUSE);
    }
    Ok(())
}

/// Runs a tool again as long as it fails and `is_busy` says that somebody may still let go.
pub(super) fn insist(work: &mut Work<'_>, command: &Command) -> Result<Output, ActionError> {
    const ATTEMPTS: u32 = 5;
    for _ in 1..ATTEMPTS {
        let output = work.try_tool(command.clone())?;
        if output.status == 0 {
            return Ok(output);
        }
        settle(work);
        sleep(PAUSE);
    }
    work.tool(command.clone())
}

/// The kernel's name of a device: `vda1`, `md0`; `None` for names that udev makes.
pub(super) fn kernel_name(device: &str) -> Option<&str> {
    device.strip_prefix("/dev/").filter(|name| !name.contains('/'))
}

/// Name below `/dev/mapper` of a device that the kernel calls `/dev/dm-0`.
pub(super) fn mapped_name(work: &mut Work<'_>, device: &str) -> Result<Option<String>, HostError> {
    match kernel_name(device).filter(|name| name.starts_with("dm-")) {
        Some(name) => {
            let text = work.read_text(&format!("/sys/class/block/{name}/dm/name"))?;
            Ok(text.map(|text| text.trim().to_owned()))
        }
        None => Ok(None),
    }
}

/// `/dev/vg-1/home` for the mapping `vg--1-home` of LVM, which doubles dashes.
pub(super) fn volume_of(mapped: &str) -> Option<String> {
    let marked = mapped.replace("--", "\0");
    let (group, volume) = marked.split_once('-')?;
    Some(format!("/dev/{group}/{volume}").replace('\0', "-"))
}

/// Kernel names of the devices that are built on one.
pub(super) fn holders(work: &mut Work<'_>, device: &str) -> Result<Vec<String>, HostError> {
    match kernel_name(device) {
        Some(name) => work.host.list(&format!("/sys/class/block/{name}/holders")),
        None => Ok(Vec::new()),
    }
}

/// Kernel names of the devices that one is built on.
pub(super) fn slaves(work: &mut Work<'_>, device: &str) -> Result<Vec<String>, HostError> {
    match kernel_name(device) {
        Some(name) => work.host.list(&format!("/sys/class/block/{name}/slaves")),
        None => Ok(Vec::new()),
    }
}

/// Wipes every signature at both ends of a device, whoever holds it. True if there was one.
pub(super) fn wipe(work: &mut Work<'_>, device: &str) -> Result<bool, ActionError> {
    let output = work.tool(Command::new(Tool::Wipefs).args(["--all", "--force", device]))?;
    Ok(!output.stdout.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_logical_volumes_are_read_back() {
        assert_eq!(volume_of("vg--1-home").as_deref(), Some("/dev/vg-1/home"));
        assert_eq!(volume_of("vg-a--b").as_deref(), Some("/dev/vg/a-b"));
        assert_eq!(volume_of("crypt_dev_sda5"), None);
    }
}
