//! Delivers events in the background: in order, each once, until the server has stored them.
//!
//! Events wait unnumbered, so that progress which nobody saw yet can be replaced by newer progress;
//! they get their numbers when a batch is made, and a batch is sent until it is acknowledged.

use crate::ClientError;
use crate::backoff::Backoff;
use crate::connection::Connection;
use hostwright_model::api::{EventAck, EventBatch};
use hostwright_model::event::{Event, EventBody};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use ureq::http::Method;

/// Events in one request.
const BATCH: usize = 500;
/// Events that may wait. Beyond it [`EventSender::send`] waits for the server: an install pauses
/// rather than forgets.
const WAITING_LIMIT: usize = 100_000;
/// How far back older progress is looked for.
const LOOK_BACK: usize = 64;
/// How long a batch may gather company. Short enough to look live.
const LINGER: Duration = Duration::from_millis(50);

/// Takes events and delivers them. Dropping it leaves what is waiting to the thread, which goes on.
#[derive(Debug)]
pub struct EventSender {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Not sent yet.
    waiting: VecDeque<(i64, EventBody)>,
    /// True while a batch is under way.
    sending: bool,
    /// No more will come.
    closed: bool,
    /// The server will never take them.
    refused: Option<Arc<ClientError>>,
}

impl Queue {
    fn is_done(&self) -> bool {
        self.refused.is_some() || (self.waiting.is_empty() && !self.sending)
    }
}

impl EventSender {
    /// Starts the thread.
    pub(crate) fn start(connection: Connection, attempt: u32) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::spawn(move || Courier { connection, attempt, shared: theirs, seq: 0 }.run());
        Self { shared }
    }

    /// Queues an event that happened at `at_ms`, milliseconds since the epoch. Waits only if very
    /// many are queued. After a refusal events are dropped: see [`Self::refusal`].
    pub fn send(&self, at_ms: i64, body: EventBody) {
        let mut queue = self.shared.lock();
        while queue.waiting.len() >= WAITING_LIMIT && queue.refused.is_none() {
            queue = self.shared.wait(queue);
        }
        if queue.refused.is_some() {
            return;
        }
        if body.is_progress() {
            let from = queue.waiting.len().saturating_sub(LOOK_BACK);
            let older = queue.waiting.range(from..).position(|(_, known)| same_work(known, &body));
            older.map(|index| queue.waiting.remove(from + index));
        }
        queue.waiting.push_back((at_ms, body));
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// Waits until everything is stored; true if it is. `None` waits for as long as it takes.
    pub fn flush(&self, limit: Option<Duration>) -> bool {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut queue = self.shared.lock();
        while !queue.is_done() {
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => queue = self.shared.wait(queue),
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    let waited = self.shared.changed.wait_timeout(queue, left);
                    queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        queue.refused.is_none()
    }

    /// Why the server will never take these events: the run was removed, or replaced by another.
    pub fn refusal(&self) -> Option<Arc<ClientError>> {
        self.shared.lock().refused.clone()
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if `newer` says all that `older` did.
fn same_work(older: &EventBody, newer: &EventBody) -> bool {
    use EventBody::{Fetch, StepProgress};
    match (older, newer) {
        (Fetch { what: a, .. }, Fetch { what: b, .. }) => a == b,
        (StepProgress { step: a, .. }, StepProgress { step: b, .. }) => a == b,
        _ => false,
    }
}

/// The thread behind an [`EventSender`].
struct Courier {
    connection: Connection,
    attempt: u32,
    shared: Arc<Shared>,
    /// Number of the last event that got one.
    seq: u64,
}

impl Courier {
    fn run(mut self) {
        while let Some(mut batch) = self.next_batch() {
            let delivered = self.deliver(&mut batch);
            let mut queue = self.shared.lock();
            queue.sending = false;
            if let Err(error) = delivered {
                queue.refused = Some(Arc::new(error));
                queue.waiting.clear();
            }
            let over = queue.refused.is_some();
            drop(queue);
            self.shared.changed.notify_all();
            if over {
                return;
            }
        }
    }

    /// Waits for events and numbers them. `None` when no more will come.
    fn next_batch(&mut self) -> Option<EventBatch> {
        let mut queue = self.shared.lock();
        while queue.waiting.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.shared.wait(queue);
        }
        queue.sending = true;
        if queue.waiting.len() < BATCH {
            drop(queue);
            thread::sleep(LINGER);
            queue = self.shared.lock();
        }
        let count = queue.waiting.len().min(BATCH);
        let events = queue.waiting.drain(..count).map(|(at_ms, body)| {
            self.seq += 1;
            Event { seq: self.seq, at_ms, body }
        });
        Some(EventBatch { attempt: self.attempt, events: events.collect() })
    }

    /// Sends a batch until all of it is stored.
    fn deliver(&self, batch: &mut EventBatch) -> Result<(), ClientError> {
        let mut backoff = Backoff::default();
        while !batch.events.is_empty() {
            let path = "/api/v1/agent/events";
            match self.connection.call::<EventAck>(Method::POST, path, &batch) {
                Ok(ack) => {
                    let before = batch.events.len();
                    batch.events.retain(|event| event.seq > ack.last_seq);
                    if batch.events.len() == before {
                        thread::sleep(backoff.step());
                    } else {
                        backoff.reset();
                    }
                }
                Err(error) if error.is_transient() => thread::sleep(backoff.step()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
