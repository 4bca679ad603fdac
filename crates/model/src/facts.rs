//! What the probes see of a machine.

use crate::existing::ExistingStorage;
use crate::ids::MacAddr;
use serde::{Deserialize, Serialize};

/// Version of the shape of [`Facts`], raised when a field changes its meaning.
pub const FACTS_VERSION: u32 = 1;

/// A machine as observed at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Facts {
    /// [`FACTS_VERSION`] of the program that made them.
    pub version: u32,
    /// How the machine was booted.
    pub firmware: Firmware,
    /// Debian's name of the architecture: `amd64`.
    pub architecture: String,
    /// MemTotal of proc(5).
    pub memory_bytes: u64,
    /// Logical processors.
    pub cpus: u32,
    /// Whole disks in the order of their names.
    pub disks: Vec<Disk>,
    /// Network interfaces but for the loopback.
    pub nics: Vec<Nic>,
    /// What the firmware says about the hardware.
    pub dmi: Dmi,
    /// Release of the running kernel.
    pub kernel: String,
    /// True with a TPM of version 2.
    #[serde(default)]
    pub tpm2: bool,
    /// What is on the disks.
    #[serde(default)]
    pub storage: ExistingStorage,
}

/// How firmware starts an operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// PC BIOS, or UEFI's emulation of it.
    Bios,
    /// UEFI.
    Uefi,
}

/// A whole disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Disk {
    /// Kernel name, `vda`.
    pub name: String,
    /// Size of the device.
    pub size_bytes: u64,
    /// Logical sector size.
    pub sector_bytes: u32,
    /// Model as the disk reports it.
    pub model: Option<String>,
    /// Serial number as the disk reports it.
    pub serial: Option<String>,
    /// World Wide Name.
    pub wwn: Option<String>,
    /// True for spinning disks.
    pub rotational: bool,
    /// True for USB sticks and the like.
    pub removable: bool,
    /// Stable names below `/dev/disk`, `by-id/…` and `by-path/…`, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Partition table and signatures found, as blkid(8) names them (`gpt`, `dos`, `ext4`); empty
    /// for a blank disk.
    pub signatures: Vec<String>,
}

impl Disk {
    /// The device node, `/dev/vda`.
    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Nic {
    /// Kernel name, `eth0`.
    pub name: String,
    /// The name that systemd's udev will give it in an installed system, `enp0s2`.
    pub predictable_name: Option<String>,
    /// Its address.
    pub mac: MacAddr,
    /// Kernel driver.
    pub driver: Option<String>,
    /// True with carrier.
    pub link_up: bool,
    /// Addresses in CIDR notation.
    pub addresses: Vec<String>,
}

/// Identification from SMBIOS, where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dmi {
    /// System manufacturer.
    pub vendor: Option<String>,
    /// Product name.
    pub product: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// System UUID.
    pub uuid: Option<String>,
}
