//! What a tool is given: environment, machine, package lists and where its output goes.

use super::ToolError;
use super::install_packages::PackageLists;
use crate::environment::FAI_BUGS;
use hostwright_host::{Command, Host, HostError, Output, Tool};
use hostwright_model::event::Stream;
use hostwright_model::quirk::Quirk;
use std::collections::BTreeMap;
use std::io::Write;

/// Environment variables as they were when the program started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    vars: BTreeMap<String, String>,
}

impl Env {
    /// The value of `name`, unless it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of `name`, even if it is empty.
    pub fn get_even_empty(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// True if `name` is set to anything but nothing and `0`.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0")
    }

    /// Sets `name`, for this program and what it starts.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.vars.insert(name.to_owned(), value.into());
    }

    /// All variables, for a process.
    pub fn to_vec(&self) -> Vec<(String, String)> {
        self.vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// All variables.
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.vars
    }
}

impl FromIterator<(String, String)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(vars: I) -> Self {
        Self { vars: vars.into_iter().collect() }
    }
}

/// Everything a tool may use.
pub struct Session<'a> {
    /// The environment.
    pub env: Env,
    /// The working directory, absolute.
    pub dir: String,
    /// The machine.
    pub host: &'a mut dyn Host,
    /// Reads package_config.
    pub packages: &'a dyn PackageLists,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
}

impl Session<'_> {
    /// Writes a line to standard output. A reader that went away (`install_packages -l | grep -q`)
    /// is no reason to stop half-way through the work.
    pub(super) fn say(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    /// Writes text without a line end to standard output.
    pub(super) fn say_part(&mut self, text: &str) {
        let _ = write!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// Writes a line to standard error.
    pub(super) fn warn(&mut self, line: &str) {
        let _ = writeln!(self.err, "{line}").and_then(|()| self.err.flush());
    }

    /// True if this run is to do as FAI does where its documentation says otherwise. Then it is
    /// told.
    pub(super) fn has_quirk(&mut self, quirk: Quirk, what: &str) -> bool {
        let wanted = self.env.is_on(FAI_BUGS);
        if wanted {
            self.warn(&format!("warning[{}]: {what}", quirk.id()));
        }
        wanted
    }

    /// `path` as an absolute path.
    pub(super) fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        format!("{}/{path}", self.dir.trim_end_matches('/'))
    }

    /// Root of the system being installed; `/` for the running one.
    pub(super) fn target(&self) -> String {
        let target = self.env.get("FAI_ROOT").or_else(|| self.env.get("target"));
        self.absolute(target.unwrap_or("/"))
    }

    /// True to do as FAI does where its documentation says otherwise.
    pub(super) fn fai_bugs(&self) -> bool {
        self.env.is_on(FAI_BUGS)
    }

    /// The defined classes, lowest priority first.
    pub(super) fn classes(&self) -> Vec<String> {
        words(self.env.get("classes").unwrap_or_default())
    }

    /// A file of the log directory; `None` where there is no log directory.
    pub(super) fn log_file(&self, name: &str) -> Option<String> {
        self.env.get("LOGDIR").map(|dir| self.absolute(&format!("{dir}/{name}")))
    }

    /// Appends to a file of the log directory, if there is one.
    pub(super) fn append_log(&mut self, name: &str, text: &str) -> Result<(), HostError> {
        match self.log_file(name) {
            Some(path) => self.host.append(&path, text.as_bytes()),
            None => Ok(()),
        }
    }

    /// Runs `command` with the tool's environment and passes its output on.
    pub(super) fn run(&mut self, command: Command) -> Result<Output, HostError> {
        let command = self.with_env(command);
        let (out, err) = (&mut *self.out, &mut *self.err);
        self.host.run(&command, &mut |stream, line| {
            // The same as in `say`: output nobody reads is no failure.
            let _ = match stream {
                Stream::Out => writeln!(out, "{line}").and_then(|()| out.flush()),
                Stream::Err => writeln!(err, "{line}").and_then(|()| err.flush()),
            };
        })
    }

    /// Runs `command` and keeps what it writes to standard output to ourselves.
    pub(super) fn run_for_output(&mut self, command: Command) -> Result<Output, HostError> {
        let command = self.with_env(command);
        let err = &mut *self.err;
        self.host.run(&command, &mut |stream, line| {
            if stream == Stream::Err {
                let _ = writeln!(err, "{line}");
            }
        })
    }

    /// Runs `command` and collects the lines of both streams in the order they came.
    pub(super) fn run_collecting(
        &mut self,
        command: Command,
    ) -> Result<(Output, String), HostError> {
        let command = self.with_env(command);
        let mut text = String::new();
        let output = self.host.run(&command, &mut |_, line| {
            text.push_str(line);
            text.push('\n');
        })?;
        Ok((output, text))
    }

    fn with_env(&self, mut command: Command) -> Command {
        let mut env = self.env.to_vec();
        env.append(&mut command.env);
        command.env = env;
        command
    }

    /// `command` inside the target, unless the target is the running system.
    pub(super) fn in_target(&self, command: Command) -> Command {
        match self.target().as_str() {
            "/" => command,
            root => command.in_root(root),
        }
    }
}

/// Runs a file of the config space in `dir` as a shell would: bash sees to files without `#!`, and
/// `$0` is `path` as it is (the builtin `exec` would make it absolute).
pub(super) fn script(dir: &str, path: &str, args: &[&str]) -> Command {
    let text = r#"cd "$1" && shift && "$@""#;
    Command::new(Tool::Bash).args(["-c", text, "bash", dir, path]).args(args.iter().copied())
}

/// The same with standard error going where standard output goes: on two pipes their lines would
/// lose their order.
pub(super) fn script_for_log(dir: &str, path: &str, args: &[&str]) -> Command {
    let text = r#"cd "$1" && shift && "$@" 2>&1"#;
    Command::new(Tool::Bash).args(["-c", text, "bash", dir, path]).args(args.iter().copied())
}

/// The text with one slash for several, as FAI shows paths.
pub(super) fn single_slashes(text: &str) -> String {
    let mut text = text.to_owned();
    while text.contains("//") {
        text = text.replace("//", "/");
    }
    text
}

/// `path` below `target` as it is shown: the two are put together, with a slash between them.
pub(super) fn below(target: &str, path: &str) -> String {
    let slash = if target.is_empty() || path.starts_with('/') { "" } else { "/" };
    format!("{target}{slash}{path}")
}

/// Words between blanks.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A wrong command line.
pub(super) fn usage(message: impl Into<String>) -> ToolError {
    ToolError::Usage(message.into())
}
