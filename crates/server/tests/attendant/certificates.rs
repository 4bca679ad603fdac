//! Who gets in: nobody without certificates (W17), nobody with those of another run, and the client
//! talks to nobody but the machine (W16).

use crate::machine::{AttendedMachine, eventually, no_files, shell_of};
use crate::site::{Site, spec};
use hostwright_agent::attendant::CertificateFiles;
use hostwright_client::shell::{Dial, ShellError};
use hostwright_client::tls::Identity;
use hostwright_model::shell::End;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Runs a command in a shell on the machine.
fn run(dial: &Dial, command: &str) -> Result<(End, String), ShellError> {
    let (_keys, input) = channel();
    let mut shown = Vec::new();
    let end = dial.shell(&shell_of(command), input, &mut shown, &mut |_| ())?;
    Ok((end.expect("nobody left"), String::from_utf8_lossy(&shown).into_owned()))
}

fn openssl(args: &[&str], input: &[u8]) -> (bool, String) {
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// What a stranger gets who connects with OpenSSL's client.
fn stranger(machine: &AttendedMachine, more: &[&str]) -> (bool, String) {
    let address = machine.address.to_string();
    let args = [&["s_client", "-connect", &address, "-alpn", "hostwright-shell/1"], more].concat();
    openssl(&args, b"")
}

#[test]
fn without_certificates_there_is_a_page_and_no_shell() {
    let machine = AttendedMachine::start(None, no_files());
    let (_, text) = stranger(&machine, &[]);
    assert!(text.contains("no peer certificate available"), "{text}");
    let mut plain = TcpStream::connect(machine.address).unwrap();
    // A request of the shell's own protocol without TLS is no HTTP.
    plain.write_all(b"Q\0\0\0\x02{}\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let state = eventually("the reason is told", || {
        let state = machine.attendant.watch().now().clone();
        state.no_shell_because.is_some().then_some(state)
    });
    assert!(!state.shell);
}

#[test]
fn the_server_s_certificates_open_the_machine_of_their_run_only() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let (machine, _agent) = AttendedMachine::booted(&server);
    let dial = machine.dial(&server);
    let (end, text) = run(&dial, "echo hello; exit 4").unwrap();
    assert_eq!((end.status, text.as_str()), (4, "hello\r\n"));

    // Another run of the same machine has another authority.
    server.operator().cancel_by_force(&"demohost".into()).unwrap();
    server.operator().install(&"demohost".into()).unwrap();
    let (again, _agent) = AttendedMachine::booted(&server);
    let second = again.dial(&server);
    run(&second, "true").unwrap();
    // The old operator's certificate is none for it, and the machine is none for the old operator.
    let crossed = Dial { address: second.address.clone(), ..dial.clone() };
    let refused = run(&crossed, "true").unwrap_err();
    assert!(matches!(refused, ShellError::Unproved { .. }), "{refused}");
}

#[test]
fn the_client_refuses_a_machine_with_another_name_or_key() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let (machine, _agent) = AttendedMachine::booted(&server);
    let dial = machine.dial(&server);
    let other = Dial { server_name: "otherhost".to_owned(), ..dial.clone() };
    let refused = run(&other, "true").unwrap_err();
    assert!(matches!(refused, ShellError::Unproved { .. }), "{refused}");
    // An impostor with a certificate of its own, for the right name.
    let dir = tempfile::tempdir().unwrap();
    let impostor = authority(dir.path(), "demohost");
    let impostor = AttendedMachine::start(None, impostor);
    eventually("it takes shells", || impostor.attendant.watch().now().shell.then_some(()));
    let astray = Dial { address: impostor.address.to_string(), ..dial };
    let refused = run(&astray, "true").unwrap_err();
    assert!(matches!(refused, ShellError::Unproved { .. }), "{refused}");
    assert_eq!(impostor.attendant.watch().now().attached_shells, 0);
}

#[test]
fn a_stranger_without_a_certificate_is_refused() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let (machine, _agent) = AttendedMachine::booted(&server);
    machine.dial(&server);
    let (_, text) = stranger(&machine, &["-ign_eof"]);
    assert!(text.contains("certificate required"), "{text}");
}

