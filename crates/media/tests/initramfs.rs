//! The initramfs: the same bytes from the same ingredients, and everything that the agent needs.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]
#![allow(clippy::disallowed_methods, reason = "the peer is started as a user would")]

use hostwright_media::selection::{INITRAMFS, select};
use hostwright_media::{Kernel, initramfs};
use hostwright_model::ids::Digest;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const DEP: &str = "kernel/drivers/net/virtio_net.ko: kernel/net/core/failover.ko\n\
    kernel/net/core/failover.ko:\n\
    kernel/sound/soundcore.ko:\n";
const ALIAS: &str = "alias virtio:d00000001v* virtio_net\nalias char-major-14-* soundcore\n";

/// A kernel package's content in small.
fn kernel(dir: &Path) -> Kernel {
    let modules = dir.join("lib/modules/6.1.0-test");
    for line in DEP.lines() {
        let path = modules.join(line.split(':').next().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("module {line}").repeat(500)).unwrap();
    }
    Kernel {
        release: "6.1.0-test".to_owned(),
        image: dir.join("boot/vmlinuz"),
        modules,
        built_at_s: 1_700_000_000,
        key: Digest([0; 32]),
    }
}

fn build(dir: &Path) -> Vec<u8> {
    let (kernel, busybox) = (kernel(dir), dir.join("busybox"));
    fs::write(&busybox, "busybox").unwrap();
    let modules = select(INITRAMFS, DEP, ALIAS, "");
    let archive = initramfs::base(&kernel, &modules, &busybox);
    let packed = dir.join("initrd");
    initramfs::write(&archive, kernel.built_at_s, &packed).unwrap();
    fs::read(packed).unwrap()
}

#[test]
fn two_builds_in_different_places_give_the_same_bytes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Times of the files differ by more than a second, as those of two unpackings would.
    let first = build(one.path());
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(first, build(other.path()));
}

#[test]
fn the_agent_finds_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("cpio"), zstd::decode_all(&build(dir.path())[..]).unwrap()).unwrap();
    let output = Command::new("cpio")
        .args(["--list", "--quiet"])
        .stdin(Stdio::from(fs::File::open(dir.path().join("cpio")).unwrap()))
        .output()
        .expect("Debian's package cpio is installed");
    let listed = String::from_utf8(output.stdout).unwrap();
    let files: Vec<&str> = listed.lines().collect();
    for needed in [
        "bin/busybox",
        "bin/sh",
        "dev/console",
        "dev/null",
        "etc/udhcpc.script",
        "lib/modules/6.1.0-test/kernel/drivers/net/virtio_net.ko",
        "lib/modules/6.1.0-test/kernel/net/core/failover.ko",
        "lib/modules/6.1.0-test/modules.alias",
        "lib/modules/6.1.0-test/modules.dep",
        "lib/modules/6.1.0-test/modules.softdep",
        "newroot",
        "sbin/modprobe",
        "usr/bin/hostwright-agent",
    ] {
        assert!(files.contains(&needed), "{needed} is missing in {files:?}");
    }
    assert!(!listed.contains("soundcore"), "no machine is installed by its sound card");
}

#[test]
fn the_scripts_are_shell() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/files");
    for file in ["udhcpc.script", "profile"] {
        let status = Command::new("sh").arg("-n").arg(format!("{dir}/{file}")).status().unwrap();
        assert!(status.success(), "{file}");
    }
}
