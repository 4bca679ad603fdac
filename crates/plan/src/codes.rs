//! The stable names of everything that can be wrong with a space or a plan, with their meanings.

use crate::storage::Code;

/// Findings about config spaces but for disk_config.
const SPACE: &[(&str, &str)] = &[
    ("bad-assignment", "A line of a .var file that the shell takes for a command: `NAME = value`."),
    ("bad-class-name", "A name that cannot be that of a class."),
    ("bad-condition", "What follows `PACKAGES action` is neither classes nor an expression."),
    ("bad-debconf-line", "A line of a debconf file that debconf-set-selections refuses."),
    ("bad-dependencies", "`class/dependencies.toml` is not what its schema says."),
    ("bad-file-modes", "A line of `file-modes` without owner, group and mode."),
    ("bad-machine-file", "A line of `machines/NAME.toml` is not what its schema says."),
    ("bad-package-name", "A name that no Debian package can have; apt fails on it."),
    ("bad-package-option", "`PACKAGES` takes no option but `release=SUITE`."),
    ("bad-package-word", "A package name that only a shell could compute."),
    ("bad-preload", "`PRELOAD` without the URL of a file and a directory."),
    ("bad-selection", "`PACKAGES dselect-upgrade` takes pairs of package and selection."),
    ("bad-shebang", "The first line names an interpreter without its path."),
    ("bad-value", "A variable that Hostwright reads has a value it cannot use."),
    ("carriage-return", "A file for a shell has DOS line ends."),
    ("class-conflict", "A machine has two classes that exclude each other."),
    ("dangling-link", "A symbolic link leads out of the space or to nothing."),
    ("dead-hook", "A hook that no task runs, because of its name."),
    ("dependency-contradiction", "A class requires classes that exclude each other."),
    ("dependency-cycle", "Classes need each other in a circle."),
    ("disk-hint", "A machine file chooses no disk, or more than it asks for."),
    ("duplicate-base-file", "A class has two base systems."),
    ("duplicate-class", "A host is given a class twice."),
    ("example-password", "The password of FAI's examples."),
    ("exit-status", "A script exits with a status above 255."),
    ("fcopy-leaf", "`fcopy -r` passes over variants of a file."),
    ("file-modes-name", "`file_modes` is meant to be `file-modes`."),
    (
        "foreign-package-action",
        "An action of `PACKAGES` for a package manager that is not supported.",
    ),
    ("image-lacks-classes", "A machine has classes that its image was built without."),
    ("image-too-large", "The files of an image are larger than all file systems of the layout."),
    ("indented-packages-header", "`PACKAGES` does not begin in the first column."),
    ("legacy-name", "A file `*.source`, which FAI has not read since version 5."),
    ("no-base-system", "There is neither a base file nor FAI_DEBOOTSTRAP."),
    ("no-boot-loader", "Nothing in a plan for disks seems to install a boot loader."),
    ("no-class-directory", "The directory is no config space."),
    ("no-disk-config", "None of a machine's classes has a disk_config."),
    ("no-file-variant", "A script copies a file of which the space has no variant."),
    ("no-run-bit", "A script or hook is not executable, so it is left out."),
    ("no-shebang", "A script does not say what interprets it."),
    ("no-stop-on-error", "No variable says which errors stop a run."),
    ("open-quote", "A quote in a .var file is not closed."),
    ("other-action", "FAI_ACTION asks for something that this run cannot do."),
    ("own-engine", "The space defines FAI's function `task` anew, which runs all tasks."),
    ("packages-before-header", "Packages above the first `PACKAGES`."),
    ("packages-without-action", "`PACKAGES` alone."),
    ("password-hash", "A password hash lies in the space."),
    ("plain-secret", "A password, passphrase or token lies in the space in plain text."),
    ("private-key", "A private key lies in the space."),
    ("script-name", "A script that is never run: its name does not begin with two digits."),
    ("shell-syntax", "bash cannot read a script or a .var file."),
    ("sticky-removal", "With `--fai-bugs` a word `name-` reaches into later groups of packages."),
    ("unknown-disk", "The variable disklist names a disk that the machine does not have."),
    ("unknown-class-file", "A file in class/ that nothing reads."),
    ("unknown-dependency", "Dependencies name a class that nothing else knows."),
    ("unknown-package", "The package index does not list a package."),
    (
        "unknown-package-action",
        "`PACKAGES` with a word that is no action; what follows is ignored.",
    ),
    ("unknown-task", "`skiptask` with a word that is no task."),
    ("unnamed-class", "A class has files, and no class script or hook names it."),
    ("unset-variable", "A package name holds a variable that nothing sets."),
    ("unsigned-packages", "A variable turns the verification of packages off."),
    ("unused-class", "A host or profile has a class that nothing looks at."),
];

/// Objections to plans. Each is a defect of Hostwright, found before it could do harm.
const PLAN: &[(&str, &str)] = &[
    ("plan-after-unmount", "A step comes after the target was unmounted."),
    ("plan-bad-mount", "A mount point is not an absolute path."),
    ("plan-bad-table", "Partitions overlap, or reach out of their disk."),
    ("plan-destroys-kept", "A step would destroy something that is kept."),
    ("plan-duplicate-id", "Two steps have one id."),
    ("plan-image-too-late", "Disks may be written before the image is at hand."),
    ("plan-made-twice", "A device or volume group is made twice."),
    ("plan-mount-order", "A mount would hide another, or the root is not the first."),
    ("plan-moved-kept", "Something is kept that does not exist, or not at this place."),
    ("plan-no-barrier", "User code, or an open end, without a barrier behind it."),
    ("plan-no-base", "Something needs a base system that is not there yet."),
    ("plan-no-device", "A step uses a device that no step made."),
    ("plan-no-file-system", "A step makes a file system without naming its kind."),
    ("plan-no-fstab", "fstab is installed before it is written."),
    ("plan-no-room", "A volume group is smaller than its volumes."),
    ("plan-no-root", "The target is written to before its root is mounted."),
    ("plan-no-sources", "Packages are installed before their sources are known."),
    ("plan-no-swap", "A swap area is used that no step made."),
    ("plan-no-unmount", "The target stays mounted."),
    ("plan-not-formatted", "A device is mounted that has no file system."),
    ("plan-not-saved", "Disks that hold something are changed before their metadata is saved."),
    ("plan-phase-order", "Phases are not in FAI's order."),
    ("plan-takedown-order", "A device gets something new while an older layer still uses it."),
    ("plan-takes-foreign", "Something is taken apart that reaches out of the disks of the plan."),
    ("plan-unchecked-packages", "Packages are installed before anybody asked whether they exist."),
    ("plan-unconfirmed-disk", "A disk is written to that was not confirmed to be the planned one."),
    ("plan-unknown-disk", "A disk is confirmed that the machine does not have."),
    ("plan-unmounts-itself", "A plan for the running system unmounts it."),
    ("plan-used-twice", "A device serves two purposes."),
    ("plan-writes-disk", "A plan for a directory writes to a disk."),
    ("plan-wrong-size", "A file system is planned for a device of another size."),
];

/// Every code of this crate with its meaning: spaces, then disk_config, then plans.
pub fn diagnostic_codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let storage = Code::ALL.iter().map(|(code, meaning)| (code.name(), meaning.trim()));
    SPACE.iter().copied().chain(storage).chain(PLAN.iter().copied())
}

/// True for a code that the reference describes.
pub(crate) fn is_known(code: &str) -> bool {
    diagnostic_codes().any(|(known, _)| known == code)
}
