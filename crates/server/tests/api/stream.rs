//! Following the log.

use crate::site::{MAC, Running, Site, no_wait};
use hostwright_client::{EventSender, EventStream};
use hostwright_model::event::{EventBody, Stream};
use std::io::{BufRead as _, BufReader};
use std::time::Duration;

fn started(server: &Running) -> EventSender {
    server.arm();
    let agent = server.agent(MAC, "start-1");
    agent.order(&mut no_wait).unwrap();
    agent.events(1)
}

fn say(events: &EventSender, range: std::ops::Range<i64>) {
    for i in range {
        let line = format!("{i}");
        events.send(i, EventBody::Output { step: None, stream: Stream::Err, line });
    }
    assert!(events.flush(Some(Duration::from_secs(10))));
}

fn numbers(stream: &mut EventStream, count: usize) -> Vec<i64> {
    stream.take(count).map(|event| event.expect("connected").event.at_ms).collect()
}

#[test]
fn a_follower_gets_what_was_and_what_comes() {
    let site = Site::new();
    let server = site.start();
    let events = started(&server);
    say(&events, 0..2500);
    let mut stream = server.operator().follow(0, None);
    assert_eq!(numbers(&mut stream, 2500), (0..2500).collect::<Vec<_>>());
    say(&events, 2500..2510);
    assert_eq!(numbers(&mut stream, 10), (2500..2510).collect::<Vec<_>>());
    let run = "demohost-1".into();
    let mut tail = server.operator().follow(2505, Some(&run));
    assert_eq!(numbers(&mut tail, 5), (2505..2510).collect::<Vec<_>>());
}

/// Goal: a browser that lost its connection goes on behind the event it saw last.
#[test]
fn last_event_id_wins_over_since() {
    let site = Site::new();
    let server = site.start();
    let events = started(&server);
    say(&events, 0..10);
    let request = ureq::get(format!("{}/api/v1/events?since=2", server.url));
    let request = request.header("authorization", format!("Bearer {}", server.token));
    let response = request.header("last-event-id", "7").call().unwrap();
    let lines = BufReader::new(response.into_body().into_reader()).lines();
    let ids = lines
        .map_while(Result::ok)
        .filter_map(|line| Some(line.strip_prefix("id:")?.trim().to_owned()));
    assert_eq!(ids.take(3).collect::<Vec<_>>(), ["8", "9", "10"]);
}

#[test]
fn a_follower_goes_on_when_the_server_comes_back() {
    let site = Site::new();
    let server = site.start();
    let events = started(&server);
    say(&events, 0..5);
    let mut stream = server.operator().follow(0, None);
    assert_eq!(numbers(&mut stream, 5), [0, 1, 2, 3, 4]);
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    drop(server);
    assert!(stream.next().unwrap().is_err(), "it says that the server is away");
    let same_port = site.config_text().replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let _server = site.start_with(&same_port);
    say(&events, 5..8);
    let seen = stream.filter_map(Result::ok).map(|event| event.event.at_ms);
    assert_eq!(seen.take(3).collect::<Vec<_>>(), [5, 6, 7]);
}
