//! The cases of the storage rig: one for every kind of thing that a disk_config can ask for.

/// How a disk is attached, and so what it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// `sda`, by virtio-scsi. The kernel names several of them in any order.
    Scsi,
    /// `vdc` and so on, always in the same order.
    Virtio,
    /// `nvme0n1`.
    Nvme,
    /// `sda`, by AHCI; six in all.
    Sata,
}

/// A disk of a case.
#[derive(Clone, Copy, Debug)]
pub struct CaseDisk {
    /// How it is attached.
    pub bus: Bus,
    /// Its size.
    pub size_mib: u32,
}

/// One case: disks, what was on them, a disk_config, and perhaps another for a second life.
#[derive(Debug)]
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// `disk1`, `disk2`, …
    pub disks: &'static [CaseDisk],
    /// Shell text that makes what was there before; `$1` and so on are the names of the disks.
    pub before: &'static str,
    /// The disk_config.
    pub first: &'static str,
    /// What is otherwise in the disk_config of a reinstallation; `None` if there is none.
    pub second: Option<&'static [(&'static str, &'static str)]>,
    /// Shell text, as `before`, that makes the reinstallation fail before it overwrites data. It is
    /// undone then, and the machine comes up as the first installation left it.
    pub sabotage: &'static str,
    /// The machine gets a base system and a boot loader, and is booted from its own disks.
    pub boots: bool,
    /// Shell text that looks at what the comparison does not; it must not fail. It is run with
    /// everything mounted below `/target`, after each installation.
    pub after: &'static str,
}

/// The passphrase in the disk_configs below.
pub const PASSPHRASE: &str = "correct-horse";

const fn scsi(size_mib: u32) -> CaseDisk {
    CaseDisk { bus: Bus::Scsi, size_mib }
}

const fn nvme(size_mib: u32) -> CaseDisk {
    CaseDisk { bus: Bus::Nvme, size_mib }
}

const fn virtio(size_mib: u32) -> CaseDisk {
    CaseDisk { bus: Bus::Virtio, size_mib }
}

impl Case {
    /// The disk_config of a reinstallation.
    pub fn second_config(&self) -> Option<String> {
        let replace = |text: String, (old, new): &(&str, &str)| text.replace(old, new);
        Some(self.second?.iter().fold(self.first.to_owned(), replace))
    }
}

const PLAIN: Case = Case {
    name: "",
    shows: "",
    disks: &[],
    before: "",
    first: "",
    second: None,
    sabotage: "",
    boots: false,
    after: "",
};

/// Four disks with layers of another life, `guest/old-life`, and what is made of them. The name of
/// a group must be its own: the cases share a machine.
macro_rules! new_life {
    ($group:literal) => {
        concat!(
            "\
disk_config disk1 disklabel:gpt
primary / 80 ext4 rw
primary - 150 - -

disk_config disk2 disklabel:msdos
primary - 80 - -
primary - 150 - -

disk_config disk3 disklabel:gpt
primary - 100 - -

disk_config disk4 disklabel:msdos
primary /srv 80 ext4 rw

disk_config raid
raid1 /m disk1.2,disk2.2 ext4 rw

disk_config lvm
vg ",
            $group,
            " disk3.1
",
            $group,
            "-root /home 60 ext4 rw
"
        )
    };
}

/// One array on two disks with tables of different kinds, and a file system beside it.
const TO_BE_KEPT: &str = "\
disk_config disk1 disklabel:gpt fstabkey:uuid
primary / 80 ext4 rw
primary - 100 - -

disk_config disk2 disklabel:msdos fstabkey:uuid
primary /data 80 ext4 rw
primary - 100 - -

disk_config raid fstabkey:uuid
raid1 /srv disk1.2,disk2.2 ext4 rw
";
/// What a reinstallation wants in its place.
const TO_BE_UNDONE: &[(&str, &str)] = &[
    ("disklabel:gpt", "disklabel:msdos"),
    ("primary / 80", "primary / 120"),
    ("primary /data 80", "primary /data 60"),
];

