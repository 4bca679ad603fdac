//! Every mistake in a disk_config is reported once, by name, at its place and with a cure.

mod support;

use hostwright_model::diagnostic::Severity::{self, Error, Warning};
use hostwright_model::facts::Firmware;
use hostwright_model::storage::PartitionKind::{Extended, Logical, Primary};
use hostwright_plan::storage::{
    Code, StorageDisk, StorageFacts, check, check_root, examine, parse,
};
use std::collections::BTreeSet;
use support::OldDisks;

fn facts(firmware: Firmware) -> StorageFacts {
    let disk = |name: &str, gib: u64| StorageDisk {
        name: name.to_owned(),
        size_bytes: gib << 30,
        sector_bytes: 512,
        ..StorageDisk::default()
    };
    let disks = vec![disk("sda", 20), disk("sdb", 3000)];
    StorageFacts::new(disks, 8 << 30, firmware)
}

/// Name, severity, line and column.
type Finding = (Code, Severity, u32, u32);

/// A text and everything that must be found in it on a BIOS machine with 20 and 3000 GiB.
const TABLE: &[(&str, &[Finding])] = &[
    // --- lexical
    ("disk_config disk1\r\nprimary / 4G- ext4 rw\r\n", &[(Code::Crlf, Error, 1, 18)]),
    ("disk_config disk1\nprimary / 4G- ext4 rw", &[(Code::NoFinalNewline, Warning, 2, 22)]),
    ("hda1;/;100-\n", &[(Code::OldStyle, Error, 1, 5)]),
    (
        "disk_config disk1\nprimary / 4G- ext4 rw createopts=\"-O a;b\"\n",
        &[(Code::OldStyle, Error, 2, 39)],
    ),
    ("disk_config disk1 # one\nprimary / 4G- ext4 rw\n", &[(Code::TrailingComment, Error, 1, 19)]),
    ("disk_config disk1\nprimary / 4G- ext4 # rw\n", &[(Code::TrailingComment, Error, 2, 20)]),
    // --- headers
    ("disk_config\n", &[(Code::BadStanza, Error, 1, 12)]),
    ("disk_config raids\nraid1 / sda1,sdb1 ext4 rw\n", &[(Code::BadStanza, Error, 1, 13)]),
    ("disk_config disk0\nprimary / 4G- ext4 rw\n", &[(Code::BadStanza, Error, 1, 13)]),
    ("disk_config disk1.2\nprimary / 4G- ext4 rw\n", &[(Code::BadStanza, Error, 1, 13)]),
    ("disk_config end now\n", &[(Code::UnknownOption, Error, 1, 17)]),
    ("disk_confg disk1\nprimary / 4G- ext4 rw\n", &[(Code::UnknownLine, Error, 1, 1)]),
    ("disk_config disk1 align_at:1M\n", &[(Code::UnknownOption, Error, 1, 19)]),
    ("disk_config disk1 bootable:x\n", &[(Code::BadOptionValue, Error, 1, 19)]),
    ("disk_config disk1 disklabel:gpt2\n", &[(Code::BadOptionValue, Error, 1, 19)]),
    ("disk_config disk1 align-at:0\n", &[(Code::BadOptionValue, Error, 1, 19)]),
    ("disk_config lvm fstabkey:partuuid\n", &[(Code::BadOptionValue, Error, 1, 17)]),
    (
        "disk_config disk1 fstabkey:partlabel disklabel:gpt\n",
        &[(Code::PartlabelOnMsdos, Error, 1, 19)],
    ),
    // --- what FAI has and this version has not
    (
        "disk_config disk1\nprimary / 4G- ext4:journal=/dev/sdb1 rw\n",
        &[(Code::NotSupported, Error, 2, 15)],
    ),
    // --- other kinds of stanzas
    (
        "disk_config disk1 preserve_always:x\nprimary / 4G- ext4 rw\n",
        &[(Code::BadOptionValue, Error, 1, 19)],
    ),
    (
        "disk_config disk1\nprimary / 4G- ext4 rw\ndisk_config disk2 sameas:sdc\n",
        &[(Code::NoSuchStanza, Error, 3, 19)],
    ),
    ("disk_config raid\n", &[(Code::EmptyStanza, Error, 1, 13)]),
    (
        "disk_config disk1\nprimary - 4G - -\ndisk_config raid preserve_lazy:1\n\
         raid1 / sda1 ext4 rw\n",
        &[(Code::NoSuchVolume, Error, 3, 18)],
    ),
    ("disk_config raid\nraid0 / sda1,sdb1:spare ext4 rw\n", {
        &[(Code::Raid0Spare, Error, 2, 14)]
    }),
    (
        "disk_config disk1\nprimary - 4G - -\nprimary - 4G - -\ndisk_config raid\n\
         raid6 / sda1,sda2 ext4 rw\n",
        &[(Code::TooFewMembers, Error, 5, 1)],
    ),
    ("disk_config raid\nraid0 - md1 - -\nraid0 - md0 - -\n", {
        &[(Code::StackingLoop, Error, 2, 9), (Code::StackingLoop, Error, 3, 9)]
    }),
    (
        "disk_config disk1\nprimary - 4G - -\nprimary - 4G - -\ndisk_config cryptsetup\n\
         luks /srv sda1,sda2 ext4 rw\n",
        &[(Code::OneDevice, Warning, 5, 11)],
    ),
    (
        "disk_config disk1\nprimary / 4G ext4 rw\nprimary /srv:encrypt 4G ext4 rw\n",
        &[(Code::InlineEncryption, Warning, 3, 13)],
    ),
    (
        "disk_config disk1\nprimary - 4G - -\ndisk_config cryptsetup\nluks / sda1 ext4 rw\n",
        &[(Code::EncryptedBoot, Error, 4, 6)],
    ),
    ("disk_config disk1\nprimary / 4G btrfs rw\n", &[(Code::NoSubvolume, Error, 2, 20)]),
    (
        "disk_config disk1\nraw-disk / 4G ext4 rw\nprimary /a 4G ext4 rw\n",
        &[(Code::RawDiskMixed, Error, 3, 1)],
    ),
    ("disk_config sd?\nprimary / 4G- ext4 rw\n", &[(Code::AmbiguousDevice, Error, 1, 13)]),
    ("disk_config /dev/disk/by-id/x\nprimary / 4G ext4 rw\n", {
        &[(Code::NoSuchDisk, Error, 1, 13)]
    }),
    ("disk_config tmpfs\ntmpfs /tmp 50% rw\n", &[(Code::BadSize, Error, 2, 12)]),
    ("disk_config lvm\nvg vg1 md0\n", &[(Code::NoSuchPartition, Error, 2, 8)]),
    // --- lines
    ("disk_config disk1\nPrimary / 4G- ext4 rw\n", &[(Code::UnknownLine, Error, 2, 1)]),
    ("primary / 4G- ext4 rw\n", &[(Code::WrongStanza, Error, 1, 1)]),
    ("disk_config lvm\nprimary / 4G- ext4 rw\n", &[(Code::WrongStanza, Error, 2, 1)]),
    ("disk_config disk1\nluks / sda1 ext4 rw\n", &[(Code::WrongStanza, Error, 2, 1)]),
    ("disk_config disk1\nprimary / 4G- ext4\n", &[(Code::MissingField, Error, 2, 19)]),
    ("disk_config disk1\np=root\n", &[(Code::MissingField, Error, 2, 1)]),
    ("disk_config disk1\nprimary root 4G- ext4 rw\n", &[(Code::BadMountPoint, Error, 2, 9)]),
    ("disk_config disk1\nprimary /a:b 4G- ext4 rw\n", &[(Code::BadMountPoint, Error, 2, 9)]),
    ("disk_config disk1\nprimary / 1.5G- ext4 rw\n", &[(Code::BadSize, Error, 2, 11)]),
    ("disk_config disk1\nprimary / 4Gi ext4 rw\n", &[(Code::BadSize, Error, 2, 11)]),
    ("disk_config disk1\nprimary / 4G- ext5 rw\n", &[(Code::BadFileSystem, Error, 2, 15)]),
    ("disk_config disk1\nprimary / 4G- swapfs sw\n", &[(Code::BadFileSystem, Error, 2, 15)]),
    ("disk_config lvm\nvg vg1 disk1.2, disk2.1\n", &[(Code::BadDevice, Error, 2, 17)]),
    ("disk_config lvm\nvg vg1 sda1:spare\n", &[(Code::BadDevice, Error, 2, 8)]),
    ("disk_config lvm\nvg a-b disk1.2\n", &[(Code::BadName, Error, 2, 4)]),
    ("disk_config lvm\nvg1-my-root / 4G ext4 rw\n", &[(Code::BadName, Error, 2, 1)]),
    (
        "disk_config disk1\nprimary / 4G- ext4 rw createopts=\"-L $X\"\n",
        &[(Code::BadProgramOptions, Error, 2, 35)],
    ),
    (
        "disk_config disk1\nprimary / 4G- ext4 rw createopts=-m1\n",
        &[(Code::BadProgramOptions, Error, 2, 23)],
    ),
    (
        "disk_config disk1\nprimary / 4G- ext4 rw tuneopts=\"-c 0\" tuneopts=\"-i 0\"\n",
        &[(Code::RepeatedOption, Warning, 2, 49)],
    ),
    (
        "disk_config lvm\nvg v sda1\nv-a / 4G ext4 rw createopts=\"-m 1\" lvcreateopts=\"-i 2\"\n",
        &[(Code::UnknownOption, Error, 3, 36)],
    ),
    // --- sense, on any machine
    (
        "disk_config disk1\nprimary / 4G- ext4 rw\ndisk_config disk1\nprimary /a 4G ext4 rw\n",
        &[(Code::DuplicateDisk, Error, 3, 13)],
    ),
    ("disk_config disk1\n", &[(Code::EmptyStanza, Error, 1, 13)]),
    (
        "disk_config disk1\nprimary /1 1 ext4 rw\nprimary /2 1 ext4 rw\nprimary /3 1 ext4 rw\n\
         primary /4 1 ext4 rw\nlogical /5 1 ext4 rw\n",
        &[(Code::TooManyPrimaries, Error, 6, 1)],
    ),
    (
        "disk_config disk1 disklabel:gpt-bios\nlogical / 4G- ext4 rw\n",
        &[(Code::LogicalOnGpt, Error, 2, 1)],
    ),
    ("disk_config disk1\np=root / 4G- ext4 rw\n", &[(Code::NameOnMsdos, Warning, 2, 1)]),
    (
        "disk_config disk1\nprimary / 4G- ext4 rw\nprimary / 4G- ext4 rw\n",
        &[(Code::DuplicateMountPoint, Error, 3, 9)],
    ),
    ("disk_config disk1\nprimary / 4G- - rw\n", &[(Code::FileSystemMismatch, Error, 2, 15)]),
    ("disk_config disk1\nprimary / 4G- swap rw\n", &[(Code::FileSystemMismatch, Error, 2, 15)]),
    ("disk_config disk1\nprimary swap 4G ext4 rw\n", &[(Code::FileSystemMismatch, Error, 2, 17)]),
    (
        "disk_config disk1\nprimary / 4G- xfs rw tuneopts=\"-c 0\"\n",
        &[(Code::TuneNotPossible, Error, 2, 32)],
    ),
    (
        "disk_config disk1 bootable:2\nprimary / 4G- ext4 rw\n",
        &[(Code::NoSuchPartition, Error, 1, 19)],
    ),
    (
        "disk_config disk1\nprimary / 4G- ext4 rw\ndisk_config lvm\nvg vg1 disk1.2\n",
        &[(Code::NoSuchPartition, Error, 4, 8)],
    ),
    ("disk_config disk1\nprimary / 4G-2G ext4 rw\n", &[(Code::InvertedRange, Error, 2, 11)]),
    ("disk_config lvm\nvg1-root / 4G ext4 rw\n", &[(Code::GroupUndeclared, Error, 2, 1)]),
    (
        "disk_config disk1\nprimary - 4G- - -\ndisk_config lvm\nvg vg1 disk1.1\nvg vg1 disk1.1\n",
        &[(Code::DuplicateGroup, Error, 5, 4)],
    ),
    (
        "disk_config disk1\nprimary - 4G- - -\ndisk_config lvm\nvg v disk1.1\n\
         v-a /a 1G ext4 rw\nv-a /b 1G ext4 rw\n",
        &[(Code::DuplicateLogicalVolume, Error, 6, 3)],
    ),
    (
        "disk_config disk1\nprimary - 4G- - -\ndisk_config lvm fstabkey:uuid\nvg v disk1.1\n\
         disk_config lvm\nv-a /a 1G ext4 rw\n",
        &[(Code::LvmFstabkeyReset, Warning, 5, 13)],
    ),
    // --- sense, on this machine
    ("disk_config disk3\nprimary / 4G- ext4 rw\n", &[(Code::NoSuchDisk, Error, 1, 13)]),
    ("disk_config vda\nprimary / 4G- ext4 rw\n", &[(Code::NoSuchDisk, Error, 1, 13)]),
    (
        "disk_config disk1\nprimary / 4G- ext4 rw\ndisk_config sda\nprimary /a 4G ext4 rw\n",
        &[(Code::DuplicateDisk, Error, 3, 13)],
    ),
    ("disk_config disk1 align-at:1000B\nprimary / 4G- ext4 rw\n", {
        &[(Code::BadAlignment, Error, 1, 19)]
    }),
    ("disk_config disk1\nprimary / 21G ext4 rw\n", &[(Code::DiskTooSmall, Error, 2, 11)]),
    (
        "disk_config disk1\nprimary / 4G- ext4 rw\nprimary /a 10G ext4 rw\nprimary /b 7G- ext4 rw\n",
        &[(Code::DiskTooSmall, Error, 4, 12)],
    ),
    (
        "disk_config disk1\nprimary / 12G ext4 rw\nprimary /a 10G ext4 rw\nprimary /b 1G ext4 rw\n",
        &[(Code::DiskTooSmall, Error, 3, 12)],
    ),
    ("disk_config disk1\nprimary / 4G-1% ext4 rw\n", &[(Code::InvertedRange, Error, 2, 11)]),
    ("disk_config disk1\nprimary / 100B ext4 rw\n", &[(Code::EmptyPartition, Error, 2, 11)]),
    ("disk_config disk2\nprimary / 4G- ext4 rw\n", &[(Code::PartitionOver2Tib, Error, 2, 11)]),
    (
        "disk_config disk1\nprimary - 4G - -\ndisk_config lvm\nvg v disk1.1\n\
         v-a /a 3G ext4 rw\nv-b /b 1G ext4 rw\n",
        &[(Code::GroupTooSmall, Error, 6, 8)],
    ),
    (
        "disk_config disk1\nprimary /boot 4G ext4 rw\ndisk_config lvm\nvg v disk1.1\n",
        &[(Code::DeviceUsedTwice, Error, 4, 6)],
    ),
    (
        "disk_config disk1\nprimary - 4G - -\ndisk_config lvm\nvg v disk1.1\nvg w sda1\n",
        &[(Code::DeviceUsedTwice, Error, 5, 6)],
    ),
    (
        "disk_config disk1 disklabel:gpt\nprimary / 4G- ext4 rw\n",
        &[(Code::NoBiosBootPartition, Warning, 1, 0)],
    ),
];

