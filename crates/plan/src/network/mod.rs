//! The network of an installed system: checked against the machine, then written down for the program
//! that will configure it.
//!
//! [`mistakes`] says what is wrong with a [`Network`] on a machine, [`render`] makes the files. Both
//! work on the plan, so that a wrong subnet or a missing card is found before a disk is touched.

mod bond;
mod ifupdown;
mod netplan;
mod network_manager;
mod networkd;
mod pin;
mod verify;

pub(crate) use ifupdown::loopback_only;
pub use verify::{Mistake, mistakes};

use hostwright_model::network::{Interface, InterfaceKind, Network, Renderer};
use hostwright_model::plan::TargetFile;

/// First line of files that are made here; the engine knows by it what is nobody's own work.
pub(crate) const MADE: &str = "# Made by Hostwright\n";

/// What the installed system has besides the renderer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// True if systemd-resolved(8) looks names up.
    pub resolved: bool,
    /// True if resolvconf(8) keeps resolv.conf.
    pub resolvconf: bool,
}

/// The files of a network that [`mistakes`] has nothing against.
pub fn render(network: &Network, renderer: Renderer, around: Surroundings) -> Vec<TargetFile> {
    let mut files = match renderer {
        Renderer::Ifupdown => ifupdown::files(network),
        Renderer::Netplan => netplan::files(network),
        Renderer::Networkd => networkd::files(network),
        Renderer::NetworkManager => network_manager::files(network),
    };
    let own_dns = renderer == Renderer::NetworkManager || around.resolved;
    let resolvconf = renderer == Renderer::Ifupdown && around.resolvconf;
    if !own_dns && !resolvconf && !network.dns.servers.is_empty() {
        files.push(resolv_conf(network));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn resolv_conf(network: &Network) -> TargetFile {
    let mut text = MADE.to_owned();
    if !network.dns.search.is_empty() {
        text.push_str(&format!("search {}\n", network.dns.search.join(" ")));
    }
    for server in &network.dns.servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    file("/etc/resolv.conf", 0o644, text)
}

fn file(path: impl Into<String>, mode: u32, content: String) -> TargetFile {
    TargetFile { path: path.into(), mode, content }
}

/// The interface that name servers are told to, where each has its own: that with the default route,
/// else the first with an address.
fn dns_interface(network: &Network) -> Option<&Interface> {
    let asks = |i: &&Interface| i.addressing.dhcp4 || i.addressing.dhcp6;
    let has_default = |i: &&Interface| i.addressing.routes.iter().any(|r| r.to.is_default());
    let all = || network.interfaces.iter();
    let found = all().find(has_default).or_else(|| all().find(asks));
    found.or_else(|| all().find(|i| !i.addressing.is_none()))
}

/// The bond or bridge that an interface is a part of.
fn owner<'a>(network: &'a Network, name: &str) -> Option<&'a Interface> {
    network.interfaces.iter().find(|interface| parts(interface).iter().any(|part| part == name))
}

/// The names of what a bond or bridge is made of.
fn parts(interface: &Interface) -> &[String] {
    match &interface.kind {
        InterfaceKind::Bond { members, .. } => members,
        InterfaceKind::Bridge { ports, .. } => ports,
        InterfaceKind::Ethernet { .. } | InterfaceKind::Vlan { .. } => &[],
    }
}
