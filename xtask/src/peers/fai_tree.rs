//! `cargo xtask peers fai-tree`: the tree that `hostwright build` makes from FAI's example space,
//! against the tree that FAI itself makes with the same classes on the same day.

use super::tree;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const SIMPLE: &str = "/usr/share/doc/fai-doc/examples/simple";
const CLASSES: &str = "DEBIAN,AMD64,FAIBASE,DHCPC,DEMO,LAST";

/// Paths that differ between any two builds, even of the same tool, and why. A name that ends in
/// `/` stands for everything below it.
const BY_NATURE: &[(&str, &str)] = &[
    ("etc/machine-id", "random, one a system"),
    ("etc/ssh/ssh_host_ecdsa_key", "random key"),
    ("etc/ssh/ssh_host_ecdsa_key.pub", "random key"),
    ("etc/ssh/ssh_host_ed25519_key", "random key"),
    ("etc/ssh/ssh_host_ed25519_key.pub", "random key"),
    ("etc/ssh/ssh_host_rsa_key", "random key"),
    ("etc/ssh/ssh_host_rsa_key.pub", "random key"),
    ("etc/resolv.conf", "copied from the build host, whose resolver may change in between"),
    ("var/log/", "time stamps"),
    ("var/cache/ldconfig/aux-cache", "inode numbers and times of libraries"),
    ("var/cache/apt/pkgcache.bin", "made from lists with times"),
    ("var/cache/apt/srcpkgcache.bin", "made from lists with times"),
    ("var/cache/man/", "database with times"),
    ("var/lib/apt/lists/", "archive indices, which the archive may have renewed in between"),
    ("var/lib/apt/extended_states", "order of a hash table"),
    ("var/lib/systemd/catalog/database", "holds the machine id and times"),
    ("var/lib/dpkg/info/", "lists are compared as the package database; times of triggers differ"),
    ("boot/initrd.img-", "time stamps inside"),
    ("etc/shadow", "day of the last change; passwords are compared without it"),
    ("etc/shadow-", "backup of the same"),
    ("etc/passwd-", "backup; depends on the second in which it was made"),
    ("etc/group-", "backup; depends on the second in which it was made"),
    ("etc/gshadow-", "backup; depends on the second in which it was made"),
    ("etc/subuid-", "backup; depends on the second in which it was made"),
    ("etc/subgid-", "backup; depends on the second in which it was made"),
    (
        "etc/fai/fai.conf",
        "a script writes where the space was read from, which are two directories",
    ),
    (
        "var/lib/dpkg/diversions-old",
        "backup of what was diverted during the installation by each tool",
    ),
    ("var/lib/fai/FAI_CLASSES", "FAI leaves it out where no class script ran; softupdate needs it"),
    ("run/udev", "a mount point that FAI makes and leaves behind"),
    ("usr/lib/python3/dist-packages/", "byte code with time stamps"),
    ("usr/share/python3/", "byte code with time stamps"),
    ("usr/lib/python3.11/", "byte code with time stamps"),
];

/// Where the comparison works and what it may take from an earlier one.
#[derive(clap::Args)]
pub struct Options {
    /// Directory for both trees; removed at the end unless it is given.
    #[arg(long)]
    dir: Option<std::path::PathBuf>,
    /// Compare the trees that are in --dir already.
    #[arg(long, requires = "dir")]
    compare_only: bool,
}

/// Builds both trees, compares them and prints what differs.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    ensure!(Path::new(SIMPLE).exists(), "{SIMPLE} is missing; install the package fai-doc");
    let dir = options.dir.clone().unwrap_or_else(|| root.join("target/peers/fai-tree"));
    let (ours, theirs) = (dir.join("ours"), dir.join("theirs"));
    if !options.compare_only {
        let our_time = build_ours(root, &dir)?;
        let their_time = build_theirs(&dir)?;
        let ratio = their_time.as_secs_f64() / our_time.as_secs_f64();
        println!("hostwright {our_time:.1?}, FAI {their_time:.1?}: {ratio:.2} times as fast");
    }
    let by_nature = |path: &str| BY_NATURE.iter().any(|(name, _)| covers(name, path));
    let mut found = package_differences(&ours, &theirs)?;
    found.extend(shadow_differences(&ours, &theirs)?);
    found.extend(tree::differences(&ours, &theirs, &by_nature)?);
    println!("{} paths compared, {} left out by nature:", tree::count(&ours)?, BY_NATURE.len());
    for (path, why) in BY_NATURE {
        println!("  {path}: {why}");
    }
    if options.dir.is_none() {
        fs::remove_dir_all(&dir)?;
    }
    if found.is_empty() {
        println!("fai-tree: the trees are equal");
        return Ok(());
    }
    bail!("{} differences:\n  {}", found.len(), found.join("\n  "))
}

fn covers(name: &str, path: &str) -> bool {
    // `boot/initrd.img-` stands for every release of the kernel.
    match name.ends_with(['/', '-']) && !name.starts_with("etc/") {
        true => path.starts_with(name),
        false => path == name,
    }
}

fn build_ours(root: &Path, dir: &Path) -> Result<Duration> {
    let ours = dir.join("ours");
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    let started = Instant::now();
    let status = Command::new(root.join("target/debug/hostwright"))
        .args(["build", "--space", SIMPLE, "--hostname", "demohost", "--only-classes", CLASSES])
        .arg("--dir")
        .arg(&ours)
        .status()
        .context("cannot run target/debug/hostwright; build it first")?;
    ensure!(status.success(), "hostwright build: {status}");
    Ok(started.elapsed())
}

/// FAI has its sources.list from its configuration, where we derive it from the space: it is given
/// the one that we made.
fn build_theirs(dir: &Path) -> Result<Duration> {
    let (config, theirs, space) = (dir.join("fai"), dir.join("theirs"), dir.join("space"));
    fs::create_dir_all(config.join("apt"))?;
    fs::create_dir_all(&theirs)?;
    ensure!(Command::new("cp").args(["-a", SIMPLE]).arg(&space).status()?.success(), "cp failed");
    let source = format!("file://{}", space.display());
    fs::write(config.join("fai.conf"), format!("FAI_CONFIG_SRC={source}\nLOGUSER=\n"))?;
    fs::write(config.join("nfsroot.conf"), "FAI_DEBOOTSTRAP_OPTS=\"\"\nNFSROOT=/nonexistent\n")?;
    let sources = dir.join("ours/etc/apt/sources.list");
    fs::copy(&sources, config.join("apt/sources.list")).context("ours has no sources.list")?;
    let started = Instant::now();
    let log = fs::File::create(dir.join("fai.log"))?;
    let status = Command::new("fai")
        .arg("-v")
        .arg("-C")
        .arg(&config)
        .args(["-s", &source, "-c", CLASSES, "-u", "demohost", "dirinstall"])
        .arg(&theirs)
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context("cannot run fai; install the package fai-client")?;
    // FAI ends with 1 for any warning of its run; what counts is the tree.
    println!("fai dirinstall: {status}, see {}", dir.join("fai.log").display());
    Ok(started.elapsed())
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

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn names_cover_what_they_say() {
        assert!(covers("var/log/", "var/log/apt/term.log"));
        assert!(covers("boot/initrd.img-", "boot/initrd.img-6.1.0-56-amd64"));
        assert!(covers("etc/passwd-", "etc/passwd-"));
        assert!(!covers("etc/passwd-", "etc/passwd-x"));
        assert!(!covers("etc/machine-id", "etc/machine-id2"));
    }
}
