//! What the session says: every event to the server, the important ones as lines on the consoles.

use crate::console::Console;
use crate::plugins::{News, Notifier, Places};
use crate::record::Line;
use hostwright_client::{ClientError, EventSender};
use hostwright_host::boot::clock;
use hostwright_model::api::Order;
use hostwright_model::event::{Event, EventBody};
use hostwright_model::fault::Fault;
use hostwright_model::phase::Phase;
use hostwright_model::size::ByteSize;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

/// Where the session's events go.
pub(crate) struct Reporter {
    console: Console,
    sender: EventSender,
    /// Tenths of what is being fetched that were told.
    told: RefCell<BTreeMap<String, u64>>,
    ended: Cell<bool>,
    /// Number of the latest event.
    seq: Cell<u64>,
    phase: Cell<Option<Phase>>,
    notifier: Notifier,
    /// Run and machine, for the notifier.
    about: (String, String),
    places: Places,
}

impl Reporter {
    /// Reports to the consoles, to the record, to the server by `sender`, and to the notifier.
    pub(crate) fn new(
        console: Console,
        sender: EventSender,
        order: &Order,
        notifier: Notifier,
        places: Places,
    ) -> Self {
        let (run, machine) = (order.run.to_string(), order.machine.to_string());
        let began =
            Line::Began { run: run.clone(), machine: machine.clone(), attempt: order.attempt };
        console.record().add(&began);
        Self {
            console,
            sender,
            told: RefCell::default(),
            ended: Cell::new(false),
            seq: Cell::new(0),
            phase: Cell::new(None),
            notifier,
            about: (run, machine),
            places,
        }
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
        self.seq.set(self.seq.get() + 1);
        let event = Event { seq: self.seq.get(), at_ms: clock::now_ms(), body };
        self.console.record().add(&Line::Event(event.clone()));
        if let EventBody::PhaseStarted { phase } = &event.body {
            self.phase.set(Some(*phase));
            self.notify("progress", None);
        }
        self.sender.send(event.at_ms, event.body);
    }

    /// Tells the site's notifier. What is wrong with that is told, and changes nothing.
    pub(crate) fn notify(&self, outcome: &'static str, fault: Option<&Fault>) {
        let (run, machine) = self.about.clone();
        let phase = self.phase.get().map(|phase| phase.name().to_owned());
        let news = News { outcome, machine, run, phase, fault: fault.cloned() };
        if let Some(wrong) = self.notifier.tell(&self.places, news) {
            self.console.say(&format!("the notifier was not told: {wrong}"));
        }
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
