//! Plans for disks that have had another life: what is kept, what is taken apart and in which
//! order, by hand and by seed, each plan before the second program.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod support;

use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::existing::{ExistingPartition, ExistingStorage};
use hostwright_model::facts::Disk;
use hostwright_model::plan::{Action, Inputs, Plan, Step, TargetProfile};
use hostwright_model::storage::PartitionKind::Primary;
use hostwright_model::storage::{Becomes, Fate, RaidLevel, StorageLayout};
use hostwright_plan::storage::draw;
use hostwright_plan::{TreeFile, check_plan, parse, resolve};
use std::collections::BTreeSet;
use support::{OldDisks, inputs, machine, minimal};

const CLASSES: &str = "DEFAULT AMD64 BASE DEBIAN GRUB_PC demohost LAST";
const VARS: [(&str, &str, &str); 2] = [
    ("FAI_DEBOOTSTRAP", "bookworm http://deb.example.org/debian", "class/BASE.var"),
    ("kernel", "linux-image-amd64", "class/DEBIAN.var"),
];

/// The plan of a disk_config for three disks of 20 GiB.
fn plan(text: &str, existing: &ExistingStorage) -> (Result<Plan, Vec<Diagnostic>>, Inputs) {
    let mut tree = minimal();
    tree.files.insert("disk_config/BASE".to_owned(), TreeFile::file(text, false));
    let mut facts = machine("bios-virtio-20g");
    let disk = facts.disks[0].clone();
    let named = |name: &str| Disk { name: name.to_owned(), size_bytes: 20 << 30, ..disk.clone() };
    facts.disks = ["sda", "sdb", "sdc"].map(named).to_vec();
    facts.storage = existing.clone();
    let inputs = inputs(facts, TargetProfile::DisksClassic, CLASSES, &VARS);
    (resolve(&parse(&tree).0, &inputs), inputs)
}

fn good(text: &str, existing: &ExistingStorage) -> (Plan, Inputs) {
    let (plan, inputs) = plan(text, existing);
    let plan = plan.unwrap_or_else(|found| panic!("{found:#?}"));
    assert_eq!(check_plan(&plan, &inputs), [], "{text}");
    (plan, inputs)
}

fn storage_steps(plan: &Plan) -> Vec<&str> {
    let ids = plan.steps().map(|(_, step)| step.id.as_str());
    ids.skip_while(|id| *id != "disks").skip(1).take_while(|id| *id != "storage-files").collect()
}

/// The state that a plan leaves behind.
fn afterwards(layout: &StorageLayout) -> ExistingStorage {
    let mut old = OldDisks::default();
    for disk in &layout.disks {
        let name = disk.device.trim_start_matches("/dev/");
        old.table(name, "gpt", &[]);
        let table = old.0.tables.last_mut().unwrap();
        table.partitions = disk
            .partitions
            .iter()
            .map(|partition| ExistingPartition {
                number: partition.number,
                device: partition.device.clone(),
                kind: partition.kind,
                start_bytes: partition.start_bytes,
                size_bytes: partition.size_bytes(),
                type_code: String::new(),
                name: partition.name.clone(),
                uuid: None,
                attributes: None,
                bootable: false,
            })
            .collect();
    }
    for array in &layout.arrays {
        let members: Vec<&str> =
            array.members.iter().filter_map(|member| member.device.as_deref()).collect();
        old.array(Some(&array.device), array.level, &members);
        old.0.arrays.last_mut().unwrap().size_bytes = Some(array.size_bytes);
    }
    for volume in &layout.volumes {
        old.signature(&volume.device, volume.file_system.as_deref().unwrap());
    }
    old.0
}

const MAIL_STORE: &str = "\
disk_config sda disklabel:gpt-bios bootable:1
primary - 512M - -
primary - 5G - -
primary swap 1G swap sw
primary - 2G- - -
disk_config sdb sameas:sda
disk_config raid fstabkey:uuid preserve_lazy:2
raid1 /boot/efi disk1.1,disk2.1 vfat rw mdcreateopts=\"--metadata=1.0\"
raid1 / sda2,sdb2 ext4 rw createopts=\"-L root -O ^metadata_csum\"
raid1 /srv sda4,sdb4 ext4 rw
";

