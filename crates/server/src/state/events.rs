//! Events in the database: each stored once, committed before it is acknowledged.

use super::{State, StateError, Writer, from_json, to_json};
use hostwright_model::api::{EventBatch, Run, RunState, StoredEvent};
use hostwright_model::event::{Event, EventBody};
use hostwright_model::ids::RunId;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// Events in one answer.
pub(crate) const PAGE: i64 = 1000;

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Everything up to this sequence number is stored.
    pub(crate) last_seq: u64,
    /// The events that were new.
    pub(crate) new: Vec<StoredEvent>,
    /// How the run ended, if one of them ended it.
    pub(crate) ended: Option<RunState>,
}

impl State {
    /// The next events of a run behind number `since` of the log, at most [`PAGE`].
    pub(crate) async fn events_of(
        &self,
        run: &RunId,
        since: u64,
    ) -> Result<Vec<StoredEvent>, StateError> {
        let query = sqlx::query(
            "SELECT id, run, attempt, seq, at_ms, body FROM events \
             WHERE run = ? AND id > ? ORDER BY id LIMIT ?",
        );
        let rows = query.bind(run.as_str()).bind(since as i64).bind(PAGE);
        rows.fetch_all(&self.readers).await?.iter().map(stored).collect()
    }

    /// The next events of all runs behind number `since` of the log, at most [`PAGE`].
    pub(crate) async fn events(&self, since: u64) -> Result<Vec<StoredEvent>, StateError> {
        let query = sqlx::query(
            "SELECT id, run, attempt, seq, at_ms, body FROM events \
             WHERE id > ? ORDER BY id LIMIT ?",
        );
        let rows = query.bind(since as i64).bind(PAGE);
        rows.fetch_all(&self.readers).await?.iter().map(stored).collect()
    }

    /// The number of the log's latest event; 0 for an empty log.
    pub(crate) async fn last_event(&self) -> Result<u64, StateError> {
        let query = sqlx::query_scalar("SELECT COALESCE(MAX(id), 0) FROM events");
        let id: i64 = query.fetch_one(&self.readers).await?;
        Ok(id as u64)
    }
}

fn stored(row: &SqliteRow) -> Result<StoredEvent, StateError> {
    let number = |column| row.get::<i64, _>(column) as u64;
    Ok(StoredEvent {
        id: number("id"),
        run: RunId::new(row.get::<String, _>("run")),
        attempt: row.get("attempt"),
        event: Event {
            seq: number("seq"),
            at_ms: row.get("at_ms"),
            body: from_json("an event", row.get("body"))?,
        },
    })
}

impl Writer<'_> {
    /// Stores what is new in a batch and ends the run if it says so. What follows a gap is left for
    /// the sender to send again.
    pub(crate) async fn record(
        &mut self,
        run: &Run,
        batch: EventBatch,
        now_ms: i64,
    ) -> Result<Recorded, StateError> {
        let mut transaction = self.begin().await?;
        let query = sqlx::query_scalar(
            "SELECT COALESCE(MAX(seq), 0) FROM events WHERE run = ? AND attempt = ?",
        );
        let query = query.bind(run.id.as_str()).bind(batch.attempt);
        let stored: i64 = query.fetch_one(&mut *transaction).await?;
        let mut last_seq = stored as u64;
        let (mut new, mut ended) = (Vec::new(), None);
        for event in batch.events {
            if event.seq != last_seq + 1 {
                continue;
            }
            let insert = sqlx::query(
                "INSERT INTO events (run, attempt, seq, at_ms, body) VALUES (?, ?, ?, ?, ?)",
            );
            let row = insert
                .bind(run.id.as_str())
                .bind(batch.attempt)
                .bind(event.seq as i64)
                .bind(event.at_ms)
                .bind(to_json(&event.body))
                .execute(&mut *transaction)
                .await?;
            last_seq = event.seq;
            if let EventBody::RunFinished { ok, .. } = event.body {
                ended = Some(if ok { RunState::Installed } else { RunState::Failed });
            }
            let (id, run, attempt) =
                (row.last_insert_rowid() as u64, run.id.clone(), batch.attempt);
            new.push(StoredEvent { id, run, attempt, event });
        }
        // The last word of an attempt that was overtaken by a later one does not count.
        let ended = ended.filter(|_| batch.attempt == run.attempts && run.state.is_open());
        if let Some(state) = ended {
            super::runs::end(&mut transaction, &run.id, state, now_ms).await?;
        }
        transaction.commit().await?;
        Ok(Recorded { last_seq, new, ended })
    }
}
