//! What the boot services ask the rest of the program: who a machine is, and what it shall boot.

use crate::decide::Lease;
use crate::event::BootEvent;
use crate::script::{BootSpec, Platform};
use hostwright_model::ids::{MacAddr, MachineName};
use std::net::{IpAddr, Ipv4Addr};

/// A machine that an operator has described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMachine {
    /// Its name; given to it as host name.
    pub name: MachineName,
    /// The address it always gets; without one it gets one of the pool.
    pub address: Option<Ipv4Addr>,
}

/// The machines that DHCP knows. Answers come from memory: every packet waits for them, and holds
/// the lock of [`crate::SharedLeases`] meanwhile, so that they must not ask it anything.
pub trait Machines: Send + Sync {
    /// The machine one of whose boot interfaces has the address `mac`.
    fn machine(&self, mac: MacAddr) -> Option<KnownMachine>;

    /// True if `address` is the fixed address of any machine; the pool then never gives it away.
    fn is_reserved(&self, address: Ipv4Addr) -> bool;
}

/// Who asks for a boot script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootRequest {
    /// The interface the machine boots from, as its iPXE says.
    pub mac: MacAddr,
    /// Where the request came from, if the HTTP server tells.
    pub client: Option<IpAddr>,
    /// The address that `mac` holds by DHCP. If it is not `client`, somebody else may be asking.
    pub leased: Option<Ipv4Addr>,
    /// How the machine was started.
    pub platform: Option<Platform>,
    /// Its SMBIOS UUID, as its iPXE says.
    pub uuid: Option<String>,
}

/// The rest of the program, as the boot services see it. Every method returns at once.
pub trait Booter: Machines + 'static {
    /// What a machine boots. Called each time it fetches its script, known machine or not.
    fn boot_spec(&self, request: &BootRequest) -> BootSpec;

    /// A lease was given, renewed, declined or released: keep it, by its address, and hand it to
    /// [`crate::SharedLeases::restore`] at the next start.
    fn lease_changed(&self, lease: &Lease);

    /// A step of some machine's boot.
    fn saw(&self, event: BootEvent);
}