/// The same on a UEFI machine.
const UEFI_TABLE: &[(&str, &[Finding])] = &[
    ("disk_config disk1\nprimary / 4G- ext4 rw\n", &[(Code::NoEfiSystemPartition, Warning, 1, 0)]),
    (
        "disk_config disk1 disklabel:gpt\np=efi /boot/efi 1G ext4 rw\np=root / 4G- ext4 rw\n",
        &[(Code::EfiSystemPartitionNotFat, Warning, 2, 0)],
    ),
];

/// The same on a BIOS machine that has had another life: see [`reused`].
const REUSED_TABLE: &[(&str, &[Finding])] = &[
    (
        "disk_config sda preserve_always:3\nprimary / 4G ext4 rw\nprimary /a 1G ext4 rw\n\
         primary /b 1G ext4 rw\n",
        &[(Code::KeepMissing, Error, 1, 17)],
    ),
    (
        "disk_config sda disklabel:gpt-bios preserve_always:1\nprimary / 4G ext4 rw\n",
        &[(Code::KeepMismatch, Error, 1, 36)],
    ),
    (
        "disk_config sda preserve_always:2\nprimary / 4G ext4 rw\nprimary /a 1G ext4 rw\n",
        &[(Code::KeepMismatch, Error, 1, 17)],
    ),
    (
        "disk_config sda\nprimary / 4G:preserve_always xfs rw\n",
        &[(Code::KeepMismatch, Error, 2, 13)],
    ),
    (
        "disk_config sda preserve_always:5\nprimary / 6G ext4 rw\nlogical /a 1G xfs rw\n",
        &[(Code::KeepBlocked, Error, 1, 17)],
    ),
    (
        "disk_config sda preserve_always:1\nprimary - 4G - -\ndisk_config lvm\nvg v sda1\n\
         v-r / 1G ext4 rw\n",
        &[(Code::KeepNotPossible, Error, 4, 4)],
    ),
    (
        "disk_config sda preserve_always:1\nprimary / 1G ext4 rw\n",
        &[(Code::KeepSize, Warning, 2, 11)],
    ),
    (
        "disk_config sda preserve_always:1 resize:5\nprimary / 4G ext4 rw\nlogical /a 1G xfs rw\n",
        &[(Code::ResizeNotPossible, Error, 1, 35)],
    ),
    ("disk_config sdb disklabel:gpt-bios\nprimary / 4G ext4 rw\n", {
        &[(Code::ForeignLayer, Error, 1, 0)]
    }),
    ("disk_config sdd\nprimary / 4G ext4 rw\n", &[(Code::DeviceInUse, Error, 1, 0)]),
    (
        "disk_config sda\nprimary - 4G - -\ndisk_config lvm\nvg elsewhere sda1\n\
         elsewhere-r / 1G ext4 rw\n",
        &[(Code::NameTaken, Error, 4, 0)],
    ),
];

