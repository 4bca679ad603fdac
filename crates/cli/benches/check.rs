//! How long the verb `check` takes on a large space, with the reading of its files and bash's opinion
//! of its scripts: `cargo bench -p hostwright`.
//!
//! The space has 1,000 files and 200 classes; the promise is less than 100 ms.

#![allow(clippy::disallowed_methods, reason = "a benchmark makes files and starts the program")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const CLASSES: usize = 200;
const FILES: usize = 1000;

fn main() {
    divan::main();
}

#[divan::bench]
fn check_1000_files(bencher: divan::Bencher<'_, '_>) {
    check(bencher, &[]);
}

#[divan::bench]
fn check_1000_files_without_bash(bencher: divan::Bencher<'_, '_>) {
    check(bencher, &["--no-shell"]);
}

fn check(bencher: divan::Bencher<'_, '_>, options: &[&str]) {
    let space = space();
    bencher.bench_local(|| {
        let program = env!("CARGO_BIN_EXE_hostwright");
        let output = Command::new(program).arg("check").args(options).arg(space.path()).output();
        let output = output.expect("invariant: the program was built");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}

/// Each class has packages, variables, a script and files; a quarter of them a hook.
fn space() -> TempDir {
    let dir = tempfile::tempdir().expect("invariant: there is room");
    let mut count = 0;
    let mut put = |path: String, text: &str, mode: u32| {
        count += 1;
        write(&dir.path().join(path), text, mode);
    };
    let names: Vec<String> = (0..CLASSES).map(|number| format!("CLASS{number:03}")).collect();
    let script = format!("#!/bin/bash\necho {}\n", names.join(" "));
    put("class/50-host-classes".to_owned(), &script, 0o755);
    let base = "FAI_DEBOOTSTRAP=\"bookworm http://deb.example.org/debian\"\nSTOP_ON_ERROR=600\n";
    put("class/DEFAULT.var".to_owned(), base, 0o644);
    for (number, class) in names.iter().enumerate() {
        let packages: String = (0..20).map(|at| format!("package-{number}-{at}\n")).collect();
        let packages = format!("PACKAGES install\n{packages}grub-pc\n");
        put(format!("package_config/{class}"), &packages, 0o644);
        let vars: String =
            (0..15).map(|at| format!("VARIABLE_{at}=\"value {number}\"\n")).collect();
        put(format!("class/{class}.var"), &vars, 0o644);
        let line = "if [ -f $target/etc/f ]; then echo \"x $(date)\" >> /tmp/x; fi\n";
        let script = format!("#!/bin/bash\nerror=0\n{}exit $error\n", line.repeat(40));
        put(format!("scripts/{class}/10-setup"), &script, 0o755);
        put(format!("files/etc/app{}/{class}", number % 40), &"a = b\n".repeat(40), 0o644);
        if number % 4 == 0 {
            let hook = format!("#!/bin/sh\nifclass {class} && skiptask tests\n");
            put(format!("hooks/instsoft.{class}"), &hook, 0o755);
        }
    }
    for number in count..FILES {
        let text = "x".repeat(2000);
        write(&dir.path().join(format!("files/usr/share/data/{number}/DEFAULT")), &text, 0o644);
    }
    dir
}

fn write(path: &Path, text: &str, mode: u32) {
    let parent = path.parent().expect("invariant: it is below the space");
    fs::create_dir_all(parent).expect("invariant: there is room");
    fs::write(path, text).expect("invariant: there is room");
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, permissions).expect("invariant: the file is ours");
}
