//! Commands: every external program that Hostwright runs is named in [`Tool`].

use crate::HostError;

macro_rules! tools {
    ($($variant:ident = $program:literal in $package:literal,)*) => {
        /// An external program. A program that is not in this list cannot be run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the name of the program says it")]
        pub enum Tool { $($variant,)* }

        impl Tool {
            /// Every tool.
            pub const ALL: &'static [Tool] = &[$(Tool::$variant),*];

            /// Name of the program, looked up in PATH.
            pub fn program(self) -> &'static str {
                match self { $(Tool::$variant => $program),* }
            }

            /// The Debian package that has it.
            pub fn package(self) -> &'static str {
                match self { $(Tool::$variant => $package),* }
            }
        }
    };
}

tools! {
    Apk = "apk" in "apk-tools",
    Apt = "apt" in "apt",
    AptCache = "apt-cache" in "apt",
    AptConfig = "apt-config" in "apt",
    AptGet = "apt-get" in "apt",
    Aptitude = "aptitude" in "aptitude",
    Bash = "bash" in "bash",
    Blkid = "blkid" in "util-linux",
    Blockdev = "blockdev" in "util-linux",
    Btrfs = "btrfs" in "btrfs-progs",
    Cp = "cp" in "coreutils",
    Chgrp = "chgrp" in "coreutils",
    Chroot = "chroot" in "coreutils",
    Cryptsetup = "cryptsetup" in "cryptsetup-bin",
    Curl = "curl" in "curl",
    Debootstrap = "debootstrap" in "debootstrap",
    DebconfCopydb = "debconf-copydb" in "debconf",
    DebconfGetSelections = "debconf-get-selections" in "debconf-utils",
    DebconfSetSelections = "debconf-set-selections" in "debconf",
    Depmod = "depmod" in "kmod",
    Dmsetup = "dmsetup" in "dmsetup",
    Dnf = "dnf" in "dnf",
    Dpkg = "dpkg" in "dpkg",
    DpkgDeb = "dpkg-deb" in "dpkg",
    DpkgDivert = "dpkg-divert" in "dpkg",
    DpkgReconfigure = "dpkg-reconfigure" in "debconf",
    DpkgStatoverride = "dpkg-statoverride" in "dpkg",
    Dracut = "dracut" in "dracut",
    E2fsck = "e2fsck" in "e2fsprogs",
    Efibootmgr = "efibootmgr" in "efibootmgr",
    Fsck = "fsck" in "util-linux",
    Fstrim = "fstrim" in "util-linux",
    Img2simg = "img2simg" in "android-sdk-libsparse-utils",
    Git = "git" in "git",
    Grub2Install = "grub2-install" in "grub2-common",
    Grub2Mkconfig = "grub2-mkconfig" in "grub2-common",
    Grub2Mkimage = "grub2-mkimage" in "grub-common",
    GrubInstall = "grub-install" in "grub2-common",
    GrubMkconfig = "grub-mkconfig" in "grub-common",
    GrubMkimage = "grub-mkimage" in "grub-common",
    Gzip = "gzip" in "gzip",
    Kexec = "kexec" in "kexec-tools",
    Lvcreate = "lvcreate" in "lvm2",
    Lvremove = "lvremove" in "lvm2",
    Lvresize = "lvresize" in "lvm2",
    Lvs = "lvs" in "lvm2",
    Mcopy = "mcopy" in "mtools",
    Mdadm = "mdadm" in "mdadm",
    Mkfs = "mkfs" in "util-linux",
    Mksquashfs = "mksquashfs" in "squashfs-tools",
    Mkswap = "mkswap" in "util-linux",
    Mmdebstrap = "mmdebstrap" in "mmdebstrap",
    Modprobe = "modprobe" in "kmod",
    Ntfsresize = "ntfsresize" in "ntfs-3g",
    Mount = "mount" in "mount",
    Pacman = "pacman" in "pacman-package-manager",
    Partx = "partx" in "util-linux",
    Pvcreate = "pvcreate" in "lvm2",
    Pvremove = "pvremove" in "lvm2",
    Pvs = "pvs" in "lvm2",
    QemuImg = "qemu-img" in "qemu-utils",
    Resize2fs = "resize2fs" in "e2fsprogs",
    Scp = "scp" in "openssh-client",
    Rpm = "rpm" in "rpm",
    Sed = "sed" in "sed",
    Sha256sum = "sha256sum" in "coreutils",
    Sfdisk = "sfdisk" in "fdisk",
    Shred = "shred" in "coreutils",
    SshKeygen = "ssh-keygen" in "openssh-client",
    Swapoff = "swapoff" in "util-linux",
    Swapon = "swapon" in "util-linux",
    SystemdCryptenroll = "systemd-cryptenroll" in "systemd",
    SystemdMachineIdSetup = "systemd-machine-id-setup" in "systemd",
    Tar = "tar" in "tar",
    Tasksel = "tasksel" in "tasksel",
    Tune2fs = "tune2fs" in "e2fsprogs",
    Udevadm = "udevadm" in "udev",
    UpdateInitramfs = "update-initramfs" in "initramfs-tools",
    Vgcfgbackup = "vgcfgbackup" in "lvm2",
    Vgchange = "vgchange" in "lvm2",
    Vgcreate = "vgcreate" in "lvm2",
    Vgextend = "vgextend" in "lvm2",
    Vgreduce = "vgreduce" in "lvm2",
    Vgs = "vgs" in "lvm2",
    Wipefs = "wipefs" in "util-linux",
    XfsGrowfs = "xfs_growfs" in "xfsprogs",
    Xz = "xz" in "xz-utils",
    Zstd = "zstd" in "zstd",
    Yum = "yum" in "dnf",
    Zypper = "zypper" in "zypper",
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub tool: Tool,
    /// What follows `mkfs` after a dot: `ext4`. Only for [`Tool::Mkfs`].
    pub suffix: Option<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Run inside this root with chroot(8).
    pub root: Option<String>,
    /// Variables beside the environment that the host gives every tool.
    pub env: Vec<(String, String)>,
    /// Standard input; nothing if `None`.
    pub stdin: Option<Vec<u8>>,
    /// A file that is standard input, and one that standard output is written to.
    pub files: Option<(String, String)>,
}

