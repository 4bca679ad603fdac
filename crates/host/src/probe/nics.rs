//! Network interfaces, from /sys/class/net.

use super::addresses::InterfaceAddress;
use super::{Probe, RunTool};
use crate::{Command, HostError, Tool};
use hostwright_model::facts::Nic;
use hostwright_model::ids::MacAddr;
use std::fs;

/// Ethernet among the hardware types of Linux's if_arp.h.
const ARPHRD_ETHER: u64 = 1;
/// What udev's default NamePolicy takes, best first. It never takes ID_NET_NAME_MAC.
const NAME_POLICY: [&str; 4] =
    ["ID_NET_NAME_FROM_DATABASE", "ID_NET_NAME_ONBOARD", "ID_NET_NAME_SLOT", "ID_NET_NAME_PATH"];

/// Every Ethernet interface in the order of the names. `run` is asked for the names that an
/// installed system will give them.
pub(super) fn read(
    probe: &Probe,
    addresses: &[InterfaceAddress],
    mut run: Option<RunTool<'_>>,
) -> Result<Vec<Nic>, HostError> {
    let mut nics = Vec::new();
    for name in probe.names("sys/class/net") {
        let file = |file: &str| format!("sys/class/net/{name}/{file}");
        let mac = probe.text(&file("address")).and_then(|text| text.parse::<MacAddr>().ok());
        let Some(mac) = mac.filter(|_| probe.number(&file("type")) == Some(ARPHRD_ETHER)) else {
            continue;
        };
        let index = probe.number(&file("ifindex"));
        let mine = addresses.iter().filter(|address| Some(u64::from(address.index)) == index);
        let driver = fs::read_link(probe.path(&file("device/driver"))).ok();
        let driver = driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        let predictable_name = match &mut run {
            Some(run) => predictable_name(&name, *run)?,
            None => None,
        };
        nics.push(Nic {
            predictable_name,
            mac,
            driver,
            // The kernel refuses to say it for an interface that is down.
            link_up: probe.number(&file("carrier")) == Some(1),
            addresses: mine.map(|address| address.cidr.clone()).collect(),
            name,
        });
    }
    Ok(nics)
}

/// What udev calls an interface; `None` without udevadm(8), or where udev keeps the kernel's name.
fn predictable_name(name: &str, run: RunTool<'_>) -> Result<Option<String>, HostError> {
    let device = format!("/sys/class/net/{name}");
    let command = Command::new(Tool::Udevadm).args(["test-builtin", "net_id", &device]);
    match run(&command) {
        Ok(output) => Ok(choose_name(&output.stdout)),
        Err(HostError::MissingTool { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn choose_name(properties: &str) -> Option<String> {
    NAME_POLICY.iter().find_map(|key| {
        let mut lines = properties.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
    })
}

#[cfg(test)]
mod tests {
    use super::choose_name;

    #[test]
    fn names_are_chosen_as_udev_does() {
        let all = "ID_NET_NAMING_SCHEME=v252\nID_NET_NAME_MAC=enx525400123456\n\
                   ID_NET_NAME_PATH=enp0s2\nID_NET_NAME_SLOT=ens2\n";
        assert_eq!(choose_name(all).as_deref(), Some("ens2"));
        assert_eq!(choose_name("ID_NET_NAME_PATH=enp0s2\n").as_deref(), Some("enp0s2"));
        assert_eq!(choose_name("ID_NET_NAME_MAC=enx525400123456\n"), None);
    }
}
