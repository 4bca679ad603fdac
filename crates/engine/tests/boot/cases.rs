//! The cases: a boot loader, and what of the system is encrypted.

use hostwright_model::boot_loader::{BootLoader, BootSetup, EspPlace, KexecSetup};
use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::{Dmi, FACTS_VERSION, Facts, Firmware};
use hostwright_model::ids::Digest;
use hostwright_model::overrides::Overrides;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{
    Action, Discovered, FileTopic, Inputs, PLAN_VERSION, Plan, Rules, Stage, Step, TargetFile,
    TargetProfile, Why,
};
use hostwright_model::storage::{
    BootDevices, DiskLayout, EncryptedDevice, EncryptionKey, Fate, FstabKey, Partition,
    PartitionContent, PartitionKind, StorageLayout, TableFate, TableKind, TpmSealing, Volume,
};

/// One case.
pub struct Case {
    pub name: &'static str,
    table: TableKind,
    loader: &'static str,
    encrypted: Encrypted,
    /// The file system of the root.
    root: &'static str,
    /// True if the disk is an image whose copies become machines of their own.
    pub is_image: bool,
}

/// What is encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encrypted {
    Nothing,
    /// A file system beside the root, by a key file.
    Data,
    /// The root, by the TPM.
    Root,
}

const fn case(
    name: &'static str,
    table: TableKind,
    loader: &'static str,
    encrypted: Encrypted,
) -> Case {
    Case { name, table, loader, encrypted, root: "ext4", is_image: false }
}

const fn image(
    name: &'static str,
    table: TableKind,
    loader: &'static str,
    root: &'static str,
) -> Case {
    Case { name, table, loader, encrypted: Encrypted::Nothing, root, is_image: true }
}

/// All of them.
pub const CASES: &[Case] = &[
    case("bios-gpt", TableKind::GptBios, "grub-bios", Encrypted::Nothing),
    case("bios-msdos", TableKind::Msdos, "grub-bios", Encrypted::Nothing),
    case("grub-uefi", TableKind::Gpt, "grub-uefi", Encrypted::Nothing),
    case("systemd-boot", TableKind::Gpt, "systemd-boot", Encrypted::Nothing),
    case("uki", TableKind::Gpt, "uki", Encrypted::Nothing),
    image("copies", TableKind::GptBios, "grub-bios", "ext4"),
    image("copies-uefi", TableKind::Gpt, "grub-uefi", "ext4"),
    image("copies-btrfs", TableKind::Gpt, "systemd-boot", "btrfs"),
    case("bios-luks-data", TableKind::GptBios, "grub-bios", Encrypted::Data),
    case("uefi-luks-data", TableKind::Gpt, "systemd-boot", Encrypted::Data),
    case("systemd-boot-tpm", TableKind::Gpt, "systemd-boot", Encrypted::Root),
    case("uki-tpm", TableKind::Gpt, "uki", Encrypted::Root),
];

/// Says what the system is on its serial line, and ends it.
const UNIT: &str = "[Unit]\nAfter=local-fs.target hostwright-first-boot.service\n\n[Service]\n\
    Type=oneshot\nExecStart=/bin/sh -c 'exec >/dev/ttyS0; \
    echo \"answer: $(uname -r) root $(findmnt -no SOURCE /) data $(findmnt -no SOURCE /data) \
    uuid $(findmnt -no UUID /) id $(cat /etc/machine-id) mib $(df --output=size -m / | tail -1) \
    key $(cut -c 60-80 /etc/ssh/ssh_host_ed25519_key.pub) \
    of $(cat /proc/cmdline)\"; echo answer ends; sync; systemctl poweroff --force'\n";

impl Case {
    pub fn firmware(&self) -> Firmware {
        if self.loader == "grub-bios" { Firmware::Bios } else { Firmware::Uefi }
    }

    pub fn needs_device_mapper(&self) -> bool {
        self.encrypted != Encrypted::Nothing
    }

    pub fn is_sealed(&self) -> bool {
        self.encrypted == Encrypted::Root
    }

