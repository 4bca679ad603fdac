//! What the network of the machine that is installed says, in FAI's variables: its interfaces, the
//! default routes, the name servers, and what DHCP told beside them.

use hostwright_host::{Host, HostError};
use hostwright_model::facts::{Facts, Nic};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Where the DHCP client of the agent leaves what it was told, a line `option=words` each, in a file
/// named after the interface.
const LEASE: &str = "/run/hostwright/dhcp.";
/// Options by their names with udhcpc(8), and FAI's variables that list them.
const LISTED: [(&str, &str); 4] =
    [("router", "GATEWAYS"), ("dns", "DNSSRVS"), ("ntpsrv", "NTPSRVS"), ("nissrv", "YPSRVR")];
/// The same for those that are one word.
const SINGLE: [(&str, &str); 3] =
    [("domain", "DOMAIN"), ("nisdomain", "YPDOMAIN"), ("serverid", "DHCP_SERVER_IDENTIFIER")];

/// Options of DHCP, or what stands for them on a machine with another client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Network(BTreeMap<String, String>);

impl Network {
    /// Reads what there is about the interface the machine was reached by.
    pub(crate) fn read(host: &mut dyn Host, facts: &Facts) -> Result<Self, HostError> {
        let mut text = |path: &str| -> Result<String, HostError> {
            let bytes = host.read(path)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let mut options = BTreeMap::new();
        options.insert("router", default_routes(&text("/proc/net/route")?));
        let (servers, domain) = name_servers(&text("/etc/resolv.conf")?);
        options.insert("dns", servers);
        options.insert("domain", domain);
        let lease = match first_nic(facts) {
            Some(nic) => text(&format!("{LEASE}{}", nic.name))?,
            None => String::new(),
        };
        options.extend(lease.lines().filter_map(|line| {
            let (option, words) = line.split_once('=')?;
            (!words.is_empty()).then(|| (option, words.to_owned()))
        }));
        let said = options.into_iter().filter(|(_, words)| !words.is_empty());
        Ok(Self(said.map(|(option, words)| (option.to_owned(), words)).collect()))
    }

    /// FAI's variables about a machine's network.
    pub(crate) fn variables(&self, facts: &Facts) -> Vec<(String, String)> {
        let mut vars = Vec::new();
        let names = |is_wanted: fn(&Nic) -> bool| {
            let nics = facts.nics.iter().filter(|nic| is_wanted(nic));
            nics.map(|nic| nic.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        vars.push(("netdevices_all", names(|_| true)));
        vars.push(("netdevices_up", names(|nic| nic.link_up)));
        vars.push(("netdevices", names(|nic| nic.link_up)));
        if let Some(nic) = first_nic(facts) {
            vars.push(("NIC1", nic.name.clone()));
            vars.push(("MAC", nic.mac.to_string()));
            vars.extend(
                nic.addresses.iter().find_map(|cidr| of_address(cidr)).into_iter().flatten(),
            );
        }
        for (option, name) in SINGLE {
            let word = self.0.get(option).and_then(|words| words.split_whitespace().next());
            vars.extend(word.map(|word| (name, word.to_owned())));
        }
        let mut vars: Vec<(String, String)> =
            vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (option, name) in LISTED {
            let words: Vec<&str> =
                self.0.get(option).into_iter().flat_map(|words| words.split_whitespace()).collect();
            if !words.is_empty() {
                vars.push((name.to_owned(), words.join(" ")));
            }
            for (number, word) in (1..).zip(&words) {
                vars.push((format!("{name}_{number}"), (*word).to_owned()));
            }
        }
        vars
    }
}

/// The interface the machine was reached by: one with an address, else one with a link.
fn first_nic(facts: &Facts) -> Option<&Nic> {
    let addressed = facts.nics.iter().find(|nic| !nic.addresses.is_empty());
    addressed.or_else(|| facts.nics.iter().find(|nic| nic.link_up)).or(facts.nics.first())
}

/// What an address of version 4 with its prefix says.
fn of_address(cidr: &str) -> Option<[(&'static str, String); 6]> {
    let (address, bits) = cidr.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    let bits = bits.parse::<u32>().ok().filter(|bits| *bits <= 32)?;
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    let text = |bits: u32| Ipv4Addr::from(bits).to_string();
    let network = u32::from(address) & mask;
    Some([
        ("CIDR", cidr.to_owned()),
        ("IPADDR", address.to_string()),
        ("NETMASK", text(mask)),
        ("NETWORK", text(network)),
        ("SUBNET_CIDR", format!("{}/{bits}", text(network))),
        ("BROADCAST", text(network | !mask)),
    ])
}

/// Routers of the default routes in the kernel's table, the preferred one first.
fn default_routes(table: &str) -> String {
    const HAS_GATEWAY: u32 = 2;
    let mut routes: Vec<(u32, String)> = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "00000000", gateway, flags, _, _, metric, ..] = fields[..] else { continue };
        let hex = |field: &str| u32::from_str_radix(field, 16).ok();
        let (Some(gateway), Some(flags), Ok(metric)) =
            (hex(gateway), hex(flags), metric.parse::<u32>())
        else {
            continue;
        };
        if flags & HAS_GATEWAY != 0 {
            // The kernel prints the bytes of the network as a number of its own.
            routes.push((metric, Ipv4Addr::from(gateway.to_ne_bytes()).to_string()));
        }
    }
    routes.sort_by_key(|(metric, _)| *metric);
    routes.into_iter().map(|(_, router)| router).collect::<Vec<_>>().join(" ")
}

/// Name servers and the first domain of a resolv.conf(5).
fn name_servers(text: &str) -> (String, String) {
    let mut servers: Vec<&str> = Vec::new();
    let mut domain = "";
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("nameserver"), Some(server)) => servers.push(server),
            (Some("search" | "domain"), Some(name)) => domain = name,
            _ => {}
        }
    }
    (servers.join(" "), domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use hostwright_host::ShellRequest;
    use hostwright_host::real::RealHost;
    use hostwright_host::sim::{RootKind, SimHost};

    const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
        eth0\t00000000\t0200000A\t0003\t0\t0\t200\t00000000\n\
        eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\n\
        eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n";

    const ONE_ROUTE: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
        eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\n";

    fn facts() -> Facts {
        let nic = |name: &str, link_up: bool, addresses: &[&str]| Nic {
            name: name.to_owned(),
            predictable_name: None,
            mac: "52:54:00:12:34:56".parse().unwrap(),
            driver: None,
            link_up,
            addresses: addresses.iter().map(|&text| text.to_owned()).collect(),
        };
        let nics = vec![nic("eth0", true, &["10.0.0.7/24"]), nic("eth1", false, &[])];
        Facts { nics, ..samples::inputs().facts }
    }

    fn variables(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        let facts = facts();
        let mut host = SimHost::new(facts.clone(), RootKind::Memory);
        for (path, text) in files {
            host.add_file(path, *text, 0o644);
        }
        let network = Network::read(&mut host, &facts).unwrap();
        network.variables(&facts).into_iter().collect()
    }

    #[test]
    fn routes_and_name_servers_stand_in_for_a_lease() {
        let resolv = "search lan example.org\nnameserver 10.0.0.3\nnameserver fd00::3\n";
        let mut files = vec![("/proc/net/route", ROUTES), ("/etc/resolv.conf", resolv)];
        let vars = variables(&files);
        for (name, value) in [
            ("GATEWAYS", "10.0.0.1 10.0.0.2"),
            ("GATEWAYS_2", "10.0.0.2"),
            ("DNSSRVS", "10.0.0.3 fd00::3"),
            ("DNSSRVS_1", "10.0.0.3"),
            ("DOMAIN", "lan"),
            ("SUBNET_CIDR", "10.0.0.0/24"),
            ("BROADCAST", "10.0.0.255"),
            ("netdevices_all", "eth0 eth1"),
            ("netdevices_up", "eth0"),
        ] {
            assert_eq!(vars.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(vars.get("NTPSRVS"), None);
        let lease = "router=10.0.0.9\ndns=\ndomain=site.example\nntpsrv=10.0.0.4 10.0.0.5\n\
                     serverid=10.0.0.1\nnisdomain=yp\n";
        files.push(("/run/hostwright/dhcp.eth0", lease));
        let vars = variables(&files);
        for (name, value) in [
            ("GATEWAYS", "10.0.0.9"),
            ("DNSSRVS", "10.0.0.3 fd00::3"),
            ("DOMAIN", "site.example"),
            ("NTPSRVS_2", "10.0.0.5"),
            ("YPDOMAIN", "yp"),
            ("DHCP_SERVER_IDENTIFIER", "10.0.0.1"),
        ] {
            assert_eq!(vars.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    /// FAI's example writes the interfaces of a machine without DHCP from these variables.
    #[test]
    fn the_example_s_script_writes_a_whole_static_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut host = RealHost::default();
        for name in ["target/etc/network/interfaces.d", "bin"] {
            host.make_dir(&path(name), 0o755).unwrap();
        }
        for (program, does) in [
            ("ip", "echo 'eth0 UP 10.0.0.7/24'"),
            ("udevadm", "echo 'E: ID_NET_NAME_PATH=enp0s2'"),
            ("ifclass", "exit 1"),
            ("fcopy", ":"),
        ] {
            let text = format!("#!/bin/sh\n{does}\n");
            host.write(&path(&format!("bin/{program}")), text.as_bytes(), 0o755).unwrap();
        }
        let mut env =
            variables(&[("/proc/net/route", ONE_ROUTE), ("/etc/resolv.conf", "search lan\n")]);
        for (name, value) in [
            ("target", path("target")),
            ("PATH", format!("{}:/usr/bin:/bin", path("bin"))),
            ("FAI_ACTION", "install".to_owned()),
            ("do_init_tasks", "1".to_owned()),
        ] {
            env.insert(name.to_owned(), value);
        }
        let prelude = crate::shell::PRELUDE.to_owned();
        host.shell(&ShellRequest::Start { env, prelude }, &mut |_, _| {}).unwrap();
        let script = "/usr/share/doc/fai-doc/examples/simple/scripts/DEBIAN/30-interface";
        let request = ShellRequest::Eval { script: format!("bash {script}"), dir: "/".to_owned() };
        let mut said = Vec::new();
        let reply = host.shell(&request, &mut |_, line| said.push(line.to_owned())).unwrap();
        assert_eq!(reply.status, 0, "{said:#?}");
        let made = host.read(&path("target/etc/network/interfaces.d/enp0s2")).unwrap();
        insta::assert_snapshot!(String::from_utf8(made.unwrap()).unwrap(), @r"
        # generated by FAI
        auto enp0s2
        iface enp0s2 inet static
            address 10.0.0.7/24
            gateway 10.0.0.1
        ");
        let networks = host.read(&path("target/etc/networks")).unwrap().unwrap();
        assert_eq!(networks, b"localnet 10.0.0.0\n");
    }
}
