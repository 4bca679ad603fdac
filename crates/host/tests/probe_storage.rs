//! The probes of storage on disks in files, with sfdisk(8) as the second opinion.

use hostwright_host::probe::Probe;
use hostwright_model::existing::{ExistingPartition, ExistingTable};
use hostwright_model::storage::PartitionKind;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;

/// A recorded machine with one disk `sda` of 64 MiB whose content is a file.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a scratch directory");
        let files = [
            ("proc/meminfo", "MemTotal: 1024 kB\n"),
            ("proc/sys/kernel/arch", "x86_64\n"),
            ("proc/sys/kernel/osrelease", "6.1.0\n"),
            ("sys/devices/system/cpu/online", "0\n"),
            ("sys/block/sda/size", "131072\n"),
            ("sys/block/sda/dev", "8:0\n"),
            ("sys/block/sda/queue/logical_block_size", "512\n"),
            ("sys/block/sda/sda1/partition", "1\n"),
            ("sys/block/sda/sda1/size", "2048\n"),
            ("sys/block/sda/sda1/dev", "8:1\n"),
            ("sys/block/dm-0/size", "2048\n"),
            ("sys/block/dm-0/dm/name", "crypt_a\n"),
            ("sys/block/dm-0/dm/uuid", "CRYPT-LUKS2-1\n"),
            ("sys/block/dm-0/slaves/sda1", ""),
            ("sys/block/dm-1/size", "2048\n"),
            ("sys/block/dm-1/dev", "254:1\n"),
            ("sys/block/dm-1/dm/name", "vg-root\n"),
            ("sys/block/dm-1/dm/uuid", "LVM-1\n"),
            (
                "proc/self/mountinfo",
                "22 1 254:1 / / rw - ext4 /dev/mapper/vg-root rw\n\
                 23 22 0:5 / /proc rw - proc proc rw\n",
            ),
            ("proc/swaps", "Filename Type Size Used Priority\n/dev/sda1 partition 1 0 -2\n"),
        ];
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("makes directories");
            fs::write(path, content).expect("writes");
        }
        let machine = Self { root };
        fs::create_dir_all(machine.root.path().join("dev")).expect("makes it");
        fs::write(machine.root.path().join("dev/sda1"), "").expect("writes");
        let disk = fs::File::create(machine.disk()).expect("makes the disk");
        disk.set_len(64 * MIB).expect("grows");
        machine
    }

    fn disk(&self) -> PathBuf {
        self.root.path().join("dev/sda")
    }

    fn partition(&self, script: &str) {
        let mut sfdisk = Command::new("sfdisk")
            .arg("--quiet")
            .arg(self.disk())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let mut stdin = sfdisk.stdin.take().expect("is a pipe");
        stdin.write_all(script.as_bytes()).expect("takes the script");
        drop(stdin);
        assert!(sfdisk.wait().expect("ends").success());
    }

    fn storage(&self) -> hostwright_model::existing::ExistingStorage {
        let never = &mut |command: &_| panic!("a recorded machine runs nothing: {command:?}");
        Probe::new(self.root.path()).facts(never).expect("reads").storage
    }

    fn table(&self) -> ExistingTable {
        let tables = self.storage().tables;
        let [table] = &tables[..] else { panic!("{tables:?}") };
        table.clone()
    }

    /// The lines of `sfdisk --dump` that describe partitions.
    fn dump(&self) -> Vec<String> {
        let output = Command::new("sfdisk").arg("--dump").arg(self.disk()).output().expect("runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let path = self.disk().display().to_string();
        let lines = text.lines().filter_map(|line| line.strip_prefix(path.as_str()));
        lines.map(|line| line.replace(' ', "")).collect()
    }
}

/// A partition as `sfdisk --dump` writes it, without blanks.
fn as_dumped(partition: &ExistingPartition) -> String {
    let (start, size) = (partition.start_bytes / 512, partition.size_bytes / 512);
    let mut line =
        format!("{}:start={start},size={size},type={}", partition.number, partition.type_code);
    for (key, value) in [
        ("uuid", partition.uuid.clone()),
        ("name", partition.name.as_ref().map(|name| format!("\"{name}\""))),
        ("attrs", partition.attributes.as_ref().map(|attrs| format!("\"{attrs}\""))),
    ] {
        line.extend(value.map(|value| format!(",{key}={}", value.replace(' ', ""))));
    }
    if partition.bootable {
        line.push_str(",bootable");
    }
    line
}

fn assert_as_sfdisk(machine: &Machine) -> ExistingTable {
    let table = machine.table();
    let ours: Vec<String> = table.partitions.iter().map(as_dumped).collect();
    assert_eq!(ours, machine.dump());
    table
}

