//! PID 1: mounts the first file systems, keeps the session and the attendant running, reaps, ends
//! the machine.
//!
//! ```text
//!            ┌────────────┐ installed, nobody at a remote shell   ┌────────┐
//! kernel ──► │  session   ├─────────────────────────────────────► │ reboot │
//!            └─┬──▲───┬─▲─┘                                       └────────┘
//!      crashed │  │   │ │ the server, or `hostwright-agent resume` on a console
//!              └──┘   ▼ │
//!              it waits, with a shell on every console; failed, or crashed too often
//! ```
//!
//! A failure never restarts the machine: it waits, or where its manners say so it is switched off.
//!
//! The kernel panics when PID 1 ends, so nothing here returns and nothing here may panic.

use crate::attendant::{ATTACHED_FILE, take_resume};
use crate::boot_options::BootOptions;
use crate::console::Console;
use crate::fault::sentence;
use crate::{WORK_DIR, session, tools_root};
use hostwright_host::HostError;
use hostwright_host::boot::clock;
use hostwright_host::boot::load::ModuleLoader;
use hostwright_host::boot::process::{self, Ended, Power};
use hostwright_host::boot::root;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a session that crashed is started again.
const RESTARTS_MAX: u32 = 3;
/// The agent's own program, wherever the root is.
const PROGRAM: &str = "/proc/self/exe";
/// How often the attendant is started.
const ATTENDANTS_MAX: u32 = 20;
/// People at a remote shell are waited for as long; whoever forgot theirs does not stop the machine.
const PEOPLE_WAITED_FOR: Duration = Duration::from_secs(3600);
/// Name of the file that keeps the machine from ending: 'hostwright-agent hold' makes it.
pub(crate) const HOLD_FILE: &str = "hold";
/// How often PID 1 looks whether something ended.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the machine to its end.
pub fn run() -> ! {
    let mounted = root::mount_first();
    let clock = clock::set_forward_to(clock::BUILD_STAMP);
    let mut supervisor = Supervisor::new(Console::open());
    supervisor.say(&format!("hostwright-agent {}", env!("CARGO_PKG_VERSION")));
    if let Err(error) = mounted {
        supervisor.complain(&error);
    }
    match clock {
        Ok(true) => supervisor.say("the clock was behind the build of this installer; it is set"),
        Ok(false) => {}
        Err(error) => supervisor.complain(&error),
    }
    supervisor.attend();
    let cmdline = root::kernel_command_line().unwrap_or_default();
    let options = BootOptions::from_cmdline(&cmdline);
    if options.parameters.is_none() {
        supervisor.say("the kernel command line has no hostwright.server= and hostwright.token=");
        supervisor.say("there is nothing to install");
        supervisor.announce();
        loop {
            supervisor.rescue();
        }
    }
    supervisor.supervise(&options)
}

struct Supervisor {
    console: Console,
    /// True once the tools image is the root of PID 1 too.
    entered: bool,
    /// Shells on consoles, by process.
    shells: BTreeMap<u32, String>,
    /// Consoles that should have one.
    without_shell: Vec<String>,
    /// The attendant, and how often it was started.
    attendant: Option<u32>,
    attendants: u32,
}

impl Supervisor {
    fn new(console: Console) -> Self {
        Self {
            console,
            entered: false,
            shells: BTreeMap::new(),
            without_shell: Vec::new(),
            attendant: None,
            attendants: 0,
        }
    }

    fn say(&self, text: &str) {
        self.console.say(text);
    }

    fn complain(&self, error: &HostError) {
        self.say(&sentence(error));
    }

    /// Starts the session whenever somebody wants it, until the machine is installed.
    fn supervise(&mut self, options: &BootOptions) -> ! {
        loop {
            match self.run_session() {
                session::INSTALLED => self.end(end_of(options)),
                session::FAILED_OFF => self.end(Power::Off),
                _ => {}
            }
            self.announce();
            self.rescue();
            self.say("the installation is taken up again");
        }
    }

    /// Starts the session until it comes to an end of one kind or the other. Which.
    fn run_session(&mut self) -> i32 {
        for _ in 0..=RESTARTS_MAX {
            match self.run_agent("session") {
                Ok(end @ (session::INSTALLED | session::FAILED | session::FAILED_OFF)) => {
                    return end;
                }
                Ok(status) => {
                    self.say(&format!("the session crashed, with status {status}; it goes on"));
                }
                Err(error) => self.complain(&error),
            }
            sleep(Duration::from_secs(1));
        }
        self.say("the session crashed too often");
        // The server should not wait for a machine that has given up.
        if let Err(error) = self.run_agent("report-crash") {
            self.complain(&error);
        }
        session::FAILED
    }

    /// Starts the attendant: page, metrics, remote shell.
    fn attend(&mut self) {
        self.attendants += 1;
        match process::start(PROGRAM, &["attend"]) {
            Ok(pid) => self.attendant = Some(pid),
            Err(error) => self.complain(&error),
        }
    }

