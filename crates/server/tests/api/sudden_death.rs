//! SIGKILL at any moment loses nothing that was acknowledged.

use crate::site::{MAC, Site, spec};
use hostwright_client::{AgentClient, OperatorClient};
use hostwright_model::event::{EventBody, Stream};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The example that cargo builds beside the tests.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples/serve")
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn start(site: &Site, port: u16) -> (Killed, String) {
    let config = site.path("serve.toml");
    let text = site.config_text().replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    std::fs::write(&config, text).unwrap();
    let mut child = Command::new(program()).arg(&config).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Killed(child), line.trim().to_owned())
}

/// Goal: no acknowledged event is lost, none is stored twice. Method: a sender talks all the time
/// while its server is killed ten times, a little later each time.
#[test]
fn a_killed_server_keeps_every_acknowledged_event() {
    let site = Site::new();
    let (mut server, url) = start(&site, 0);
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let token = std::fs::read_to_string(site.path("state/operator.token")).unwrap();
    let client = OperatorClient::new(&url, token.trim());
    client.add_machine(&spec("demohost", MAC)).unwrap();
    let run = client.install(&"demohost".into()).unwrap();
    let script = ureq::get(format!("{url}/boot/ipxe/{MAC}")).call().unwrap();
    let script = script.into_body().read_to_string().unwrap();
    let boot = hostwright_model::installer::BootParameters::from_cmdline(&script).unwrap();
    let agent = AgentClient::new(&boot.server, &boot.token, "start-1");
    agent.order(&mut |_, _| ()).unwrap();
    let events = agent.events(1);
    let mut sent = 0;
    for round in 0..10 {
        for _ in 0..200 {
            let line = format!("{sent}");
            events.send(sent, EventBody::Output { step: None, stream: Stream::Out, line });
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(20 + 13 * round));
        drop(server);
        server = start(&site, port).0;
    }
    assert!(events.flush(Some(Duration::from_secs(60))), "{:?}", events.refusal());
    let mut seen = Vec::new();
    let mut since = 0;
    loop {
        let page = client.events(&run.id, since).unwrap();
        let Some(last) = page.last() else { break };
        since = last.id;
        seen.extend(page.iter().map(|event| event.event.at_ms));
    }
    assert_eq!(seen, (0..sent).collect::<Vec<_>>());
    drop(server);
}
