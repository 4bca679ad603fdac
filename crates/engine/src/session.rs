//! A run in progress: its journal, its shell and its hands on the machine.

use crate::environment::{self, Surroundings};
use crate::fault::ActionError;
use crate::images::Images;
use crate::journal::{History, Journal, Record, ShellChange};
use crate::logs::{LogFile, Logs};
use crate::network::Network;
use crate::passphrases::Passphrases;
use crate::settings::Settings;
use crate::shell::ShimKind;
use crate::work::Work;
use crate::{logs, monitor, shell, task_error, tools};
use hostwright_host::{Host, HostError, ShellReply, ShellRequest};
use hostwright_model::event::EventBody;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::StepId;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Inputs, Plan};
use hostwright_model::quirk::Quirk;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Files by which an earlier run in the same log directory would speak to this one.
const LEFTOVERS: [&str; 7] = [
    "additional-classes",
    "additional.var",
    "disk_var.sh",
    "fstab",
    "crypttab",
    "mdadm.conf",
    "test.log",
];

/// Chooses the prefix that runs a command in the target, as FAI does: one that takes every process
/// it leaves behind along, where the machine lets it.
const CHOOSE_ROOT_COMMAND: &str = r#"
if [ "$FAI_ROOT" = / ]; then
    ROOTCMD=
elif [ -z "$ROOTCMD" ]; then
    if unshare --fork --kill-child --mount-proc chroot / true >/dev/null 2>&1; then
        ROOTCMD="unshare --pid --fork --kill-child --mount-proc chroot $FAI_ROOT"
    else
        ROOTCMD="chroot $FAI_ROOT"
    fi
fi
"#;

/// One execution of a plan on a target, new or taken up again.
pub struct Session<'a> {
    pub(crate) host: &'a mut dyn Host,
    pub(crate) images: &'a mut dyn Images,
    pub(crate) settings: Settings,
    pub(crate) journal: Journal,
    pub(crate) shell_vars: BTreeMap<String, String>,
    pub(crate) logs: Logs,
    /// True until what a reboot may have undone is put back.
    pub(crate) to_restore: bool,
}

impl<'a> Session<'a> {
    /// Takes a run up where its journal ends, or begins it if there is no journal.
    pub fn open(
        host: &'a mut dyn Host,
        images: &'a mut dyn Images,
        settings: Settings,
        inputs: Inputs,
    ) -> Result<Self, Box<Fault>> {
        Ok(Self::try_open(host, images, settings, Some(inputs))?
            .expect("invariant: with inputs there is always a session"))
    }

    /// Takes a run up where its journal ends; `None` if there is no journal.
    pub fn resume(
        host: &'a mut dyn Host,
        images: &'a mut dyn Images,
        settings: Settings,
    ) -> Result<Option<Self>, Box<Fault>> {
        Ok(Self::try_open(host, images, settings, None)?)
    }

    /// True if everything was done; running it again changes nothing.
    pub fn is_finished(&self) -> bool {
        self.journal.history().ended.is_some()
    }

    /// The inputs as of the last barrier.
    pub fn inputs(&self) -> &Inputs {
        &self.journal.history().inputs
    }

    fn try_open(
        host: &'a mut dyn Host,
        images: &'a mut dyn Images,
        settings: Settings,
        inputs: Option<Inputs>,
    ) -> Result<Option<Self>, ActionError> {
        let resumed = Journal::open(host, settings.journal())?;
        let to_restore = resumed.is_some();
        let journal = match (resumed, inputs) {
            (Some(journal), _) => journal,
            (None, Some(inputs)) => begin(host, &settings, inputs)?,
            (None, None) => return Ok(None),
        };
        let (shell_vars, logs) = (BTreeMap::new(), Logs::default());
        let mut session = Self { host, images, settings, journal, shell_vars, logs, to_restore };
        if !session.is_finished() {
            session.prepare()?;
        }
        Ok(Some(session))
    }

    /// A session that only looks at its journal and at devices: it has no shell.
    pub(crate) fn of_journal(
        host: &'a mut dyn Host,
        images: &'a mut dyn Images,
        settings: Settings,
        journal: Journal,
    ) -> Self {
        let (shell_vars, logs, to_restore) = (BTreeMap::new(), Logs::default(), false);
        Self { host, images, settings, journal, shell_vars, logs, to_restore }
    }

    pub(crate) fn history(&self) -> &History {
        self.journal.history()
    }

