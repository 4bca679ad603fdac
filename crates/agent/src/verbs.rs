//! Verbs for flows of one's own in the initramfs or the tools image: what the session does, one
//! piece at a time.

use crate::configuration::{self, Source, Whoami};
use crate::console::Console;
use crate::plugins::Places;
use crate::session::CONFIG_DIR;
use crate::{WORK_DIR, network, report};
use hostwright_host::Host as _;
use hostwright_host::HostError;
use hostwright_host::boot::{links, process, root};
use hostwright_host::real::RealHost;
use hostwright_model::facts::{Disk, Facts};
use hostwright_model::fault::{Fault, FaultKind};
use std::path::Path;
use std::time::Duration;

/// What udhcpc tells its script of, in the words of its documentation.
const LEASE_WORDS: [&str; 14] = [
    "interface",
    "ip",
    "mask",
    "router",
    "dns",
    "domain",
    "hostname",
    "siaddr",
    "tftp",
    "bootfile",
    "serverid",
    "lease",
    "ntpsrv",
    "staticroutes",
];

/// The machine's disks, one a line, with size, model and serial number, tabs between them.
pub(crate) fn list_drives() -> Result<String, HostError> {
    let Facts { disks, .. } = RealHost::default().facts()?;
    Ok(disks.iter().map(drive_line).collect())
}

fn drive_line(disk: &Disk) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (model, serial) = (text(&disk.model), text(&disk.serial));
    format!("{}\t{}\t{model}\t{serial}\n", disk.name, disk.size_bytes)
}

/// Asks for an address on an interface, or on each one with a cable, and tells what was offered. The
/// machine is left as it is but for links that were switched on.
pub(crate) fn dhcp_request(interface: Option<&str>) -> Result<String, Box<Fault>> {
    const CARRIER: Duration = Duration::from_secs(5);
    let names: Vec<String> = match interface {
        Some(name) => vec![name.to_owned()],
        None => links::links().into_iter().map(|link| link.name).collect(),
    };
    for name in &names {
        links::set_up(name).map_err(|error| crate::fault::of_host(&error))?;
    }
    let until = std::time::Instant::now() + CARRIER;
    while !names.iter().any(|name| links::has_carrier(name)) && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut told = String::new();
    for name in names.iter().filter(|name| links::has_carrier(name)) {
        told.push_str(&ask(name).map_err(|error| crate::fault::of_host(&error))?);
    }
    if told.is_empty() {
        let message = format!("nobody offers an address on {}", names.join(" "));
        let cure = "look whether a cable is in and the DHCP server answers";
        return Err(Box::new(Fault::new(FaultKind::Environment, "no-network", message, cure)));
    }
    Ok(told)
}

/// One interface. This program is the script that udhcpc calls, and prints what it is told.
fn ask(name: &str) -> Result<String, HostError> {
    const LIMIT: Duration = Duration::from_secs(30);
    let failed =
        |source| HostError::Io { operation: "find", path: "/proc/self/exe".to_owned(), source };
    let program = std::env::current_exe().map_err(failed)?.display().to_string();
    let args = ["udhcpc", "-f", "-n", "-q", "-t", "4", "-T", "2", "-O", "tftp", "-i", name, "-s"];
    let args = [&args[..], &[program.as_str()]].concat();
    let said = process::run_with("/bin/busybox", &args, &[(PRINT, "1")], b"", LIMIT)?;
    Ok(said.output)
}

/// Set where this program is udhcpc's script.
pub(crate) const PRINT: &str = "HOSTWRIGHT_DHCP_PRINT";

/// What udhcpc said, when it calls this program with what it got.
pub(crate) fn lease(var: &dyn Fn(&str) -> Option<String>) -> String {
    let line = |word: &&str| var(word).map(|value| format!("{word}={value}\n"));
    LEASE_WORDS.iter().filter_map(line).collect()
}

/// Brings the site's configuration files into a directory.
pub(crate) fn load_configuration(dir: Option<&str>) -> Result<(), Box<Fault>> {
    let console = Console::open();
    let failed = |error: HostError| crate::fault::of_host(&error);
    let cmdline = root::kernel_command_line().map_err(failed)?;
    let options = crate::boot_options::BootOptions::from_cmdline(&cmdline);
    network::bring_up(options.mac, &console)?;
    let facts = RealHost::default().facts().map_err(failed)?;
    let loader = options.manners.plugins.configuration_loader.as_deref();
    let lease = std::fs::read_to_string(Path::new(WORK_DIR).join("tftp-server")).ok();
    let lease = lease.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let source = Source::find(&cmdline, loader, lease).ok_or_else(|| {
        let cure = "name one: hostwright.configuration-url=, hostwright.tftp-server=, \
                    hostwright.configuration-loader=, or DHCP option 66";
        let message = "nobody says where the configuration is";
        Box::new(Fault::new(FaultKind::Config, "configuration", message, cure))
    })?;
    let places = Places {
        config_dir: dir.unwrap_or(CONFIG_DIR).to_owned(),
        interface: network::active_interface().unwrap_or_default(),
        target: "/target".to_owned(),
    };
    let loaded = configuration::load(&source, &Whoami::of(&facts), &places, &console);
    if let Err(fault) = &loaded {
        report::show(&console, fault);
    }
    console.settle();
    loaded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_is_one_line_for_scripts() {
        let mut facts = crate::samples::facts(&["sda"]);
        facts.disks[0].model = Some("QEMU HARDDISK".to_owned());
        assert_eq!(drive_line(&facts.disks[0]), "sda\t1073741824\tQEMU HARDDISK\t\n");
    }

    #[test]
    fn a_lease_is_told_in_udhcpcs_words() {
        let var = |name: &str| match name {
            "ip" => Some("10.0.0.21".to_owned()),
            "router" => Some("10.0.0.1 10.0.0.2".to_owned()),
            _ => None,
        };
        assert_eq!(lease(&var), "ip=10.0.0.21\nrouter=10.0.0.1 10.0.0.2\n");
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let fault = dhcp_request(Some("nosuchif0")).unwrap_err();
        assert!(fault.message.contains("nosuchif0"), "{}", fault.message);
    }
}
