//! A failed run is taken up again when an operator says so: from `run resume` to the file that PID 1
//! waits for.

use crate::machine::{AttendedMachine, eventually};
use crate::site::{MAC, Site, no_wait};
use hostwright_client::AgentClient;
use hostwright_model::api::RunState;
use hostwright_model::event::EventBody;
use std::time::Duration;

#[test]
fn an_operator_has_a_machine_go_on_after_its_failure() {
    let site = Site::new();
    let server = site.start();
    let run = server.arm();
    let (machine, agent) = AttendedMachine::booted(&server);
    let token = server.run_token(MAC);
    let resume = machine.work.path().join("resume");
    let code = |id: &str| {
        server.operator().resume(&id.into()).expect_err("refused").code().unwrap().to_owned()
    };
    assert_eq!(code(run.id.as_str()), "run-not-failed");
    assert_eq!(code("nonsense-1"), "no-such-run");
    machine.fail(&agent, 1);
    let asked = server.operator().resume(&run.id).unwrap();
    assert_eq!(asked.state, RunState::Failed);
    assert!(asked.resume_asked_at_ms.is_some());
    eventually("the machine hears of it", || resume.exists().then_some(()));
    // What PID 1 and the session do then.
    std::fs::remove_file(&resume).unwrap();
    let again = AgentClient::new(&server.url, &token, "start-2");
    let order = again.order(&mut no_wait).unwrap();
    assert_eq!(order.attempt, 2);
    machine.record.add(&hostwright_agent::record::Line::Began {
        run: order.run.to_string(),
        machine: order.machine.to_string(),
        attempt: 2,
    });
    let running = server.operator().run(&run.id).unwrap();
    assert_eq!((running.state, running.resume_asked_at_ms), (RunState::Running, None));
    std::thread::sleep(Duration::from_millis(2500));
    assert!(!resume.exists(), "it is asked once");
    let events = again.events(2);
    events.send(2, EventBody::RunFinished { ok: true, task_error: 0, fault: None });
    assert!(events.flush(Some(Duration::from_secs(10))));
    assert_eq!(server.operator().run(&run.id).unwrap().state, RunState::Installed);
    assert_eq!(code(run.id.as_str()), "run-not-failed");
}

/// Goal: the wish outlives the server, and is heard by a machine that was out of reach.
#[test]
fn a_wish_to_resume_waits_for_the_machine_and_survives_the_server() {
    let site = Site::new();
    let server = site.start();
    let run = server.arm();
    let agent = server.agent(MAC, "start-1");
    agent.order(&mut no_wait).unwrap();
    let token = server.run_token(MAC);
    let events = agent.events(1);
    events.send(1, EventBody::RunFinished { ok: false, task_error: 0, fault: None });
    assert!(events.flush(Some(Duration::from_secs(10))));
    server.operator().resume(&run.id).unwrap();
    drop(server);
    let server = site.start();
    assert!(server.operator().run(&run.id).unwrap().resume_asked_at_ms.is_some());
    let agent = AgentClient::new(&server.url, &token, "");
    let word = |waits| hostwright_model::api::AgentWord { port: 1, shell: false, waits };
    assert!(!agent.word(word(false)).unwrap().resume, "it is busy with something else");
    assert!(agent.word(word(true)).unwrap().resume);
}

#[test]
fn a_run_that_was_replaced_cannot_be_resumed() {
    let site = Site::new();
    let server = site.start();
    let run = server.arm();
    let (machine, agent) = AttendedMachine::booted(&server);
    machine.fail(&agent, 1);
    server.operator().install(&"demohost".into()).unwrap();
    let refused = server.operator().resume(&run.id).expect_err("refused");
    assert_eq!(refused.code(), Some("run-replaced"));
}
