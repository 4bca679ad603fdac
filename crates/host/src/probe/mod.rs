//! Reads what a machine is made of from sysfs and proc, without parsing the output of lsblk and
//! its like.
//!
//! All paths are taken below a root, so that recorded machines can be probed as well as this one.

mod addresses;
mod disks;
mod links;
mod nics;
mod signatures;
mod storage;

pub use storage::table_of_image;

use crate::{Command, DeviceIds, HostError, Output, Tool};
use hostwright_model::facts::{Disk, Dmi, FACTS_VERSION, Facts, Firmware};
use std::fs;
use std::path::{Path, PathBuf};

/// Runs a tool that a probe needs.
pub type RunTool<'a> = &'a mut dyn FnMut(&Command) -> Result<Output, HostError>;

/// Looks at the machine whose `/sys`, `/proc` and `/dev` are below a root.
#[derive(Clone, Debug)]
pub struct Probe {
    root: PathBuf,
}

impl Probe {
    /// Probes below `root`; `/` is the machine that this process runs on.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Everything. `run` is asked for udevadm(8), blkid(8) and LVM's reports, and only on the
    /// running machine.
    pub fn facts(&self, run: RunTool<'_>) -> Result<Facts, HostError> {
        let efi = self.path("sys/firmware/efi").is_dir();
        let disks = disks::read(self);
        let (nics, storage) = match self.is_live() {
            true => {
                let addresses = addresses::by_interface()?;
                let nics = nics::read(self, &addresses, Some(&mut *run))?;
                (nics, storage::read(self, &disks, Some(run)))
            }
            false => (nics::read(self, &[], None)?, storage::read(self, &disks, None)),
        };
        Ok(Facts {
            version: FACTS_VERSION,
            firmware: if efi { Firmware::Uefi } else { Firmware::Bios },
            architecture: self.architecture()?,
            memory_bytes: self.memory_bytes()?,
            cpus: self.cpus()?,
            disks,
            nics,
            dmi: self.dmi(),
            tpm2: self.text("sys/class/tpm/tpm0/tpm_version_major").as_deref() == Some("2"),
            storage,
            kernel: self.required("proc/sys/kernel/osrelease", "the kernel's release")?,
        })
    }

    /// The disks with these kernel names, of whatever kind; one that is not there is left out.
    pub fn disks_named(&self, names: &[String]) -> Vec<Disk> {
        names.iter().filter_map(|name| disks::disk(self, name.clone())).collect()
    }

    fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// An attribute file without blanks around its text; `None` if it is missing or empty.
    fn text(&self, relative: &str) -> Option<String> {
        let bytes = fs::read(self.path(relative)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn number(&self, relative: &str) -> Option<u64> {
        self.text(relative)?.parse().ok()
    }

    fn required(&self, relative: &str, what: &'static str) -> Result<String, HostError> {
        self.text(relative).ok_or_else(|| HostError::Probe {
            what,
            reason: format!("{} is missing or empty", self.path(relative).display()),
        })
    }

    /// Names in a directory, in byte order; empty if there is none.
    fn names(&self, relative: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(relative)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn architecture(&self) -> Result<String, HostError> {
        let recorded = self.text("proc/sys/kernel/arch");
        let machine = match recorded {
            Some(machine) => machine,
            // Kernels before 6.1 lack the file.
            None => rustix::system::uname().machine().to_string_lossy().into_owned(),
        };
        debian_architecture(&machine).map(str::to_owned).ok_or_else(|| HostError::Probe {
            what: "the architecture",
            reason: format!("Debian has no port for '{machine}'"),
        })
    }

    fn memory_bytes(&self) -> Result<u64, HostError> {
        let what = "the size of the memory";
        let text = self.required("proc/meminfo", what)?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| HostError::Probe {
            what,
            reason: "proc/meminfo has no line 'MemTotal: N kB'".to_owned(),
        })
    }

    fn cpus(&self) -> Result<u32, HostError> {
        let what = "the number of processors";
        let text = self.required("sys/devices/system/cpu/online", what)?;
        count_in_ranges(&text).ok_or_else(|| HostError::Probe {
            what,
            reason: format!("'{text}' is not a list of ranges"),
        })
    }

    fn dmi(&self) -> Dmi {
        let field = |name: &str| self.text(&format!("sys/class/dmi/id/{name}"));
        Dmi {
            vendor: field("sys_vendor"),
            product: field("product_name"),
            serial: field("product_serial"),
            uuid: field("product_uuid"),
        }
    }
}

/// Debian's name for what uname(2) calls a machine.
fn debian_architecture(machine: &str) -> Option<&'static str> {
    Some(match machine {
        "x86_64" => "amd64",
        "i386" | "i486" | "i586" | "i686" => "i386",
        "aarch64" => "arm64",
        "armv7l" | "armv8l" => "armhf",
        "ppc64le" => "ppc64el",
        "riscv64" => "riscv64",
        "s390x" => "s390x",
        "loongarch64" => "loong64",
        _ => return None,
    })
}

/// How many numbers are in a list such as `0-3,8`.
fn count_in_ranges(text: &str) -> Option<u32> {
    text.split(',').try_fold(0u32, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)? + 1)
    })
}