    /// Runs the agent once more as a child. Its exit status.
    fn run_agent(&mut self, verb: &str) -> Result<i32, HostError> {
        let child = process::start(PROGRAM, &[verb])?;
        loop {
            match self.step() {
                Some(ended) if ended.pid == child => return Ok(ended.status),
                Some(_) => {}
                None => sleep(PAUSE),
            }
        }
    }

    /// What PID 1 does again and again: reap, and follow the session into the tools image, so that
    /// programs which compare their root with that of PID 1 do not take it for a chroot.
    fn step(&mut self) -> Option<Ended> {
        if !self.entered && tools_root::is_ready() {
            self.entered = true;
            if let Err(error) = tools_root::enter() {
                self.complain(&error);
            }
        }
        let ended = process::poll_ended()?;
        self.without_shell.extend(self.shells.remove(&ended.pid));
        if self.attendant == Some(ended.pid) {
            self.attendant = None;
            // One that cannot run is not started for ever.
            if self.attendants < ATTENDANTS_MAX {
                self.attend();
            }
        }
        Some(ended)
    }

    fn end(&mut self, how: Power) -> ! {
        let word = match how {
            Power::Off => "switching off",
            Power::Reboot => "restarting",
            Power::Kexec => "starting the installed kernel",
        };
        self.wait_for_people(word);
        self.say(word);
        self.console.settle();
        if let Err(error) = process::power(how) {
            self.complain(&error);
        }
        self.announce();
        loop {
            self.rescue();
        }
    }

    /// Waits for whoever is at a remote shell, or asked the machine to hold, but not for ever.
    fn wait_for_people(&mut self, word: &str) {
        let started = Instant::now();
        let mut told = false;
        while started.elapsed() < PEOPLE_WAITED_FOR
            && let Some(reason) = people(Path::new(WORK_DIR))
        {
            if !std::mem::replace(&mut told, true) {
                self.say(&format!("{word} when {reason}, or in an hour"));
            }
            self.step();
            sleep(PAUSE);
        }
    }

    /// Says what can be done at a machine that waits.
    fn announce(&mut self) {
        if !self.entered {
            // No session came far enough to load the driver of the keyboard.
            ModuleLoader::open("/").load_for_devices();
        }
        self.say("the machine stays up, with a shell on every console");
        self.say("'hostwright-agent' there says what it can do: resume, reboot, poweroff");
        for terminal in root::consoles() {
            let known = self.shells.values().chain(&self.without_shell).any(|it| *it == terminal);
            if !known {
                self.without_shell.push(terminal);
            }
        }
    }

    /// A shell on every console, until somebody asks for the installation to go on.
    fn rescue(&mut self) {
        while !take_resume(Path::new(WORK_DIR)) {
            for terminal in std::mem::take(&mut self.without_shell) {
                match self.start_shell(&terminal) {
                    Ok(pid) => drop(self.shells.insert(pid, terminal)),
                    // Not every console is a terminal; and some appear late.
                    Err(_) => self.without_shell.push(terminal),
                }
            }
            while self.step().is_some() {}
            sleep(Duration::from_millis(500));
        }
    }

    /// A shell with job control: of the tools image if the session came that far.
    fn start_shell(&self, terminal: &str) -> Result<u32, HostError> {
        match self.entered {
            true => {
                process::start_on(terminal, "/usr/bin/setsid", &["--ctty", "/bin/bash", "--login"])
            }
            false => process::start_on(
                terminal,
                "/bin/busybox",
                &["setsid", "-c", "/bin/busybox", "sh", "-l"],
            ),
        }
    }
}

/// How the machine ends once it is installed.
fn end_of(options: &BootOptions) -> Power {
    match (options.power_off, process::has_loaded_kernel()) {
        (true, _) => Power::Off,
        // Only a plan that wants to be started so loads a kernel.
        (false, true) => Power::Kexec,
        (false, false) => Power::Reboot,
    }
}

/// Until when the machine does not end; `None` if nobody is there.
fn people(work: &Path) -> Option<&'static str> {
    if work.join(HOLD_FILE).exists() {
        return Some("'hostwright-agent release' says so");
    }
    let attached = fs::read_to_string(work.join(ATTACHED_FILE)).unwrap_or_default();
    let attached: usize = attached.trim().parse().unwrap_or(0);
    (attached > 0).then_some("the last remote shell is left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attached_shells_and_a_hold_keep_the_machine_up() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(people(dir.path()), None);
        fs::write(dir.path().join(ATTACHED_FILE), "1").unwrap();
        assert_eq!(people(dir.path()), Some("the last remote shell is left"));
        fs::write(dir.path().join(ATTACHED_FILE), "0").unwrap();
        assert_eq!(people(dir.path()), None);
        fs::write(dir.path().join(HOLD_FILE), "").unwrap();
        assert!(people(dir.path()).is_some());
    }
}
