//! Golden plan texts: recorded machines and example spaces in, what people read out.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod support;

use hostwright_model::ids::Digest;
use hostwright_model::image::{ImageOrigin, ImageRef};
use hostwright_model::plan::{Action, Inputs, Plan, TargetProfile};
use hostwright_model::policy::Restart;
use hostwright_plan::{ConfigTree, check, check_plan, parse, render, resolve};
use support::{inputs, machine, minimal, simple};

const MINIMAL_VARS: [(&str, &str, &str); 6] = [
    ("FAI_DEBOOTSTRAP", "bookworm http://deb.example.org/debian", "class/BASE.var"),
    ("security_cdn", "http://security.example.org", "class/BASE.var"),
    ("secsuite", "bookworm-security", "class/BASE.var"),
    ("TIMEZONE", "Etc/UTC", "class/BASE.var"),
    ("MAXPACKAGES", "500", "class/BASE.var"),
    ("kernel", "linux-image-amd64", "class/DEBIAN.var"),
];

const SIMPLE_VARS: [(&str, &str, &str); 6] = [
    ("FAI_DEBOOTSTRAP", "bookworm http://deb.example.org/debian", "class/FAIBASE.var"),
    ("security_cdn", "http://security.example.org", "class/DEBIAN.var"),
    ("secsuite", "bookworm-security", "class/DEBIAN.var"),
    ("release", "bookworm", "class/DEBIAN.var"),
    ("MAXPACKAGES", "800", "class/FAIBASE.var"),
    ("kernelname", "linux-image-amd64", "class/DEBIAN.var"),
];

fn plan(tree: &ConfigTree, inputs: &Inputs) -> Plan {
    let (space, _) = parse(tree);
    let plan = resolve(&space, inputs).unwrap_or_else(|found| {
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        panic!("no plan:\n{}", found.join("\n"))
    });
    assert_eq!(check_plan(&plan, inputs), [], "the checker objects");
    plan
}

fn image(classes: &str) -> TargetProfile {
    let image = ImageRef {
        name: "demo".to_owned(),
        manifest: Digest([7; 32]),
        content_bytes: 980_000_000,
        origin: ImageOrigin { classes: classes.parse().unwrap(), ..ImageOrigin::default() },
    };
    TargetProfile::DisksImage { image }
}

const MINIMAL_BIOS: &str = "DEFAULT AMD64 BASE DEBIAN GRUB_PC demohost LAST";
const MINIMAL_EFI: &str = "DEFAULT AMD64 BASE DEBIAN WEB GRUB_EFI BASE_EFI demohost LAST";
const SIMPLE_BIOS: &str = "DEFAULT LINUX AMD64 DHCPC FAIBASE DEBIAN DEMO GRUB_PC demohost LAST";

/// The text without the digest of the inputs, which changes with every byte of a space.
fn text(plan: &Plan) -> String {
    let text = render(plan);
    let (_, rest) = text.split_once('\n').expect("more than one line");
    rest.to_owned()
}

#[test]
fn minimal_classic_bios() {
    let facts = machine("bios-virtio-20g");
    let inputs = inputs(facts, TargetProfile::DisksClassic, MINIMAL_BIOS, &MINIMAL_VARS);
    insta::assert_snapshot!(text(&plan(&minimal(), &inputs)));
}

#[test]
fn minimal_classic_uefi() {
    let facts = machine("uefi-virtio-20g");
    let inputs = inputs(facts, TargetProfile::DisksClassic, MINIMAL_EFI, &MINIMAL_VARS);
    insta::assert_snapshot!(text(&plan(&minimal(), &inputs)));
}

#[test]
fn minimal_image_nvme() {
    let facts = machine("uefi-nvme-512g");
    let inputs = inputs(facts, image(MINIMAL_EFI), MINIMAL_EFI, &MINIMAL_VARS);
    insta::assert_snapshot!(text(&plan(&minimal(), &inputs)));
}

const MACHINE_FILE: &str = "\
[image]
name = 'demo'

[boot]
loader = 'grub-uefi'
kernel_args = ['quiet']
kexec = true

[network]
renderer = 'netplan'
dns = { servers = ['192.0.2.53'], search = ['example.org'] }

[[network.interface]]
name = 'eth0'
addresses = ['192.0.2.7/24']
gateway4 = '192.0.2.1'
";

