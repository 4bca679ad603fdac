//! What a layout says of devices, contents, volumes and boot devices, and how it is drawn.

use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::{Disk, Dmi, FACTS_VERSION, Facts, Firmware};
use hostwright_model::storage::{
    BootDevices, FstabKey, PartitionContent, PartitionKind, StorageLayout,
};
use hostwright_plan::storage::{StorageDisk, StorageFacts, draw, examine, try_layout};

const GPT_HOME: &str = include_str!("../../../fixtures/disk_config/gpt-home");
const GPT_LVM: &str = include_str!("../../../fixtures/disk_config/gpt-lvm");
const MSDOS_HOME: &str = include_str!("../../../fixtures/disk_config/msdos-home");
const MSDOS_LVM: &str = include_str!("../../../fixtures/disk_config/msdos-lvm");

fn disks(words: &str) -> Vec<StorageDisk> {
    words.split(' ').map(|word| word.parse().expect("a disk")).collect()
}

/// The layout of the file of class `WEB` on such disks and 8 GiB of memory.
fn lay_out(text: &str, words: &str) -> StorageLayout {
    let (disks, memory_bytes, firmware) = (disks(words), 8 << 30, Firmware::Uefi);
    let facts = StorageFacts::new(disks, memory_bytes, firmware);
    let found = examine("disk_config/WEB", text, Some("WEB"), &facts);
    found.layout.unwrap_or_else(|| panic!("{:#?}", found.diagnostics))
}

fn devices(layout: &StorageLayout) -> Vec<&str> {
    let partitions = layout.disks.iter().flat_map(|disk| &disk.partitions);
    partitions.map(|partition| partition.device.as_str()).collect()
}

fn contents(layout: &StorageLayout) -> Vec<PartitionContent> {
    let partitions = layout.disks.iter().flat_map(|disk| &disk.partitions);
    partitions.map(|partition| partition.content).collect()
}

#[test]
fn partitions_are_named_after_their_disk() {
    let text = "disk_config disk1\nprimary / 1G ext4 rw\nlogical /a 1G ext4 rw\n";
    for (disk, expected) in [
        ("vda=20GiB", ["/dev/vda1", "/dev/vda2", "/dev/vda5"]),
        ("nvme0n1=20GiB", ["/dev/nvme0n1p1", "/dev/nvme0n1p2", "/dev/nvme0n1p5"]),
        ("mmcblk0=20GiB", ["/dev/mmcblk0p1", "/dev/mmcblk0p2", "/dev/mmcblk0p5"]),
        ("loop0=20GiB", ["/dev/loop0p1", "/dev/loop0p2", "/dev/loop0p5"]),
    ] {
        assert_eq!(devices(&lay_out(text, disk)), expected);
    }
}

#[test]
fn removable_disks_are_not_counted() {
    let disk = |name: &str, removable| Disk {
        links: Vec::new(),
        name: name.to_owned(),
        size_bytes: 20 << 30,
        sector_bytes: 512,
        model: None,
        serial: None,
        wwn: None,
        rotational: false,
        removable,
        signatures: Vec::new(),
    };
    let facts = Facts {
        version: FACTS_VERSION,
        firmware: Firmware::Bios,
        architecture: "amd64".to_owned(),
        memory_bytes: 1 << 30,
        cpus: 1,
        disks: vec![disk("sda", true), disk("sdb", false)],
        nics: Vec::new(),
        dmi: Dmi::default(),
        kernel: String::new(),
        tpm2: false,
        storage: ExistingStorage::default(),
    };
    let found = examine("x", MSDOS_HOME, None, &StorageFacts::from(&facts));
    assert_eq!(found.layout.expect("it fits").disks[0].device, "/dev/sdb");
}

#[test]
fn the_efi_system_partition_is_the_one_that_is_mounted_there() {
    use PartitionContent::{EfiSystem, Fat, Linux, Swap};
    let gpt = |lines: &str| format!("disk_config disk1 disklabel:gpt bootable:1\n{lines}");
    let behind_root = gpt("p=r / 4G ext4 rw\nprimary swap 1G swap sw\np=e /boot/efi 1G vfat rw\n");
    let layout = lay_out(&behind_root, "sda=20GiB");
    assert_eq!(contents(&layout), [Linux, Swap, EfiSystem]);
    assert_eq!(layout.boot.esp_device.as_deref(), Some("/dev/sda3"));
    assert!(layout.disks[0].partitions.iter().all(|partition| !partition.bootable));
    let fat_boot = gpt("p= /boot 1G vfat rw\np= / 4G ext4 rw\np= /data 1G vfat rw\n");
    assert_eq!(contents(&lay_out(&fat_boot, "sda=20GiB")), [EfiSystem, Linux, Fat]);
}

#[test]
fn boot_devices_are_those_that_fai_names() {
    let boot = BootDevices {
        boot_device: Some("/dev/vda".to_owned()),
        boot_partition: Some("/dev/vda1".to_owned()),
        esp_device: None,
        physical_boot_devices: vec!["/dev/vda".to_owned()],
    };
    assert_eq!(lay_out(MSDOS_HOME, "vda=20GiB").boot, boot);
    let with_boot = lay_out(MSDOS_LVM, "vda=20GiB").boot;
    assert_eq!(with_boot, BootDevices { physical_boot_devices: vec![], ..boot });
    let only_lvm = "disk_config disk1\nprimary - 4G - -\ndisk_config lvm\nvg v disk1.1\n\
                    v-root / 2G ext4 rw\n";
    let boot = lay_out(only_lvm, "vda=20GiB").boot;
    assert_eq!((boot.boot_device.as_deref(), boot.boot_partition), (Some("/dev/v/root"), None));
}