/// Four disks: one with files, two that a volume group shares, one that is mounted.
fn reused() -> StorageFacts {
    let disk = |name: &str| StorageDisk {
        name: name.to_owned(),
        size_bytes: 20 << 30,
        sector_bytes: 512,
        ..StorageDisk::default()
    };
    let disks = ["sda", "sdb", "sdc", "sdd"].map(disk).to_vec();
    let mut facts = StorageFacts::new(disks, 8 << 30, Firmware::Bios);
    let mut old = OldDisks::default();
    old.table("sda", "dos", &[(1, Primary, 1, 4096), (2, Extended, 4098, 2050)]);
    old.partition("sda", 5, Logical, 4099, 2048);
    old.table("sdb", "gpt", &[(1, Primary, 1, 4096), (2, Primary, 4097, 4096)]);
    old.table("sdc", "gpt", &[(1, Primary, 1, 4096), (2, Primary, 4097, 4096)]);
    old.table("sdd", "dos", &[(1, Primary, 1, 4096)]);
    old.signature("/dev/sda1", "ext4");
    old.signature("/dev/sda5", "xfs");
    old.group("shared", &["/dev/sdb2", "/dev/sdc1"], &[]);
    old.group("elsewhere", &["/dev/sdc2"], &[]);
    old.in_use("/dev/sdd1", Some("/mnt"));
    facts.existing = old.0;
    facts
}

