//! The network of an installed system, independent of the program that will configure it.
//!
//! A network card is known by its Ethernet address and gets its name by it, so that neither the slot
//! nor the order in which drivers load decides what is connected to what. The planner makes texts of
//! it for one [`Renderer`]; nothing but those texts reaches the engine.

use crate::ids::MacAddr;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The programs whose configuration can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Renderer {
    /// `/etc/network/interfaces` (interfaces(5)).
    Ifupdown,
    /// `/etc/netplan/*.yaml` (netplan(5)).
    Netplan,
    /// `/etc/systemd/network` (systemd.network(5)).
    Networkd,
    /// Key files of NetworkManager (nm-settings-keyfile(5)).
    NetworkManager,
}

impl Renderer {
    /// All of them, the one first that is tried first where an image has several.
    pub const ALL: [Self; 4] =
        [Self::Netplan, Self::Ifupdown, Self::NetworkManager, Self::Networkd];

    /// Its name in machine files and for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ifupdown => "ifupdown",
            Self::Netplan => "netplan",
            Self::Networkd => "networkd",
            Self::NetworkManager => "networkmanager",
        }
    }
}

/// All of a system's network but for the loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Interfaces; one that another is made of comes before it.
    pub interfaces: Vec<Interface>,
    /// Where names are looked up.
    pub dns: Dns,
}

impl Network {
    /// The interface of that name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }
}

/// Where names are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Servers in the order in which they are asked.
    pub servers: Vec<IpAddr>,
    /// Domains that are put behind a bare name.
    pub search: Vec<String>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name in the installed system.
    pub name: String,
    /// What it is.
    pub kind: InterfaceKind,
    /// The Ethernet address that it is given, where it would get another by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Largest packet; the kernel's default where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu_bytes: Option<u32>,
    /// Its addresses.
    pub addressing: Addressing,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What an interface is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum InterfaceKind {
    /// A network card.
    Ethernet {
        /// The Ethernet address by which it is recognised, and its name pinned.
        matched: MacAddr,
    },
    /// Several cards used as one.
    Bond {
        /// Names of the cards.
        members: Vec<String>,
        /// How they share the work.
        mode: BondMode,
        /// Further options by the kernel's names, `miimon` = `100`, sorted.
        options: Vec<(String, String)>,
    },
    /// A VLAN (IEEE 802.1Q) on another interface.
    Vlan {
        /// Name of the interface that carries it.
        parent: String,
        /// Its number, 1 to 4094.
        id: u16,
    },
    /// A bridge.
    Bridge {
        /// Names of the interfaces in it.
        ports: Vec<String>,
        /// True for the spanning tree protocol.
        stp: bool,
    },
}

/// How a bond shares the work (the kernel's bonding documentation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BondMode {
    /// Round robin.
    BalanceRr,
    /// One at a time.
    ActiveBackup,
    /// By a hash of the addresses.
    BalanceXor,
    /// Everything on all.
    Broadcast,
    /// LACP.
    #[serde(rename = "802.3ad")]
    Lacp,
    /// By load, sending only.
    BalanceTlb,
    /// By load, both ways.
    BalanceAlb,
}

impl BondMode {
    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BalanceRr => "balance-rr",
            Self::ActiveBackup => "active-backup",
            Self::BalanceXor => "balance-xor",
            Self::Broadcast => "broadcast",
            Self::Lacp => "802.3ad",
            Self::BalanceTlb => "balance-tlb",
            Self::BalanceAlb => "balance-alb",
        }
    }
}

/// How an interface gets its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Addressing {
    /// True for DHCP for IPv4.
    pub dhcp4: bool,
    /// True for DHCP for IPv6.
    pub dhcp6: bool,
    /// Whether router advertisements are heeded; the renderer's default where it says nothing.
    pub accept_ra: Option<bool>,
    /// Static addresses.
    pub addresses: Vec<IpNet>,
    /// Static routes, default routes included.
    pub routes: Vec<Route>,
}

impl Addressing {
    /// True if the interface has no addresses of its own.
    pub fn is_none(&self) -> bool {
        !self.dhcp4 && !self.dhcp6 && self.addresses.is_empty() && self.accept_ra != Some(true)
    }

    /// The gateway of the default route of one family.
    pub fn gateway(&self, v6: bool) -> Option<IpAddr> {
        let is_default = |route: &&Route| route.to.is_default() && route.to.ip.is_ipv6() == v6;
        self.routes.iter().find(is_default).and_then(|route| route.via)
    }
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where to; `0.0.0.0/0` or `::/0` for everything else.
    pub to: IpNet,
    /// The router; `None` for what is on the link itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The smaller one wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

/// An address with the length of its network's prefix, written `192.0.2.7/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNet {
    /// The address.
    pub ip: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
}

