//! `hostwright image deploy`: into a directory and into a disk image file, by files and by blocks.

use super::space::{Bench, has};
use std::fs;
use std::process::Command;

/// One root partition, and one that is mounted where the image has nothing.
const LAYOUT: &str = "disk_config disk1 disklabel:gpt fstabkey:uuid\nprimary / 300M-600M ext4 rw\n\
                      primary /srv 50M- ext4 rw\n";

/// A bench with an image `web` of a small tree in `store`.
fn bench() -> Bench {
    let bench = Bench::new();
    for dir in ["etc", "srv", "var/log", "usr/bin"] {
        fs::create_dir_all(bench.dir().join("tree").join(dir)).unwrap();
    }
    fs::write(bench.dir().join("tree/etc/motd"), "hello\n").unwrap();
    fs::write(bench.dir().join("tree/usr/bin/large"), vec![7; 3 << 20]).unwrap();
    fs::write(bench.dir().join("layout"), LAYOUT).unwrap();
    bench.ok("image add tree --name web --store store");
    bench
}

/// A file of the first partition of a disk image, which begins at the first MiB.
fn read(bench: &Bench, path: &str) -> String {
    let mut debugfs = Command::new("debugfs");
    let request = format!("cat {path}");
    let disk = bench.dir().join("web.raw").display().to_string();
    let output =
        debugfs.args(["-R", &request, &format!("{disk}?offset=1048576")]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn root_an_image_goes_into_an_empty_directory_only() {
    let bench = bench();
    has(&bench.ok("image deploy web --store store --to out/"), &["every file as it should be"]);
    assert_eq!(fs::read_to_string(bench.dir().join("out/etc/motd")).unwrap(), "hello\n");
    assert!(!bench.dir().join("out/.hostwright-deploy").exists());
    let again = bench.run("image deploy web --store store --to out/");
    assert_eq!(again.status, 2);
    has(&again.err, &["not empty"]);
}

#[test]
fn root_a_disk_image_gets_the_layout_and_the_files() {
    let bench = bench();
    let deploy = "image deploy web --store store --to web.raw --layout layout --hostname web1 \
                  --work-dir work";
    let small = bench.run(&format!("{deploy} --size 100M"));
    assert_eq!(small.status, 3, "{}", small.err);
    assert!(!bench.dir().join("web.raw").exists());
    let text = bench.ok(&format!("{deploy} --size 900M"));
    has(&text, &["lay image web down", "every file as it should be"]);
    assert_eq!(read(&bench, "/etc/motd"), "hello\n");
    assert_eq!(read(&bench, "/etc/hostname"), "web1\n");
    has(&read(&bench, "/etc/fstab"), &["/srv"]);

    bench.ok("image blocks web --store store");
    let text = bench.ok(&format!("{deploy} --size 900M"));
    has(&text, &["lay ext4 web.ext4 down", "as blocks"]);
    assert_eq!(read(&bench, "/etc/motd"), "hello\n");
    assert_eq!(read(&bench, "/usr/bin/large"), "\u{7}".repeat(3 << 20));
}

#[test]
fn root_a_target_that_is_none_is_one_error() {
    let bench = bench();
    for (to, words) in [
        ("/dev/no-such-disk", "no disk of this machine"),
        ("web.exe", "does not say what to make"),
        ("web.raw", "nothing says how the disk is divided"),
    ] {
        let refused = bench.run(&format!("image deploy web --store store --to {to}"));
        assert_eq!(refused.status, 2, "{to}: {}", refused.err);
        has(&refused.err, &[words]);
    }
    let unknown = bench.run("image deploy nobody --store store --to out/");
    has(&unknown.err, &["nobody"]);
    assert!(!bench.dir().join("out").exists());
}