/// What is found only where FAI's ways are asked for, on [`reused`] disks.
const FAI_BUGS_TABLE: &[(&str, &[Finding])] = &[(
    "disk_config sda preserve_always:1\nprimary /a 4096 ext4 rw\n",
    &[(Code::CylinderAlignment, Warning, 1, 13)],
)];

/// An error on [`reused`] disks, unless FAI's ways are asked for.
const REMADE: &str = "disk_config sda preserve_always:1\nprimary - 4G - -\ndisk_config lvm\n\
                      vg v sda1\nv-r / 1G ext4 rw\n";

/// Compares all findings, and that each can be shown: a message, a cure, the line of text.
fn assert_findings(text: &str, expected: &[Finding], facts: &StorageFacts) {
    let found = examine("disk_config/X", text, Some("X"), facts);
    let short: Vec<_> = found
        .diagnostics
        .iter()
        .map(|d| (d.code.as_str(), d.severity, d.at.as_ref().map(|at| (at.line, at.column))))
        .collect();
    let wanted: Vec<_> = expected
        .iter()
        .map(|(code, severity, line, column)| (code.name(), *severity, Some((*line, *column))))
        .collect();
    assert_eq!(short, wanted, "in {text:?}: {:#?}", found.diagnostics);
    let is_error = expected.iter().any(|(_, severity, ..)| *severity == Error);
    assert_eq!(found.layout.is_none(), is_error, "{text:?}");
    for diagnostic in &found.diagnostics {
        let at = diagnostic.at.as_ref().expect("a place");
        let line = text.lines().nth(at.line as usize - 1);
        assert_eq!(diagnostic.source_line.as_deref(), line, "{text:?}");
        assert!(
            at.column as usize + at.length as usize <= line.map_or(0, str::len) + 2,
            "{text:?}"
        );
        assert!(!diagnostic.message.is_empty() && !diagnostic.cure.is_empty(), "{text:?}");
        assert!(!diagnostic.message.ends_with('.'), "{text:?}");
    }
}

