//! DHCP messages against chance, and against dhcproto as an independent reader.

use dhcproto::v4::{DhcpOption, Message, OptionCode};
use dhcproto::{Decodable, Decoder};
use hostwright_model::ids::{MacAddr, MachineName};
use hostwright_netboot::decide::{BootFileNames, Leases, View, answer};
use hostwright_netboot::dhcp::wire::{Reply, Request, option};
use hostwright_netboot::dhcp::{DhcpConfig, Network, Unknown};
use hostwright_netboot::{KnownMachine, Machines};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::Ipv4Addr;

struct Everyone;

impl Machines for Everyone {
    fn machine(&self, mac: MacAddr) -> Option<KnownMachine> {
        let address = (mac.0[5] < 128).then(|| Ipv4Addr::new(10, 0, 0, mac.0[5] | 2));
        Some(KnownMachine { name: MachineName::new("web01"), address })
    }

    fn is_reserved(&self, address: Ipv4Addr) -> bool {
        address.octets()[3] < 128
    }
}

fn network() -> Network {
    Network::new(DhcpConfig {
        interface: "br0".into(),
        server_address: Ipv4Addr::new(10, 0, 0, 1),
        subnet: "10.0.0.0/24".parse().expect("a subnet"),
        pool: "10.0.0.200-10.0.0.210".parse().ok(),
        router: None,
        dns: vec![Ipv4Addr::new(10, 0, 0, 2)],
        domain: Some("example.org".into()),
        lease_s: 3600,
        unknown: Unknown::Lease,
    })
    .expect("sound")
}

/// What the server would send for `datagram`, and what it would record.
fn reply_to(datagram: &[u8], leases: &mut Leases) -> Option<Reply> {
    let request = Request::decode(datagram).ok()?;
    let boot_files = BootFileNames {
        bios: "undionly.kpxe".into(),
        uefi_x64: "snponly.efi".into(),
        script: "boot.ipxe".into(),
        script_without_http: "no-http.ipxe".into(),
    };
    let network = network();
    let view = View {
        network: &network,
        boot_files: &boot_files,
        machines: &Everyone,
        leases,
        now_ms: 1_000_000,
    };
    let decision = answer(&request, &view);
    if let Some(lease) = decision.lease {
        leases.record(lease);
    }
    decision.reply.map(|(_, reply)| reply)
}

/// The fixed part of a request of the interface 52:54:00:00:00:xx, with `options`.
fn request(last_byte: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..3].copy_from_slice(&[1, 1, 6]);
    bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 0, 0, last_byte]);
    bytes.extend_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    bytes.extend_from_slice(options);
    bytes
}

/// Options of the kinds that decide something, with any content.
fn any_option() -> impl Strategy<Value = Vec<u8>> {
    let codes = [12_u8, 43, 50, 52, 53, 54, 55, 57, 60, 61, 77, 82, 93, 97, 175];
    (prop::sample::select(codes.to_vec()), vec(any::<u8>(), 0..40)).prop_map(|(code, value)| {
        [&[code, u8::try_from(value.len()).expect("short")], value.as_slice()].concat()
    })
}

proptest! {
    #[test]
    fn no_datagram_panics(datagram in vec(any::<u8>(), 0..1600)) {
        reply_to(&datagram, &mut Leases::default());
    }

    #[test]
    fn no_request_panics_and_every_reply_is_well_formed(
        last_byte in any::<u8>(),
        message_type in 1_u8..9,
        options in vec(any_option(), 0..12),
        tail in vec(any::<u8>(), 0..20),
        fixed in vec((3_usize..236, any::<u8>()), 0..6),
    ) {
        let options = [&[53, 1, message_type], options.concat().as_slice(), &tail].concat();
        let mut datagram = request(last_byte, &options);
        for (at, value) in fixed {
            datagram[at] = value;
        }
        let mut leases = Leases::default();
        for _ in 0..2 {
            if let Some(reply) = reply_to(&datagram, &mut leases) {
                let bytes = reply.encode();
                let read = Message::decode(&mut Decoder::new(&bytes)).expect("dhcproto reads it");
                prop_assert_eq!(read.yiaddr(), reply.yiaddr);
                prop_assert_eq!(read.chaddr(), &reply.mac.0[..]);
                prop_assert!(read.opts().has_msg_type(dhcproto::v4::MessageType::Offer)
                    || read.opts().has_msg_type(dhcproto::v4::MessageType::Ack)
                    || read.opts().has_msg_type(dhcproto::v4::MessageType::Nak));
            }
        }
    }
}

#[test]
fn dhcproto_reads_an_offer_as_it_was_meant() {
    let options = b"\x35\x01\x01\x3c\x09PXEClient\x5d\x02\x00\x07\x61\x11\x00UUIDUUIDUUIDUUID\xff";
    let reply = reply_to(&request(10, options), &mut Leases::default()).expect("an offer");
    let bytes = reply.encode();
    assert!(bytes.len() >= 300, "old relays drop shorter messages");
    let read = Message::decode(&mut Decoder::new(&bytes)).expect("well-formed");
    assert_eq!(read.yiaddr(), Ipv4Addr::new(10, 0, 0, 10));
    assert_eq!(read.siaddr(), Ipv4Addr::new(10, 0, 0, 1));
    assert!(read.fname().is_some_and(|name| name.starts_with(b"snponly.efi\0")));
    let options = read.opts();
    let expect = |code, option| assert_eq!(options.get(code), Some(&option));
    expect(OptionCode::SubnetMask, DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)));
    expect(OptionCode::AddressLeaseTime, DhcpOption::AddressLeaseTime(3600));
    expect(OptionCode::Hostname, DhcpOption::Hostname("web01".into()));
    expect(OptionCode::BootfileName, DhcpOption::BootfileName(b"snponly.efi".to_vec()));
    expect(OptionCode::TFTPServerName, DhcpOption::TFTPServerName(b"10.0.0.1".to_vec()));
    expect(OptionCode::ClassIdentifier, DhcpOption::ClassIdentifier(b"PXEClient".to_vec()));
}

/// A codec that stops at the first bad option would lose the architecture behind it.
#[test]
fn a_broken_option_hides_none_of_the_others() {
    let options = [
        &[53, 1, 1][..],
        &[option::REQUESTED_ADDRESS, 3, 1, 2, 3],
        &[option::VENDOR_CLASS, 9],
        b"PXEClient",
        &[option::CLIENT_ARCHITECTURE, 2, 0, 7],
        &[option::HOST_NAME, 200, b'x'],
    ];
    let request = Request::decode(&request(1, &options.concat())).expect("readable");
    assert_eq!(request.address_option(option::REQUESTED_ADDRESS), None);
    assert_eq!(request.option(option::CLIENT_ARCHITECTURE), Some(&[0, 7][..]));
    assert_eq!(request.option(option::HOST_NAME), None);
}

#[test]
fn options_in_the_file_fields_and_split_options_are_read() {
    let mut datagram =
        request(1, &[53, 1, 3, option::OVERLOAD, 1, 3, 60, 3, b'P', b'X', b'E', 255]);
    datagram[108..118].copy_from_slice(&[60, 3, b'C', b'l', b'i', 12, 2, b'h', b'i', 255]);
    datagram[44..49].copy_from_slice(&[60, 3, b'e', b'n', b't']);
    let request = Request::decode(&datagram).expect("readable");
    assert_eq!(request.option(option::VENDOR_CLASS), Some(&b"PXEClient"[..]));
    assert_eq!(request.text_option(option::HOST_NAME).as_deref(), Some("hi"));
}
