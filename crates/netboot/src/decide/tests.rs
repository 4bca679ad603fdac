//! Conversations with the pure core: what each kind of client is told, and when it is told nothing.

use super::*;
use crate::dhcp::{DhcpConfig, Pool};
use hostwright_model::ids::{MacAddr, MachineName};
use std::collections::BTreeMap;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FIXED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);
const WEB01: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);
const WEB01_SECOND: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 2]);
const ROAMER: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 3]);
const STRANGER: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 9]);

/// The machines `web01` (fixed address, two interfaces) and `roamer` (pool).
struct Known;

impl Machines for Known {
    fn machine(&self, mac: MacAddr) -> Option<KnownMachine> {
        let machine = |name, address| Some(KnownMachine { name: MachineName::new(name), address });
        match mac {
            WEB01 | WEB01_SECOND => machine("web01", Some(FIXED)),
            ROAMER => machine("roamer", None),
            _ => None,
        }
    }

    fn is_reserved(&self, address: Ipv4Addr) -> bool {
        address == FIXED
    }
}

/// A server with its leases, and a clock that the test sets.
struct World {
    config: DhcpConfig,
    leases: Leases,
    now_ms: i64,
}

impl World {
    fn new() -> Self {
        let config = DhcpConfig {
            interface: "br0".into(),
            server_address: SERVER,
            subnet: "10.0.0.0/24".parse().unwrap(),
            pool: "10.0.0.100-10.0.0.101".parse().ok(),
            router: Some(Ipv4Addr::new(10, 0, 0, 254)),
            dns: vec![Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)],
            domain: Some("example.org".into()),
            lease_s: 600,
            unknown: Unknown::Ignore,
        };
        Self { config, leases: Leases::default(), now_ms: 1_000_000 }
    }

    fn hear(&mut self, packet: &Packet) -> Decision {
        let request = Request::decode(&packet.bytes()).expect("well-formed");
        let boot_files = BootFileNames {
            bios: "undionly.kpxe".into(),
            uefi_x64: "snponly.efi".into(),
            script: "boot.ipxe".into(),
            script_without_http: "no-http.ipxe".into(),
        };
        let network = Network::new(self.config.clone()).expect("sound");
        let view = View {
            network: &network,
            boot_files: &boot_files,
            machines: &Known,
            leases: &self.leases,
            now_ms: self.now_ms,
        };
        let decision = answer(&request, &view);
        if let Some(lease) = &decision.lease {
            self.leases.record(lease.clone());
        }
        decision
    }

    fn reply(&mut self, packet: &Packet) -> Reply {
        let decision = self.hear(packet);
        decision.reply.unwrap_or_else(|| panic!("silence: {:?}", decision.steps)).1
    }

    fn silence(&mut self, packet: &Packet) -> Silence {
        match self.hear(packet).steps.as_slice() {
            [BootStep::Ignored { reason, .. }] => *reason,
            other => panic!("{other:?}"),
        }
    }

    /// DISCOVER and REQUEST, as a client without a past does it.
    fn boot(&mut self, mac: MacAddr) -> Ipv4Addr {
        let offer = self.reply(&Packet::discover(mac));
        let ack = self.reply(&Packet::select(mac, offer.yiaddr));
        assert_eq!((ack.message_type, ack.yiaddr), (MessageType::Ack, offer.yiaddr));
        ack.yiaddr
    }
}

/// A request under construction.
#[derive(Clone)]
struct Packet {
    mac: MacAddr,
    ciaddr: Ipv4Addr,
    giaddr: Ipv4Addr,
    options: BTreeMap<u8, Vec<u8>>,
}

impl Packet {
    fn new(mac: MacAddr, message_type: MessageType) -> Self {
        let options = BTreeMap::from([(option::MESSAGE_TYPE, vec![message_type as u8])]);
        Self { mac, ciaddr: Ipv4Addr::UNSPECIFIED, giaddr: Ipv4Addr::UNSPECIFIED, options }
    }

    fn discover(mac: MacAddr) -> Self {
        Self::new(mac, MessageType::Discover)
    }

