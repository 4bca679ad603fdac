//! A store published over HTTPS: who may vouch for its server.

use hostwright_store::{HttpOptions, HttpSource, Source as _, StoreError};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use tempfile::TempDir;

const CONTENT: &[u8] = b"0123456789";

/// A server with a certificate of its own; its address and the certificate.
fn serve() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("config");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let config = config.clone();
            std::thread::spawn(move || answer(config, stream.expect("stream")));
        }
    });
    (format!("https://{address}/store"), made.cert.pem())
}

/// Gives bytes 2 to 4 of the content, whatever is asked for.
fn answer(config: Arc<ServerConfig>, stream: TcpStream) -> Option<()> {
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
        }
        let head = "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes()).ok()?;
        stream.get_mut().write_all(&CONTENT[2..5]).ok()?;
        stream.get_mut().flush().ok()?;
    }
}

#[test]
fn only_a_server_that_a_named_authority_vouches_for_is_believed() {
    let dir = TempDir::new().expect("tempdir");
    let (url, certificate) = serve();
    let (_, strangers) = serve();
    let read = |pem: &str| {
        let roots = dir.path().join("roots.pem");
        fs::write(&roots, pem).expect("write");
        let options = HttpOptions { tries: 1, roots: Some(roots) };
        HttpSource::open(url.clone(), &options)?.read_range("packs/x", 2, 3)
    };
    assert_eq!(read(&certificate).expect("vouched for"), b"234");
    assert_eq!(read(&(strangers.clone() + &certificate)).expect("one of two"), b"234");
    let error = read(&strangers).expect_err("a stranger");
    assert!(matches!(error, StoreError::Remote { .. }), "{error}");
    for bad in ["", "no certificate"] {
        let error = read(bad).expect_err("nobody");
        assert!(matches!(error, StoreError::BadRoots { .. }), "{error}");
    }
}
