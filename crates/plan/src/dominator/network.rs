//! From `config.json` and a machine's cards to its network: the same as Dominator's own configurator
//! makes, minus its faults.
//!
//! 1. An entry with address and Ethernet address configures that card; in a managed subnet the address
//!    goes to a bridge on the card.
//! 2. An entry with an Ethernet address and a subnet makes a bridge on that card.
//! 3. The cards that are left and have a carrier are the trunk: one as it is, several as `bond0`.
//! 4. Entries with an address only, and bridges for all further managed VLANs, lie on the trunk.
//!
//! Otherwise than there: a card with `VlanTrunk` is the trunk itself, and no bond without members is
//! made beside it; whatever cannot be placed is an error before any disk is touched, not a crash after.

use super::machine_info::{MachineInfo, NetworkEntry, Subnet};
use crate::finding::Finding;
use crate::network;
use crate::storage::{Span, Spanned};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::facts::Nic;
use hostwright_model::ids::MacAddr;
use hostwright_model::network::{
    Addressing, BondMode, Dns, Interface, InterfaceKind, IpNet, Network, Route,
};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Name of the bond, and its largest packet: Dominator's.
const BOND: &str = "bond0";
const BOND_MTU_BYTES: u32 = 9000;
/// Longest name of an interface.
const LONGEST_NAME: usize = 15;
/// Longest name of a subnet that a bridge is called after: Dominator's.
const LONGEST_SUBNET_ID: usize = 9;

/// The network of a machine with these cards.
pub fn network(info: &MachineInfo, nics: &[Nic]) -> Result<Network, Vec<Diagnostic>> {
    let mut builder = Builder::new(info, nics);
    builder.check();
    if builder.found.is_empty() {
        info.entries().for_each(|entry| builder.entry(entry));
        builder.trunk();
    }
    let network = builder.network();
    let at = info.primary.at;
    if builder.found.is_empty() {
        for mistake in network::mistakes(&network, nics) {
            builder.error(at, mistake.message, mistake.cure);
        }
    }
    if builder.found.is_empty() { Ok(network) } else { Err(builder.found) }
}

/// What is wrong on any machine.
pub(super) fn mistakes_anywhere(info: &MachineInfo) -> Vec<Diagnostic> {
    let mut builder = Builder::new(info, &[]);
    builder.check();
    builder.found
}

struct Builder<'a> {
    info: &'a MachineInfo,
    nics: &'a [Nic],
    found: Vec<Diagnostic>,
    cards: Vec<Interface>,
    vlans: Vec<Interface>,
    bridges: Vec<Interface>,
    bond: Option<Interface>,
    /// Cards that an entry names.
    used: BTreeSet<MacAddr>,
    /// Subnets with a bridge or an address.
    served: BTreeSet<&'a str>,
    /// Subnets in which the machine has an address, in the order of the entries.
    configured: Vec<&'a Subnet>,
    /// Cards with `VlanTrunk`.
    marked: Vec<(&'a Nic, Span)>,
    /// Entries with an address only.
    on_trunk: Vec<(&'a NetworkEntry, IpAddr, &'a Subnet)>,
}

impl<'a> Builder<'a> {
    fn new(info: &'a MachineInfo, nics: &'a [Nic]) -> Self {
        Self {
            info,
            nics,
            found: Vec::new(),
            cards: Vec::new(),
            vlans: Vec::new(),
            bridges: Vec::new(),
            bond: None,
            used: BTreeSet::new(),
            served: BTreeSet::new(),
            configured: Vec::new(),
            marked: Vec::new(),
            on_trunk: Vec::new(),
        }
    }

    fn error(&mut self, at: Span, message: impl Into<String>, cure: impl Into<String>) {
        let finding = Finding::error("bad-network", message, cure);
        self.found.push(self.info.source.find(finding, at));
    }

