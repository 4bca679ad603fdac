//! What the session says: every event to the server, the important ones as lines on the consoles.

use crate::console::Console;
use hostwright_client::{ClientError, EventSender};
use hostwright_model::event::EventBody;
use hostwright_model::fault::Fault;
use hostwright_model::size::ByteSize;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the session's events go.
pub(crate) struct Reporter {
    console: Console,
    sender: EventSender,
    /// Tenths of what is being fetched that were told.
    told: RefCell<BTreeMap<String, u64>>,
    ended: Cell<bool>,
}

impl Reporter {
    pub(crate) fn new(console: Console, sender: EventSender) -> Self {
        Self { console, sender, told: RefCell::default(), ended: Cell::new(false) }
    }

    /// The consoles.
    pub(crate) fn console(&self) -> &Console {
        &self.console
    }

    /// Takes an event.
    pub(crate) fn emit(&self, body: EventBody) {
        if let Some(line) = self.line(&body) {
            self.console.say(&line);
        }
        self.ended.set(self.ended.get() || matches!(body, EventBody::RunFinished { .. }));
        self.sender.send(now_ms(), body);
    }

    /// The end of a run that failed, unless the engine has told it.
    pub(crate) fn fail(&self, fault: &Fault) {
        if !self.ended.get() {
            let fault = Some(fault.clone());
            self.emit(EventBody::RunFinished { ok: false, task_error: 0, fault });
        }
    }

    /// Waits until the server has stored everything. A machine that has been installed must not
    /// restart before: the server would let it be installed again.
    pub(crate) fn deliver(&self) {
        const TELL_EVERY: Duration = Duration::from_secs(30);
        while !self.sender.flush(Some(TELL_EVERY)) {
            if let Some(refusal) = self.sender.refusal() {
                let why = crate::fault::sentence(refusal.as_ref());
                self.console.say(&format!("the server does not take the events: {why}"));
                return;
            }
            self.console.say("waiting for the server to take the last events");
        }
    }

    /// Gives the server some time to take what there is, and goes on.
    pub(crate) fn deliver_for(&self, limit: Duration) {
        let _delivered = self.sender.flush(Some(limit));
    }

    fn line(&self, body: &EventBody) -> Option<String> {
        match body {
            EventBody::PhaseStarted { phase } => Some(format!("--- {phase}")),
            EventBody::StepStarted { title, .. } => Some(title.clone()),
            EventBody::StepFailed { step, .. } => Some(format!("{step} failed")),
            EventBody::Fetch { what, done_bytes, total_bytes } => {
                self.progress(what, *done_bytes, *total_bytes)
            }
            EventBody::StepProgress { step, done, total, unit } if unit == "bytes" => {
                self.progress(step.as_str(), *done, *total)
            }
            EventBody::RunFinished { ok: true, task_error, .. } => {
                Some(format!("everything is done, task_error {task_error}"))
            }
            _ => None,
        }
    }

    /// One line for each tenth.
    fn progress(&self, what: &str, done_bytes: u64, total_bytes: u64) -> Option<String> {
        let tenth = done_bytes.saturating_mul(10) / total_bytes.max(1);
        let mut told = self.told.borrow_mut();
        let new = told.insert(what.to_owned(), tenth) != Some(tenth);
        let of = ByteSize(total_bytes).rounded();
        new.then(|| format!("{what}: {} of {of}", ByteSize(done_bytes).rounded()))
    }
}

/// Says on the consoles why something has to wait: at once, and again every minute.
pub(crate) fn waiting(console: &Console) -> impl FnMut(&ClientError, Duration) {
    let mut patience = Patience::new(console.clone());
    move |error, _pause| patience.tell(error)
}

/// What the consoles were told of something that has to wait.
pub(crate) struct Patience {
    console: Console,
    told: Option<(String, Instant)>,
}

impl Patience {
    pub(crate) fn new(console: Console) -> Self {
        Self { console, told: None }
    }

    /// Says why, unless that was said within the last minute.
    pub(crate) fn tell(&mut self, error: &dyn Error) {
        const REPEAT_AFTER: Duration = Duration::from_secs(60);
        let why = crate::fault::sentence(error);
        let is_known = self
            .told
            .as_ref()
            .is_some_and(|(text, at)| *text == why && at.elapsed() < REPEAT_AFTER);
        if !is_known {
            self.console.say(&format!("{why}; trying on"));
            self.told = Some((why, Instant::now()));
        }
    }
}

/// Everything about a fault, on the consoles.
pub(crate) fn show(console: &Console, fault: &Fault) {
    console.say(&format!("FAILED: {} [{}]", fault.message, fault.code));
    if let Some(command) = &fault.command {
        console.say(&format!("  command: {command}"));
    }
    for line in &fault.output {
        console.say(&format!("  | {line}"));
    }
    console.say(&format!("  what to do: {}", fault.cure));
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