/// An authority in files, as Dominator has it, and certificates of a machine and of a person.
fn authority(dir: &Path, machine: &str) -> CertificateFiles {
    let path = |name: &str| dir.join(name).display().to_string();
    fs::create_dir_all(dir.join("machine")).unwrap();
    let (ca, ca_key) = (path("CA.pem"), path("CA.key"));
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let subject = ["req", "-x509", "-subj", "/CN=authority", "-keyout", &ca_key, "-out", &ca];
    let made = openssl(&[&subject[..], &key].concat(), b"");
    assert!(made.0, "{}", made.1);
    for (name, subject, usage) in
        [("machine", machine, "serverAuth"), ("person", "a-person", "clientAuth")]
    {
        let (cert, key_file) = match name {
            "machine" => (path("machine/cert.pem"), path("machine/key.pem")),
            _ => (path("person.pem"), path("person.key")),
        };
        let subject_word = format!("/CN={subject}");
        let names = format!("subjectAltName=DNS:{subject}");
        let usage = format!("extendedKeyUsage={usage}");
        let args = [
            "req",
            "-x509",
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-subj",
            &subject_word,
            "-keyout",
            &key_file,
            "-out",
            &cert,
            "-addext",
            &names,
            "-addext",
            &usage,
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ];
        let made = openssl(&[&args[..], &key].concat(), b"");
        assert!(made.0, "{}", made.1);
    }
    CertificateFiles { authority: dir.join("CA.pem"), dirs: vec![dir.join("machine")] }
}

#[test]
fn dominator_s_files_open_a_machine_without_any_server() {
    let dir = tempfile::tempdir().unwrap();
    let files = authority(dir.path(), "demohost");
    let machine = AttendedMachine::start(None, files.clone());
    eventually("it takes shells", || machine.attendant.watch().now().shell.then_some(()));
    let person = |name: &str| dir.path().join(name);
    let read = Identity::read(&files.authority, &person("person.pem"), &person("person.key"));
    let dial = Dial {
        address: machine.address.to_string(),
        server_name: "demohost".to_owned(),
        identity: read.unwrap(),
    };
    assert_eq!(run(&dial, "exit 9").unwrap().0.status, 9);
    // A machine's certificate is none of a person.
    let machine_s =
        Identity::read(&files.authority, &person("machine/cert.pem"), &person("machine/key.pem"));
    let wrong = Dial { identity: machine_s.unwrap(), ..dial };
    let refused = run(&wrong, "true").unwrap_err();
    assert!(matches!(refused, ShellError::Unproved { .. }), "{refused}");
}

/// Goal: files that are there and do not fit are an error, and not a reason to try something else.
#[test]
fn files_that_do_not_fit_leave_the_machine_without_a_shell() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let dir = tempfile::tempdir().unwrap();
    let files = authority(dir.path(), "demohost");
    fs::remove_file(dir.path().join("machine/key.pem")).unwrap();
    let parameters = crate::machine::parameters(&server);
    let machine = AttendedMachine::start(Some(parameters), files);
    let reason = eventually("the reason is told", || {
        machine.attendant.watch().now().no_shell_because.clone()
    });
    assert!(reason.contains("key.pem"), "{reason}");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!machine.attendant.watch().now().shell);
}

/// The server gives a certificate for a shell to operators only, and only for machines that are up.
#[test]
fn the_server_issues_certificates_to_who_may_have_them() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let (machine, agent) = AttendedMachine::booted(&server);
    machine.dial(&server);
    let (status, _) = post(&format!("{}/api/v1/machines/demohost/shell", server.url), None);
    assert_eq!(status, 401);
    let run_token = server.run_token(crate::site::MAC);
    let path = format!("{}/api/v1/machines/demohost/shell", server.url);
    assert_eq!(post(&path, Some(&run_token)).0, 401, "a run's token is no operator's");
    server.operator().add_machine(&spec("idle", "52:54:00:00:00:02")).unwrap();
    let (status, body) =
        post(&format!("{}/api/v1/machines/idle/shell", server.url), Some(&server.token));
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("no-agent"), "{body}");
    // A run that was taken back opens nothing any more.
    server.operator().cancel_by_force(&"demohost".into()).unwrap();
    let (status, body) = post(&path, Some(&server.token));
    assert_eq!(status, 409, "{body}");
    let request = hostwright_model::api::CertificateRequest { csr: String::new() };
    assert_eq!(agent.certificate(&request).unwrap_err().code(), Some("run-closed"));
}

fn post(url: &str, token: Option<&str>) -> (u16, String) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let mut request = agent.post(url).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut response = request.send("{\"csr\":\"none\"}").unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}
