//! What the attendant knows: the record of the machine folded into one value, which page, metrics
//! and shell draw.

use crate::record::{FILE, Line};
use hostwright_model::event::{Event, EventBody, Stream};
use hostwright_model::plan::Plan;
use hostwright_model::progress::RunProgress;
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// Lines of the log that are kept for who comes late.
const LOG_LINES: usize = 5000;
/// How often the record is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Where it comes from: `agent`, `run`, `out`, `err`.
    pub from: &'static str,
    /// The line.
    pub text: String,
}

/// What is known.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Watched {
    /// The run; empty where there is no server.
    pub run: String,
    /// The machine; empty before the server has named it.
    pub machine: String,
    /// Where the run is.
    pub progress: RunProgress,
    /// Lines of the log, oldest first.
    #[serde(skip)]
    pub log: VecDeque<LogLine>,
    /// Lines that the log had in all.
    pub log_lines: u64,
    /// The plan, once there is one.
    #[serde(skip)]
    pub plan: Option<Arc<Plan>>,
    /// True if there are certificates for a shell.
    pub shell: bool,
    /// Why there is no shell.
    pub no_shell_because: Option<String>,
    /// Shells that somebody looks at.
    pub attached_shells: usize,
    /// Rises with every change.
    #[serde(skip)]
    pub revision: u64,
}

impl Watched {
    /// True if the run has failed and nothing is being done.
    pub fn waits(&self) -> bool {
        self.progress.ended == Some(false)
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Began { run, machine, attempt } => {
                (self.run, self.machine) = (run, machine);
                self.progress = RunProgress { attempt, ..RunProgress::default() };
            }
            Line::Said { at_ms, text } => self.note(at_ms, "agent", text),
            Line::Event(event) => {
                if let Some((from, text)) = in_words(&event.body) {
                    self.note(event.at_ms, from, text);
                }
                self.apply(&event);
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        let attempt = self.progress.attempt;
        self.progress.apply(attempt, event);
    }

    fn note(&mut self, at_ms: i64, from: &'static str, text: String) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(LogLine { at_ms, from, text });
        self.log_lines += 1;
    }
}

/// Events that are not said on the consoles anyhow.
fn in_words(body: &EventBody) -> Option<(&'static str, String)> {
    match body {
        EventBody::Output { stream, line, .. } => {
            let from = if *stream == Stream::Err { "err" } else { "out" };
            Some((from, line.clone()))
        }
        EventBody::StepFinished { step, .. } => Some(("run", format!("{step} is done"))),
        _ => None,
    }
}

/// What is known, for many threads.
#[derive(Debug, Default)]
pub struct Watch {
    state: Mutex<Watched>,
    changed: Condvar,
}

impl Watch {
    /// What is known now.
    pub fn now(&self) -> MutexGuard<'_, Watched> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and tells who waits.
    pub fn change(&self, change: impl FnOnce(&mut Watched)) {
        let mut state = self.now();
        change(&mut state);
        state.revision += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until something is new since `revision`, at most for `limit`. The revision now.
    pub fn wait(&self, revision: u64, limit: Duration) -> u64 {
        let state = self.now();
        let waited =
            self.changed.wait_timeout_while(state, limit, |state| state.revision == revision);
        waited.unwrap_or_else(PoisonError::into_inner).0.revision
    }
}

/// Follows the record and the plan in `work`, for ever.
pub(super) fn follow(watch: &Watch, work: &Path) {
    let mut follower = Follower::new(work);
    loop {
        follower.step(watch);
        thread::sleep(PERIOD);
    }
}

/// Reads what is added to the record.
struct Follower {
    record: PathBuf,
    plan: PathBuf,
    reader: Option<BufReader<File>>,
    /// A line that is not whole yet.
    line: String,
    plan_at: Option<SystemTime>,
}

impl Follower {
    fn new(work: &Path) -> Self {
        let (record, plan) = (work.join(FILE), work.join("run/plan.json"));
        Self { record, plan, reader: None, line: String::new(), plan_at: None }
    }

    fn step(&mut self, watch: &Watch) {
        let lines = self.new_lines();
        let plan = self.new_plan();
        if lines.is_empty() && plan.is_none() {
            return;
        }
        watch.change(|state| {
            lines.into_iter().for_each(|line| state.take(line));
            if let Some(plan) = plan {
                state.plan = Some(Arc::new(plan));
            }
        });
    }

    fn new_lines(&mut self) -> Vec<Line> {
        if self.reader.is_none() {
            self.reader = File::open(&self.record).ok().map(BufReader::new);
        }
        let mut lines = Vec::new();
        let Some(reader) = &mut self.reader else { return lines };
        while let Ok(1..) = reader.read_line(&mut self.line) {
            if !self.line.ends_with('\n') {
                break;
            }
            // A line of a later agent is none that this one could show.
            lines.extend(serde_json::from_str::<Line>(&self.line));
            self.line.clear();
        }
        lines
    }

    fn new_plan(&mut self) -> Option<Plan> {
        let at = std::fs::metadata(&self.plan).and_then(|meta| meta.modified()).ok()?;
        if self.plan_at == Some(at) {
            return None;
        }
        self.plan_at = Some(at);
        serde_json::from_slice(&std::fs::read(&self.plan).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use hostwright_model::fault::{Fault, FaultKind};
    use hostwright_model::phase::Phase;

    fn event(seq: u64, body: EventBody) -> Line {
        Line::Event(Event { seq, at_ms: 1000 * seq as i64, body })
    }

    #[test]
    fn the_record_is_followed_through_a_failure_and_the_next_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::at(&dir.path().join(FILE));
        let (watch, mut follower) = (Watch::default(), Follower::new(dir.path()));
        let began = |attempt| Line::Began { run: "web1-1".into(), machine: "web1".into(), attempt };
        record.add(&began(1));
        record.add(&event(1, EventBody::PhaseStarted { phase: Phase::Partition }));
        let fault = Fault::new(FaultKind::Environment, "no-space", "it is full", "make room");
        record.add(&event(
            2,
            EventBody::RunFinished { ok: false, task_error: 0, fault: Some(fault) },
        ));
        let before = watch.now().revision;
        follower.step(&watch);
        assert_ne!(watch.wait(before, Duration::from_secs(9)), before);
        assert!(watch.now().waits());
        assert_eq!(watch.now().machine, "web1");
        record.add(&began(2));
        record.said("once more");
        follower.step(&watch);
        let state = watch.now();
        assert!(!state.waits());
        assert_eq!((state.progress.attempt, state.log_lines), (2, 1));
    }

    #[test]
    fn half_a_line_is_waited_for_and_a_strange_one_is_passed_over() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let (watch, mut follower) = (Watch::default(), Follower::new(dir.path()));
        let mut file = File::create(dir.path().join(FILE)).unwrap();
        write!(file, "{{\"record\":\"future\"}}\n{{\"record\":\"said\",\"at_ms\":1,").unwrap();
        follower.step(&watch);
        assert_eq!(watch.now().log_lines, 0);
        writeln!(file, "\"text\":\"whole\"}}").unwrap();
        follower.step(&watch);
        assert_eq!(watch.now().log[0].text, "whole");
    }
}
