//! What survives a restart: one SQLite file, written through one connection.
//!
//! Readers have connections of their own and see the last commit (write-ahead log). A commit is on
//! the disk before it returns (`synchronous = FULL`): an acknowledged event outlives the process
//! and the machine.

mod events;
mod machines;
mod netboot;
mod runs;

pub(crate) use runs::{NewRun, RunOrders};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection as _, Sqlite, Transaction};
use std::path::Path;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Mutex, MutexGuard};

/// Connections for reading. SQLite reads are short; more would only take memory.
const READERS: u32 = 4;

/// Why the state could not be read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// SQLite says no.
    #[error("the state database failed")]
    Database(#[from] sqlx::Error),
    /// The tables cannot be brought to this version.
    #[error("the state database cannot be brought to this version")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row does not hold what this program writes.
    #[error("the state database holds {what} that is not understood")]
    Content {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Another server uses the same state.
    #[error("{} is in use by another server; give each its own state_dir", path.display())]
    InUse {
        /// The lock file.
        path: std::path::PathBuf,
    },
    /// A file of the state directory cannot be used.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: std::path::PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

/// The database.
#[derive(Debug)]
pub(crate) struct State {
    writer: Mutex<SqliteConnection>,
    readers: SqlitePool,
}

/// The right to write. Whoever holds it changes the database and then what is in memory, so that
/// both change in the same order.
pub(crate) struct Writer<'a>(MutexGuard<'a, SqliteConnection>);

impl State {
    /// Opens `file`, and makes it if it is not there.
    pub(crate) async fn open(file: &Path) -> Result<Self, StateError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let mut writer = SqliteConnection::connect_with(&options).await?;
        sqlx::migrate!().run(&mut writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_lazy_with(options.read_only(true).create_if_missing(false));
        Ok(Self { writer: Mutex::new(writer), readers })
    }

    /// Waits for the right to write.
    pub(crate) async fn writer(&self) -> Writer<'_> {
        Writer(self.writer.lock().await)
    }

    /// Ends all connections; what is in the write-ahead log moves into the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        let mut writer = self.writer.lock().await;
        if let Err(error) =
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *writer).await
        {
            tracing::warn!(%error, "the write-ahead log stays; the next start reads it");
        }
    }
}

impl Writer<'_> {
    async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, StateError> {
        Ok(self.0.begin_with("BEGIN IMMEDIATE").await?)
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("invariant: the nouns have string keys")
}

fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StateError> {
    serde_json::from_str(text).map_err(|source| StateError::Content { what, source })
}

/// A unit-only enum as the bare word its JSON is.
fn to_word(value: &impl Serialize) -> String {
    to_json(value).trim_matches('"').to_owned()
}

fn from_word<T: DeserializeOwned>(what: &'static str, word: &str) -> Result<T, StateError> {
    from_json(what, &format!("\"{word}\""))
}
