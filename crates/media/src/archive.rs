//! Debian's package archive, looked at with a private state of apt, so that neither what this
//! machine has installed nor how fresh its lists are makes a difference.

use crate::error::{MediaError, io_error};
use crate::stamp::{Key, Stamps};
use hostwright_host::{Command, Host, Output, Tool};
use std::fs;
use std::path::{Path, PathBuf};

/// A mirror that the user names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its address, `http://…/debian`.
    pub url: String,
    /// The suite, `bookworm`.
    pub suite: String,
}

/// A package archive whose lists have been fetched.
#[derive(Clone, Debug)]
pub(crate) struct PackageArchive {
    options: Vec<String>,
    sources: Vec<String>,
    suite: String,
}

/// Where Debian's keys are; apt's own trusted ones are used where this package is missing.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl PackageArchive {
    /// Fetches the lists of `mirror`, or of the Debian archives among this machine's apt sources,
    /// into `dir`.
    pub(crate) fn open(
        host: &mut dyn Host,
        dir: &Path,
        mirror: Option<&Mirror>,
    ) -> Result<Self, MediaError> {
        let (suite, sources) = match mirror {
            Some(mirror) => (mirror.suite.clone(), mirror_sources(mirror)),
            None => machine_sources(host)?,
        };
        for name in ["state", "lists/partial", "cache/archives/partial"] {
            let path = dir.join(name);
            fs::create_dir_all(&path).map_err(io_error("make", &path))?;
        }
        let text: String = sources.iter().map(|line| format!("{line}\n")).collect();
        for (name, text) in [("sources.list", text.as_str()), ("status", "")] {
            let path = dir.join(name);
            fs::write(&path, text).map_err(io_error("write", &path))?;
        }
        let archive = Self { options: options(dir), sources, suite };
        archive.apt_get(host, &["update"])?;
        Ok(archive)
    }

    /// Lines of sources.list(5).
    pub(crate) fn sources(&self) -> &[String] {
        &self.sources
    }

    /// The suite of the base system.
    pub(crate) fn suite(&self) -> &str {
        &self.suite
    }

    /// What apt would install on an empty system for these words, each as `name version`, sorted.
    pub(crate) fn resolve(
        &self,
        host: &mut dyn Host,
        packages: &[&str],
    ) -> Result<Vec<String>, MediaError> {
        let mut args = vec!["--simulate", "--no-install-recommends", "install"];
        args.extend(packages);
        let output = self.apt_get(host, &args)?;
        let mut chosen: Vec<String> = output.stdout.lines().filter_map(chosen_version).collect();
        chosen.sort();
        Ok(chosen)
    }

    /// A field of the candidate version of a package.
    pub(crate) fn field(
        &self,
        host: &mut dyn Host,
        package: &str,
        field: &str,
    ) -> Result<String, MediaError> {
        let command = Command::new(Tool::AptCache).args(&self.options);
        let command = command.args(["show", "--no-all-versions", package]);
        let output = host.run(&command, &mut |_, _| {})?.success()?;
        let value = output.stdout.lines().find_map(|line| {
            line.split_once(": ").filter(|(name, _)| *name == field).map(|(_, value)| value)
        });
        let reason = "its entry lacks a field that every entry has";
        let missing = || MediaError::Package { package: package.to_owned(), reason };
        value.map(str::to_owned).ok_or_else(missing)
    }

    /// Downloads a package into `dir/PACKAGE`, unless its candidate version is there already. The
    /// file.
    pub(crate) fn fetch(
        &self,
        host: &mut dyn Host,
        package: &str,
        dir: &Path,
        stamps: &Stamps,
    ) -> Result<PathBuf, MediaError> {
        let checksum = self.field(host, package, "SHA256")?;
        let key = Key::new(package, 1).with(&checksum).finish();
        let dir = dir.join(package);
        let at_hand = fs::read_dir(&dir).into_iter().flatten().flatten().next();
        if let Some(file) = at_hand.filter(|file| stamps.is_fresh(package, key, &file.path())) {
            return Ok(file.path());
        }
        stamps.forget(package)?;
        let file = self.download(host, package, &dir)?;
        stamps.remember(package, key)?;
        Ok(file)
    }

    /// Downloads a package into `dir`, which is emptied before.
    fn download(
        &self,
        host: &mut dyn Host,
        package: &str,
        dir: &Path,
    ) -> Result<PathBuf, MediaError> {
        if dir.exists() {
            fs::remove_dir_all(dir).map_err(io_error("empty", dir))?;
        }
        fs::create_dir_all(dir).map_err(io_error("make", dir))?;
        // apt-get download knows no other place than the working directory.
        let command = Command::new(Tool::Bash)
            .args(["-c", r#"cd "$1" && shift && exec apt-get "$@""#, "bash"])
            .arg(dir.display().to_string())
            .args(&self.options)
            .args(["download", package]);
        host.run(&command, &mut |_, _| {})?.success()?;
        let mut files = fs::read_dir(dir).map_err(io_error("read", dir))?.flatten();
        let reason = "apt downloaded nothing";
        let missing = || MediaError::Package { package: package.to_owned(), reason };
        files.next().map(|file| file.path()).ok_or_else(missing)
    }

    fn apt_get(&self, host: &mut dyn Host, args: &[&str]) -> Result<Output, MediaError> {
        let command = Command::new(Tool::AptGet).args(&self.options).args(args.iter().copied());
        Ok(host.run(&command, &mut |_, _| {})?.success()?)
    }
}

/// Unpacks what a package would install into `dir`.
pub(crate) fn unpack(host: &mut dyn Host, package: &Path, dir: &Path) -> Result<(), MediaError> {
    let paths = [package, dir].map(|path| path.display().to_string());
    let command = Command::new(Tool::DpkgDeb).arg("--extract").args(paths);
    host.run(&command, &mut |_, _| {})?.success()?;
    Ok(())
}

/// The settings of this machine's apt that say how to reach the network, for an apt elsewhere.
pub(crate) fn proxy_settings(host: &mut dyn Host) -> Result<Vec<String>, MediaError> {
    let command = Command::new(Tool::AptConfig).args(["dump", "Acquire"]);
    let output = host.run(&command, &mut |_, _| {})?.success()?;
    let proxies = output.stdout.lines().filter(|line| line.contains("Proxy"));
    Ok(proxies.map(str::to_owned).collect())
}

fn options(dir: &Path) -> Vec<String> {
    let dir = dir.display();
    let settings = [
        format!("Dir::State={dir}/state"),
        format!("Dir::State::lists={dir}/lists"),
        format!("Dir::State::status={dir}/status"),
        format!("Dir::Cache={dir}/cache"),
        format!("Dir::Etc::SourceList={dir}/sources.list"),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        "Dir::Etc::Preferences=/dev/null".to_owned(),
        "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::Retries=3".to_owned(),
        "APT::Architecture=amd64".to_owned(),
        "APT::Architectures=amd64".to_owned(),
        // The directory belongs to whoever builds, not to apt's own user.
        "APT::Sandbox::User=root".to_owned(),
    ];
    let quiet = ["-q".to_owned()].into_iter();
    quiet.chain(settings.into_iter().flat_map(|set| ["-o".to_owned(), set])).collect()
}

fn source_line(url: &str, suite: &str, components: &str) -> String {
    let signed = match Path::new(KEYRING).exists() {
        true => format!(" [signed-by={KEYRING}]"),
        false => String::new(),
    };
    format!("deb{signed} {url} {suite} {components}")
}

fn mirror_sources(mirror: &Mirror) -> Vec<String> {
    let suites = [mirror.suite.clone(), format!("{}-updates", mirror.suite)];
    suites.iter().map(|suite| source_line(&mirror.url, suite, "main")).collect()
}

/// The suite and source lines of the Debian archives that this machine uses.
fn machine_sources(host: &mut dyn Host) -> Result<(String, Vec<String>), MediaError> {
    let format = "$(ORIGIN)|$(LABEL)|$(CODENAME)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)";
    let command = Command::new(Tool::AptGet);
    let command = command.args(["indextargets", "--format", format, "Identifier: Packages"]);
    let output = host.run(&command, &mut |_, _| {})?.success()?;
    debian_sources(&output.stdout).ok_or(MediaError::NoDebianArchive)
}

/// The same from the text that apt writes. The base system's suite is the one that has no suffix,
/// as `bookworm` has beside `bookworm-updates` and `bookworm-security`.
fn debian_sources(text: &str) -> Option<(String, Vec<String>)> {
    let (mut suite, mut sources) = (None, Vec::new());
    for line in text.lines() {
        let ["Debian", label, codename, release, "main", url] =
            line.split('|').collect::<Vec<_>>()[..]
        else {
            continue;
        };
        if label == "Debian" && !codename.contains('-') {
            suite = suite.or(Some(codename.to_owned()));
        }
        let source = source_line(url.trim_end_matches('/'), release, "main");
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    suite.map(|suite| (suite, sources))
}

/// `name version` of a line `Inst name (version …)` of a simulation.
fn chosen_version(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
    let version = rest.split_once('(')?.1.split_whitespace().next()?;
    Some(format!("{name} {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_archives_of_debian_are_taken_from_the_machines_sources() {
        let text = "Debian|Debian|bookworm-updates|bookworm-updates|main|http://a.example/debian/\n\
            Debian|Debian|bookworm|bookworm|main|http://a.example/debian/\n\
            Debian|Debian|bookworm|bookworm|contrib|http://a.example/debian/\n\
            Debian|Debian-Security|bookworm-security|bookworm-security|main|http://b.example/sec/\n\
            . nodistro|. nodistro|nodistro|nodistro|main|https://c.example/\n";
        let (suite, sources) = debian_sources(text).expect("there is one");
        assert_eq!(suite, "bookworm");
        assert_eq!(sources.len(), 3, "{sources:?}");
        assert!(sources[2].ends_with("http://b.example/sec bookworm-security main"));
        assert_eq!(debian_sources("||||main|http://a.example/debian/\n"), None);
    }

    #[test]
    fn a_simulation_tells_versions() {
        let line = "Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64]) []";
        assert_eq!(chosen_version(line).as_deref(), Some("libc6 2.36-9+deb12u14"));
        assert_eq!(chosen_version("Conf libc6 (2.36 Debian:12 [amd64])"), None);
    }
}
