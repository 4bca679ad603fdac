//! Small files from servers that people run: Debian's tftpd-hpa, OpenSSL's HTTPS server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]
#![expect(clippy::disallowed_methods, reason = "tests start the programs that they look at")]

use hostwright_client::tftp::{self, TftpError};
use hostwright_client::{ClientError, web};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, args: &[&str], dir: &Path) -> Daemon {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null());
    Daemon(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// tftpd-hpa changes its root, so it needs to be started by root.
#[test]
fn root_files_come_from_tftpd_hpa_and_a_missing_one_is_known_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = free.local_addr().unwrap();
    drop(free);
    let long: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
    for (name, content) in [("config.json", &long[..]), ("empty", b""), ("exact", &long[..1428])] {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let address = server.to_string();
    let root = dir.path().display().to_string();
    let args = ["--foreground", "--secure", "--address", &address, "--user", "root", &root];
    let _daemon = start("in.tftpd", &args, dir.path());
    // Also while it is not up yet: a packet that nobody takes is sent again.
    assert_eq!(tftp::fetch(server, "config.json", 1 << 20).unwrap(), long);
    assert_eq!(tftp::fetch(server, "empty", 1 << 20).unwrap(), b"");
    assert_eq!(tftp::fetch(server, "exact", 1 << 20).unwrap(), &long[..1428]);
    let missing = tftp::fetch(server, "tools-imagename", 1 << 20).unwrap_err();
    assert!(matches!(missing, TftpError::NotFound { .. }), "{missing}");
    let long = tftp::fetch(server, "config.json", 1000).unwrap_err();
    assert!(matches!(long, TftpError::Bad { .. }), "{long}");
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let begun = Instant::now();
    let error = tftp::fetch(silent.local_addr().unwrap(), "f", 10).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certificates(dir: &Path) {
    let run = |args: &str| {
        let output = Command::new("openssl").args(args.split(' ')).current_dir(dir).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    for name in ["CA", "other"] {
        run(&format!("req -x509 -subj /CN={name} -keyout {name}.key -out {name}.pem {key}"));
    }
    run(&format!(
        "req -x509 -CA CA.pem -CAkey CA.key -subj /CN=server -keyout key.pem -out cert.pem {key} \
         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    ));
}

#[test]
fn https_is_checked_and_a_missing_file_has_its_status() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    fs::write(dir.path().join("config.json"), "{}").unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server: SocketAddr = free.local_addr().unwrap();
    drop(free);
    let port = server.to_string();
    let args = ["s_server", "-accept", &port, "-cert", "cert.pem", "-key", "key.pem", "-WWW"];
    let _daemon = start("openssl", &args, dir.path());
    while TcpStream::connect(server).is_err() {
        thread::sleep(Duration::from_millis(20));
    }
    let authority = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let url = format!("https://{server}/config.json");
    assert_eq!(web::fetch(&url, &[], &authority("CA.pem"), 100).unwrap(), b"{}");
    for wrong in [authority("other.pem"), String::new()] {
        let error = web::fetch(&url, &[], &wrong, 100).unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    }
}

#[test]
fn plain_http_has_a_limit_of_time_and_length() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/imagename", listener.local_addr().unwrap());
    thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for answer in ["404 Not Found\r\ncontent-length: 0", "200 OK\r\ncontent-length: 3"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1000];
            let _asked = stream.read(&mut head).unwrap();
            write!(stream, "HTTP/1.1 {answer}\r\nconnection: close\r\n\r\nabc").unwrap();
        }
    });
    let missing = web::fetch(&url, &[], "", 100).unwrap_err();
    assert!(matches!(missing, ClientError::Refused { status: 404, .. }), "{missing}");
    assert!(web::fetch(&url, &[], "", 2).is_err());
}