#[test]
fn a_mail_store_keeps_its_data_when_it_is_installed_again() {
    let (first, _) = good(MAIL_STORE, &ExistingStorage::default());
    assert_eq!(
        storage_steps(&first),
        [
            "partition/sda",
            "partition/sdb",
            "raid/md0",
            "raid/md1",
            "raid/md2",
            "format/sda3",
            "format/sdb3",
            "format/md0",
            "format/md1",
            "format/md2"
        ]
    );
    let first = first.layout.unwrap();
    let mut there = afterwards(&first);
    // The kernel found the arrays under other numbers this time.
    there.arrays[2].device = Some("/dev/md127".to_owned());
    for signature in &mut there.signatures {
        signature.device = signature.device.replace("/dev/md2", "/dev/md127");
    }
    let (second, _) = good(MAIL_STORE, &there);
    let steps = storage_steps(&second);
    assert_eq!(steps[0], "save-metadata");
    assert!(!steps.contains(&"format/md2") && steps.contains(&"raid/md2"), "{steps:?}");
    let taken: Vec<&&str> = steps.iter().filter(|id| id.starts_with("take-down/array")).collect();
    assert_eq!(taken.len(), 2, "{steps:?}");
    let second = second.layout.unwrap();
    assert_eq!((second.arrays[2].fate, second.arrays[1].fate), (Fate::Keep, Fate::Create));
    for (disk, old) in second.disks.iter().zip(&first.disks) {
        let fates: Vec<Becomes> = disk.before.iter().map(|former| former.becomes).collect();
        use Becomes::{Formatted, Kept};
        assert_eq!(fates, [Formatted, Formatted, Formatted, Kept, Formatted]);
        assert_eq!(disk.partitions[3].start_bytes, old.partitions[3].start_bytes);
        assert_eq!(disk.partitions[3].end_bytes, old.partitions[3].end_bytes);
    }
}

#[test]
fn the_drawing_says_what_becomes_of_each_partition() {
    let (first, _) = good(MAIL_STORE, &ExistingStorage::default());
    let there = afterwards(&first.layout.unwrap());
    let (second, _) = good(MAIL_STORE, &there);
    let drawn = draw(&second.layout.unwrap());
    let has = |words: &[&str]| {
        let fits = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(drawn.lines().any(fits), "{words:?} are not in a line of\n{drawn}");
    };
    has(&["/dev/sda", "20.0 GiB", "new GPT", "what is not marked as kept is lost"]);
    has(&["/dev/sda4", "13.5 GiB", "kept"]);
    has(&["/dev/sda2", "5.0 GiB", "formatted"]);
    has(&["array /dev/md2", "raid1 on /dev/sda4, /dev/sdb4", "ext4 at /srv", "kept"]);
    has(&["array /dev/md1", "ext4 at /", "new"]);
    assert!(drawn.contains("in md2"), "{drawn}");
}

/// Swap on a volume of a group on an encrypted array.
fn tower() -> ExistingStorage {
    let mut old = OldDisks::default();
    old.table("sda", "gpt", &[(1, Primary, 1, 4096), (2, Primary, 4097, 4096)]);
    old.table("sdb", "gpt", &[(1, Primary, 1, 4096)]);
    old.array(Some("/dev/md0"), RaidLevel::Raid1, &["/dev/sda1", "/dev/sdb1"]);
    old.signature("/dev/md0", "crypto_LUKS");
    old.mapping("secret", &["/dev/md0"]);
    old.group("old", &["/dev/mapper/secret"], &[("swap", 1024)]);
    old.signature("/dev/old/swap", "swap");
    old.in_use("/dev/old/swap", None);
    old.signature("/dev/sda2", "ext4");
    old.0
}

const PLAIN: &str = "\
disk_config sda disklabel:gpt-bios
primary / 10G ext4 rw
disk_config sdb disklabel:gpt-bios
primary /srv 10G ext4 rw
";

#[test]
fn a_tower_is_taken_down_from_its_top() {
    let (plan, _) = good(PLAIN, &tower());
    assert_eq!(
        storage_steps(&plan),
        [
            "save-metadata",
            "take-down/swap/old/swap",
            "take-down/signatures/old/swap",
            "take-down/vg/old/uuid-of-old-devmappersecret",
            "take-down/signatures/mapper/secret",
            "take-down/mapping/secret",
            "take-down/signatures/md0",
            "take-down/array/uuid-of-devsda1-devsdb1",
            "take-down/signatures/sda1",
            "take-down/signatures/sda2",
            "take-down/signatures/sdb1",
            "partition/sda",
            "partition/sdb",
            "format/sda1",
            "format/sdb1"
        ]
    );
}

