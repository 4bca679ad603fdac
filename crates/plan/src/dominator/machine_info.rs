//! `config.json`: which machine it is, and the subnets that it may be in.

use super::json::{self, Fields};
use crate::storage::{Source, Span, Spanned};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::ids::MacAddr;
use hostwright_model::network::IpNet;
use std::net::IpAddr;
use std::str::FromStr;

/// Name of the file.
pub const FILE: &str = "config.json";

/// The whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineInfo {
    /// The primary network entry.
    pub primary: NetworkEntry,
    /// Further ones.
    pub secondary: Vec<NetworkEntry>,
    /// The subnet that gives the default route and the name servers, in place of the primary's.
    pub gateway_subnet: Option<Spanned<String>>,
    /// The tag `RequiredImage`.
    pub required_image: Option<Spanned<String>>,
    /// `amd64` or `arm64`, where it is told.
    pub architecture: Option<Spanned<String>>,
    /// The subnets.
    pub subnets: Vec<Subnet>,
    /// The text of the file.
    pub source: Source,
}

/// How a machine is connected to one network.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkEntry {
    /// Name under which it is known there.
    pub hostname: Option<Spanned<String>>,
    /// Its address.
    pub ip: Option<Spanned<IpAddr>>,
    /// Ethernet address of the card.
    pub mac: Option<Spanned<MacAddr>>,
    /// The subnet, of an entry without an address.
    pub subnet: Option<Spanned<String>>,
    /// True if the card carries the VLANs, too.
    pub vlan_trunk: bool,
    /// Where the entry begins.
    pub at: Span,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq)]
pub struct Subnet {
    /// Its name.
    pub id: Spanned<String>,
    /// Its router, with the length of the network's prefix.
    pub gateway: Option<IpNet>,
    /// Domain of names in it.
    pub domain: Option<String>,
    /// Its name servers.
    pub name_servers: Vec<IpAddr>,
    /// True if virtual machines get a bridge into it.
    pub manage: bool,
    /// Its VLAN; 0 for none.
    pub vlan: u16,
}

impl MachineInfo {
    /// All network entries, the primary first.
    pub fn entries(&self) -> impl Iterator<Item = &NetworkEntry> {
        std::iter::once(&self.primary).chain(&self.secondary)
    }

    /// The host name without its domain.
    pub fn hostname(&self) -> Option<&str> {
        let name = self.primary.hostname.as_ref()?.value.as_str();
        name.split('.').next().filter(|name| !name.is_empty())
    }
}

/// Reads the file.
pub(super) fn parse(text: &str, found: &mut Vec<Diagnostic>) -> Option<MachineInfo> {
    json::read(FILE, text, found, |fields| {
        fields.unused(&["Error", "Location"]);
        let subnets = fields.objects("Subnets", subnet).into_iter().flatten().collect();
        let machine = fields
            .object("Machine", |machine| machine_fields(machine, subnets, Source::new(FILE, text)));
        if machine.is_none() {
            let message = "there is no Machine in this file";
            let cure = "write \"Machine\": { \"Hostname\": …, \"HostIpAddress\": …, … }";
            fields.error("bad-json-value", fields.at(), message, cure);
        }
        machine
    })?
}

fn machine_fields(machine: &Fields<'_, '_>, subnets: Vec<Subnet>, source: Source) -> MachineInfo {
    machine.unused(&[
        "IPMI",
        "Location",
        "OwnerGroups",
        "OwnerUsers",
        "MemoryInMiB",
        "NumCPUs",
        "TotalVolumeBytes",
    ]);
    let tags = machine.map("Tags");
    let required = tags.into_iter().find(|(name, _)| name == "RequiredImage");
    let architecture = machine.text("ArchitectureType");
    MachineInfo {
        primary: entry(machine),
        secondary: machine.objects("SecondaryNetworkEntries", entry),
        gateway_subnet: non_empty(machine.text("GatewaySubnetId")),
        required_image: non_empty(required.map(|(_, image)| image)),
        architecture: non_empty(architecture).filter(|name| name.value != "auto"),
        subnets,
        source,
    }
}

fn non_empty(text: Option<Spanned<String>>) -> Option<Spanned<String>> {
    text.filter(|text| !text.value.is_empty())
}

