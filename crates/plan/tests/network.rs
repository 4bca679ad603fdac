//! Networks of installed systems: the same as Dominator's for its configurations, golden texts for each
//! renderer, and the real programs' opinion of them.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]
#![expect(clippy::disallowed_methods, reason = "the crate is pure, its tests ask real parsers")]
#![expect(clippy::print_stderr, reason = "what is left out has to be seen")]

mod support;

use hostwright_model::facts::Nic;
use hostwright_model::network::{
    Addressing, BondMode, Dns, Interface, InterfaceKind, Network, Renderer, Route,
};
use hostwright_model::plan::TargetFile;
use hostwright_plan::dominator::{self, MachineInfo};
use hostwright_plan::network::{Surroundings, mistakes, render};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{project, read_text};

fn mac(number: usize) -> String {
    format!("52:54:00:00:00:{number:02x}")
}

/// Cards eth0, eth1, …; those with `true` have a carrier.
fn nics(carriers: &[bool]) -> Vec<Nic> {
    let nic = |(i, link_up): (usize, &bool)| Nic {
        name: format!("eth{i}"),
        predictable_name: None,
        mac: mac(i + 1).parse().unwrap(),
        driver: None,
        link_up: *link_up,
        addresses: Vec::new(),
    };
    carriers.iter().enumerate().map(nic).collect()
}

/// The example's machine, with another Machine in its `config.json`.
fn machine(machine: &str) -> MachineInfo {
    let text = read_text(&project().join("fixtures/dominator/demo/config.json"));
    let subnets = text.split_once("\"Subnets\"").unwrap().1;
    let config = format!("{{ \"Machine\": {{ {machine} }}, \"Subnets\"{subnets}");
    let dir = project().join("fixtures/dominator/demo");
    let mut files: BTreeMap<String, Vec<u8>> = ["storage-layout.json", "imagename"]
        .map(|name| (name.to_owned(), read_text(&dir.join(name)).into_bytes()))
        .into();
    files.insert("config.json".to_owned(), config.into_bytes());
    dominator::inputs(&files).unwrap_or_else(|found| panic!("{found:#?}")).machine
}

fn entry(ip: &str, mac: Option<usize>, more: &str) -> String {
    let mac = mac.map(|n| format!(", \"HostMacAddress\": \"{}\"", self::mac(n)));
    format!("\"HostIpAddress\": \"{ip}\"{}{more}", mac.unwrap_or_default())
}

fn text(files: &[TargetFile], path: &str) -> String {
    files.iter().find(|file| file.path == path).unwrap().content.clone()
}

/// The cases of Dominator's own configurator, minus its faults: no bond without members, and an error
/// where it crashes.
#[test]
fn dominators_cases_give_the_same_network() {
    let in_hypervisors = entry("10.1.0.7", Some(1), "");
    let in_prod = entry("10.120.0.7", None, "");
    let trunk = entry("10.1.0.7", Some(1), ", \"VlanTrunk\": true");
    let gateway = format!(
        "{}, \"GatewaySubnetId\": \"Prod\", \"SecondaryNetworkEntries\": [{{ {} }}]",
        in_hypervisors,
        entry("10.120.0.7", Some(2), "")
    );
    let bridge_only = format!(
        "{in_hypervisors}, \"SecondaryNetworkEntries\": [{{ \"HostMacAddress\": \"{}\", \"SubnetId\": \"Dev\" }}]",
        mac(2)
    );
    let cases: [(&str, &str, &[bool]); 9] = [
        ("one card", &in_hypervisors, &[true]),
        ("a second card with a carrier", &in_hypervisors, &[true, true]),
        ("two more and one without a carrier", &in_hypervisors, &[true, true, true, false]),
        ("VlanTrunk on the only card", &trunk, &[true]),
        ("VlanTrunk and another card with a carrier", &trunk, &[true, true]),
        ("an address on the trunk of two cards", &in_prod, &[true, true]),
        ("a managed subnet", &entry("10.100.0.7", Some(1), ""), &[true]),
        ("another subnet gives the gateway", &gateway, &[true, true]),
        ("a bridge for virtual machines only", &bridge_only, &[true, true]),
    ];
    let mut all = String::new();
    for (what, described, carriers) in cases {
        let nics = nics(carriers);
        let network = dominator::network(&machine(described), &nics);
        let network = network.unwrap_or_else(|found| panic!("{what}: {found:#?}"));
        assert_eq!(mistakes(&network, &nics), [], "{what}");
        let files = render(&network, Renderer::Ifupdown, Surroundings::default());
        let interfaces = text(&files, "/etc/network/interfaces");
        let own = interfaces.split_once("iface lo inet loopback\n").unwrap().1;
        let resolv = text(&files, "/etc/resolv.conf").replace('\n', "; ");
        all.push_str(&format!("==== {what}\n{own}\nresolv.conf: {resolv}\n\n"));
        check_all_renderers(&network, what);
    }
    insta::assert_snapshot!(all);
}

