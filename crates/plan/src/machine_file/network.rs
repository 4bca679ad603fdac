//! `[network]` of a machine file.
//!
//! ```toml
//! [network]
//! renderer = "netplan"            # ifupdown, netplan, networkd, networkmanager
//! dns = { servers = ["192.0.2.53"], search = ["example.org"] }
//!
//! [[network.interface]]           # a card, known by its address, or by its name
//! mac = "52:54:00:12:34:56"
//! name = "lan0"                   # udev's name unless it says otherwise
//!
//! [[network.interface]]
//! name = "bond0"
//! bond = { members = ["lan0", "lan1"], mode = "802.3ad", options = { miimon = "100" } }
//! mtu = 9000
//!
//! [[network.interface]]
//! name = "bond0.120"
//! vlan = { parent = "bond0", id = 120 }
//! addresses = ["192.0.2.7/24", "2001:db8::7/64"]
//! gateway4 = "192.0.2.1"
//! gateway6 = "2001:db8::1"
//! routes = [{ to = "198.51.100.0/24", via = "192.0.2.2", metric = 100 }]
//!
//! [[network.interface]]
//! name = "br0"
//! bridge = { ports = ["lan2"], stp = false }
//! dhcp4 = true
//! ```

use hostwright_model::facts::Nic;
use hostwright_model::ids::MacAddr;
use hostwright_model::network::{
    Addressing, BondMode, Dns, Interface, InterfaceKind, IpNet, Network, Renderer, Route,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use toml::Spanned;

/// `[network]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkSection {
    #[serde(default)]
    pub renderer: Option<Renderer>,
    #[serde(default)]
    dns: DnsSection,
    #[serde(default)]
    pub interface: Vec<Spanned<InterfaceSection>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DnsSection {
    servers: Vec<IpAddr>,
    search: Vec<String>,
}

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InterfaceSection {
    name: Option<String>,
    mac: Option<MacAddr>,
    bond: Option<BondSection>,
    vlan: Option<VlanSection>,
    bridge: Option<BridgeSection>,
    mtu: Option<u32>,
    dhcp4: bool,
    dhcp6: bool,
    accept_ra: Option<bool>,
    addresses: Vec<IpNet>,
    gateway4: Option<Ipv4Addr>,
    gateway6: Option<Ipv6Addr>,
    routes: Vec<Route>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct BondSection {
    members: Vec<String>,
    mode: BondMode,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct VlanSection {
    parent: String,
    id: u16,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct BridgeSection {
    ports: Vec<String>,
    #[serde(default)]
    stp: bool,
}

impl InterfaceSection {
    /// What is wrong with it on any machine.
    pub(super) fn mistake(&self) -> Option<&'static str> {
        let kinds = [self.bond.is_some(), self.vlan.is_some(), self.bridge.is_some()];
        let made = kinds.iter().filter(|kind| **kind).count();
        match (made, &self.name, self.mac) {
            (0, None, None) => Some("this entry does not say which card it is"),
            (1, None, _) => Some("what is made needs a name"),
            (0 | 1, ..) => None,
            _ => Some("an interface is a bond, a VLAN or a bridge, not several of them"),
        }
    }

    /// The interface on a machine with these cards; the name of the card that is missing.
    pub(super) fn interface(&self, nics: &[Nic]) -> Result<Interface, String> {
        let (name, kind) = match (&self.bond, &self.vlan, &self.bridge) {
            (Some(bond), ..) => {
                let (members, mode) = (bond.members.clone(), bond.mode);
                let options = bond.options.clone().into_iter().collect();
                (self.name.clone(), InterfaceKind::Bond { members, mode, options })
            }
            (_, Some(vlan), _) => {
                let (parent, id) = (vlan.parent.clone(), vlan.id);
                (self.name.clone(), InterfaceKind::Vlan { parent, id })
            }
            (_, _, Some(bridge)) => {
                let (ports, stp) = (bridge.ports.clone(), bridge.stp);
                (self.name.clone(), InterfaceKind::Bridge { ports, stp })
            }
            (None, None, None) => {
                let nic = self.card(nics)?;
                let own = nic.predictable_name.as_ref().unwrap_or(&nic.name);
                let name = self.name.as_ref().unwrap_or(own);
                (Some(name.clone()), InterfaceKind::Ethernet { matched: nic.mac })
            }
        };
        let is_card = matches!(kind, InterfaceKind::Ethernet { .. });
        Ok(Interface {
            name: name.unwrap_or_default(),
            kind,
            mac: self.mac.filter(|_| !is_card),
            mtu_bytes: self.mtu,
            addressing: self.addressing(),
            why: String::new(),
        })
    }

    fn card<'a>(&self, nics: &'a [Nic]) -> Result<&'a Nic, String> {
        let found = nics.iter().find(|nic| match (self.mac, &self.name) {
            (Some(mac), _) => nic.mac == mac,
            (None, Some(name)) => nic.predictable_name.as_ref() == Some(name) || nic.name == *name,
            (None, None) => false,
        });
        let wanted = || match (self.mac, &self.name) {
            (Some(mac), _) => mac.to_string(),
            (None, name) => name.clone().unwrap_or_default(),
        };
        found.ok_or_else(wanted)
    }

    fn addressing(&self) -> Addressing {
        let mut routes = Vec::new();
        let default = |zero: IpAddr, via: IpAddr| Route {
            to: IpNet { ip: zero, prefix: 0 },
            via: Some(via),
            metric: None,
        };
        routes.extend(self.gateway4.map(|via| default(Ipv4Addr::UNSPECIFIED.into(), via.into())));
        routes.extend(self.gateway6.map(|via| default(Ipv6Addr::UNSPECIFIED.into(), via.into())));
        routes.extend(self.routes.iter().cloned());
        Addressing {
            dhcp4: self.dhcp4,
            dhcp6: self.dhcp6,
            accept_ra: self.accept_ra,
            addresses: self.addresses.clone(),
            routes,
        }
    }
}

impl NetworkSection {
    /// The name servers.
    pub(super) fn dns(&self) -> Dns {
        Dns { servers: self.dns.servers.clone(), search: self.dns.search.clone() }
    }

    /// The network of interfaces that were found.
    pub(super) fn network(&self, interfaces: Vec<Interface>) -> Network {
        Network { interfaces, dns: self.dns() }
    }
}