    fn select(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self::reclaim(mac, address).with(option::SERVER_ID, &SERVER.octets())
    }

    /// INIT-REBOOT.
    fn reclaim(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self::new(mac, MessageType::Request).with(option::REQUESTED_ADDRESS, &address.octets())
    }

    fn renew(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self { ciaddr: address, ..Self::new(mac, MessageType::Request) }
    }

    fn with(mut self, code: u8, value: &[u8]) -> Self {
        self.options.insert(code, value.to_vec());
        self
    }

    fn firmware(self, architecture: u8) -> Self {
        self.with(option::VENDOR_CLASS, b"PXEClient:Arch:00000:UNDI:002001")
            .with(option::CLIENT_ARCHITECTURE, &[0, architecture])
            .with(option::CLIENT_UUID, &[0; 17])
    }

    fn ipxe(self, features: &[u8]) -> Self {
        self.firmware(0).with(option::USER_CLASS, b"iPXE").with(option::IPXE, features)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 236];
        bytes[..8].copy_from_slice(&[1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef]);
        bytes[12..16].copy_from_slice(&self.ciaddr.octets());
        bytes[24..28].copy_from_slice(&self.giaddr.octets());
        bytes[28..34].copy_from_slice(&self.mac.0);
        bytes.extend_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        for (code, value) in &self.options {
            bytes.extend_from_slice(&[*code, u8::try_from(value.len()).unwrap()]);
            bytes.extend_from_slice(value);
        }
        bytes.push(255);
        bytes
    }
}

fn option_of(reply: &Reply, code: u8) -> Option<&[u8]> {
    reply.options.iter().find(|(found, _)| *found == code).map(|(_, value)| value.as_slice())
}

#[test]
fn a_known_machine_gets_its_fixed_address_and_everything_about_the_network() {
    let mut world = World::new();
    assert_eq!(world.boot(WEB01), FIXED);
    let reply = world.reply(&Packet::discover(WEB01).with(option::CLIENT_ID, b"\x01abc"));
    for (code, value) in [
        (option::SERVER_ID, &SERVER.octets()[..]),
        (option::SUBNET_MASK, &[255, 255, 255, 0]),
        (option::ROUTER, &[10, 0, 0, 254]),
        (option::DNS, &[10, 0, 0, 2, 10, 0, 0, 3]),
        (option::DOMAIN, b"example.org"),
        (option::HOST_NAME, b"web01"),
        (option::LEASE_TIME, &600_u32.to_be_bytes()),
        (option::RENEWAL_TIME, &300_u32.to_be_bytes()),
        (option::REBINDING_TIME, &525_u32.to_be_bytes()),
        (option::CLIENT_ID, b"\x01abc"),
    ] {
        assert_eq!(option_of(&reply, code), Some(value), "option {code}");
    }
    assert_eq!(option_of(&reply, option::BOOT_FILE), None, "a running system boots nothing");
}

#[test]
fn each_kind_of_client_is_told_what_it_can_load() {
    const HTTP: &[u8] = &[177, 1, 0, 19, 1, 1, 33, 1, 1];
    let discover = || Packet::discover(WEB01);
    let cases = [
        (discover().firmware(0), Some("undionly.kpxe")),
        (discover().firmware(7), Some("snponly.efi")),
        (discover().firmware(9), Some("snponly.efi")),
        (discover().firmware(11), None),
        (discover().with(option::VENDOR_CLASS, b"PXEClient:Arch:00007:UNDI"), Some("snponly.efi")),
        (discover().with(option::VENDOR_CLASS, b"HTTPClient:Arch:00016"), None),
        (discover().ipxe(HTTP), Some("boot.ipxe")),
        (discover().ipxe(&[33, 1, 1]), Some("no-http.ipxe")),
        (discover().ipxe(&[19, 200, 1]), Some("no-http.ipxe")),
        (discover().ipxe(HTTP).with(option::USER_CLASS, b"\x04iPXE"), Some("boot.ipxe")),
        (discover().firmware(0).with(option::USER_CLASS, b"gPXE"), Some("undionly.kpxe")),
        (discover().with(option::VENDOR_CLASS, b"udhcp 1.35"), None),
    ];
    for (packet, file) in cases {
        let reply = World::new().reply(&packet);
        assert_eq!(reply.file, file.unwrap_or_default(), "{:?}", packet.options);
        assert_eq!(option_of(&reply, option::BOOT_FILE), file.map(str::as_bytes));
        assert_eq!(reply.siaddr.is_unspecified(), file.is_none());
    }
}

