//! Who may do what.

use crate::site::{MAC, Site, no_wait, spec};
use hostwright_client::OperatorClient;

#[test]
fn a_closed_server_shows_nothing_without_a_token() {
    let site = Site::new();
    let server = site.start();
    let run = server.arm();
    let read = [
        "/api/v1/machines".to_owned(),
        "/api/v1/machines/demohost".to_owned(),
        "/api/v1/unknown-machines".to_owned(),
        "/api/v1/runs".to_owned(),
        format!("/api/v1/runs/{}", run.id),
        format!("/api/v1/runs/{}/progress", run.id),
        format!("/api/v1/runs/{}/events", run.id),
        "/api/v1/events".to_owned(),
    ];
    let of_run = server.run_token(MAC);
    for path in &read {
        assert_eq!(server.get(path, None).0, 401, "{path}");
        assert_eq!(server.get(path, Some("guess")).0, 401, "{path}");
        assert_eq!(server.get(path, Some(&of_run)).0, 401, "{path}: a run's token");
    }
    assert_eq!(server.get("/api/v1/health", None).0, 200);
    assert_eq!(server.get("/api/v1/openapi.json", None).0, 200);
}

#[test]
fn an_open_server_shows_everything_and_changes_nothing_without_a_token() {
    let site = Site::new();
    let server = site.start_with(&site.config_text().replace("page = false", "page = true"));
    server.arm();
    assert_eq!(server.get("/api/v1/machines", None).0, 200);
    let stranger = OperatorClient::new(&server.url, "guess");
    let code = |error: hostwright_client::ClientError| error.code().unwrap().to_owned();
    let name = "demohost".into();
    let other = spec("other", "52:54:00:00:00:09");
    assert_eq!(code(stranger.add_machine(&other).unwrap_err()), "token-needed");
    assert_eq!(code(stranger.change_machine(&other).unwrap_err()), "token-needed");
    assert_eq!(code(stranger.remove_machine(&name).unwrap_err()), "token-needed");
    assert_eq!(code(stranger.install(&name).unwrap_err()), "token-needed");
    assert_eq!(code(stranger.cancel(&name).unwrap_err()), "token-needed");
}

#[test]
fn agents_need_the_token_of_their_run() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let order = "/api/v1/agent/order?start=x";
    assert_eq!(server.get(order, None).0, 401);
    assert_eq!(server.get(order, Some("guess")).0, 401);
    assert_eq!(server.get(order, Some(&server.token)).0, 401, "an operator is no agent");
    let agent = server.agent(MAC, "x");
    let space = agent.order(&mut no_wait).unwrap().space;
    assert_eq!(server.get(&space.path, None).0, 401, "a space may hold secrets");
    assert_eq!(server.get(&space.path, Some(&server.run_token(MAC))).0, 200);
}

#[test]
fn only_objects_of_the_store_are_published() {
    let site = Site::new();
    let server = site.start();
    std::fs::create_dir_all(site.path("store/packs")).unwrap();
    std::fs::write(site.path("store/packs/abc.pack"), "0123456789").unwrap();
    std::fs::write(site.path("state/files/secret"), "secret").unwrap();
    assert_eq!(server.get("/store/packs/abc.pack", None), (200, "0123456789".to_owned()));
    for path in
        ["/store/", "/store/packs/", "/store/refs/demo", "/store/packs/../../state/files/secret"]
    {
        let (status, body) = server.get(path, None);
        assert!(status >= 400 && !body.contains("secret"), "{path}: {status} {body}");
    }
}

#[test]
fn the_store_answers_ranges() {
    let site = Site::new();
    let server = site.start();
    std::fs::create_dir_all(site.path("store/packs")).unwrap();
    std::fs::write(site.path("store/packs/abc.pack"), "0123456789").unwrap();
    let request = ureq::get(format!("{}/store/packs/abc.pack", server.url));
    let mut response = request.header("range", "bytes=2-4").call().unwrap();
    assert_eq!(response.status(), 206);
    assert_eq!(response.body_mut().read_to_string().unwrap(), "234");
}

/// Goal: somebody else on the network cannot get a machine's token by naming its interface. Without
/// DHCP of our own, its fixed address is what it is known by.
#[test]
fn a_token_is_only_given_to_the_machines_own_address() {
    let site = Site::new();
    let server = site.start();
    let mut elsewhere = spec("demohost", MAC);
    elsewhere.address = Some("10.9.9.9".parse().unwrap());
    server.operator().add_machine(&elsewhere).unwrap();
    server.operator().install(&"demohost".into()).unwrap();
    let script = server.boot(MAC);
    assert!(!script.contains("hostwright.token") && script.contains("is armed"), "{script}");
    let mut here = spec("demohost", MAC);
    here.address = Some("127.0.0.1".parse().unwrap());
    server.operator().change_machine(&here).unwrap();
    assert!(server.boot(MAC).contains("hostwright.token"));
}