    /// What can be told without a machine.
    fn check(&mut self) {
        let info = self.info;
        for (i, subnet) in info.subnets.iter().enumerate() {
            if info.subnets[..i].iter().any(|other| other.id.value == subnet.id.value) {
                let message = format!("there are two subnets {}", subnet.id.value);
                self.error(subnet.id.at, message, "give each an Id of its own");
            }
        }
        if let Some(id) = &info.gateway_subnet {
            self.known_subnet(id);
        }
        for entry in info.entries() {
            if let Some(ip) = &entry.ip
                && self.subnet_of(ip.value).is_none()
            {
                let message = format!("{} is in none of the subnets", ip.value);
                let cure = format!("correct it, or add its subnet; {}", self.known_networks());
                self.error(ip.at, message, cure);
            }
            if let Some(id) = &entry.subnet {
                self.known_subnet(id);
            }
        }
        if info.entries().all(|entry| entry.ip.is_none()) {
            let cure = "add HostIpAddress, or describe the network in hostwright.toml";
            self.error(info.primary.at, "no entry has an address for this machine", cure);
        }
    }

    fn known_subnet(&mut self, id: &Spanned<String>) {
        if self.info.subnets.iter().all(|subnet| subnet.id.value != id.value) {
            let ids: Vec<&str> = self.info.subnets.iter().map(|s| s.id.value.as_str()).collect();
            let message = format!("there is no subnet {}", id.value);
            self.error(id.at, message, format!("the subnets are {}", ids.join(", ")));
        }
    }

    fn known_networks(&self) -> String {
        let told = |subnet: &Subnet| {
            let net = subnet.gateway.map(|net| format!(" {}", net.network()));
            format!("{}{}", subnet.id.value, net.unwrap_or_default())
        };
        let networks: Vec<String> = self.info.subnets.iter().map(told).collect();
        format!("the subnets are {}", networks.join(", "))
    }

