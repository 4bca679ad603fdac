//! Plans of machines that are described in Dominator's files: golden texts, and that no bad input ever
//! becomes a plan.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod support;

use hostwright_model::facts::{Facts, Nic};
use hostwright_model::ids::Digest;
use hostwright_model::image::{ImageOrigin, ImageRef, ImageSummary};
use hostwright_model::plan::{Action, Plan};
use hostwright_model::policy::Restart;
use hostwright_model::storage::EncryptionKey;
use hostwright_plan::dominator::{self, DominatorInputs};
use hostwright_plan::image_install::{self, DiskChoice, ImageInstall};
use hostwright_plan::{check_plan, render};
use std::collections::BTreeMap;
use support::{machine, project, read_text};

type Files = BTreeMap<String, Vec<u8>>;

/// A description and a machine, of which each test changes something.
#[derive(Clone)]
struct Case {
    files: Files,
    facts: Facts,
    summary: ImageSummary,
    disks: DiskChoice,
}

impl Case {
    fn new(machine_name: &str) -> Self {
        let dir = project().join("fixtures/dominator/demo");
        let names = ["config.json", "storage-layout.json", "imagename", "imageserver"];
        let file = |name: &str| (name.to_owned(), read_text(&dir.join(name)).into_bytes());
        let summary = read_text(&project().join("fixtures/dominator/bookworm-summary.json"));
        let mut facts = machine(machine_name);
        let nic = Nic { mac: "52:54:00:00:00:01".parse().unwrap(), ..facts.nics[0].clone() };
        facts.nics = vec![Nic { link_up: true, ..nic }];
        Self {
            files: names.map(file).into(),
            facts,
            summary: serde_json::from_str(&summary).unwrap(),
            disks: DiskChoice::Only,
        }
    }

    fn edit(mut self, name: &str, from: &str, to: &str) -> Self {
        let text = String::from_utf8(self.files[name].clone()).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        self.files.insert(name.to_owned(), text.replacen(from, to, 1).into_bytes());
        self
    }

    fn with(mut self, name: &str, text: &str) -> Self {
        self.files.insert(name.to_owned(), text.as_bytes().to_vec());
        self
    }

    fn settings(self, text: &str) -> Self {
        self.with(dominator::SETTINGS_FILE, text)
    }

    fn facts(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.facts);
        self
    }

    fn summary(mut self, change: impl FnOnce(&mut ImageSummary)) -> Self {
        change(&mut self.summary);
        self
    }

    fn all_disks(mut self) -> Self {
        self.disks = DiskChoice::AllFixed;
        self
    }

    /// The plan, which the checker has nothing against; else every finding as text.
    fn resolve(&self) -> Result<Plan, Vec<String>> {
        let told = |found: Vec<_>| found.iter().map(ToString::to_string).collect::<Vec<String>>();
        let described: DominatorInputs = dominator::inputs(&self.files).map_err(told)?;
        let image = ImageRef {
            name: described.image.name.clone(),
            manifest: Digest([7; 32]),
            content_bytes: 1_300_000_000,
            origin: ImageOrigin::default(),
        };
        let hostname = image_install::hostname(&described).map_err(told)?;
        let inputs = image_install::inputs(self.facts.clone(), hostname, image);
        let install = ImageInstall {
            inputs: &inputs,
            described: &described,
            summary: &self.summary,
            disks: self.disks.clone(),
        };
        let plan = image_install::resolve(&install).map_err(told)?;
        assert_eq!(check_plan(&plan, &inputs), [], "the checker objects");
        Ok(plan)
    }

    fn plan(&self) -> Plan {
        self.resolve().unwrap_or_else(|found| panic!("no plan:\n{}", found.join("\n")))
    }

    /// The text without the digest of the inputs, which changes with every byte of a description.
    fn text(&self) -> String {
        let text = render(&self.plan());
        text.split_once('\n').unwrap().1.to_owned()
    }
}

const TWO_DISKS: [(&str, &str); 2] = [("bios", "bios-two-disks"), ("uefi", "uefi-two-nvme")];
const ONE_DISK: [(&str, &str); 2] = [("bios", "bios-virtio-20g"), ("uefi", "uefi-virtio-20g")];

#[test]
fn plans_for_every_kind_of_machine() {
    for (disks, machines) in [("one_disk", ONE_DISK), ("two_disks", TWO_DISKS)] {
        for (firmware, machine) in machines {
            let encrypted = Case::new(machine).all_disks();
            let plain = encrypted.clone().edit("storage-layout.json", "true", "false");
            let name = |kind: &str| format!("{firmware}_{kind}_{disks}");
            insta::assert_snapshot!(name("encrypted"), encrypted.text());
            insta::assert_snapshot!(name("plain"), plain.text());
        }
    }
}