#[test]
fn what_dominator_crashes_on_is_an_error_with_its_place() {
    for (described, carriers, expected) in [
        (entry("10.9.0.7", Some(1), ""), &[true][..], "10.9.0.7 is in none of the subnets"),
        (entry("10.1.0.7", Some(9), ""), &[true], "no network card of this machine is"),
        (entry("10.120.0.7", None, ""), &[false, false], "10.120.0.7 has no card"),
        (entry("10.1.0.1", Some(1), ""), &[true], "the router 10.1.0.1 is this machine itself"),
        (entry("10.1.0.0", Some(1), ""), &[true], "10.1.0.0 is the network or the broadcast"),
        (
            entry("10.1.0.7", Some(1), ", \"GatewaySubnetId\": \"Nowhere\""),
            &[true],
            "there is no subnet Nowhere",
        ),
        ("\"Hostname\": \"web1\"".to_owned(), &[true], "no entry has an address"),
        (
            format!(
                "{}, \"SecondaryNetworkEntries\": [{{ {} }}]",
                entry("10.1.0.7", Some(1), ""),
                entry("10.100.0.7", Some(1), "")
            ),
            &[true],
            "has two entries",
        ),
        (
            format!(
                "{}, \"SecondaryNetworkEntries\": [{{ \"HostMacAddress\": \"{}\", \"SubnetId\": \"Hypervisors\" }}]",
                entry("10.100.0.7", Some(1), ""),
                mac(2)
            ),
            &[true, true],
            "Hypervisors is not managed",
        ),
    ] {
        let found = dominator::network(&machine(&described), &nics(carriers)).unwrap_err();
        assert!(found[0].message.contains(expected), "{described}: {found:#?}");
        let at = found[0].at.as_ref().unwrap();
        assert!(at.file == "config.json" && at.line > 0, "{at}");
    }
}

fn interface(name: &str, kind: InterfaceKind) -> Interface {
    Interface {
        name: name.to_owned(),
        kind,
        mac: None,
        mtu_bytes: None,
        addressing: Addressing::default(),
        why: String::new(),
    }
}

fn card(name: &str, number: usize) -> Interface {
    interface(name, InterfaceKind::Ethernet { matched: mac(number).parse().unwrap() })
}

fn route(to: &str, via: Option<&str>, metric: Option<u32>) -> Route {
    Route { to: to.parse().unwrap(), via: via.map(|via| via.parse().unwrap()), metric }
}

/// One of everything.
fn rich() -> Network {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let options = [("miimon", "100"), ("primary", "lan1"), ("updelay", "200")];
    let bond = InterfaceKind::Bond {
        members: names(&["lan1", "lan2"]),
        mode: BondMode::ActiveBackup,
        options: options.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
    };
    let vlan = |id| InterfaceKind::Vlan { parent: "bond0".to_owned(), id };
    let bridge = InterfaceKind::Bridge { ports: names(&["bond0.200"]), stp: true };
    let both = Addressing {
        addresses: vec!["192.0.2.7/24".parse().unwrap(), "2001:db8::7/64".parse().unwrap()],
        routes: vec![
            route("0.0.0.0/0", Some("192.0.2.1"), None),
            route("::/0", Some("2001:db8::1"), None),
            route("198.51.100.0/24", Some("192.0.2.2"), Some(100)),
            route("203.0.113.0/24", None, None),
        ],
        accept_ra: Some(false),
        ..Addressing::default()
    };
    Network {
        interfaces: vec![
            Interface {
                addressing: Addressing { dhcp4: true, dhcp6: true, ..Addressing::default() },
                ..card("lan0", 1)
            },
            card("lan1", 2),
            card("lan2", 3),
            Interface { mtu_bytes: Some(9000), ..interface("bond0", bond) },
            Interface {
                addressing: both,
                mtu_bytes: Some(1500),
                ..interface("bond0.120", vlan(120))
            },
            interface("bond0.200", vlan(200)),
            Interface {
                mac: Some("52:54:00:00:00:aa".parse().unwrap()),
                addressing: Addressing {
                    addresses: vec!["10.200.0.1/16".parse().unwrap()],
                    ..Addressing::default()
                },
                ..interface("br200", bridge)
            },
        ],
        dns: Dns {
            servers: vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()],
            search: vec!["example.org".to_owned(), "example.net".to_owned()],
        },
    }
}