    pub fn inputs(&self, in_guest: bool) -> Inputs {
        let facts = Facts {
            version: FACTS_VERSION,
            firmware: self.firmware(),
            architecture: "amd64".to_owned(),
            memory_bytes: 1 << 30,
            cpus: 2,
            disks: Vec::new(),
            nics: Vec::new(),
            dmi: Dmi::default(),
            kernel: "6.1.0".to_owned(),
            tpm2: self.is_sealed(),
            storage: ExistingStorage::default(),
        };
        Inputs {
            facts,
            hostname: "demohost".to_owned(),
            target: if in_guest { TargetProfile::DisksClassic } else { TargetProfile::DiskFile },
            given_classes: vec![],
            run_class_scripts: false,
            classes: None,
            vars: None,
            skips: vec![],
            rules: Rules::default(),
            discovered: Discovered::default(),
            overrides: Overrides::default(),
        }
    }

    fn loader(&self, disk: &str) -> BootLoader {
        match self.loader {
            "grub-bios" => BootLoader::GrubBios { disks: vec![disk.to_owned()] },
            "grub-uefi" => BootLoader::GrubUefi,
            "systemd-boot" => BootLoader::SystemdBoot,
            _ => BootLoader::Uki,
        }
    }

    /// The layout on a disk whose partitions are `disk` with `p` and a number, or without the `p`.
    fn layout(&self, disk: &str) -> StorageLayout {
        let first = match self.table {
            TableKind::Gpt => Some((PartitionContent::EfiSystem, 300)),
            TableKind::GptBios => Some((PartitionContent::BiosBoot, 1)),
            TableKind::Msdos => None,
        };
        let data = (self.encrypted == Encrypted::Data).then_some((PartitionContent::Linux, 100));
        let parts: Vec<(PartitionContent, u64)> =
            first.into_iter().chain([(PartitionContent::Linux, 2000)]).chain(data).collect();
        let mut start_mib = 1;
        let mut partitions = Vec::new();
        for (nth, (content, size_mib)) in parts.into_iter().enumerate() {
            partitions.push(partition(disk, nth as u32 + 1, content, start_mib, size_mib));
            start_mib += size_mib;
        }
        let mut layout = StorageLayout { boot: BootDevices::default(), ..Default::default() };
        for partition in &partitions {
            self.add_volume(&mut layout, partition);
        }
        layout.disks.push(DiskLayout {
            device: disk.to_owned(),
            size_bytes: 3 << 30,
            sector_bytes: 512,
            model: None,
            serial: None,
            before: Vec::new(),
            table: self.table,
            table_fate: TableFate::Write,
            partitions,
            why: Why::default(),
        });
        layout
    }

    fn add_volume(&self, layout: &mut StorageLayout, partition: &Partition) {
        let device = partition.device.clone();
        match partition.content {
            PartitionContent::BiosBoot => {}
            PartitionContent::EfiSystem => {
                layout.volumes.push(volume(&device, "vfat", "/boot/efi"));
            }
            _ => {
                let is_root = layout.volumes.iter().all(|v| v.mount_point.as_deref() != Some("/"));
                let point = if is_root { "/" } else { "/data" };
                let is_encrypted = match self.encrypted {
                    Encrypted::Nothing => false,
                    Encrypted::Data => !is_root,
                    Encrypted::Root => is_root,
                };
                if !is_encrypted {
                    let kind = if is_root { self.root } else { "ext4" };
                    return layout.volumes.push(volume(&device, kind, point));
                }
                let encrypted = self.encrypt(&device);
                layout.volumes.push(volume(&encrypted.mapped_device, "ext4", point));
                layout.encrypted.push(encrypted);
            }
        }
    }

    fn encrypt(&self, device: &str) -> EncryptedDevice {
        let sealed = self.is_sealed();
        EncryptedDevice {
            name: "clear".to_owned(),
            device: device.to_owned(),
            mapped_device: "/dev/mapper/clear".to_owned(),
            key: EncryptionKey::RandomFile {
                tpm2: sealed.then(|| TpmSealing { pcrs: vec![7] }),
                recovery_key: sealed,
            },
            create_options: Vec::new(),
            random_fill: false,
            fate: Fate::Create,
            why: Why::default(),
        }
    }

