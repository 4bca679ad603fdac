//! Addresses of network interfaces, asked of the kernel by a netlink dump (rtnetlink(7)).
//!
//! Neither proc nor sysfs says which address belongs to which interface.

use crate::HostError;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const RTM_GETADDR: u16 = 22;
const RTM_NEWADDR: u16 = 20;
const NLMSG_DONE: u16 = 3;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// nlmsghdr: length (4), type (2), flags (2), sequence (4), port (4).
const HEADER_BYTES: usize = 16;
/// ifaddrmsg: family (1), prefix length (1), flags (1), scope (1), index (4).
const MESSAGE_BYTES: usize = 8;

/// One address of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InterfaceAddress {
    /// The interface's number.
    pub(super) index: u32,
    /// In CIDR notation.
    pub(super) cidr: String,
}

/// Every address of every interface of this network namespace.
pub(super) fn by_interface() -> Result<Vec<InterfaceAddress>, HostError> {
    ask().map_err(|error| HostError::Probe {
        what: "the addresses of the network interfaces",
        reason: error.to_string(),
    })
}

fn ask() -> io::Result<Vec<InterfaceAddress>> {
    let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, kind, flags, None)?;
    let length = (HEADER_BYTES + MESSAGE_BYTES) as u32;
    let mut request = Vec::new();
    request.extend_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(&RTM_GETADDR.to_ne_bytes());
    request.extend_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    // Sequence and port 0, all address families, index 0.
    request.resize(length as usize, 0);
    send(&socket, &request, SendFlags::empty())?;
    let mut addresses = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (count, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if parse_messages(&buffer[..count], &mut addresses)? {
            return Ok(addresses);
        }
    }
}

/// Reads the messages of one datagram. True if the dump ends with it.
fn parse_messages(mut bytes: &[u8], found: &mut Vec<InterfaceAddress>) -> io::Result<bool> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "a netlink message is too short");
    while !bytes.is_empty() {
        let length = u32_at(bytes, 0).ok_or_else(broken)? as usize;
        let message = bytes.get(..length).filter(|m| m.len() >= HEADER_BYTES).ok_or_else(broken)?;
        match u16_at(message, 4).ok_or_else(broken)? {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = u32_at(message, HEADER_BYTES).ok_or_else(broken)?;
                return Err(io::Error::from_raw_os_error((code as i32).wrapping_neg()));
            }
            RTM_NEWADDR => found.extend(parse_address(&message[HEADER_BYTES..])),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn parse_address(body: &[u8]) -> Option<InterfaceAddress> {
    let (prefix_bits, index) = (*body.get(1)?, u32_at(body, 4)?);
    let mut attributes = body.get(MESSAGE_BYTES..)?;
    let (mut address, mut local) = (None, None);
    while attributes.len() >= 4 {
        let length = u16_at(attributes, 0)? as usize;
        let value = attributes.get(4..length)?;
        match u16_at(attributes, 2)? {
            IFA_ADDRESS => address = ip(value),
            IFA_LOCAL => local = ip(value),
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    // On a point-to-point link IFA_ADDRESS is the other side.
    let ip = local.or(address)?;
    Some(InterfaceAddress { index, cidr: format!("{ip}/{prefix_bits}") })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
    four.ok().or_else(|| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_of_this_machine_is_found() {
        let addresses = by_interface().expect("the kernel answers");
        let loopback = InterfaceAddress { index: 1, cidr: "127.0.0.1/8".to_owned() };
        assert!(addresses.contains(&loopback), "{addresses:?}");
    }

    #[test]
    fn a_short_message_is_an_error_and_not_an_endless_loop() {
        assert!(parse_messages(&[0; 16], &mut Vec::new()).is_err());
        assert!(parse_messages(&[40, 0, 0, 0], &mut Vec::new()).is_err());
    }
}
