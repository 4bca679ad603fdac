//! Names of network cards, bound to their Ethernet addresses.

use super::{MADE, file};
use hostwright_model::ids::MacAddr;
use hostwright_model::network::{InterfaceKind, Network};
use hostwright_model::plan::TargetFile;

/// The cards of a network with their addresses.
pub(super) fn cards(network: &Network) -> impl Iterator<Item = (&str, MacAddr)> {
    network.interfaces.iter().filter_map(|interface| match interface.kind {
        InterfaceKind::Ethernet { matched } => Some((interface.name.as_str(), matched)),
        _ => None,
    })
}

/// A systemd.link(5) file a card. By its permanent address: VLANs and bridges have the same current
/// one, and would be renamed, too.
pub(super) fn link_files(network: &Network) -> Vec<TargetFile> {
    let link = |(name, mac): (&str, MacAddr)| {
        let text = format!("{MADE}[Match]\nPermanentMACAddress={mac}\n\n[Link]\nName={name}\n");
        file(format!("/etc/systemd/network/10-{name}.link"), 0o644, text)
    };
    cards(network).map(link).collect()
}

/// Rules for a udev without systemd. Only cards have a driver of their own.
pub(super) fn udev_rules(network: &Network) -> TargetFile {
    let rule = |(name, mac): (&str, MacAddr)| {
        format!(
            "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{{address}}==\"{mac}\", \
             ATTR{{type}}==\"1\", NAME=\"{name}\"\n"
        )
    };
    let rules: String = cards(network).map(rule).collect();
    file("/etc/udev/rules.d/70-persistent-net.rules", 0o644, format!("{MADE}{rules}"))
}
