//! The pure core: what to answer to a DHCP request, from the request and what is known.
//!
//! No sockets and no clock: [`answer`] gets the time and the leases in its [`View`], and returns
//! what to send, which lease to record and what to tell people. The rules are those of RFC 2131
//! section 4.3, with these choices:
//!
//! - A machine's fixed address goes before the pool; the pool never gives fixed addresses away.
//! - An offered address is held back before the offer is sent, so that it is never offered twice.
//! - A NAK ends some firmware's boot for good, so it is sent only to a machine we would serve, and
//!   only if it must not use what it asks for.

mod address;
mod client;
mod lease;
mod reply;

pub use client::ClientKind;
pub use lease::{Lease, LeaseState, Leases, SharedLeases};

use crate::booter::{KnownMachine, Machines};
use crate::dhcp::wire::{MessageType, Reply, Request, option};
use crate::dhcp::{Network, Unknown};
use crate::event::BootStep;
use serde::Serialize;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// How long an offer stands, in milliseconds.
const OFFER_MS: i64 = 60_000;
/// How long an address that somebody else uses is left alone, in milliseconds.
const DECLINE_MS: i64 = 600_000;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// Names of the files that firmware and iPXE load over TFTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootFileNames {
    /// iPXE for BIOS firmware.
    pub bios: String,
    /// iPXE for UEFI firmware of 64-bit PCs.
    pub uefi_x64: String,
    /// The script for an iPXE that can load over HTTP.
    pub script: String,
    /// The script for one that cannot.
    pub script_without_http: String,
}

/// Everything an answer depends on beside the request.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The configuration.
    pub network: &'a Network,
    /// What each kind of client loads.
    pub boot_files: &'a BootFileNames,
    /// Who is known.
    pub machines: &'a dyn Machines,
    /// Who has which address.
    pub leases: &'a Leases,
    /// Milliseconds since the epoch.
    pub now_ms: i64,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Silence {
    /// Nobody described the machine, and only described ones are served.
    Unknown,
    /// The machine took another server's offer.
    OtherServer,
    /// The machine has no fixed address, and there is no pool.
    NoPool,
    /// Every address of the pool is in use.
    PoolExhausted,
    /// A relay of a network that is not the configured one passed the request on.
    OtherNetwork,
    /// The request came without a relay, but the machines are behind one.
    NotRelayed,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no machine with this address is known",
            Self::OtherServer => "it took the offer of another DHCP server",
            Self::NoPool => "it has no fixed address, and no pool is configured",
            Self::PoolExhausted => "every address of the pool is in use",
            Self::OtherNetwork => "it is behind a relay of another network",
            Self::NotRelayed => "it is not in the configured network",
        })
    }
}

/// What to do about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to send, and where to.
    pub reply: Option<(SocketAddrV4, Reply)>,
    /// The lease to record before sending.
    pub lease: Option<Lease>,
    /// What happened; the first is what the machine did.
    pub steps: Vec<BootStep>,
}

impl Decision {
    fn step(step: BootStep) -> Self {
        Self { reply: None, lease: None, steps: vec![step] }
    }
}

/// Decides what to do about `request`.
pub fn answer(request: &Request, view: &View<'_>) -> Decision {
    let client = ClientKind::of(request);
    let case = Case { request, view, client, machine: view.machines.machine(request.mac) };
    match case.decide() {
        Ok(decision) => decision,
        Err(reason) => Decision::step(BootStep::Ignored { client, reason }),
    }
}

/// One request with what is known about its sender.
struct Case<'a> {
    request: &'a Request,
    view: &'a View<'a>,
    client: ClientKind,
    machine: Option<KnownMachine>,
}

