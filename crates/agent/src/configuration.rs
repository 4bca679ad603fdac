//! Configuration files of a site in Dominator's manner, in one directory whatever they come from:
//! already there, by a plugin, by HTTP(S), or by TFTP.
//!
//! ```text
//! /tftpdata/config.json in the initramfs ──► that directory as it is
//! hostwright.configuration-loader=PROGRAM ─► PROGRAM DIR INTERFACE
//! hostwright.configuration-url=URL ────────► GET URL/FILE?mac=…&serial_number=…
//! hostwright.tftp-server=, tftpserver= , DHCP's option 66 or next server ──► TFTP, port 69
//! ```
//!
//! Every fetch has a time limit and is tried again; a file that may be missing is known to be by its
//! error code. What is needed is complete before anything else is done with it.

use crate::console::Console;
use crate::fault::sentence;
use crate::plugins::{self, Places};
use hostwright_client::tftp::{self, TftpError};
use hostwright_client::{ClientError, web};
use hostwright_host::boot::{entropy, process};
use hostwright_model::facts::Facts;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::MacAddr;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The files, and whether the machine cannot do without.
const FILES: [(&str, bool); 6] = [
    ("config.json", true),
    ("storage-layout.json", true),
    ("imagename", true),
    ("imageserver", false),
    ("tools-imagename", false),
    (SEED_FILE, false),
];
const SEED_FILE: &str = "random-seed";
/// Longest file; `config.json` of a large site has some hundred kilobytes.
const LONGEST_BYTES: usize = 16 << 20;
/// A fetch is tried this often, each time after a longer pause.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const TFTP_PORT: u16 = 69;
/// What an image may bring along, as Dominator's has it.
const PRESENT_DIR: &str = "/tftpdata";
/// Where authorities of HTTPS servers are looked for.
const AUTHORITIES: [&str; 2] = ["/etc/ssl/CA.pem", "/etc/ssl/certs/ca-certificates.crt"];
/// Serial numbers that many machines have.
const JUNK_SERIALS: [&str; 6] =
    ["", "0", "none", "to be filled by o.e.m.", "default string", "system serial number"];

/// Where configuration files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// They are there.
    Present(String),
    /// A program fetches them.
    Loader(String),
    /// Below an address.
    Url(String),
    /// From a TFTP server: an address, or a name.
    Tftp(String),
}

impl Source {
    /// What the kernel command line, the manners and the lease say; what is first in the picture
    /// above counts. `None` if nobody says anything.
    pub(crate) fn find(cmdline: &str, loader: Option<&str>, lease: Option<&str>) -> Option<Self> {
        let last = |key: &str| {
            let words = cmdline.split_whitespace().rev();
            words.filter_map(|word| word.strip_prefix(key)).find(|value| !value.is_empty())
        };
        if Path::new(PRESENT_DIR).join(FILES[0].0).exists() {
            return Some(Self::Present(PRESENT_DIR.to_owned()));
        }
        let url = || last("hostwright.configuration-url=").map(|url| Self::Url(url.to_owned()));
        let server = || last("hostwright.tftp-server=").or_else(|| last("tftpserver=")).or(lease);
        let tftp = || server().map(|server| Self::Tftp(server.to_owned()));
        loader.map(|program| Self::Loader(program.to_owned())).or_else(url).or_else(tftp)
    }
}

/// By what a server knows the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whoami {
    pub(crate) macs: Vec<MacAddr>,
    pub(crate) serial: Option<String>,
}

impl Whoami {
    /// The machine with these facts.
    pub(crate) fn of(facts: &Facts) -> Self {
        let macs = facts.nics.iter().map(|nic| nic.mac).collect();
        Self { macs, serial: facts.dmi.serial.clone() }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let macs = self.macs.iter().map(|mac| ("mac", mac.to_string()));
        let serial = self.serial.as_deref().map(str::trim);
        let serial = serial.filter(|it| !JUNK_SERIALS.contains(&it.to_lowercase().as_str()));
        macs.chain(serial.map(|serial| ("serial_number", serial.to_owned()))).collect()
    }
}

/// Brings the files into `places.config_dir` and credits the seed, if there is one.
pub(crate) fn load(
    source: &Source,
    whoami: &Whoami,
    places: &Places,
    console: &Console,
) -> Result<(), Box<Fault>> {
    let dir = Path::new(&places.config_dir);
    fs::create_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
    match source {
        Source::Present(from) => copy_files(Path::new(from), dir)?,
        Source::Loader(program) => plugins::load_configuration(program, places)?,
        Source::Url(base) => fetch_all(dir, console, &|name| by_url(base, name, whoami))?,
        Source::Tftp(server) => {
            let address = resolve(server)?;
            fetch_all(dir, console, &|name| by_tftp(address, name))?;
        }
    }
    let missing: Vec<&str> = FILES
        .iter()
        .filter(|(name, needed)| *needed && !dir.join(name).exists())
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() {
        let message = format!("the configuration lacks {}", missing.join(", "));
        let cure = format!("let {source:?} give the files, or boot with another source");
        return Err(Box::new(Fault::new(FaultKind::Config, "configuration", message, cure)));
    }
    take_seed(dir, console);
    Ok(())
}