#[test]
fn every_renderer_writes_everything_down() {
    let network = rich();
    assert_eq!(mistakes(&network, &nics(&[true; 3])), []);
    for renderer in Renderer::ALL {
        let files = render(&network, renderer, Surroundings::default());
        let told = files.iter().map(|file| {
            format!("==== {} ({:o})\n{}", file.path, file.mode, file.content.replace('\t', "    "))
        });
        insta::assert_snapshot!(renderer.name(), told.collect::<Vec<_>>().join("\n"));
    }
    check_all_renderers(&network, "one of everything");
}

#[test]
fn mistakes_are_found_before_anything_is_written() {
    type Change = fn(&mut Network);
    let cases: [(Change, &str); 19] = [
        (|n| n.interfaces[1].kind = card("x", 9).kind, "no network card of this machine is"),
        (|n| n.interfaces[2].kind = card("x", 2).kind, "the card 52:54:00:00:00:02 is used twice"),
        (|n| n.interfaces[2].name = "lan1".into(), "there are two interfaces lan1"),
        (|n| n.interfaces[0].name = "a name".into(), "'a name' cannot be the name"),
        (|n| n.interfaces[0].name = "sixteen-letters!".into(), "cannot be the name"),
        (|n| drop(n.interfaces.remove(1)), "bond0 is made of lan1, which is not there"),
        (|n| members(n, &[]), "the bond bond0 has no members"),
        (|n| members(n, &["lan1", "lan0"]), "lan0 has addresses of its own"),
        (|n| option(n, "mode", "x"), "there is no option mode of bonds"),
        (|n| option(n, "miimon", "soon"), "miimon of bond0 is 'soon', not milliseconds"),
        (|n| option(n, "primary", "lan0"), "primary of bond0 is 'lan0', not one of its members"),
        (|n| n.interfaces[4].kind = vlan("lan9", 1), "bond0.120 is on lan9, which is not there"),
        (|n| n.interfaces[4].kind = vlan("bond0", 4095), "there is no VLAN 4095"),
        (|n| n.interfaces[5].kind = vlan("bond0", 120), "VLAN 120 is on bond0 twice"),
        (|n| n.interfaces[4].mtu_bytes = Some(9001), "bond0.120 has a larger MTU than bond0"),
        (|n| n.interfaces[4].mtu_bytes = Some(1279), "cannot have an MTU of 1279"),
        (
            |n| n.interfaces[4].addressing.routes[0].via = Some([10, 0, 0, 1].into()),
            "in no network",
        ),
        (|n| n.interfaces[6].addressing = n.interfaces[4].addressing.clone(), "is given twice"),
        (|n| n.dns.search[0] = "a b".into(), "'a b' is no domain"),
    ];
    for (change, expected) in cases {
        let mut network = rich();
        change(&mut network);
        let found = mistakes(&network, &nics(&[true; 3]));
        assert!(found.iter().any(|m| m.message.contains(expected)), "{expected}: {found:#?}");
        assert!(found.iter().all(|m| !m.cure.is_empty()));
    }
    let nothing = Network { interfaces: vec![card("lan0", 1)], dns: Dns::default() };
    assert!(
        mistakes(&nothing, &nics(&[true]))[0].message.contains("nobody will reach the machine")
    );
}

fn vlan(parent: &str, id: u16) -> InterfaceKind {
    InterfaceKind::Vlan { parent: parent.to_owned(), id }
}

fn members(network: &mut Network, names: &[&str]) {
    if let InterfaceKind::Bond { members, .. } = &mut network.interfaces[3].kind {
        *members = names.iter().map(|name| (*name).to_owned()).collect();
    }
}

fn option(network: &mut Network, name: &str, value: &str) {
    if let InterfaceKind::Bond { options, .. } = &mut network.interfaces[3].kind {
        *options = vec![(name.to_owned(), value.to_owned())];
    }
}

