//! How long a large space takes: `cargo bench -p hostwright-plan`.
//!
//! The space has 1,000 files and 200 classes; the promise is that it is checked in
//! less than 100 ms, and that a plan for a machine with 60 of the classes takes less than 20 ms.

use hostwright_model::class::ClassList;
use hostwright_model::facts::{Disk, Dmi, FACTS_VERSION, Facts, Firmware};
use hostwright_model::plan::{Discovered, Inputs, Rules, TargetProfile};
use hostwright_model::vars::Vars;
use hostwright_plan::{ConfigTree, TreeFile, check, parse, resolve};
use std::fmt::Write as _;

const CLASSES: usize = 200;

fn main() {
    divan::main();
}

#[divan::bench]
fn check_1000_files(bencher: divan::Bencher<'_, '_>) {
    let tree = space();
    assert_eq!(tree.files.len(), 1000);
    bencher.bench_local(|| check(divan::black_box(&tree)));
}

#[divan::bench]
fn parse_1000_files(bencher: divan::Bencher<'_, '_>) {
    let tree = space();
    bencher.bench_local(|| parse(divan::black_box(&tree)));
}

#[divan::bench]
fn resolve_60_classes(bencher: divan::Bencher<'_, '_>) {
    let tree = space();
    let (space, _) = parse(&tree);
    let inputs = inputs();
    assert!(resolve(&space, &inputs).is_ok_and(|plan| plan.steps().count() > 100));
    bencher.bench_local(|| resolve(divan::black_box(&space), divan::black_box(&inputs)));
}

/// Files as they are in real spaces: each class has packages, variables, a script and two variants
/// of files; some have hooks and disk layouts.
fn space() -> ConfigTree {
    let mut tree = ConfigTree::default();
    let mut put = |path: String, text: String, runs: bool| {
        tree.files.insert(path, TreeFile::file(text, runs));
    };
    let names: Vec<String> = (0..CLASSES).map(|number| format!("CLASS{number:03}")).collect();
    let script = format!("#!/bin/bash\necho {}\n", names.join(" "));
    put("class/50-host-classes".to_owned(), script, true);
    for (number, class) in names.iter().enumerate() {
        put(format!("package_config/{class}"), packages(number, &names), false);
        put(format!("class/{class}.var"), variables(number), false);
        put(format!("scripts/{class}/10-setup"), script_text(number), true);
        put(format!("files/etc/app{}/conf/{class}", number % 40), "a = b\n".repeat(40), false);
        if number % 2 == 0 {
            put(format!("files/etc/motd/{class}"), format!("{class}\n"), false);
        }
        if number % 4 == 0 {
            let hook = format!("#!/bin/sh\nifclass {class} && skiptask tests\n");
            put(format!("hooks/instsoft.{class}"), hook, true);
        }
        if number % 10 == 0 {
            put(format!("disk_config/{class}"), LAYOUT.to_owned(), false);
        }
    }
    put("class/DEFAULT.var".to_owned(), BASE.to_owned(), false);
    for number in tree.files.len()..1000 {
        let path = format!("files/usr/share/data/{number}/DEFAULT");
        tree.files.insert(path, TreeFile::file("x".repeat(2000), false));
    }
    tree
}

const BASE: &str =
    "FAI_DEBOOTSTRAP=\"bookworm http://deb.example.org/debian\"\nSTOP_ON_ERROR=600\n";

const LAYOUT: &str = "disk_config disk1 disklabel:msdos bootable:1 fstabkey:uuid\n\
                      primary /     2G-20G ext4 rw\n\
                      logical swap  512M-2G swap sw\n\
                      logical /var  1G-     ext4 rw createopts=\"-L var\"\n";

fn packages(number: usize, names: &[String]) -> String {
    let mut text = "PACKAGES install-norec\n".to_owned();
    for package in 0..20 {
        let _ = writeln!(text, "package-{number}-{package} library{package}");
    }
    let other = &names[(number * 7) % names.len()];
    let _ = writeln!(text, "\nPACKAGES install {other} && !{}", names[0]);
    text.push_str("nginx less-\n");
    text
}

fn variables(number: usize) -> String {
    let lines = (0..15).map(|line| format!("VARIABLE_{line}=\"value {number}\" # why\n"));
    lines.collect()
}

fn script_text(number: usize) -> String {
    let mut text = "#!/bin/bash\nerror=0; trap 'error=$((($?>$error)?$?:$error))' ERR\n".to_owned();
    for line in 0..40 {
        let _ =
            writeln!(text, "if [ -f $target/etc/f{line} ]; then echo \"x $(date)\" >> /tmp/x; fi");
    }
    let _ = writeln!(text, "fcopy -Mv /etc/app{}/conf\nexit $error", number % 40);
    text
}

fn inputs() -> Inputs {
    let names = (0..60).map(|number| format!("CLASS{number:03}"));
    let classes: ClassList =
        names.map(|name| name.parse().expect("invariant: these are names")).collect();
    let mut vars = Vars::default();
    let mirror = "bookworm http://deb.example.org/debian";
    vars.set("FAI_DEBOOTSTRAP", mirror, "class/DEFAULT.var");
    Inputs {
        facts: facts(),
        hostname: "bench".to_owned(),
        target: TargetProfile::DisksClassic,
        given_classes: Vec::new(),
        run_class_scripts: true,
        classes: Some(classes),
        vars: Some(vars),
        skips: Vec::new(),
        rules: Rules::default(),
        discovered: Discovered::default(),
        overrides: Default::default(),
    }
}

fn facts() -> Facts {
    let disk = Disk {
        name: "vda".to_owned(),
        size_bytes: 100 << 30,
        sector_bytes: 512,
        model: None,
        serial: None,
        wwn: None,
        rotational: false,
        removable: false,
        links: Vec::new(),
        signatures: Vec::new(),
    };
    Facts {
        version: FACTS_VERSION,
        firmware: Firmware::Bios,
        architecture: "amd64".to_owned(),
        memory_bytes: 8 << 30,
        cpus: 2,
        disks: vec![disk],
        nics: Vec::new(),
        dmi: Dmi::default(),
        kernel: "bench".to_owned(),
        tpm2: false,
        storage: Default::default(),
    }
}
