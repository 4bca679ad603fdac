//! The stable names of disks below `/dev/disk`, whether udev(7) runs or not.
//!
//! Where udev has made its links they are taken as they are. Elsewhere, and on recorded machines,
//! the names that its rules (60-persistent-storage.rules) would give are made from sysfs: by serial
//! number, by WWN and by place. What cannot be told from sysfs has no name.

use super::Probe;
use hostwright_model::facts::Disk;
use std::fs;
use std::path::Path;

/// `by-id/…` and `by-path/…` of a disk, sorted.
pub(super) fn of(probe: &Probe, disk: &Disk) -> Vec<String> {
    let mut links = made_by_udev(probe, &disk.name);
    if links.is_empty() {
        links = computed(probe, disk);
    }
    links.sort();
    links.dedup();
    links
}

fn made_by_udev(probe: &Probe, name: &str) -> Vec<String> {
    let node = probe.path(&format!("dev/{name}"));
    let Ok(node) = fs::canonicalize(node) else { return Vec::new() };
    let of_kind = |kind: &'static str| {
        let dir = format!("dev/disk/{kind}");
        let names = probe.names(&dir).into_iter();
        let node = &node;
        names
            .filter(move |link| {
                let path = probe.path(&format!("{dir}/{link}"));
                fs::canonicalize(path).is_ok_and(|to| to == *node)
            })
            .map(move |link| format!("{kind}/{link}"))
            .collect::<Vec<String>>()
    };
    [of_kind("by-id"), of_kind("by-path")].concat()
}

