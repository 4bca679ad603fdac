//! Installs a real base system with each boot loader on a real disk and lets QEMU's firmware start it.
//!
//! A base system is made once, and named by HOSTWRIGHT_BASE:
//!
//! ```text
//! mmdebstrap --variant=minbase --include=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,\
//! kmod,zstd,grub-pc-bin,grub-efi-amd64-bin,grub2-common,systemd-boot-efi,cryptsetup-initramfs,\
//! cryptsetup-bin,libtss2-esys-3.0.2-0,libtss2-rc0,libtss2-tcti-device0,fdisk,e2fsprogs,dosfstools,dbus \
//! bookworm base.tar
//! ```
//!
//! A kernel without device mapper, TPM or FAT cannot install every case. Then the test is run in a
//! machine that can, which HOSTWRIGHT_BOOT_DISK says: it installs HOSTWRIGHT_BOOT_CASE there and
//! starts nothing.

#![allow(clippy::disallowed_methods, reason = "tests make and read files, and start programs")]
#![allow(clippy::print_stdout, reason = "what it measures is what it is run for")]
#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, not by their crate")]

mod cases;
mod firmware;

use cases::{CASES, Case};
use hostwright_engine::{NoImages, Planner, Session, Settings, run};
use hostwright_host::real::{RealHost, RealOptions};
use hostwright_host::{Host as _, fat_stage, namespace};
use hostwright_model::api::RecoveryKey;
use hostwright_model::event::EventBody;
use hostwright_model::fault::Fault;
use hostwright_model::plan::{Inputs, Plan};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

/// A plan, and whoever keeps its recovery keys.
struct Fixed {
    plan: Plan,
    keys: Vec<RecoveryKey>,
}

impl Planner for Fixed {
    fn plan(&mut self, _: &Inputs) -> Result<Plan, Box<Fault>> {
        Ok(self.plan.clone())
    }

    fn keep_recovery_key(&mut self, key: &RecoveryKey) -> Result<(), Box<Fault>> {
        self.keys.push(key.clone());
        Ok(())
    }
}

fn settings(base: &str, case: &Case, in_guest: bool) -> Settings {
    Settings {
        record_dir: format!("{base}/record"),
        space_dir: format!("{base}/space"),
        target_dir: format!("{base}/target"),
        log_dir: format!("{base}/log"),
        program: "/bin/false".to_owned(),
        shims: false,
        package_proxy: None,
        vars: BTreeMap::new(),
        defaults: BTreeMap::new(),
        flags: Vec::new(),
        verbose: false,
        firmware_view: (!in_guest).then_some(case.firmware()),
        fat_stage_dir: (!in_guest).then(|| format!("{base}/fat")),
    }
}

/// Installs a case on a disk; the seconds that each step took go to standard output.
fn install(case: &Case, disk: &str, dir: &Path, in_guest: bool) {
    let base = dir.to_str().unwrap();
    fs::create_dir_all(dir.join("space")).unwrap();
    let archive = dir.join("base.tar");
    let base_system = env::var("HOSTWRIGHT_BASE").expect("HOSTWRIGHT_BASE names a base system");
    // The engine removes a base file that it has unpacked.
    let _ = fs::remove_file(&archive);
    std::os::unix::fs::symlink(base_system, &archive).unwrap();
    let mut planner = Fixed { plan: case.plan(disk, archive.to_str().unwrap()), keys: Vec::new() };
    let (settings, inputs) = (settings(base, case, in_guest), case.inputs(in_guest));
    let fat_stage_dir = settings.fat_stage_dir.clone();
    let options = RealOptions { fat_stage_dir, ..RealOptions::default() };
    let (mut host, mut images) = (RealHost::new(options), NoImages);
    let mut session = Session::open(&mut host, &mut images, settings, inputs).unwrap();
    let mut lines = Vec::new();
    let mut began = Instant::now();
    let ran = run(&mut session, &mut planner, &mut |event| match event {
        EventBody::StepStarted { .. } => began = Instant::now(),
        EventBody::StepFinished { step, .. } => {
            println!("rig: {} {step} {:.2} s", case.name, began.elapsed().as_secs_f64());
        }
        EventBody::Output { line, .. } => lines.push(line),
        _ => {}
    });
    if let Err(fault) = ran {
        panic!("{fault}\n{}\n{}", fault.output.join("\n"), lines.join("\n"));
    }
    drop(session);
    if !in_guest {
        fat_stage::flush(&format!("{base}/fat"), &mut host).unwrap();
    }
    assert_eq!(planner.keys.len(), usize::from(case.is_sealed()), "recovery keys");
    for key in &planner.keys {
        opens(key);
    }
}

