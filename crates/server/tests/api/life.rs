//! What a machine and its run go through.

use crate::site::{MAC, Running, Site, no_wait, spec, write_installer};
use hostwright_client::AgentClient;
use hostwright_model::api::{NextBoot, Run, RunState};
use hostwright_model::event::EventBody;
use std::time::Duration;

fn run_of(server: &Running) -> Run {
    server.operator().machine(&"demohost".into()).unwrap().run.expect("it has one")
}

fn finish(agent: &AgentClient, attempt: u32, ok: bool) {
    let events = agent.events(attempt);
    events.send(1, EventBody::AgentStarted { uptime_ms: 9000 });
    events.send(2, EventBody::RunFinished { ok, task_error: 0, fault: None });
    events.send(3, EventBody::Rebooting);
    assert!(events.flush(Some(Duration::from_secs(10))), "{:?}", events.refusal());
}

#[test]
fn a_machine_is_installed_once_and_boots_its_disk_afterwards() {
    let site = Site::new();
    let server = site.start();
    assert!(server.boot(MAC).contains("disk"), "unknown machines boot their disk");
    let run = server.arm();
    assert_eq!((run.state, run.attempts), (RunState::Armed, 0));
    let script = server.boot(MAC);
    assert!(script.contains("console=ttyS0 hostwright.server=http://127.0.0.1:"), "{script}");
    assert_eq!(run_of(&server).state, RunState::Booting);
    let agent = server.agent(MAC, "start-1");
    let order = agent.order(&mut no_wait).unwrap();
    assert_eq!((order.attempt, order.machine.as_str()), (1, "demohost"));
    assert_eq!(order.classes, ["DEMO"]);
    assert_eq!(run_of(&server).state, RunState::Running);
    finish(&agent, 1, true);
    let machine = server.operator().machine(&"demohost".into()).unwrap();
    assert_eq!((machine.next_boot, run_of(&server).state), (NextBoot::Disk, RunState::Installed));
    assert_eq!(run_of(&server).last_seq, 3, "also what came after its end");
    assert!(!server.boot(MAC).contains("hostwright.token"));
    let refused = agent.order(&mut no_wait).expect_err("its run has ended");
    assert_eq!(refused.code(), Some("run-closed"));
}

#[test]
fn a_failed_machine_boots_its_disk_until_it_is_armed_again() {
    let site = Site::new();
    let server = site.start();
    let first = server.arm();
    let agent = server.agent(MAC, "start-1");
    agent.order(&mut no_wait).unwrap();
    finish(&agent, 1, false);
    assert_eq!(run_of(&server).state, RunState::Failed);
    assert!(!server.boot(MAC).contains("hostwright.token"));
    let second = server.operator().install(&"demohost".into()).unwrap();
    assert_ne!(first.id, second.id);
    let token = server.run_token(MAC);
    let refused = agent.order(&mut no_wait).expect_err("an arming has a token of its own");
    assert_eq!(refused.code(), Some("run-closed"));
    assert_eq!(AgentClient::new(&server.url, &token, "x").order(&mut no_wait).unwrap().attempt, 1);
}

/// What `hostwright-agent resume` on the console of a failed machine does.
#[test]
fn a_failed_run_is_taken_up_again_from_its_machine() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let agent = server.agent(MAC, "start-1");
    agent.order(&mut no_wait).unwrap();
    let token = server.run_token(MAC);
    finish(&agent, 1, false);
    assert_eq!(run_of(&server).state, RunState::Failed);
    let resumed = AgentClient::new(&server.url, &token, "start-2");
    assert_eq!(resumed.order(&mut no_wait).unwrap().attempt, 2);
    let run = run_of(&server);
    assert_eq!((run.state, run.ended_at_ms), (RunState::Running, None));
    assert!(server.boot(MAC).contains("hostwright.token"), "a power cut now installs again");
    finish(&resumed, 2, true);
    assert_eq!(run_of(&server).state, RunState::Installed);
}

/// Goal: a power cut in the middle leads to the same install again, as a new attempt; asking twice
/// does not. Method: the machine boots again while its run is open.
#[test]
fn a_machine_that_lost_its_power_gets_its_install_again() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let agent = server.agent(MAC, "start-1");
    let first = agent.order(&mut no_wait).unwrap();
    assert_eq!(agent.order(&mut no_wait).unwrap(), first);
    let events = agent.events(1);
    events.send(1, EventBody::AgentStarted { uptime_ms: 1 });
    assert!(events.flush(Some(Duration::from_secs(10))));
    let again = server.agent(MAC, "start-2");
    assert_eq!(run_of(&server).state, RunState::Booting);
    let second = again.order(&mut no_wait).unwrap();
    assert_eq!((second.attempt, second.run.clone()), (2, first.run));
    assert_eq!((run_of(&server).attempts, run_of(&server).last_seq), (2, 0));
    finish(&agent, 1, true);
    assert_eq!(run_of(&server).state, RunState::Running, "a ghost's word does not count");
    finish(&again, 2, true);
    assert_eq!(run_of(&server).state, RunState::Installed);
}

