//! DHCP with the clients that people run, in network namespaces. Needs root and Debian's packages
//! iproute2, isc-dhcp-client, udhcpc, busybox and ipxe.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod world;

use hostwright_netboot::dhcp::Unknown;
use hostwright_netboot::{BootStep, FileSet, LeaseState};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use world::{Cable, ROAMER, STRANGER, Services, Spy, WEB01};

/// Writes down what udhcpc or dhclient tells its script, and sets the address: renewals and
/// releases are unicast.
const SCRIPT: &str = r#"#!/bin/sh
address=${ip:-$new_ip_address}
[ -n "$address" ] && ip address replace "$address/24" dev "$interface"
{ env; echo "event=$1"; } >> "${0%/*}/told"
"#;

struct Client {
    cable: Cable,
    spy: Arc<Spy>,
    directory: tempfile::TempDir,
    _services: Services,
}

impl Client {
    fn new(mac: hostwright_model::ids::MacAddr, unknown: Unknown) -> Self {
        let cable = Cable::new(mac);
        let spy = Arc::new(Spy::default());
        let services = cable.serve(&spy, unknown, Arc::new(FileSet::default()));
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("script");
        std::fs::write(&script, SCRIPT).unwrap();
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        Self { cable, spy, directory, _services: services }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn udhcpc(&self, more: &[&str]) -> std::process::Command {
        let script = self.path("script");
        let arguments = ["-f", "-i", "eth0", "-t", "3", "-T", "1", "-n", "-s", &script];
        self.cable.client_command("udhcpc", &[&arguments[..], more].concat())
    }

    /// What the script was told, waiting until it contains `text`.
    fn told(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let told = std::fs::read_to_string(self.path("told")).unwrap_or_default();
            if told.contains(text) {
                return told;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{text:?} is not in:\n{told}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Ends its child whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn netns_udhcpc_gets_the_fixed_address_and_renews_it() {
    let client = Client::new(WEB01, Unknown::Ignore);
    let _running = Running(client.udhcpc(&[]).stderr(Stdio::null()).spawn().unwrap());
    let told = client.told("event=bound");
    let mask = if told.contains("\nmask=24") { "mask=24" } else { "subnet=255.255.255.0" };
    for setting in ["ip=10.98.0.50", mask, "router=10.98.0.254", "dns=10.98.0.2", "hostname=web01"]
    {
        assert!(told.contains(&format!("\n{setting}\n")), "{setting} is not in:\n{told}");
    }
    // udhcpc is the only process of the namespace; USR1 makes it renew.
    for process in client.cable.client_pids() {
        world::run("kill", &["-USR1", &process]);
    }
    client.told("event=renew");
    let leases = client.spy.leases();
    assert!(leases.len() >= 2 && leases.iter().all(|lease| lease.state == LeaseState::Bound));
    assert!(leases[1].until_ms > leases[0].until_ms);
}

#[test]
fn netns_udhcpc_gets_an_address_of_the_pool() {
    let client = Client::new(ROAMER, Unknown::Ignore);
    assert!(client.udhcpc(&["-q"]).output().unwrap().status.success());
    assert!(client.told("event=bound").contains("\nip=10.98.0.100\n"));
}

#[test]
fn netns_firmware_is_told_what_to_load() {
    let client = Client::new(WEB01, Unknown::Ignore);
    let firmware = ["-q", "-V", "PXEClient:Arch:00007:UNDI:003016", "-x", "0x5d:0007"];
    assert!(client.udhcpc(&firmware).output().unwrap().status.success());
    let told = client.told("event=bound");
    for setting in ["boot_file=snponly.efi", "siaddr=10.98.0.1"] {
        assert!(told.contains(&format!("\n{setting}\n")), "{setting} is not in:\n{told}");
    }
}

#[test]
fn netns_an_unknown_machine_is_left_alone_and_reported() {
    let client = Client::new(STRANGER, Unknown::Ignore);
    assert!(!client.udhcpc(&["-q"]).output().unwrap().status.success());
    let event = client.spy.wait_for(|step| matches!(step, BootStep::Ignored { .. }));
    assert_eq!(event.mac, Some(STRANGER));
    assert_eq!(client.spy.leases(), []);
}

#[test]
fn netns_an_unknown_machine_gets_an_address_if_that_is_configured() {
    let client = Client::new(STRANGER, Unknown::Lease);
    assert!(client.udhcpc(&["-q"]).output().unwrap().status.success());
    assert!(client.told("event=bound").contains("\nip=10.98.0.100\n"));
}

/// dhclient remembers its lease and, started again, asks for that address (INIT-REBOOT).
#[test]
fn netns_dhclient_gets_reclaims_and_releases_its_address() {
    let client = Client::new(WEB01, Unknown::Ignore);
    let (script, leases, pid) = (client.path("script"), client.path("leases"), client.path("pid"));
    let dhclient = |mode: &str| {
        let arguments = [mode, "-v", "-sf", &script, "-lf", &leases, "-pf", &pid, "eth0"];
        let output = client.cable.client("dhclient", &arguments);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let first = dhclient("-1");
    assert!(first.contains("DHCPDISCOVER") && first.contains("DHCPACK of 10.98.0.50"), "{first}");
    let kept = std::fs::read_to_string(&leases).unwrap();
    for line in ["option domain-name \"example.org\"", "option host-name \"web01\""] {
        assert!(kept.contains(line), "{line} is not in:\n{kept}");
    }
    stop(Path::new(&pid));
    let second = dhclient("-1");
    assert!(!second.contains("DHCPDISCOVER"), "{second}");
    assert!(second.contains("DHCPACK of 10.98.0.50"), "{second}");
    dhclient("-r");
    client.spy.wait_for(|step| matches!(step, BootStep::Released { .. }));
    assert_eq!(client.spy.leases().last().unwrap().state, LeaseState::Released);
}

/// Ends the dhclient that wrote `pid_file`, as a machine that loses its power does.
///
/// dhclient's parent ends as soon as there is a lease; the daemon it leaves writes the file later.
fn stop(pid_file: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let pid = loop {
        match std::fs::read_to_string(pid_file) {
            Ok(pid) if pid.ends_with('\n') => break pid,
            _ if Instant::now() > deadline => panic!("dhclient wrote no {}", pid_file.display()),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    world::run("kill", &["-KILL", pid.trim()]);
    std::fs::remove_file(pid_file).unwrap();
}
