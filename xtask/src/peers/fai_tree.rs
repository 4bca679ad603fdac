//! `cargo xtask peers fai-tree`: directories and disk images that `hostwright build` makes from FAI's
//! example space, against those that FAI itself makes with the same classes on the same day.

use super::disk::{self, MountedDisk};
use super::tree::{self, Allowance, Extent};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SIMPLE: &str = "/usr/share/doc/fai-doc/examples/simple";
const SUITE: &str = "bookworm";
/// Size of the disk in disk images.
const DISK_SIZE: &str = "2G";

/// One comparison.
struct Case {
    name: &'static str,
    classes: &'static str,
    /// True for a disk image, false for a directory.
    is_disk: bool,
    /// True if each side runs debootstrap; else both begin with one base file.
    debootstraps: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "demo",
        classes: "DEBIAN,AMD64,FAIBASE,DHCPC,DEMO,LAST",
        is_disk: false,
        debootstraps: true,
    },
    Case {
        name: "no-kernel",
        classes: "DEBIAN,FAIBASE,DEMO,LAST",
        is_disk: false,
        debootstraps: false,
    },
    Case {
        name: "german",
        classes: "DEBIAN,FAIBASE,DHCPC,GERMAN,LAST",
        is_disk: false,
        debootstraps: false,
    },
    Case {
        name: "cloud",
        classes: "DEBIAN,AMD64,FAIBASE,CLOUD,LAST",
        is_disk: false,
        debootstraps: false,
    },
    Case {
        name: "disk-msdos",
        classes: "DEBIAN,AMD64,FAIBASE,GRUB_PC,DHCPC,DEMO,CLOUD,LAST",
        is_disk: true,
        debootstraps: false,
    },
    Case {
        name: "disk-gpt",
        classes: "DEBIAN,AMD64,FAIBASE,GRUB_PC,CLOUD,PEER_GPT,LAST",
        is_disk: true,
        debootstraps: false,
    },
];

/// The example has a GPT with an EFI system partition only, which FAI cannot make on a kernel
/// without FAT.
const PEER_GPT: &str = "disk_config disk1 disklabel:gpt-bios fstabkey:uuid align-at:1M\n\n\
                        p=root /     300-  ext4 rw,noatime tuneopts=\"-c 0 -i 0\"\n\
                        p=swap swap  128M  swap sw\n";

/// FAI counts on udev for the links by which grub-mkconfig(8) names the root file system by UUID.
/// Hostwright makes them itself where there is no udev, so this is a hook of FAI's side only.
const LINKS_OF_UDEV: &str = "#!/bin/sh\nmkdir -p /dev/disk/by-uuid\n\
                             for part in /dev/${disklist}p*; do\n\
                             \tuuid=$(blkid -s UUID -o value \"$part\") || continue\n\
                             \tln -sf \"$part\" /dev/disk/by-uuid/\"$uuid\"\ndone\n";