#[test]
fn a_layer_on_a_disk_of_somebody_else_stops_the_plan() {
    let only_one = PLAIN.lines().take(2).map(|line| format!("{line}\n")).collect::<String>();
    let (found, _) = plan(&only_one, &tower());
    let codes: Vec<String> = found.unwrap_err().into_iter().map(|d| d.code).collect();
    assert_eq!(codes, ["disk-config-foreign-layer"]);
}

fn change(plan: &mut Plan, id: &str, edit: impl FnOnce(&mut Action)) {
    let steps = plan.stages.iter_mut().flat_map(|stage| &mut stage.steps);
    let mut found: Vec<&mut Step> = steps.filter(|step| step.id.as_str() == id).collect();
    edit(&mut found.first_mut().unwrap_or_else(|| panic!("there is no step {id}")).action);
}

fn remove(plan: &mut Plan, id: &str) {
    plan.stages.iter_mut().for_each(|stage| stage.steps.retain(|step| step.id.as_str() != id));
}

#[test]
fn the_second_program_finds_damage_to_what_is_kept() {
    let keeping = "\
disk_config sda disklabel:gpt-bios preserve_always:2
primary / 3G ext4 rw
primary /srv 4G ext4 rw
disk_config sdb disklabel:gpt-bios
primary /var 10G ext4 rw
";
    let (kept, inputs) = good(keeping, &tower());
    let (torn, _) = good(PLAIN, &tower());
    type Damage = fn(&mut Plan);
    let damages: [(&str, &Plan, Damage); 6] = [
        ("plan-moved-kept", &kept, |plan| {
            change(plan, "partition/sda", |action| {
                let Action::PartitionTable { disk } = action else { panic!() };
                disk.partitions[1].start_bytes += 512;
            });
        }),
        ("plan-destroys-kept", &kept, |plan| {
            change(plan, "format/sda1", |action| {
                let Action::Format { volume, .. } = action else { panic!() };
                volume.device = "/dev/sda2".to_owned();
            });
        }),
        ("plan-not-saved", &torn, |plan| remove(plan, "save-metadata")),
        ("plan-takedown-order", &torn, |plan| {
            remove(plan, "take-down/vg/old/uuid-of-old-devmappersecret");
        }),
        ("plan-takedown-order", &torn, |plan| {
            remove(plan, "take-down/array/uuid-of-devsda1-devsdb1");
        }),
        ("plan-takes-foreign", &torn, |plan| {
            change(plan, "disks", |action| {
                let Action::ConfirmDisks { disks } = action else { panic!() };
                disks.retain(|disk| disk.name != "sdb");
            });
        }),
    ];
    for (i, (code, good, damage)) in damages.into_iter().enumerate() {
        let mut plan = good.clone();
        damage(&mut plan);
        let found: BTreeSet<String> =
            check_plan(&plan, &inputs).into_iter().map(|objection| objection.code).collect();
        assert!(found.contains(code), "damage {i}: {code} is not among {found:?}");
    }
}

/// Numbers that look random and are the same for a seed (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let at = self.below(words.len() as u64);
        words[usize::try_from(at).unwrap()]
    }
}

/// Disks with files, arrays, groups, mappings and swap, stacked at random.
fn random_disks(random: &mut Seeded) -> ExistingStorage {
    let mut old = OldDisks::default();
    let mut free = Vec::new();
    for disk in ["sda", "sdb", "sdc"] {
        let count = u32::try_from(random.below(5)).unwrap();
        let mut start = 1;
        let mut parts = Vec::new();
        for number in 1..=count {
            let size = 512 + random.below(4000);
            parts.push((number, Primary, start, size));
            start += size + random.below(300);
            free.push(format!("/dev/{disk}{number}"));
        }
        old.table(disk, random.one_of(&["gpt", "gpt", "dos"]), &parts);
    }
    let mut arrays = 0;
    while let Some(device) = (!free.is_empty()).then(|| {
        let at = usize::try_from(random.below(free.len() as u64)).unwrap();
        free.remove(at)
    }) {
        match random.below(6) {
            0 => {
                let mut members = vec![device.as_str()];
                let other = free.pop();
                members.extend(other.as_deref());
                let node = format!("/dev/md{arrays}");
                let runs = random.below(3) > 0;
                old.array(runs.then_some(node.as_str()), RaidLevel::Raid1, &members);
                arrays += 1;
                if runs {
                    free.push(node);
                }
            }
            1 => {
                let name = random.one_of(&["vg0", "data", "old"]);
                let other = free.pop();
                let devices: Vec<&str> =
                    [Some(device.as_str()), other.as_deref()].into_iter().flatten().collect();
                old.group(name, &devices, &[("root", 1024), ("home", 2048)]);
            }
            2 => {
                old.signature(&device, "crypto_LUKS");
                let name = format!("old{}", device.replace('/', "_"));
                old.mapping(&name, &[&device]);
                free.push(format!("/dev/mapper/{name}"));
            }
            3 => {
                old.signature(&device, "swap");
                if random.below(2) == 0 {
                    old.in_use(&device, None);
                }
            }
            _ => old.signature(&device, random.one_of(&["ext4", "ext4", "xfs", "vfat"])),
        }
    }
    old.0
}