impl IpNet {
    /// An address in a network of `prefix` bits; `None` if the family has fewer.
    pub fn new(ip: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= Self::bits(ip)).then_some(Self { ip, prefix })
    }

    /// From a netmask such as 255.255.255.0; `None` if its ones are not all in front.
    pub fn from_mask(ip: IpAddr, mask: IpAddr) -> Option<Self> {
        let (value, bits) = match (ip, mask) {
            (IpAddr::V4(_), IpAddr::V4(mask)) => (u128::from(mask.to_bits()) << 96, 32),
            (IpAddr::V6(_), IpAddr::V6(mask)) => (mask.to_bits(), 128),
            _ => return None,
        };
        let prefix = value.leading_ones();
        (value == mask_of(prefix as u8) && prefix <= bits)
            .then_some(Self { ip, prefix: prefix as u8 })
    }

    /// True for the route to everything.
    pub fn is_default(&self) -> bool {
        self.prefix == 0
    }

    /// True if `other` is in this network.
    pub fn contains(&self, other: IpAddr) -> bool {
        self.ip.is_ipv6() == other.is_ipv6() && self.number(self.ip) == self.number(other)
    }

    /// The netmask as an address.
    pub fn mask(&self) -> IpAddr {
        let mask = mask_of(self.prefix);
        match self.ip {
            IpAddr::V4(_) => IpAddr::V4(((mask >> 96) as u32).into()),
            IpAddr::V6(_) => IpAddr::V6(mask.into()),
        }
    }

    /// The network that it is in: the address with its host bits cleared.
    pub fn network(&self) -> Self {
        let number = self.number(self.ip);
        let ip = match self.ip {
            IpAddr::V4(_) => IpAddr::V4(((number >> 96) as u32).into()),
            IpAddr::V6(_) => IpAddr::V6(number.into()),
        };
        Self { ip, prefix: self.prefix }
    }

    fn bits(ip: IpAddr) -> u8 {
        if ip.is_ipv6() { 128 } else { 32 }
    }

    /// The network's bits of an address, from the top of the number.
    fn number(&self, ip: IpAddr) -> u128 {
        let bits = match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
            IpAddr::V6(ip) => ip.to_bits(),
        };
        bits & mask_of(self.prefix)
    }
}

fn mask_of(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl FromStr for IpNet {
    type Err = crate::ids::BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(ip, prefix)| {
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            Self::new(ip.parse().ok()?, prefix.parse().ok().filter(|_| digits)?)
        });
        let expected = "an address with the length of its prefix, such as 192.0.2.7/24";
        parsed.ok_or_else(|| crate::ids::BadId { expected, found: text.to_owned() })
    }
}

crate::ids::serde_as_text!(IpNet);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_reckoned_with() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("valid");
        for (text, mask, network, inside, outside) in [
            ("192.0.2.7/24", "255.255.255.0", "192.0.2.0/24", "192.0.2.250", "192.0.3.1"),
            ("10.1.2.3/9", "255.128.0.0", "10.0.0.0/9", "10.127.0.1", "10.128.0.1"),
            ("2001:db8::7/64", "ffff:ffff:ffff:ffff::", "2001:db8::/64", "2001:db8::1", "2001::1"),
            ("192.0.2.7/32", "255.255.255.255", "192.0.2.7/32", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7/0", "0.0.0.0", "0.0.0.0/0", "1.2.3.4", "::"),
        ] {
            let net: IpNet = text.parse().expect(text);
            assert_eq!(net.to_string(), text);
            assert_eq!(net.mask(), ip(mask), "{text}");
            assert_eq!(net.network().to_string(), network);
            assert!(net.contains(ip(inside)) && !net.contains(ip(outside)), "{text}");
            assert_eq!(IpNet::from_mask(net.ip, ip(mask)), Some(net), "{text}");
        }
        for text in ["192.0.2.7", "192.0.2.7/33", "192.0.2.7/+3", "::/129", "x/8", "1.2.3/8", ""] {
            assert!(text.parse::<IpNet>().is_err(), "{text}");
        }
        assert_eq!(IpNet::from_mask(ip("10.0.0.1"), ip("255.0.255.0")), None);
        assert_eq!(IpNet::from_mask(ip("10.0.0.1"), ip("ffff::")), None);
    }
}
