//! The checker objects to every kind of damage done to a good plan, by the right name.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod support;

use hostwright_model::ids::Digest;
use hostwright_model::image::{ImageOrigin, ImageRef};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Inputs, Plan, Stage, Step, TargetProfile, Why};
use hostwright_plan::{check_plan, parse, resolve};
use std::collections::BTreeSet;
use support::{inputs, machine, minimal, simple};

const CLASSES: &str = "DEFAULT AMD64 FAIBASE DEBIAN DEMO LVM GRUB_EFI LVM_EFI demohost LAST";
const VARS: [(&str, &str, &str); 2] = [
    ("FAI_DEBOOTSTRAP", "bookworm http://deb.example.org/debian", "class/FAIBASE.var"),
    ("kernelname", "linux-image-amd64", "class/DEBIAN.var"),
];

/// A plan with LVM, packages installed on the machine.
fn classic() -> (Plan, Inputs) {
    let facts = machine("uefi-virtio-20g");
    let inputs = inputs(facts, TargetProfile::DisksClassic, CLASSES, &VARS);
    (resolve(&parse(&simple()).0, &inputs).unwrap(), inputs)
}

/// A plan with a PC partition table and an image.
fn image() -> (Plan, Inputs) {
    let classes = "DEFAULT AMD64 BASE DEBIAN GRUB_PC demohost LAST";
    let origin = ImageOrigin { classes: classes.parse().unwrap(), ..ImageOrigin::default() };
    let (name, content_bytes) = ("demo".to_owned(), 1 << 30);
    let image = ImageRef { name, manifest: Digest([7; 32]), content_bytes, origin };
    let target = TargetProfile::DisksImage { image };
    let inputs = inputs(machine("bios-virtio-20g"), target, classes, &VARS);
    (resolve(&parse(&minimal()).0, &inputs).unwrap(), inputs)
}

fn position(plan: &Plan, id: &str) -> (usize, usize) {
    let found = plan.stages.iter().enumerate().find_map(|(i, stage)| {
        Some((i, stage.steps.iter().position(|step| step.id.as_str() == id)?))
    });
    found.unwrap_or_else(|| panic!("there is no step {id}"))
}

fn step<'a>(plan: &'a mut Plan, id: &str) -> &'a mut Step {
    let (stage, at) = position(plan, id);
    &mut plan.stages[stage].steps[at]
}

fn remove(plan: &mut Plan, id: &str) -> Step {
    let (stage, at) = position(plan, id);
    plan.stages[stage].steps.remove(at)
}

/// Takes the step `id` away and puts it behind `other`.
fn behind(plan: &mut Plan, id: &str, other: &str) {
    let moved = remove(plan, id);
    let (stage, at) = position(plan, other);
    plan.stages[stage].steps.insert(at + 1, moved);
}

fn table<'a>(plan: &'a mut Plan, id: &str) -> &'a mut hostwright_model::storage::DiskLayout {
    match &mut step(plan, id).action {
        Action::PartitionTable { disk } => disk,
        other => panic!("{other:?} is no table"),
    }
}

fn volume<'a>(plan: &'a mut Plan, id: &str) -> &'a mut hostwright_model::storage::Volume {
    match &mut step(plan, id).action {
        Action::Format { volume, .. } | Action::Mount { volume } => volume,
        other => panic!("{other:?} has no volume"),
    }
}

fn codes(plan: &Plan, inputs: &Inputs) -> BTreeSet<String> {
    check_plan(plan, inputs).into_iter().map(|diagnostic| diagnostic.code).collect()
}

type Damage = fn(&mut Plan);

#[test]
fn damage_to_a_classic_plan_is_found() {
    let damages: [(&str, Damage); 21] = [
        ("plan-duplicate-id", |p| step(p, "finish").id = "fstab".into()),
        ("plan-phase-order", |p| p.stages.swap(2, 4)),
        ("plan-no-barrier", |p| p.stages.iter_mut().for_each(|stage| stage.barrier = false)),
        ("plan-after-unmount", |p| behind(p, "save-logs", "unmount")),
        ("plan-no-root", |p| drop(remove(p, "mount/target"))),
        ("plan-mount-order", |p| behind(p, "mount/target", "mount/target/home")),
        ("plan-mount-order", |p| behind(p, "mount/target/boot", "mount/target/boot/efi")),
        ("plan-bad-mount", |p| volume(p, "mount/target/home").mount_point = Some("x".into())),
        ("plan-unknown-disk", |p| {
            let Action::ConfirmDisks { disks } = &mut step(p, "disks").action else { panic!() };
            disks[0].serial = Some("another".into());
        }),
        ("plan-unconfirmed-disk", |p| drop(remove(p, "disks"))),
        ("plan-unconfirmed-disk", |p| table(p, "partition/vda").size_bytes += 512),
        ("plan-no-device", |p| drop(remove(p, "partition/vda"))),
        ("plan-no-device", |p| drop(remove(p, "vg/vg1"))),
        ("plan-no-device", |p| drop(remove(p, "lv/vg1/root"))),
        ("plan-no-room", |p| {
            let Action::LogicalVolume { volume, .. } = &mut step(p, "lv/vg1/home").action else {
                panic!()
            };
            volume.size_bytes *= 2;
        }),
        ("plan-used-twice", |p| volume(p, "format/vda2").device = "/dev/vda3".into()),
        ("plan-wrong-size", |p| volume(p, "format/vda2").size_bytes += 512),
        ("plan-not-formatted", |p| drop(remove(p, "format/vg1/home"))),
        ("plan-no-swap", |p| drop(remove(p, "format/vg1/swap"))),
        ("plan-no-fstab", |p| drop(remove(p, "storage-files"))),
        ("plan-no-base", |p| drop(remove(p, "debootstrap/bookworm"))),
    ];
    let (good, inputs) = classic();
    assert_eq!(check_plan(&good, &inputs), []);
    for (i, (code, damage)) in damages.into_iter().enumerate() {
        let mut plan = good.clone();
        damage(&mut plan);
        let found = codes(&plan, &inputs);
        assert!(found.contains(code), "damage {i}: {code} is not among {found:?}");
    }
}