/// Asks the real programs what they make of the files.
fn check_all_renderers(network: &Network, what: &str) {
    let scratch = Scratch::new(what);
    for renderer in Renderer::ALL {
        let root = scratch.0.join(renderer.name());
        let files = render(network, renderer, Surroundings::default());
        files.iter().for_each(|file| write(&root, file));
        match renderer {
            Renderer::Ifupdown => ask_ifquery(&root, network, what),
            Renderer::Netplan => ask_netplan(&root, network, what),
            Renderer::NetworkManager => ask_nmcli(&root, network, what),
            // Nothing reads its files but itself, as PID 1's service.
            Renderer::Networkd => {}
        }
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(what: &str) -> Self {
        let name: String = what.chars().filter(char::is_ascii_alphanumeric).collect();
        let dir = std::env::temp_dir().join(format!("hostwright-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(root: &Path, file: &TargetFile) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = root.join(file.path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, &file.content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)).unwrap();
}

/// What a program says; fails the test where it is not installed or not content.
fn ask(command: &mut Command, package: &str, what: &str) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{:?}: {error}; install the Debian package {package}", command.get_program())
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// ifquery(8) knows every interface, with its addresses.
fn ask_ifquery(root: &Path, network: &Network, what: &str) {
    let file = root.join("etc/network/interfaces");
    let query = |words: &[&str]| {
        let mut command = Command::new("ifquery");
        ask(command.arg("--interfaces").arg(&file).args(words), "ifupdown", what)
    };
    let list = query(&["--list"]);
    for interface in &network.interfaces {
        let addresses = &interface.addressing.addresses;
        if addresses.is_empty() {
            continue;
        }
        assert!(list.lines().any(|name| name == interface.name), "{what}: {list}");
        let told = query(&[&interface.name]);
        for address in addresses {
            // It writes the prefix of some as a netmask.
            assert!(told.contains(&format!("address: {}", address.ip)), "{what}: {told}");
        }
    }
}

/// netplan(5) makes something of every interface.
fn ask_netplan(root: &Path, network: &Network, what: &str) {
    let mut command = Command::new("netplan");
    ask(command.args(["generate", "--root-dir"]).arg(root), "netplan.io", what);
    let made = root.join("run/systemd/network");
    for interface in &network.interfaces {
        let path = made.join(format!("10-netplan-{}.network", interface.name));
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{what}: {path:?}: {error}"));
        for address in &interface.addressing.addresses {
            assert!(text.contains(&format!("Address={address}")), "{what}: {text}");
        }
        for via in interface.addressing.routes.iter().filter_map(|route| route.via) {
            assert!(text.contains(&format!("Gateway={via}")), "{what}: {text}");
        }
        for owner in &network.interfaces {
            let (word, parts) = match &owner.kind {
                InterfaceKind::Bond { members, .. } => ("Bond", members),
                InterfaceKind::Bridge { ports, .. } => ("Bridge", ports),
                _ => continue,
            };
            let is_part = parts.contains(&interface.name);
            assert_eq!(
                text.contains(&format!("{word}={}\n", owner.name)),
                is_part,
                "{what}: {text}"
            );
        }
    }
}

/// NetworkManager's own reader takes every connection. Where it is not installed, which takes over a
/// developer's network, HOSTWRIGHT_NMCLI may name it; without either this is left out, loudly.
fn ask_nmcli(root: &Path, network: &Network, what: &str) {
    let program = std::env::var_os("HOSTWRIGHT_NMCLI").unwrap_or_else(|| "nmcli".into());
    let is_there = Command::new(&program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        eprintln!("SKIPPED: nmcli is not here; set HOSTWRIGHT_NMCLI, or install network-manager");
        return;
    }
    for interface in &network.interfaces {
        let path = root
            .join("etc/NetworkManager/system-connections")
            .join(format!("{}.nmconnection", interface.name));
        let mut command = Command::new(&program);
        command.args(["--offline", "connection", "modify", "connection.autoconnect-priority", "1"]);
        command.stdin(fs::File::open(&path).unwrap());
        let told = ask(&mut command, "network-manager", what);
        for address in &interface.addressing.addresses {
            assert!(told.contains(&format!("={address}")), "{what}: {told}");
        }
        for via in interface.addressing.routes.iter().filter_map(|route| route.via) {
            assert!(told.contains(&via.to_string()), "{what}: {told}");
        }
    }
}
