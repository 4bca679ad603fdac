//! What an action may touch while it runs, and how it runs tools and shell text so that every line
//! reaches the events and a log.

use crate::fault::ActionError;
use crate::images::Images;
use crate::logs::{LogFile, Logs};
use crate::passphrases::Passphrases;
use crate::settings::Settings;
use crate::task_error;
use hostwright_host::{Command, Host, HostError, Output, ShellReply, ShellRequest};
use hostwright_model::event::{EventBody, Stream};
use hostwright_model::ids::StepId;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Inputs, Plan};
use std::collections::BTreeMap;

/// Sees each line of a tool's output, and where to tell progress.
pub(crate) type Watch<'w> = &'w mut dyn FnMut(&str, &mut dyn FnMut(EventBody));

/// The hands of an action.
pub(crate) struct Work<'s> {
    pub host: &'s mut dyn Host,
    pub images: &'s mut dyn Images,
    pub settings: &'s Settings,
    pub inputs: &'s Inputs,
    /// The plan that the step is part of.
    pub plan: &'s Plan,
    pub step: StepId,
    pub phase: Phase,
    /// True if the step began before and nobody knows how far it came.
    pub repeated: bool,
    pub run_date: &'s str,
    /// Those that the step needs.
    pub passphrases: Passphrases,
    /// Exported variables of the shell, as of its latest reply.
    pub shell_vars: &'s mut BTreeMap<String, String>,
    pub logs: &'s mut Logs,
    /// The log that lines of tools go to.
    pub log: LogFile,
    pub emit: &'s mut dyn FnMut(EventBody),
}

impl Work<'_> {
    /// Runs a tool; a status other than 0 is an error.
    pub(crate) fn tool(&mut self, command: Command) -> Result<Output, ActionError> {
        Ok(self.try_tool(command)?.success()?)
    }

    /// Runs a tool, whatever its status.
    pub(crate) fn try_tool(&mut self, command: Command) -> Result<Output, HostError> {
        self.tool_watched(command, &mut |_, _| {})
    }

    /// Runs a tool, whatever its status. `watch` sees each line and may tell progress.
    pub(crate) fn tool_watched(
        &mut self,
        command: Command,
        watch: Watch<'_>,
    ) -> Result<Output, HostError> {
        self.logs.line(self.log, &format!("+ {}", command.to_shell()));
        let Self { host, emit, logs, log, step, .. } = self;
        host.run(&command, &mut |stream, line| {
            watch(line, emit);
            tell(logs, *log, emit, step, stream, line);
        })
    }

    /// Asks the long-lived shell. Logs are complete before user code can read them.
    pub(crate) fn shell(&mut self, request: &ShellRequest) -> Result<ShellReply, HostError> {
        self.logs.flush(self.host, self.settings)?;
        let Self { host, emit, logs, log, step, .. } = self;
        let reply = host.shell(request, &mut |stream, line| {
            tell(logs, *log, emit, step, stream, line);
        })?;
        self.shell_vars.clone_from(&reply.vars);
        Ok(reply)
    }

    /// Evaluates shell text of the engine's own, in the root directory.
    pub(crate) fn eval(&mut self, script: impl Into<String>) -> Result<ShellReply, HostError> {
        self.shell(&ShellRequest::Eval { script: script.into(), dir: "/".to_owned() })
    }

    /// Raises an error of the engine's own, by the space's function `task_error` if it has one.
    pub(crate) fn raise(&mut self, code: u32) -> Result<(), HostError> {
        match task_error::call(self.inputs, code) {
            Some(request) => self.shell(&request).map(|_| ()),
            None => task_error::raise(self.host, self.settings, code),
        }
    }

    /// The same for an error that stops the run anyhow: what keeps it from being raised must not
    /// hide it.
    pub(crate) fn note(&mut self, code: u32) {
        let _ = self.raise(code);
    }

    /// Says something of the engine's own in FAI's main log.
    pub(crate) fn say(&mut self, line: &str) {
        self.logs.line(LogFile::Fai, line);
    }

    /// Warns people and the step's log.
    pub(crate) fn warn(&mut self, line: &str) {
        tell(self.logs, self.log, self.emit, &self.step, Stream::Err, line);
    }

    /// A path of the installed system.
    pub(crate) fn target(&self, path: &str) -> String {
        self.settings.in_target(path)
    }

    /// A file as text; `None` if there is none.
    pub(crate) fn read_text(&mut self, path: &str) -> Result<Option<String>, HostError> {
        let bytes = self.host.read(path)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// True if a path exists, whatever it is. A look into its directory, for a link's target must
    /// not decide it.
    pub(crate) fn exists(&mut self, path: &str) -> Result<bool, HostError> {
        exists(self.host, path)
    }
}

/// True if a path exists, whatever it is.
pub(crate) fn exists(host: &mut dyn Host, path: &str) -> Result<bool, HostError> {
    let Some((parent, name)) = path.trim_end_matches('/').rsplit_once('/') else {
        return Ok(false);
    };
    let parent = if parent.is_empty() { "/" } else { parent };
    Ok(host.list(parent)?.iter().any(|found| found == name))
}

fn tell(
    logs: &mut Logs,
    log: LogFile,
    emit: &mut dyn FnMut(EventBody),
    step: &StepId,
    stream: Stream,
    line: &str,
) {
    logs.line(log, line);
    emit(EventBody::Output { step: Some(step.clone()), stream, line: line.to_owned() });
}
