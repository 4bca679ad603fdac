//! FAI's monitor: what is told there is answered, listed and shown.

use crate::site::Site;
use hostwright_model::monitored::MonitoredState;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Sends a line as `sendmon` does, and returns the answer.
fn say(to: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    writeln!(stream, "{line}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_machines_tell_is_listed_and_shown() {
    let site = Site::new();
    let monitor =
        "[monitor]\nlisten = \"127.0.0.1:0\"\n[monitor.variables]\nNFSROOT = \"/srv/nfsroot\"\n";
    let server = site.start_with(&format!("{}{monitor}", site.config_text()));
    let to = server.monitor.unwrap();
    for line in ["web1 check", "web1 TASKBEGIN partition", "web1 TASKEND partition 710", "nonsense"]
    {
        assert_eq!(say(to, line), "");
    }
    let machines = server.operator().monitored_machines().unwrap();
    assert_eq!(machines.len(), 1);
    assert_eq!((machines[0].name.as_str(), machines[0].address.as_str()), ("web1", "127.0.0.1"));
    assert_eq!(machines[0].tasks[0].state, MonitoredState::Failed);
    let (status, page) = server.get("/", Some(&server.token));
    assert_eq!(status, 200);
    assert!(page.contains("web1") && page.contains("partition: failed (710)"), "{page}");
}

#[test]
fn variables_are_answered_and_nothing_else() {
    let site = Site::new();
    let monitor =
        "[monitor]\nlisten = \"127.0.0.1:0\"\n[monitor.variables]\nNFSROOT = \"/srv/nfsroot\"\n";
    let server = site.start_with(&format!("{}{monitor}", site.config_text()));
    let to = server.monitor.unwrap();
    assert_eq!(say(to, "VARIABLE NFSROOT"), "OK /srv/nfsroot\n");
    assert_eq!(say(to, "VARIABLE PATH"), "UNKNOWN PATH\n");
    assert!(server.operator().monitored_machines().unwrap().is_empty());
}

/// Goal: a client that sends no end of line costs little and ends. Method: more bytes than a line
/// may have.
#[test]
fn a_line_without_end_is_cut() {
    let site = Site::new();
    let config = format!("{}[monitor]\nlisten = \"127.0.0.1:0\"\n", site.config_text());
    let server = site.start_with(&config);
    let mut stream = TcpStream::connect(server.monitor.unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let begun = Instant::now();
    // The server may hang up before everything is sent.
    let _ = stream.write_all(&[b'x'; 4096]);
    let ended = stream.read(&mut [0; 16]);
    assert!(!matches!(ended, Ok(1..)), "nothing is answered");
    assert!(begun.elapsed() < Duration::from_secs(15));
}
