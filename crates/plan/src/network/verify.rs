//! What is wrong with a network on a machine: everything that would leave it without one.

use super::bond::{self, OptionValue};
use super::{owner, parts};
use crate::dominator::is_hostname;
use hostwright_model::facts::Nic;
use hostwright_model::network::{Interface, InterfaceKind, IpNet, Network, Route};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Longest name of an interface, IFNAMSIZ less its zero.
const LONGEST_NAME: usize = 15;
/// What an IPv4 link has to carry at least, and an IPv6 link.
const LEAST_MTU: [u32; 2] = [68, 1280];
const LARGEST_MTU: u32 = 65_535;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The interface that it is about; `None` for the network as a whole.
    pub interface: Option<String>,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub cure: String,
}

/// Everything wrong with a network on a machine that has these cards.
pub fn mistakes(network: &Network, nics: &[Nic]) -> Vec<Mistake> {
    let mut verifier = Verifier { network, nics, found: Vec::new() };
    verifier.whole();
    for (i, interface) in network.interfaces.iter().enumerate() {
        verifier.name(i, interface);
        verifier.kind(i, interface);
        verifier.mtu(interface);
        verifier.addresses(interface);
        verifier.routes(interface);
    }
    verifier.found
}

struct Verifier<'a> {
    network: &'a Network,
    nics: &'a [Nic],
    found: Vec<Mistake>,
}

