//! Boots machines over the network: DHCPv4, TFTP and HTTP, from the first packet of the firmware
//! to the kernel's last byte.
//!
//! What to answer is decided by pure functions in [`decide`] (no sockets, no clock); [`dhcp`],
//! [`tftp`] and [`http`] are the rim that receives and sends. The crate never reads a database and
//! never decides what a machine boots: it asks a [`Booter`]. Read [`Booter`] first, then
//! [`script::BootSpec`].
//!
//! How a machine comes up:
//!
//! ```text
//! firmware   DHCP ──► undionly.kpxe (BIOS) or ipxe.efi (UEFI x64) by TFTP
//! iPXE       DHCP ──► boot.ipxe by TFTP: says who it is and where it goes
//!            HTTP ──► /boot/ipxe/52:54:00:12:34:56: the script of this machine
//!            HTTP ──► /boot/files/…: kernel and initramfs
//! ```

pub mod booter;
mod clock;
pub mod decide;
pub mod dhcp;
pub mod event;
pub mod files;
pub mod first_stage;
pub mod http;
pub mod script;
pub mod tftp;

pub use booter::{BootRequest, Booter, KnownMachine, Machines};
pub use decide::{Lease, LeaseState, SharedLeases};
pub use event::{BootEvent, BootStep};
pub use files::{BootFile, FileSet, Files};
pub use script::{BootSpec, InstallBoot, Platform};
