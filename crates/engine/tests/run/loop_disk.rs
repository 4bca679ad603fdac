//! A run onto a loop device on the real machine: partitions, LVM left out, file systems, fstab.

use crate::bench::{FixedPlan, inputs, output, settings};
use hostwright_engine::{NoImages, Session, run};
use hostwright_host::Host as _;
use hostwright_host::namespace;
use hostwright_host::real::RealHost;
use hostwright_model::ids::Digest;
use hostwright_model::image::ImageRef;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, PLAN_VERSION, Plan, Stage, Step, TargetProfile, Why};
use hostwright_model::storage::{
    BootDevices, DiskLayout, FstabKey, Partition, PartitionContent, PartitionKind, StorageLayout,
    TableKind, Volume,
};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A disk of 600 MiB in a sparse file.
struct LoopDisk {
    device: String,
    target: String,
}

impl LoopDisk {
    fn new(dir: &Path) -> Self {
        let file = dir.join("disk.raw");
        fs::File::create(&file).unwrap().set_len(600 << 20).unwrap();
        let output =
            Command::new("losetup").args(["--find", "--show"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Self { device, target: dir.join("target").to_str().unwrap().to_owned() }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let mut host = RealHost::default();
        for point in host.mounts_below(&self.target).unwrap_or_default().iter().rev() {
            let _ = host.unmount(point);
        }
        let _ = Command::new("partx").args(["--delete", &self.device]).output();
        let _ = Command::new("losetup").args(["--detach", &self.device]).output();
    }
}

fn partition(disk: &str, number: u32, kind: PartitionKind, content: PartitionContent) -> Partition {
    // Each 100 MiB; logical ones a mebibyte into the extended one.
    let (start, end) = match (kind, number) {
        (PartitionKind::Extended, _) => (201, 600),
        (PartitionKind::Logical, n) => (202 + u64::from(n - 5) * 101, 302 + u64::from(n - 5) * 101),
        (PartitionKind::Primary, n) => (1 + u64::from(n - 1) * 100, 1 + u64::from(n) * 100),
    };
    Partition {
        existing: None,
        fate: hostwright_model::storage::Fate::Create,
        number,
        device: format!("{disk}p{number}"),
        kind,
        start_bytes: start << 20,
        end_bytes: (end << 20) - 1,
        name: Some(format!("part{number}")),
        content,
        bootable: number == 1,
        why: Why::default(),
    }
}

fn volume(device: String, kind: &str, point: Option<&str>, key: FstabKey) -> Volume {
    Volume {
        btrfs: None,
        fate: hostwright_model::storage::Fate::Create,
        device,
        size_bytes: 100 << 20,
        file_system: Some(kind.to_owned()),
        mount_point: point.map(str::to_owned),
        mount_options: "rw".to_owned(),
        create_options: vec![],
        tune_options: if kind == "ext4" { vec!["-c".into(), "0".into()] } else { vec![] },
        fstab_key: key,
        partition_name: None,
        why: Why::default(),
    }
}

fn layout(disk: &str, table: TableKind) -> StorageLayout {
    use PartitionContent as Content;
    let part = |number, kind, content| partition(disk, number, kind, content);
    let is_gpt = table != TableKind::Msdos;
    let mut partitions = vec![
        part(1, PartitionKind::Primary, Content::Linux),
        part(2, PartitionKind::Primary, if is_gpt { Content::EfiSystem } else { Content::Fat }),
    ];
    if !is_gpt {
        partitions.push(part(4, PartitionKind::Extended, Content::Extended));
        partitions.push(part(5, PartitionKind::Logical, Content::Swap));
        partitions.push(part(6, PartitionKind::Logical, Content::Linux));
    }
    let mut volumes = vec![
        volume(format!("{disk}p1"), "ext4", Some("/"), FstabKey::Uuid),
        // Not mounted: not every kernel that tests run on knows FAT.
        volume(format!("{disk}p2"), "vfat", None, FstabKey::Device),
    ];
    if !is_gpt {
        volumes.push(volume(format!("{disk}p5"), "swap", None, FstabKey::Uuid));
        volumes.push(volume(format!("{disk}p6"), "ext4", Some("/home"), FstabKey::Partuuid));
    }
    let disk = DiskLayout {
        model: None,
        serial: None,
        before: Vec::new(),
        table_fate: hostwright_model::storage::TableFate::Write,
        device: disk.to_owned(),
        size_bytes: 600 << 20,
        sector_bytes: 512,
        table,
        partitions,
        why: Why::default(),
    };
    let boot = BootDevices { boot_device: Some(disk.device.clone()), ..BootDevices::default() };
    StorageLayout {
        disks: vec![disk],
        volume_groups: vec![],
        volumes,
        boot,
        ..StorageLayout::default()
    }
}

fn plan(layout: &StorageLayout) -> Plan {
    let step = |id: String, action| Step { id: id.as_str().into(), action, why: Why::default() };
    let mut partition: Vec<Step> = layout
        .disks
        .iter()
        .map(|disk| {
            step(format!("table{}", disk.device), Action::PartitionTable { disk: disk.clone() })
        })
        .collect();
    partition.extend(layout.volumes.iter().map(|volume| {
        step(
            format!("format{}", volume.device),
            Action::Format { volume: volume.clone(), ready_made: None },
        )
    }));
    partition.push(step("files".to_owned(), Action::StorageFiles { layout: layout.clone() }));
    let mut mounts: Vec<Step> = layout
        .volumes
        .iter()
        .filter(|volume| volume.mount_point.is_some())
        .map(|volume| {
            step(format!("mount{}", volume.device), Action::Mount { volume: volume.clone() })
        })
        .collect();
    mounts.push(step("fstab".to_owned(), Action::InstallFstab));
    let stage = |phase, steps| Stage { phase, steps, barrier: false };
    let end = vec![step("unmount".to_owned(), Action::UnmountTarget)];
    let stages = vec![
        stage(Phase::Partition, partition),
        stage(Phase::Mountdisks, mounts),
        stage(Phase::Faiend, end),
    ];
    let inputs = Digest([0; 32]);
    Plan {
        version: PLAN_VERSION,
        inputs,
        stages,
        layout: Some(layout.clone()),
        open: vec![],
        policy: None,
    }
}

fn install(table: TableKind) -> (tempfile::TempDir, LoopDisk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = LoopDisk::new(dir.path());
    let layout = layout(&disk.device, table);
    run_plan(dir.path(), plan(&layout));
    (dir, disk)
}

fn run_plan(dir: &Path, plan: Plan) {
    let base = dir.to_str().unwrap();
    let image = ImageRef {
        name: "none".to_owned(),
        manifest: Digest([0; 32]),
        content_bytes: 0,
        origin: Default::default(),
    };
    let (mut host, mut images) = (RealHost::default(), NoImages);
    let inputs = inputs("demohost", TargetProfile::DisksImage { image });
    let mut session = Session::open(&mut host, &mut images, settings(base, base), inputs).unwrap();
    let mut events = Vec::new();
    let mut emit = |event| events.push(event);
    if let Err(fault) = run(&mut session, &mut FixedPlan(plan), &mut emit) {
        panic!("{fault}\n{}\n{}", fault.output.join("\n"), output(&events));
    }
}

fn kind_of(device: &str) -> Option<String> {
    RealHost::default().device_ids(device).unwrap().kind
}

/// Keeps mounts to this thread. A test beside this one that takes a copy of all mounts would
/// otherwise keep file systems mounted that have been unmounted here, and their disk busy.
fn own_mounts() {
    namespace::own_mounts().unwrap();
}

#[test]
fn root_loop_install_with_a_pc_table_and_logical_partitions() {
    own_mounts();
    let (dir, disk) = install(TableKind::Msdos);
    let device = &disk.device;
    for (number, kind) in [(1, "ext4"), (2, "vfat"), (5, "swap"), (6, "ext4")] {
        assert_eq!(kind_of(&format!("{device}p{number}")).as_deref(), Some(kind), "{number}");
    }
    let uuid = RealHost::default().device_ids(&format!("{device}p1")).unwrap().uuid.unwrap();
    let fstab = fs::read_to_string(dir.path().join("log/fstab")).unwrap();
    let root =
        format!("# device during installation: {device}p1\nUUID={uuid}\t/\text4\trw\t0\t1\n");
    assert!(fstab.contains(&root), "{fstab}");
    assert!(fstab.contains("\nPARTUUID="), "{fstab}");
    let vars = fs::read_to_string(dir.path().join("log/disk_var.sh")).unwrap();
    assert!(vars.contains(&format!("SWAPLIST=${{SWAPLIST:-\"{device}p5\"}}\n")), "{vars}");

    let mut host = RealHost::default();
    let target = disk.target.clone();
    assert_eq!(host.mounts_below(&target).unwrap(), Vec::<String>::new());
    let source = format!("{device}p1");
    let (file_system, options) = (Some("ext4".to_owned()), "ro".to_owned());
    let request =
        hostwright_host::MountRequest { source, target: target.clone(), file_system, options };
    host.mount(&request).unwrap();
    let installed = fs::read_to_string(format!("{target}/etc/fstab")).unwrap();
    assert_eq!(installed, fstab);
    assert!(Path::new(&format!("{target}/home")).is_dir());
}

#[test]
fn root_loop_install_replaces_one_table_by_another() {
    own_mounts();
    let (dir, disk) = install(TableKind::Msdos);
    // A second run of its own over the same disk: another table, fewer partitions.
    for name in ["record", "log"] {
        fs::remove_dir_all(dir.path().join(name)).unwrap();
    }
    run_plan(dir.path(), plan(&layout(&disk.device, TableKind::Gpt)));
    let ids = RealHost::default().device_ids(&format!("{}p2", disk.device)).unwrap();
    assert_eq!(ids.kind.as_deref(), Some("vfat"));
    assert_eq!(ids.partlabel.as_deref(), Some("part2"));
    assert!(!Path::new(&format!("{}p5", disk.device)).exists());
}

#[test]
fn root_loop_install_leaves_a_disk_in_use_alone() {
    let (dir, disk) = install(TableKind::Msdos);
    let mut host = RealHost::default();
    let point = dir.path().join("target").to_str().unwrap().to_owned();
    host.mount(&hostwright_host::MountRequest {
        source: format!("{}p6", disk.device),
        target: point,
        file_system: Some("ext4".to_owned()),
        // As the run had it: it may still be mounted in somebody's copy of all mounts.
        options: "rw".to_owned(),
    })
    .unwrap();
    fs::remove_dir_all(dir.path().join("record")).unwrap();
    let before = kind_of(&format!("{}p1", disk.device));
    let plan = plan(&layout(&disk.device, TableKind::Gpt));
    let result = std::panic::catch_unwind(|| run_plan(dir.path(), plan));
    let message = *result.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("[disk-in-use]"), "{message}");
    assert!(message.contains(&format!("{}p6 is mounted", disk.device)), "{message}");
    assert_eq!(kind_of(&format!("{}p1", disk.device)), before);
}
