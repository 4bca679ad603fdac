//! `cargo xtask peers lay`: a tree of small files and a server's tree, laid down on a fresh ext4 by
//! Hostwright and by those who do the like, each until the disk has it.
//!
//! Trees, archives and stores are made once and kept below target/peers/lay. The machine should have
//! nothing else to do; run it under a lock where others work, too.

use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SUITE: &str = "bookworm";
/// The packages of each tree beside what its variant of mmdebstrap has.
const TREES: [(&str, &str, &str); 2] = [
    ("small", "minbase", ""),
    (
        "large",
        "apt",
        "linux-image-cloud-amd64,build-essential,openssh-server,nginx,postgresql,python3,\
         python3-pip,git,vim,rsync,default-jdk-headless,cmake,systemd-sysv,nodejs",
    ),
];
/// Clock ticks of proc(5) in a second.
const TICKS: f64 = 100.0;

/// What is measured, and how often.
#[derive(clap::Args)]
pub struct Options {
    /// How often each is done; the fastest and the median count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only this tree: small or large.
    #[arg(long)]
    only: Option<String>,
}

/// A way to fill the file system; `{}` is where it is mounted, or its device.
struct Method {
    name: &'static str,
    script: String,
    /// True if it gets the device in place of an empty file system.
    takes_device: bool,
}

/// Measures all of it.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let place = root.join("target/peers/lay");
    fs::create_dir_all(&place)?;
    let profile = ["build", "--release", "--locked", "-p", "hostwright-host", "--example", "lay"];
    status(Command::new("cargo").args(profile).current_dir(root))?;
    let lay = root.join("target/release/examples/lay");
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    for (name, variant, packages) in TREES.into_iter().filter(|(name, ..)| wanted(name)) {
        let tree = Tree { root, place: &place, lay: &lay, name };
        tree.prepare(variant, packages)?;
        tree.compare(options.rounds.max(1))?;
    }
    Ok(())
}

struct Tree<'a> {
    root: &'a Path,
    place: &'a Path,
    lay: &'a Path,
    name: &'a str,
}