#[test]
fn a_gpt_is_read_as_sfdisk_reads_it() {
    let machine = Machine::new();
    machine.partition(
        "label: gpt\nlabel-id: 11111111-2222-3333-4444-5555AABBCCDD\n\
         size=2048, type=U, name=\"EFI here\", attrs=\"RequiredPartition GUID:59,63\"\n\
         size=4096, type=21686148-6449-6E6F-744E-656564454649, attrs=LegacyBIOSBootable\n\
         14: size=2048, name=\"last\"\n",
    );
    let table = assert_as_sfdisk(&machine);
    assert_eq!((table.device.as_str(), table.kind.as_str()), ("/dev/sda", "gpt"));
    assert_eq!(table.id.as_deref(), Some("11111111-2222-3333-4444-5555AABBCCDD"));
    assert_eq!(table.partitions[2].device, "/dev/sda14");
}

#[test]
fn a_gpt_whose_first_copy_is_damaged_is_read_from_the_second() {
    let machine = Machine::new();
    machine.partition("label: gpt\nsize=2048, name=\"kept\"\n");
    let before = machine.table();
    damage(&machine.disk(), 512 + 60);
    assert_eq!(machine.table(), before);
    damage(&machine.disk(), 64 * MIB - 512 + 60);
    // What is left is the protective entry of the PC table.
    assert_eq!(machine.table().partitions[0].type_code, "ee");
}

#[test]
fn the_second_copy_of_an_overwritten_gpt_is_no_table() {
    let machine = Machine::new();
    machine.partition("label: gpt\nsize=2048\n");
    overwrite(&machine.disk(), 0, &vec![0; MIB as usize]);
    assert_eq!(machine.storage().tables, []);
    assert_eq!(machine.dump(), Vec::<String>::new());
}

fn damage(disk: &Path, offset: u64) {
    overwrite(disk, offset, &[0xff]);
}

fn overwrite(disk: &Path, offset: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::options().write(true).open(disk).expect("opens");
    file.write_all_at(bytes, offset).expect("writes");
}

#[test]
fn a_pc_table_with_logical_partitions_is_read_as_sfdisk_reads_it() {
    let machine = Machine::new();
    machine.partition(
        "label: dos\nlabel-id: 0x0badcafe\nsize=4096, type=c, bootable\nsize=40960, type=f\n\
         5: size=2048, type=82\n6: size=2048, type=8e\n7: size=2048, type=fd\n",
    );
    let table = assert_as_sfdisk(&machine);
    assert_eq!((table.kind.as_str(), table.id.as_deref()), ("dos", Some("0x0badcafe")));
    let kinds: Vec<_> = table.partitions.iter().map(|p| (p.number, p.kind)).collect();
    use PartitionKind::{Extended, Logical, Primary};
    assert_eq!(kinds, [(1, Primary), (2, Extended), (5, Logical), (6, Logical), (7, Logical)]);
}

#[test]
fn a_circle_of_logical_partitions_ends() {
    use std::os::unix::fs::FileExt as _;
    let machine = Machine::new();
    machine.partition("label: dos\nsize=40960, type=f\n5: size=2048\n");
    let disk = fs::File::options().read(true).write(true).open(machine.disk()).expect("opens");
    // The second entry of the chain's first block leads back to that block.
    let mut entry = [0u8; 16];
    (entry[4], entry[12]) = (0x05, 1);
    disk.write_all_at(&entry, MIB + 462).expect("writes");
    assert!(machine.table().partitions.len() > 100);
}

#[test]
fn what_is_open_mounted_and_swapped_to_is_named_as_people_do() {
    let storage = Machine::new().storage();
    let [mapping] = &storage.mappings[..] else { panic!("{:?}", storage.mappings) };
    assert_eq!(
        (mapping.name.as_str(), &mapping.devices[..]),
        ("crypt_a", &["/dev/sda1".to_owned()][..])
    );
    let uses: Vec<_> =
        storage.in_use.iter().map(|u| (u.device.as_str(), u.mount_point.as_deref())).collect();
    assert_eq!(uses, [("/dev/sda1", None), ("/dev/vg/root", Some("/"))]);
    assert_eq!(storage.unread, []);
}

#[test]
fn a_disk_that_cannot_be_read_is_told_and_left_alone() {
    let machine = Machine::new();
    fs::remove_file(machine.disk()).expect("removes");
    fs::create_dir(machine.disk()).expect("a directory cannot be read");
    let storage = machine.storage();
    let [unread] = &storage.unread[..] else { panic!("{:?}", storage.unread) };
    assert_eq!(
        (unread.what.as_str(), unread.reason.as_str()),
        ("/dev/sda", "it answers with errors")
    );
    assert_eq!(storage.tables, []);
}
