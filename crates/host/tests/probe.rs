//! The probes on machines that are described in a directory.

use hostwright_host::probe::Probe;
use hostwright_model::facts::{Facts, Firmware};
use std::fs;
use std::path::Path;

/// Files of a UEFI server: two disks that count, four devices that do not.
const SERVER: &[(&str, &str)] = &[
    ("proc/meminfo", "MemTotal:       16303424 kB\nMemFree:         1 kB\n"),
    ("proc/sys/kernel/arch", "aarch64\n"),
    ("proc/sys/kernel/osrelease", "6.1.0-37-arm64\n"),
    ("sys/firmware/efi/fw_platform_size", "64\n"),
    ("sys/devices/system/cpu/online", "0-3,8-9\n"),
    ("sys/class/dmi/id/sys_vendor", "Example Systems\n"),
    ("sys/class/dmi/id/product_name", "Box 9\n"),
    ("sys/class/dmi/id/product_serial", "  \n"),
    ("sys/class/dmi/id/product_uuid", "6c2a5a8e-0000-4000-8000-000000000001\n"),
    ("sys/block/sda/size", "2097152\n"),
    ("sys/block/sda/removable", "0\n"),
    ("sys/block/sda/queue/logical_block_size", "512\n"),
    ("sys/block/sda/queue/rotational", "1\n"),
    ("sys/block/sda/device/model", "SPINNER 1000    \n"),
    ("sys/block/sda/device/vpd_pg80", "\0\u{0}\0\u{8}  WD-42  "),
    ("sys/block/sda/device/wwid", "naa.5000c500a1b2c3d4\n"),
    ("sys/block/nvme0n1/size", "4194304\n"),
    ("sys/block/nvme0n1/queue/logical_block_size", "4096\n"),
    ("sys/block/nvme0n1/queue/rotational", "0\n"),
    ("sys/block/nvme0n1/device/serial", "NV7 \n"),
    ("sys/block/nvme0n1/device/model", "Fast\n"),
    ("sys/block/nvme0n1/wwid", "eui.0025\n"),
    ("sys/block/sdb/size", "0\n"),
    ("sys/block/sr0/size", "2097151\n"),
    ("sys/block/loop0/size", "2048\n"),
    ("sys/block/md127/size", "2048\n"),
    ("sys/class/net/eth0/address", "52:54:00:12:34:56\n"),
    ("sys/class/net/eth0/type", "1\n"),
    ("sys/class/net/eth0/carrier", "1\n"),
    ("sys/class/net/lo/address", "00:00:00:00:00:00\n"),
    ("sys/class/net/lo/type", "772\n"),
    ("sys/class/net/wg0/type", "65534\n"),
];

fn lay(root: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("makes directories");
        fs::write(path, content).expect("writes");
    }
}

fn facts(root: &Path) -> Result<Facts, hostwright_host::HostError> {
    Probe::new(root).facts(&mut |command| panic!("a recorded machine runs nothing: {command:?}"))
}

#[test]
fn a_recorded_server_is_read() {
    let root = tempfile::tempdir().expect("a scratch directory");
    lay(root.path(), SERVER);
    let facts = facts(root.path()).expect("reads");
    assert_eq!(facts.firmware, Firmware::Uefi);
    assert_eq!((facts.architecture.as_str(), facts.cpus), ("arm64", 6));
    assert_eq!(facts.memory_bytes, 16_303_424 * 1024);
    assert_eq!(facts.kernel, "6.1.0-37-arm64");
    assert_eq!(facts.dmi.product.as_deref(), Some("Box 9"));
    assert_eq!(facts.dmi.serial, None);
    let [nvme, sda] = &facts.disks[..] else { panic!("{:?}", facts.disks) };
    assert_eq!(
        (nvme.name.as_str(), nvme.size_bytes, nvme.sector_bytes),
        ("nvme0n1", 2 << 30, 4096)
    );
    assert_eq!((nvme.serial.as_deref(), nvme.wwn.as_deref()), (Some("NV7"), Some("eui.0025")));
    assert_eq!((sda.name.as_str(), sda.size_bytes, sda.rotational), ("sda", 1 << 30, true));
    assert_eq!(
        (sda.serial.as_deref(), sda.model.as_deref()),
        (Some("WD-42"), Some("SPINNER 1000"))
    );
    let [nic] = &facts.nics[..] else { panic!("{:?}", facts.nics) };
    assert_eq!((nic.name.as_str(), nic.link_up), ("eth0", true));
}

#[test]
fn what_is_missing_is_named() {
    let root = tempfile::tempdir().expect("a scratch directory");
    let without_memory: Vec<_> =
        SERVER.iter().filter(|(path, _)| *path != "proc/meminfo").collect();
    for (path, content) in without_memory {
        lay(root.path(), &[(path, content)]);
    }
    let error = facts(root.path()).expect_err("there is no meminfo").to_string();
    assert!(error.starts_with("cannot tell the size of the memory"), "{error}");
    assert!(error.contains("proc/meminfo is missing or empty"), "{error}");
}
