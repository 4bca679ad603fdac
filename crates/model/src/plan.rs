//! A plan: stages of steps, each step one action from a closed list, with its reason.
//!
//! A plan is data. It can be printed, compared, stored, approved and resumed; the engine that runs
//! it has no choices left. A stage that ends at a barrier holds code of the user's; after it the
//! planner is asked again with what that code said ([`Observed`]).

use crate::boot_loader::{BootSetup, KexecSetup};
use crate::class::{ClassList, ClassName};
use crate::facts::Facts;
use crate::ids::{Digest, StepId};
use crate::image::{ImageRef, ReadyMade};
use crate::network::Renderer;
use crate::overrides::Overrides;
use crate::package::PackageGroup;
use crate::phase::Phase;
use crate::policy::InstallPolicy;
use crate::storage::{
    DiskLayout, EncryptedDevice, LogicalVolume, OldLayer, RaidArray, StorageLayout, Volume,
    VolumeGroup,
};
use crate::vars::Vars;
use serde::{Deserialize, Serialize};

pub use crate::storage::Why;

/// Version of the shape of [`Plan`], raised when a field changes its meaning.
pub const PLAN_VERSION: u32 = 1;

/// What a run writes to, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TargetProfile {
    /// FAI's action dirinstall: a finished system in an empty directory, no disks, no boot loader.
    Directory,
    /// FAI's fai-diskimage: action install onto a disk image file of the machine that builds.
    DiskFile,
    /// FAI's action softupdate: the system that runs, brought up to date where it is.
    RunningSystem,
    /// FAI's action install, packages installed on the machine itself.
    DisksClassic,
    /// FAI's action install with a base system, packages, files and scripts from an image.
    DisksImage {
        /// The image.
        image: ImageRef,
    },
    /// An image onto a disk that another machine is going to boot from: a disk image file, or a disk
    /// that is plugged into this machine.
    ImageOnDisk {
        /// The image.
        image: ImageRef,
        /// The same image as a ready-made file system, where the store has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ready_made: Option<Box<ReadyMade>>,
    },
}

impl TargetProfile {
    /// FAI's name of the action, the value of `FAI_ACTION`.
    pub fn fai_action(&self) -> &'static str {
        match self {
            Self::Directory => "dirinstall",
            Self::DiskFile
            | Self::DisksClassic
            | Self::DisksImage { .. }
            | Self::ImageOnDisk { .. } => "install",
            Self::RunningSystem => "softupdate",
        }
    }

    /// True if disks are partitioned.
    pub fn has_disks(&self) -> bool {
        !matches!(self, Self::Directory | Self::RunningSystem)
    }

    /// The image that is laid down, where one is.
    pub fn image(&self) -> Option<&ImageRef> {
        match self {
            Self::DisksImage { image } | Self::ImageOnDisk { image, .. } => Some(image),
            Self::Directory | Self::DiskFile | Self::RunningSystem | Self::DisksClassic => None,
        }
    }

    /// The image as a ready-made file system, where there is one.
    pub fn ready_made(&self) -> Option<&ReadyMade> {
        match self {
            Self::ImageOnDisk { ready_made, .. } => ready_made.as_deref(),
            _ => None,
        }
    }

    /// True if the machine that runs the plan is the one that is installed: its hardware is the
    /// system's own, its swap may be used, its firmware told. FAI's `do_init_tasks`.
    pub fn is_own_machine(&self) -> bool {
        matches!(self, Self::DisksClassic | Self::DisksImage { .. })
    }
}

/// Everything but the config space that a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The machine.
    pub facts: Facts,
    /// Host name, without domain.
    pub hostname: String,
    /// What is written to.
    pub target: TargetProfile,
    /// Classes given by the operator (FAI's `-c`).
    pub given_classes: Vec<ClassName>,
    /// True if class scripts are run (FAI's `-N`); false if `given_classes` are taken as they are.
    pub run_class_scripts: bool,
    /// The classes; `None` before the class scripts have run.
    pub classes: Option<ClassList>,
    /// The variables; `None` before the `.var` files have been sourced.
    pub vars: Option<Vars>,
    /// Tasks that hooks have skipped so far.
    pub skips: Vec<Skip>,
    /// How the space is read where there is a choice.
    #[serde(default)]
    pub rules: Rules,
    /// What the engine has found out so far that only the world can tell.
    #[serde(default)]
    pub discovered: Discovered,
    /// What hooks have put in place of something of Hostwright's so far.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

