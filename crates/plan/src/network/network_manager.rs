//! Key files of NetworkManager (nm-settings-keyfile(5)), readable by root only: it refuses others.

use super::bond;
use super::{MADE, dns_interface, file, owner, pin};
use hostwright_model::network::{Addressing, Interface, InterfaceKind, IpNet, Network, Route};
use hostwright_model::plan::TargetFile;

const DIR: &str = "/etc/NetworkManager/system-connections";

/// The files: one a connection, and those that pin names.
pub(super) fn files(network: &Network) -> Vec<TargetFile> {
    let mut files = pin::link_files(network);
    for interface in &network.interfaces {
        let path = format!("{DIR}/{}.nmconnection", interface.name);
        files.push(file(path, 0o600, connection(network, interface)));
    }
    files
}

fn section(name: &str, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    format!("\n[{name}]\n{lines}")
}

fn connection(network: &Network, interface: &Interface) -> String {
    let name = &interface.name;
    let kind = match interface.kind {
        InterfaceKind::Ethernet { .. } => "ethernet",
        InterfaceKind::Bond { .. } => "bond",
        InterfaceKind::Vlan { .. } => "vlan",
        InterfaceKind::Bridge { .. } => "bridge",
    };
    let mut lines = vec![
        format!("id={name}"),
        format!("uuid={}", uuid(name)),
        format!("type={kind}"),
        format!("interface-name={name}"),
        "autoconnect=true".to_owned(),
    ];
    let owner = owner(network, name);
    if let Some(owner) = owner {
        // The names before version 1.46, which later ones take, too.
        let kind = if matches!(owner.kind, InterfaceKind::Bond { .. }) { "bond" } else { "bridge" };
        lines.extend([format!("master={}", owner.name), format!("slave-type={kind}")]);
    }
    let mut text = format!("{MADE}{}", section("connection", &lines).trim_start_matches('\n'));
    text.push_str(&kind_sections(interface));
    if owner.is_none() {
        let has_dns = dns_interface(network).is_some_and(|dns| dns.name == *name);
        for v6 in [false, true] {
            text.push_str(&ip_section(network, &interface.addressing, v6, has_dns));
        }
    }
    text
}

/// An identifier that is the same whenever the plan is made (RFC 9562, version 8).
fn uuid(name: &str) -> String {
    let hash = blake3::derive_key("hostwright network connection", name.as_bytes());
    let mut bytes: [u8; 16] = std::array::from_fn(|i| hash[i]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn kind_sections(interface: &Interface) -> String {
    let mut ethernet: Vec<String> = Vec::new();
    ethernet.extend(interface.mtu_bytes.map(|mtu| format!("mtu={mtu}")));
    let mut text = String::new();
    match &interface.kind {
        InterfaceKind::Ethernet { matched } => {
            ethernet.insert(0, format!("mac-address={matched}"));
            ethernet.extend(interface.mac.map(|mac| format!("cloned-mac-address={mac}")));
        }
        InterfaceKind::Bond { mode, options, .. } => {
            ethernet.extend(interface.mac.map(|mac| format!("cloned-mac-address={mac}")));
            let mut lines = vec![format!("mode={}", mode.name())];
            lines.extend(bond::each(options).map(|(o, value)| format!("{}={value}", o.kernel)));
            text.push_str(&section("bond", &lines));
        }
        InterfaceKind::Vlan { parent, id } => {
            ethernet.extend(interface.mac.map(|mac| format!("cloned-mac-address={mac}")));
            text.push_str(&section("vlan", &[format!("id={id}"), format!("parent={parent}")]));
        }
        InterfaceKind::Bridge { stp, .. } => {
            let mut lines = vec![format!("stp={stp}")];
            if !stp {
                lines.push("forward-delay=0".to_owned());
            }
            lines.extend(interface.mac.map(|mac| format!("mac-address={mac}")));
            text.push_str(&section("bridge", &lines));
        }
    }
    if !ethernet.is_empty() {
        text.push_str(&section("ethernet", &ethernet));
    }
    text
}

fn ip_section(network: &Network, addressing: &Addressing, v6: bool, has_dns: bool) -> String {
    let of_family = |net: &&IpNet| net.ip.is_ipv6() == v6;
    let addresses: Vec<&IpNet> = addressing.addresses.iter().filter(of_family).collect();
    let method = method(addressing, !addresses.is_empty(), v6);
    let mut lines = vec![format!("method={method}")];
    lines.extend((1..).zip(&addresses).map(|(i, net)| format!("address{i}={net}")));
    let routes = addressing.routes.iter().filter(|route| of_family(&&route.to));
    for (i, route) in (1..).zip(routes) {
        lines.push(route_line(i, route));
    }
    if has_dns && method != "disabled" {
        let own = network.dns.servers.iter().filter(|server| server.is_ipv6() == v6);
        let own: String = own.map(|server| format!("{server};")).collect();
        lines.extend((!own.is_empty()).then(|| format!("dns={own}")));
        let search: String = network.dns.search.iter().map(|name| format!("{name};")).collect();
        lines.extend((!search.is_empty()).then(|| format!("dns-search={search}")));
    }
    section(if v6 { "ipv6" } else { "ipv4" }, &lines)
}

fn method(addressing: &Addressing, has_addresses: bool, v6: bool) -> &'static str {
    match (v6, has_addresses) {
        (false, _) if addressing.dhcp4 => "auto",
        (true, _) if addressing.dhcp6 && addressing.accept_ra == Some(false) => "dhcp",
        (true, _) if addressing.dhcp6 || addressing.accept_ra == Some(true) => "auto",
        (_, true) => "manual",
        (true, false) if !addressing.is_none() && addressing.accept_ra.is_none() => "auto",
        _ => "disabled",
    }
}

/// `route1=198.51.100.0/24,192.0.2.1,100`.
fn route_line(number: usize, route: &Route) -> String {
    let via = match (route.via, route.to.ip.is_ipv6()) {
        (Some(via), _) => via.to_string(),
        (None, false) => "0.0.0.0".to_owned(),
        (None, true) => "::".to_owned(),
    };
    let metric = route.metric.map(|metric| format!(",{metric}")).unwrap_or_default();
    format!("route{number}={},{via}{metric}", route.to)
}
