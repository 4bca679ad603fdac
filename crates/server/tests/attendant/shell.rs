//! The remote shell: what a person sees, what survives a broken connection, files both ways.

use crate::machine::{AttendedMachine, SIZE, eventually, shell_of};
use crate::site::Site;
use hostwright_client::shell::{Dial, Input, ShellError};
use hostwright_model::shell::{End, Request, TerminalSize};
use std::fs;
use std::io::{self, Read as _, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a terminal shows, for other threads to see.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    fn wait_for(&self, text: &str) {
        eventually(text, || self.text().contains(text).then_some(()));
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A person at a shell.
struct Person {
    keys: Sender<Input>,
    screen: Screen,
    losses: Receiver<String>,
    thread: thread::JoinHandle<Result<Option<End>, ShellError>>,
}

fn person(dial: Dial, request: Request) -> Person {
    let (keys, input) = channel();
    let (tell, losses) = channel();
    let screen = Screen::default();
    let mut shown = screen.clone();
    let thread = thread::spawn(move || {
        let mut lost = |error: &ShellError| tell.send(error.to_string()).unwrap_or_default();
        dial.shell(&request, input, &mut shown, &mut lost)
    });
    Person { keys, screen, losses, thread }
}

#[test]
fn a_person_sees_the_log_and_types_and_gets_the_exit_status() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let (machine, _agent) = AttendedMachine::booted(&server);
    machine.record.add(&hostwright_agent::record::Line::Said {
        at_ms: 1000,
        text: "eth0: 10.0.0.21/24".to_owned(),
    });
    let dial = machine.dial(&server);
    eventually("the log is read", || (machine.attendant.watch().now().log_lines > 0).then_some(()));
    let request = Request::Shell { term: "vt100".to_owned(), size: SIZE, command: None };
    let person = person(dial, request);
    person.screen.wait_for("00:00:01 agent eth0: 10.0.0.21/24\r\n");
    person.screen.wait_for("demohost: 1 lines of log above");
    let size = TerminalSize { columns: 101, rows: 33 };
    person.keys.send(Input::Size(size)).unwrap();
    person.keys.send(Input::Bytes(b"stty size; echo term=$TERM; exit 3\n".to_vec())).unwrap();
    person.screen.wait_for("33 101");
    person.screen.wait_for("term=vt100");
    let end = person.thread.join().unwrap().unwrap().expect("the shell ended");
    assert_eq!((end.status, end.error), (3, None));
    eventually("nobody is attached", || {
        (machine.attendant.watch().now().attached_shells == 0).then_some(())
    });
}

/// A way to the machine that can be cut.
struct Cable {
    address: String,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    fn to(machine: &AttendedMachine) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sockets, to) = (Arc::new(Mutex::new(Vec::new())), machine.address);
        let known = Arc::clone(&sockets);
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let there = TcpStream::connect(to).unwrap();
                for (mut from, mut to) in [
                    (here.try_clone().unwrap(), there.try_clone().unwrap()),
                    (there.try_clone().unwrap(), here.try_clone().unwrap()),
                ] {
                    thread::spawn(move || io::copy(&mut from, &mut to));
                }
                known.lock().unwrap().extend([here, there]);
            }
        });
        Self { address, sockets }
    }

    fn cut(&self) {
        for socket in self.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Goal: a broken connection costs neither the shell nor a byte of what it showed. Method: the
/// connection is cut while the shell writes.
#[test]
fn a_shell_is_taken_up_where_its_connection_broke() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let (machine, _agent) = AttendedMachine::booted(&server);
    let cable = Cable::to(&machine);
    let dial = Dial { address: cable.address.clone(), ..machine.dial(&server) };
    let script = "echo begin; read x; for i in 1 2 3 4 5 6; do echo line $i; sleep 0.2; done; \
                  read y; echo \"got $y\"";
    let person = person(dial, shell_of(script));
    person.screen.wait_for("begin");
    person.keys.send(Input::Bytes(b"go\n".to_vec())).unwrap();
    person.screen.wait_for("line 2");
    cable.cut();
    let lost = person.losses.recv().unwrap();
    assert!(lost.starts_with("the connection to 127.0.0.1:"), "{lost}");
    person.screen.wait_for("line 6");
    person.keys.send(Input::Bytes(b"after\n".to_vec())).unwrap();
    assert_eq!(person.thread.join().unwrap().unwrap().unwrap().status, 0);
    let text = person.screen.text();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("line")).collect();
    assert_eq!(lines, ["line 1", "line 2", "line 3", "line 4", "line 5", "line 6"]);
    assert!(text.ends_with("got after\r\n"), "{text}");
}

