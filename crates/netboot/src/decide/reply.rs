//! The replies: which options each carries.

use super::{Case, ClientKind};
use crate::dhcp::wire::{MessageType, Reply, Request, option};
use hostwright_model::ids::MachineName;
use std::net::Ipv4Addr;

/// Option 43 for PXE firmware: discovery control (6) with bit 3, "take the boot file of this
/// offer and look for no boot server"; without it some firmware waits for a menu.
const PXE_NO_DISCOVERY: [u8; 4] = [6, 1, 8, 255];

impl Case<'_> {
    /// An OFFER or ACK that gives `address`.
    pub(super) fn lease_reply(&self, message_type: MessageType, address: Ipv4Addr) -> Reply {
        let lease_s = self.view.network.lease_s;
        let mut reply = self.base_reply(message_type);
        reply.yiaddr = address;
        for (code, seconds) in [
            (option::LEASE_TIME, lease_s),
            (option::RENEWAL_TIME, lease_s / 2),
            (option::REBINDING_TIME, lease_s / 8 * 7),
        ] {
            reply.options.push((code, seconds.to_be_bytes().to_vec()));
        }
        self.add_settings(&mut reply);
        self.add_boot_file(&mut reply);
        self.echo_last(&mut reply);
        reply
    }

    /// An ACK to an INFORM: settings, but neither an address nor a lease.
    pub(super) fn inform_reply(&self) -> Reply {
        let mut reply = self.base_reply(MessageType::Ack);
        self.add_settings(&mut reply);
        self.add_boot_file(&mut reply);
        self.echo_last(&mut reply);
        reply
    }

    /// A NAK, which a relay must broadcast (RFC 2131 section 4.3.2).
    pub(super) fn nak_reply(&self, reason: &str) -> Reply {
        let mut reply = self.base_reply(MessageType::Nak);
        reply.ciaddr = Ipv4Addr::UNSPECIFIED;
        if !reply.giaddr.is_unspecified() {
            reply.flags |= 0x8000;
        }
        reply.options.push((option::MESSAGE, reason.as_bytes().to_vec()));
        self.echo_last(&mut reply);
        reply
    }

    fn base_reply(&self, message_type: MessageType) -> Reply {
        let Request { xid, flags, ciaddr, giaddr, mac, .. } = *self.request;
        let server = self.view.network.server_address.octets().to_vec();
        Reply {
            message_type,
            xid,
            flags,
            ciaddr,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr,
            mac,
            file: String::new(),
            options: vec![(option::SERVER_ID, server)],
        }
    }

    fn add_settings(&self, reply: &mut Reply) {
        let network = self.view.network;
        let options = &mut reply.options;
        options.push((option::SUBNET_MASK, network.subnet.mask().octets().to_vec()));
        options.push((option::BROADCAST, network.subnet.broadcast().octets().to_vec()));
        if let Some(router) = network.router {
            options.push((option::ROUTER, router.octets().to_vec()));
        }
        if !network.dns.is_empty() {
            let servers = network.dns.iter().flat_map(|server| server.octets()).collect();
            options.push((option::DNS, servers));
        }
        if let Some(domain) = &network.domain {
            options.push((option::DOMAIN, domain.as_bytes().to_vec()));
        }
        if let Some(name) = self.machine.as_ref().and_then(|machine| host_name(&machine.name)) {
            options.push((option::HOST_NAME, name));
        }
    }

    /// Both the fixed field and the options: some firmware reads only the one, some only the other.
    fn add_boot_file(&self, reply: &mut Reply) {
        let Some(file) = self.boot_file() else { return };
        let server = self.view.network.server_address;
        reply.siaddr = server;
        file.clone_into(&mut reply.file);
        reply.options.push((option::TFTP_SERVER, server.to_string().into_bytes()));
        reply.options.push((option::BOOT_FILE, file.as_bytes().to_vec()));
        // iPXE takes "PXEClient" in an answer for a boot menu service and would wait for it.
        if matches!(self.client, ClientKind::BiosPxe | ClientKind::UefiX64Pxe) {
            reply.options.push((option::VENDOR_CLASS, b"PXEClient".to_vec()));
            reply.options.push((option::VENDOR_SPECIFIC, PXE_NO_DISCOVERY.to_vec()));
        }
    }

    /// What the client gets back as it sent it: its UUID (RFC 4578), its identifier (RFC 6842),
    /// and at the very end what the relay added (RFC 3046).
    fn echo_last(&self, reply: &mut Reply) {
        let mut codes = vec![option::CLIENT_ID, option::RELAY_AGENT];
        if self.client.is_boot_client() {
            codes.insert(0, option::CLIENT_UUID);
        }
        for code in codes {
            if let Some(value) = self.request.option(code) {
                reply.options.push((code, value.to_vec()));
            }
        }
    }
}

/// The host name for a machine: its name up to the first dot, if that can be one.
fn host_name(name: &MachineName) -> Option<Vec<u8>> {
    let host = name.as_str().split('.').next()?;
    let fits = (1..=63).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then(|| host.as_bytes().to_vec())
}