#[test]
fn an_encrypted_root_is_opened_by_the_tpm() {
    let case = Case::new("uefi-virtio-20g")
        .facts(|facts| facts.tpm2 = true)
        .settings("[encryption]\nroot = true\ntpm2 = true\nrecovery_key = true\n");
    insta::assert_snapshot!(case.text());
    // The others' keys are files in the encrypted root.
    let layout = case.plan().layout.unwrap();
    let sealed = layout
        .encrypted
        .iter()
        .filter(|device| matches!(device.key, EncryptionKey::RandomFile { tpm2: Some(_), .. }));
    let root = layout.volumes.iter().find(|v| v.mount_point.as_deref() == Some("/")).unwrap();
    assert!(sealed.map(|device| &device.mapped_device).eq([&root.device]));
}

#[test]
fn settings_say_what_the_files_cannot() {
    let case = Case::new("uefi-virtio-20g")
        .summary(|summary| {
            summary.loader_parts.insert("systemd-boot/x64".to_owned());
        })
        .settings(
            "[boot]\nkernel_args = ['quiet']\nserial = 'ttyS1,9600'\nkexec = true\n\
             [policy]\non_failure = 'power-off'\nkeep_old_etc = false\n\
             [network]\ndns = { servers = ['192.0.2.53'] }\n\
             [[network.interface]]\nmac = '52:54:00:00:00:01'\nname = 'lan0'\ndhcp4 = true\n",
        );
    insta::assert_snapshot!(case.text());
    let policy = case.plan().policy.unwrap();
    assert_eq!(policy.restart, Restart::Kexec);
    let loads = |action: &Action| matches!(action, Action::LoadKernel { .. });
    assert!(case.plan().steps().any(|(_, step)| loads(&step.action)));
}

/// W1: the layout that Dominator's installer fails on after the erase.
#[test]
fn uefi_with_encryption_mounts_the_esp_by_its_own_device() {
    let plan = Case::new("uefi-virtio-20g").plan();
    let layout = plan.layout.as_ref().unwrap();
    let esp = layout.boot.esp_device.as_deref();
    assert_eq!(esp, Some("/dev/vda1"));
    assert!(layout.encrypted.iter().all(|device| Some(device.device.as_str()) != esp));
    let encrypted: Vec<&str> = layout.encrypted.iter().map(|d| d.device.as_str()).collect();
    assert_eq!(encrypted, ["/dev/vda3", "/dev/vda4", "/dev/vda5"]);
}

