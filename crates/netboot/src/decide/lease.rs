//! Who has which address until when: plain data, the time is always passed in.

use hostwright_model::ids::MacAddr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an address is being used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseState {
    /// Held back for a machine that was offered it.
    Offered,
    /// In use by a machine.
    Bound,
    /// Given back, or never used again; remembered so that the machine gets it again.
    Released,
    /// In use by somebody who did not ask us.
    Declined,
}

/// One address and the interface that it was given to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The address; there is one lease for each.
    pub address: Ipv4Addr,
    /// The interface. Leases go by its hardware address and not by the client identifier (61),
    /// because firmware, iPXE and the installed system each send another identifier.
    pub mac: MacAddr,
    /// What the address is being used for.
    pub state: LeaseState,
    /// Until when, milliseconds since the epoch.
    pub until_ms: i64,
    /// The host name that the machine sent, if any.
    pub host_name: Option<String>,
}

impl Lease {
    /// True if nobody else may have the address at `now_ms`.
    pub fn is_live(&self, now_ms: i64) -> bool {
        self.state != LeaseState::Released && self.until_ms > now_ms
    }
}

/// All leases, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases(BTreeMap<Ipv4Addr, Lease>);

impl Leases {
    /// Takes note of `lease`; an earlier one of the same address is forgotten.
    pub fn record(&mut self, lease: Lease) {
        self.0.insert(lease.address, lease);
    }

    /// The lease of `address`, live or not.
    pub fn of_address(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.0.get(&address)
    }

    /// Every lease that `mac` has or had, declined ones excepted.
    pub fn of_mac(&self, mac: MacAddr) -> impl Iterator<Item = &Lease> {
        let own = move |lease: &&Lease| lease.mac == mac && lease.state != LeaseState::Declined;
        self.0.values().filter(own)
    }

    /// True if `mac` may have `address`: nobody else's live lease is on it.
    pub fn is_free_for(&self, address: Ipv4Addr, mac: MacAddr, now_ms: i64) -> bool {
        self.0.get(&address).is_none_or(|lease| {
            !lease.is_live(now_ms) || (lease.mac == mac && lease.state != LeaseState::Declined)
        })
    }

    /// Every lease, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.0.values()
    }
}

/// The leases that DHCP, TFTP and HTTP share: the latter two learn from them which machine an
/// address belongs to.
#[derive(Clone, Debug, Default)]
pub struct SharedLeases(Arc<Mutex<Leases>>);

impl SharedLeases {
    /// Starts with what was kept of an earlier life.
    pub fn restore(kept: impl IntoIterator<Item = Lease>) -> Self {
        let mut leases = Leases::default();
        kept.into_iter().for_each(|lease| leases.record(lease));
        Self(Arc::new(Mutex::new(leases)))
    }

    /// The interface that was last given `address`.
    pub fn mac_of(&self, address: Ipv4Addr) -> Option<MacAddr> {
        let leases = self.lock();
        let lease = leases.of_address(address)?;
        (lease.state != LeaseState::Declined).then_some(lease.mac)
    }

    /// The address that `mac` uses at `now_ms`.
    pub fn address_of(&self, mac: MacAddr, now_ms: i64) -> Option<Ipv4Addr> {
        let leases = self.lock();
        let mut bound = leases.of_mac(mac).filter(|lease| lease.state == LeaseState::Bound);
        bound.find(|lease| lease.is_live(now_ms)).map(|lease| lease.address)
    }

    /// A copy of all leases, by address.
    pub fn all(&self) -> Vec<Lease> {
        self.lock().iter().cloned().collect()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Leases> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
