//! `hostwright installer build`, interrupted while packages are unpacked.

use super::space::Bench;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Mount points below a directory, in the namespace of any process, and processes that name it.
fn traces(dir: &Path) -> (Vec<String>, Vec<String>) {
    let place = dir.to_str().unwrap();
    let (mut mounts, mut processes) = (Vec::new(), Vec::new());
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        // Processes end while they are looked at.
        let read = |name: &str| fs::read(path.join(name)).unwrap_or_default();
        let text = |name: &str| String::from_utf8_lossy(&read(name)).replace('\0', " ");
        if path.file_name().unwrap().to_str().unwrap().parse::<u32>().is_err() {
            continue;
        }
        let points = text("mountinfo");
        let points = points.lines().filter_map(|line| line.split(' ').nth(4));
        mounts.extend(points.filter(|point| point.starts_with(place)).map(str::to_owned));
        let words = text("cmdline");
        if words.contains(place) {
            processes.push(words);
        }
    }
    (mounts, processes)
}

fn wait_for(what: &str, limit_s: u64, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(limit_s);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// mmdebstrap(1) mounts proc, sysfs and devices below its root; a Ctrl-C gives nobody the time to
/// take them away.
#[test]
fn root_an_interrupted_build_leaves_no_mount_and_no_process() {
    let bench = Bench::new();
    let (dir, agent) = (bench.dir().join("out"), bench.dir().join("agent"));
    fs::write(&agent, "no program").unwrap();
    let mut build = Command::new(env!("CARGO_BIN_EXE_hostwright"));
    build.args(["installer", "build", "--out"]).arg(&dir).arg("--agent").arg(&agent);
    let log = fs::File::create(bench.dir().join("log")).unwrap();
    build.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    let mut build = build.spawn().unwrap();
    wait_for("nothing is mounted", 900, || {
        let ended = build.try_wait().unwrap();
        let log = || fs::read_to_string(bench.dir().join("log")).unwrap();
        assert!(ended.is_none(), "the build ended by itself: {}", log());
        !traces(&dir).0.is_empty()
    });
    // As a terminal does it: to the whole group.
    let group = format!("-{}", build.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    build.wait().unwrap();
    wait_for("something is left", 10, || traces(&dir) == (Vec::new(), Vec::new()));
}