/// Our example with a machine file for the machine of the tests.
fn with_machine_file(text: &str) -> ConfigTree {
    let mut tree = minimal();
    let file = hostwright_plan::TreeFile::file(text, false);
    tree.files.insert("machines/demohost.toml".into(), file);
    tree
}

#[test]
fn minimal_image_with_a_machine_file() {
    let facts = machine("uefi-nvme-512g");
    let inputs = inputs(facts, image(MINIMAL_EFI), MINIMAL_EFI, &MINIMAL_VARS);
    let made = plan(&with_machine_file(MACHINE_FILE), &inputs);
    insta::assert_snapshot!(text(&made));
    let loads = |action: &Action| matches!(action, Action::LoadKernel { .. });
    assert!(made.steps().any(|(_, step)| loads(&step.action)));
    assert!(made.policy.is_some_and(|policy| policy.restart == Restart::Kexec));
}

#[test]
fn a_machine_file_that_contradicts_the_run_is_refused() {
    let facts = machine("uefi-nvme-512g");
    let inputs = inputs(facts, image(MINIMAL_EFI), MINIMAL_EFI, &MINIMAL_VARS);
    for (from, to, expected) in [
        ("'demo'", "'other'", "machines/demohost.toml:1:1: error[bad-image-name]"),
        ("grub-uefi", "grub-bios", "machines/demohost.toml:4:1: error[wrong-loader]"),
        ("renderer = 'netplan'\n", "", "machines/demohost.toml:9:1: error[no-renderer]"),
        ("'eth0'", "'eth9'", "machines/demohost.toml:13:1: error[bad-network]"),
        ("'192.0.2.1'", "'10.0.0.1'", "machines/demohost.toml:13:1: error[bad-network]"),
        (
            "[image]",
            "[encryption]\nvolumes = true\n[image]",
            "machines/demohost.toml:1:1: error[bad-m",
        ),
    ] {
        let (space, _) = parse(&with_machine_file(&MACHINE_FILE.replacen(from, to, 1)));
        let found = resolve(&space, &inputs).unwrap_err();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:#?}");
    }
}

#[test]
fn minimal_directory() {
    let facts = machine("bios-virtio-20g");
    let inputs = inputs(facts, TargetProfile::Directory, MINIMAL_BIOS, &MINIMAL_VARS);
    insta::assert_snapshot!(text(&plan(&minimal(), &inputs)));
}

#[test]
fn minimal_before_anything_is_known() {
    let facts = machine("bios-virtio-20g");
    let mut inputs = inputs(facts, TargetProfile::DisksClassic, MINIMAL_BIOS, &[]);
    inputs.vars = None;
    insta::assert_snapshot!("minimal_before_vars", text(&plan(&minimal(), &inputs)));
    inputs.classes = None;
    insta::assert_snapshot!("minimal_before_classes", text(&plan(&minimal(), &inputs)));
}

#[test]
fn simple_image_bios() {
    let facts = machine("bios-virtio-20g");
    let inputs = inputs(facts, image(SIMPLE_BIOS), SIMPLE_BIOS, &SIMPLE_VARS);
    insta::assert_snapshot!(text(&plan(&simple(), &inputs)));
}

#[test]
fn simple_directory() {
    let classes = "DEBIAN AMD64 FAIBASE DHCPC DEMO LAST";
    let facts = machine("bios-virtio-20g");
    let mut inputs = inputs(facts, TargetProfile::Directory, classes, &SIMPLE_VARS);
    inputs.given_classes = classes.split(' ').map(|class| class.parse().unwrap()).collect();
    inputs.run_class_scripts = false;
    insta::assert_snapshot!(text(&plan(&simple(), &inputs)));
}

#[test]
fn simple_classic_lvm_uefi() {
    let classes = "DEFAULT LINUX AMD64 DHCPC FAIBASE DEBIAN DEMO XORG XFCE LVM GRUB_EFI LVM_EFI \
                   demohost LAST";
    let facts = machine("uefi-nvme-512g");
    let inputs = inputs(facts, TargetProfile::DisksClassic, classes, &SIMPLE_VARS);
    insta::assert_snapshot!(text(&plan(&simple(), &inputs)));
}

#[test]
fn examples_have_no_errors() {
    let found: Vec<String> = check(&minimal()).iter().map(ToString::to_string).collect();
    assert_eq!(found, Vec::<String>::new(), "our own example is flawless");
    let found: Vec<String> = check(&simple()).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("check_simple", found.join("\n"));
    assert!(!found.iter().any(|text| text.contains(": error[")), "{found:#?}");
}
