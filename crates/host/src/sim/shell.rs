//! The simulated long-lived bash: it keeps variables, and knows what scripts do from a table.

use super::state::{State, io_error};
use super::tools::Reply;
use super::tree::{Node, NodeKind};
use crate::{Command, HostError, ShellReply, ShellRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// What a script, a file that is sourced, or a tool is said to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Exit status.
    pub status: i32,
    /// Lines on standard output: the classes of a class script.
    pub stdout: Vec<String>,
    /// Lines on standard error.
    pub stderr: Vec<String>,
    /// Variables that are set and exported; only for what is sourced or evaluated.
    pub vars: BTreeMap<String, String>,
    /// Files that are written, by absolute path; `$name` at the beginning of a path stands for an
    /// exported variable (`$target/etc/motd`).
    pub files: Vec<(String, String)>,
    /// Tools that it runs; only for what is executed or sourced.
    pub commands: Vec<Command>,
    /// True if it ends the shell it is sourced in, with `status`.
    pub exits: bool,
}

impl Effect {
    /// Prints one line.
    pub fn prints(line: impl Into<String>) -> Self {
        Self { stdout: vec![line.into()], ..Self::default() }
    }

    /// Sets one variable.
    pub fn sets(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { vars: BTreeMap::from([(name.into(), value.into())]), ..Self::default() }
    }

    /// Writes one file.
    pub fn writes(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self { files: vec![(path.into(), content.into())], ..Self::default() }
    }

    /// Writes the files, of which only the first half if the power goes.
    pub(super) fn write_files(
        &self,
        state: &mut State,
        root: &str,
        torn: bool,
    ) -> Result<(), HostError> {
        let count = if torn { self.files.len() / 2 } else { self.files.len() };
        for (path, content) in &self.files[..count] {
            let path = expand(path, state.shell.as_ref());
            state.put_in(root, &path, Node::file(content.as_str(), 0o644))?;
        }
        Ok(())
    }
}

/// Replaces `$name` at the beginning of a path.
fn expand(path: &str, vars: Option<&BTreeMap<String, String>>) -> String {
    let Some(rest) = path.strip_prefix('$') else { return path.to_owned() };
    let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let value = vars.and_then(|vars| vars.get(name)).map_or("", String::as_str);
    format!("{value}{rest}")
}

/// What the shell knows about scripts.
#[derive(Clone, Debug, Default)]
pub(super) struct Scripts {
    /// By absolute path; and for evaluated text by a part of it.
    pub(super) effects: BTreeMap<String, Effect>,
    /// Variables whose values are part of the mark that a script leaves.
    pub(super) watched: BTreeSet<String>,
    /// Everything that ran, in order.
    pub(super) executed: Vec<String>,
}

/// Where the marks of scripts are: in the target, so that they are lost with it.
const MARKS: &str = "$target/var/lib/simulated";

/// Carries out a request. `Err` ends the shell only for [`HostError::Failed`].
pub(super) fn talk(
    state: &mut State,
    scripts: &mut Scripts,
    request: &ShellRequest,
    torn: bool,
) -> Result<(ShellReply, Reply), HostError> {
    if state.shell.is_none() && !matches!(request, ShellRequest::Start { .. }) {
        return Err(io_error("run", "the simulated shell", io::ErrorKind::NotConnected));
    }
    match request {
        ShellRequest::Start { env, .. } => {
            state.shell = Some(env.clone());
            Ok(answer(state, Reply::default()))
        }
        ShellRequest::Eval { script, .. } => {
            let known = scripts.effects.iter().find(|(part, _)| script.contains(part.as_str()));
            let effect = match known {
                Some((_, effect)) => effect.clone(),
                None => assignments(script, state).ok_or_else(|| unknown(script))?,
            };
            sourced(state, &effect, script, torn)
        }
        ShellRequest::Source { path, trace, .. } => {
            let text = require_file(state, path)?;
            let simple = assignments(&text, state);
            let effect = scripts.effects.get(path).cloned().or(simple).unwrap_or_default();
            leave_mark(state, scripts, path, &[])?;
            let (mut reply, said) = sourced(state, &effect, path, torn)?;
            if *trace {
                reply.stdout.clear();
            }
            Ok((reply, said))
        }
        ShellRequest::Execute { path, args, .. } => {
            let (path, args) = behind_env(path, args);
            require_file(state, path)?;
            let effect = scripts.effects.get(path).cloned().unwrap_or_default();
            leave_mark(state, scripts, path, args)?;
            effect.write_files(state, "", torn)?;
            Ok(answer(state, said_by(&effect)))
        }
    }
}