#[test]
fn volumes_carry_everything_in_the_order_of_their_lines() {
    let layout = lay_out(MSDOS_HOME, "vda=20GiB");
    let paths: Vec<_> = layout.volumes.iter().map(|v| v.mount_point.as_deref()).collect();
    assert_eq!(paths, [Some("/"), None, Some("/home")]);
    let home = &layout.volumes[2];
    assert_eq!((home.device.as_str(), home.size_bytes), ("/dev/vda6", 4_973_968_896));
    assert_eq!(home.create_options, ["-L", "people", "-m", "2"]);
    assert_eq!(home.tune_options, ["-c", "0"]);
    assert_eq!((home.mount_options.as_str(), home.fstab_key), ("nosuid,nodev", FstabKey::Uuid));
    assert_eq!(home.why.to_string(), "disk_config/WEB:7 (class WEB)");
    let extended = &layout.disks[0].partitions[1];
    assert_eq!((extended.kind, extended.why.line), (PartitionKind::Extended, 6));
}

#[test]
fn partition_names_are_for_gpt_only() {
    let names = |text: &str| -> Vec<Option<String>> {
        let layout = lay_out(text, "vda=20GiB");
        layout.volumes.into_iter().map(|volume| volume.partition_name).collect()
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(names(GPT_HOME), [some("efi"), some("root"), None, some("home")]);
    assert_eq!(names("disk_config disk1\np=a / 4G ext4 rw\n"), [None]);
}

#[test]
fn lvm_spans_disks_and_stanzas() {
    let text = "disk_config disk1\nprimary / 4G ext4 rw\nlogical - 1G- - -\n\
                disk_config disk2 disklabel:gpt\nprimary - 100% - -\n\
                disk_config lvm fstabkey:label\nvg data disk1.5,sdb1 vgcreateopts=\"-s 8M\"\n\
                disk_config lvm fstabkey:uuid\ndata-a /a 50% xfs rw lvcreateopts=\"-i 2\"\n\
                data-b - 1G - -\n";
    let layout = lay_out(text, "sda=20GiB sdb=20GiB");
    let group = &layout.volume_groups[0];
    assert_eq!(group.physical_volumes, ["/dev/sda5", "/dev/sdb1"]);
    assert_eq!(group.vg_create_options, ["-s", "8M"]);
    assert_eq!(group.logical_volumes[0].create_options, ["-i", "2"]);
    let names: Vec<_> = group.logical_volumes.iter().map(|v| v.device.as_str()).collect();
    assert_eq!(names, ["/dev/data/a", "/dev/data/b"]);
    let formatted: Vec<_> = layout.volumes.iter().map(|v| (&*v.device, v.fstab_key)).collect();
    assert_eq!(formatted, [("/dev/sda1", FstabKey::Device), ("/dev/data/a", FstabKey::Uuid)]);
    use PartitionContent::{Extended, Linux, Lvm};
    assert_eq!(contents(&layout), [Linux, Extended, Lvm, Lvm]);
}

#[test]
fn sizes_may_follow_the_memory() {
    let text = "disk_config disk1\nprimary / RAM:50%-8G ext4 rw\nprimary swap RAM:25% swap sw\n";
    let sizes = |memory_bytes| -> Vec<u64> {
        let layout = try_layout("x", text, &disks("sda=8GiB"), memory_bytes, Firmware::Bios);
        layout.expect("it fits").volumes.into_iter().map(|volume| volume.size_bytes).collect()
    };
    assert_eq!(sizes(4 << 30), [(7 << 30) - (1 << 20), 1 << 30]);
    assert_eq!(sizes(8 << 30), [(6 << 30) - (1 << 20), 2 << 30]);
}

#[test]
fn large_sectors_are_kept_to() {
    let layout = lay_out(GPT_HOME, "nvme0n1=20GiB,4096");
    for partition in &layout.disks[0].partitions {
        assert_eq!((partition.start_bytes % 4096, (partition.end_bytes + 1) % 4096), (0, 0));
    }
}

#[test]
fn pictures_show_every_byte_and_every_reason() {
    insta::assert_snapshot!("msdos", draw(&lay_out(MSDOS_HOME, "vda=20GiB")));
    insta::assert_snapshot!("gpt_lvm", draw(&lay_out(GPT_LVM, "nvme0n1=200GiB")));
    let two_disks = "disk_config disk1 disklabel:gpt-bios bootable:1\np=system / 4G-6G ext4 rw\n\
                     p=pool - 4G-8G - -\n\ndisk_config disk2\nprimary - 10G - -\n\
                     disk_config lvm\nvg data disk1.2,sdb1\ndata-srv /srv 1G-9G ext4 rw\n";
    insta::assert_snapshot!("two_disks", draw(&lay_out(two_disks, "sda=20GiB sdb=3TiB")));
    assert_eq!(draw(&StorageLayout::default()), "No disk is partitioned.\n");
}