/// Installed and reinstalled by the same file: the mail is kept because it is there by then.
const MAIL_STORE: &str = include_str!("mail-store.disk_config");

/// All cases.
pub const CASES: &[Case] = &[
    Case {
        name: "msdos",
        shows: "a PC table with primary and logical partitions, a label, an active partition",
        disks: &[scsi(400)],
        first: "\
disk_config disk1 disklabel:msdos bootable:1 fstabkey:uuid
primary /boot 60 ext2 rw
primary / 120 ext4 rw,noatime createopts=\"-L msdosroot -O ^metadata_csum\" tuneopts=\"-c 0 -i 0\"
logical swap 40 swap sw
logical /home 50 ext3 rw
logical - 30- - -
",
        ..PLAIN
    },
    Case {
        name: "gpt",
        shows: "a GPT with names and an EFI system partition that is not the first, on NVMe",
        disks: &[nvme(900)],
        first: "\
disk_config disk1 disklabel:gpt fstabkey:partuuid
p=system / 150 ext4 rw
p=esp /boot/efi 60 vfat rw createopts=\"-n GPTESP\"
p=swap swap 40 swap sw
p=data /srv 400- xfs rw
",
        ..PLAIN
    },
    Case {
        name: "gpt-bios",
        shows: "a GPT with a BIOS boot partition, on virtio",
        disks: &[virtio(300)],
        first: "\
disk_config disk1 disklabel:gpt-bios fstabkey:label bootable:1
primary / 100 ext4 rw createopts=\"-L biosroot\"
primary /var 50- ext4 rw createopts=\"-L biosvar\"
",
        ..PLAIN
    },
    Case {
        name: "lvm",
        shows: "two volume groups, one on two disks, sizes in percent",
        disks: &[virtio(300), CaseDisk { bus: Bus::Sata, size_mib: 300 }],
        first: "\
disk_config disk1 disklabel:gpt
primary /boot 50 ext4 rw
primary - 100- - -

disk_config disk2 disklabel:gpt
primary - 100 - -
primary - 100- - -

disk_config lvm fstabkey:uuid
vg vga disk1.2,disk2.1
vga-root / 80 ext4 rw
vga-swap swap 30 swap sw
vga-home /home 20%- ext4 rw
vg vgb disk2.2
vgb-srv /srv 40 ext2 rw
",
        ..PLAIN
    },
    Case {
        name: "raid",
        shows: "RAID 0, 1, 5, 6 and 10, with a spare and with a missing device; sameas",
        disks: &[virtio(500), virtio(500), virtio(500), virtio(500)],
        first: "\
disk_config disk1 disklabel:gpt
primary - 80 - -
primary - 70 - -
primary - 70 - -
primary - 70 - -
primary - 70 - -
primary - 70 - -

disk_config disk2 sameas:disk1

disk_config disk3 sameas:disk1

disk_config disk4 sameas:disk1

disk_config raid fstabkey:uuid
raid1 / disk1.1,disk2.1 ext4 rw
raid1 /m1 disk1.2,disk2.2,disk3.2:spare ext4 rw
raid0 /m0 disk1.3,disk2.3 ext4 rw
raid5 /m5 disk1.4,disk2.4,disk3.4 ext4 rw mdcreateopts=\"--chunk=64\"
raid6 /m6 disk1.5,disk2.5,disk3.5,disk4.5 ext2 rw
raid10 /m10 disk1.6,disk2.6,disk3.6,disk4.6 ext4 rw
raid1 /degraded disk3.3,disk4.3:missing ext4 rw
",
        ..PLAIN
    },
    Case {
        name: "luks",
        shows: "LUKS by key file and by passphrase, keys that are forgotten, randinit",
        disks: &[virtio(500)],
        first: "\
disk_config disk1 disklabel:gpt fstabkey:uuid
primary /boot 50 ext4 rw
primary - 100 - -
primary - 80 - -
primary - 40 - -
primary - 40 - -
primary - 50 - -

disk_config cryptsetup
luks / disk1.2 ext4 rw lukscreateopts=\"--pbkdf=pbkdf2 --pbkdf-force-iterations=1000\"
luks:\"correct-horse\" /home disk1.3 ext4 rw lukscreateopts=\"--pbkdf=pbkdf2 --pbkdf-force-iterations=1000\"
tmp /tmp disk1.4 ext4 rw
swap swap disk1.5 swap sw

disk_config cryptsetup randinit
luks /secret disk1.6 ext4 rw
",
        ..PLAIN
    },
    Case {
        name: "encrypt",
        shows: "the old way to ask for encryption: a mount point with :encrypt",
        disks: &[virtio(300)],
        first: "\
disk_config disk1 disklabel:msdos
primary / 80 ext4 rw
primary /home:encrypt 60 ext4 rw
logical swap:encrypt 40 swap sw
",
        ..PLAIN
    },
    Case {
        name: "luks-lvm-raid",
        shows: "LVM on LUKS on RAID 1",
        disks: &[virtio(400), virtio(400)],
        first: "\
disk_config disk1 disklabel:gpt
primary /boot 50 ext4 rw
primary - 250 - -

disk_config disk2 disklabel:gpt
primary - 50 - -
primary - 250 - -

disk_config raid
raid1 - disk1.2,disk2.2 - -

disk_config cryptsetup
luks - /dev/md0 - - lukscreateopts=\"--pbkdf=pbkdf2 --pbkdf-force-iterations=1000\"

disk_config lvm fstabkey:uuid
vg vgc md0
vgc-root / 100 ext4 rw
vgc-swap swap 30 swap sw
",
        ..PLAIN
    },
    Case {
        name: "btrfs",
        shows: "btrfs on one and on two devices and as the file system of a partition",
        disks: &[virtio(700), virtio(300)],
        first: "\
disk_config disk1 disklabel:gpt
primary - 200 - -
primary - 200 - -
primary /home 200 btrfs rw,subvol=home

disk_config disk2 disklabel:gpt
primary - 200 - -

disk_config btrfs fstabkey:uuid
btrfs single / disk1.1 subvol=@,noatime
btrfs raid1 /srv disk1.2,disk2.1 subvol=data
",
        after: "\
test \"$(findmnt --noheadings --output FSROOT /target)\" = /@
test \"$(findmnt --noheadings --output FSROOT /target/srv)\" = /data
btrfs filesystem df /target/srv | grep -q 'Data, RAID1'
",
        ..PLAIN
    },
    Case {
        name: "tmpfs-nfs",
        shows: "file systems in memory and of another machine",
        disks: &[virtio(200)],
        first: "\
disk_config disk1
primary / 80 ext4 rw

disk_config tmpfs
tmpfs /tmp RAM:10% rw,nosuid
tmpfs /var/cache 20 rw

disk_config nfs
nfs server.example.org:/export/HOSTNAME /mnt/nfs ro,noauto
",
        after: "\
grep -q 'server.example.org:/export/rig' \"$dir/install/fstab\"
grep -q '/var/cache.*size=20' \"$dir/install/fstab\"
",
        ..PLAIN
    },
    Case {
        name: "preserve-gpt",
        shows: "GPT partitions kept by preserve_always, preserve_reinstall and preserve_lazy",
        disks: &[virtio(400)],
        first: "\
disk_config disk1 disklabel:gpt fstabkey:uuid
p=root / 100 ext4 rw
p=always /always 60 ext4 rw
p=again /again 60 ext3 rw
p=lazy /lazy 60 ext2 rw
p=new /new 40- ext4 rw
",
        second: Some(&[
            (
                "fstabkey:uuid",
                "fstabkey:uuid preserve_always:2 preserve_reinstall:3 preserve_lazy:4",
            ),
            ("/ 100", "/ 90"),
        ]),
        ..PLAIN
    },
    Case {
        name: "preserve-msdos",
        shows: "a primary and a logical partition of a PC table that are kept",
        disks: &[virtio(400)],
        first: "\
disk_config disk1 disklabel:msdos
primary / 80 ext4 rw
primary /data 60 ext4 rw
logical /home 60 ext4 rw
logical /new 40 ext4 rw
",
        second: Some(&[("disklabel:msdos", "disklabel:msdos preserve_always:2,5")]),
        ..PLAIN
    },
    Case {
        name: "always-format",
        shows: "a partition that is kept in its place and formatted anew",
        disks: &[virtio(300)],
        first: "\
disk_config disk1 disklabel:gpt
primary / 80 ext4 rw
primary /data 60 ext4 rw
",
        second: Some(&[("disklabel:gpt", "disklabel:gpt preserve_always:2 always_format:2")]),
        ..PLAIN
    },
    Case {
        name: "preserve-lvm",
        shows: "a logical volume that is kept while another is made anew",
        disks: &[virtio(400)],
        first: "\
disk_config disk1 disklabel:gpt
primary / 80 ext4 rw
primary - 200 - -

disk_config lvm
vg vgp disk1.2
vgp-home /home 60 ext4 rw
vgp-cache /var/cache 40 ext4 rw
",
        second: Some(&[("disk_config lvm", "disk_config lvm preserve_lazy:vgp-home")]),
        ..PLAIN
    },
    Case {
        name: "grow",
        shows: "partitions that grow with their ext4 and xfs",
        disks: &[virtio(400), virtio(600)],
        first: "\
disk_config disk1 disklabel:gpt
primary / 80 ext4 rw
primary /data 60 ext4 rw

disk_config disk2 disklabel:gpt
primary - 50 - -
primary /big 320 xfs rw
",
        second: Some(&[
            ("disk1 disklabel:gpt", "disk1 disklabel:gpt resize:2"),
            ("disk2 disklabel:gpt", "disk2 disklabel:gpt resize:2"),
            ("/data 60", "/data 150"),
            ("/big 320", "/big 400"),
        ]),
        ..PLAIN
    },
    Case {
        name: "shrink",
        shows: "a partition that shrinks with its ext4",
        disks: &[virtio(400)],
        first: "\
disk_config disk1 disklabel:gpt
primary / 80 ext4 rw
primary /data 150 ext4 rw
",
        second: Some(&[("disklabel:gpt", "disklabel:gpt resize:2"), ("/data 150", "/data 80")]),
        ..PLAIN
    },
    Case {
        name: "resize-ntfs",
        shows: "NTFS that grows and NTFS that shrinks",
        disks: &[virtio(400), virtio(200)],
        first: "\
disk_config disk1 disklabel:msdos
primary / 80 ext4 rw
primary - 60 ntfs -

disk_config disk2 disklabel:msdos
primary - 120 ntfs -
",
        second: Some(&[
            ("disk1 disklabel:msdos", "disk1 disklabel:msdos resize:2"),
            ("disk2 disklabel:msdos", "disk2 disklabel:msdos resize:1"),
            ("- 60 ntfs", "- 110 ntfs"),
            ("- 120 ntfs", "- 70 ntfs"),
        ]),
        after: "ntfsresize --check --force /dev/${1}2\nntfsresize --check --force /dev/${2}1\n",
        ..PLAIN
    },
    Case {
        name: "resize-lvm",
        shows: "logical volumes that grow and shrink with their ext4",
        disks: &[virtio(450)],
        first: "\
disk_config disk1 disklabel:gpt
primary / 80 ext4 rw
primary - 250 - -

disk_config lvm
vg vgr disk1.2
vgr-more /more 60 ext4 rw
vgr-less /less 120 ext4 rw
",
        second: Some(&[
            ("disk_config lvm", "disk_config lvm resize:vgr-more,vgr-less"),
            ("/more 60", "/more 100"),
            ("/less 120", "/less 60"),
        ]),
        ..PLAIN
    },
    Case {
        name: "virtual",
        shows: "a disk whose partition table is somebody else's",
        disks: &[virtio(200)],
        before: "\
printf 'label: dos\\nlabel-id: 0x0badcafe\\nsize=80M\\nsize=60M\\n' | sfdisk --quiet /dev/$1
",
        first: "\
disk_config disk1 virtual
primary / 0 ext4 rw
primary /data 0 ext4 rw
",
        after: "\
test \"$(sfdisk --disk-id /dev/$1)\" = 0x0badcafe
",
        ..PLAIN
    },
    Case {
        name: "raw-disk",
        shows: "a file system on a whole disk",
        disks: &[virtio(200), virtio(200)],
        first: "\
disk_config disk1 disklabel:gpt
primary / 80 ext4 rw

disk_config disk2
raw-disk /srv 0 ext4 rw
",
        ..PLAIN
    },
    Case {
        name: "leftover",
        shows: "layers of another life, stopped: RAID, LVM with a name twice, LUKS, half a GPT",
        disks: &[virtio(300), virtio(300), virtio(200), virtio(200)],
        before: "bash /lab/old-life vg0 70 71 $1 $2 $3 $4",
        first: new_life!("vg0"),
        ..PLAIN
    },
    Case {
        name: "leftover-running",
        shows: "the same, found running",
        disks: &[virtio(300), virtio(300), virtio(200), virtio(200)],
        before: "bash /lab/old-life vg1 72 73 $1 $2 $3 $4; touch /run/leave-running",
        first: new_life!("vg1"),
        ..PLAIN
    },
    Case {
        name: "put-back",
        shows: "a disk that takes no writes: what was changed before is put back at once",
        disks: &[virtio(300), virtio(300)],
        first: TO_BE_KEPT,
        second: Some(TO_BE_UNDONE),
        sabotage: "blockdev --setro /dev/$2",
        ..PLAIN
    },
    Case {
        name: "undo",
        shows: "an installer killed between two partition tables: undo puts them back",
        disks: &[virtio(300), virtio(300)],
        first: TO_BE_KEPT,
        second: Some(TO_BE_UNDONE),
        sabotage: "bash /lab/kill-at-table $2",
        ..PLAIN
    },
    Case {
        name: "mail-store",
        shows: "a mail store: three RAID 1 on two NVMe disks; its data is kept by preserve_lazy",
        disks: &[nvme(500), nvme(500)],
        first: MAIL_STORE,
        second: Some(&[]),
        after: "\
mdadm --detail /dev/md0 | grep -q 'Version : 1.0'
! dumpe2fs -h /dev/md1 2>/dev/null | grep -q metadata_csum
! dumpe2fs -h /dev/md2 2>/dev/null | grep -q metadata_csum
test \"$(blkid --probe --match-tag LABEL --output value /dev/md2)\" = maildata
test \"$(swapon --show --noheadings | grep -c /dev/nvme)\" = 2
",
        ..PLAIN
    },
    Case {
        name: "root",
        shows: "a system that boots from LVM on LUKS with a key file on RAID 1",
        disks: &[virtio(1800), virtio(1800)],
        first: "\
disk_config disk1 disklabel:gpt-bios
primary - 200 - -
primary - 1400- - -

disk_config disk2 sameas:disk1

disk_config raid fstabkey:uuid
raid1 /boot disk1.1,disk2.1 ext4 rw
raid1 - disk1.2,disk2.2 - -

disk_config cryptsetup
luks - /dev/md1 - - lukscreateopts=\"--pbkdf=pbkdf2 --pbkdf-force-iterations=1000\"

disk_config lvm fstabkey:uuid
vg vgroot md1
vgroot-root / 1200 ext4 rw
vgroot-swap swap 60 swap sw
",
        boots: true,
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_tell_cases_and_their_disks_apart() {
        let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
        let serials: BTreeSet<String> =
            CASES.iter().map(|case| super::super::machine::serial(case, 0)).collect();
        assert_eq!(serials.len(), CASES.len(), "{serials:?}");
        assert!(serials.iter().all(|serial| serial.len() <= 20));
    }

    #[test]
    fn every_change_of_a_second_life_changes_something() {
        for case in CASES {
            let mut text = case.first.to_owned();
            for (old, new) in case.second.into_iter().flatten() {
                assert_eq!(text.matches(old).count(), 1, "{}: '{old}'", case.name);
                text = text.replace(old, new);
            }
            assert_eq!(case.second.map(|_| text), case.second_config(), "{}", case.name);
            assert!(case.sabotage.is_empty() || case.second.is_some(), "{}", case.name);
        }
    }
}