    fn subnet_of(&self, ip: IpAddr) -> Option<&'a Subnet> {
        let has = |subnet: &&Subnet| subnet.gateway.is_some_and(|net| net.contains(ip));
        self.info.subnets.iter().find(has)
    }

    fn subnet_named(&self, id: &str) -> Option<&'a Subnet> {
        self.info.subnets.iter().find(|subnet| subnet.id.value == id)
    }

    /// The card of an entry.
    fn card(&mut self, mac: &Spanned<MacAddr>) -> Option<&'a Nic> {
        let nic = self.nics.iter().find(|nic| nic.mac == mac.value);
        if nic.is_none() {
            let cards: Vec<String> =
                self.nics.iter().map(|nic| format!("{} ({})", nic.mac, name_of(nic))).collect();
            let message = format!("no network card of this machine is {}", mac.value);
            let cure = match cards.is_empty() {
                true => "no network card was found; check slots and drivers".to_owned(),
                false => format!("its cards are {}", cards.join(", ")),
            };
            self.error(mac.at, message, cure);
            return None;
        }
        if !self.used.insert(mac.value) {
            let message = format!("the card {} has two entries", mac.value);
            self.error(mac.at, message, "leave HostMacAddress out of one of them");
            return None;
        }
        nic
    }

    fn entry(&mut self, entry: &'a NetworkEntry) {
        match (&entry.ip, &entry.mac, &entry.subnet) {
            (Some(ip), Some(mac), _) => self.normal(entry, ip.value, mac),
            (Some(ip), None, _) => {
                let subnet = self.subnet_of(ip.value).expect("invariant: addresses were checked");
                self.on_trunk.push((entry, ip.value, subnet));
            }
            (None, Some(mac), Some(id)) => self.bridge_only(mac, id),
            // Nothing to configure, as with Dominator.
            (None, ..) => {}
        }
    }

    /// An address on a card, or on a bridge on it.
    fn normal(&mut self, entry: &'a NetworkEntry, ip: IpAddr, mac: &Spanned<MacAddr>) {
        let Some(nic) = self.card(mac) else { return };
        let subnet = self.subnet_of(ip).expect("invariant: addresses were checked");
        if entry.vlan_trunk {
            self.marked.push((nic, mac.at));
        }
        let addressing = address(ip, subnet);
        self.configured.push(subnet);
        let name = name_of(nic);
        let why = format!("{} in {}", ip, subnet.id.value);
        if !subnet.manage {
            self.cards.push(Interface { addressing, why, ..card(nic) });
            return;
        }
        self.served.insert(&subnet.id.value);
        self.cards.push(Interface { why: format!("port of br{}", subnet.vlan), ..card(nic) });
        let bridge = bridge(format!("br{}", subnet.vlan), name);
        self.bridges.push(Interface { addressing, mac: Some(nic.mac), why, ..bridge });
    }

    /// A bridge on a card, for virtual machines only.
    fn bridge_only(&mut self, mac: &Spanned<MacAddr>, id: &Spanned<String>) {
        let Some(nic) = self.card(mac) else { return };
        let subnet = self.subnet_named(&id.value).expect("invariant: subnets were checked");
        if !subnet.manage {
            let message =
                format!("{} is not managed, so that nothing needs a bridge to it", id.value);
            let cure = "set Manage in the subnet, or give the entry an address";
            return self.error(id.at, message, cure);
        }
        if id.value.len() > LONGEST_SUBNET_ID || id.value.contains(['/', '.']) {
            let message = format!("no bridge can be called after {}", id.value);
            let cure = format!("use at most {LONGEST_SUBNET_ID} letters without / and .");
            return self.error(id.at, message, cure);
        }
        self.served.insert(&subnet.id.value);
        let name = format!("br@{}", id.value);
        self.cards.push(Interface { why: format!("port of {name}"), ..card(nic) });
        let why = format!("virtual machines in {}", id.value);
        self.bridges.push(Interface { mac: Some(nic.mac), why, ..bridge(name, name_of(nic)) });
    }

    /// What VLANs lie on.
    fn raw_device(&mut self) -> Option<String> {
        if let [(first, _), rest @ ..] = self.marked.as_slice() {
            let name = name_of(first).to_owned();
            if let Some((_, at)) = rest.first() {
                let cure = "set VlanTrunk for one of them";
                self.error(*at, "two cards are to carry the VLANs", cure);
            }
            return Some(name);
        }
        let used = &self.used;
        let mut free: Vec<&Nic> =
            self.nics.iter().filter(|nic| nic.link_up && !used.contains(&nic.mac)).collect();
        free.sort_by_key(|nic| name_of(nic));
        let names: Vec<String> = free.iter().map(|nic| name_of(nic).to_owned()).collect();
        let why = "carries VLANs";
        match free.as_slice() {
            [] => None,
            [one] => {
                self.cards.push(Interface { why: why.to_owned(), ..card(one) });
                names.into_iter().next()
            }
            several => {
                let member = |nic: &&Nic| Interface { why: format!("in {BOND}"), ..card(nic) };
                self.cards.extend(several.iter().map(member));
                let kind = InterfaceKind::Bond {
                    members: names,
                    mode: BondMode::Lacp,
                    options: [("miimon", "100"), ("xmit_hash_policy", "layer3+4")]
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .to_vec(),
                };
                let mtu_bytes = Some(BOND_MTU_BYTES);
                let why = why.to_owned();
                self.bond = Some(Interface { mtu_bytes, why, ..interface(BOND, kind) });
                Some(BOND.to_owned())
            }
        }
    }

    /// Everything that lies on the trunk.
    fn trunk(&mut self) {
        let before = self.cards.len();
        let raw = self.raw_device();
        let on_trunk = std::mem::take(&mut self.on_trunk);
        let Some(raw) = raw else {
            for (entry, ip, _) in on_trunk {
                let message = format!("{ip} has no card: none is left that has a carrier");
                let cure = "add HostMacAddress to the entry, or connect another card";
                let at = entry.ip.as_ref().map_or(entry.at, |ip| ip.at);
                self.error(at, message, cure);
            }
            return;
        };
        for (entry, ip, subnet) in on_trunk {
            self.served.insert(&subnet.id.value);
            self.configured.push(subnet);
            let addressing = address(ip, subnet);
            let why = format!("{ip} in {}", subnet.id.value);
            match subnet.vlan {
                0 => self.untagged(entry, &raw, addressing, why),
                id => self.vlans.push(Interface { addressing, why, ..vlan(&raw, id) }),
            }
        }
        for subnet in self.info.subnets.iter().filter(|s| s.vlan > 0 && s.manage) {
            if self.served.insert(&subnet.id.value) {
                let carrier = vlan(&raw, subnet.vlan);
                let why = format!("virtual machines in {}", subnet.id.value);
                let bridge = bridge(format!("br{}", subnet.vlan), &carrier.name);
                self.vlans.push(Interface { why: format!("port of {}", bridge.name), ..carrier });
                self.bridges.push(Interface { why, ..bridge });
            }
        }
        if self.vlans.is_empty() && self.bond.is_none() && self.cards.len() > before {
            // A free card that nothing lies on, unless it has an address itself.
            self.cards.retain(|card| card.name != raw || !card.addressing.is_none());
        }
    }

    /// An address in a subnet without a VLAN, on the trunk as it is.
    fn untagged(&mut self, entry: &NetworkEntry, raw: &str, addressing: Addressing, why: String) {
        let carrier = self.bond.iter_mut().chain(&mut self.cards).find(|i| i.name == raw);
        match carrier {
            Some(carrier) if carrier.addressing.is_none() => {
                carrier.addressing = addressing;
                carrier.why = why;
            }
            _ => {
                let message = format!("{raw} has an address already");
                let cure = "give the subnet a VlanId, or the entry a HostMacAddress";
                self.error(entry.at, message, cure);
            }
        }
    }

    /// The interfaces in their order, with the default route and the name servers of one subnet.
    fn network(&mut self) -> Network {
        let mut interfaces = std::mem::take(&mut self.cards);
        interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        interfaces.extend(self.bond.take());
        interfaces.append(&mut self.vlans);
        interfaces.append(&mut self.bridges);
        let Some(subnet) = self.default_subnet() else {
            return Network { interfaces, dns: Dns::default() };
        };
        let Some(gateway) = subnet.gateway else {
            return Network { interfaces, dns: Dns::default() };
        };
        let is_in = |net: &IpNet| gateway.contains(net.ip);
        let holder = interfaces
            .iter_mut()
            .find(|interface| interface.addressing.addresses.iter().any(is_in));
        if let Some(holder) = holder {
            holder.addressing.routes.push(default_route(gateway.ip));
        }
        let dns = Dns {
            servers: subnet.name_servers.clone(),
            search: subnet.domain.iter().cloned().collect(),
        };
        Network { interfaces, dns }
    }

    /// The subnet that is preferred, if the machine is in it, else the first that it is in.
    fn default_subnet(&self) -> Option<&'a Subnet> {
        let preferred = match (&self.info.gateway_subnet, &self.info.primary.ip) {
            (Some(id), _) => self.subnet_named(&id.value),
            (None, Some(ip)) => self.subnet_of(ip.value),
            (None, None) => None,
        };
        let is_preferred =
            |subnet: &&&Subnet| preferred.is_some_and(|preferred| preferred.id == subnet.id);
        let chosen = self.configured.iter().find(is_preferred).or(self.configured.first());
        chosen.copied()
    }
}

