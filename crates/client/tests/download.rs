//! Downloads from servers that break off, lie or begin again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use hostwright_client::{AgentClient, ClientError};
use hostwright_model::api::Blob;
use hostwright_model::ids::Digest;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// What the server does with one connection: gets the first byte asked for and the whole content.
type Answer = fn(&mut TcpStream, usize, &[u8]);

fn content() -> Vec<u8> {
    (0..300_000u32).map(|i| (i % 251) as u8).collect()
}

/// A server that treats its first connections as told and all further ones well.
fn serve(answers: Vec<Answer>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut from = 0;
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap().to_ascii_lowercase();
                if let Some(range) = line.strip_prefix("range: bytes=") {
                    from = range.trim_end_matches('-').parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            answers.next().unwrap_or(well)(&mut stream, from, &content());
        }
    });
    format!("http://{address}")
}

fn well(stream: &mut TcpStream, from: usize, content: &[u8]) {
    send(stream, from, content, content.len());
}

fn breaks_off(stream: &mut TcpStream, from: usize, content: &[u8]) {
    send(stream, from, content, from + 50_000);
}

fn ignores_ranges(stream: &mut TcpStream, _: usize, content: &[u8]) {
    send(stream, 0, content, content.len());
}

fn damages(stream: &mut TcpStream, from: usize, content: &[u8]) {
    let mut content = content.to_vec();
    content[299_000] ^= 1;
    well(stream, from, &content);
}

fn is_busy(stream: &mut TcpStream, _: usize, _: &[u8]) {
    let _ =
        stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

fn has_nothing(stream: &mut TcpStream, _: usize, _: &[u8]) {
    let _ =
        stream.write_all(b"HTTP/1.1 404 None\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

fn send(stream: &mut TcpStream, from: usize, content: &[u8], to: usize) {
    let (status, total) = (if from > 0 { "206 Partial Content" } else { "200 OK" }, content.len());
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{total}\r\n\
         connection: close\r\n\r\n",
        total - from,
        total - 1
    );
    // A client that hung up is what some tests want.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&content[from..to.min(total)]);
}

fn blob() -> Blob {
    let content = content();
    let digest = Digest(*blake3::hash(&content).as_bytes());
    Blob { path: "/files/x".into(), digest, size_bytes: content.len() as u64 }
}

struct Fetched {
    _dir: TempDir,
    to: PathBuf,
    result: Result<(), ClientError>,
    waits: usize,
    progress: Vec<u64>,
}

fn fetch(answers: Vec<Answer>, prepare: fn(&PathBuf)) -> Fetched {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("file");
    prepare(&to);
    let client = AgentClient::new(&serve(answers), "token", "start");
    let (mut waits, mut progress) = (0, Vec::new());
    let result = client.download(
        &blob(),
        &to,
        &mut |done, total| {
            assert!(done <= total);
            progress.push(done);
        },
        &mut |_, _| waits += 1,
    );
    Fetched { _dir: dir, to, result, waits, progress }
}

#[test]
fn a_file_arrives_through_every_trouble() {
    for (answers, waits) in [
        (vec![], 0),
        (vec![breaks_off as Answer, breaks_off, breaks_off], 3),
        (vec![is_busy, breaks_off, is_busy], 3),
        (vec![breaks_off, ignores_ranges], 1),
        (vec![damages], 1),
        (vec![breaks_off, damages, breaks_off], 3),
    ] {
        let fetched = fetch(answers, |_| ());
        fetched.result.unwrap();
        assert_eq!(fs::read(&fetched.to).unwrap(), content());
        assert_eq!(fetched.waits, waits);
        assert_eq!(fetched.progress.last(), Some(&300_000));
        assert!(!fetched.to.with_file_name("file.part").exists());
    }
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let fetched = fetch(vec![has_nothing], |to| fs::write(to, content()).unwrap());
    fetched.result.unwrap();
    let resumed = fetch(vec![], |to| {
        fs::write(to.with_file_name("file.part"), &content()[..200_000]).unwrap();
    });
    resumed.result.unwrap();
    assert!(resumed.progress[0] > 200_000, "it went on behind what was there");
}

#[test]
fn a_file_that_is_damaged_on_the_server_is_refused() {
    let fetched = fetch(vec![damages; 9], |_| ());
    let error = fetched.result.expect_err("damaged");
    assert!(matches!(error, ClientError::Corrupt { .. }), "{error}");
    assert!(!fetched.to.exists(), "nothing damaged under its name");
    assert_eq!(fetched.waits, 2);
}

#[test]
fn a_file_that_is_not_there_is_an_error_at_once() {
    let fetched = fetch(vec![has_nothing; 2], |_| ());
    assert_eq!(fetched.result.expect_err("missing").code(), Some("http-404"));
    assert_eq!(fetched.waits, 0);
}

/// Goal: an agent whose server is not up yet waits for it and says so.
#[test]
fn a_server_that_comes_late_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        let listener = TcpListener::bind(address).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        has_nothing(&mut stream, 0, &[]);
    });
    let client = AgentClient::new(&format!("http://{address}"), "token", "start");
    let mut waits = Vec::new();
    let error = client.order(&mut |error, pause| waits.push((error.to_string(), pause)));
    assert_eq!(error.expect_err("404").code(), Some("http-404"));
    assert!(!waits.is_empty() && waits.iter().all(|(why, _)| why.starts_with("no answer from")));
    late.join().unwrap();
}
