//! `/etc/network/interfaces` (interfaces(5)), with names pinned for udev with and without systemd.

use super::{MADE, dns_interface, file, owner, pin};
use hostwright_model::network::{Addressing, Interface, InterfaceKind, IpNet, Network, Route};
use hostwright_model::plan::TargetFile;

/// Path of the file.
pub(super) const PATH: &str = "/etc/network/interfaces";

/// The file where something else configures the network.
pub(crate) fn loopback_only() -> TargetFile {
    file(PATH, 0o644, head())
}

fn head() -> String {
    format!("{MADE}source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n")
}

/// The files.
pub(super) fn files(network: &Network) -> Vec<TargetFile> {
    let mut text = head();
    for interface in
        network.interfaces.iter().filter(|interface| !is_brought_up(network, interface))
    {
        text.push_str(&stanzas(network, interface));
    }
    let mut files = vec![file(PATH, 0o644, text)];
    if pin::cards(network).next().is_some() {
        files.push(pin::udev_rules(network));
        files.extend(pin::link_files(network));
    }
    files
}

/// True for cards that a bond or bridge brings up by itself.
fn is_brought_up(network: &Network, interface: &Interface) -> bool {
    let is_card = matches!(interface.kind, InterfaceKind::Ethernet { .. });
    is_card && interface.mtu_bytes.is_none() && owner(network, &interface.name).is_some()
}

/// One stanza an address; what is about the interface itself goes to the first.
fn stanzas(network: &Network, interface: &Interface) -> String {
    let name = &interface.name;
    let mut methods = methods(&interface.addressing);
    if methods.is_empty() {
        methods.push(("inet manual".to_owned(), Vec::new()));
    }
    let mut first = own_options(interface);
    if dns_interface(network).is_some_and(|dns| dns.name == *name) {
        first.extend(dns_options(network));
    }
    let routes = interface.addressing.routes.iter().filter(|route| !is_gateway(interface, route));
    let last: Vec<String> = routes.map(|route| route_option(name, route)).collect();
    let count = methods.len();
    let mut text = format!("\nauto {name}\n");
    for (i, (method, mut options)) in methods.into_iter().enumerate() {
        if i == 0 {
            options.append(&mut first);
        }
        if i + 1 == count {
            options.extend(last.iter().cloned());
        }
        text.push_str(&format!("iface {name} {method}\n"));
        options.iter().for_each(|option| text.push_str(&format!("\t{option}\n")));
    }
    text
}

/// Families and methods, each with its options.
fn methods(addressing: &Addressing) -> Vec<(String, Vec<String>)> {
    let accept_ra = addressing.accept_ra.map(|accept| format!("accept_ra {}", u8::from(accept)));
    let mut methods = Vec::new();
    for v6 in [false, true] {
        let family = if v6 { "inet6" } else { "inet" };
        let own = |net: &&IpNet| net.ip.is_ipv6() == v6;
        for (i, address) in addressing.addresses.iter().filter(own).enumerate() {
            let mut options = vec![format!("address {address}")];
            let gateway =
                addressing.gateway(v6).filter(|_| i == 0 && has_plain_gateway(addressing, v6));
            options.extend(gateway.map(|gateway| format!("gateway {gateway}")));
            options.extend(accept_ra.clone().filter(|_| v6 && i == 0));
            methods.push((format!("{family} static"), options));
        }
        let asks = if v6 { addressing.dhcp6 } else { addressing.dhcp4 };
        let has_static = addressing.addresses.iter().any(|net| own(&net));
        if asks {
            let options = accept_ra.clone().filter(|_| v6 && !has_static).into_iter().collect();
            methods.push((format!("{family} dhcp"), options));
        } else if v6 && addressing.accept_ra == Some(true) && !has_static {
            methods.push((format!("{family} auto"), Vec::new()));
        }
    }
    methods
}

/// A `gateway` line cannot have a metric of its own for one of several default routes.
fn has_plain_gateway(addressing: &Addressing, v6: bool) -> bool {
    let of_family = |route: &&Route| route.to.is_default() && route.to.ip.is_ipv6() == v6;
    let mut routes = addressing.routes.iter().filter(of_family);
    routes.next().is_some_and(|route| route.metric.is_none() && route.via.is_some())
}

/// True for the route that the `gateway` line of an address makes.
fn is_gateway(interface: &Interface, route: &Route) -> bool {
    let addressing = &interface.addressing;
    let v6 = route.to.ip.is_ipv6();
    route.to.is_default()
        && has_plain_gateway(addressing, v6)
        && addressing.gateway(v6) == route.via
        && addressing.addresses.iter().any(|net| net.ip.is_ipv6() == v6)
}

fn route_option(name: &str, route: &Route) -> String {
    let family = if route.to.ip.is_ipv6() { "-6 " } else { "" };
    let via = route.via.map(|via| format!(" via {via}")).unwrap_or_default();
    let metric = route.metric.map(|metric| format!(" metric {metric}")).unwrap_or_default();
    format!("up ip {family}route replace {}{via} dev {name}{metric}", route.to)
}

/// Options of the interface itself.
fn own_options(interface: &Interface) -> Vec<String> {
    let mut options = Vec::new();
    options.extend(interface.mac.map(|mac| format!("hwaddress {mac}")));
    options.extend(interface.mtu_bytes.map(|mtu| format!("mtu {mtu}")));
    match &interface.kind {
        InterfaceKind::Ethernet { .. } => {}
        InterfaceKind::Bond { members, mode, options: more } => {
            options.push(format!("bond-slaves {}", members.join(" ")));
            options.push(format!("bond-mode {}", mode.name()));
            let more = more.iter();
            options.extend(more.map(|(k, v)| format!("bond-{} {v}", k.replace('_', "-"))));
        }
        InterfaceKind::Vlan { parent, id } => {
            options.push(format!("vlan-raw-device {parent}"));
            // Where the name does not end in the number.
            if !interface.name.ends_with(&format!(".{id}")) {
                options.push(format!("vlan-id {id}"));
            }
        }
        InterfaceKind::Bridge { ports, stp } => {
            options.push(format!("bridge_ports {}", none_or(ports)));
            options.push(format!("bridge_stp {}", if *stp { "on" } else { "off" }));
            if !stp {
                options.push("bridge_fd 0".to_owned());
            }
        }
    }
    options
}

fn none_or(ports: &[String]) -> String {
    if ports.is_empty() { "none".to_owned() } else { ports.join(" ") }
}

fn dns_options(network: &Network) -> Vec<String> {
    let servers: Vec<String> = network.dns.servers.iter().map(ToString::to_string).collect();
    let line = |key: &str, values: &[String]| {
        (!values.is_empty()).then(|| format!("{key} {}", values.join(" ")))
    };
    let lines = [line("dns-nameservers", &servers), line("dns-search", &network.dns.search)];
    lines.into_iter().flatten().collect()
}