#[test]
fn each_mistake_is_found_once_and_where_it_is() {
    for (text, expected) in TABLE {
        assert_findings(text, expected, &facts(Firmware::Bios));
    }
    for (text, expected) in UEFI_TABLE {
        assert_findings(text, expected, &facts(Firmware::Uefi));
    }
    for (text, expected) in REUSED_TABLE {
        assert_findings(text, expected, &reused());
    }
    for (text, expected) in FAI_BUGS_TABLE {
        assert_findings(text, expected, &StorageFacts { fai_bugs: true, ..reused() });
        assert_findings(text, &[], &reused());
    }
    let warnings =
        [(Code::CylinderAlignment, Warning, 1, 13), (Code::KeepNotPossible, Warning, 4, 4)];
    assert_findings(REMADE, &warnings, &StorageFacts { fai_bugs: true, ..reused() });
}

#[test]
fn a_passphrase_is_in_no_finding() {
    for line in [
        "luks:\"zebra quilt\" /x nowhere ext4 rw",
        "luks:\"zebra quilt\" x disk1.1 ext4 rw",
        "luks:\"zebra quilt\" /x disk1.1 ext4 rw more",
        "luks:\"zebra quilt /x disk1.1 ext4 rw",
        "luks:\"zebra\"quilt /x disk1.1 ext4 rw",
        "luks:zebra-quilt /x disk1.1 ext4 rw",
        "Luks:\"zebra-quilt\" /x disk1.1 ext4 rw",
        "luks :\"zebra quilt\" /x disk1.1 ext4 rw",
        "luks\t'zebra quilt' /x disk1.1 ext4 rw",
    ] {
        let text =
            format!("disk_config disk1\nprimary - 4G ext4 rw\ndisk_config cryptsetup\n{line}\n");
        let found = examine("disk_config/X", &text, Some("X"), &facts(Firmware::Bios)).diagnostics;
        assert!(found.iter().any(|diagnostic| diagnostic.severity == Error), "{line}");
        let mut tree = support::minimal();
        let file = hostwright_plan::TreeFile::file(text.as_bytes(), false);
        tree.files.insert("disk_config/X".to_owned(), file);
        let checked = hostwright_plan::check(&tree);
        let words = format!("{found:?} {checked:?}");
        assert!(!words.contains("zebra") && !words.contains("quilt"), "{line}: {words}");
    }
}

