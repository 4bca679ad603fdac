//! Which address a machine gets, and whether it may have the one it asks for.

use super::{Case, LeaseState, Silence};
use crate::dhcp::Pool;
use crate::dhcp::wire::option;
use std::net::Ipv4Addr;

impl Case<'_> {
    /// The address to offer: the fixed one, else one of the pool.
    pub(super) fn choose_address(&self) -> Result<Ipv4Addr, Silence> {
        if let Some(fixed) = self.usable_fixed_address() {
            return Ok(fixed);
        }
        let pool = self.view.network.pool.ok_or(Silence::NoPool)?;
        self.remembered_address(pool)
            .or_else(|| self.asked_address(pool))
            .or_else(|| self.unused_address(pool))
            .or_else(|| self.longest_unused_address(pool))
            .ok_or(Silence::PoolExhausted)
    }

    /// Why the client must not use `address`; `None` if it may.
    pub(super) fn refusal(&self, address: Ipv4Addr) -> Option<&'static str> {
        if !self.view.network.subnet.contains(address) {
            return Some("it is not in this network");
        }
        match self.usable_fixed_address() {
            Some(fixed) if fixed == address => return None,
            Some(_) => return Some("the machine has another, fixed address"),
            None => {}
        }
        if self.view.machines.is_reserved(address) {
            return Some("it is another machine's fixed address");
        }
        if !self.view.network.pool.is_some_and(|pool| pool.contains(address)) {
            return Some("it is not in the pool");
        }
        (!self.is_free(address)).then_some("another machine has it")
    }

    /// True if the client's own lease, live or not, is on `address`.
    pub(super) fn holds(&self, address: Ipv4Addr) -> bool {
        self.view.leases.of_mac(self.request.mac).any(|lease| lease.address == address)
    }

    /// True if the client uses `address` by a lease that runs.
    pub(super) fn has_bound(&self, address: Ipv4Addr) -> bool {
        self.view.leases.of_mac(self.request.mac).any(|lease| {
            lease.address == address
                && lease.state == LeaseState::Bound
                && lease.is_live(self.view.now_ms)
        })
    }

    /// The machine's fixed address, unless somebody else uses it now or it was declined.
    fn usable_fixed_address(&self) -> Option<Ipv4Addr> {
        let fixed = self.machine.as_ref()?.address?;
        (self.is_free(fixed) || self.takes_over(fixed)).then_some(fixed)
    }

    /// Firmware tries one interface after the other, and what it does on one it has given up on
    /// the others. A running system uses all of its interfaces at once.
    fn takes_over(&self, address: Ipv4Addr) -> bool {
        let Some(lease) = self.view.leases.of_address(address) else { return false };
        let holder = self.view.machines.machine(lease.mac);
        let same_machine = holder.is_some() && holder == self.machine;
        self.client.is_boot_client() && same_machine && lease.state != LeaseState::Declined
    }

    fn is_free(&self, address: Ipv4Addr) -> bool {
        self.view.leases.is_free_for(address, self.request.mac, self.view.now_ms)
    }

    fn may_give(&self, pool: Pool, address: Ipv4Addr) -> bool {
        pool.contains(address) && !self.view.machines.is_reserved(address) && self.is_free(address)
    }

    fn remembered_address(&self, pool: Pool) -> Option<Ipv4Addr> {
        let mut own = self.view.leases.of_mac(self.request.mac).map(|lease| lease.address);
        own.find(|address| self.may_give(pool, *address))
    }

    fn asked_address(&self, pool: Pool) -> Option<Ipv4Addr> {
        let asked = self.request.address_option(option::REQUESTED_ADDRESS)?;
        self.may_give(pool, asked).then_some(asked)
    }

    /// The first address that nobody ever had.
    fn unused_address(&self, pool: Pool) -> Option<Ipv4Addr> {
        let mut addresses = (pool.first.to_bits()..=pool.last.to_bits()).map(Ipv4Addr::from_bits);
        addresses.find(|address| {
            self.view.leases.of_address(*address).is_none() && self.may_give(pool, *address)
        })
    }

    /// The address whose last holder is gone for the longest time.
    fn longest_unused_address(&self, pool: Pool) -> Option<Ipv4Addr> {
        let leases = self.view.leases.iter();
        let free = leases.filter(|lease| self.may_give(pool, lease.address));
        free.min_by_key(|lease| lease.until_ms).map(|lease| lease.address)
    }
}
