//! DHCPv4 messages on the wire (RFC 2131, 2132): a reader that nothing can upset, and a writer.
//!
//! ```text
//!   0 op  1 htype  2 hlen  3 hops  4 xid     8 secs   10 flags
//!  12 ciaddr  16 yiaddr  20 siaddr  24 giaddr  28 chaddr (16 bytes)
//!  44 sname (64)  108 file (128)  236 magic 63 82 53 63
//! 240 options: code, length, value …  0 pads, 255 ends
//! ```
//!
//! The reader is our own because firmware sends broken options: a codec that drops all that
//! follows the first bad one loses the architecture and with it the machine.

use hostwright_model::ids::MacAddr;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use thiserror::Error;

/// Option codes, by the names of RFC 2132 and, from 77 on, RFC 3004, 3046, 4578 and iPXE.
pub mod option {
    #![allow(missing_docs, reason = "the names say it")]
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN: u8 = 15;
    pub const BROADCAST: u8 = 28;
    pub const VENDOR_SPECIFIC: u8 = 43;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const MESSAGE: u8 = 56;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_ID: u8 = 61;
    pub const TFTP_SERVER: u8 = 66;
    pub const BOOT_FILE: u8 = 67;
    pub const USER_CLASS: u8 = 77;
    pub const RELAY_AGENT: u8 = 82;
    pub const CLIENT_ARCHITECTURE: u8 = 93;
    pub const CLIENT_UUID: u8 = 97;
    pub const IPXE: u8 = 175;
}

const MAGIC: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const FIXED_BYTES: usize = 236;
/// Old relays and firmware drop shorter messages (RFC 1542 section 2.1).
const MIN_REPLY_BYTES: usize = 300;
const PAD: u8 = 0;
const END: u8 = 255;

/// What a message is (option 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of RFC 2131")]
pub enum MessageType {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Decline = 4,
    Ack = 5,
    Nak = 6,
    Release = 7,
    Inform = 8,
}

impl MessageType {
    fn from_client(code: u8) -> Option<Self> {
        let known = [Self::Discover, Self::Request, Self::Decline, Self::Release, Self::Inform];
        known.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// Why a datagram is not a request that we could answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// Shorter than the fixed part.
    #[error("{0} bytes are too short for a DHCP message")]
    Short(usize),
    /// A reply, sent by some server.
    #[error("the message is a reply")]
    Reply,
    /// BOOTP, or something else altogether.
    #[error("the message lacks DHCP's magic number")]
    Magic,
    /// Not Ethernet, or an address that no interface has.
    #[error("the hardware address is not that of an Ethernet interface")]
    HardwareAddress,
    /// Option 53 is missing or names nothing that a client sends.
    #[error("the message type is missing, or not one that clients send")]
    MessageType,
}

/// A request, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it is.
    pub message_type: MessageType,
    /// The client's number for its conversation.
    pub xid: u32,
    /// Bit 15: the client cannot receive unicast yet.
    pub flags: u16,
    /// The address the client uses already, or 0.0.0.0.
    pub ciaddr: Ipv4Addr,
    /// The relay that passed it on, or 0.0.0.0.
    pub giaddr: Ipv4Addr,
    /// The client's interface.
    pub mac: MacAddr,
    options: BTreeMap<u8, Vec<u8>>,
}

impl Request {
    /// Reads a datagram. Options after one that is cut short are lost, all others are kept.
    pub fn decode(datagram: &[u8]) -> Result<Self, WireError> {
        let (fixed, rest) =
            datagram.split_at_checked(FIXED_BYTES).ok_or(WireError::Short(datagram.len()))?;
        if fixed[0] != 1 {
            return Err(WireError::Reply);
        }
        let area = rest.strip_prefix(&MAGIC).ok_or(WireError::Magic)?;
        let mac = hardware_address(fixed).ok_or(WireError::HardwareAddress)?;
        let mut options = BTreeMap::new();
        read_options(area, &mut options);
        // Option overload: the server-name and file fields hold options too (RFC 2131 4.1).
        let overload = options.get(&option::OVERLOAD).and_then(|value| value.first().copied());
        if matches!(overload, Some(1 | 3)) {
            read_options(&fixed[108..236], &mut options);
        }
        if matches!(overload, Some(2 | 3)) {
            read_options(&fixed[44..108], &mut options);
        }
        let code = options.get(&option::MESSAGE_TYPE).and_then(|value| value.first().copied());
        let message_type = code.and_then(MessageType::from_client).ok_or(WireError::MessageType)?;
        Ok(Self {
            message_type,
            xid: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            flags: u16::from_be_bytes([fixed[10], fixed[11]]),
            ciaddr: address_at(fixed, 12),
            giaddr: address_at(fixed, 24),
            mac,
            options,
        })
    }

