//! Three trees of Debian from the machine's own package sources: a minimal system as released, the
//! same after a security upgrade, the same with nginx.

use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages with the programs that are compared.
const TOOLS: &[(&str, &str)] =
    &[("mmdebstrap", "mmdebstrap"), ("casync", "casync"), ("ostree", "ostree"), ("zstd", "zstd")];

/// One of the trees.
#[derive(Clone, Copy)]
pub enum Tree {
    Base,
    Upgraded,
    Nginx,
}

/// The trees below a directory.
pub struct Trees {
    dir: PathBuf,
}

/// A line of the package sources.
struct Archive {
    uri: String,
    suite: String,
}

impl Trees {
    /// Makes the trees, unless they are there.
    pub fn prepare(dir: &Path) -> Result<Self> {
        install_tools()?;
        let trees = Self { dir: dir.to_owned() };
        let whole = dir.join("trees-are-whole");
        if whole.exists() {
            return Ok(trees);
        }
        let (release, later) = archives()?;
        for tree in [Tree::Base, Tree::Upgraded, Tree::Nginx] {
            let path = trees.path(tree);
            ensure!(!path.exists(), "{} is there and not whole; remove it", path.display());
        }
        fs::create_dir_all(dir)?;
        trees.bootstrap(&release)?;
        let upgrade = "apt-get -q update; apt-get -qy dist-upgrade";
        trees.derive(Tree::Upgraded, later.iter().chain([&release]), upgrade)?;
        let nginx = "apt-get -q update; apt-get -qy install --no-install-recommends nginx";
        trees.derive(Tree::Nginx, [&release].into_iter(), nginx)?;
        for tree in [Tree::Base, Tree::Upgraded, Tree::Nginx] {
            // What apt downloads is no part of an image, and ostree takes no devices.
            let clean = "rm -rf var/lib/apt/lists/* var/cache/apt/* dev/* proc/* sys/*";
            shell(clean, &trees.path(tree))?;
        }
        fs::write(whole, "")?;
        Ok(trees)
    }

    /// Where a tree is.
    pub fn path(&self, tree: Tree) -> PathBuf {
        self.dir.join(match tree {
            Tree::Base => "base",
            Tree::Upgraded => "upgraded",
            Tree::Nginx => "nginx",
        })
    }

    /// Says what is in the trees, so that figures can be compared.
    pub fn describe(&self) -> Result<()> {
        let version = fs::read_to_string(self.path(Tree::Base).join("etc/debian_version"))?;
        let packages = |tree: Tree| -> Result<Vec<String>> {
            let admindir = format!("--admindir={}", self.path(tree).join("var/lib/dpkg").display());
            let output = Command::new("dpkg-query").args([&admindir, "-W"]).output()?;
            ensure!(output.status.success(), "dpkg-query: {}", output.status);
            Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
        };
        let base = packages(Tree::Base)?;
        let new = |tree: Tree| -> Result<usize> {
            Ok(packages(tree)?.iter().filter(|package| !base.contains(package)).count())
        };
        println!(
            "Debian {}, {} packages; the upgrade has {} new ones, nginx and what it needs are {}.",
            version.trim(),
            base.len(),
            new(Tree::Upgraded)?,
            new(Tree::Nginx)?
        );
        Ok(())
    }

    fn bootstrap(&self, release: &Archive) -> Result<()> {
        println!("a minimal {} from {}", release.suite, release.uri);
        let mut mmdebstrap = Command::new("mmdebstrap");
        mmdebstrap.args(["--quiet", "--variant=minbase", "--format=directory"]);
        mmdebstrap.args([&release.suite]).arg(self.path(Tree::Base));
        mmdebstrap.arg(format!("deb {} {} main", release.uri, release.suite));
        let status = mmdebstrap.status().context("cannot run mmdebstrap")?;
        ensure!(status.success(), "mmdebstrap: {status}");
        Ok(())
    }

    /// Copies the base and changes it with apt, in mounts that end with it.
    fn derive<'a>(
        &self,
        tree: Tree,
        archives: impl Iterator<Item = &'a Archive>,
        change: &str,
    ) -> Result<()> {
        let path = self.path(tree);
        println!("{}", path.display());
        let copied = Command::new("cp").arg("-a").arg(self.path(Tree::Base)).arg(&path).status()?;
        ensure!(copied.success(), "cp: {copied}");
        let sources: Vec<String> = archives
            .map(|archive| format!("deb {} {} main\n", archive.uri, archive.suite))
            .collect();
        let lists = path.join("etc/apt/sources.list");
        let as_released = fs::read(&lists)?;
        fs::write(&lists, sources.concat())?;
        let resolver = path.join("etc/resolv.conf");
        fs::copy("/etc/resolv.conf", &resolver)?;
        let script = format!(
            "mount --rbind /dev dev; mount -t proc proc proc; exec chroot . env \
             DEBIAN_FRONTEND=noninteractive APT_CONFIG=/apt.conf sh -euc '{change}'"
        );
        // A mirror that was frozen is as good as another here.
        fs::write(path.join("apt.conf"), "Acquire::Check-Valid-Until \"false\";\n")?;
        let output = Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-euc", &script])
            .current_dir(&path)
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{change}: {}\n{errors}", output.status);
        fs::write(&lists, as_released)?;
        fs::remove_file(path.join("apt.conf"))?;
        fs::copy(self.path(Tree::Base).join("etc/resolv.conf"), &resolver)?;
        Ok(())
    }
}

/// The release that this machine has its packages from, and what came out for it later.
fn archives() -> Result<(Archive, Vec<Archive>)> {
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(LABEL)";
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", format, "Created-By: Packages"])
        .output()
        .context("cannot run apt-get")?;
    let text = String::from_utf8(output.stdout)?;
    let (mut release, mut later) = (None, Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [uri, suite, "main", label] = words[..] else { continue };
        let archive = Archive { uri: uri.to_owned(), suite: suite.to_owned() };
        match label {
            "Debian" if !suite.contains('-') => release = release.or(Some(archive)),
            "Debian" | "Debian-Security" => later.push(archive),
            _ => {}
        }
    }
    match release {
        Some(release) => Ok((release, later)),
        None => bail!("the package sources of this machine name no release of Debian"),
    }
}

fn install_tools() -> Result<()> {
    let is_there = |program: &str| {
        Command::new("which").arg(program).output().is_ok_and(|output| output.status.success())
    };
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(" "));
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(&missing);
    ensure!(apt.status()?.success(), "apt-get could not install {}", missing.join(" "));
    Ok(())
}

fn shell(script: &str, dir: &Path) -> Result<()> {
    let status = Command::new("sh").args(["-euc", script]).current_dir(dir).status()?;
    ensure!(status.success(), "{script}: {status}");
    Ok(())
}
