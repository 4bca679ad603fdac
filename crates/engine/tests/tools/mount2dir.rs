//! `mount2dir` beside FAI's, on file systems in files.

use super::bench::{NoPackages, call, need_fai};
use std::fs;
use std::process::Command;
use tempfile::TempDir;

/// Two file systems on loop devices, detached and unmounted when they are dropped.
struct Disks {
    dir: TempDir,
    loops: Vec<String>,
}

impl Disks {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("tools").tempdir().unwrap();
        let mut disks = Self { dir, loops: Vec::new() };
        for name in ["one", "two"] {
            let image = format!("{}/{name}", disks.base());
            fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
            let label = format!("hw-{name}-{}", std::process::id());
            output("mkfs.ext4", &["-q", "-L", &label, &image]);
            let device = output("losetup", &["--find", "--show", &image]).trim().to_owned();
            disks.loops.push(device);
        }
        disks
    }

    fn base(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    /// What is mounted below the target: where, and how.
    fn mounted(&self) -> Vec<String> {
        let target = format!("{}/target", self.base());
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let mounted = mounts.lines().filter(|line| line.contains(&target));
        let field = |line: &str, at| line.split(' ').nth(at).unwrap_or_default().to_owned();
        mounted
            .map(|line| {
                let at = field(line, 1).replace(&target, "@");
                format!("{} {at} {}", self.name(&field(line, 0)), field(line, 3))
            })
            .collect()
    }

    fn name(&self, device: &str) -> &'static str {
        if self.loops[0] == device { "one" } else { "two" }
    }

    fn unmount(&self) {
        let target = format!("{}/target", self.base());
        // What was never mounted cannot be unmounted.
        let _ = Command::new("umount").args(["--recursive", &target]).output();
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        self.unmount();
        for device in &self.loops {
            let _ = Command::new("losetup").args(["--detach", device]).output();
        }
    }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn root_an_fstab_is_mounted_below_a_directory() {
    need_fai();
    let disks = Disks::new();
    let (base, pid) = (disks.base(), std::process::id());
    let one = &disks.loops[0];
    let fstab = format!(
        "# comment\n{one} / ext4 defaults 0 1\nLABEL=hw-two-{pid} /srv/data ext4 nosuid,nodev 0 2\n\
         proc /proc proc defaults 0 0\n/dev/none none swap sw 0 0\n/dev/cd /cd iso9660 noauto 0 0\n"
    );
    fs::write(format!("{base}/fstab"), fstab).unwrap();
    let args = [format!("{base}/target"), format!("{base}/fstab")];
    let theirs = Command::new("/usr/lib/fai/mount2dir").args(&args).status().unwrap();
    let theirs = (theirs.code(), disks.mounted());
    disks.unmount();
    assert_eq!(disks.mounted(), Vec::<String>::new());
    let (status, out, err) = call("mount2dir", &args, Vec::new(), base, &NoPackages);
    assert_eq!((Some(status), disks.mounted()), theirs, "{out}{err}");
    assert_eq!(theirs.1.len(), 2);
}

#[test]
fn root_what_cannot_be_mounted_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_str().unwrap();
    let run = |args: &[String]| call("mount2dir", args, Vec::new(), base, &NoPackages).0;
    fs::write(format!("{base}/fstab"), "LABEL=hw-there-is-none / ext4 defaults 0 1\n").unwrap();
    assert_eq!(run(&[format!("{base}/target"), "fstab".to_owned()]), 4);
    assert_eq!(run(&[format!("{base}/target"), "none".to_owned()]), 2);
    assert_eq!(run(&[]), 1);
}