    /// The value of an option; parts of a long one (RFC 3396) are joined.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.get(&code).map(Vec::as_slice)
    }

    /// The value of an option that holds one address.
    pub fn address_option(&self, code: u8) -> Option<Ipv4Addr> {
        let bytes: [u8; 4] = self.option(code)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes))
    }

    /// The value of an option that holds text, without what terminals could not show.
    pub fn text_option(&self, code: u8) -> Option<String> {
        let text = String::from_utf8_lossy(self.option(code)?).into_owned();
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        (!text.is_empty()).then_some(text)
    }
}

fn address_at(fixed: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3])
}

fn hardware_address(fixed: &[u8]) -> Option<MacAddr> {
    const ETHERNET: u8 = 1;
    const IEEE_802: u8 = 6;
    if !matches!(fixed[1], ETHERNET | IEEE_802) || fixed[2] != 6 {
        return None;
    }
    let mac: [u8; 6] = fixed[28..34].try_into().ok()?;
    let group_address = mac[0] & 1 == 1;
    (mac != [0; 6] && !group_address).then_some(MacAddr(mac))
}

fn read_options(mut area: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) {
    loop {
        match *area {
            [PAD, ref rest @ ..] => area = rest,
            [code, length, ref rest @ ..] if code != END => {
                let Some((value, rest)) = rest.split_at_checked(usize::from(length)) else {
                    return;
                };
                options.entry(code).or_default().extend_from_slice(value);
                area = rest;
            }
            _ => return,
        }
    }
}

/// A reply, to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it is.
    pub message_type: MessageType,
    /// As in the request.
    pub xid: u32,
    /// As in the request.
    pub flags: u16,
    /// As in the request.
    pub ciaddr: Ipv4Addr,
    /// The client's address.
    pub yiaddr: Ipv4Addr,
    /// The server to load the boot file from.
    pub siaddr: Ipv4Addr,
    /// As in the request.
    pub giaddr: Ipv4Addr,
    /// As in the request.
    pub mac: MacAddr,
    /// The boot file's name, at most 127 bytes; empty for none.
    pub file: String,
    /// Options beside the message type, in order.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Reply {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; FIXED_BYTES];
        bytes[..3].copy_from_slice(&[2, 1, 6]);
        bytes[4..8].copy_from_slice(&self.xid.to_be_bytes());
        bytes[10..12].copy_from_slice(&self.flags.to_be_bytes());
        let addresses =
            [(12, self.ciaddr), (16, self.yiaddr), (20, self.siaddr), (24, self.giaddr)];
        for (at, address) in addresses {
            bytes[at..at + 4].copy_from_slice(&address.octets());
        }
        bytes[28..34].copy_from_slice(&self.mac.0);
        let file_bytes = self.file.len().min(127);
        bytes[108..108 + file_bytes].copy_from_slice(&self.file.as_bytes()[..file_bytes]);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[option::MESSAGE_TYPE, 1, self.message_type as u8]);
        for (code, value) in &self.options {
            write_option(&mut bytes, *code, value);
        }
        bytes.push(END);
        bytes.resize(bytes.len().max(MIN_REPLY_BYTES), PAD);
        bytes
    }
}

/// Values over 255 bytes are split as RFC 3396 says.
fn write_option(bytes: &mut Vec<u8>, code: u8, value: &[u8]) {
    for part in value.chunks(255) {
        bytes.push(code);
        bytes.push(u8::try_from(part.len()).expect("invariant: chunks of at most 255 bytes"));
        bytes.extend_from_slice(part);
    }
}
