//! A parsed config space: what each file is, and which class brings it.
//!
//! ```text
//! class/NN-name[.sh]     class scripts         hooks/TASK.CLASS[.sh]     user code around tasks
//! class/HOST             classes of a host     scripts/CLASS[/NN-name]   user code of `configure`
//! class/CLASS.var        variables             tests/CLASS[/NN-name]     user code of `tests`
//! class/dependencies.toml, class/CLASS.deps    what classes need of each other
//! package_config/CLASS   packages              files/PATH/CLASS          variants for fcopy
//! package_config/CLASS.gpg  apt keys           debconf/CLASS[/NAME]      answers
//! disk_config/CLASS      partitions            basefiles/CLASS.tar.xz    base systems
//! machines/NAME.toml     which disks are disk1, disk2, …
//! hooks/subroutines      functions             pkgs/CLASS/*.deb          packages as files
//! ```

mod class_dir;
mod condition;
mod hooks;
mod package_file;
mod profile;
mod read;
mod runnable;
mod var_file;

pub use condition::{Condition, Expression};
pub(crate) use hooks::{distance, is_task, nearest_task};
pub(crate) use package_file::variable;
pub use package_file::{BlockAction, PackageBlock, PackageFile, PackageWord, Preload};
pub use profile::{Profile, profiles};
pub use read::parse;
pub use var_file::{Assignment, VarFile};

use crate::dependencies::{self, Dependencies};
use crate::finding::Finding;
use crate::machine_file::MachineFile;
use crate::storage::DiskConfig;
use hostwright_model::class::{ClassList, ClassName};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::ids::Digest;
use hostwright_model::phase::Phase;
use hostwright_model::vars::Var;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a config space says. Paths are relative to the space.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigSpace {
    /// Digest of the files it was read from.
    pub digest: Digest,
    /// False for a directory that cannot be a config space.
    pub has_class_directory: bool,
    /// Class scripts in the order in which they run.
    pub class_scripts: Vec<ClassScript>,
    /// Classes of single hosts, by host name.
    pub host_classes: BTreeMap<String, HostClasses>,
    /// What classes need of each other.
    pub dependencies: Dependencies,
    /// `.var` files.
    pub var_files: BTreeMap<ClassName, VarFile>,
    /// `hooks/subroutines`, where there is one.
    pub subroutines: Option<String>,
    /// Lines that define FAI's functions anew in files that are sourced, by file and function.
    pub functions: BTreeMap<(String, String), u32>,
    /// Actions of the space's own, by name: executable files in hooks/ without a class.
    pub own_actions: BTreeMap<String, String>,
    /// Hooks, sourced ones before executed ones of the same task and class.
    pub hooks: Vec<Hook>,
    /// Scripts of `configure`, in the order in which they run.
    pub scripts: BTreeMap<ClassName, Vec<String>>,
    /// Scripts of `tests`, in the order in which they run.
    pub tests: BTreeMap<ClassName, Vec<String>>,
    /// Packages.
    pub packages: BTreeMap<ClassName, PackageFile>,
    /// apt keys.
    pub keys: BTreeMap<ClassName, Vec<String>>,
    /// Answers for debconf.
    pub debconf: BTreeMap<ClassName, Vec<String>>,
    /// Base systems.
    pub base_files: BTreeMap<ClassName, String>,
    /// Disk layouts.
    pub disk_configs: BTreeMap<ClassName, DiskConfigFile>,
    /// What is said of machines, by host name or class.
    pub machine_files: BTreeMap<String, MachineFile>,
    /// Variants of files, by the path that they are copied to (`etc/motd`), then by class.
    pub files: BTreeMap<String, BTreeMap<ClassName, String>>,
    /// Packages as files.
    pub package_archives: BTreeMap<ClassName, Vec<String>>,
    /// Files of packages, scripts and hooks that mention a boot loader.
    pub(crate) loader_files: BTreeSet<String>,
    /// What is wrong in single files; it counts for a machine if [`ConfigSpace::is_active`] says so.
    pub(crate) findings: Vec<Diagnostic>,
}

/// A class script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassScript {
    /// `class/50-host-classes`.
    pub path: String,
    /// True for `*.sh`.
    pub sourced: bool,
}

/// The classes of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostClasses {
    /// `class/HOST`.
    pub path: String,
    /// In order.
    pub classes: Vec<ClassName>,
}

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `hooks/partition.FAIBASE`.
    pub path: String,
    /// The task it belongs to.
    pub phase: Phase,
    /// The class it belongs to.
    pub class: ClassName,
    /// True for `*.sh`.
    pub sourced: bool,
}

