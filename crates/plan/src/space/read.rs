//! From files to [`ConfigSpace`]: which directory is what; never stops at the first mistake.

use super::runnable::{self, Use};
use super::{ConfigSpace, DiskConfigFile, PackageFile};
use crate::dependencies::Dependencies;
use crate::finding::{self, Finding};
use crate::machine_file;
use crate::storage;
use crate::tree::{ConfigTree, TreeFile};
use hostwright_model::class::ClassName;
use hostwright_model::diagnostic::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// Endings of base files.
const BASE_FILE_SUFFIXES: [&str; 8] =
    [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"];

/// Names beside the variants of a file that are no variants.
const FILE_HELPERS: [&str; 4] = ["preinst", "postinst", "file-modes", "_substitute"];

/// Where boot loaders are installed from.
const LOADER_DIRECTORIES: [&str; 3] = ["package_config", "scripts", "hooks"];

/// Programs and packages of boot loaders, or parts of their names.
const LOADERS: [&str; 12] = [
    "grub",
    "GRUB",
    "lilo",
    "extlinux",
    "syslinux",
    "systemd-boot",
    "bootctl",
    "refind",
    "zipl",
    "flash-kernel",
    "u-boot",
    "efibootmgr",
];

/// Reads a config space. What is wrong is in the diagnostics, in the order of files and lines; the
/// space has everything that could be read.
pub fn parse(tree: &ConfigTree) -> (ConfigSpace, Vec<Diagnostic>) {
    let mut reader = Reader { space: empty(tree), found: Vec::new() };
    for link in tree.dangling_links() {
        let message = "the link leads to nothing inside the space";
        let cure = "let it point to a file of the space, by a relative path";
        reader.found.push(Finding::warning("dangling-link", message, cure).at_file(link));
    }
    for (path, file) in tree.expanded() {
        reader.file(&path, file);
    }
    let Reader { mut space, mut found } = reader;
    space
        .hooks
        .sort_by(|a, b| (a.phase, &a.class, !a.sourced).cmp(&(b.phase, &b.class, !b.sourced)));
    found.extend(space.dependencies.verify());
    finding::sort(&mut found);
    space.findings = found.clone();
    (space, found)
}

/// True for names that FAI's glob `[0-9][0-9]*` matches.
pub(super) fn is_numbered(name: &str) -> bool {
    name.bytes().take(2).filter(u8::is_ascii_digit).count() == 2
}

/// The class of a base file, `DEBIAN` of `DEBIAN.tar.xz`.
pub(super) fn base_file_class(name: &str) -> Option<&str> {
    BASE_FILE_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix))
}

/// The class of an apt key, `DEBIAN` of `DEBIAN.gpg`.
pub(super) fn key_class(name: &str) -> Option<&str> {
    name.strip_suffix(".gpg").or_else(|| name.strip_suffix(".asc"))
}

fn mentions_loader(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    LOADERS.iter().any(|name| text.contains(name))
}

/// True for what editors, dpkg and people leave behind.
fn is_litter(name: &str) -> bool {
    let endings = ["~", ".bak", ".orig", ".rej", ".swp", ".md", ".dpkg-old", ".dpkg-new"];
    let more = [".dpkg-inst", ".dpkg-tmp", ".dpkg-dist"];
    name.starts_with('.')
        || name.starts_with("README")
        || endings.iter().chain(&more).any(|ending| name.ends_with(ending))
}

fn empty(tree: &ConfigTree) -> ConfigSpace {
    ConfigSpace {
        digest: tree.digest(),
        has_class_directory: tree.has_class_directory(),
        class_scripts: Vec::new(),
        host_classes: BTreeMap::new(),
        dependencies: Dependencies::default(),
        var_files: BTreeMap::new(),
        subroutines: None,
        functions: BTreeMap::new(),
        own_actions: BTreeMap::new(),
        hooks: Vec::new(),
        scripts: BTreeMap::new(),
        tests: BTreeMap::new(),
        packages: BTreeMap::new(),
        keys: BTreeMap::new(),
        debconf: BTreeMap::new(),
        base_files: BTreeMap::new(),
        disk_configs: BTreeMap::new(),
        machine_files: BTreeMap::new(),
        files: BTreeMap::new(),
        package_archives: BTreeMap::new(),
        loader_files: BTreeSet::new(),
        findings: Vec::new(),
    }
}

/// A space while it is read.
pub(super) struct Reader {
    pub space: ConfigSpace,
    pub found: Vec<Diagnostic>,
}