/// How a config space is read where there is a choice. All are the operator's to say, and off
/// unless he does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rules {
    /// True to do as FAI does where FAI's documentation says otherwise.
    pub fai_bugs: bool,
    /// True to leave packages out that no source of the target has, instead of stopping.
    pub lenient: bool,
    /// True to let copies of a disk image become machines of their own at their first start.
    #[serde(default)]
    pub first_boot: bool,
}

/// What steps of the engine's own find out and a later plan depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// Words of package_config that no package source of the target knows, to be left out.
    pub unknown_packages: Vec<String>,
    /// The base file that was fetched, an absolute path; `None` if none was.
    pub base_file: Option<String>,
    /// Tasks up to partition whose hooks have run: what they do to disks is in the facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks_done: Vec<Phase>,
}

impl Discovered {
    /// Takes over what `other` found.
    pub fn extend(&mut self, other: &Self) {
        for word in &other.unknown_packages {
            if !self.unknown_packages.contains(word) {
                self.unknown_packages.push(word.clone());
            }
        }
        if other.base_file.is_some() {
            self.base_file.clone_from(&other.base_file);
        }
        for phase in &other.hooks_done {
            if !self.hooks_done.contains(phase) {
                self.hooks_done.push(*phase);
            }
        }
    }
}

/// A task skipped by `skiptask` or a `skip.TASK` file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The skipped task.
    pub phase: Phase,
    /// The step that said so.
    pub by: StepId,
}

/// What is going to happen, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`] of the program that made it.
    pub version: u32,
    /// Digest of the config space and the inputs.
    pub inputs: Digest,
    /// Stages in order.
    pub stages: Vec<Stage>,
    /// The storage layout, once classes are known.
    pub layout: Option<StorageLayout>,
    /// What is still open behind the last barrier; empty for a complete plan.
    pub open: Vec<String>,
    /// How the run ends, well or not; `None` where whoever runs the plan decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<InstallPolicy>,
}

impl Plan {
    /// All steps in order, each with its phase.
    pub fn steps(&self) -> impl Iterator<Item = (Phase, &Step)> {
        self.stages.iter().flat_map(|stage| stage.steps.iter().map(|step| (stage.phase, step)))
    }
}

/// Steps of one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// FAI's task.
    pub phase: Phase,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// True if the planner must be asked again before the next stage.
    pub barrier: bool,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the plan, made of what the step is about.
    pub id: StepId,
    /// What to do.
    pub action: Action,
    /// Why it is there.
    pub why: Why,
}

