//! The journal of a run: what was asked, what was begun, what came of it. It alone decides what a
//! resumed run still has to do.
//!
//! A file `journal` in the run's record directory, one JSON object a line, each synced before the
//! engine goes on:
//!
//! ```text
//! {"record":"opened","version":1,"inputs":{…},"run_date":"20260102_030405"}
//! {"record":"shell","shell":{"set":{…}}}
//! {"record":"planned","inputs":"<digest>","steps":41}
//! {"record":"begun","step":"format/vda1","phase":"partition","action":{…}}
//! {"record":"finished","step":"format/vda1","outcome":"changed"}
//! {"record":"barrier","after":"vars/LAST","inputs":{…}}
//! {"record":"undone"}
//! {"record":"failed","code":"task-error"}
//! {"record":"ended","task_error":0}
//! ```
//!
//! A line that power cut short is dropped when the journal is opened again.

use hostwright_host::{Host, HostError};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::{Digest, StepId};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Inputs, Observed, Outcome};
use hostwright_model::vars::Vars;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::fault::ActionError;
use crate::undo;

const VERSION: u32 = 1;

/// What changed in the exported variables of the long-lived shell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShellChange {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unset: BTreeSet<String>,
}

impl ShellChange {
    /// What leads from `old` to `new`.
    pub(crate) fn between(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Self {
        let changed = new.iter().filter(|(name, value)| old.get(*name) != Some(value));
        let set = changed.map(|(name, value)| (name.clone(), value.clone())).collect();
        let unset = old.keys().filter(|name| !new.contains_key(*name)).cloned().collect();
        Self { set, unset }
    }

    fn apply(&self, vars: &mut BTreeMap<String, String>) {
        vars.retain(|name, _| !self.unset.contains(name));
        vars.extend(self.set.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.unset.is_empty()
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub(crate) enum Record {
    /// The run began.
    Opened { version: u32, inputs: Box<Inputs>, run_date: String },
    /// The long-lived shell started for the first time, with these variables.
    Shell { shell: ShellChange },
    /// A plan was made.
    Planned { inputs: Digest, steps: u64 },
    /// A step began.
    Begun { step: StepId, phase: Phase, action: Box<Action> },
    /// A step ended well.
    Finished {
        step: StepId,
        outcome: Outcome,
        #[serde(default, skip_serializing_if = "is_silent")]
        observed: Observed,
        #[serde(default, skip_serializing_if = "ShellChange::is_empty")]
        shell: ShellChange,
    },
    /// What user code said was taken over into the inputs.
    Barrier {
        after: String,
        inputs: Box<Inputs>,
        early_vars: Vars,
        #[serde(default, skip_serializing_if = "ShellChange::is_empty")]
        shell: ShellChange,
    },
    /// What steps did to tables and signatures was taken back: they are to be done again.
    Undone,
    /// The run stopped.
    Failed { code: String },
    /// The run is done.
    Ended { task_error: u32 },
}

fn is_silent(observed: &Observed) -> bool {
    *observed == Observed::default()
}

/// A step that the journal knows.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub step: StepId,
    pub phase: Phase,
    pub action: Action,
}

/// A step that ended well.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub outcome: Outcome,
    pub observed: Observed,
}

/// Everything the journal says, in the form in which the engine asks for it.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// The inputs as of the last barrier.
    pub inputs: Inputs,
    /// When the run began, as FAI writes it in directory names.
    pub run_date: String,
    /// Variables that hooks set before there were variables.
    pub early_vars: Vars,
    /// Steps in the order in which they first began.
    pub begun: Vec<Begun>,
    /// Steps that ended well.
    pub finished: BTreeMap<StepId, Finished>,
    /// Barriers that were passed.
    pub barriers: BTreeSet<String>,
    /// Exported variables of the shell.
    pub shell: BTreeMap<String, String>,
    /// The same before the first class script, which must not change them.
    pub shell_before_classes: Option<BTreeMap<String, String>>,
    /// Why the run stopped last, unless it went on since.
    pub failed: Option<String>,
    /// FAI's task error, once the run is done.
    pub ended: Option<u32>,
}

impl History {
    fn new(inputs: Inputs, run_date: String) -> Self {
        Self {
            inputs,
            run_date,
            early_vars: Vars::default(),
            begun: Vec::new(),
            finished: BTreeMap::new(),
            barriers: BTreeSet::new(),
            shell: BTreeMap::new(),
            shell_before_classes: None,
            failed: None,
            ended: None,
        }
    }