impl Reader {
    fn file(&mut self, path: &str, file: &TreeFile) {
        let mut parts = path.split('/');
        let (directory, rest) = (parts.next().unwrap_or_default(), parts.collect::<Vec<_>>());
        if rest.iter().any(|name| is_litter(name)) && directory != "files" {
            return;
        }
        if LOADER_DIRECTORIES.contains(&directory) && mentions_loader(&file.content) {
            self.space.loader_files.insert(path.to_owned());
        }
        match (directory, rest.as_slice()) {
            ("class", [name]) => self.class_file(path, name, file),
            ("hooks", [name]) => self.hook(path, name, file),
            ("scripts" | "tests", names) => self.script(path, directory, names, file),
            ("package_config", [name]) => self.package_file(path, name, file),
            ("debconf", [class] | [class, _]) => {
                if let Some(class) = self.class(path, class) {
                    self.space.debconf.entry(class).or_default().push(path.to_owned());
                }
            }
            ("basefiles", [name]) => self.base_file(path, name),
            ("disk_config", [name]) => self.disk_config(path, name, &file.text()),
            ("machines", [name]) => self.machine_file(path, name, &file.text()),
            ("files", [directories @ .., class]) if !directories.is_empty() => {
                self.variant(path, &directories.join("/"), class);
            }
            ("pkgs", [class, .., name]) if name.ends_with(".deb") || name.ends_with(".rpm") => {
                if let Some(class) = self.class(path, class) {
                    self.space.package_archives.entry(class).or_default().push(path.to_owned());
                }
            }
            _ => {}
        }
    }

    /// The class that a name stands for.
    pub(super) fn class(&mut self, path: &str, name: &str) -> Option<ClassName> {
        match name.parse() {
            Ok(class) => Some(class),
            Err(bad) => {
                let cure = "rename it: letters, digits and '_' are safe in class names";
                let finding = Finding::warning("bad-class-name", bad.to_string(), cure);
                self.found.push(finding.at_file(path));
                None
            }
        }
    }

    fn script(&mut self, path: &str, directory: &str, names: &[&str], file: &TreeFile) {
        let class = match names {
            // Beside the scripts lie their modules and data: `tests/Faitest.pm`.
            [name] if file.executable || (!name.contains('.') && runnable::has_shebang(file)) => {
                name
            }
            [class, name] if is_numbered(name) => class,
            [_, _] if file.executable => {
                let message = "the script is never run: its name does not begin with two digits";
                let finding = Finding::warning("script-name", message, "name it such as 50-NAME");
                self.found.push(finding.at_start(path, &file.text()));
                return;
            }
            _ => return,
        };
        let Some(class) = self.class(path, class) else { return };
        self.found.extend(runnable::findings(path, file, Use::Executed));
        if file.executable {
            let tests = directory == "tests";
            let by_class = if tests { &mut self.space.tests } else { &mut self.space.scripts };
            by_class.entry(class).or_default().push(path.to_owned());
        }
    }

    fn package_file(&mut self, path: &str, name: &str, file: &TreeFile) {
        let key = key_class(name);
        let Some(class) = self.class(path, key.unwrap_or(name)) else { return };
        if key.is_some() {
            self.space.keys.entry(class).or_default().push(path.to_owned());
            return;
        }
        let (packages, found) = PackageFile::parse(path, &file.text());
        self.found.extend(found);
        self.space.packages.insert(class, packages);
    }

    fn base_file(&mut self, path: &str, name: &str) {
        let Some(class) = base_file_class(name).and_then(|class| self.class(path, class)) else {
            return;
        };
        if let Some(other) = self.space.base_files.get(&class) {
            let message = format!("class {class} has a second base system, {other}");
            let finding = Finding::error("duplicate-base-file", message, "remove one of them");
            self.found.push(finding.at_file(path));
            return;
        }
        self.space.base_files.insert(class, path.to_owned());
    }

    fn disk_config(&mut self, path: &str, name: &str, text: &str) {
        let Some(class) = self.class(path, name) else { return };
        let (config, found) = storage::parse(path, text, Some(name));
        self.found.extend(found);
        self.found.extend(storage::check(&config));
        self.found.extend(storage::check_root(&config));
        let file = DiskConfigFile { path: path.to_owned(), config };
        self.space.disk_configs.insert(class, file);
    }

    fn machine_file(&mut self, path: &str, name: &str, text: &str) {
        let Some(machine) = name.strip_suffix(".toml") else { return };
        match machine_file::parse(path, text) {
            Ok(file) => {
                self.space.machine_files.insert(machine.to_owned(), file);
            }
            Err(mistake) => self.found.push(*mistake),
        }
    }

    fn variant(&mut self, path: &str, target: &str, class: &str) {
        if FILE_HELPERS.contains(&class) {
            return;
        }
        if class == "file_modes" {
            let message = "FAI reads owners and modes from 'file-modes'; this is a variant of the \
                           file for a class 'file_modes'";
            let finding = Finding::warning("file-modes-name", message, "rename it to file-modes");
            self.found.push(finding.at_file(path));
        }
        if let Ok(class) = class.parse() {
            let variants = self.space.files.entry(target.to_owned()).or_default();
            variants.insert(class, path.to_owned());
        }
    }
}
