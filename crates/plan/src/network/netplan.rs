//! A file for netplan(5), readable by root only, as netplan asks for.

use super::bond::{self, OptionValue};
use super::{MADE, dns_interface, file};
use hostwright_model::network::{Interface, InterfaceKind, Network, Route};
use hostwright_model::plan::TargetFile;

/// A section, and whether a kind of interface belongs to it.
type Section = (&'static str, fn(&InterfaceKind) -> bool);

/// The sections in their order.
const SECTIONS: [Section; 4] = [
    ("ethernets", |kind| matches!(kind, InterfaceKind::Ethernet { .. })),
    ("bonds", |kind| matches!(kind, InterfaceKind::Bond { .. })),
    ("vlans", |kind| matches!(kind, InterfaceKind::Vlan { .. })),
    ("bridges", |kind| matches!(kind, InterfaceKind::Bridge { .. })),
];

/// The file.
pub(super) fn files(network: &Network) -> Vec<TargetFile> {
    let mut text = format!("{MADE}network:\n  version: 2\n  renderer: networkd\n");
    for (section, belongs) in SECTIONS {
        let mut own = network.interfaces.iter().filter(|interface| belongs(&interface.kind));
        let Some(first) = own.next() else { continue };
        text.push_str(&format!("  {section}:\n"));
        for interface in std::iter::once(first).chain(own) {
            let name = quoted(&interface.name);
            text.push_str(&format!("    {name}:\n"));
            for line in lines(network, interface) {
                text.push_str(&format!("      {line}\n"));
            }
        }
    }
    vec![file("/etc/netplan/50-hostwright.yaml", 0o600, text)]
}

/// A string that YAML takes for nothing else.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.map(|word| quoted(&word)).collect();
    format!("[{}]", words.join(", "))
}

/// The keys of one interface.
fn lines(network: &Network, interface: &Interface) -> Vec<String> {
    let mut lines = kind_lines(interface);
    lines.extend(interface.mac.map(|mac| format!("macaddress: {}", quoted(&mac.to_string()))));
    lines.extend(interface.mtu_bytes.map(|mtu| format!("mtu: {mtu}")));
    let addressing = &interface.addressing;
    // Without a word an interface without addresses would still ask the network for some.
    lines.push(format!("dhcp4: {}", addressing.dhcp4));
    lines.push(format!("dhcp6: {}", addressing.dhcp6));
    let accept_ra = addressing.accept_ra.or(addressing.is_none().then_some(false));
    lines.extend(accept_ra.map(|accept| format!("accept-ra: {accept}")));
    if addressing.is_none() {
        lines.push("link-local: []".to_owned());
    }
    if !addressing.addresses.is_empty() {
        let addresses = addressing.addresses.iter().map(ToString::to_string);
        lines.push(format!("addresses: {}", list(addresses)));
    }
    if !addressing.routes.is_empty() {
        lines.push("routes:".to_owned());
        lines.extend(addressing.routes.iter().flat_map(route_lines));
    }
    if dns_interface(network).is_some_and(|dns| dns.name == interface.name) {
        lines.extend(dns_lines(network));
    }
    lines
}

fn kind_lines(interface: &Interface) -> Vec<String> {
    match &interface.kind {
        InterfaceKind::Ethernet { matched } => vec![
            "match:".to_owned(),
            format!("  macaddress: {}", quoted(&matched.to_string())),
            format!("set-name: {}", quoted(&interface.name)),
        ],
        InterfaceKind::Bond { members, mode, options } => {
            let mut lines = vec![
                format!("interfaces: {}", list(members.iter().cloned())),
                "parameters:".to_owned(),
                format!("  mode: {}", quoted(mode.name())),
            ];
            lines.extend(bond::each(options).map(|(option, value)| match option.value {
                OptionValue::Number => format!("  {}: {value}", option.netplan),
                _ => format!("  {}: {}", option.netplan, quoted(value)),
            }));
            lines
        }
        InterfaceKind::Vlan { parent, id } => {
            vec![format!("id: {id}"), format!("link: {}", quoted(parent))]
        }
        InterfaceKind::Bridge { ports, stp } => {
            let mut lines = vec![
                format!("interfaces: {}", list(ports.iter().cloned())),
                "parameters:".to_owned(),
                format!("  stp: {stp}"),
            ];
            if !stp {
                lines.push("  forward-delay: 0".to_owned());
            }
            lines
        }
    }
}

fn route_lines(route: &Route) -> Vec<String> {
    let mut lines = vec![format!("  - to: {}", quoted(&route.to.to_string()))];
    lines.push(match route.via {
        Some(via) => format!("    via: {}", quoted(&via.to_string())),
        None => "    scope: link".to_owned(),
    });
    lines.extend(route.metric.map(|metric| format!("    metric: {metric}")));
    lines
}

fn dns_lines(network: &Network) -> Vec<String> {
    let dns = &network.dns;
    if dns.servers.is_empty() && dns.search.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["nameservers:".to_owned()];
    if !dns.search.is_empty() {
        lines.push(format!("  search: {}", list(dns.search.iter().cloned())));
    }
    if !dns.servers.is_empty() {
        lines.push(format!("  addresses: {}", list(dns.servers.iter().map(ToString::to_string))));
    }
    lines
}