#[test]
fn firmware_is_told_to_look_for_no_other_boot_server() {
    let reply = World::new().reply(&Packet::discover(WEB01).firmware(7));
    assert_eq!(option_of(&reply, option::VENDOR_CLASS), Some(&b"PXEClient"[..]));
    assert_eq!(option_of(&reply, option::VENDOR_SPECIFIC), Some(&[6, 1, 8, 255][..]));
    assert_eq!(option_of(&reply, option::CLIENT_UUID), Some(&[0; 17][..]));
}

#[test]
fn an_unknown_machine_is_served_only_if_that_is_configured() {
    let mut world = World::new();
    assert_eq!(world.silence(&Packet::discover(STRANGER)), Silence::Unknown);
    assert_eq!(world.silence(&Packet::reclaim(STRANGER, FIXED)), Silence::Unknown, "no NAK either");
    world.config.unknown = Unknown::Lease;
    assert_eq!(world.boot(STRANGER), Ipv4Addr::new(10, 0, 0, 100));
}

#[test]
fn an_offer_is_held_back_and_expires() {
    let mut world = World::new();
    world.config.unknown = Unknown::Lease;
    let first = world.reply(&Packet::discover(ROAMER)).yiaddr;
    let second = world.reply(&Packet::discover(STRANGER)).yiaddr;
    assert_ne!(first, second);
    let third = MacAddr([2, 0, 0, 0, 0, 7]);
    assert_eq!(world.silence(&Packet::discover(third)), Silence::PoolExhausted);
    world.now_ms += OFFER_MS;
    assert!(
        world.config.pool.is_some_and(|pool: Pool| {
            pool.contains(world.reply(&Packet::discover(third)).yiaddr)
        })
    );
}

#[test]
fn a_machine_gets_the_same_address_again() {
    let mut world = World::new();
    world.config.unknown = Unknown::Lease;
    let address = world.boot(ROAMER);
    world.now_ms += 601_000;
    assert_ne!(world.boot(STRANGER), address, "an unused address goes before an expired one");
    assert_eq!(world.boot(ROAMER), address);
    world.hear(&Packet { ciaddr: address, ..Packet::new(ROAMER, MessageType::Release) });
    assert_eq!(world.leases.of_address(address).unwrap().state, LeaseState::Released);
    assert_eq!(world.boot(ROAMER), address);
}

#[test]
fn a_lease_is_renewed_by_whoever_holds_it() {
    let mut world = World::new();
    let address = world.boot(ROAMER);
    world.now_ms += 300_000;
    let decision = world.hear(&Packet::renew(ROAMER, address));
    let (to, ack) = decision.reply.expect("an answer");
    assert_eq!((to, ack.message_type), (SocketAddrV4::new(address, 68), MessageType::Ack));
    assert_eq!(decision.lease.unwrap().until_ms, world.now_ms + 600_000);
    // The server forgot everything; the machine still uses its address.
    world.leases = Leases::default();
    assert_eq!(world.reply(&Packet::renew(ROAMER, address)).message_type, MessageType::Ack);
}

