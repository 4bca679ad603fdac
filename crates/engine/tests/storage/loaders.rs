//! Boot loaders, sealed keys and kernels that are loaded, on the simulated machine.

use crate::crash::{crash_everywhere_in, second_life};
use crate::rig::{Space, attempt, disk, machine};
use hostwright_host::sim::{RootKind, SimHost};
use hostwright_model::boot_loader::{BootLoader, BootSetup, EspPlace, KexecSetup, SerialConsole};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, FileTopic, Plan, Step, TargetFile, Why};
use hostwright_model::storage::{EncryptionKey, TpmSealing};

/// A disk for BIOS, and one with a PC table.
const BIOS: &str = "\
disk_config disk1 disklabel:gpt-bios fstabkey:uuid
primary / 2000 ext4 rw

disk_config disk2 disklabel:msdos
primary /data 3000 ext4 rw
";
/// A disk for UEFI.
const UEFI: &str = "\
disk_config disk1 disklabel:gpt fstabkey:uuid
primary /boot/efi 100 vfat rw
primary / 2000 ext4 rw
";
/// The same with an encrypted root.
const ENCRYPTED: &str = "\
disk_config disk1 disklabel:gpt fstabkey:uuid
primary /boot/efi 100 vfat rw
primary /boot 300 ext4 rw
primary - 2000 - -

disk_config cryptsetup
luks / disk1.3 ext4 rw
";