    fn apply(&mut self, record: &Record) {
        match record {
            Record::Opened { .. } | Record::Planned { .. } => {}
            Record::Shell { shell } => shell.apply(&mut self.shell),
            Record::Begun { step, phase, action } => {
                self.failed = None;
                if matches!(**action, Action::ClassScript { .. }) {
                    self.shell_before_classes.get_or_insert_with(|| self.shell.clone());
                }
                if self.begun(step).is_none() {
                    let action = Action::clone(action);
                    self.begun.push(Begun { step: step.clone(), phase: *phase, action });
                }
            }
            Record::Finished { step, outcome, observed, shell } => {
                shell.apply(&mut self.shell);
                let finished = Finished { outcome: outcome.clone(), observed: observed.clone() };
                self.finished.insert(step.clone(), finished);
            }
            Record::Barrier { after, inputs, early_vars, shell } => {
                shell.apply(&mut self.shell);
                self.inputs = Inputs::clone(inputs);
                self.early_vars = early_vars.clone();
                self.barriers.insert(after.clone());
            }
            Record::Undone => {
                let undone = self.begun.iter().filter(|begun| undo::can_be_undone(&begun.action));
                let undone: Vec<StepId> = undone.map(|begun| begun.step.clone()).collect();
                self.finished.retain(|step, _| !undone.contains(step));
            }
            Record::Failed { code } => self.failed = Some(code.clone()),
            Record::Ended { task_error } => self.ended = Some(*task_error),
        }
    }

    /// The step, if it ever began.
    pub(crate) fn begun(&self, step: &StepId) -> Option<&Begun> {
        self.begun.iter().find(|begun| begun.step == *step)
    }

    /// True if a script of the phase ended with another status than 0.
    pub(crate) fn has_failed_script(&self, phase: Phase) -> bool {
        let script =
            |begun: &&Begun| begun.phase == phase && matches!(begun.action, Action::Script { .. });
        let mut ends = self.begun.iter().filter(script).map(|begun| self.finished.get(&begun.step));
        ends.any(|end| end.is_some_and(|end| matches!(end.outcome, Outcome::Exited(1..))))
    }

    /// Steps that ended well, in the order in which they began.
    pub(crate) fn finished_steps(&self) -> impl DoubleEndedIterator<Item = &Begun> {
        self.begun.iter().filter(|begun| self.finished.contains_key(&begun.step))
    }
}

/// The journal of one run.
#[derive(Debug)]
pub(crate) struct Journal {
    path: String,
    history: History,
}

impl Journal {
    /// Begins a journal.
    pub(crate) fn create(
        host: &mut dyn Host,
        path: String,
        inputs: Inputs,
        run_date: String,
    ) -> Result<Self, ActionError> {
        let history = History::new(inputs.clone(), run_date.clone());
        let mut journal = Self { path, history };
        let record = Record::Opened { version: VERSION, inputs: Box::new(inputs), run_date };
        journal.append(host, &record)?;
        Ok(journal)
    }