/// Mixes the seed in and removes it: it is of no more use, and must not end up in a log.
fn take_seed(dir: &Path, console: &Console) {
    let path = dir.join(SEED_FILE);
    let Ok(seed) = fs::read(&path) else { return };
    match entropy::credit(&seed) {
        Ok(()) => console.say(&format!("{} bytes of entropy are credited", seed.len())),
        Err(error) => console.say(&sentence(&error)),
    }
    if let Err(error) = fs::remove_file(&path) {
        console.say(&format!("cannot remove {}: {error}", path.display()));
    }
}

/// Why one file did not come.
#[derive(Debug)]
struct NotFetched {
    /// True if it is simply not there.
    missing: bool,
    transient: bool,
    message: String,
}

impl From<TftpError> for NotFetched {
    fn from(error: TftpError) -> Self {
        let missing = matches!(error, TftpError::NotFound { .. });
        Self { missing, transient: error.is_transient(), message: sentence(&error) }
    }
}

impl From<ClientError> for NotFetched {
    fn from(error: ClientError) -> Self {
        let missing = matches!(error, ClientError::Refused { status: 404 | 410, .. });
        Self { missing, transient: error.is_transient(), message: sentence(&error) }
    }
}

fn by_tftp(server: SocketAddr, name: &str) -> Result<Vec<u8>, NotFetched> {
    Ok(tftp::fetch(server, name, LONGEST_BYTES)?)
}

fn by_url(base: &str, name: &str, whoami: &Whoami) -> Result<Vec<u8>, NotFetched> {
    let url = format!("{}/{name}", base.trim_end_matches('/'));
    let authorities = AUTHORITIES.iter().filter_map(|path| fs::read_to_string(path).ok());
    let authorities: String = authorities.collect();
    Ok(web::fetch(&url, &whoami.query(), &authorities, LONGEST_BYTES as u64)?)
}

/// Fetches every file; what is optional may be missing.
fn fetch_all(
    dir: &Path,
    console: &Console,
    fetch: &dyn Fn(&str) -> Result<Vec<u8>, NotFetched>,
) -> Result<(), Box<Fault>> {
    for (name, needed) in FILES {
        match persistently(name, console, fetch) {
            Ok(content) => write(&dir.join(name), &content)?,
            Err(error) if error.missing && !needed => {}
            Err(error) => {
                let cure = "look whether the server runs and has the file for this machine, then \
                            resume";
                let fault = Fault::new(FaultKind::Remote, "configuration", error.message, cure);
                return Err(Box::new(fault));
            }
        }
    }
    Ok(())
}

fn persistently(
    name: &str,
    console: &Console,
    fetch: &dyn Fn(&str) -> Result<Vec<u8>, NotFetched>,
) -> Result<Vec<u8>, NotFetched> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match fetch(name) {
            Err(error) if error.transient => {
                console.say(&format!("{}; trying on", error.message));
                thread::sleep(pause);
                pause *= 2;
            }
            done => return done,
        }
    }
    fetch(name)
}

fn copy_files(from: &Path, to: &Path) -> Result<(), Box<Fault>> {
    for (name, _) in FILES {
        if let Ok(content) = fs::read(from.join(name)) {
            write(&to.join(name), &content)?;
        }
    }
    Ok(())
}

/// For the owner only: the files may say more than everybody should know.
fn write(path: &Path, content: &[u8]) -> Result<(), Box<Fault>> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(content));
    written.map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Box<Fault> {
    let message = format!("cannot write {}: {error}", path.display());
    let cure = "give the machine more memory: configuration files lie in RAM";
    Box::new(Fault::new(FaultKind::Environment, "work-dir", message, cure))
}

/// The address behind what a lease or the command line names. Option 66 is a text, and may be a
/// name; of several servers the first counts.
fn resolve(server: &str) -> Result<SocketAddr, Box<Fault>> {
    let first = server.split([' ', ',']).find(|word| !word.is_empty()).unwrap_or_default();
    if let Ok(address) = first.parse() {
        return Ok(address);
    }
    let address = first.parse::<IpAddr>().ok().or_else(|| look_up(first));
    address.map(|address| SocketAddr::new(address, TFTP_PORT)).ok_or_else(|| {
        let message = format!("the TFTP server '{first}' has no address");
        let cure = "name it by its address: hostwright.tftp-server=10.0.0.1, or DHCP option 66";
        Box::new(Fault::new(FaultKind::Config, "configuration", message, cure))
    })
}