#[test]
fn an_armed_run_can_be_taken_back_and_a_begun_one_by_force() {
    let site = Site::new();
    let server = site.start();
    let client = server.operator();
    let code = |result: Result<Run, hostwright_client::ClientError>| {
        result.expect_err("refused").code().expect("by the server").to_owned()
    };
    server.arm();
    let name = "demohost".into();
    assert_eq!(code(client.install(&name)), "run-open");
    assert_eq!(client.remove_machine(&name).expect_err("open").code(), Some("run-open"));
    assert_eq!(client.cancel(&name).unwrap().state, RunState::Cancelled);
    assert_eq!(code(client.cancel(&name)), "no-open-run");
    assert!(!server.boot(MAC).contains("hostwright.token"));
    client.install(&name).unwrap();
    let agent = server.agent(MAC, "start-1");
    agent.order(&mut no_wait).unwrap();
    assert_eq!(code(client.cancel(&name)), "run-has-begun");
    assert_eq!(client.cancel_by_force(&name).unwrap().state, RunState::Cancelled);
    let events = agent.events(1);
    events.send(1, EventBody::Rebooting);
    assert!(!events.flush(Some(Duration::from_secs(10))));
    let refusal = events.refusal().expect("the agent learns of it");
    assert_eq!(refusal.code(), Some("run-closed"));
    client.remove_machine(&name).unwrap();
    assert_eq!(client.runs(None).unwrap(), []);
}

#[test]
fn a_machine_keeps_its_order_while_the_world_changes() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    std::fs::write(site.path("space/class/20-new"), "echo NEW\n").unwrap();
    let mut changed = spec("demohost", MAC);
    changed.classes = vec!["OTHER".into()];
    server.operator().change_machine(&changed).unwrap();
    let agent = server.agent(MAC, "start-1");
    let order = agent.order(&mut no_wait).unwrap();
    assert_eq!(order.classes, ["DEMO"], "as it was armed");
    let to = site.path("space.tar.zst");
    agent.download(&order.space, &to, &mut |_, _| (), &mut no_wait).unwrap();
    let tar = zstd::stream::decode_all(std::fs::File::open(&to).unwrap()).unwrap();
    let mut archive = tar::Archive::new(&tar[..]);
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert!(!names.iter().any(|name| name.contains("20-new")), "{names:?}");
    let tools = site.path("tools");
    agent.download(&order.tools, &tools, &mut |_, _| (), &mut no_wait).unwrap();
    assert_eq!(std::fs::read(&tools).unwrap(), b"tools of the first installer");
}

/// Goal: an installer that is built anew is used by the next arming, without a restart.
#[test]
fn a_new_installer_is_seen_at_the_next_arming() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    server.operator().cancel(&"demohost".into()).unwrap();
    write_installer(&site.path("installer"), "tools of the second");
    server.operator().install(&"demohost".into()).unwrap();
    let agent = server.agent(MAC, "start-1");
    let order = agent.order(&mut no_wait).unwrap();
    assert_eq!(order.tools.size_bytes, "tools of the second".len() as u64);
    assert_eq!(server.get("/boot/files/initrd.img", None), (200, "initramfs".to_owned()));
    std::fs::remove_file(site.path("installer/tools.squashfs")).unwrap();
    server.operator().cancel_by_force(&"demohost".into()).unwrap();
    let refused = server.operator().install(&"demohost".into()).expect_err("no tools");
    assert_eq!(refused.code(), Some("no-installer"));
}

#[test]
fn a_restart_forgets_nothing() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let token = server.run_token(MAC);
    let agent = server.agent(MAC, "start-1");
    agent.order(&mut no_wait).unwrap();
    let events = agent.events(1);
    events.send(1, EventBody::AgentStarted { uptime_ms: 1 });
    let fetch = |done_bytes| EventBody::Fetch { what: "space".into(), done_bytes, total_bytes: 9 };
    events.send(2, fetch(9));
    assert!(events.flush(Some(Duration::from_secs(10))));
    let before = server.operator().machine(&"demohost".into()).unwrap();
    let progress = server.operator().progress(&before.run.as_ref().unwrap().id).unwrap();
    assert_eq!(progress.fetches.len(), 1);
    let operators = server.token.clone();
    drop(server);
    let server = site.start();
    assert_eq!(server.token, operators);
    assert_eq!(server.operator().machine(&"demohost".into()).unwrap(), before);
    let run = before.run.unwrap();
    assert_eq!(server.operator().progress(&run.id).unwrap(), progress);
    assert_eq!(server.run_token(MAC), token, "the same arming, the same token");
    let agent = server.agent(MAC, "start-1");
    assert_eq!(agent.order(&mut no_wait).unwrap().attempt, 1, "the same start");
}

#[test]
fn two_servers_cannot_share_a_state() {
    let site = Site::new();
    let _server = site.start();
    let config = hostwright_server::Config::parse(&site.config_text(), "serve.toml").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let second = hostwright_server::serve(config, std::future::pending(), |_| ());
    let error = runtime.block_on(second).expect_err("the state is locked");
    let source = std::error::Error::source(&error).expect("it has a cause").to_string();
    assert!(source.contains("in use by another server"), "{source}");
}
