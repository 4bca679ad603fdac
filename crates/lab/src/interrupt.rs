//! Ctrl-C during the demo: whatever it is at, nothing of it may be left behind.

use crate::parts::Parts;
use crate::process::{bound, tail};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long the demo may take to come to what is waited for.
const START_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long what ends may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(20);

/// What the demo is at when it is interrupted.
#[derive(Clone, Copy, Debug)]
pub enum At {
    /// mmdebstrap(1) unpacks the tools image, with its mounts made.
    ToolsImage,
    /// The image is built, with file systems mounted in the target.
    Image,
    /// The machine runs.
    Machine,
}

/// Starts the demo in `dir`, interrupts it as a terminal does, and looks for what is left.
pub fn interrupt(parts: &Parts, dir: &Path, acceleration: &str, at: At) -> Result<()> {
    fs::create_dir_all(dir)?;
    let log = dir.join("demo.log");
    let mut demo = start(parts, dir, acceleration, &log)?;
    let seen = wait_for(&mut demo, dir, at, &log);
    let group = Pid::from_child(&demo);
    // All processes in front of a terminal get the signal of its Ctrl-C.
    kill_process_group(group, Signal::INT).context("cannot interrupt the demo")?;
    seen?;
    let deadline = Instant::now() + END_LIMIT;
    while demo.try_wait()?.is_none() {
        if Instant::now() > deadline {
            demo.kill()?;
            demo.wait()?;
            bail!("{at:?}: the demo goes on after Ctrl-C");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    loop {
        let left = leftovers(dir)?;
        if left.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{at:?}: left behind:\n  {}", left.join("\n  "));
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn start(parts: &Parts, dir: &Path, acceleration: &str, log: &Path) -> Result<Child> {
    let out = File::create(log)?;
    let words = [
        parts.program.display().to_string(),
        "lab".to_owned(),
        "demo".to_owned(),
        "--dir".to_owned(),
        dir.display().to_string(),
        "--agent".to_owned(),
        parts.agent.display().to_string(),
        "--accel".to_owned(),
        acceleration.split(',').next().unwrap_or(acceleration).to_owned(),
    ];
    let mut demo = bound(&words);
    demo.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    demo.process_group(0).spawn().context("cannot start the demo")
}

fn wait_for(demo: &mut Child, dir: &Path, at: At, log: &Path) -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let (mounts, machines) = (mounts_below(dir)?, machines(dir)?);
        let below = |name: &str| {
            let place = dir.join(name).display().to_string();
            mounts.iter().any(|mount| mount.starts_with(&place))
        };
        let is_there = match at {
            At::ToolsImage => below("installer"),
            At::Image => below("build"),
            At::Machine => !machines.is_empty(),
        };
        if is_there {
            // Into the middle of it.
            std::thread::sleep(Duration::from_secs(3));
            return Ok(());
        }
        if let Some(status) = demo.try_wait()? {
            bail!("the demo ended ({status}) before {at:?}:\n{}", tail(log, 20));
        }
        ensure!(Instant::now() < deadline, "the demo did not come to {at:?}:\n{}", tail(log, 20));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Processes, mounts and loop devices that have to do with `dir`. Namespaces have no names: they
/// live as long as a process or a mount.
pub fn leftovers(dir: &Path) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for (pid, proc) in processes()? {
        if belongs(&proc, dir) {
            left.push(format!("process {pid}: {}", words(&proc.join("cmdline"))));
        }
    }
    left.extend(mounts_below(dir)?.into_iter().map(|mount| format!("mount {mount}")));
    for entry in fs::read_dir("/sys/block")? {
        let path = entry?.path();
        let file = fs::read_to_string(path.join("loop/backing_file")).unwrap_or_default();
        if Path::new(file.trim()).starts_with(dir) {
            left.push(format!("{}: {}", path.display(), file.trim()));
        }
    }
    Ok(left)
}

fn processes() -> Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Ok(pid) = name.parse()
            && pid != std::process::id()
        {
            found.push((pid, path));
        }
    }
    Ok(found)
}

/// True if a process was started for `dir`, works in it or has it as its root. One that has ended is
/// not there any more, so what cannot be read is nothing.
fn belongs(proc: &Path, dir: &Path) -> bool {
    let named = words(&proc.join("cmdline"));
    let place = dir.display().to_string();
    let links = ["cwd", "root", "exe"].map(|link| fs::read_link(proc.join(link)));
    named.contains(&place) || links.iter().flatten().any(|link| link.starts_with(dir))
}

fn machines(dir: &Path) -> Result<Vec<u32>> {
    let is_machine = |proc: &Path| {
        let named = words(&proc.join("cmdline"));
        named.starts_with("qemu-system") && named.contains(&dir.display().to_string())
    };
    let all = processes()?.into_iter();
    Ok(all.filter(|(_, proc)| is_machine(proc)).map(|(pid, _)| pid).collect())
}

fn words(cmdline: &Path) -> String {
    let bytes = fs::read(cmdline).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

/// Mount points below `dir`, in whichever namespace.
fn mounts_below(dir: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (_, proc) in processes()?.into_iter().chain([(0, PathBuf::from("/proc/self"))]) {
        let mut text = Vec::new();
        // A process may have ended in between; a zombie's cannot be read.
        let opened = File::open(proc.join("mountinfo"));
        if opened.and_then(|mut file| file.read_to_end(&mut text)).is_err() {
            continue;
        }
        // proc_pid_mountinfo(5): the fifth field is the mount point.
        let text = String::from_utf8_lossy(&text);
        let points = text.lines().filter_map(|line| line.split(' ').nth(4));
        found.extend(points.filter(|point| Path::new(point).starts_with(dir)).map(str::to_owned));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_that_works_in_the_directory_is_found() {
        let dir = tempfile::TempDir::new().expect("tempdir");
        assert_eq!(leftovers(dir.path()).expect("look"), Vec::<String>::new());
        let mut process =
            Command::new("sleep").arg("60").current_dir(dir.path()).spawn().expect("sleep");
        let expected = [format!("process {}: sleep 60", process.id())];
        // Its words are there a moment later than the process itself.
        let mut left = leftovers(dir.path()).expect("look");
        for _ in 0..100 {
            if left == expected {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            left = leftovers(dir.path()).expect("look");
        }
        process.kill().expect("kill");
        process.wait().expect("wait");
        assert_eq!(left, expected);
    }
}
