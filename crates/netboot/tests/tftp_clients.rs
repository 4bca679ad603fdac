//! TFTP with the clients that people run, and with the habits of firmware. Those in network
//! namespaces need root and Debian's packages iproute2, nftables, tftp-hpa, atftp, curl, busybox.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod world;

use hostwright_netboot::dhcp::Unknown;
use hostwright_netboot::tftp::TftpServer;
use hostwright_netboot::{BootFile, BootStep, FileSet, SharedLeases};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use world::{Cable, Services, Spy, WEB01, pattern};

const LOADER_BYTES: usize = 1_000_000;
const PART_BYTES: usize = 60_000;

struct Client {
    cable: Cable,
    spy: Arc<Spy>,
    directory: tempfile::TempDir,
    _services: Services,
}

impl Client {
    /// Serves `loader` and `part`, from memory, and `empty` and `disk/kernel`, from files.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = FileSet::default();
        files.insert("loader", BootFile::Bytes(pattern(LOADER_BYTES).into()));
        files.insert("part", BootFile::Bytes(pattern(PART_BYTES).into()));
        for (name, length) in [("empty", 0), ("disk/kernel", 512 * 9)] {
            let path = directory.path().join(name.replace('/', "-"));
            std::fs::write(&path, pattern(length)).unwrap();
            files.insert(name, BootFile::Path(path));
        }
        let cable = Cable::new(WEB01).with_client_address();
        let spy = Arc::new(Spy::default());
        let services = cable.serve(&spy, Unknown::Ignore, Arc::new(files));
        Self { cable, spy, directory, _services: services }
    }

    /// Runs a client that writes to the file `got`, and checks what it wrote.
    fn fetches(&self, length: usize, program: &str, arguments: &[&str]) {
        let got = self.directory.path().join("got");
        let arguments: Vec<String> =
            arguments.iter().map(|word| word.replace("GOT", got.to_str().unwrap())).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = self.cable.client(program, &arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        let content = std::fs::read(&got).unwrap_or_default();
        assert!(content == pattern(length), "{program} {arguments:?} got {}", content.len());
        let _ = std::fs::remove_file(got);
    }

    fn started_with(&self, block: u16, window: u16) {
        self.spy.wait_for(|step| {
            matches!(step, BootStep::TftpStarted { block_bytes, window_blocks, .. }
                if (*block_bytes, *window_blocks) == (block, window))
        });
    }
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

#[test]
fn netns_every_client_gets_the_same_bytes() {
    let client = Client::new();
    client.fetches(
        LOADER_BYTES,
        "tftp",
        &["-m", "binary", "10.98.0.1", "-c", "get", "loader", "GOT"],
    );
    client.started_with(512, 1);
    let atftp = |file, options: &[&'static str]| {
        let mut arguments: Vec<&str> = options.iter().flat_map(|o| ["--option", o]).collect();
        arguments.extend(["-g", "-r", file, "-l", "GOT", "10.98.0.1"]);
        arguments
    };
    client.fetches(LOADER_BYTES, "atftp", &atftp("loader", &["blksize 1400", "windowsize 8"]));
    client.started_with(1400, 8);
    client.fetches(512 * 9, "atftp", &atftp("disk/kernel", &["tsize 0", "timeout 2"]));
    client.fetches(512 * 9, "atftp", &atftp("/disk/kernel", &["windowsize 65535"]));
    client.started_with(512, 64);
    let curl = |block, file| ["-sS", "--tftp-blksize", block, "-o", "GOT", file];
    client.fetches(LOADER_BYTES, "curl", &curl("1468", "tftp://10.98.0.1/loader"));
    client.started_with(1468, 1);
    client.fetches(LOADER_BYTES, "curl", &curl("9000", "tftp://10.98.0.1/loader"));
    client.fetches(0, "atftp", &atftp("empty", &["tsize 0"]));
    let busybox = ["tftp", "-g", "-b", "1432", "-r", "loader", "-l", "GOT", "10.98.0.1"];
    client.fetches(LOADER_BYTES, "busybox", &busybox);
    client.started_with(1432, 1);
}

#[test]
fn netns_what_is_not_served_is_refused_with_a_reason() {
    let client = Client::new();
    let curl = client.cable.client("curl", &["-sS", "tftp://10.98.0.1/no/such/file"]);
    assert_eq!(curl.status.code(), Some(68), "TFTP: file not found: {}", text(&curl));
    let outside = client.cable.client("curl", &["-sS", "tftp://10.98.0.1//..%2f..%2fetc/passwd"]);
    assert_eq!(outside.status.code(), Some(68), "{}", text(&outside));
    let arguments = ["-m", "ascii", "10.98.0.1", "-c", "get", "loader", "/dev/null"];
    let ascii = text(&client.cable.client("tftp", &arguments));
    assert!(ascii.contains("only octet (binary) transfers are served"), "{ascii}");
    let arguments = ["-m", "binary", "10.98.0.1", "-c", "put", "/etc/hostname", "x"];
    let put = text(&client.cable.client("tftp", &arguments));
    assert!(put.contains("this server only sends"), "{put}");
}

fn was_lossy(step: &BootStep) -> bool {
    matches!(step, BootStep::TftpFinished { retransmits, .. } if *retransmits > 0)
}

#[test]
fn netns_a_tenth_of_all_packets_may_be_lost() {
    let client = Client::new();
    client.cable.lose_a_tenth("");
    let curl = ["-sS", "--tftp-blksize", "1468", "-o", "GOT", "tftp://10.98.0.1/part"];
    client.fetches(PART_BYTES, "curl", &curl);
    let hpa = ["-m", "binary", "10.98.0.1", "-c", "get", "part", "GOT"];
    client.fetches(PART_BYTES, "tftp", &hpa);
    client.spy.wait_for(was_lossy);
}

/// Only blocks are lost here: atftp, the one client at hand that asks for a window, gives up when
/// it gets the option acknowledgement twice, as happens when its own first packet is lost.
#[test]
fn netns_a_tenth_of_all_blocks_of_a_window_may_be_lost() {
    let client = Client::new();
    client.cable.lose_a_tenth("meta length > 500");
    let options = ["--option", "blksize 1400", "--option", "windowsize 16"];
    let file = ["-g", "-r", "loader", "-l", "GOT", "10.98.0.1"];
    client.fetches(LOADER_BYTES, "atftp", &[&options[..], &file].concat());
    client.started_with(1400, 16);
    client.spy.wait_for(was_lossy);
}

/// A server on the loopback interface, for clients made by hand.
struct Loopback {
    address: SocketAddr,
    spy: Arc<Spy>,
    _runtime: tokio::runtime::Runtime,
}

impl Loopback {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let files = FileSet::default();
        files.insert("loader", BootFile::Bytes(pattern(5000).into()));
        let spy = Arc::new(Spy::default());
        let any_port = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let server =
            TftpServer::bind(any_port, Arc::new(files), spy.clone(), SharedLeases::default());
        let server = runtime.block_on(server).unwrap();
        let address = server.local_address().unwrap();
        runtime.spawn(server.run(CancellationToken::new()));
        Self { address, spy, _runtime: runtime }
    }

    fn client(&self) -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2000];
    let (length, from) = socket.recv_from(&mut buffer).expect("an answer");
    (buffer[..length].to_vec(), from)
}