#[test]
fn every_code_has_a_test() {
    let tables = TABLE.iter().chain(UEFI_TABLE).chain(REUSED_TABLE).chain(FAI_BUGS_TABLE);
    let tested: BTreeSet<Code> = tables.flat_map(|(_, f)| *f).map(|(code, ..)| *code).collect();
    let untested = Code::ALL.iter().map(|(code, _)| *code).filter(|code| !tested.contains(code));
    // Only targets that must boot ask for a root file system.
    assert_eq!(untested.collect::<Vec<_>>(), [Code::NoRoot]);
    let names: BTreeSet<&str> = Code::ALL.iter().map(|(code, _)| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len(), "names are unique");
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let text = "disk_config disk1 disklabel:gpt\nprimary / 4x- ext4 rw\nlogical /a 1G ext4 rw\n\
                primary /b 1G ext9 rw\nprimary /a 1G ext4 rw\n";
    assert_findings(
        text,
        &[
            (Code::BadSize, Error, 2, 11),
            (Code::LogicalOnGpt, Error, 3, 1),
            (Code::BadFileSystem, Error, 4, 15),
            (Code::DuplicateMountPoint, Error, 5, 9),
        ],
        &facts(Firmware::Bios),
    );
}

#[test]
fn a_root_file_system_is_asked_for_only_where_it_must_be() {
    let root_of = |text: &str| {
        let (config, diagnostics) = parse("x", text, None);
        assert_eq!((diagnostics, check(&config)), (vec![], vec![]), "{text:?}");
        check_root(&config).map(|diagnostic| diagnostic.code)
    };
    let missing = Some(Code::NoRoot.name().to_owned());
    assert_eq!(root_of(""), missing);
    assert_eq!(root_of("disk_config disk1\nprimary /srv 4G- ext4 rw\n"), missing);
    assert_eq!(root_of("disk_config disk1\nprimary / 4G- ext4 rw\n"), None);
    let lvm = "disk_config lvm\nvg v disk1.1\nv-r / 4G ext4 rw\n";
    assert_eq!(root_of(lvm), None);
}

#[test]
fn a_disk_that_is_too_small_says_how_much_is_missing() {
    let text = "disk_config disk1\nprimary / 18G ext4 rw\nprimary /home 3G- ext4 rw\n";
    let found = examine("X", text, None, &facts(Firmware::Bios)).diagnostics;
    assert_eq!(
        found[0].to_string(),
        "X:3:15: error[disk-config-disk-too-small]: /home needs 3.0 GiB, and /dev/sda has 2.0 GiB \
         left for it; ask for less, or use a disk of 21505 MiB or more; this one has 20.0 GiB"
    );
}
