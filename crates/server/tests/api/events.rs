//! Events: stored once, in order, whatever the network does to batches.

use crate::site::{MAC, Running, Site, no_wait};
use hostwright_model::api::{EventAck, EventBatch, StoredEvent};
use hostwright_model::event::{Event, EventBody, Stream};
use hostwright_model::ids::RunId;
use std::time::Duration;

fn line(text: &str) -> EventBody {
    EventBody::Output { step: None, stream: Stream::Out, line: text.to_owned() }
}

fn batch(attempt: u32, range: std::ops::RangeInclusive<u64>) -> EventBatch {
    let event = |seq: u64| Event { seq, at_ms: 1000 + seq as i64, body: line(&format!("{seq}")) };
    EventBatch { attempt, events: range.map(event).collect() }
}

/// Sends a batch as it is, without the client's care.
fn post(server: &Running, token: &str, batch: &EventBatch) -> (u16, String) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let request = agent.post(format!("{}/api/v1/agent/events", server.url));
    let request = request.header("authorization", format!("Bearer {token}"));
    let mut response = request.send_json(batch).unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

fn ack(server: &Running, token: &str, batch: &EventBatch) -> u64 {
    let (status, text) = post(server, token, batch);
    assert_eq!(status, 200, "{text}");
    serde_json::from_str::<EventAck>(&text).unwrap().last_seq
}

fn all(server: &Running, run: &RunId) -> Vec<StoredEvent> {
    let mut events: Vec<StoredEvent> = Vec::new();
    loop {
        let since = events.last().map_or(0, |event| event.id);
        let more = server.operator().events(run, since).unwrap();
        if more.is_empty() {
            return events;
        }
        events.extend(more);
    }
}

#[test]
fn batches_that_are_repeated_overlap_or_come_too_early_do_no_harm() {
    let site = Site::new();
    let server = site.start();
    let run = server.arm();
    let token = server.run_token(MAC);
    assert_eq!(post(&server, &token, &batch(1, 1..=1)).0, 409, "before its order");
    server.agent(MAC, "start-1").order(&mut no_wait).unwrap();
    assert_eq!(ack(&server, &token, &batch(1, 4..=6)), 0, "there is a gap before it");
    assert_eq!(ack(&server, &token, &batch(1, 1..=3)), 3);
    assert_eq!(ack(&server, &token, &batch(1, 1..=3)), 3, "sent again");
    assert_eq!(ack(&server, &token, &batch(1, 2..=5)), 5, "overlapping");
    assert_eq!(post(&server, &token, &batch(2, 1..=1)).0, 409, "there is no attempt 2");
    assert_eq!(post(&server, &token, &batch(0, 1..=1)).0, 409);
    let stored = all(&server, &run.id);
    let seqs: Vec<u64> = stored.iter().map(|stored| stored.event.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    assert_eq!(stored[4].event, batch(1, 5..=5).events[0]);
    server.agent(MAC, "start-2").order(&mut no_wait).unwrap();
    assert_eq!(ack(&server, &token, &batch(2, 1..=2)), 2, "each attempt counts for itself");
    assert_eq!(all(&server, &run.id).len(), 7);
}

#[test]
fn the_sender_delivers_thousands_in_order_and_folds_progress() {
    let site = Site::new();
    let server = site.start();
    let run = server.arm();
    let agent = server.agent(MAC, "start-1");
    agent.order(&mut no_wait).unwrap();
    let events = agent.events(1);
    let progress = |done| EventBody::StepProgress {
        step: "packages/1".into(),
        done,
        total: 3000,
        unit: "packages".into(),
    };
    for i in 0..3000 {
        events.send(i, line(&format!("line {i}")));
        events.send(i, progress(i as u64));
    }
    assert!(events.flush(Some(Duration::from_secs(60))), "{:?}", events.refusal());
    let stored = all(&server, &run.id);
    let seqs: Vec<u64> = stored.iter().map(|stored| stored.event.seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "without gaps");
    let lines = stored.iter().filter_map(|stored| match &stored.event.body {
        EventBody::Output { line, .. } => Some(line.clone()),
        _ => None,
    });
    assert!(lines.eq((0..3000).map(|i| format!("line {i}"))), "none lost, none moved");
    assert!(seqs.len() < 6000, "progress nobody saw was replaced");
    assert_eq!(stored.last().unwrap().event.body, progress(2999));
    assert_eq!(server.operator().run(&run.id).unwrap().last_seq, seqs.len() as u64);
}

/// Goal: a server that is away for a while costs no event. Method: it ends and starts again at the
/// same port while the sender goes on.
#[test]
fn the_sender_outlives_its_server() {
    let site = Site::new();
    let server = site.start();
    let run = server.arm();
    let agent = server.agent(MAC, "start-1");
    agent.order(&mut no_wait).unwrap();
    let events = agent.events(1);
    (0..50).for_each(|i| events.send(i, line(&format!("{i}"))));
    assert!(events.flush(Some(Duration::from_secs(10))));
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    drop(server);
    (50..150).for_each(|i| events.send(i, line(&format!("{i}"))));
    assert!(!events.flush(Some(Duration::from_millis(300))), "nobody is there");
    let same_port = site.config_text().replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let server = site.start_with(&same_port);
    assert!(events.flush(Some(Duration::from_secs(30))), "{:?}", events.refusal());
    assert_eq!(all(&server, &run.id).len(), 150);
}