    /// Reads a journal; `None` if there is none, or if power failed before its first line was
    /// whole.
    pub(crate) fn open(host: &mut dyn Host, path: String) -> Result<Option<Self>, ActionError> {
        let Some(bytes) = host.read(&path)? else {
            return Ok(None);
        };
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut lines = bytes[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let Some(first) = lines.next() else {
            return Ok(None);
        };
        let mut history = match parse(&path, first)? {
            Record::Opened { version: VERSION, inputs, run_date } => {
                History::new(*inputs, run_date)
            }
            _ => return Err(unreadable(&path, "it does not begin as this version's journals do")),
        };
        for line in lines {
            history.apply(&parse(&path, line)?);
        }
        if whole < bytes.len() {
            host.write(&path, &bytes[..whole], 0o600)?;
        }
        Ok(Some(Self { path, history }))
    }

    /// What the journal says.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Adds a line and waits until it is safe.
    pub(crate) fn append(&mut self, host: &mut dyn Host, record: &Record) -> Result<(), HostError> {
        let mut line = serde_json::to_vec(record).expect("invariant: records have string keys");
        line.push(b'\n');
        host.append(&self.path, &line)?;
        self.history.apply(record);
        Ok(())
    }
}

fn parse(path: &str, line: &[u8]) -> Result<Record, ActionError> {
    serde_json::from_slice(line).map_err(|error| unreadable(path, &error.to_string()))
}

fn unreadable(path: &str, reason: &str) -> ActionError {
    ActionError::from(Box::new(Fault::new(
        FaultKind::Bug,
        "journal-unreadable",
        format!("the journal {path} cannot be understood: {reason}"),
        "remove the record directory to start the installation over",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::inputs;
    use hostwright_host::sim::{RootKind, SimHost};

    fn host() -> SimHost {
        SimHost::new(inputs().facts, RootKind::Disk)
    }

    const PATH: &str = "/record/journal";

    fn finished(step: &str, shell: ShellChange) -> Record {
        let (step, outcome, observed) = (step.into(), Outcome::Changed, Observed::default());
        Record::Finished { step, outcome, observed, shell }
    }

    #[test]
    fn a_journal_read_back_says_the_same() {
        let mut host = host();
        let date = "20260102_030405".to_owned();
        let mut journal = Journal::create(&mut host, PATH.to_owned(), inputs(), date).unwrap();
        let action = Box::new(Action::Finish);
        let begun = Record::Begun { step: "finish".into(), phase: Phase::Finish, action };
        journal.append(&mut host, &begun).unwrap();
        let vars = |value: &str| BTreeMap::from([("a".to_owned(), value.to_owned())]);
        let change = ShellChange::between(&BTreeMap::new(), &vars("1"));
        journal.append(&mut host, &finished("finish", change)).unwrap();
        let change = ShellChange::between(&vars("1"), &BTreeMap::new());
        journal.append(&mut host, &finished("more", change)).unwrap();

        let read = Journal::open(&mut host, PATH.to_owned()).unwrap().unwrap();
        assert_eq!(read.history().inputs, inputs());
        assert_eq!(read.history().run_date, "20260102_030405");
        let steps: Vec<_> = read.history().finished_steps().map(|begun| &begun.action).collect();
        assert_eq!(steps, [&Action::Finish]);
        assert_eq!(read.history().shell, BTreeMap::new());
        assert_eq!(read.history().ended, None);
    }

    #[test]
    fn a_class_script_that_comes_first_is_taken_back_to_the_shell_as_it_started() {
        let mut host = host();
        let date = "20260102_030405".to_owned();
        let mut journal = Journal::create(&mut host, PATH.to_owned(), inputs(), date).unwrap();
        let vars = BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]);
        let shell = ShellChange::between(&BTreeMap::new(), &vars);
        journal.append(&mut host, &Record::Shell { shell }).unwrap();
        let action = Box::new(Action::ClassScript { path: "class/01".to_owned(), sourced: true });
        let begun = Record::Begun { step: "class/01".into(), phase: Phase::Defclass, action };
        journal.append(&mut host, &begun).unwrap();

        let read = Journal::open(&mut host, PATH.to_owned()).unwrap().unwrap();
        assert_eq!(read.history().shell_before_classes.as_ref(), Some(&vars));
    }

    #[test]
    fn a_line_that_power_cut_short_is_dropped() {
        let mut host = host();
        let date = "20260102_030405".to_owned();
        let mut journal = Journal::create(&mut host, PATH.to_owned(), inputs(), date).unwrap();
        journal.append(&mut host, &finished("whole", ShellChange::default())).unwrap();
        host.append(PATH, br#"{"record":"finished","step":"cut"#).unwrap();

        let mut read = Journal::open(&mut host, PATH.to_owned()).unwrap().unwrap();
        assert_eq!(
            read.history().finished.keys().map(StepId::as_str).collect::<Vec<_>>(),
            ["whole"]
        );
        read.append(&mut host, &finished("next", ShellChange::default())).unwrap();
        let read = Journal::open(&mut host, PATH.to_owned()).unwrap().unwrap();
        assert_eq!(read.history().finished.len(), 2);
    }

    #[test]
    fn half_a_first_line_is_no_journal_and_nonsense_is_an_error() {
        let mut host = host();
        assert!(Journal::open(&mut host, PATH.to_owned()).unwrap().is_none());
        host.append(PATH, br#"{"record":"ope"#).unwrap();
        assert!(Journal::open(&mut host, PATH.to_owned()).unwrap().is_none());
        host.write(PATH, b"{}\n", 0o600).unwrap();
        let error = Journal::open(&mut host, PATH.to_owned()).unwrap_err();
        assert_eq!(Box::<Fault>::from(error).code, "journal-unreadable");
    }
}