/// What an image would bring.
const FILES: [(&str, &str); 14] = [
    ("/boot/initrd.img-6.1.0-18-amd64", "initramfs"),
    ("/boot/vmlinuz-6.1.0-18-amd64", "kernel"),
    ("/boot/vmlinuz-6.1.0-9-amd64", "old kernel"),
    ("/etc/os-release", "ID=debian\n"),
    ("/usr/bin/grub-mkimage", "program"),
    ("/usr/lib/grub/i386-pc/ext2.mod", "module"),
    ("/usr/lib/grub/i386-pc/moddep.lst", "list"),
    ("/usr/lib/grub/x86_64-efi/ext2.mod", "module"),
    ("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "signed grub"),
    ("/usr/lib/shim/shimx64.efi.signed", "shim"),
    ("/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "systemd-boot"),
    ("/usr/sbin/update-initramfs", "program"),
    ("/etc/default/grub.d/init.cfg", ""),
    ("/var/lib/dpkg/status", ""),
];

fn setup(loader: BootLoader, root_device: &str) -> BootSetup {
    let esp = loader.needs_esp().then(|| EspPlace {
        mount_point: "/boot/efi".to_owned(),
        device: "/dev/vda1".to_owned(),
        disk: "/dev/vda".to_owned(),
        partition: 1,
    });
    BootSetup {
        loader,
        esp,
        boot_mount: None,
        root_device: root_device.to_owned(),
        kernel: None,
        kernel_args: vec!["console=ttyS0".to_owned()],
        rebuild_initrd: root_device.starts_with("/dev/mapper/"),
        nvram_entry: true,
        removable_path: true,
        label: "Debian".to_owned(),
        timeout_seconds: 1,
        serial: Some(SerialConsole { unit: 0, baud: 115_200 }),
    }
}

/// Puts the files of an image into the target, and what is to start it.
fn add_steps(plan: &mut Plan, setup: BootSetup) {
    let content = |path: &str, text: &str| match path.ends_with("boot.img") {
        true => "b".repeat(512),
        false => text.to_owned(),
    };
    let image = FILES.iter().chain(&[("/usr/lib/grub/i386-pc/boot.img", "")]);
    let files = image
        .map(|(path, text)| TargetFile {
            path: (*path).to_owned(),
            mode: 0o644,
            content: content(path, text),
        })
        .collect();
    let kexec = KexecSetup {
        root_device: setup.root_device.clone(),
        kernel: None,
        kernel_args: setup.kernel_args.clone(),
    };
    let step = |id: &str, action| Step { id: id.into(), action, why: Why::default() };
    let mounts = plan.stages.iter_mut().rfind(|stage| stage.phase == Phase::Mountdisks);
    let Some(stage) = mounts else { return };
    let fstab = stage.steps.pop().expect("the rig's own");
    stage.steps.extend([
        step("files", Action::WriteFiles { topic: FileTopic::Record, files, remove: Vec::new() }),
        fstab,
        step("boot-loader", Action::BootLoader { setup }),
        step("kexec", Action::LoadKernel { setup: kexec }),
    ]);
}

fn grub_bios(plan: &mut Plan) {
    let disks = vec!["/dev/vda".to_owned(), "/dev/vdb".to_owned()];
    add_steps(plan, setup(BootLoader::GrubBios { disks }, "/dev/vda1"));
}

fn grub_uefi(plan: &mut Plan) {
    add_steps(plan, setup(BootLoader::GrubUefi, "/dev/vda2"));
}

fn systemd_boot(plan: &mut Plan) {
    add_steps(plan, setup(BootLoader::SystemdBoot, "/dev/vda2"));
}

/// systemd-boot with a root that the TPM opens, and a recovery key.
fn sealed(plan: &mut Plan) {
    let new = EncryptionKey::RandomFile {
        tpm2: Some(TpmSealing { pcrs: vec![4, 7] }),
        recovery_key: true,
    };
    for step in plan.stages.iter_mut().flat_map(|stage| &mut stage.steps) {
        match &mut step.action {
            Action::Encrypt { encrypted } => encrypted.key = new.clone(),
            Action::StorageFiles { layout } => {
                layout.encrypted.iter_mut().for_each(|device| device.key = new.clone());
            }
            _ => {}
        }
    }
    let encrypted = plan.layout.iter_mut().flat_map(|layout| &mut layout.encrypted);
    let mut mapped = String::new();
    for device in encrypted {
        device.key = new.clone();
        mapped.clone_from(&device.mapped_device);
    }
    if !mapped.is_empty() {
        add_steps(plan, setup(BootLoader::SystemdBoot, &mapped));
    }
}

fn keep_etc(plan: &mut Plan) {
    let action =
        Action::KeepOldEtc { device: "/dev/vda1".to_owned(), file_system: "ext4".to_owned() };
    let step = Step { id: "old-etc".into(), action, why: Why::default() };
    let stage = plan.stages.iter_mut().find(|stage| stage.phase == Phase::Partition);
    if let Some(stage) = stage {
        stage.steps.insert(1, step);
    }
}

fn two_disks() -> SimHost {
    machine(&[disk("vda", 10), disk("vdb", 10)], RootKind::Disk)
}

fn with_firmware_list() -> SimHost {
    let mut host = machine(&[disk("vda", 10)], RootKind::Disk);
    host.add_file("/sys/firmware/efi/efivars/BootOrder-8be4df61", "0", 0o644);
    host
}

#[test]
fn grub_for_bios_survives_a_power_cut_at_every_operation() {
    let world = crash_everywhere_in(&two_disks(), Space::with(BIOS, grub_bios));
    let code = |name: &str| world.get(name).is_some_and(|line| line.starts_with("440 bytes"));
    assert!(code("/dev/vda code at 0") && code("/dev/vdb code at 0"), "{world:#?}");
    let in_partition = |name: &str| name.starts_with("/dev/vda code at ") && !name.ends_with(" 0");
    assert!(world.iter().any(|(name, _)| in_partition(name)), "in the BIOS boot partition");
    assert!(world.get("/dev/vdb code at 512").is_some(), "behind the PC table");
    let menu = world.get("/dev/vda1:/boot/grub/grub.cfg").expect("a menu is written");
    let (new, old) = (menu.find("6.1.0-18-amd64"), menu.find("6.1.0-9-amd64"));
    assert!(new.is_some() && new < old, "{menu}");
    assert!(world.get("/dev/vda1:/boot/grub/i386-pc/ext2.mod").is_some());
}

#[test]
fn grub_for_uefi_survives_a_power_cut_at_every_operation() {
    let world = crash_everywhere_in(&with_firmware_list(), Space::with(UEFI, grub_uefi));
    for (path, part) in [
        ("EFI/BOOT/BOOTX64.EFI", "shim"),
        ("EFI/BOOT/grubx64.efi", "signed grub"),
        ("EFI/debian/shimx64.efi", "shim"),
        ("EFI/debian/grub.cfg", "set prefix=($root)/boot/grub"),
    ] {
        let line = world.get(&format!("/dev/vda1:/{path}"));
        assert!(line.is_some_and(|line| line.contains(part)), "{path}: {world:#?}");
    }
    let entries: Vec<&str> =
        world.iter().filter(|(name, _)| name.starts_with("firmware entry")).map(|e| e.1).collect();
    assert_eq!(entries, ["Debian\t/dev/vda 1 \\EFI\\debian\\shimx64.efi"]);
}

#[test]
fn systemd_boot_survives_a_power_cut_at_every_operation() {
    let world = crash_everywhere_in(&with_firmware_list(), Space::with(UEFI, systemd_boot));
    let entry = world.get("/dev/vda1:/loader/entries/hostwright-6.1.0-18-amd64.conf");
    let entry = entry.unwrap_or_else(|| panic!("{world:#?}"));
    for part in ["linux /hostwright/6.1.0-18-amd64/linux", "ro console=ttyS0", "root=UUID="] {
        assert!(entry.contains(part), "{part}: {entry}");
    }
    assert!(world.get("/dev/vda1:/EFI/BOOT/BOOTX64.EFI").is_some());
}

#[test]
fn a_root_that_the_tpm_opens_survives_a_power_cut_at_every_operation() {
    let facts_with_tpm = |host: SimHost| host.with_tpm2();
    let fresh = facts_with_tpm(with_firmware_list());
    let world = crash_everywhere_in(&fresh, Space::with(ENCRYPTED, sealed));
    let content = world.get("/dev/vda3 content").expect("it is encrypted");
    assert!(content.contains("1 keys more sealed to 4+7"), "{content}");
    let clear = "/dev/vda3 clear";
    let crypttab = world.get(&format!("{clear}:/etc/crypttab")).expect("there is one");
    assert!(crypttab.contains("\\tnone\\tluks,discard,tpm2-device=auto"), "{crypttab}");
    for path in ["hooks", "scripts/local-top"] {
        let path = format!("{clear}:/etc/initramfs-tools/{path}/hostwright-tpm2");
        assert!(world.get(&path).is_some_and(|line| line.starts_with("0755")), "{path}");
    }
    let initramfs = world.get("/dev/vda1:/hostwright/6.1.0-18-amd64/initrd.img").unwrap();
    assert!(initramfs.contains("tpm2-device=auto"), "it was made anew before: {initramfs}");
}

#[test]
fn a_recovery_key_is_given_away_and_stands_nowhere() {
    let mut host = with_firmware_list().with_tpm2();
    let mut space = Space::with(ENCRYPTED, sealed);
    attempt(&mut host, &mut space).unwrap_or_else(|fault| panic!("{fault}\n{:#?}", host.ops()));
    let [key] = &space.recovery_keys[..] else { panic!("{:?}", space.recovery_keys) };
    assert_eq!(key.device, "/dev/vda3");
    assert_eq!(key.key.len(), 71);
    assert!(!host.ops().join("\n").contains(&key.key), "it is in no command");
    let world = host.world();
    let leaks: Vec<&str> =
        world.iter().filter(|(_, line)| line.contains(&key.key)).map(|(name, _)| name).collect();
    assert_eq!(leaks, [] as [&str; 0]);
}

#[test]
fn without_a_tpm_nothing_is_sealed() {
    let mut host = with_firmware_list();
    let fault = attempt(&mut host, &mut Space::with(ENCRYPTED, sealed)).unwrap_err();
    assert_eq!(fault.code, "tpm-refused");
}

#[test]
fn grub_cannot_start_what_it_cannot_read() {
    fn encrypted_boot(plan: &mut Plan) {
        sealed(plan);
        for step in plan.stages.iter_mut().flat_map(|stage| &mut stage.steps) {
            if let Action::BootLoader { setup } = &mut step.action {
                setup.loader = BootLoader::GrubUefi;
            }
        }
    }
    let mut host = with_firmware_list().with_tpm2();
    let fault = attempt(&mut host, &mut Space::with(ENCRYPTED, encrypted_boot)).unwrap_err();
    assert_eq!(fault.code, "boot-encrypted");
}

#[test]
fn the_old_etc_is_kept_through_power_cuts() {
    const FIRST: &str = "disk_config disk1 disklabel:gpt\nprimary / 2000 ext4 rw\n";
    let fresh = second_life(FIRST);
    let mut space = Space::with(FIRST, keep_etc);
    let mut host = fresh.clone();
    attempt(&mut host, &mut space).unwrap();
    let kept = host.world().get("root:/record/old-etc.tar.gz").map(str::to_owned);
    assert!(kept.is_some_and(|line| line.starts_with("0600") && line.contains("fstab")));
    crash_everywhere_in(&fresh, space);
}

/// Lets copies of the disk become machines of their own.
fn first_boot(plan: &mut Plan) {
    systemd_boot(plan);
    let image = [
        ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/etc/ssh/ssh_host_rsa_key", "the image's\n"),
        ("/usr/bin/partx", "program"),
        ("/usr/bin/systemctl", "program"),
        ("/usr/sbin/sfdisk", "program"),
    ];
    let files = image.map(|(path, content)| TargetFile {
        path: path.to_owned(),
        mode: 0o644,
        content: content.to_owned(),
    });
    let (topic, remove) = (FileTopic::Record, Vec::new());
    let more = Action::WriteFiles { topic, files: files.to_vec(), remove };
    let steps = [("more-files", more), ("first-boot", Action::FirstBoot)];
    let mounts = plan.stages.iter_mut().rfind(|stage| stage.phase == Phase::Mountdisks);
    let Some(stage) = mounts else { return };
    stage.steps.extend(steps.map(|(id, action)| Step {
        id: id.into(),
        action,
        why: Why::default(),
    }));
}

#[test]
fn an_image_for_copies_survives_a_power_cut_at_every_operation() {
    let world = crash_everywhere_in(&with_firmware_list(), Space::with(UEFI, first_boot));
    let file = |path: &str| world.get(&format!("/dev/vda2:/{path}"));
    let conf = file("usr/lib/hostwright/first-boot.conf").expect("it names file systems");
    assert!(conf.contains(" ext4 /\\n"), "{conf}");
    let grow = file("usr/lib/hostwright/first-boot.grow").expect("it names the last partition");
    assert!(grow.ends_with(" ext4 /\\n\""), "{grow}");
    assert_eq!(file("etc/ssh/ssh_host_rsa_key"), None);
    assert_eq!(file("etc/machine-id"), Some("0444 0:0 file \"\""));
    // The rig's initramfs is what update-initramfs makes, and the loader starts that one.
    let started = world.get("/dev/vda1:/hostwright/6.1.0-18-amd64/initrd.img");
    assert!(started.is_some_and(|line| line.contains("initramfs of")), "{started:?}");
    let script = file("etc/initramfs-tools/scripts/local-premount/hostwright-rename");
    assert!(script.is_some_and(|line| line.starts_with("0755")));
}

#[test]
fn an_image_whose_copies_cannot_grow_is_refused() {
    fn without_tools(plan: &mut Plan) {
        systemd_boot(plan);
        let step = Step { id: "first-boot".into(), action: Action::FirstBoot, why: Why::default() };
        let mounts = plan.stages.iter_mut().rfind(|stage| stage.phase == Phase::Mountdisks);
        mounts.into_iter().for_each(|stage| stage.steps.push(step.clone()));
    }
    let mut host = with_firmware_list();
    let fault = attempt(&mut host, &mut Space::with(UEFI, without_tools)).unwrap_err();
    assert_eq!(fault.code, "image-cannot-grow");
}