    /// Makes everything that lives outside the journal: links to tools, the shell.
    fn prepare(&mut self) -> Result<(), ActionError> {
        for name in tools::NAMES.into_iter().chain(tools::PROGRAMS) {
            let link = format!("{}/{name}", self.settings.tools_dir());
            self.host.symlink(&link, &self.settings.program)?;
        }
        for shim in shell::SHIMS.iter().filter(|_| self.settings.shims) {
            match shim.kind {
                ShimKind::Tool => self.host.symlink(shim.path, &self.settings.program)?,
                ShimKind::Text(text) => self.host.write(shim.path, text.as_bytes(), 0o644)?,
            }
        }
        self.host.make_dir(&self.settings.log_dir, 0o750)?;
        logs::let_administrators_read(self.host, &self.settings.log_dir);
        if self.history().failed.as_deref() == Some(task_error::TASK_ERROR) {
            // The step that raised it did not count as finished and runs again.
            task_error::reset(self.host, &self.settings)?;
        }
        self.start_shell()?;
        if self.shell_vars.get("faimond").map(String::as_str) == Some("1") {
            self.tell_monitor("check")?;
        }
        if environment::is_fai_s_image(self.inputs()) {
            let id = Quirk::ImageLocale.id();
            let line = format!("warning[{id}]: the image is built in the locale C, as FAI does");
            self.logs.line(LogFile::Fai, &line);
        }
        if self.history().shell.is_empty() {
            // To this the variables return after class scripts, which may be the first step.
            let shell = ShellChange::between(&BTreeMap::new(), &self.shell_vars);
            self.journal.append(self.host, &Record::Shell { shell })?;
        }
        Ok(())
    }

    /// Starts a shell that knows everything the last one knew when the journal was written.
    pub(crate) fn start_shell(&mut self) -> Result<(), ActionError> {
        let uptime = self.host.read("/proc/uptime")?.unwrap_or_default();
        let uptime = String::from_utf8_lossy(&uptime);
        let facts = self.journal.history().inputs.facts.clone();
        let network = Network::read(self.host, &facts)?;
        let around = Surroundings {
            uptime_s: uptime.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0),
            run_date: self.history().run_date.clone(),
            network,
        };
        let fresh = environment::variables(&self.settings, self.inputs(), &around);
        let env = match self.history().shell.is_empty() {
            true => fresh,
            false => self.history().shell.clone(),
        };
        let functions = self.host.read(&self.settings.functions())?.unwrap_or_default();
        let prelude = format!("{}\n{}", shell::PRELUDE, String::from_utf8_lossy(&functions));
        self.ask(&ShellRequest::Start { env, prelude })?;
        let choose = CHOOSE_ROOT_COMMAND.to_owned();
        self.ask(&ShellRequest::Eval { script: choose, dir: "/".to_owned() })?;
        Ok(())
    }

    /// The hands for one step.
    pub(crate) fn work<'s>(
        &'s mut self,
        emit: &'s mut dyn FnMut(EventBody),
        plan: &'s Plan,
        phase: Phase,
        step: &StepId,
        repeated: bool,
    ) -> Work<'s> {
        let history = self.journal.history();
        Work {
            host: self.host,
            images: self.images,
            settings: &self.settings,
            inputs: &history.inputs,
            plan,
            step: step.clone(),
            phase,
            repeated,
            run_date: &history.run_date,
            passphrases: Passphrases::default(),
            shell_vars: &mut self.shell_vars,
            logs: &mut self.logs,
            log: LogFile::Fai,
            emit,
        }
    }

    /// Tells FAI's monitor, where there is one.
    pub(crate) fn tell_monitor(&mut self, message: &str) -> Result<(), HostError> {
        let Self { host, settings, shell_vars, logs, .. } = self;
        monitor::tell(&mut **host, settings, shell_vars, logs, message)
    }

    /// Raises an error of the engine's own, by the space's function `task_error` if it has one.
    pub(crate) fn raise(&mut self, code: u32) -> Result<(), HostError> {
        match task_error::call(self.inputs(), code) {
            Some(request) => {
                self.logs.flush(self.host, &self.settings)?;
                self.ask(&request).map(|_| ())
            }
            None => task_error::raise(self.host, &self.settings, code),
        }
    }

    fn ask(&mut self, request: &ShellRequest) -> Result<ShellReply, HostError> {
        let logs = &mut self.logs;
        let reply = self.host.shell(request, &mut |_, line| logs.line(LogFile::Fai, line))?;
        self.shell_vars.clone_from(&reply.vars);
        Ok(reply)
    }
}

/// Begins a run: its directories, its journal.
fn begin(host: &mut dyn Host, settings: &Settings, inputs: Inputs) -> Result<Journal, ActionError> {
    host.make_dir(&settings.record_dir, 0o700)?;
    host.make_dir(&settings.log_dir, 0o750)?;
    for name in host.list(&settings.log_dir)? {
        if LEFTOVERS.contains(&name.as_str()) || name.starts_with("skip.") {
            host.remove(&settings.in_logs(&name))?;
        }
    }
    task_error::reset(host, settings)?;
    let run_date = run_date(host.now_ms())?;
    Journal::create(host, settings.journal(), inputs, run_date)
}

/// A moment as FAI writes it into names of log directories, in UTC.
fn run_date(now_ms: i64) -> Result<String, ActionError> {
    let now = Timestamp::from_millisecond(now_ms).map_err(|error| {
        ActionError::new(
            FaultKind::Hardware,
            "clock-absurd",
            format!("the clock of this machine shows {now_ms} ms since 1970: {error}"),
            "set the clock",
        )
    })?;
    Ok(now.strftime("%Y%m%d_%H%M%S").to_string())
}
