//! What makes an installed system start from its disk: a boot loader, its menu entry and its kernel
//! arguments.
//!
//! The planner decides all of it; what only the finished disk can tell, the identifier of the root
//! file system, the engine adds as `root=`.

use serde::{Deserialize, Serialize};

/// A boot loader that Hostwright can install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BootLoader {
    /// GRUB in the boot sectors of disks, for BIOS.
    GrubBios {
        /// Device nodes of the disks.
        disks: Vec<String>,
    },
    /// GRUB as a program in the EFI system partition.
    GrubUefi,
    /// systemd-boot(7) with an entry a kernel.
    SystemdBoot,
    /// A kernel, its initramfs and arguments in one program of the EFI system partition.
    Uki,
}

impl BootLoader {
    /// Its name in machine files and for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GrubBios { .. } => "grub-bios",
            Self::GrubUefi => "grub-uefi",
            Self::SystemdBoot => "systemd-boot",
            Self::Uki => "uki",
        }
    }

    /// True if firmware finds it in an EFI system partition.
    pub fn needs_esp(&self) -> bool {
        !matches!(self, Self::GrubBios { .. })
    }
}

/// Everything that is needed to install a boot loader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootSetup {
    /// What is installed.
    pub loader: BootLoader,
    /// The EFI system partition.
    pub esp: Option<EspPlace>,
    /// Where a file system of its own for kernels is mounted, `/boot`; `None` if they are in the root.
    pub boot_mount: Option<String>,
    /// Device node with the root file system; the engine makes `root=UUID=…` of it.
    pub root_device: String,
    /// The kernel; `None` where the plan does not know the image's files and the engine looks.
    pub kernel: Option<KernelFiles>,
    /// Kernel arguments but for `root=`, consoles included.
    pub kernel_args: Vec<String>,
    /// True if the initramfs is made anew in the target, because it has to open the root.
    pub rebuild_initrd: bool,
    /// True to add an entry to the firmware's list (efibootmgr(8)).
    pub nvram_entry: bool,
    /// True to install to the path that firmware tries without an entry, `\EFI\BOOT\BOOTX64.EFI`.
    pub removable_path: bool,
    /// What the entry is called, in menus and in the firmware's list.
    pub label: String,
    /// Seconds that a menu waits.
    pub timeout_seconds: u32,
    /// The serial line on which the loader itself talks, besides the screen.
    pub serial: Option<SerialConsole>,
}

/// An EFI system partition and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EspPlace {
    /// Where it is mounted in the target, `/boot/efi`.
    pub mount_point: String,
    /// Device node.
    pub device: String,
    /// The disk that it is on.
    pub disk: String,
    /// Its number in the partition table.
    pub partition: u32,
}

/// A kernel of an image. Paths are absolute in the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFiles {
    /// Its release, `6.1.0-44-amd64`.
    pub release: String,
    /// `/boot/vmlinuz-6.1.0-44-amd64`.
    pub kernel: String,
    /// `/boot/initrd.img-6.1.0-44-amd64`, where there is one.
    pub initrd: Option<String>,
}

/// A serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialConsole {
    /// 0 is `ttyS0` (`ttyAMA0` on arm64).
    pub unit: u32,
    /// Its speed.
    pub baud: u32,
}

/// What kexec(8) starts in place of firmware and boot loader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KexecSetup {
    /// Device node with the root file system; the engine makes `root=UUID=…` of it.
    pub root_device: String,
    /// The kernel; `None` where the plan does not know the image's files and the engine looks.
    pub kernel: Option<KernelFiles>,
    /// Kernel arguments but for `root=`.
    pub kernel_args: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loader_of_bios_does_without_an_esp() {
        let bios = BootLoader::GrubBios { disks: vec!["/dev/vda".to_owned()] };
        assert!(!bios.needs_esp());
        for loader in [BootLoader::GrubUefi, BootLoader::SystemdBoot, BootLoader::Uki] {
            assert!(loader.needs_esp(), "{}", loader.name());
            let text = serde_json::to_string(&loader).expect("plain data");
            assert_eq!(text, format!("{{\"kind\":\"{}\"}}", loader.name()));
        }
    }
}