/// The name of a card in the installed system: udev's, so that pinning it renames nothing.
fn name_of(nic: &Nic) -> &str {
    nic.predictable_name.as_deref().unwrap_or(&nic.name)
}

fn interface(name: impl Into<String>, kind: InterfaceKind) -> Interface {
    Interface {
        name: name.into(),
        kind,
        mac: None,
        mtu_bytes: None,
        addressing: Addressing::default(),
        why: String::new(),
    }
}

fn card(nic: &Nic) -> Interface {
    interface(name_of(nic), InterfaceKind::Ethernet { matched: nic.mac })
}

fn bridge(name: String, port: &str) -> Interface {
    interface(name, InterfaceKind::Bridge { ports: vec![port.to_owned()], stp: false })
}

/// `eth1.100`; where that is too long for a name, `vlan100`.
fn vlan(parent: &str, id: u16) -> Interface {
    let name = format!("{parent}.{id}");
    let name = if name.len() > LONGEST_NAME { format!("vlan{id}") } else { name };
    interface(name, InterfaceKind::Vlan { parent: parent.to_owned(), id })
}

fn address(ip: IpAddr, subnet: &Subnet) -> Addressing {
    let net = subnet.gateway.and_then(|gateway| IpNet::new(ip, gateway.prefix));
    Addressing { addresses: net.into_iter().collect(), ..Addressing::default() }
}

fn default_route(via: IpAddr) -> Route {
    let everything = match via {
        IpAddr::V4(_) => IpNet { ip: IpAddr::from([0; 4]), prefix: 0 },
        IpAddr::V6(_) => IpNet { ip: IpAddr::from([0_u8; 16]), prefix: 0 },
    };
    Route { to: everything, via: Some(via), metric: None }
}