#[test]
fn who_leaves_is_gone_and_the_shell_is_not() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let (machine, _agent) = AttendedMachine::booted(&server);
    let done = machine.work.path().join("done");
    let script = format!("echo here; sleep 0.5; touch {}", done.display());
    let person = person(machine.dial(&server), shell_of(&script));
    person.screen.wait_for("here");
    person.keys.send(Input::Leave).unwrap();
    assert_eq!(person.thread.join().unwrap().unwrap(), None);
    eventually("the shell goes on", || done.exists().then_some(()));
}

#[test]
fn files_are_copied_both_ways_whole_or_not_at_all() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let (machine, _agent) = AttendedMachine::booted(&server);
    let dial = machine.dial(&server);
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let path = machine.work.path().join("sent");
    let remote = path.display().to_string();
    dial.put(&mut bytes.as_slice(), &remote, 0o640).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    let back = Screen::default();
    let (mut told, shown) = (None, back.clone());
    dial.get(&remote, &mut |size_bytes, mode| {
        told = Some((size_bytes, mode));
        Ok(Box::new(shown.clone()))
    })
    .unwrap();
    assert_eq!(told, Some((3_000_000, 0o640)));
    assert!(*back.0.lock().unwrap() == bytes);
    let mut none = |_, _| Ok(Box::new(io::sink()) as Box<dyn Write>);
    let refused = dial.get("/no/such/file", &mut none).unwrap_err().to_string();
    assert!(refused.contains("cannot read /no/such/file"), "{refused}");
    for path in ["/no/such/dir/file", "relative"] {
        let refused = dial.put(&mut &b"x"[..], path, 0o600).unwrap_err().to_string();
        assert!(refused.contains("cannot write"), "{refused}");
    }
    let mut leftovers = fs::read_dir(machine.work.path()).unwrap().flatten();
    assert!(!leftovers.any(|entry| entry.file_name().to_string_lossy().ends_with(".part")));
}

/// Two ends that both write much must not stop each other.
#[test]
fn much_goes_both_ways_at_once() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let (machine, _agent) = AttendedMachine::booted(&server);
    let script = "stty raw -echo; echo ready; seq 1 300000 & head -c 2000000 | wc -c; wait";
    let person = person(machine.dial(&server), shell_of(script));
    person.screen.wait_for("ready");
    for _ in 0..200 {
        person.keys.send(Input::Bytes(vec![b'x'; 10_000])).unwrap();
    }
    let end = person.thread.join().unwrap().unwrap().unwrap();
    assert_eq!(end.status, 0);
    let text = person.screen.text();
    assert!(
        text.contains("300000") && text.contains("2000000") && text.len() > 1_900_000,
        "{} bytes",
        text.len()
    );
}

#[test]
fn nobody_waits_for_who_says_nothing() {
    let site = Site::new();
    let server = site.start();
    server.arm();
    let (machine, _agent) = AttendedMachine::booted(&server);
    let mut silent = TcpStream::connect(machine.address).unwrap();
    silent.write_all(b"GET / HT").unwrap();
    let begun = std::time::Instant::now();
    let mut rest = Vec::new();
    let _ended = silent.read_to_end(&mut rest);
    assert!(begun.elapsed() < std::time::Duration::from_secs(30));
}