/// What env(1) runs; the assignments it makes are not simulated.
fn behind_env<'a>(path: &'a str, args: &'a [String]) -> (&'a str, &'a [String]) {
    let program = args.iter().position(|arg| !arg.contains('='));
    match program.filter(|_| path == "/usr/bin/env") {
        Some(at) => (&args[at], &args[at + 1..]),
        None => (path, args),
    }
}

fn said_by(effect: &Effect) -> Reply {
    Reply { status: effect.status, out: effect.stdout.clone(), err: effect.stderr.clone() }
}

fn unknown(script: &str) -> HostError {
    let reason = format!("no effect is given for the shell text: {script}");
    HostError::Probe { what: "what simulated shell text does", reason }
}

fn require_file(state: &State, path: &str) -> Result<String, HostError> {
    let content = state.read_in("", path);
    let content = content.ok_or_else(|| io_error("run", path, io::ErrorKind::NotFound))?;
    Ok(String::from_utf8_lossy(content).into_owned())
}

fn sourced(
    state: &mut State,
    effect: &Effect,
    what: &str,
    torn: bool,
) -> Result<(ShellReply, Reply), HostError> {
    effect.write_files(state, "", torn)?;
    if effect.exits {
        state.shell = None;
        let (command, status) = (format!(". {what}"), effect.status);
        return Err(HostError::Failed { command, status, output: effect.stdout.clone() });
    }
    if let Some(vars) = &mut state.shell {
        vars.extend(effect.vars.clone());
    }
    Ok(answer(state, said_by(effect)))
}

fn answer(state: &State, said: Reply) -> (ShellReply, Reply) {
    let stdout = said.out.iter().map(|line| format!("{line}\n")).collect();
    let vars = state.shell.clone().unwrap_or_default();
    (ShellReply { status: said.status, stdout, vars }, said)
}

/// Leaves a mark that a script ran, and with which arguments and watched variables. Running it
/// again the same way changes nothing.
fn leave_mark(
    state: &mut State,
    scripts: &mut Scripts,
    path: &str,
    args: &[String],
) -> Result<(), HostError> {
    scripts.executed.push(path.to_owned());
    let vars = state.shell.as_ref();
    let watched = scripts.watched.iter().map(|name| {
        let value = vars.and_then(|vars| vars.get(name)).map_or("", String::as_str);
        format!("{name}={value}\n")
    });
    let text: String = std::iter::once(format!("{}\n", args.join(" "))).chain(watched).collect();
    let mark = format!("{}/ran:{}", expand(MARKS, vars), path.replace('/', "|"));
    state.put(&mark, Node { kind: NodeKind::File(text.into()), ..Node::file("", 0o644) })
}

/// The effect of shell text that only assigns: `name=value` lines, quoted or not, perhaps with
/// `export`, values perhaps `${name:-default}`. `None` for anything else.
fn assignments(text: &str, state: &State) -> Option<Effect> {
    let mut effect = Effect::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        let current = state.shell.as_ref().and_then(|vars| vars.get(name));
        let inner = value.strip_prefix(&format!("${{{name}:-")).and_then(|v| v.strip_suffix('}'));
        let value = match (inner, current.filter(|current| !current.is_empty())) {
            (Some(_), Some(current)) => current.clone(),
            (Some(default), None) => unquote(default)?,
            (None, _) => unquote(value)?,
        };
        effect.vars.insert(name.to_owned(), value);
    }
    Some(effect)
}

/// A word in quotes or without anything that the shell would interpret.
fn unquote(word: &str) -> Option<String> {
    let single = word.strip_prefix('\'').and_then(|word| word.strip_suffix('\''));
    if let Some(inner) = single.filter(|inner| !inner.contains('\'')) {
        return Some(inner.to_owned());
    }
    let double = word.strip_prefix('"').and_then(|word| word.strip_suffix('"'));
    let inner = double.unwrap_or(word);
    let special = if double.is_some() { "\"$`\\" } else { "\"'$`\\ ;|&()<>*?[]{}~#!" };
    (!inner.contains(|c| special.contains(c))).then(|| inner.to_owned())
}