/// Asks busybox, as this program is static and asks nobody for names.
fn look_up(name: &str) -> Option<IpAddr> {
    const LIMIT: Duration = Duration::from_secs(15);
    let said = process::run_with("/bin/busybox", &["nslookup", name], &[], b"", LIMIT).ok()?;
    addresses(&said.output, name)
}

/// The first address that nslookup tells of `name`, behind those of the name server.
fn addresses(output: &str, name: &str) -> Option<IpAddr> {
    let behind = output.split_once(&format!("Name:\t{name}"))?.1;
    let words = behind.lines().filter_map(|line| line.strip_prefix("Address"));
    words.filter_map(|rest| rest.split_whitespace().last()?.parse().ok()).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tempfile::TempDir;

    fn console() -> Console {
        Console::silent()
    }

    fn places(dir: &TempDir) -> Places {
        let config_dir = dir.path().join("config").display().to_string();
        Places { config_dir, interface: "eth0".into(), target: "/target".into() }
    }

    #[test]
    fn the_first_source_that_somebody_names_counts() {
        let find = |cmdline, loader, lease| Source::find(cmdline, loader, lease);
        assert_eq!(find("quiet", None, None), None);
        let lease = Some("10.0.0.1");
        assert_eq!(find("quiet", None, lease), Some(Source::Tftp("10.0.0.1".into())));
        let cmdline = "tftpserver=10.0.0.2 hostwright.configuration-url=";
        assert_eq!(find(cmdline, None, lease), Some(Source::Tftp("10.0.0.2".into())));
        let cmdline = "tftpserver=10.0.0.2 hostwright.configuration-url=http://c";
        assert_eq!(find(cmdline, None, lease), Some(Source::Url("http://c".into())));
        assert_eq!(find(cmdline, Some("/x"), lease), Some(Source::Loader("/x".into())));
    }

    #[test]
    fn what_may_be_missing_may_and_what_is_transient_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let asked = RefCell::new(Vec::new());
        let fetch = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            let first = asked.borrow().iter().filter(|it| *it == name).count() == 1;
            let no = |missing| NotFetched { missing, transient: !missing, message: "no".into() };
            match name {
                "imagename" if first => Err(no(false)),
                "imageserver" | "tools-imagename" | "random-seed" => Err(no(true)),
                name => Ok(name.as_bytes().to_vec()),
            }
        };
        fetch_all(dir.path(), &console(), &fetch).unwrap();
        assert_eq!(fs::read(dir.path().join("imagename")).unwrap(), b"imagename");
        assert_eq!(asked.borrow().iter().filter(|name| *name == "imagename").count(), 2);
        let never = |_: &str| {
            Err(NotFetched { missing: true, transient: false, message: "not there".into() })
        };
        let fault = fetch_all(dir.path(), &console(), &never).unwrap_err();
        assert_eq!((fault.code.as_str(), fault.message.as_str()), ("configuration", "not there"));
    }

    #[test]
    fn a_loader_that_leaves_something_out_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let plugin = dir.path().join("loader");
        let text = "#!/bin/sh\ncd \"$1\" && echo {} >config.json && echo x >imagename\n";
        fs::write(&plugin, text).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
        let source = Source::Loader(plugin.display().to_string());
        let fault = load(&source, &Whoami::default(), &places(&dir), &console()).unwrap_err();
        assert_eq!(fault.message, "the configuration lacks storage-layout.json");
    }

    #[test]
    fn junk_is_no_serial_number() {
        let query = |serial: &str| {
            let macs = vec![MacAddr([2, 0, 0, 0, 0, 1])];
            Whoami { macs, serial: Some(serial.to_owned()) }.query().len()
        };
        assert_eq!(query("VMware-42 1f"), 2);
        for junk in ["To be filled by O.E.M.", "  ", "None", "Default string"] {
            assert_eq!(query(junk), 1, "{junk}");
        }
    }

    #[test]
    fn servers_are_found_by_address_and_name() {
        let port = |text| resolve(text).unwrap().to_string();
        assert_eq!(port("10.0.0.1"), "10.0.0.1:69");
        assert_eq!(port("10.0.0.1, 10.0.0.2"), "10.0.0.1:69");
        assert_eq!(port("127.0.0.1:6969"), "127.0.0.1:6969");
        assert!(resolve("no.such.name.invalid").is_err());
        let output = "Server:\t\t10.0.0.53\nAddress:\t10.0.0.53:53\n\nNon-authoritative answer:\n\
                      Name:\ttftp.example\nAddress: 10.0.0.9\n";
        assert_eq!(addresses(output, "tftp.example"), Some([10, 0, 0, 9].into()));
    }
}