/// A recovery key opens what it is for.
fn opens(key: &RecoveryKey) {
    let mut host = RealHost::default();
    let command = hostwright_host::Command::new(hostwright_host::Tool::Cryptsetup)
        .args(["open", "--test-passphrase", "--key-file=-", &key.device])
        .stdin(key.key.clone());
    host.run(&command, &mut |_, _| {}).unwrap().success().unwrap();
}

/// Runs a program to its end; what it wrote.
fn call(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs a base system, QEMU and minutes; see the head of this file"]
fn root_a_disk_with_each_boot_loader_starts() {
    if let (Ok(disk), Ok(name)) =
        (env::var("HOSTWRIGHT_BOOT_DISK"), env::var("HOSTWRIGHT_BOOT_CASE"))
    {
        let case = CASES.iter().find(|case| case.name == name).expect("a case of that name");
        return install(case, &disk, Path::new("/tmp/boot-test"), true);
    }
    namespace::own_mounts().unwrap();
    let wanted = env::var("HOSTWRIGHT_BOOT_CASE").ok();
    let is_wanted = |case: &&Case| wanted.as_deref().is_none_or(|name| case.name == name);
    for case in CASES.iter().filter(|case| !case.needs_device_mapper()).filter(is_wanted) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("disk.raw");
        fs::File::create(&file).unwrap().set_len(3 << 30).unwrap();
        let disk = call("losetup", &["--find", "--show", file.to_str().unwrap()]);
        let installed = std::panic::catch_unwind(|| install(case, &disk, dir.path(), false));
        let _ = Command::new("partx").args(["--delete", &disk]).output();
        call("losetup", &["--detach", &disk]);
        installed.unwrap();
        match case.is_image {
            true => copies(case, &file, dir.path()),
            false => drop(start(case, &file, dir.path())),
        }
    }
}

/// What the system on a disk says of itself.
fn start(case: &Case, file: &Path, dir: &Path) -> String {
    let began = Instant::now();
    let answer = firmware::start(case, file, dir);
    println!("rig: {} answers after {:.0} s: {answer}", case.name, began.elapsed().as_secs_f64());
    answer
}

/// Two copies of an image on larger disks are two machines, and stay what they have become.
fn copies(case: &Case, image: &Path, dir: &Path) {
    let copy = |name: &str| {
        let path = dir.join(name);
        call("cp", &["--sparse=always", image.to_str().unwrap(), path.to_str().unwrap()]);
        fs::File::options().write(true).open(&path).unwrap().set_len(5 << 30).unwrap();
        path
    };
    let one = copy("one.raw");
    let (first, again) = (start(case, &one, dir), start(case, &one, dir));
    let other = start(case, &copy("other.raw"), dir);
    let word = |answer: &str, key: &str| {
        let rest = answer.split_once(&format!(" {key} ")).unwrap().1;
        rest.split(' ').next().unwrap().to_owned()
    };
    for key in ["uuid", "id", "key"] {
        assert_eq!(word(&first, key), word(&again, key), "{key} stays");
        assert_ne!(word(&first, key), word(&other, key), "{key} is of one machine");
    }
    for answer in [&first, &again, &other] {
        let size_mib: u64 = word(answer, "mib").parse().unwrap();
        assert!(size_mib > 4000, "it has grown: {answer}");
        assert_eq!(word(answer, "id").len(), 32, "{answer}");
    }
    // The loader of the second start knows the new name.
    assert!(again.contains(&format!("root=UUID={}", word(&again, "uuid"))), "{again}");
}