impl Verifier<'_> {
    fn add(&mut self, interface: &Interface, message: impl Into<String>, cure: impl Into<String>) {
        let name = Some(interface.name.clone());
        self.found.push(Mistake { interface: name, message: message.into(), cure: cure.into() });
    }

    fn whole(&mut self) {
        let mut found = Vec::new();
        let interfaces = &self.network.interfaces;
        if interfaces.iter().all(|interface| interface.addressing.is_none()) {
            found.push((
                "no interface has an address, so that nobody will reach the machine".to_owned(),
                "give one of them an address, or DHCP",
            ));
        }
        for v6 in [false, true] {
            let of_family = |route: &&Route| route.to.is_default() && route.to.ip.is_ipv6() == v6;
            let routes = interfaces.iter().flat_map(|interface| &interface.addressing.routes);
            let metrics: Vec<_> = routes.filter(of_family).map(|route| route.metric).collect();
            let different: BTreeSet<_> = metrics.iter().collect();
            if different.len() < metrics.len() {
                let family = if v6 { "IPv6" } else { "IPv4" };
                let message = format!("two default routes for {family} have one metric");
                found.push((message, "keep one of them, or give each a metric of its own"));
            }
        }
        for name in self.network.dns.search.iter().filter(|name| !is_hostname(name)) {
            found.push((format!("'{name}' is no domain to search names in"), "correct it"));
        }
        found.extend(self.same_addresses());
        let mistake = |(message, cure): (String, &str)| Mistake {
            interface: None,
            message,
            cure: cure.into(),
        };
        self.found.extend(found.into_iter().map(mistake));
    }

    fn same_addresses(&self) -> Vec<(String, &'static str)> {
        let interfaces = self.network.interfaces.iter();
        let mut seen = BTreeSet::new();
        let all = interfaces.flat_map(|interface| &interface.addressing.addresses);
        let twins = all.filter(|address| !seen.insert(address.ip));
        twins.map(|twin| (format!("{} is given twice", twin.ip), "give it once")).collect()
    }

    fn name(&mut self, i: usize, interface: &Interface) {
        let name = interface.name.as_str();
        let plain =
            name.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:%\"'\\".contains(&byte));
        if name.is_empty()
            || name.len() > LONGEST_NAME
            || !plain
            || [".", "..", "lo"].contains(&name)
        {
            let message = format!("'{name}' cannot be the name of an interface");
            let cure = format!("use at most {LONGEST_NAME} letters, digits, dots and dashes");
            self.add(interface, message, cure);
        }
        if self.network.interfaces[..i].iter().any(|other| other.name == name) {
            self.add(interface, format!("there are two interfaces {name}"), "rename one of them");
        }
    }

    fn kind(&mut self, i: usize, interface: &Interface) {
        let network = self.network;
        match &interface.kind {
            InterfaceKind::Ethernet { matched } => {
                if !self.nics.iter().any(|nic| nic.mac == *matched) {
                    let message = format!("no network card of this machine is {matched}");
                    self.add(interface, message, self.cards());
                }
                let is_twin = |other: &Interface| other.kind == interface.kind;
                if network.interfaces[..i].iter().any(is_twin) {
                    let message = format!("the card {matched} is used twice");
                    self.add(interface, message, "make one interface of it");
                }
            }
            InterfaceKind::Bond { options, members, .. } => {
                if members.is_empty() {
                    let message = format!("the bond {} has no members", interface.name);
                    self.add(interface, message, "name the cards that it is made of");
                }
                self.parts(i, interface);
                options.iter().for_each(|(name, value)| self.option(interface, name, value));
            }
            InterfaceKind::Bridge { .. } => self.parts(i, interface),
            InterfaceKind::Vlan { parent, id } => self.vlan(i, interface, parent, *id),
        }
    }

    fn cards(&self) -> String {
        let card = |nic: &Nic| {
            let name = nic.predictable_name.as_ref().unwrap_or(&nic.name);
            format!("{} ({name})", nic.mac)
        };
        let cards: Vec<String> = self.nics.iter().map(card).collect();
        match cards.is_empty() {
            true => "no network card was found; check slots and drivers".to_owned(),
            false => format!("its cards are {}", cards.join(", ")),
        }
    }

    /// What a bond or bridge is made of.
    fn parts(&mut self, i: usize, interface: &Interface) {
        let network = self.network;
        let is_bond = matches!(interface.kind, InterfaceKind::Bond { .. });
        for part in parts(interface) {
            let name = &interface.name;
            let Some(found) = network.interfaces[..i].iter().find(|other| other.name == *part)
            else {
                let message = format!("{name} is made of {part}, which is not there");
                self.add(interface, message, "describe that interface before this one");
                continue;
            };
            if is_bond && !matches!(found.kind, InterfaceKind::Ethernet { .. }) {
                let message = format!("{part} is no network card, and {name} a bond of it");
                self.add(interface, message, "make bonds of network cards");
            }
            if owner(network, part).is_some_and(|first| first.name != *name) {
                let message = format!("{part} belongs to two bonds or bridges");
                self.add(interface, message, "take it out of one of them");
            }
            if !found.addressing.is_none() || !found.addressing.routes.is_empty() {
                let message = format!("{part} has addresses of its own, and is a part of {name}");
                self.add(interface, message, format!("give the addresses to {name}"));
            }
        }
    }

    fn option(&mut self, interface: &Interface, name: &str, value: &str) {
        let Some(option) = bond::known(name) else {
            let message = format!("there is no option {name} of bonds");
            self.add(interface, message, format!("its options are {}", bond::names().join(", ")));
            return;
        };
        let is_number = |value: &str| value.parse::<u32>().is_ok();
        let (good, expected) = match option.value {
            OptionValue::Milliseconds => (is_number(value), "milliseconds".to_owned()),
            OptionValue::Number => (is_number(value), "a number".to_owned()),
            OptionValue::Word(words) => {
                (words.contains(&value), format!("one of {}", words.join(", ")))
            }
            OptionValue::Member => {
                (parts(interface).iter().any(|part| part == value), "one of its members".to_owned())
            }
        };
        if !good {
            let message = format!("{name} of {} is '{value}', not {expected}", interface.name);
            self.add(interface, message, format!("write {expected}"));
        }
    }

    fn vlan(&mut self, i: usize, interface: &Interface, parent: &str, id: u16) {
        let before = &self.network.interfaces[..i];
        if !(1..=4094).contains(&id) {
            let message = format!("there is no VLAN {id}");
            self.add(interface, message, "choose a number from 1 to 4094");
        }
        match before.iter().find(|other| other.name == parent) {
            None => {
                let message = format!("{} is on {parent}, which is not there", interface.name);
                self.add(interface, message, "describe that interface before this one");
            }
            Some(carrier)
                if carrier.mtu_bytes.unwrap_or(1500) < interface.mtu_bytes.unwrap_or(0) =>
            {
                let message = format!("{} has a larger MTU than {parent}", interface.name);
                self.add(interface, message, format!("raise the MTU of {parent}"));
            }
            Some(_) => {}
        }
        if before.iter().any(|other| other.kind == interface.kind) {
            let message = format!("VLAN {id} is on {parent} twice");
            self.add(interface, message, "make it once");
        }
    }

    fn mtu(&mut self, interface: &Interface) {
        let Some(mtu) = interface.mtu_bytes else { return };
        let v6 = interface.addressing.addresses.iter().any(|net| net.ip.is_ipv6());
        let least = LEAST_MTU[usize::from(v6)];
        if !(least..=LARGEST_MTU).contains(&mtu) {
            let message = format!("{} cannot have an MTU of {mtu}", interface.name);
            self.add(interface, message, format!("choose one from {least} to {LARGEST_MTU}"));
        }
    }

    fn addresses(&mut self, interface: &Interface) {
        for net in &interface.addressing.addresses {
            let ip = net.ip;
            if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
                let message = format!("{ip} cannot be the address of a machine");
                self.add(interface, message, "write the address that it is to have");
            } else if is_reserved(net) {
                let message = format!("{ip} is the network or the broadcast address of {net}");
                self.add(interface, message, "write an address between them");
            }
        }
    }

    fn routes(&mut self, interface: &Interface) {
        let addressing = &interface.addressing;
        for route in &addressing.routes {
            let v6 = route.to.ip.is_ipv6();
            let Some(via) = route.via else { continue };
            if via.is_ipv6() != v6 {
                let message = format!("{via} is of another family than the route to {}", route.to);
                self.add(interface, message, "write a router of the same family");
                continue;
            }
            let is_dynamic = if v6 {
                addressing.dhcp6 || addressing.accept_ra == Some(true)
            } else {
                addressing.dhcp4
            };
            let near = addressing.addresses.iter().any(|net| net.contains(via));
            if !near && !is_dynamic && !is_link_local(via) {
                let own: Vec<String> =
                    addressing.addresses.iter().map(|net| net.network().to_string()).collect();
                let message = format!("the router {via} is in no network of {}", interface.name);
                let cure = match own.is_empty() {
                    true => "give the interface an address in its network".to_owned(),
                    false => format!("its networks are {}", own.join(", ")),
                };
                self.add(interface, message, cure);
            } else if addressing.addresses.iter().any(|net| net.ip == via) {
                let message = format!("the router {via} is this machine itself");
                self.add(interface, message, "write the router's address");
            }
        }
    }
}

fn is_reserved(net: &IpNet) -> bool {
    let IpAddr::V4(ip) = net.ip else { return false };
    let (IpAddr::V4(mask), true) = (net.mask(), net.prefix < 31) else { return false };
    let host = ip.to_bits() & !mask.to_bits();
    host == 0 || host == !mask.to_bits()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
