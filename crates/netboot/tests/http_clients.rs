//! Boot files and scripts over HTTP, with curl (Debian package curl).

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod world;

use hostwright_netboot::http::{HttpBoot, router};
use hostwright_netboot::script::Scripts;
use hostwright_netboot::{
    BootFile, BootSpec, BootStep, FileSet, InstallBoot, Lease, LeaseState, Platform, SharedLeases,
};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use world::{Spy, WEB01, pattern};

const KERNEL_BYTES: usize = 3_000_000;

struct Server {
    address: SocketAddr,
    spy: Arc<Spy>,
    _runtime: tokio::runtime::Runtime,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Serves `kernel` from a file and `loader` from memory, and takes 127.0.0.1 for `web01`.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kernel");
        std::fs::write(&path, pattern(KERNEL_BYTES)).unwrap();
        let files = FileSet::default();
        files.insert("kernel", BootFile::Path(path));
        files.insert("loader", BootFile::Bytes(pattern(1000).into()));
        files.insert("lost", BootFile::Path(directory.path().join("lost")));
        let spy = Arc::new(Spy::default());
        let leases = SharedLeases::restore([Lease {
            address: Ipv4Addr::LOCALHOST,
            mac: WEB01,
            state: LeaseState::Bound,
            until_ms: i64::MAX,
            host_name: None,
        }]);
        let scripts = Arc::new(Scripts::new("http://10.98.0.1:8080").unwrap());
        let routes =
            router(HttpBoot { booter: spy.clone(), leases, files: Arc::new(files), scripts });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        runtime.spawn(async move { axum::serve(listener, service).await });
        Self { address, spy, _runtime: runtime, _directory: directory }
    }

    /// What curl prints.
    fn curl(&self, path: &str, options: &[&str]) -> Vec<u8> {
        let url = format!("http://{}{path}", self.address);
        let arguments = [&["-sS", "--noproxy", "*", &url], options].concat();
        let output = world::run("curl", &arguments);
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    fn curl_text(&self, path: &str, options: &[&str]) -> String {
        String::from_utf8(self.curl(path, options)).unwrap().to_ascii_lowercase()
    }
}

#[test]
fn a_file_is_served_whole_and_in_parts() {
    let server = Server::new();
    let whole = pattern(KERNEL_BYTES);
    assert!(server.curl("/boot/files/kernel", &[]) == whole);
    assert!(server.curl("/boot/files/loader", &[]) == pattern(1000));
    let part = server.curl("/boot/files/kernel", &["-r", "1000000-1999999"]);
    assert!(part == whole[1_000_000..2_000_000]);
    let head = server.curl_text("/boot/files/kernel", &["-I"]);
    for line in ["200 ok", "content-length: 3000000", "accept-ranges: bytes"] {
        assert!(head.contains(line), "{line} is not in:\n{head}");
    }
    let range =
        server.curl_text("/boot/files/kernel", &["-r", "0-9", "-D", "-", "-o", "/dev/null"]);
    assert!(range.contains("206 partial") && range.contains("bytes 0-9/3000000"), "{range}");
    let beyond = ["-r", "4000000-", "-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(server.curl_text("/boot/files/kernel", &beyond), "416");
    let done = server.spy.wait_for(|step| {
        matches!(step, BootStep::HttpFinished { file, size_bytes: 3_000_000, .. } if file == "kernel")
    });
    assert_eq!(done.mac, Some(WEB01), "known by its lease");
}

#[test]
fn what_is_not_served_is_refused_and_reported() {
    let server = Server::new();
    for path in ["nothing", "lost", "..%2f..%2fetc%2fpasswd", "a/../../../../etc/passwd"] {
        let options = ["--path-as-is", "-o", "/dev/null", "-w", "%{http_code}"];
        assert_eq!(server.curl_text(&format!("/boot/files/{path}"), &options), "404", "{path}");
    }
    server.spy.wait_for(|step| matches!(step, BootStep::HttpFailed { file, .. } if file == "lost"));
}

#[test]
fn a_machine_that_hangs_up_in_the_middle_is_reported() {
    let server = Server::new();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"GET /boot/files/kernel HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    drop(stream);
    let event = server.spy.wait_for(|step| matches!(step, BootStep::HttpFailed { .. }));
    let BootStep::HttpFailed { done_bytes, .. } = event.step else { unreachable!() };
    assert!(done_bytes < 3_000_000);
}

#[test]
fn a_machine_gets_the_script_of_what_it_shall_boot() {
    let server = Server::new();
    let path = "/boot/ipxe/52-54-00-00-00-01?uuid=1234&platform=efi";
    assert!(server.curl_text(path, &[]).contains("starting its own disk"));
    let request = server.spy.requests.lock().unwrap()[0].clone();
    assert_eq!((request.mac, request.leased), (WEB01, Some(Ipv4Addr::LOCALHOST)));
    assert_eq!(request.client, Some(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(request.platform, Some(Platform::Uefi));
    assert_eq!(request.uuid.as_deref(), Some("1234"));
    *server.spy.spec.lock().unwrap() = Some(BootSpec::Install(InstallBoot {
        title: "installing web01".into(),
        kernel: "kernel".into(),
        initrds: vec![],
        cmdline: "quiet".into(),
    }));
    let script = server.curl_text("/boot/ipxe/52:54:00:00:00:01", &[]);
    assert!(script.contains("kernel http://10.98.0.1:8080/boot/files/kernel quiet"), "{script}");
    server.spy.wait_for(|step| matches!(step, BootStep::ScriptServed { boots: "install" }));
}

/// A script that cannot be made must not leave the machine with an error number on its screen.
#[test]
fn a_boot_spec_that_ipxe_would_misread_holds_the_machine() {
    let server = Server::new();
    *server.spy.spec.lock().unwrap() = Some(BootSpec::Install(InstallBoot {
        title: "installing web01".into(),
        kernel: "kernel".into(),
        initrds: vec![],
        cmdline: "quiet || reboot".into(),
    }));
    let script = server.curl_text("/boot/ipxe/52:54:00:00:00:01", &[]);
    assert!(script.contains("the kernel command line contains"), "{script}");
    server.spy.wait_for(|step| matches!(step, BootStep::ScriptServed { boots: "hold" }));
}

#[test]
fn an_address_that_is_none_is_refused_and_head_is_no_boot() {
    let server = Server::new();
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(server.curl_text("/boot/ipxe/web01", &status), "400");
    let head = server.curl_text("/boot/ipxe/52:54:00:00:00:01", &["-I"]);
    assert!(head.contains("200 ok"), "{head}");
    assert_eq!(server.spy.events(), []);
}
