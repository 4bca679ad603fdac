//! Runs in the database.

use super::{State, StateError, Writer, from_json, from_word, to_json, to_word};
use hostwright_model::api::{Blob, NextBoot, Run, RunState};
use hostwright_model::ids::{MachineName, RunId};
use hostwright_model::image::ImageRef;
use hostwright_model::manners::Manners;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{FromRow, Row, SqliteExecutor};
use std::collections::BTreeMap;

/// What was fixed when a run was armed: what its machine will be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunOrders {
    /// The archive of the space.
    pub(crate) space: Blob,
    /// The image.
    pub(crate) image: Option<ImageRef>,
    /// Classes beside those of the space.
    pub(crate) classes: Vec<String>,
    /// Variables beside those of the space.
    pub(crate) vars: BTreeMap<String, String>,
    /// How the installer behaves.
    #[serde(default)]
    pub(crate) manners: Manners,
}

/// A run about to be armed.
#[derive(Debug)]
pub(crate) struct NewRun<'a> {
    /// The machine.
    pub(crate) machine: &'a MachineName,
    /// What it will be told.
    pub(crate) orders: &'a RunOrders,
    /// When it was asked for.
    pub(crate) now_ms: i64,
}

/// All columns of a [`Run`]; sqlx takes only texts that exist at compile time.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, machine, state, armed_at_ms, booted_at_ms, started_at_ms, ended_at_ms, ",
            "attempts, resume_asked_at_ms, (SELECT COALESCE(MAX(seq), 0) FROM events WHERE run = runs.id AND ",
            "attempt = runs.attempts) AS last_seq FROM runs ",
            $rest
        )
    };
}

struct RunRow(Result<Run, StateError>);

impl FromRow<'_, SqliteRow> for RunRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let state = from_word("a run's state", row.try_get("state")?);
        Ok(Self(state.map(|state| Run {
            id: RunId::new(row.get::<String, _>("id")),
            machine: MachineName::new(row.get::<String, _>("machine")),
            state,
            armed_at_ms: row.get("armed_at_ms"),
            booted_at_ms: row.get("booted_at_ms"),
            started_at_ms: row.get("started_at_ms"),
            ended_at_ms: row.get("ended_at_ms"),
            attempts: row.get("attempts"),
            last_seq: row.get::<i64, _>("last_seq") as u64,
            resume_asked_at_ms: row.get("resume_asked_at_ms"),
        })))
    }
}

async fn one(
    query: sqlx::query::QueryAs<'_, sqlx::Sqlite, RunRow, sqlx::sqlite::SqliteArguments>,
    executor: impl SqliteExecutor<'_>,
) -> Result<Option<Run>, StateError> {
    query.fetch_optional(executor).await?.map(|row| row.0).transpose()
}

impl State {
    /// The latest run of a machine.
    pub(crate) async fn latest_run(
        &self,
        machine: &MachineName,
    ) -> Result<Option<Run>, StateError> {
        let query = sqlx::query_as(select!("WHERE machine = ? ORDER BY number DESC LIMIT 1"));
        one(query.bind(machine.as_str()), &self.readers).await
    }

    /// A run.
    pub(crate) async fn run(&self, id: &RunId) -> Result<Option<Run>, StateError> {
        let query = sqlx::query_as(select!("WHERE id = ?"));
        one(query.bind(id.as_str()), &self.readers).await
    }

    /// The run that a token belongs to.
    pub(crate) async fn run_of_token(&self, hash: &[u8; 32]) -> Result<Option<Run>, StateError> {
        let query = sqlx::query_as(select!("WHERE token_hash = ?"));
        one(query.bind(hash.to_vec()), &self.readers).await
    }

    /// Runs, latest first: of one machine, or of all.
    pub(crate) async fn runs(&self, machine: Option<&str>) -> Result<Vec<Run>, StateError> {
        let query: sqlx::query::QueryAs<'_, _, RunRow, _> = match machine {
            Some(name) => {
                sqlx::query_as(select!("WHERE machine = ? ORDER BY number DESC")).bind(name)
            }
            None => sqlx::query_as(select!("ORDER BY number DESC")),
        };
        query.fetch_all(&self.readers).await?.into_iter().map(|row| row.0).collect()
    }

    /// What the machine of a run is told.
    pub(crate) async fn orders(&self, run: &RunId) -> Result<RunOrders, StateError> {
        let query = sqlx::query("SELECT orders FROM runs WHERE id = ?").bind(run.as_str());
        from_json("a run's orders", query.fetch_one(&self.readers).await?.get("orders"))
    }

    /// What the machines of all open runs are told.
    pub(crate) async fn open_orders(&self) -> Result<Vec<RunOrders>, StateError> {
        let query =
            sqlx::query("SELECT orders FROM runs WHERE state IN ('armed', 'booting', 'running')");
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(|row| from_json("a run's orders", row.get("orders"))).collect()
    }
}