/// What blkid(8) finds on a device when it looks at the device itself. Its status is 2 when there
/// is nothing to find. The udev format is the only one that it writes without loss.
pub fn device_ids(device: &str, run: RunTool<'_>) -> Result<DeviceIds, HostError> {
    let command = Command::new(Tool::Blkid).args(["-p", "-o", "udev", device]);
    let output = run(&command)?;
    if output.status == 2 && fs::exists(device).unwrap_or(false) {
        return Ok(DeviceIds::default());
    }
    Ok(parse_ids(&output.success()?.stdout))
}

fn parse_ids(text: &str) -> DeviceIds {
    let mut ids = DeviceIds::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let field = match key {
            "ID_FS_UUID_ENC" => &mut ids.uuid,
            "ID_FS_LABEL_ENC" => &mut ids.label,
            "ID_FS_TYPE" => &mut ids.kind,
            "ID_PART_ENTRY_UUID" => &mut ids.partuuid,
            "ID_PART_ENTRY_NAME" => &mut ids.partlabel,
            _ => continue,
        };
        *field = Some(decode_udev(value));
    }
    ids
}

/// Takes back udev's `\x20` for a blank and the like.
fn decode_udev(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("\\x") {
        let code = rest.get(at + 2..at + 4).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (plain, skip) = if code.is_some() { (at, at + 4) } else { (at + 2, at + 2) };
        bytes.extend_from_slice(&rest.as_bytes()[..plain]);
        bytes.extend(code);
        rest = &rest[skip..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_counted() {
        assert_eq!(count_in_ranges("0-3,8"), Some(5));
        assert_eq!(count_in_ranges("0"), Some(1));
        assert_eq!(count_in_ranges("3-1"), None);
        assert_eq!(count_in_ranges(""), None);
    }

    #[test]
    fn what_blkid_says_is_decoded() {
        let ids = parse_ids(
            "ID_FS_LABEL=a_b\nID_FS_LABEL_ENC=a\\x20b\\x5cc\\xc3\\xa4\nID_FS_UUID=12-34\n\
             ID_FS_UUID_ENC=12-34\nID_FS_TYPE=vfat\nID_PART_ENTRY_NAME=my\\x20part\n\
             ID_PART_ENTRY_UUID=3019e4e0\nID_FS_USAGE=filesystem\n",
        );
        let text = |text: &str| Some(text.to_owned());
        let expected = DeviceIds {
            uuid: text("12-34"),
            label: text("a b\\cä"),
            partuuid: text("3019e4e0"),
            partlabel: text("my part"),
            kind: text("vfat"),
        };
        assert_eq!(ids, expected);
        assert_eq!(decode_udev("odd\\x2"), "odd\\x2");
        assert_eq!(decode_udev("\\xzz\\x41"), "\\xzzA");
    }
}