    /// Everything from the empty disk to the boot loader.
    pub fn plan(&self, disk: &str, base: &str) -> Plan {
        let layout = self.layout(disk);
        let mut partition = vec![Action::PartitionTable { disk: layout.disks[0].clone() }];
        let encrypt = layout.encrypted.iter().cloned();
        partition.extend(encrypt.map(|encrypted| Action::Encrypt { encrypted }));
        let format = layout.volumes.iter().cloned();
        partition.extend(format.map(|volume| Action::Format { volume, ready_made: None }));
        partition.push(Action::StorageFiles { layout: layout.clone() });
        let mut mounted: Vec<Volume> = layout.volumes.clone();
        mounted.sort_by(|one, other| one.mount_point.cmp(&other.mount_point));
        let mounts = mounted.into_iter().map(|volume| Action::Mount { volume }).collect();
        let file = |path: &str, content: &str| TargetFile {
            path: format!("/etc/systemd/system/{path}"),
            mode: 0o644,
            content: content.to_owned(),
        };
        // A plan's files are no links, so the unit is wanted in another way.
        let wanted = "[Unit]\nWants=answer.service\n";
        let files =
            vec![file("answer.service", UNIT), file("multi-user.target.d/rig.conf", wanted)];
        let setup = self.setup(&layout, disk);
        let kexec = KexecSetup {
            root_device: setup.root_device.clone(),
            kernel: None,
            kernel_args: setup.kernel_args.clone(),
        };
        let base = vec![
            Action::BaseFile { path: base.to_owned() },
            Action::InstallFstab,
            Action::WriteFiles { topic: FileTopic::Record, files, remove: Vec::new() },
            Action::BootLoader { setup },
        ];
        let end = match self.name {
            "uefi-luks-data" => vec![Action::LoadKernel { setup: kexec }],
            _ if self.is_image => vec![Action::FirstBoot],
            _ => Vec::new(),
        };
        let stages = vec![
            stage(Phase::Partition, partition),
            stage(Phase::Mountdisks, mounts),
            stage(Phase::Extrbase, base),
            stage(Phase::Finish, end.into_iter().chain([Action::Finish]).collect()),
            stage(Phase::Faiend, vec![Action::UnmountTarget]),
        ];
        Plan {
            version: PLAN_VERSION,
            inputs: Digest([0; 32]),
            stages,
            layout: Some(layout),
            open: Vec::new(),
            policy: None,
        }
    }

    fn setup(&self, layout: &StorageLayout, disk: &str) -> BootSetup {
        let of = |point: &str| {
            let mut volumes = layout.volumes.iter();
            volumes.find(|volume| volume.mount_point.as_deref() == Some(point))
        };
        let esp = of("/boot/efi").map(|volume| EspPlace {
            mount_point: "/boot/efi".to_owned(),
            device: volume.device.clone(),
            disk: disk.to_owned(),
            partition: 1,
        });
        BootSetup {
            loader: self.loader(disk),
            esp,
            boot_mount: None,
            root_device: of("/").unwrap().device.clone(),
            kernel: None,
            kernel_args: vec!["console=ttyS0".to_owned(), "no_timer_check".to_owned()],
            rebuild_initrd: self.encrypted == Encrypted::Root,
            nvram_entry: true,
            removable_path: true,
            label: "Rig".to_owned(),
            timeout_seconds: 0,
            serial: None,
        }
    }
}

fn stage(phase: Phase, actions: Vec<Action>) -> Stage {
    let step = |(nth, action): (usize, Action)| {
        let tag = serde_json::to_value(&action).unwrap();
        let id = format!("{phase}/{}/{nth}", tag["action"].as_str().unwrap_or_default());
        Step { id: id.as_str().into(), action, why: Why::default() }
    };
    let steps = actions.into_iter().enumerate().map(step).collect();
    Stage { phase, steps, barrier: false }
}

fn partition(
    disk: &str,
    number: u32,
    content: PartitionContent,
    start_mib: u64,
    size_mib: u64,
) -> Partition {
    let gap = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    Partition {
        number,
        device: format!("{disk}{gap}{number}"),
        kind: PartitionKind::Primary,
        start_bytes: start_mib << 20,
        end_bytes: ((start_mib + size_mib) << 20) - 1,
        name: None,
        content,
        bootable: content == PartitionContent::Linux && number == 1,
        fate: Fate::Create,
        existing: None,
        why: Why::default(),
    }
}

fn volume(device: &str, kind: &str, point: &str) -> Volume {
    Volume {
        device: device.to_owned(),
        size_bytes: 100 << 20,
        file_system: Some(kind.to_owned()),
        mount_point: Some(point.to_owned()),
        mount_options: "rw".to_owned(),
        create_options: Vec::new(),
        tune_options: Vec::new(),
        fstab_key: FstabKey::Uuid,
        partition_name: None,
        btrfs: None,
        fate: Fate::Create,
        why: Why::default(),
    }
}