impl Command {
    /// A call without arguments.
    pub fn new(tool: Tool) -> Self {
        let (suffix, args, root, env) = (None, Vec::new(), None, Vec::new());
        Self { tool, suffix, args, root, env, stdin: None, files: None }
    }

    /// mkfs(8) for one file system type.
    pub fn mkfs(file_system: &str) -> Self {
        Self { suffix: Some(file_system.to_owned()), ..Self::new(Tool::Mkfs) }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Runs it inside `root`.
    #[must_use]
    pub fn in_root(mut self, root: impl Into<String>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives it standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Lets it read the file `from` and write over the file `to`.
    #[must_use]
    pub fn filter(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.files = Some((from.into(), to.into()));
        self
    }

    /// Name of the program with its suffix.
    pub fn program(&self) -> String {
        match &self.suffix {
            Some(suffix) => format!("{}.{suffix}", self.tool.program()),
            None => self.tool.program().to_owned(),
        }
    }

    /// The program and the Debian package that has it, for the message that it is missing.
    pub fn debian_package(&self) -> (&'static str, &'static str) {
        let of_suffix = |suffix: &str| {
            let found = MKFS_PACKAGES.iter().find(|(program, _)| {
                program.strip_prefix("mkfs.").is_some_and(|known| known == suffix)
            });
            found.copied()
        };
        let known = self.suffix.as_deref().and_then(of_suffix);
        known.unwrap_or((self.tool.program(), self.tool.package()))
    }

    /// The call as a line for a shell.
    pub fn to_shell(&self) -> String {
        let mut words: Vec<String> =
            self.env.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
        if let Some(root) = &self.root {
            words.extend(["chroot".to_owned(), quote(root)]);
        }
        words.push(self.program());
        words.extend(self.args.iter().map(|arg| quote(arg)));
        if let Some((from, to)) = &self.files {
            words.extend([format!("<{}", quote(from)), format!(">{}", quote(to))]);
        }
        words.join(" ")
    }
}

/// What makes file systems of each type, and the Debian package that has it.
const MKFS_PACKAGES: [(&str, &str); 11] = [
    ("mkfs.btrfs", "btrfs-progs"),
    ("mkfs.exfat", "exfatprogs"),
    ("mkfs.ext2", "e2fsprogs"),
    ("mkfs.ext3", "e2fsprogs"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.f2fs", "f2fs-tools"),
    ("mkfs.fat", "dosfstools"),
    ("mkfs.jfs", "jfsutils"),
    ("mkfs.ntfs", "ntfs-3g"),
    ("mkfs.vfat", "dosfstools"),
    ("mkfs.xfs", "xfsprogs"),
];

/// Quotes a word for a POSIX shell where it needs it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What a tool left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The call, for error messages.
    pub command: String,
    /// Exit status; 128 plus the signal's number if one ended it.
    pub status: i32,
    /// Standard output, whole.
    pub stdout: String,
    /// The last 40 lines of both streams.
    pub tail: Vec<String>,
}

impl Output {
    /// The output itself if the status is 0, else an error.
    pub fn success(self) -> Result<Self, HostError> {
        if self.status == 0 {
            return Ok(self);
        }
        Err(HostError::Failed { command: self.command, status: self.status, output: self.tail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let command = Command::mkfs("ext4").args(["-L", "it's home"]).in_root("/target");
        assert_eq!(command.to_shell(), r"chroot /target mkfs.ext4 -L 'it'\''s home'");
    }
}