/// W2: what parted refuses there, once everything is erased, is no mistake here.
#[test]
fn many_partitions_and_large_disks_are_fine_with_bios() {
    let more: String = (1..=6)
        .map(|n| format!(r#"{{"MountPoint": "/srv/{n}", "MinimumBytes": 1073741824}},"#))
        .collect();
    let case =
        Case::new("bios-virtio-20g").facts(|facts| facts.disks[0].size_bytes = 10 << 40).edit(
            "storage-layout.json",
            "\"BootDriveLayout\": [",
            &format!("\"BootDriveLayout\": [{more}"),
        );
    let layout = case.plan().layout.unwrap();
    assert_eq!(layout.disks[0].partitions.len(), 11);
    let largest = layout.disks[0].partitions.iter().map(|p| p.size_bytes()).max();
    assert!(largest > Some(9 << 40), "{largest:?}");
}

/// W5: names that stay, whatever the kernel calls the disks.
#[test]
fn everything_is_named_by_uuid_and_no_label_is_cut() {
    let long = r#"{"MountPoint": "/var/lib/containers", "MinimumBytes": 1073741824},"#;
    let case = Case::new("bios-virtio-20g").edit(
        "storage-layout.json",
        "\"BootDriveLayout\": [",
        &format!("\"BootDriveLayout\": [{long}"),
    );
    let layout = case.plan().layout.unwrap();
    assert!(
        layout.volumes.iter().all(|v| v.fstab_key == hostwright_model::storage::FstabKey::Uuid)
    );
    let words = |volume: &hostwright_model::storage::Volume| volume.create_options.join(" ");
    let of = |point: &str| {
        let volume = layout.volumes.iter().find(|v| v.mount_point.as_deref() == Some(point));
        words(volume.unwrap())
    };
    assert_eq!(of("/var/lib/containers"), "");
    assert_eq!(of("/home"), "-L /home -i 32768 -m 1");
    assert_eq!(of("/data/0"), "-L /data/0 -i 65536");
}

/// All bad input that a plan can know of: no plan, hence nothing that is written; one finding with its
/// file, its line and a cure.
#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn bad_input_never_becomes_a_plan() {
    let uefi = || Case::new("uefi-virtio-20g");
    let cases: Vec<(&str, Case, &str)> = vec![
        (
            "W2: a disk that is too small",
            uefi().facts(|facts| facts.disks[0].size_bytes = 4 << 30),
            "storage-layout.json:9:33: error[disk-config-disk-too-small]: /home needs 1.0 GiB",
        ),
        (
            "W2: a file system that is too small for its part of the image",
            uefi().summary(|s| {
                s.directory_bytes.insert("/var/log".into(), 600 << 20);
            }),
            "storage-layout.json:13:1: error[image-does-not-fit]: the image has 600.0 MiB for /var/log",
        ),
        (
            "W2: no boot loader in the image",
            uefi().summary(|s| s.loader_parts.clear()),
            "imagename:1: error[image-lacks-part]: image base/bookworm has no boot loader for UEFI",
        ),
        (
            "W2: no grub-install in the image",
            uefi().summary(|s| {
                s.programs.remove("grub-install");
            }),
            "imagename:1: error[image-lacks-part]: image base/bookworm has no boot loader for UEFI",
        ),
        (
            "W2: no cryptsetup in the image",
            uefi().summary(|s| s.programs.retain(|name| !name.ends_with("cryptsetup"))),
            "imagename:1: error[image-lacks-part]: image base/bookworm has no cryptsetup",
        ),
        (
            "W2 and W3: an address in no subnet",
            uefi().edit("config.json", "10.1.0.7", "10.9.0.7"),
            "config.json:6:26: error[bad-network]: 10.9.0.7 is in none of the subnets; correct it",
        ),
        (
            "W2 and W3: a card that the machine does not have",
            uefi().edit("config.json", "00:00:01", "00:00:99"),
            "config.json:7:27: error[bad-network]: no network card of this machine is",
        ),
        (
            "W4: an address on the trunk, and no card that could be one",
            uefi().edit("config.json", "\"HostMacAddress\": \"52:54:00:00:00:01\",", "").facts(
                |facts| facts.nics[0].link_up = false,
            ),
            "config.json:6:26: error[bad-network]: 10.1.0.7 has no card",
        ),
        (
            "W7: an image without a kernel",
            uefi().summary(|s| s.kernels.clear()),
            "imagename:1: error[no-kernel]: image base/bookworm has no kernel",
        ),
        (
            "W7: an image without an initramfs",
            uefi().summary(|s| s.kernels[0].initrd = None),
            "imagename:1: error[no-kernel]: image base/bookworm has no initramfs",
        ),
        (
            "W8: no image is named",
            uefi().with("imagename", "\n").edit("config.json", "RequiredImage", "PlannedImage"),
            "imagename: error[bad-image-name]: nothing says which image",
        ),
        (
            "W13 and W29: several disks, and nothing says which may be wiped",
            Case::new("uefi-two-nvme"),
            "storage-layout.json:1:1: error[disk-choice]: this machine has 2 disks",
        ),
        (
            "W29: nothing but a stick",
            uefi().facts(|facts| facts.disks[0].removable = true),
            "storage-layout.json:1:1: error[disk-choice]: this machine has no disk that is built in",
        ),
        (
            "W29: nothing but a disk of a SAN",
            uefi().facts(|f| f.disks[0].links = vec!["by-path/pci-0000:05:00.0-fc-0x50-lun-1".into()]),
            "storage-layout.json:1:1: error[disk-choice]: this machine has no disk that is built in",
        ),
        (
            "no root",
            uefi().edit("storage-layout.json", "\"MountPoint\": \"/\",", "\"MountPoint\": \"/srv\","),
            "storage-layout.json:1:1: error[bad-layout]: nothing is mounted at /",
        ),
        (
            "another architecture",
            uefi().edit("config.json", "amd64", "arm64"),
            "config.json:8:29: error[wrong-architecture]: the machine is described as arm64",
        ),
        (
            "no host name",
            uefi().edit("config.json", "\"Hostname\": \"web1\",", ""),
            "config.json:4:16: error[no-hostname]",
        ),
        (
            "a loader for other firmware",
            uefi().settings("[boot]\nloader = 'grub-bios'\n"),
            "hostwright.toml:1:1: error[wrong-loader]: this machine boots by UEFI",
        ),
        (
            "a loader that the image lacks",
            uefi().settings("[boot]\nloader = 'uki'\n"),
            "hostwright.toml:1:1: error[image-lacks-part]: image base/bookworm lacks this boot loader",
        ),
        (
            "a renderer that the image lacks",
            uefi().settings("[network]\nrenderer = 'netplan'\n[[network.interface]]\nmac = '52:54:00:00:00:01'\ndhcp4 = true\n"),
            "hostwright.toml:1:1: error[no-renderer]: image base/bookworm does not start netplan",
        ),
        (
            "no renderer at all",
            uefi().summary(|s| s.renderers.clear()),
            "imagename:1: error[no-renderer]: nothing in image base/bookworm configures a network",
        ),
        (
            "a root that nothing would open",
            uefi().settings("[encryption]\nroot = true\n"),
            "hostwright.toml:1:1: error[bad-machine-file]: nothing could open the root",
        ),
        (
            "no TPM",
            uefi().settings("[encryption]\ntpm2 = true\n"),
            "hostwright.toml:1:1: error[no-tpm]",
        ),
        (
            "a disk that is not there",
            Case { disks: DiskChoice::Named(vec!["vdz".into()]), ..uefi() },
            "storage-layout.json:1:1: error[disk-choice]: 'vdz' is chosen",
        ),
        (
            "a bridge that ifupdown cannot make",
            uefi()
                .edit("config.json", "10.1.0.7", "10.100.0.7")
                .summary(|s| {
                s.programs.remove("if-pre-up.d/bridge");
            }),
            "imagename:1: error[image-lacks-part]: the network has a bridge",
        ),
    ];
    let mut wrong = Vec::new();
    for (what, case, expected) in cases {
        let found = case.resolve().expect_err(what);
        if found.len() != 1 || !found[0].starts_with(expected) {
            wrong.push(format!("{what}: {found:#?}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whatever is cut off or scrambled, there is a finding or a plan, and never a crash.
#[test]
fn files_that_are_cut_off_are_refused() {
    let whole = Case::new("uefi-virtio-20g");
    for name in ["config.json", "storage-layout.json"] {
        let text = whole.files[name].clone();
        let last = text.iter().rposition(|byte| *byte == b'}').unwrap();
        for end in (0..last).step_by(7) {
            let mut cut = whole.clone();
            cut.files.insert(name.to_owned(), text[..end].to_vec());
            let found = cut.resolve().expect_err("a file that is cut off");
            assert!(found[0].starts_with(name), "{name} at {end}: {found:?}");
        }
    }
}

#[test]
fn a_machine_that_had_a_system_keeps_its_settings() {
    let mut case = Case::new("uefi-nvme-512g");
    let old = r#"{"tables": [{"device": "/dev/nvme0n1", "kind": "gpt", "id": null, "partitions": [
        {"number": 1, "device": "/dev/nvme0n1p1", "kind": "primary", "start_bytes": 1048576,
         "size_bytes": 1073741824, "type_code": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
         "name": null, "uuid": null, "attributes": null, "bootable": false}]}],
        "signatures": [{"device": "/dev/nvme0n1p1", "size_bytes": 1073741824, "kind": "ext4",
         "uuid": null, "label": "rootfs"}]}"#;
    case.facts.storage = serde_json::from_str(old).unwrap();
    let plan = case.plan();
    let ids: Vec<&str> = plan.steps().map(|(_, step)| step.id.as_str()).collect();
    let place = |id: &str| ids.iter().position(|other| *other == id);
    assert!(place("disks") < place("keep-old-etc"), "{ids:?}");
    assert!(place("keep-old-etc") < place("save-metadata"), "{ids:?}");
    let kept = plan.steps().find(|(_, step)| step.id.as_str() == "keep-old-etc").unwrap();
    assert_eq!(kept.1.action.title(), "keep /etc of the old system on /dev/nvme0n1p1");
    let without = case.settings("[policy]\nkeep_old_etc = false\n").plan();
    assert!(without.steps().all(|(_, step)| step.id.as_str() != "keep-old-etc"));
}

#[test]
fn plans_are_the_same_for_the_same_input_only() {
    let case = Case::new("uefi-virtio-20g");
    assert_eq!(case.plan(), case.plan());
    let other = case.clone().edit("config.json", "10.1.0.54", "10.1.0.55");
    assert_ne!(case.plan().inputs, other.plan().inputs);
}