fn computed(probe: &Probe, disk: &Disk) -> Vec<String> {
    let sysfs = disk.name.replace('/', "!");
    // The way of the device through the buses: …/pci0000:00/0000:00:04.0/virtio1/block/vda.
    let way = fs::canonicalize(probe.path(&format!("sys/block/{sysfs}"))).unwrap_or_default();
    let bus = Bus::of(&way, &sysfs);
    let serial = disk.serial.as_deref().map(as_name);
    let model = disk.model.as_deref().map(as_name);
    let mut ids = Vec::new();
    match (bus, model, serial) {
        (Bus::Virtio, _, Some(serial)) => ids.push(format!("virtio-{serial}")),
        (Bus::Nvme, Some(model), Some(serial)) => {
            ids.push(format!("nvme-{model}_{serial}"));
            ids.extend(namespace(&sysfs).map(|number| format!("nvme-{model}_{serial}_{number}")));
        }
        (Bus::Ata, Some(model), Some(serial)) => ids.push(format!("ata-{model}_{serial}")),
        (Bus::Virtio | Bus::Nvme | Bus::Ata | Bus::Scsi | Bus::Other, _, _) => {}
    }
    ids.extend(disk.wwn.as_deref().and_then(|wwn| wwn_link(bus, wwn)));
    let ids = ids.into_iter().map(|id| format!("by-id/{id}"));
    ids.chain(path_link(&way, bus, &sysfs).map(|path| format!("by-path/{path}"))).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bus {
    Virtio,
    Nvme,
    Ata,
    Scsi,
    Other,
}

impl Bus {
    fn of(way: &Path, name: &str) -> Self {
        let mut parts = way.iter().map(|part| part.to_string_lossy());
        if name.starts_with("nvme") {
            Self::Nvme
        } else if name.starts_with("vd") {
            Self::Virtio
        } else if parts.any(|part| number_behind("ata", &part).is_some()) {
            Self::Ata
        } else if name.starts_with("sd") {
            Self::Scsi
        } else {
            Self::Other
        }
    }
}

/// What udev makes of a string of a disk: runs of blanks become one `_`, and so does everything
/// that has no business in a file name.
fn as_name(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) || !c.is_ascii();
    words.join("_").chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

/// The namespace of an NVMe disk: 1 of `nvme0n1`.
fn namespace(name: &str) -> Option<&str> {
    name.strip_prefix("nvme")?.split_once('n').map(|(_, namespace)| namespace)
}

fn wwn_link(bus: Bus, wwn: &str) -> Option<String> {
    match bus {
        Bus::Nvme => Some(format!("nvme-{}", as_name(wwn))),
        Bus::Ata | Bus::Scsi => wwn.strip_prefix("naa.").map(|digits| format!("wwn-0x{digits}")),
        Bus::Virtio | Bus::Other => None,
    }
}

/// systemd's path_id: the PCI device and the place behind it.
fn path_link(way: &Path, bus: Bus, name: &str) -> Option<String> {
    let parts: Vec<String> = way.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let pci = parts.iter().rev().find(|part| is_pci_address(part))?;
    match bus {
        Bus::Virtio => Some(format!("pci-{pci}")),
        Bus::Nvme => Some(format!("pci-{pci}-nvme-{}", namespace(name)?)),
        Bus::Ata => {
            let port = parts.iter().find_map(|part| number_behind("ata", part))?;
            Some(format!("pci-{pci}-ata-{port}"))
        }
        // The host adapter counts from 0 there, which sysfs alone does not tell.
        Bus::Scsi | Bus::Other => None,
    }
}

/// `0000:00:1f.2`.
fn is_pci_address(part: &str) -> bool {
    let bytes = part.as_bytes();
    bytes.len() == 12
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b':',
            10 => *byte == b'.',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn number_behind<'a>(prefix: &str, part: &'a str) -> Option<&'a str> {
    let digits = part.strip_prefix(prefix)?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn disk(name: &str, model: Option<&str>, serial: Option<&str>, wwn: Option<&str>) -> Disk {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Disk {
            name: name.to_owned(),
            size_bytes: 1 << 30,
            sector_bytes: 512,
            model: text(model),
            serial: text(serial),
            wwn: text(wwn),
            rotational: false,
            removable: false,
            links: Vec::new(),
            signatures: Vec::new(),
        }
    }

    /// A machine with one disk at `way` below /sys/devices.
    fn machine(way: &str) -> (tempfile::TempDir, Probe) {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("sys/devices").join(way);
        fs::create_dir_all(&device).unwrap();
        fs::create_dir_all(root.path().join("sys/block")).unwrap();
        let name = device.file_name().unwrap();
        symlink(&device, root.path().join("sys/block").join(name)).unwrap();
        let probe = Probe::new(root.path());
        (root, probe)
    }

    #[test]
    fn names_are_those_that_udev_would_give() {
        let (_root, probe) = machine("pci0000:00/0000:00:04.0/virtio1/block/vda");
        let links = of(&probe, &disk("vda", None, Some("LAB 1"), None));
        assert_eq!(links, ["by-id/virtio-LAB_1", "by-path/pci-0000:00:04.0"]);

        let way = "pci0000:00/0000:00:1c.0/0000:01:00.0/nvme/nvme0/nvme0n1";
        let (_root, probe) = machine(way);
        let links = of(&probe, &disk("nvme0n1", Some("Fast  X/1"), Some("S1"), Some("eui.0025")));
        let expected = [
            "by-id/nvme-Fast_X_1_S1",
            "by-id/nvme-Fast_X_1_S1_1",
            "by-id/nvme-eui.0025",
            "by-path/pci-0000:01:00.0-nvme-1",
        ];
        assert_eq!(links, expected);

        let way = "pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/block/sda";
        let (_root, probe) = machine(way);
        let links = of(&probe, &disk("sda", Some("DISK"), Some("S2"), Some("naa.5000c5")));
        let expected =
            ["by-id/ata-DISK_S2", "by-id/wwn-0x5000c5", "by-path/pci-0000:00:1f.2-ata-3"];
        assert_eq!(links, expected);
    }

    #[test]
    fn links_that_are_there_win() {
        let (root, probe) = machine("pci0000:00/0000:00:04.0/virtio1/block/vda");
        fs::create_dir_all(root.path().join("dev/disk/by-id")).unwrap();
        fs::write(root.path().join("dev/vda"), "").unwrap();
        fs::write(root.path().join("dev/vdb"), "").unwrap();
        symlink("../../vda", root.path().join("dev/disk/by-id/virtio-mine")).unwrap();
        symlink("../../vdb", root.path().join("dev/disk/by-id/virtio-other")).unwrap();
        let links = of(&probe, &disk("vda", None, Some("LAB"), None));
        assert_eq!(links, ["by-id/virtio-mine"]);
    }
}