/// The closed list of things a step can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Run or source a hook.
    Hook {
        /// File relative to the space.
        path: String,
        /// True for `*.sh`, which FAI sources.
        sourced: bool,
    },
    /// Run an action that the space made up: the file `hooks/NAME`.
    OwnAction {
        /// File relative to the space.
        path: String,
    },
    /// Show the hardware, or list it for programs, in the log directory.
    ShowHardware {
        /// True for a line `key: value` each (FAI's inventory), false for people (FAI's sysinfo).
        inventory: bool,
    },
    /// Call a function of FAI that the space has defined anew, in place of Hostwright's own work.
    Function {
        /// `task_partition`, `call_hook`.
        name: String,
        /// What it is called with: for `call_hook` the task.
        argument: Option<String>,
    },
    /// Mount what user code that partitioned by itself wrote into `fstab` of the log directory.
    MountFstab,
    /// Source `hooks/subroutines`.
    Subroutines {
        /// File relative to the space.
        path: String,
    },
    /// Run or source a class script and collect the classes it prints.
    ClassScript {
        /// File relative to the space.
        path: String,
        /// True for `*.sh`.
        sourced: bool,
    },
    /// Source a `.var` file.
    SourceVars {
        /// File relative to the space.
        path: String,
    },
    /// Fetch an image and verify all of it, before any disk is touched.
    FetchImage {
        /// The image.
        image: ImageRef,
    },
    /// Compare the disks with the facts that the plan was made from; any difference stops the run.
    ConfirmDisks {
        /// The disks as planned.
        disks: Vec<crate::facts::Disk>,
    },
    /// Save tables, superblocks, LVM metadata and LUKS headers to the record of the run.
    SaveMetadata {
        /// Every device that is going to be changed.
        devices: Vec<String>,
    },
    /// Take a layer of an earlier life apart.
    TakeDown {
        /// The layer.
        layer: OldLayer,
    },
    /// Shrink a file system before its device becomes smaller, or grow it afterwards.
    ResizeFileSystem {
        /// Device node.
        device: String,
        /// `ext4`, `xfs`, `ntfs`, `swap`, …
        file_system: String,
        /// New size; `None` for all of the device.
        size_bytes: Option<u64>,
    },
    /// Make a RAID array, or assemble one that is kept.
    RaidArray {
        /// The array.
        array: RaidArray,
    },
    /// Set up an encrypted device and open it.
    Encrypt {
        /// The device.
        encrypted: EncryptedDevice,
    },
    /// Write a new partition table.
    PartitionTable {
        /// The whole disk.
        disk: DiskLayout,
    },
    /// Make physical volumes and a volume group.
    VolumeGroup {
        /// The group.
        group: VolumeGroup,
    },
    /// Make a logical volume.
    LogicalVolume {
        /// Name of its group.
        group: String,
        /// The volume.
        volume: LogicalVolume,
    },
    /// Make a file system or swap area.
    Format {
        /// The volume.
        volume: Volume,
        /// Laid down as blocks in place of making an empty one; the image's files are in it then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ready_made: Option<Box<ReadyMade>>,
    },
    /// Write FAI's `fstab` and `disk_var.sh` to the log directory.
    StorageFiles {
        /// The layout they describe.
        layout: StorageLayout,
    },
    /// Mount a new file system below the target.
    Mount {
        /// The volume.
        volume: Volume,
    },
    /// Use a swap area.
    SwapOn {
        /// Its device.
        device: String,
    },
    /// Lay a fetched image down in the target.
    LayImage {
        /// The image.
        image: ImageRef,
    },
    /// Look whether a server has a base file for one of the classes, fetch and verify it.
    FetchBaseFile {
        /// Where the server lists its base files.
        url: String,
        /// The classes whose base file would count, lowest priority first.
        classes: Vec<ClassName>,
        /// True if there is nothing else to make a base system of.
        required: bool,
    },
    /// Unpack a base file.
    BaseFile {
        /// File relative to the space; absolute for one that was fetched.
        path: String,
    },
    /// Make the base system with debootstrap(8).
    Debootstrap {
        /// Suite, `bookworm`.
        suite: String,
        /// Mirror as the space says; a package proxy may map it.
        mirror: String,
        /// Further options.
        options: Vec<String>,
    },
    /// Put fstab and crypttab into the target.
    InstallFstab,
    /// Keep what is below a directory of the target in memory until the installation ends.
    RamDisk {
        /// Path in the target, `/var/lib/rpm`.
        path: String,
    },
    /// Write what a RAM disk holds to where it belongs.
    FlushRamDisk {
        /// Path in the target.
        path: String,
    },
    /// Preseed debconf from a file of the space.
    Debconf {
        /// File relative to the space.
        path: String,
    },
    /// Write resolv.conf, hosts, package sources and keys.
    Repository {
        /// apt keys of the space, relative paths.
        keys: Vec<String>,
        /// Suite and mirror for a generated sources.list where the space has none.
        sources: Option<PackageSources>,
    },
    /// Mount a mirror of packages below the target, read only.
    MountMirror {
        /// `SERVER:/PATH`, or a directory of this machine.
        source: String,
        /// Path in the target.
        path: String,
        /// Options of mount(8), separated by commas.
        options: String,
    },
    /// Mount pseudo file systems, forbid services, bring the base system up to date.
    UpdateBase,
    /// Mount pseudo file systems below the target, so that programs run in it; for an image, which
    /// needs nothing else of [`Action::UpdateBase`].
    MountPseudo,
    /// Ask the package managers of the target whether they know every package that this plan
    /// installs, before the first one is fetched.
    CheckPackages {
        /// True to leave those out that nobody knows, instead of stopping.
        lenient: bool,
    },
    /// Put a file into the target before packages are installed.
    Preload {
        /// `file:/PATH` for a file of the target, else what curl(1) takes.
        url: String,
        /// Directory of the target.
        directory: String,
    },
    /// Remove a file that was preloaded.
    RemovePreloaded {
        /// The same as of [`Action::Preload`].
        url: String,
        /// Directory of the target.
        directory: String,
    },
    /// One call of the package manager.
    Packages {
        /// What it is called with.
        group: PackageGroup,
    },
    /// Install package files of the space.
    PackageFiles {
        /// Files relative to the space, all `.deb` or all `.rpm`.
        paths: Vec<String>,
    },
    /// Configure what is pending and drop downloaded packages.
    SettlePackages,
    /// Run a script of the space.
    Script {
        /// File relative to the space.
        path: String,
    },
    /// Run a test of the space.
    Test {
        /// File relative to the space.
        path: String,
    },
    /// Make a machine out of a copy of an image: host name, machine id, host keys, network.
    Personalise {
        /// Host name without domain.
        hostname: String,
        /// The interface that is configured by DHCP, under its name in the installed system.
        nic: Option<String>,
    },
    /// Write files whose texts the plan has made, such as the network's.
    WriteFiles {
        /// What they are.
        topic: FileTopic,
        /// The files.
        files: Vec<TargetFile>,
        /// Files of the image that go first, absolute paths in the target; they need not exist.
        remove: Vec<String>,
    },
    /// Keep `/etc` of the system that is going to be replaced, but for its secrets, with the logs.
    KeepOldEtc {
        /// Device node of its root file system, which is mounted for reading only.
        device: String,
        /// What blkid(8) calls the file system.
        file_system: String,
    },
    /// Make the installed system start from its disk.
    BootLoader {
        /// What is installed, and how.
        setup: BootSetup,
    },
    /// Load the installed system's kernel, for a restart without the firmware.
    LoadKernel {
        /// What is loaded.
        setup: KexecSetup,
    },
    /// Let each copy of the disk become a machine of its own when it starts for the first time: names
    /// of its file systems, size, machine id, host keys.
    FirstBoot,
    /// Remove what was only for the installation.
    Finish,
    /// Save the logs into the target.
    SaveLogs,
    /// Unmount everything below the target.
    UnmountTarget,
}