/// PXE firmware asks for the length, aborts, and asks again from the same port: servers that
/// ignore the abort leave it waiting.
#[test]
fn a_size_probe_is_ended_by_its_abort() {
    let server = Loopback::new();
    let firmware = server.client();
    for round in 0..20 {
        let begun = Instant::now();
        firmware.send_to(b"\0\x01loader\0octet\0tsize\x000\0", server.address).unwrap();
        let (oack, transfer) = receive(&firmware);
        assert_eq!(oack, b"\0\x06tsize\x005000\0");
        firmware.send_to(b"\0\x05\0\0aborted\0", transfer).unwrap();
        let request = b"\0\x01loader\0octet\0tsize\x000\0blksize\x001408\0";
        firmware.send_to(request, server.address).unwrap();
        let (oack, transfer) = receive(&firmware);
        assert_eq!(oack, b"\0\x06tsize\x005000\0blksize\x001408\0");
        for block in 0..4_u8 {
            firmware.send_to(&[0, 4, 0, block], transfer).unwrap();
            let (data, from) = receive(&firmware);
            assert_eq!((&data[..4], from), (&[0, 3, 0, block + 1][..], transfer));
        }
        firmware.send_to(&[0, 4, 0, 4], transfer).unwrap();
        assert!(begun.elapsed() < Duration::from_millis(900), "round {round}");
    }
    server.spy.wait_for(|step| matches!(step, BootStep::TftpProbed { size_bytes: 5000, .. }));
    server.spy.wait_for(|step| matches!(step, BootStep::TftpFinished { size_bytes: 5000, .. }));
    let failed =
        |event: &hostwright_netboot::BootEvent| matches!(event.step, BootStep::TftpFailed { .. });
    assert!(!server.spy.events().iter().any(failed), "a probe is no failure");
}

#[test]
fn a_request_that_arrives_twice_is_one_transfer() {
    let server = Loopback::new();
    let client = server.client();
    let request = b"\0\x01loader\0octet\0";
    client.send_to(request, server.address).unwrap();
    client.send_to(request, server.address).unwrap();
    let (first, transfer) = receive(&client);
    assert_eq!(first[..4], [0, 3, 0, 1]);
    client.send_to(&[0, 4, 0, 1], transfer).unwrap();
    let (second, from) = receive(&client);
    assert_eq!((&second[..4], from), (&[0, 3, 0, 2][..], transfer));
}

#[test]
fn a_client_that_hangs_up_is_noticed() {
    let server = Loopback::new();
    let client = server.client();
    client.send_to(b"\0\x01loader\0octet\0", server.address).unwrap();
    let (_, transfer) = receive(&client);
    client.send_to(&[0, 4, 0, 1], transfer).unwrap();
    receive(&client);
    client.send_to(b"\0\x05\0\x03disk full\0", transfer).unwrap();
    let event = server.spy.wait_for(|step| matches!(step, BootStep::TftpFailed { .. }));
    let BootStep::TftpFailed { done_bytes, reason, .. } = event.step else { unreachable!() };
    assert_eq!(done_bytes, 512);
    assert!(reason.contains("disk full"), "{reason}");
}