/// The disk layout of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskConfigFile {
    /// `disk_config/FAIBASE`.
    pub path: String,
    /// What it says.
    pub config: DiskConfig,
}

impl ConfigSpace {
    /// The error for what is no config space.
    pub(crate) fn no_class_directory(&self) -> Option<Diagnostic> {
        let message = "there is no directory class/, so this is not a config space";
        let cure = "give the directory that holds class/, scripts/ and package_config/";
        let finding = Finding::error("no-class-directory", message, cure).at_file("class");
        (!self.has_class_directory).then_some(finding)
    }

    /// The hooks of a task for these classes, in the order in which they run.
    pub fn hooks_of(&self, phase: Phase, classes: &ClassList) -> Vec<&Hook> {
        let of_class = |class| {
            let hooks = self.hooks.iter().filter(move |h| h.phase == phase && h.class == class);
            hooks.collect::<Vec<_>>()
        };
        classes.iter().cloned().flat_map(of_class).collect()
    }

    /// The disk layout that counts: the one of the last class that has one.
    pub fn disk_config_of(&self, classes: &ClassList) -> Option<(&ClassName, &DiskConfigFile)> {
        last_of(&self.disk_configs, classes)
    }

    /// The machine file that counts: the host's own, else the one of the last class that has one.
    pub fn machine_file_of(&self, hostname: &str, classes: &ClassList) -> Option<&MachineFile> {
        let of_class = || classes.iter().rev().find_map(|c| self.machine_files.get(c.as_str()));
        self.machine_files.get(hostname).or_else(of_class)
    }

    /// The base system that counts: the one of the last class that has one.
    pub fn base_file_of(&self, classes: &ClassList) -> Option<(&ClassName, &String)> {
        last_of(&self.base_files, classes)
    }

    /// The class and the file that set a variable.
    pub(crate) fn setter_of(&self, var: &Var) -> Option<(&ClassName, &VarFile)> {
        self.var_files.iter().find(|(_, file)| file.path == var.origin)
    }

    /// A diagnostic about the value of a variable, at the line that sets it.
    pub(crate) fn at_variable(&self, finding: Finding, name: &str, var: &Var) -> Diagnostic {
        match self.setter_of(var) {
            Some((_, file)) => file.at(finding, name),
            None => finding.at_file(&var.origin),
        }
    }

    /// What is wrong in the files that count for these classes.
    pub(crate) fn findings_for(&self, classes: &ClassList) -> impl Iterator<Item = &Diagnostic> {
        self.findings.iter().filter(|finding| match &finding.at {
            Some(at) => self.is_active(&at.file, classes),
            None => true,
        })
    }

    /// True if the file at `path` counts for a machine of these classes. What cannot belong to any
    /// class, because its name is not that of one, counts for all.
    pub fn is_active(&self, path: &str, classes: &ClassList) -> bool {
        let Some((directory, rest)) = path.split_once('/') else { return true };
        let first = rest.split('/').next().unwrap_or_default();
        let class = match directory {
            "class" if read::is_numbered(first) || path == dependencies::FILE => return true,
            "class" => {
                let stem = first.strip_suffix(".var").or(first.strip_suffix(".deps"));
                stem.unwrap_or(first)
            }
            "hooks" => {
                let class = rest.split_once('.').map_or("", |(_, class)| class);
                class.strip_suffix(".sh").or(class.strip_suffix(".source")).unwrap_or(class)
            }
            "disk_config" => {
                let counts = self.disk_config_of(classes).map(|(_, file)| file.path.as_str());
                return counts == Some(path) || first.parse::<ClassName>().is_err();
            }
            // A host is a class of its own.
            "machines" => return classes.contains(first.strip_suffix(".toml").unwrap_or(first)),
            "basefiles" => read::base_file_class(first).unwrap_or(first),
            "files" => rest.rsplit('/').next().unwrap_or_default(),
            _ => read::key_class(first).unwrap_or(first),
        };
        classes.contains(class) || class.parse::<ClassName>().is_err()
    }
}

/// The entry of the last class that has one.
fn last_of<'a, T>(
    by_class: &'a BTreeMap<ClassName, T>,
    classes: &ClassList,
) -> Option<(&'a ClassName, &'a T)> {
    classes.iter().rev().find_map(|class| by_class.get_key_value(class))
}