/// Paths that differ between any two builds, even of the same tool, and why: in what is in them, or in
/// whether they are there. Everything else about them is compared. A name that ends in `/` stands for
/// everything below it.
const BY_NATURE: &[(&str, Extent, &str)] = &[
    ("etc/machine-id", Extent::Content, "random, one a system"),
    ("etc/ssh/ssh_host_ecdsa_key", Extent::Content, "random key"),
    ("etc/ssh/ssh_host_ecdsa_key.pub", Extent::Content, "random key"),
    ("etc/ssh/ssh_host_ed25519_key", Extent::Content, "random key"),
    ("etc/ssh/ssh_host_ed25519_key.pub", Extent::Content, "random key"),
    ("etc/ssh/ssh_host_rsa_key", Extent::Content, "random key"),
    ("etc/ssh/ssh_host_rsa_key.pub", Extent::Content, "random key"),
    (
        "etc/resolv.conf",
        Extent::Content,
        "copied from the build host, whose resolver may change in between",
    ),
    ("var/log/fai/", Extent::Existence, "each tool's own logs, under its own names"),
    ("var/log/", Extent::Content, "time stamps"),
    ("var/cache/ldconfig/aux-cache", Extent::Content, "inode numbers and times of libraries"),
    ("var/cache/apt/pkgcache.bin", Extent::Content, "made from lists with times"),
    ("var/cache/apt/srcpkgcache.bin", Extent::Content, "made from lists with times"),
    ("var/cache/man/", Extent::Content, "database with times"),
    (
        "var/lib/apt/lists/",
        Extent::Existence,
        "archive indices, which the archive may have renewed in between",
    ),
    ("var/lib/apt/extended_states", Extent::Content, "order of a hash table"),
    ("var/lib/systemd/catalog/database", Extent::Content, "holds the machine id and times"),
    ("boot/initrd.img-", Extent::Content, "time stamps inside"),
    ("etc/shadow", Extent::Content, "day of the last change; passwords are compared without it"),
    ("etc/shadow-", Extent::Content, "backup of the same"),
    ("etc/passwd-", Extent::Content, "backup; depends on the second in which it was made"),
    ("etc/group-", Extent::Content, "backup; depends on the second in which it was made"),
    ("etc/gshadow-", Extent::Content, "backup; depends on the second in which it was made"),
    ("etc/subuid-", Extent::Content, "backup; depends on the second in which it was made"),
    ("etc/subgid-", Extent::Content, "backup; depends on the second in which it was made"),
    (
        "etc/fai/fai.conf",
        Extent::Content,
        "a script writes where the space was read from, which are two directories",
    ),
    (
        "var/lib/dpkg/diversions-old",
        Extent::Content,
        "backup of what was diverted during the installation by each tool",
    ),
    (
        "var/lib/fai/FAI_CLASSES",
        Extent::Existence,
        "FAI leaves it out where no class script ran; softupdate needs it",
    ),
    (
        "var/lib/fai/disk_var.sh",
        Extent::Content,
        "lines in the order of a hash table; they are compared sorted",
    ),
    ("run/udev", Extent::Existence, "a mount point that FAI makes and leaves behind"),
    (
        "run/blkid/",
        Extent::Existence,
        "cache of blkid, with the second and the identifier of the new disk",
    ),
];

/// Byte code of Python holds the second in which its source was written.
const BYTE_CODE: (&str, &str) = ("*.pyc", "byte code; holds the time of its source");

fn by_nature(path: &str) -> Option<Extent> {
    let listed = BY_NATURE.iter().find(|(name, ..)| covers(name, path));
    let is_byte_code = path.contains("/__pycache__/") && path.ends_with(".pyc");
    listed.map(|(_, extent, _)| *extent).or(is_byte_code.then_some(Extent::Content))
}

/// Where the comparison works and what it may take from an earlier one.
#[derive(clap::Args)]
pub struct Options {
    /// Comparisons by name; all without any.
    cases: Vec<String>,
    /// Directory for what is built; removed at the end unless it is given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Compare what is in --dir already.
    #[arg(long, requires = "dir")]
    compare_only: bool,
    /// The program to compare with FAI.
    #[arg(long)]
    program: Option<PathBuf>,
}

/// Builds both, compares them and prints what differs, for each case.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    ensure!(Path::new(SIMPLE).exists(), "{SIMPLE} is missing; install the package fai-doc");
    let dir = options.dir.clone().unwrap_or_else(|| root.join("target/peers/fai-tree"));
    let program = match &options.program {
        Some(program) => program.clone(),
        None => built_program(root)?,
    };
    let known: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    for name in &options.cases {
        ensure!(known.contains(&name.as_str()), "no case '{name}'; there are {}", known.join(", "));
    }
    let is_wanted =
        |case: &&Case| options.cases.is_empty() || options.cases.iter().any(|n| n == case.name);
    let mut failed = Vec::new();
    for case in CASES.iter().filter(is_wanted) {
        println!("--- {}: {}", case.name, case.classes);
        let bench = Bench { case, program: &program, dir: dir.join(case.name), shared: &dir };
        let found = bench.compare(options.compare_only)?;
        match found.is_empty() {
            true => println!("{}: equal", case.name),
            false => {
                println!("{}: {} differences:\n  {}", case.name, found.len(), found.join("\n  "));
                failed.push(case.name);
            }
        }
        if options.dir.is_none() {
            fs::remove_dir_all(&bench.dir)?;
        }
    }
    println!("left out by nature:");
    for (path, extent, why) in BY_NATURE {
        println!("  {path} ({extent:?}): {why}");
    }
    println!("  {} (Content): {}", BYTE_CODE.0, BYTE_CODE.1);
    ensure!(failed.is_empty(), "fai-tree: {} differ", failed.join(", "));
    println!("fai-tree: all are equal");
    Ok(())
}