#[test]
fn a_wrong_address_is_refused_and_a_right_one_reclaimed() {
    let mut world = World::new();
    world.config.unknown = Unknown::Lease;
    let taken = world.boot(STRANGER);
    for (mac, asked) in [
        (WEB01, Ipv4Addr::new(10, 0, 0, 101)),
        (WEB01, Ipv4Addr::new(192, 168, 1, 5)),
        (ROAMER, FIXED),
        (ROAMER, taken),
        (ROAMER, Ipv4Addr::new(10, 0, 0, 7)),
    ] {
        let decision = world.hear(&Packet::reclaim(mac, asked));
        let (to, nak) = decision.reply.expect("an answer");
        assert_eq!(nak.message_type, MessageType::Nak, "{mac} asked for {asked}");
        assert_eq!(*to.ip(), Ipv4Addr::BROADCAST);
        assert!(nak.yiaddr.is_unspecified() && decision.lease.is_none());
    }
    let free = Ipv4Addr::new(10, 0, 0, 101);
    assert_eq!(world.reply(&Packet::reclaim(ROAMER, free)).message_type, MessageType::Ack);
    assert_eq!(world.reply(&Packet::reclaim(WEB01, FIXED)).message_type, MessageType::Ack);
}

#[test]
fn the_offer_of_another_server_is_left_alone() {
    let packet = Packet::select(WEB01, FIXED).with(option::SERVER_ID, &[10, 0, 0, 9]);
    assert_eq!(World::new().silence(&packet), Silence::OtherServer);
}

#[test]
fn a_declined_address_is_left_alone_for_a_while() {
    let mut world = World::new();
    let address = world.boot(ROAMER);
    let decline =
        Packet::reclaim(ROAMER, address).with(option::MESSAGE_TYPE, &[MessageType::Decline as u8]);
    assert!(world.hear(&decline).reply.is_none());
    assert_ne!(world.boot(ROAMER), address);
    let stranger = Packet { mac: STRANGER, ..decline };
    assert!(world.hear(&stranger).lease.is_none(), "not its address to decline");
    world.now_ms += DECLINE_MS;
    assert!(world.leases.is_free_for(address, WEB01, world.now_ms));
}

#[test]
fn the_second_interface_of_a_machine_takes_over_while_it_boots_only() {
    let mut world = World::new();
    assert_eq!(world.boot(WEB01), FIXED);
    let firmware = world.reply(&Packet::discover(WEB01_SECOND).firmware(0));
    assert_eq!(firmware.yiaddr, FIXED, "firmware uses one interface at a time");
    let mut world = World::new();
    assert_eq!(world.boot(WEB01), FIXED);
    let system = world.reply(&Packet::discover(WEB01_SECOND));
    assert_ne!(system.yiaddr, FIXED, "a running system uses both at once");
}

#[test]
fn without_a_pool_only_fixed_addresses_are_given() {
    let mut world = World::new();
    world.config.pool = None;
    assert_eq!(world.boot(WEB01), FIXED);
    assert_eq!(world.silence(&Packet::discover(ROAMER)), Silence::NoPool);
}

#[test]
fn an_inform_is_answered_without_an_address() {
    let packet = Packet { ciaddr: FIXED, ..Packet::new(WEB01, MessageType::Inform) };
    let decision = World::new().hear(&packet);
    let (to, ack) = decision.reply.expect("an answer");
    assert_eq!(to, SocketAddrV4::new(FIXED, 68));
    assert!(ack.yiaddr.is_unspecified() && decision.lease.is_none());
    assert_eq!(option_of(&ack, option::LEASE_TIME), None);
    assert!(option_of(&ack, option::DNS).is_some());
}

#[test]
fn a_relay_gets_the_answer_and_its_option_back() {
    let relay = Ipv4Addr::new(10, 0, 0, 254);
    let packet = Packet { giaddr: relay, ..Packet::discover(WEB01) }
        .with(option::RELAY_AGENT, b"\x01\x04port");
    let mut world = World::new();
    let (to, offer) = world.hear(&packet).reply.expect("an answer");
    assert_eq!((to, offer.giaddr), (SocketAddrV4::new(relay, 67), relay));
    assert_eq!(offer.options.last(), Some(&(option::RELAY_AGENT, b"\x01\x04port".to_vec())));
    let elsewhere = Packet { giaddr: Ipv4Addr::new(10, 9, 0, 254), ..packet };
    assert_eq!(world.silence(&elsewhere), Silence::OtherNetwork);
    world.config.server_address = Ipv4Addr::new(10, 9, 0, 1);
    assert_eq!(world.silence(&Packet::discover(WEB01)), Silence::NotRelayed);
}