#[test]
fn damage_to_an_image_plan_is_found() {
    let damages: [(&str, Damage); 13] = [
        ("plan-image-too-late", |p| drop(remove(p, "fetch/demo"))),
        ("plan-image-too-late", |p| behind(p, "fetch/demo", "partition/vda")),
        ("plan-no-unmount", |p| drop(remove(p, "unmount"))),
        ("plan-no-file-system", |p| volume(p, "format/vda1").file_system = None),
        // Over the end of the disk.
        ("plan-bad-table", |p| {
            let disk = table(p, "partition/vda");
            let size = disk.size_bytes;
            disk.partitions.iter_mut().rfind(|_| true).unwrap().end_bytes = size;
        }),
        // Over the table itself.
        ("plan-bad-table", |p| table(p, "partition/vda").partitions[0].start_bytes = 0),
        // Over each other.
        ("plan-bad-table", |p| {
            let disk = table(p, "partition/vda");
            disk.partitions[0].end_bytes = disk.partitions[1].start_bytes + 511;
        }),
        // Beside sectors.
        ("plan-bad-table", |p| table(p, "partition/vda").partitions[0].start_bytes += 1),
        // The same number twice.
        ("plan-bad-table", |p| table(p, "partition/vda").partitions[1].number = 1),
        // Outside the extended one.
        ("plan-bad-table", |p| {
            let disk = table(p, "partition/vda");
            disk.partitions[1].start_bytes = disk.partitions[2].start_bytes;
        }),
        // Backwards.
        ("plan-bad-table", |p| {
            let disk = table(p, "partition/vda");
            disk.partitions[0].end_bytes = disk.partitions[0].start_bytes - 512;
        }),
        // Logical in a GPT.
        ("plan-bad-table", |p| {
            table(p, "partition/vda").table = hostwright_model::storage::TableKind::Gpt;
        }),
        ("plan-no-sources", |p| {
            let group = hostwright_model::package::PackageGroup {
                action: hostwright_model::package::PackageAction::Install,
                release: None,
                packages: vec![],
            };
            let action = Action::Packages { group };
            let step = Step { id: "packages/install/1".into(), action, why: Why::default() };
            let (stage, _) = position(p, "fstab");
            let late = Stage { phase: Phase::Instsoft, steps: vec![step], barrier: false };
            p.stages.insert(stage + 1, late);
        }),
    ];
    let (good, inputs) = image();
    assert_eq!(check_plan(&good, &inputs), []);
    for (i, (code, damage)) in damages.into_iter().enumerate() {
        let mut plan = good.clone();
        damage(&mut plan);
        let found = codes(&plan, &inputs);
        assert!(found.contains(code), "damage {i}: {code} is not among {found:?}");
    }
}

#[test]
fn a_directory_has_no_disks_to_write_to() {
    let (plan, mut inputs) = classic();
    inputs.target = TargetProfile::Directory;
    assert!(codes(&plan, &inputs).contains("plan-writes-disk"));
}

#[test]
fn an_open_plan_ends_at_a_barrier() {
    let (mut plan, inputs) = classic();
    plan.open = vec!["something".to_owned()];
    assert!(codes(&plan, &inputs).contains("plan-no-barrier"));
}

#[test]
fn making_a_device_twice_is_found() {
    let (mut plan, inputs) = classic();
    let (stage, at) = position(&plan, "vg/vg1");
    let mut again = plan.stages[stage].steps[at].clone();
    again.id = "vg/vg2".into();
    plan.stages[stage].steps.insert(at + 1, again);
    let found = codes(&plan, &inputs);
    assert!(found.contains("plan-made-twice") && found.contains("plan-used-twice"), "{found:?}");
}

#[test]
fn a_plan_must_not_unmount_the_system_that_runs() {
    let (plan, mut inputs) = classic();
    inputs.target = TargetProfile::RunningSystem;
    assert!(codes(&plan, &inputs).contains("plan-unmounts-itself"));
}