/// Builds the program as it is now.
fn built_program(root: &Path) -> Result<PathBuf> {
    let args = ["build", "--locked", "--package", "hostwright"];
    run_tool(Command::new("cargo").args(args).current_dir(root))?;
    Ok(root.join("target/debug/hostwright"))
}

/// A case and its place.
struct Bench<'a> {
    case: &'a Case,
    program: &'a Path,
    dir: PathBuf,
    shared: &'a Path,
}

impl Bench<'_> {
    fn compare(&self, as_it_is: bool) -> Result<Vec<String>> {
        if !as_it_is {
            if self.dir.exists() {
                fs::remove_dir_all(&self.dir)?;
            }
            fs::create_dir_all(&self.dir)?;
            self.make_space()?;
            let (ours, theirs) = (self.build_ours()?, self.build_theirs()?);
            let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
            println!("hostwright {ours:.1?}, FAI {theirs:.1?}: {ratio:.2} times as fast");
        }
        let (ours, theirs) = (self.dir.join("ours"), self.dir.join("theirs"));
        if !self.case.is_disk {
            return compare_trees(&ours, &theirs, &[]);
        }
        let (our_disk, their_disk) = (self.our_disk(), self.their_disk());
        let mut found = disk::differences(&our_disk, &their_disk)?;
        let left = MountedDisk::mount(&our_disk, &ours)?;
        let right = MountedDisk::mount(&their_disk, &theirs)?;
        let names = disk::names(&left, &right);
        found.extend(compare_trees(&ours, &theirs, &names)?);
        Ok(found)
    }

    fn space(&self) -> PathBuf {
        self.dir.join("space")
    }

    fn our_disk(&self) -> PathBuf {
        self.dir.join("ours.raw")
    }

    fn their_disk(&self) -> PathBuf {
        self.dir.join("theirs.raw")
    }

    /// A copy of the example, because scripts write where it is into what they make.
    fn make_space(&self) -> Result<()> {
        let space = self.space();
        run_tool(Command::new("cp").args(["-a", SIMPLE]).arg(&space))?;
        fs::write(space.join("disk_config/PEER_GPT"), PEER_GPT)?;
        if !self.case.debootstraps {
            let base = self.base_file()?;
            fs::create_dir_all(space.join("basefiles"))?;
            fs::hard_link(base, space.join("basefiles/FAIBASE.tar.zst"))?;
        }
        Ok(())
    }

    /// One base system for all cases that do not make their own.
    fn base_file(&self) -> Result<PathBuf> {
        let (file, root) = (self.shared.join("base.tar.zst"), self.shared.join("base"));
        if file.exists() {
            return Ok(file);
        }
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        run_tool(Command::new("debootstrap").arg(SUITE).arg(&root).stdout(Stdio::null()))?;
        let new = self.shared.join("new.tar.zst");
        let mut tar = Command::new("tar");
        tar.args(["--create", "--zstd", "--numeric-owner", "--xattrs", "--file"]).arg(&new);
        run_tool(tar.arg("--directory").arg(&root).arg("."))?;
        fs::rename(&new, &file)?;
        fs::remove_dir_all(&root)?;
        Ok(file)
    }

    fn build_ours(&self) -> Result<Duration> {
        let started = Instant::now();
        let mut build = Command::new(self.program);
        build.args(["build", "--hostname", "demohost", "--only-classes", self.case.classes]);
        build.arg("--space").arg(self.space()).arg("--work-dir").arg(self.dir.join("work"));
        match self.case.is_disk {
            // fai-diskimage's locale is one of them.
            true => build.args(["--fai-bugs", "--size", DISK_SIZE, "-o"]).arg(self.our_disk()),
            false => build.arg("--dir").arg(self.dir.join("ours")),
        };
        run_tool(&mut build)?;
        Ok(started.elapsed())
    }

    /// FAI has its sources.list from its configuration, where we derive it from the space: it is
    /// given the one that we made.
    fn build_theirs(&self) -> Result<Duration> {
        let (config, theirs) = (self.dir.join("fai"), self.dir.join("theirs"));
        fs::create_dir_all(config.join("apt"))?;
        fs::create_dir_all(&theirs)?;
        let source = format!("file://{}", self.space().display());
        fs::write(config.join("fai.conf"), format!("FAI_CONFIG_SRC={source}\nLOGUSER=\n"))?;
        let nfsroot = "FAI_DEBOOTSTRAP_OPTS=\"\"\nNFSROOT=/nonexistent\n";
        fs::write(config.join("nfsroot.conf"), nfsroot)?;
        self.copy_sources(&config.join("apt/sources.list"))?;
        if self.case.is_disk && !Path::new("/run/udev/control").exists() {
            let hook = self.space().join("hooks/updatebase.FAIBASE");
            fs::write(&hook, LINKS_OF_UDEV)?;
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
        }
        let started = Instant::now();
        let log = fs::File::create(self.dir.join("fai.log"))?;
        let program = if self.case.is_disk { "fai-diskimage" } else { "fai" };
        let mut fai = Command::new(program);
        fai.arg("-v").arg("-C").arg(&config);
        fai.args(["-s", &source, "-c", self.case.classes, "-u", "demohost"]);
        // FAI hands on the locale of whoever calls it, where Hostwright has one of its own.
        fai.env_remove("LANG").env("LC_ALL", "C.UTF-8");
        match self.case.is_disk {
            true => fai.args(["-S", DISK_SIZE]).arg(self.their_disk()),
            false => fai.arg("dirinstall").arg(&theirs),
        };
        let status = fai.stdout(log.try_clone()?).stderr(log).status();
        let status =
            status.with_context(|| format!("cannot run {program}; see packaging/setup"))?;
        // FAI ends with 1 for any warning of its run; what counts is what it made.
        println!("{program}: {status}, see {}", self.dir.join("fai.log").display());
        remove_dead_links()?;
        Ok(started.elapsed())
    }

    fn copy_sources(&self, to: &Path) -> Result<()> {
        const SOURCES: &str = "etc/apt/sources.list";
        let ours = self.dir.join("ours");
        let mounted = match self.case.is_disk {
            true => Some(MountedDisk::mount(&self.our_disk(), &ours)?),
            false => None,
        };
        fs::copy(ours.join(SOURCES), to).context("ours has no sources.list")?;
        drop(mounted);
        Ok(())
    }
}

