//! PID 1: mounts the first file systems, keeps the session running, reaps, ends the machine.
//!
//! ```text
//!            ┌────────────┐ installed        ┌────────┐
//! kernel ──► │  session   ├────────────────► │ reboot │
//!            └─┬──▲───┬───┘                  └────────┘
//!      crashed │  │   │ failed, or crashed too often
//!              └──┘   ▼
//!              a shell on every console; `hostwright-agent resume` there goes on
//! ```
//!
//! The kernel panics when PID 1 ends, so nothing here returns and nothing here may panic.

use crate::boot_options::BootOptions;
use crate::console::Console;
use crate::fault::sentence;
use crate::{session, tools_root};
use hostwright_host::HostError;
use hostwright_host::boot::load::ModuleLoader;
use hostwright_host::boot::process::{self, Ended, Power};
use hostwright_host::boot::root;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

/// How often a session that crashed is started again.
const RESTARTS_MAX: u32 = 3;
/// The agent's own program, wherever the root is.
const PROGRAM: &str = "/proc/self/exe";
/// How often PID 1 looks whether something ended.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the machine to its end.
pub fn run() -> ! {
    let mounted = root::mount_first();
    let mut supervisor = Supervisor { console: Console::open(), entered: false };
    supervisor.say(&format!("hostwright-agent {}", env!("CARGO_PKG_VERSION")));
    if let Err(error) = mounted {
        supervisor.complain(&error);
    }
    let cmdline = root::kernel_command_line().unwrap_or_default();
    let options = BootOptions::from_cmdline(&cmdline);
    if options.parameters.is_none() {
        supervisor.say("the kernel command line has no hostwright.server= and hostwright.token=");
        supervisor.say("there is nothing to install");
        supervisor.rescue();
    }
    supervisor.supervise(&options)
}

struct Supervisor {
    console: Console,
    /// True once the tools image is the root of PID 1 too.
    entered: bool,
}

impl Supervisor {
    fn say(&self, text: &str) {
        self.console.say(text);
    }

    fn complain(&self, error: &HostError) {
        self.say(&sentence(error));
    }

    /// Starts the session until it comes to an end of one kind or the other.
    fn supervise(&mut self, options: &BootOptions) -> ! {
        for _ in 0..=RESTARTS_MAX {
            match self.run_agent("session") {
                Ok(session::INSTALLED) => self.end(options),
                Ok(session::FAILED) => self.rescue(),
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
        self.rescue()
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
        process::poll_ended()
    }

    fn end(&mut self, options: &BootOptions) -> ! {
        // Only a plan that wants to be started so loads a kernel.
        let (how, word) = match (options.power_off, process::has_loaded_kernel()) {
            (true, _) => (Power::Off, "switching off"),
            (false, true) => (Power::Kexec, "starting the installed kernel"),
            (false, false) => (Power::Reboot, "restarting"),
        };
        self.say(&format!("installed; {word}"));
        self.console.settle();
        if let Err(error) = process::power(how) {
            self.complain(&error);
        }
        self.rescue()
    }

    /// A shell on every console, for ever.
    fn rescue(&mut self) -> ! {
        if !self.entered {
            // No session came far enough to load the driver of the keyboard.
            ModuleLoader::open("/").load_for_devices();
        }
        self.say("the machine stays up, with a shell on every console");
        self.say("'hostwright-agent' there says what it can do: resume, reboot, poweroff");
        let mut shells: BTreeMap<u32, String> = BTreeMap::new();
        let mut without_shell = root::consoles();
        loop {
            without_shell.retain(|terminal| match self.start_shell(terminal) {
                Ok(pid) => shells.insert(pid, terminal.clone()).is_some(),
                // Not every console is a terminal; and some appear late.
                Err(_) => true,
            });
            while let Some(ended) = self.step() {
                without_shell.extend(shells.remove(&ended.pid));
            }
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
