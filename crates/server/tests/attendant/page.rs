//! Page, JSON, log and metrics with a client that everybody has.

use crate::machine::{AttendedMachine, eventually, no_files};
use hostwright_agent::record::Line;
use hostwright_model::event::{Event, EventBody, Stream};
use hostwright_model::phase::Phase;
use std::process::Command;

fn curl(machine: &AttendedMachine, args: &[&str]) -> String {
    let url = |word: &&str| match word.strip_prefix('@') {
        Some(path) => format!("http://{}{path}", machine.address),
        None => (*word).to_owned(),
    };
    let output = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--max-time", "20"])
        .args(args.iter().map(url))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn event(seq: u64, body: EventBody) -> Line {
    Line::Event(Event { seq, at_ms: 1000 * seq as i64, body })
}

#[test]
fn everything_can_be_looked_at_and_nothing_changed() {
    let machine = AttendedMachine::start(None, no_files());
    machine.record.add(&Line::Began { run: "r-1".into(), machine: "web1".into(), attempt: 1 });
    let phases = vec![(Phase::Partition, 2), (Phase::Extrbase, 1)];
    machine.record.add(&event(1, EventBody::Planned { steps: 3, phases, finished: 0 }));
    machine.record.add(&event(2, EventBody::PhaseStarted { phase: Phase::Partition }));
    let line = "it <works>".to_owned();
    machine.record.add(&event(3, EventBody::Output { step: None, stream: Stream::Out, line }));
    eventually("it is read", || (machine.attendant.watch().now().log_lines > 0).then_some(()));
    let page = curl(&machine, &["-i", "@/"]);
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    for text in ["<title>web1", "installing", "partition", "it &lt;works&gt;", "run r-1"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(page.contains("content-security-policy: default-src 'self'"), "{page}");
    let status: serde_json::Value =
        serde_json::from_str(&curl(&machine, &["@/status.json"])).unwrap();
    assert_eq!(status["machine"], "web1");
    assert_eq!(status["progress"]["phases"][0]["state"], "running");
    assert!(
        curl(&machine, &["@/metrics"]).contains("hostwright_phase_steps{phase=\"partition\"} 2")
    );
    assert_eq!(curl(&machine, &["@/healthz"]), "ok\n");
    assert!(curl(&machine, &["@/log"]).ends_with("00:00:03 out   it <works>\n"));
    let heads = ["-o", "/dev/null", "-w", "%{http_code}"];
    let code = |more: &[&str]| curl(&machine, &[&heads[..], more].concat());
    assert_eq!(code(&["-X", "POST", "-d", "x", "@/"]), "405");
    assert_eq!(code(&["@/plan.json"]), "404");
    assert_eq!(code(&["@/../../etc/passwd", "--path-as-is"]), "404");
    assert_eq!(code(&["--head", "@/"]), "200");
}

#[test]
fn what_changes_comes_by_itself() {
    let machine = AttendedMachine::start(None, no_files());
    let record = machine.record.clone();
    let speaker = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        record.add(&Line::Said { at_ms: 0, text: "a new line".to_owned() });
    });
    let stream = curl(&machine, &["--no-buffer", "--max-time", "3", "@/events"]);
    speaker.join().unwrap();
    let events: Vec<&str> = stream.split("\n\n").filter(|event| !event.is_empty()).collect();
    assert!(events[0].starts_with("event: page\ndata: "), "{stream}");
    assert!(!events[0].contains("a new line"), "{stream}");
    assert!(events[1..].iter().any(|event| event.contains("a new line")), "{stream}");
}
