//! What the tests share: a program round the boot services that remembers what it was told, and
//! two network namespaces joined by a cable.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run the real clients")]

use hostwright_model::ids::{MacAddr, MachineName};
use hostwright_netboot::dhcp::{DhcpConfig, DhcpServer, Unknown};
use hostwright_netboot::first_stage::{FirstStage, Loaders};
use hostwright_netboot::script::Scripts;
use hostwright_netboot::tftp::TftpServer;
use hostwright_netboot::{
    BootEvent, BootRequest, BootSpec, BootStep, Booter, Files, KnownMachine, Lease, Machines,
    SharedLeases,
};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 1);
pub const FIXED: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 50);
pub const WEB01: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);
pub const ROAMER: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 3]);
pub const STRANGER: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 9]);

/// Knows `web01` (fixed address) and `roamer` (pool), and remembers everything.
#[derive(Default)]
pub struct Spy {
    events: Mutex<Vec<BootEvent>>,
    leases: Mutex<Vec<Lease>>,
    pub requests: Mutex<Vec<BootRequest>>,
    pub spec: Mutex<Option<BootSpec>>,
}

impl Machines for Spy {
    fn machine(&self, mac: MacAddr) -> Option<KnownMachine> {
        let machine = |name, address| Some(KnownMachine { name: MachineName::new(name), address });
        match mac {
            WEB01 => machine("web01", Some(FIXED)),
            ROAMER => machine("roamer", None),
            _ => None,
        }
    }

    fn is_reserved(&self, address: Ipv4Addr) -> bool {
        address == FIXED
    }
}

impl Booter for Spy {
    fn boot_spec(&self, request: &BootRequest) -> BootSpec {
        self.requests.lock().unwrap().push(request.clone());
        self.spec.lock().unwrap().clone().unwrap_or(BootSpec::LocalDisk)
    }

    fn lease_changed(&self, lease: &Lease) {
        self.leases.lock().unwrap().push(lease.clone());
    }

    fn saw(&self, event: BootEvent) {
        self.events.lock().unwrap().push(event);
    }
}

impl Spy {
    pub fn events(&self) -> Vec<BootEvent> {
        self.events.lock().unwrap().clone()
    }

    pub fn leases(&self) -> Vec<Lease> {
        self.leases.lock().unwrap().clone()
    }

    /// Waits until a step that `is_it` was seen; fails the test after 10 seconds.
    pub fn wait_for(&self, is_it: impl Fn(&BootStep) -> bool) -> BootEvent {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if let Some(event) = self.events().into_iter().find(|event| is_it(&event.step)) {
                return event;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("not seen; seen were {:#?}", self.events());
    }
}

/// Runs a command to its end.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program} {arguments:?}: {error}"))
}

fn must_run(program: &str, arguments: &[&str]) {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// Two namespaces: `server` has 10.98.0.1/24 on interface `boot`, `client` has `eth0` without an
/// address. They are removed at the end, also of a test that fails.
pub struct Cable {
    server: String,
    client: String,
}

impl Cable {
    pub fn new(client_mac: MacAddr) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", std::process::id());
        let cable = Self { server: format!("nb-s-{id}"), client: format!("nb-c-{id}") };
        let (server, client) = (cable.server.as_str(), cable.client.as_str());
        must_run("ip", &["netns", "add", server]);
        must_run("ip", &["netns", "add", client]);
        let mac = client_mac.to_string();
        let peer = ["peer", "name", "eth0", "netns", client, "address", &mac];
        let link = ["-n", server, "link", "add", "boot", "type", "veth"];
        must_run("ip", &[&link[..], &peer[..]].concat());
        must_run("ip", &["-n", server, "address", "add", "10.98.0.1/24", "dev", "boot"]);
        must_run("ip", &["-n", server, "link", "set", "boot", "up"]);
        must_run("ip", &["-n", client, "link", "set", "eth0", "up"]);
        cable
    }

    /// Gives the client an address without DHCP.
    pub fn with_client_address(self) -> Self {
        must_run("ip", &["-n", &self.client, "address", "add", "10.98.0.50/24", "dev", "eth0"]);
        self
    }

    /// Loses a tenth of those packets that `which` (words of nft) picks, in both directions.
    pub fn lose_a_tenth(&self, which: &str) {
        // Both on the way in: a packet that is dropped on its way out fails the sender's call.
        let rules = format!(
            "add table inet loss; \
             add chain inet loss in {{ type filter hook input priority 0; }}; \
             add rule inet loss in {which} numgen random mod 10 < 1 drop"
        );
        for side in [&self.client, &self.server] {
            must_run("ip", &["netns", "exec", side, "nft", &rules]);
        }
    }

    /// A command on the client's side.
    pub fn client_command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.client, program]).args(arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Runs a command on the client's side to its end.
    pub fn client(&self, program: &str, arguments: &[&str]) -> Output {
        self.client_command(program, arguments).output().unwrap()
    }

    /// The processes on the client's side.
    pub fn client_pids(&self) -> Vec<String> {
        let output = run("ip", &["netns", "pids", &self.client]);
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
    }

    /// Runs the boot services on the server's side until the returned value is dropped.
    pub fn serve(&self, spy: &Arc<Spy>, unknown: Unknown, files: Arc<dyn Files>) -> Services {
        let shutdown = CancellationToken::new();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let namespace = format!("/run/netns/{}", self.server);
        let (stop, booter) = (shutdown.clone(), spy.clone());
        let thread = std::thread::spawn(move || {
            let namespace = File::open(namespace).unwrap();
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)
                .unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let leases = SharedLeases::default();
                let scripts = Scripts::new("http://10.98.0.1:8080").unwrap();
                let first_stage = FirstStage::new(&Loaders::default(), SERVER, &scripts).unwrap();
                let dhcp = DhcpServer::bind(
                    dhcp_config(unknown),
                    first_stage.names().clone(),
                    booter.clone(),
                    leases.clone(),
                );
                let address = SocketAddrV4::new(SERVER, 69);
                let tftp = TftpServer::bind(address, files, booter, leases).await;
                ready.send(()).unwrap();
                tokio::join!(dhcp.unwrap().run(stop.clone()), tftp.unwrap().run(stop));
            });
        });
        is_ready.recv_timeout(Duration::from_secs(10)).expect("the services start");
        Services { shutdown, thread: Some(thread) }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for process in self.client_pids() {
            run("kill", &["-KILL", &process]);
        }
        run("ip", &["netns", "delete", &self.client]);
        run("ip", &["netns", "delete", &self.server]);
    }
}

/// Boot services that run; they end when this is dropped.
pub struct Services {
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Services {
    fn drop(&mut self) {
        self.shutdown.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || !matches!(ended, Some(Err(_))), "a service panicked");
    }
}

fn dhcp_config(unknown: Unknown) -> DhcpConfig {
    DhcpConfig {
        interface: "boot".into(),
        server_address: SERVER,
        subnet: "10.98.0.0/24".parse().unwrap(),
        pool: "10.98.0.100-10.98.0.110".parse().ok(),
        router: Some(Ipv4Addr::new(10, 98, 0, 254)),
        dns: vec![Ipv4Addr::new(10, 98, 0, 2)],
        domain: Some("example.org".into()),
        lease_s: 120,
        unknown,
    }
}

/// `length` bytes that do not repeat soon.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}