impl Case<'_> {
    fn decide(&self) -> Result<Decision, Silence> {
        self.check_network()?;
        if self.machine.is_none() && self.view.network.unknown == Unknown::Ignore {
            return Err(Silence::Unknown);
        }
        match self.request.message_type {
            MessageType::Discover => self.discover(),
            MessageType::Request => self.request(),
            MessageType::Inform => Ok(self.inform()),
            MessageType::Decline => Ok(self.decline()),
            MessageType::Release => Ok(self.release()),
            MessageType::Offer | MessageType::Ack | MessageType::Nak => {
                unreachable!("invariant: Request::decode accepts client messages only")
            }
        }
    }

    /// A relay names itself by its address in the machines' network; without one the machines are
    /// in ours. A machine that renews speaks for itself, through its router.
    fn check_network(&self) -> Result<(), Silence> {
        let network = self.view.network;
        let relay = self.request.giaddr;
        let speaker = if relay.is_unspecified() { self.request.ciaddr } else { relay };
        if speaker.is_unspecified() {
            return if network.is_local() { Ok(()) } else { Err(Silence::NotRelayed) };
        }
        // A client's own address may be wrong, which is for `request` to say.
        if relay.is_unspecified() || network.subnet.contains(relay) {
            return Ok(());
        }
        Err(Silence::OtherNetwork)
    }

    fn discover(&self) -> Result<Decision, Silence> {
        let address = self.choose_address()?;
        let reply = self.lease_reply(MessageType::Offer, address);
        let offer = BootStep::Offer { address, boot_file: self.boot_file().map(str::to_owned) };
        Ok(Decision {
            reply: Some((self.destination(), reply)),
            // A lease in use stays what it is: a machine that boots again looks like this.
            lease: (!self.has_bound(address))
                .then(|| self.lease(address, LeaseState::Offered, OFFER_MS)),
            steps: vec![BootStep::Discover { client: self.client }, offer],
        })
    }

    /// RFC 2131 section 4.3.2: what the client means shows in which fields it filled in.
    fn request(&self) -> Result<Decision, Silence> {
        let asked = self.request.address_option(option::REQUESTED_ADDRESS);
        match self.request.address_option(option::SERVER_ID) {
            Some(server) if server != self.view.network.server_address => {
                return Err(Silence::OtherServer);
            }
            _ => {}
        }
        let address = asked.unwrap_or(self.request.ciaddr);
        match self.refusal(address) {
            None => Ok(self.ack(address)),
            Some(reason) => Ok(self.nak(address, reason)),
        }
    }

    fn ack(&self, address: Ipv4Addr) -> Decision {
        let lease_ms = i64::from(self.view.network.lease_s) * 1000;
        let boot_file = self.boot_file().map(str::to_owned);
        let reply = self.lease_reply(MessageType::Ack, address);
        Decision {
            reply: Some((self.destination(), reply)),
            lease: Some(self.lease(address, LeaseState::Bound, lease_ms)),
            steps: vec![BootStep::Ack { client: self.client, address, boot_file }],
        }
    }

    fn nak(&self, asked: Ipv4Addr, reason: &str) -> Decision {
        let to = if self.request.giaddr.is_unspecified() {
            SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT)
        } else {
            SocketAddrV4::new(self.request.giaddr, SERVER_PORT)
        };
        let step = BootStep::Nak { asked, reason: reason.to_owned() };
        Decision { reply: Some((to, self.nak_reply(reason))), lease: None, steps: vec![step] }
    }

    fn inform(&self) -> Decision {
        let step = BootStep::Inform { client: self.client };
        let reply = self.inform_reply();
        Decision { reply: Some((self.destination(), reply)), lease: None, steps: vec![step] }
    }

    fn decline(&self) -> Decision {
        let asked = self.request.address_option(option::REQUESTED_ADDRESS);
        let address = asked.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let own = self.holds(address);
        Decision {
            lease: own.then(|| self.lease(address, LeaseState::Declined, DECLINE_MS)),
            ..Decision::step(BootStep::Declined { address })
        }
    }

    fn release(&self) -> Decision {
        let address = self.request.ciaddr;
        let own = self.holds(address);
        Decision {
            lease: own.then(|| self.lease(address, LeaseState::Released, 0)),
            ..Decision::step(BootStep::Released { address })
        }
    }

    fn lease(&self, address: Ipv4Addr, state: LeaseState, lasts_ms: i64) -> Lease {
        Lease {
            address,
            mac: self.request.mac,
            state,
            until_ms: self.view.now_ms.saturating_add(lasts_ms),
            host_name: self.request.text_option(option::HOST_NAME),
        }
    }

    /// Clients without an address hear broadcasts only; sending to an address that its owner does
    /// not answer ARP for yet would need raw frames, and every PXE firmware takes broadcasts.
    fn destination(&self) -> SocketAddrV4 {
        let Request { giaddr, ciaddr, .. } = *self.request;
        if !giaddr.is_unspecified() {
            SocketAddrV4::new(giaddr, SERVER_PORT)
        } else if !ciaddr.is_unspecified() {
            SocketAddrV4::new(ciaddr, CLIENT_PORT)
        } else {
            SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT)
        }
    }

    /// The name of what the client shall load.
    fn boot_file(&self) -> Option<&str> {
        let files = self.view.boot_files;
        match self.client {
            ClientKind::BiosPxe => Some(&files.bios),
            ClientKind::UefiX64Pxe => Some(&files.uefi_x64),
            ClientKind::Ipxe { http: true, .. } => Some(&files.script),
            ClientKind::Ipxe { http: false, .. } => Some(&files.script_without_http),
            ClientKind::OtherFirmware { .. } | ClientKind::System => None,
        }
    }
}

#[cfg(test)]
mod tests;