/// What the files of [`Action::WriteFiles`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "topic", rename_all = "kebab-case")]
pub enum FileTopic {
    /// The network's configuration.
    Network {
        /// The program that reads it.
        renderer: Renderer,
    },
    /// The record of what was installed, for programs that look after the machine later.
    Record,
}

/// A file of the target, made by the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFile {
    /// Absolute path in the target; directories on the way are made.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Its text.
    pub content: String,
}

/// Where packages come from, when Hostwright writes sources.list itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSources {
    /// Suite, `bookworm`.
    pub suite: String,
    /// Archive mirror, `http://…/debian`.
    pub mirror: String,
    /// Parts of the archive, `main`.
    pub components: Vec<String>,
    /// Archive with security updates, where the space names one.
    pub security: Option<SecuritySource>,
}

/// An archive with security updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecuritySource {
    /// Suite, `bookworm-security`.
    pub suite: String,
    /// Archive, `http://…/debian-security`.
    pub mirror: String,
}

/// What a stage of user code said before its barrier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Classes printed or set, in order, as words.
    pub classes: Vec<String>,
    /// Simple variables that are new or changed.
    pub vars: Vars,
    /// Tasks to skip.
    pub skips: Vec<Skip>,
    /// What a step of the engine's own found out.
    #[serde(default)]
    pub discovered: Discovered,
    /// Functions of FAI's that are defined anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
}

/// What running a step came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It changed the target.
    Changed,
    /// The target already was as wanted.
    AlreadyTrue,
    /// User code ended with this status; FAI goes on, whatever it is.
    Exited(i32),
}