fn entry(fields: &Fields<'_, '_>) -> NetworkEntry {
    let hostname = non_empty(fields.text("Hostname"));
    if let Some(name) = &hostname
        && !is_hostname(&name.value)
    {
        let message = format!("'{}' is not a host name", name.value);
        let cure = "use letters, digits and - in names of at most 63 characters, with dots between";
        fields.error("bad-json-value", name.at, message, cure);
    }
    let mac: Option<Spanned<LooseMac>> =
        fields.parsed("HostMacAddress", "an Ethernet address such as 52:54:00:12:34:56");
    NetworkEntry {
        hostname,
        ip: fields.parsed("HostIpAddress", "an IP address such as 192.0.2.7"),
        mac: mac.map(|mac| Spanned::new(mac.value.0, mac.at)),
        subnet: non_empty(fields.text("SubnetId")),
        vlan_trunk: fields.flag("VlanTrunk"),
        at: fields.at(),
    }
}

/// True for what can stand in `/etc/hostname`, with or without a domain.
pub(crate) fn is_hostname(name: &str) -> bool {
    let is_label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        letters
            && (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// An Ethernet address whose octets may lack their leading zero.
struct LooseMac(MacAddr);

impl FromStr for LooseMac {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let octets: Vec<&str> = text.split(':').collect();
        let octet = |octet: &str| match octet.len() {
            1 | 2 => u8::from_str_radix(octet, 16).ok().filter(|_| !octet.starts_with('+')),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = octets.into_iter().map(octet).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(|bytes| Self(MacAddr(bytes))).ok_or(())
    }
}

fn subnet(fields: &Fields<'_, '_>) -> Option<Subnet> {
    fields.unused(&[
        "DisableMetadata",
        "AllowedGroups",
        "AllowedUsers",
        "FirstDynamicIP",
        "LastDynamicIP",
        "FirstAutoIP",
        "LastAutoIP",
        "ReservedIPs",
        "Tags",
    ]);
    let address = "an IP address such as 192.0.2.1";
    let name_servers: Vec<Spanned<IpAddr>> = fields.list("DomainNameServers", address);
    let subnet = Subnet {
        id: fields.text("Id").unwrap_or_else(|| Spanned::new(String::new(), fields.at())),
        gateway: gateway(fields),
        domain: non_empty(fields.text("DomainName")).map(|domain| domain.value),
        name_servers: name_servers.into_iter().map(|server| server.value).collect(),
        manage: fields.flag("Manage"),
        vlan: vlan(fields),
    };
    if subnet.id.value.is_empty() {
        let cure = "write \"Id\": \"…\"";
        fields.error("bad-json-value", fields.at(), "this subnet has no Id", cure);
        return None;
    }
    Some(subnet)
}

fn gateway(fields: &Fields<'_, '_>) -> Option<IpNet> {
    let ip: Option<Spanned<IpAddr>> = fields.parsed("IpGateway", "an IP address such as 192.0.2.1");
    let mask: Option<Spanned<IpAddr>> = fields.parsed("IpMask", "a netmask such as 255.255.255.0");
    let (ip, mask) = (ip?, mask?);
    let net = IpNet::from_mask(ip.value, mask.value);
    if net.is_none() {
        let message = format!("{} is no netmask for {}", mask.value, ip.value);
        let cure = "write ones in front and zeros behind, such as 255.255.255.0";
        fields.error("bad-json-value", mask.at, message, cure);
    }
    net
}

fn vlan(fields: &Fields<'_, '_>) -> u16 {
    let Some(id) = fields.number("VlanId") else { return 0 };
    match u16::try_from(id.value).ok().filter(|id| *id <= 4094) {
        Some(id) => id,
        None => {
            let message = format!("there is no VLAN {}", id.value);
            fields.error("bad-json-value", id.at, message, "write a number from 0 to 4094");
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethernet_addresses_may_be_short() {
        for (text, expected) in [
            ("52:54:0:a:b:C", Some([0x52, 0x54, 0, 0xa, 0xb, 0xc])),
            ("52:54:00:12:34:56", Some([0x52, 0x54, 0, 0x12, 0x34, 0x56])),
            ("52:54:00:12:34", None),
            ("52:54:00:12:34:567", None),
            ("52:54:00:12:34:+5", None),
            ("", None),
        ] {
            let found = text.parse::<LooseMac>().ok().map(|mac| mac.0.0);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn host_names_are_what_dns_allows() {
        for (name, good) in [
            ("web1", true),
            ("web1.example.org", true),
            ("WEB-1", true),
            ("-web", false),
            ("web_1", false),
            ("web..org", false),
            ("a\nb", false),
            ("", false),
        ] {
            assert_eq!(is_hostname(name), good, "{name}");
        }
    }
}
