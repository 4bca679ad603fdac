//! Files for systemd-networkd: a `.link` a card (systemd.link(5)), a `.netdev` for everything that is
//! made (systemd.netdev(5)), a `.network` for everything (systemd.network(5)).

use super::bond::{self, OptionValue};
use super::{MADE, dns_interface, file, owner, pin};
use hostwright_model::network::{Addressing, Interface, InterfaceKind, Network, Route};
use hostwright_model::plan::TargetFile;

const DIR: &str = "/etc/systemd/network";

/// The files.
pub(super) fn files(network: &Network) -> Vec<TargetFile> {
    let mut files = pin::link_files(network);
    for interface in &network.interfaces {
        let name = &interface.name;
        if let Some(text) = netdev(interface) {
            files.push(file(format!("{DIR}/20-{name}.netdev"), 0o644, text));
        }
        files.push(file(
            format!("{DIR}/30-{name}.network"),
            0o644,
            network_text(network, interface),
        ));
    }
    files
}

/// A section; nothing if it says nothing.
fn section(name: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("\n[{name}]\n{}\n", lines.join("\n"))
}

fn netdev(interface: &Interface) -> Option<String> {
    let (kind, own) = match &interface.kind {
        InterfaceKind::Ethernet { .. } => return None,
        InterfaceKind::Bond { mode, options, .. } => {
            let mut lines = vec![format!("Mode={}", mode.name())];
            let set = bond::each(options).filter(|(option, _)| !option.networkd.is_empty());
            lines.extend(set.map(|(option, value)| match option.value {
                OptionValue::Milliseconds => format!("{}={value}ms", option.networkd),
                _ => format!("{}={value}", option.networkd),
            }));
            ("bond", section("Bond", &lines))
        }
        InterfaceKind::Vlan { id, .. } => ("vlan", section("VLAN", &[format!("Id={id}")])),
        InterfaceKind::Bridge { stp, .. } => {
            let mut lines = vec![format!("STP={}", yes_no(*stp))];
            if !stp {
                lines.push("ForwardDelaySec=0".to_owned());
            }
            ("bridge", section("Bridge", &lines))
        }
    };
    let mut lines = vec![format!("Name={}", interface.name), format!("Kind={kind}")];
    lines.extend(interface.mac.map(|mac| format!("MACAddress={mac}")));
    Some(format!("{MADE}{}{own}", section("NetDev", &lines).trim_start_matches('\n')))
}

fn network_text(network: &Network, interface: &Interface) -> String {
    let name = &interface.name;
    let link: Vec<String> =
        interface.mtu_bytes.map(|mtu| format!("MTUBytes={mtu}")).into_iter().collect();
    let mut text = format!("{MADE}[Match]\nName={name}\n{}", section("Link", &link));
    let mut lines = Vec::new();
    if let Some(owner) = owner(network, name) {
        lines.extend(belongs_to(owner, name));
    }
    let is_on = |other: &&Interface| matches!(&other.kind, InterfaceKind::Vlan { parent, .. } if parent == name);
    let vlans = network.interfaces.iter().filter(is_on);
    lines.extend(vlans.map(|vlan| format!("VLAN={}", vlan.name)));
    lines.extend(address_lines(&interface.addressing));
    if dns_interface(network).is_some_and(|dns| dns.name == *name) {
        lines.extend(network.dns.servers.iter().map(|server| format!("DNS={server}")));
        if !network.dns.search.is_empty() {
            lines.push(format!("Domains={}", network.dns.search.join(" ")));
        }
    }
    text.push_str(&section("Network", &lines));
    for route in &interface.addressing.routes {
        text.push_str(&section("Route", &route_lines(route)));
    }
    text
}

/// What a part of a bond or bridge says about it.
fn belongs_to(owner: &Interface, name: &str) -> Vec<String> {
    match &owner.kind {
        InterfaceKind::Bond { options, .. } => {
            let mut lines = vec![format!("Bond={}", owner.name)];
            let is_primary =
                |(option, value): &(String, String)| option == "primary" && value == name;
            if options.iter().any(is_primary) {
                lines.push("PrimarySlave=yes".to_owned());
            }
            lines
        }
        _ => vec![format!("Bridge={}", owner.name)],
    }
}

fn address_lines(addressing: &Addressing) -> Vec<String> {
    let dhcp = match (addressing.dhcp4, addressing.dhcp6) {
        (true, true) => "yes",
        (true, false) => "ipv4",
        (false, true) => "ipv6",
        (false, false) => "no",
    };
    let mut lines = vec![format!("DHCP={dhcp}")];
    lines.extend(addressing.addresses.iter().map(|address| format!("Address={address}")));
    if addressing.is_none() {
        lines.extend(["LinkLocalAddressing=no".to_owned(), "IPv6AcceptRA=no".to_owned()]);
    } else if let Some(accept) = addressing.accept_ra {
        lines.push(format!("IPv6AcceptRA={}", yes_no(accept)));
    }
    lines
}

fn route_lines(route: &Route) -> Vec<String> {
    let mut lines = vec![format!("Destination={}", route.to)];
    lines.push(match route.via {
        Some(via) => format!("Gateway={via}"),
        None => "Scope=link".to_owned(),
    });
    lines.extend(route.metric.map(|metric| format!("Metric={metric}")));
    lines
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
