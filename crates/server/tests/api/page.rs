//! The page: what it shows, to whom, and how it stays up to date.

use crate::site::{MAC, Running, Site, no_wait, spec};
use hostwright_client::EventSender;
use hostwright_model::event::{EventBody, Stream};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::phase::Phase;
use std::io::{BufRead as _, BufReader};
use std::time::Duration;

fn open(site: &Site) -> Running {
    site.start_with(&site.config_text().replace("page = false", "page = true"))
}

fn installing(server: &Running) -> EventSender {
    server.arm();
    let agent = server.agent(MAC, "start-1");
    agent.order(&mut no_wait).unwrap();
    let events = agent.events(1);
    let phases = vec![(Phase::Partition, 2), (Phase::Extrbase, 2)];
    events.send(1, EventBody::Planned { steps: 4, phases, finished: 0 });
    events.send(2, EventBody::PhaseStarted { phase: Phase::Partition });
    let title = "Write a <b>table</b>".to_owned();
    let step = "table/vda".into();
    events.send(3, EventBody::StepStarted { step, phase: Phase::Partition, title });
    let line = "<script>alert(1)</script>".to_owned();
    events.send(4, EventBody::Output { step: None, stream: Stream::Err, line });
    assert!(events.flush(Some(Duration::from_secs(10))));
    events
}

#[test]
fn an_empty_page_says_how_to_begin() {
    let site = Site::new();
    let (status, html) = open(&site).get("/", None);
    assert_eq!(status, 200);
    assert!(html.contains("hostwright machine add web01") && html.contains("--space simple"));
}

#[test]
fn a_machine_is_shown_with_all_that_happens_to_it() {
    let site = Site::new();
    let server = open(&site);
    let events = installing(&server);
    let (_, html) = server.get("/", None);
    for expected in [
        "id=\"machine-demohost\"",
        "installing",
        "52:54:00:12:34:56",
        "partition",
        "step 0 of 4 so far",
        "Write a &lt;b&gt;table&lt;&#x2f;b&gt;",
        "&lt;script&gt;alert(1)&lt;&#x2f;script&gt;",
    ] {
        assert!(html.contains(expected), "{expected} in {html}");
    }
    let fault = Fault::new(FaultKind::Hardware, "disk-gone", "vda is gone", "plug it in again");
    events.send(5, EventBody::StepFailed { step: "table/vda".into(), fault });
    events.send(6, EventBody::RunFinished { ok: false, task_error: 0, fault: None });
    assert!(events.flush(Some(Duration::from_secs(10))));
    for path in ["/", "/runs/demohost-1"] {
        let (status, html) = server.get(path, None);
        assert_eq!(status, 200);
        for expected in ["failed", "vda is gone", "plug it in again", "disk-gone"] {
            assert!(html.contains(expected), "{expected} on {path}");
        }
    }
    assert_eq!(server.get("/runs/demohost-99", None).0, 404);
}

#[test]
fn an_earlier_run_is_shown_as_it_was() {
    let site = Site::new();
    let server = open(&site);
    installing(&server);
    server.operator().cancel_by_force(&"demohost".into()).unwrap();
    server.operator().install(&"demohost".into()).unwrap();
    assert!(server.get("/runs/demohost-1", None).1.contains("cancelled"));
    assert!(server.get("/runs/demohost-1", None).1.contains("step 0 of 4"));
    let (_, latest) = server.get("/runs/demohost-2", None);
    assert!(latest.contains("armed") && !latest.contains("step 0 of 4"));
}

#[test]
fn a_closed_page_asks_for_the_token_and_then_shows_itself() {
    let site = Site::new();
    let server = site.start();
    server.operator().add_machine(&spec("demohost", MAC)).unwrap();
    let (status, html) = server.get("/", None);
    assert!(status == 401 && html.contains("operator.token") && !html.contains("demohost"));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build()
        .into();
    let login = |token: &str| {
        let form = agent.post(format!("{}/page/login", server.url));
        let response = form.send_form([("token", token)]).unwrap();
        assert_eq!(response.status(), 303);
        response.headers()["set-cookie"].to_str().unwrap().to_owned()
    };
    let look = |cookie: &str| {
        let cookie = cookie.split(';').next().unwrap();
        let request = agent.get(&server.url).header("cookie", cookie);
        request.call().unwrap().into_body().read_to_string().unwrap()
    };
    let cookie = login(&server.token);
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    assert!(look(&cookie).contains("machine-demohost"));
    let refused = look(&login("wrong\r\nset-cookie: x=y"));
    assert!(refused.contains("That is not the token") && !refused.contains("machine-demohost"));
    let change = agent.post(format!("{}/api/v1/machines/demohost/install", server.url));
    let change = change.header("cookie", cookie.split(';').next().unwrap());
    assert_eq!(change.send_empty().unwrap().status(), 401, "the cookie may only look");
}

/// Goal: whoever looks sees changes without loading the page again.
#[test]
fn pieces_of_the_page_follow_the_machines() {
    let site = Site::new();
    let server = open(&site);
    let response = ureq::get(format!("{}/page/live", server.url)).call().unwrap();
    let lines = BufReader::new(response.into_body().into_reader()).lines().map_while(Result::ok);
    let mut data = lines.filter_map(|line| Some(line.strip_prefix("data:")?.trim().to_owned()));
    let mut until = |wanted: &str| {
        data.find(|piece| piece.contains(wanted)).unwrap_or_else(|| panic!("never: {wanted}"))
    };
    until("No machines yet");
    let events = installing(&server);
    assert!(until("table&#x2f;vda").contains("machine-demohost"));
    events.send(9, EventBody::RunFinished { ok: true, task_error: 0, fault: None });
    assert!(until("installed").contains("\"id\":\"summary\""));
    server.operator().remove_machine(&"demohost".into()).unwrap();
    until("No machines yet");
}

#[test]
fn what_the_page_needs_comes_from_the_server_itself() {
    let site = Site::new();
    let server = open(&site);
    let (_, html) = server.get("/", None);
    let outside = html.matches("http://").count() + html.matches("https://").count();
    assert_eq!(outside, 0, "{html}");
    for part in html.split(['"']).filter(|part| part.starts_with("/page/")) {
        if part != "/page/live" {
            assert_eq!(server.get(part, None).0, 200, "{part}");
        }
    }
}

#[test]
fn the_api_describes_itself() {
    let site = Site::new();
    let server = site.start();
    let (_, text) = server.get("/api/v1/openapi.json", None);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 20, "{:?}", paths.keys().collect::<Vec<_>>());
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["Machine", "Run", "Order", "StoredEvent", "RunProgress", "ApiError", "Facts"] {
        assert!(schemas.contains_key(name), "{name}");
    }
    let printed: serde_json::Value = serde_json::from_str(&hostwright_server::openapi()).unwrap();
    assert_eq!(printed, document);
}
