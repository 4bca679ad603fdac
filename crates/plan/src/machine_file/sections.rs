//! What a machine file says besides its disks: the image, the boot loader, encryption, policies.
//!
//! ```toml
//! [image]
//! name = "web"                    # or digest = "…", the digest of a manifest
//!
//! [boot]
//! loader = "systemd-boot"         # grub-bios, grub-uefi, systemd-boot, uki
//! kernel_args = ["quiet", "mitigations=auto"]
//! serial = "ttyS0,115200"         # or "none"
//! kexec = true                    # the first start without the firmware
//!
//! [encryption]
//! volumes = true                  # all but / and what boots
//! root = true                     # / too
//! tpm2 = true                     # the TPM gives the key out
//! pcrs = [7]
//! recovery_key = true             # one more key, kept by the server
//!
//! [policy]
//! on_failure = "hold"             # retry, hold, power-off
//! keep_old_etc = true
//! disks = "all-fixed"             # the disks may all be wiped; without it one has to be chosen
//! ```

use hostwright_model::boot_loader::SerialConsole;
use hostwright_model::ids::Digest;
use hostwright_model::manners::FailurePolicy;
use serde::Deserialize;

/// `[image]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSection {
    /// Name of an image, or of a stream of images.
    #[serde(default)]
    pub name: Option<String>,
    /// Digest of a manifest.
    #[serde(default)]
    pub digest: Option<Digest>,
}

/// `[boot]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootSection {
    /// The boot loader; what suits firmware and image where it says nothing.
    pub loader: Option<LoaderName>,
    /// Further kernel arguments.
    pub kernel_args: Vec<String>,
    /// The first start without the firmware.
    pub kexec: Option<bool>,
    /// The serial console.
    pub serial: Serial,
    /// An entry in the firmware's list; with UEFI unless it says otherwise.
    pub nvram_entry: Option<bool>,
    /// The path that firmware tries without an entry; with UEFI unless it says otherwise.
    pub removable_path: Option<bool>,
    /// Seconds that a menu waits.
    pub timeout_seconds: Option<u32>,
}

/// Names of boot loaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoaderName {
    /// GRUB for BIOS.
    GrubBios,
    /// GRUB for UEFI.
    GrubUefi,
    /// systemd-boot(7).
    SystemdBoot,
    /// A unified kernel image.
    Uki,
}

/// The serial console of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Serial {
    /// The first line at 115200 baud, as Dominator has it.
    #[default]
    First,
    /// None.
    None,
    /// This one.
    Line(SerialConsole),
}

impl Serial {
    /// The line.
    pub fn console(self) -> Option<SerialConsole> {
        match self {
            Self::First => Some(SerialConsole { unit: 0, baud: 115_200 }),
            Self::None => None,
            Self::Line(console) => Some(console),
        }
    }
}

impl TryFrom<String> for Serial {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let (line, baud) = text.split_once(',').unwrap_or((&text, "115200"));
        let unit = ["ttyS", "ttyAMA"].iter().find_map(|prefix| line.strip_prefix(prefix));
        let console = unit.and_then(|unit| {
            Some(SerialConsole { unit: unit.parse().ok()?, baud: baud.parse().ok()? })
        });
        let good = console.filter(|console| console.unit < 32 && console.baud > 0);
        let bad = || format!("'{text}' is not a serial line; write ttyS0,115200 or none");
        good.map(Self::Line).ok_or_else(bad)
    }
}

/// `[encryption]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncryptionSection {
    /// All but the root and what boots; what the layout says where it says nothing.
    pub volumes: Option<bool>,
    /// The root, too.
    pub root: bool,
    /// The TPM gives the keys out.
    pub tpm2: bool,
    /// Registers of the TPM that must not have changed.
    pub pcrs: Option<Vec<u8>>,
    /// A further key for the server to keep.
    pub recovery_key: bool,
}

/// `[policy]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySection {
    /// What a failure leads to.
    pub on_failure: Option<FailurePolicy>,
    /// Whether `/etc` of the old system is kept.
    pub keep_old_etc: Option<bool>,
    /// Which disks may be wiped where no `[[disk]]` chooses.
    pub disks: Option<DiskRule>,
}

/// Which disks may be wiped where none is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskRule {
    /// The one that there is; several are an error.
    Only,
    /// All that are built in.
    AllFixed,
}

impl BootSection {
    /// A kernel argument that cannot be one, with the reason.
    pub(super) fn bad_argument(&self) -> Option<String> {
        self.kernel_args.iter().find_map(|argument| {
            let plain = argument.bytes().all(|b| b.is_ascii_graphic() && !b"\"'`$\\".contains(&b));
            if argument.is_empty() || !plain {
                return Some(format!("'{argument}' cannot be a kernel argument here"));
            }
            let is_root = argument.starts_with("root=");
            is_root.then(|| "root= is made from the root file system's own UUID".to_owned())
        })
    }
}

impl EncryptionSection {
    /// What is wrong with it on any machine.
    pub(super) fn mistake(&self) -> Option<&'static str> {
        let pcrs = self.pcrs.as_deref().unwrap_or_default();
        match self {
            Self { root: true, tpm2: false, .. } => {
                Some("nothing could open the root at a start; write tpm2 = true")
            }
            Self { root: true, volumes: Some(false), .. } => {
                Some("with an encrypted root its other volumes are encrypted, too")
            }
            Self { tpm2: false, pcrs: Some(_), .. } => {
                Some("pcrs are those of a TPM; write tpm2 = true")
            }
            _ if pcrs.iter().any(|pcr| *pcr > 23) => Some("a TPM has the registers 0 to 23"),
            _ => None,
        }
    }
}
