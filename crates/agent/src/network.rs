//! From interfaces without a driver to an address: modules, link, carrier, DHCP.
//!
//! busybox's udhcpc gets and keeps the lease; it stays when the session ends. Its script leaves
//! `/run/hostwright/lease.INTERFACE` behind, and for the engine `dhcp.INTERFACE`.

use crate::WORK_DIR;
use crate::console::Console;
use hostwright_host::HostError;
use hostwright_host::boot::links::{self, Link};
use hostwright_host::boot::load::ModuleLoader;
use hostwright_host::boot::process;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::MacAddr;
use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// For as long only the interface that the firmware booted from is asked, if it is known.
const BOOT_INTERFACE_ONLY: Duration = Duration::from_secs(60);
/// Switches take up to a minute until they forward, some much longer after a power cut.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15 * 60);
/// How often somebody who looks at the console is told what is missing.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Waits until one interface has an address.
pub(crate) fn bring_up(mac: Option<MacAddr>, console: &Console) -> Result<(), Box<Fault>> {
    if leases().next().is_some() {
        return Ok(());
    }
    let started = Instant::now();
    let mut bringing = Bringing {
        console,
        loader: ModuleLoader::open("/"),
        up: BTreeSet::new(),
        asked: BTreeSet::new(),
    };
    bringing.load("af_packet");
    let mut tell_at = TELL_EVERY;
    while started.elapsed() < GIVE_UP_AFTER {
        let only = mac.filter(|_| started.elapsed() < BOOT_INTERFACE_ONLY);
        let state = bringing.step(only);
        if let Some((name, address)) = leases().next() {
            console.say(&format!("{name}: {address}"));
            return Ok(());
        }
        if started.elapsed() > tell_at {
            console.say(&format!("network: {state}"));
            tell_at += TELL_EVERY;
        }
        sleep(Duration::from_millis(100));
    }
    Err(Box::new(Fault::new(
        FaultKind::Environment,
        "no-network",
        format!("no interface got an address in {} s", GIVE_UP_AFTER.as_secs()),
        "look whether the cable is in, the switch port forwards, and the DHCP server answers",
    )))
}

struct Bringing<'a> {
    console: &'a Console,
    loader: ModuleLoader,
    /// Interfaces that were switched on.
    up: BTreeSet<String>,
    /// Interfaces with a DHCP client.
    asked: BTreeSet<String>,
}

impl Bringing<'_> {
    /// Does what can be done now. What is being waited for, in words.
    fn step(&mut self, only: Option<MacAddr>) -> String {
        let links = links::links();
        if links.is_empty() || only.is_some_and(|mac| !links.iter().any(|link| link.mac == mac)) {
            // A card that takes its time, or sits behind a bus that does.
            let loaded = self.loader.load_for_devices();
            if !loaded.is_empty() {
                self.console.say(&format!("loaded {}", loaded.join(" ")));
            }
        }
        let there = |link: &&Link| only.is_none_or(|mac| link.mac == mac);
        let wanted: Vec<&Link> = links.iter().filter(there).collect();
        for link in &wanted {
            if self.up.insert(link.name.clone()) {
                self.console.say(&format!("{}: {} found", link.name, link.mac));
                self.told(links::set_up(&link.name));
            }
        }
        let connected: Vec<&Link> =
            wanted.iter().filter(|link| links::has_carrier(&link.name)).copied().collect();
        for link in &connected {
            if self.asked.insert(link.name.clone()) {
                self.told(start_dhcp(&link.name));
            }
        }
        let names = |links: &[&Link]| {
            links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        match (only, wanted.is_empty(), connected.is_empty()) {
            (Some(mac), true, _) => format!("no interface has the address {mac} yet"),
            (None, true, _) => "no driver has found an interface yet".to_owned(),
            (_, _, true) => format!("no carrier on {}: is a cable in?", names(&wanted)),
            _ => format!("no answer to DHCP on {} yet", names(&connected)),
        }
    }

    fn load(&mut self, module: &str) {
        let loaded = self.loader.load(module);
        self.told(loaded.map(drop));
    }

    /// One interface that cannot be used must not keep another from being tried.
    fn told(&self, outcome: Result<(), HostError>) {
        if let Err(error) = outcome {
            self.console.say(&format!("network: {}", crate::fault::sentence(&error)));
        }
    }
}

/// Runs udhcpc in the background: it asks for ever and renews.
fn start_dhcp(name: &str) -> Result<(), HostError> {
    let failed = |source| HostError::Io { operation: "make", path: WORK_DIR.to_owned(), source };
    fs::create_dir_all(WORK_DIR).map_err(failed)?;
    let log = format!("{WORK_DIR}/udhcpc.{name}.log");
    // The server of the boot files does not come unless one asks.
    let tries = ["-t", "5", "-T", "2", "-A", "2", "-O", "tftp"];
    let mut args = vec!["udhcpc", "-f", "-i", name, "-s", "/etc/udhcpc.script"];
    args.extend(tries);
    process::start_logged("/bin/busybox", &args, &log).map(drop)
}

/// The interface with the address.
pub(crate) fn active_interface() -> Option<String> {
    leases().next().map(|(name, _)| name)
}

/// Interfaces with a lease, and their addresses.
fn leases() -> impl Iterator<Item = (String, String)> {
    let entries = fs::read_dir(WORK_DIR).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let file = entry.file_name().into_string().ok()?;
        let name = file.strip_prefix("lease.").filter(|name| !name.ends_with(".new"))?;
        let address = fs::read_to_string(entry.path()).ok()?;
        Some((name.to_owned(), address.trim().to_owned()))
    })
}