/// A file for one or two of the disks, which keeps some of what may be there.
fn random_config(random: &mut Seeded) -> String {
    let mut text = String::new();
    let disks = 1 + random.below(3);
    let label = random.one_of(&["gpt", "gpt-bios", "msdos"]);
    let keep = ["", "", " preserve_lazy:2", " preserve_always:1", " preserve_lazy:all"];
    for (i, disk) in ["sda", "sdb", "sdc"].into_iter().take(disks as usize).enumerate() {
        let keep = random.one_of(&keep);
        text.push_str(&format!("disk_config {disk} disklabel:{label}{keep}\n"));
        let root = if i == 0 { "/" } else { "-" };
        let files = if i == 0 { "ext4" } else { "-" };
        text.push_str(&format!("primary {root} {}M {files} rw\n", 300 + random.below(3000)));
        let flag = random.one_of(&["", "", ":preserve_lazy", ":preserve_always"]);
        text.push_str(&format!("primary - {}-{flag} - -\n", 300 + random.below(3000)));
    }
    match random.below(4) {
        0 => text.push_str(
            "disk_config lvm preserve_lazy:all\nvg vg0 sda2\nvg0-home /home 1G ext4 rw\n",
        ),
        1 if disks > 1 => {
            let lazy = random.one_of(&["", " preserve_lazy:0"]);
            text.push_str(&format!("disk_config raid{lazy}\nraid1 /srv sda2,sdb2 ext4 rw\n"));
        }
        2 => text.push_str("disk_config cryptsetup\nluks:\"x y\" /srv sda2 ext4 rw\n"),
        _ => {}
    }
    text
}

/// What is kept is where it was, and nothing that stays is below something that goes.
fn assert_safe(seed: u64, text: &str, layout: &StorageLayout, existing: &ExistingStorage) {
    for disk in &layout.disks {
        for former in disk.before.iter().filter(|former| former.becomes == Becomes::Kept) {
            let old = &former.partition;
            let new = disk.partitions.iter().find(|new| new.number == old.number);
            let Some(new) = new else { continue };
            let place = (new.start_bytes, new.size_bytes());
            assert_eq!(place, (old.start_bytes, old.size_bytes), "seed {seed}\n{text}");
        }
    }
    let ours: BTreeSet<&str> = layout.disks.iter().map(|disk| disk.device.as_str()).collect();
    let lost = layout.takedown.iter().flat_map(|layer| match layer {
        hostwright_model::storage::OldLayer::Array { members, .. } => members.clone(),
        hostwright_model::storage::OldLayer::VolumeGroup { physical_volumes, .. } => {
            physical_volumes.clone()
        }
        _ => Vec::new(),
    });
    for device in lost {
        let table = existing
            .tables
            .iter()
            .find(|table| table.partitions.iter().any(|partition| partition.device == device));
        if let Some(table) = table {
            assert!(ours.contains(table.device.as_str()), "seed {seed}: {device} in\n{text}");
        }
    }
}

#[test]
fn every_plan_for_random_disks_passes_the_second_program() {
    let mut planned = 0;
    for seed in 0..1200 {
        let mut random = Seeded(seed);
        let existing = random_disks(&mut random);
        let text = random_config(&mut random);
        let (made, inputs) = plan(&text, &existing);
        let Ok(made) = made else { continue };
        planned += 1;
        let objections = check_plan(&made, &inputs);
        assert_eq!(objections, [], "seed {seed}\n{text}{existing:#?}");
        assert_safe(seed, &text, &made.layout.unwrap(), &existing);
    }
    assert!(planned > 100, "only {planned} of 1200 could be planned");
}