impl Tree<'_> {
    fn path(&self, suffix: &str) -> PathBuf {
        self.place.join(format!("{}{suffix}", self.name))
    }

    /// Makes what is not there yet.
    fn prepare(&self, variant: &str, packages: &str) -> Result<()> {
        let name = self.name;
        let include =
            if packages.is_empty() { String::new() } else { format!("--include={packages}") };
        let make = format!("mmdebstrap --quiet --variant={variant} {include} {SUITE} {name}.tar");
        self.once(".tar", &make)?;
        self.once("", &format!("mkdir {name} && tar -C {name} -xf {name}.tar"))?;
        self.once(".tar.zst", &format!("zstd -q -3 -T0 -k {name}.tar"))?;
        let squash = format!(
            "mksquashfs {name} {name}.sqfs -comp zstd -Xcompression-level 3 -quiet -no-progress"
        );
        self.once(".sqfs", &squash)?;
        let index = format!("casync make --store={name}.castr {name}.caidx {name} >/dev/null");
        self.once(".caidx", &index)?;
        let lay = self.lay.display();
        self.once(".added", &format!("{lay} add store {name} {name} && touch {name}.added"))?;
        let blocks = [
            "run",
            "--quiet",
            "--locked",
            "-p",
            "hostwright",
            "--",
            "image",
            "blocks",
            name,
            "--store",
        ];
        if !self.place.join("store/refs").join(format!("{name}.ext4")).exists() {
            let store = self.place.join("store");
            status(Command::new("cargo").args(blocks).arg(store).current_dir(self.root))?;
        }
        Ok(())
    }

    /// Runs a script in the directory unless its result is there.
    fn once(&self, suffix: &str, script: &str) -> Result<()> {
        if self.path(suffix).exists() {
            return Ok(());
        }
        let mut shell = Command::new("sh");
        status(shell.args(["-e", "-c", script]).current_dir(self.place)).with_context(|| {
            format!(
                "cannot make {}{suffix}; are mmdebstrap, casync, squashfs-tools there?",
                self.name
            )
        })
    }

    fn methods(&self) -> Vec<Method> {
        let (name, lay) = (self.name, self.lay.display());
        let method = |label, script, takes_device| Method { name: label, script, takes_device };
        let files = format!("{lay} tree store {name} {{}}");
        let blocks = format!("{lay} blocks store {name} {{}}");
        let tar = format!(
            "tar --zstd -x --numeric-owner --xattrs --xattrs-include='*' -f {name}.tar.zst -C {{}}"
        );
        let squash = format!("unsquashfs -f -q -n -d {{}} {name}.sqfs >/dev/null");
        let casync = format!("casync extract --store={name}.castr {name}.caidx {{}}");
        let raw = format!("dd if={name}.tar of={{}} bs=4M oflag=direct conv=fsync status=none");
        vec![
            method("raw write", raw, true),
            method("hostwright, blocks", blocks.clone(), true),
            method("  on one core", format!("taskset -c 0 {blocks}"), true),
            method("hostwright, files", files.clone(), false),
            method("  on one core", format!("taskset -c 0 {files}"), false),
            method("tar --zstd", tar, false),
            method("unsquashfs", squash, false),
            method("casync extract", casync, false),
        ]
    }

    /// All methods in turn, round by round, so that what else the machine does hits all alike.
    fn compare(&self, rounds: usize) -> Result<()> {
        let methods = self.methods();
        let mut taken: Vec<Vec<(Duration, f64)>> = vec![Vec::new(); methods.len()];
        for _ in 0..rounds {
            for (method, times) in methods.iter().zip(&mut taken) {
                times.push(self.measure(method)?);
            }
        }
        let bytes = fs::metadata(self.path(".tar"))?.len();
        println!("{}: {} MiB, {rounds} rounds", self.name, bytes >> 20);
        println!("{:20} {:>8} {:>8} {:>8} {:>8}", "", "fastest", "median", "x raw", "CPU s");
        let mut raw = None;
        for (method, mut times) in methods.iter().zip(taken) {
            times.sort_by_key(|(wall, _)| *wall);
            let (fastest, cpu_s) = times[0];
            let median = times[times.len() / 2].0.as_secs_f64();
            let raw = *raw.get_or_insert(median);
            let (name, fastest) = (method.name, fastest.as_secs_f64());
            println!("{name:20} {fastest:8.2} {median:8.2} {:8.2} {cpu_s:8.2}", median / raw);
        }
        Ok(())
    }

    /// How long one method takes, and for how long it keeps processors busy.
    fn measure(&self, method: &Method) -> Result<(Duration, f64)> {
        let disk = Disk::create(&self.place.join("disk.img"), 8 << 30)?;
        let mount = self.place.join("mnt");
        fs::create_dir_all(&mount)?;
        let at = if method.takes_device { Path::new(&disk.device) } else { mount.as_path() };
        let mounted = (!method.takes_device).then(|| disk.mount(&mount)).transpose()?;
        status(&mut Command::new("sync"))?;
        let script = method.script.replace("{}", &at.display().to_string());
        let (begin, busy) = (Instant::now(), children_s()?);
        status(Command::new("sh").args(["-e", "-c", &script]).current_dir(self.place))?;
        status(Command::new("sync").arg("-f").arg(at))?;
        let taken = (begin.elapsed(), children_s()? - busy);
        if method.name == "hostwright, blocks" {
            status(Command::new("e2fsck").args(["-f", "-n", &disk.device]).stdout(Stdio::null()))
                .context("what was laid down as blocks is damaged")?;
        }
        drop(mounted);
        Ok(taken)
    }
}

/// Seconds that processors have worked for the children of this process that have ended.
fn children_s() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat is odd")?;
    let ticks = fields.split_whitespace().skip(13).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
}

/// A sparse file as a disk that bypasses the page cache; detached when it is dropped.
struct Disk {
    device: String,
}

impl Disk {
    fn create(path: &Path, size_bytes: u64) -> Result<Self> {
        if path.exists() {
            fs::remove_file(path)?;
        }
        File::create(path)?.set_len(size_bytes)?;
        let attach = ["--find", "--show", "--direct-io=on"];
        let output = Command::new("losetup").args(attach).arg(path).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { device: String::from_utf8(output.stdout)?.trim().to_owned() })
    }

    fn mount(&self, at: &Path) -> Result<Mounted> {
        let make = ["-q", "-F", "-E", "lazy_itable_init=1"];
        status(Command::new("mkfs.ext4").args(make).arg(&self.device))?;
        status(Command::new("mount").arg(&self.device).arg(at))?;
        Ok(Mounted { at: at.to_owned() })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is still mounted keeps it until it is unmounted.
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

/// Unmounted when it is dropped.
struct Mounted {
    at: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).status();
    }
}

fn status(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