/// Removes what LINKS_OF_UDEV left of disks that are gone.
fn remove_dead_links() -> Result<()> {
    let Ok(links) = fs::read_dir("/dev/disk/by-uuid") else { return Ok(()) };
    for link in links {
        let link = link?.path();
        if !link.exists() {
            fs::remove_file(link)?;
        }
    }
    Ok(())
}

/// Runs a program that must succeed.
fn run_tool(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

fn compare_trees(
    ours: &Path,
    theirs: &Path,
    names: &[(String, String, &'static str)],
) -> Result<Vec<String>> {
    let mut found = package_differences(ours, theirs)?;
    found.extend(shadow_differences(ours, theirs)?);
    found.extend(disk_variable_differences(ours, theirs, names)?);
    let allowance = Allowance { by_nature: &by_nature, names };
    found.extend(tree::differences(ours, theirs, &allowance)?);
    println!("{} paths compared", tree::count(ours)?);
    Ok(found)
}

fn covers(name: &str, path: &str) -> bool {
    // `boot/initrd.img-` stands for every release of the kernel.
    match name.ends_with(['/', '-']) && !name.starts_with("etc/") {
        true => path.starts_with(name),
        false => path == name,
    }
}

fn package_differences(ours: &Path, theirs: &Path) -> Result<Vec<String>> {
    let (left, right) = (packages(ours)?, packages(theirs)?);
    println!("{} packages", left.len());
    let ours = left.difference(&right).map(|package| format!("package only ours:   {package}"));
    let theirs = right.difference(&left).map(|package| format!("package only theirs: {package}"));
    Ok(ours.chain(theirs).collect())
}

fn packages(root: &Path) -> Result<BTreeSet<String>> {
    let format = "--showformat=${db:Status-Status} ${Package}:${Architecture} ${Version}\n";
    let admin = format!("--admindir={}", root.join("var/lib/dpkg").display());
    let output = Command::new("dpkg-query").args([&admin, "--show", format]).output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(!text.is_empty(), "{} has no packages", root.display());
    Ok(text.lines().map(str::to_owned).collect())
}

/// Accounts, passwords and limits, without the day of the last change.
fn shadow_differences(ours: &Path, theirs: &Path) -> Result<Vec<String>> {
    let read = |root: &Path| -> Result<BTreeSet<String>> {
        let text = fs::read_to_string(root.join("etc/shadow"))?;
        let without_day = |line: &str| {
            let mut fields: Vec<&str> = line.split(':').collect();
            if let Some(day) = fields.get_mut(2) {
                *day = "";
            }
            fields.join(":")
        };
        Ok(text.lines().map(without_day).collect())
    };
    let (left, right) = (read(ours)?, read(theirs)?);
    Ok(left.symmetric_difference(&right).map(|line| format!("etc/shadow: {line}")).collect())
}

/// The variables for boot loader scripts, which only disks have.
fn disk_variable_differences(
    ours: &Path,
    theirs: &Path,
    names: &[(String, String, &'static str)],
) -> Result<Vec<String>> {
    let read = |root: &Path| -> Result<String> {
        let path = root.join("var/lib/fai/disk_var.sh");
        Ok(if path.exists() { fs::read_to_string(path)? } else { String::new() })
    };
    let (mut left, mut right) = (read(ours)?, read(theirs)?);
    for (ours, theirs, name) in names {
        (left, right) = (left.replace(ours, name), right.replace(theirs, name));
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (left, right) = (lines(&left), lines(&right));
    Ok(left.symmetric_difference(&right).map(|line| format!("disk_var.sh: {line}")).collect())
}

#[cfg(test)]
mod tests {
    use super::{Extent, by_nature, covers};

    #[test]
    fn names_cover_what_they_say() {
        assert!(covers("var/log/", "var/log/apt/term.log"));
        assert!(covers("boot/initrd.img-", "boot/initrd.img-6.1.0-56-amd64"));
        assert!(covers("etc/passwd-", "etc/passwd-"));
        assert!(!covers("etc/passwd-", "etc/passwd-x"));
        assert!(!covers("etc/machine-id", "etc/machine-id2"));
    }

    #[test]
    fn no_more_is_left_out_than_differs() {
        assert_eq!(by_nature("usr/lib/python3.11/os.py"), None);
        let byte_code = "usr/lib/python3.11/__pycache__/os.cpython-311.pyc";
        assert_eq!(by_nature(byte_code), Some(Extent::Content));
        assert_eq!(by_nature("var/lib/dpkg/info/bash.list"), None);
        assert_eq!(by_nature("var/log/fai/localhost/last/fai.log"), Some(Extent::Existence));
        assert_eq!(by_nature("var/log/dpkg.log"), Some(Extent::Content));
    }
}