impl Writer<'_> {
    /// Arms a machine. `token_hash` tells the hash of the token of the run that gets this id.
    pub(crate) async fn add_run(
        &mut self,
        new: NewRun<'_>,
        token_hash: impl FnOnce(&RunId) -> [u8; 32],
    ) -> Result<Run, StateError> {
        let mut transaction = self.begin().await?;
        let next = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'runs'), 0) + 1";
        let number: i64 = sqlx::query_scalar(next).fetch_one(&mut *transaction).await?;
        let id = RunId::new(format!("{}-{number}", new.machine));
        sqlx::query(
            "INSERT INTO runs (number, id, machine, state, token_hash, orders, armed_at_ms) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(number)
        .bind(id.as_str())
        .bind(new.machine.as_str())
        .bind(to_word(&RunState::Armed))
        .bind(token_hash(&id).to_vec())
        .bind(to_json(new.orders))
        .bind(new.now_ms)
        .execute(&mut *transaction)
        .await?;
        set_next_boot(&mut transaction, new.machine, NextBoot::Install).await?;
        transaction.commit().await?;
        Ok(Run {
            id,
            machine: new.machine.clone(),
            state: RunState::Armed,
            armed_at_ms: new.now_ms,
            booted_at_ms: None,
            started_at_ms: None,
            ended_at_ms: None,
            attempts: 0,
            last_seq: 0,
            resume_asked_at_ms: None,
        })
    }

    /// The machine of an open run has loaded its boot script; `run` is what it was then. If its
    /// agent has asked meanwhile, it runs already.
    pub(crate) async fn run_boots(&mut self, run: &Run) -> Result<(), StateError> {
        sqlx::query(
            "UPDATE runs SET booted_at_ms = ?1, \
             state = CASE WHEN attempts = ?2 THEN 'booting' ELSE state END \
             WHERE id = ?3 AND state IN ('armed', 'booting', 'running')",
        )
        .bind(run.booted_at_ms)
        .bind(run.attempts)
        .bind(run.id.as_str())
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// The agent of a run that is open, or that failed and is its machine's latest, asks for its
    /// order. A start that was not seen before is a new attempt; one behind a failure takes the run
    /// up again. `None` if neither is so.
    pub(crate) async fn run_starts(
        &mut self,
        run: &RunId,
        start: &str,
        now_ms: i64,
    ) -> Result<Option<Run>, StateError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "UPDATE runs SET state = 'running', \
             attempts = attempts + (agent_start IS NOT ?1), agent_start = ?1, \
             started_at_ms = COALESCE(started_at_ms, ?2), ended_at_ms = NULL, \
             resume_asked_at_ms = NULL \
             WHERE id = ?3 AND (state IN ('armed', 'booting', 'running') OR (state = 'failed' AND \
             number = (SELECT MAX(number) FROM runs AS other WHERE other.machine = runs.machine)))",
        )
        .bind(start)
        .bind(now_ms)
        .bind(run.as_str())
        .execute(&mut *transaction)
        .await?;
        let run = one(
            sqlx::query_as(select!("WHERE id = ? AND state = 'running'")).bind(run.as_str()),
            &mut *transaction,
        );
        let run: Option<Run> = run.await?;
        if let Some(run) = &run {
            set_next_boot(&mut transaction, &run.machine, NextBoot::Install).await?;
        }
        transaction.commit().await?;
        Ok(run)
    }
}

impl Writer<'_> {
    /// Somebody asks for a failed run to be taken up again.
    pub(crate) async fn ask_to_resume(
        &mut self,
        run: &RunId,
        now_ms: i64,
    ) -> Result<(), StateError> {
        sqlx::query("UPDATE runs SET resume_asked_at_ms = ? WHERE id = ? AND state = 'failed'")
            .bind(now_ms)
            .bind(run.as_str())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

/// Ends a run, and lets its machine boot from its disk.
pub(super) async fn end(
    connection: &mut SqliteConnection,
    run: &RunId,
    state: RunState,
    now_ms: i64,
) -> Result<(), StateError> {
    sqlx::query("UPDATE runs SET state = ?, ended_at_ms = ? WHERE id = ?")
        .bind(to_word(&state))
        .bind(now_ms)
        .bind(run.as_str())
        .execute(&mut *connection)
        .await?;
    let query = sqlx::query_scalar("SELECT machine FROM runs WHERE id = ?").bind(run.as_str());
    let machine: String = query.fetch_one(&mut *connection).await?;
    set_next_boot(connection, &MachineName::new(machine), NextBoot::Disk).await
}

async fn set_next_boot(
    connection: &mut SqliteConnection,
    machine: &MachineName,
    next_boot: NextBoot,
) -> Result<(), StateError> {
    sqlx::query("UPDATE machines SET next_boot = ? WHERE name = ?")
        .bind(to_word(&next_boot))
        .bind(machine.as_str())
        .execute(connection)
        .await?;
    Ok(())
}
