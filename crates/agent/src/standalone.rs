//! `hostwright-agent install`: installs this machine from a config space that is at hand, with no
//! server: from a medium, or from the rescue shell.
//!
//! The machine must run from RAM, in the tools image, as a netbooted one does.

use crate::planner::{NotedPlanner, SpacePlanner, write_json};
use crate::record::{Line, Record};
use crate::session::FAILED;
use crate::{fault, tools_root};
use hostwright_engine::{NoImages, Session, Settings};
use hostwright_host::Host as _;
use hostwright_host::boot::clock;
use hostwright_host::real::RealHost;
use hostwright_model::class::ClassList;
use hostwright_model::event::{Event, EventBody};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::overrides::Overrides;
use hostwright_model::plan::{Discovered, Inputs, Rules, TargetProfile};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

const USAGE: &str = "\
Usage: hostwright-agent install SPACE [RECORD [HOSTNAME [CLASSES]]]

Installs this machine from the config space in the directory SPACE. The journal, the facts and the
plan are kept in RECORD (/run/hostwright/run); an installation that failed is taken up again there.
CLASSES are separated by commas. Events are written to standard output, one JSON object a line.
";

/// What the command line asks for.
struct Order {
    space: PathBuf,
    record: PathBuf,
    hostname: String,
    classes: ClassList,
}

/// Does it. The exit status.
pub(crate) fn run(args: &[String]) -> i32 {
    let Some(order) = Order::read(args) else {
        // Nothing is left to be done where standard error is closed.
        let _ = std::io::stderr().write_all(USAGE.as_bytes());
        return 2;
    };
    let mut teller = Teller { record: Record::open(), ..Teller::default() };
    let machine = order.hostname.clone();
    teller.record.add(&Line::Began { run: String::new(), machine, attempt: 1 });
    match install(&order, &mut teller) {
        Ok(()) => 0,
        Err(fault) => {
            if !teller.ended {
                let fault = Some(*fault);
                teller.tell(EventBody::RunFinished { ok: false, task_error: 0, fault });
            }
            FAILED
        }
    }
}

impl Order {
    /// `None` for a command line that is not understood.
    fn read(args: &[String]) -> Option<Self> {
        let mut args = args.iter().map(String::as_str);
        let space = args.next().filter(|word| !word.starts_with('-'))?;
        let record = args.next().unwrap_or("/run/hostwright/run");
        let hostname = args.next().unwrap_or("localhost");
        let classes = args.next().unwrap_or_default().replace(',', " ");
        let order = Self {
            space: fs::canonicalize(space).unwrap_or_else(|_| space.into()),
            record: record.into(),
            hostname: hostname.to_owned(),
            classes: classes.parse().ok()?,
        };
        args.next().is_none().then_some(order)
    }

    fn settings(&self) -> Settings {
        Settings {
            record_dir: self.record.display().to_string(),
            space_dir: self.space.display().to_string(),
            target_dir: "/target".to_owned(),
            log_dir: "/tmp/fai".to_owned(),
            program: tools_root::PROGRAM.to_owned(),
            shims: true,
            package_proxy: None,
            vars: BTreeMap::new(),
            defaults: BTreeMap::new(),
            flags: vec!["verbose".to_owned()],
            verbose: true,
            firmware_view: None,
            fat_stage_dir: None,
        }
    }
}

fn install(order: &Order, teller: &mut Teller) -> Result<(), Box<Fault>> {
    if !tools_root::is_entered() {
        return Err(Box::new(Fault::new(
            FaultKind::Environment,
            "not-in-ram",
            "this system does not run from RAM, and installing would write over its disks",
            "boot the machine from its boot server or from an installation medium",
        )));
    }
    let mut host = RealHost::default();
    let read = SpacePlanner::read(&order.space).and_then(|planner| Ok((planner, host.facts()?)));
    let (planner, facts) = read.map_err(|error| fault::of_host(&error))?;
    write_json(&order.record.join("facts.json"), &facts)?;
    let inputs = Inputs {
        facts,
        hostname: order.hostname.clone(),
        target: TargetProfile::DisksClassic,
        given_classes: order.classes.iter().cloned().collect(),
        run_class_scripts: true,
        classes: None,
        vars: None,
        skips: Vec::new(),
        rules: Rules::default(),
        discovered: Discovered::default(),
        overrides: Overrides::default(),
    };
    let mut images = NoImages;
    let mut session = Session::open(&mut host, &mut images, order.settings(), inputs)?;
    let mut planner = NotedPlanner::new(planner, &order.record);
    hostwright_engine::run(&mut session, &mut planner, &mut |body| teller.tell(body)).map(drop)
}

/// Numbers events and writes them down.
#[derive(Default)]
struct Teller {
    seq: u64,
    ended: bool,
    /// What the page shows.
    record: Record,
}

impl Teller {
    fn tell(&mut self, body: EventBody) {
        self.seq += 1;
        self.ended |= matches!(body, EventBody::RunFinished { .. });
        let event = Event { seq: self.seq, at_ms: clock::now_ms(), body };
        self.record.add(&Line::Event(event.clone()));
        let line = serde_json::to_string(&event).expect("invariant: plain data serialises");
        // Who does not listen misses it; the installation goes on.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Option<Order> {
        Order::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line_is_read() {
        let order = read(&["/no/space", "/run/r", "web1", "WEB,LAST"]).unwrap();
        assert_eq!((order.hostname.as_str(), order.space.to_str()), ("web1", Some("/no/space")));
        let classes: Vec<_> = order.classes.iter().map(|class| class.as_str()).collect();
        assert_eq!(classes, ["WEB", "LAST"]);
        assert_eq!(order.settings().record_dir, "/run/r");
        assert!(read(&[]).is_none());
        assert!(read(&["--help"]).is_none());
        assert!(read(&["/s", "/r", "h", "A", "more"]).is_none());
    }

    #[test]
    fn nothing_is_written_to_a_system_that_is_in_use() {
        let order = read(&["/no/space"]).unwrap();
        let fault = install(&order, &mut Teller::default()).unwrap_err();
        assert_eq!(fault.code, "not-in-ram");
    }
}
