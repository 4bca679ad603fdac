//! The API as the agent on a machine uses it: its order, its facts, its events, its files.

use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::{ClientError, EventSender, OnBytes, OnWait, download};
use hostwright_model::api::{
    AgentWord, Blob, Certificate, CertificateRequest, Health, Order, RecoveryKey, ServerWord,
};
use hostwright_model::facts::Facts;
use std::path::Path;
use std::thread;
use ureq::http::Method;

/// One start of the agent on a machine with an open run.
///
/// Every method tries again for as long as trying can help: a machine in the middle of its install
/// has nothing better to do than to wait for its server.
#[derive(Debug)]
pub struct AgentClient {
    connection: Connection,
    start: String,
}

impl AgentClient {
    /// `server` is `http://ADDRESS:PORT`, `token` the run's token. `start` is a word that no other
    /// start of the agent has: the kernel's `/proc/sys/kernel/random/uuid`.
    pub fn new(server: &str, token: &str, start: &str) -> Self {
        let connection = Connection::new(server, Some(token));
        Self { connection, start: start.to_owned() }
    }

    /// What to do. Asking again gives the same answer and counts as the same attempt.
    pub fn order(&self, on_wait: OnWait<'_>) -> Result<Order, ClientError> {
        let path = format!("/api/v1/agent/order?start={}", self.start);
        retry(on_wait, || self.connection.get(&path))
    }

    /// Tells the server what the machine looks like.
    pub fn facts(&self, facts: &Facts, on_wait: OnWait<'_>) -> Result<(), ClientError> {
        let path = "/api/v1/agent/facts";
        retry(on_wait, || self.connection.tell(Method::PUT, path, facts))
    }

    /// Gives the server a recovery key to keep. When this returns, it is on the server's disk.
    pub fn keep_recovery_key(
        &self,
        key: &RecoveryKey,
        on_wait: OnWait<'_>,
    ) -> Result<(), ClientError> {
        let path = "/api/v1/agent/recovery-keys";
        retry(on_wait, || self.connection.tell(Method::POST, path, key))
    }

    /// A certificate for the key of `request`, by which operators know this machine.
    pub fn certificate(&self, request: &CertificateRequest) -> Result<Certificate, ClientError> {
        self.connection.call(Method::POST, "/api/v1/agent/certificate", request)
    }

    /// Tells the server where this machine is; asked once, without trying again. What to do.
    pub fn word(&self, word: AgentWord) -> Result<ServerWord, ClientError> {
        self.connection.call(Method::POST, "/api/v1/agent/word", &word)
    }

    /// The server's clock, milliseconds since the epoch.
    pub fn server_time_ms(&self) -> Result<i64, ClientError> {
        let health: Health = self.connection.get("/api/v1/health")?;
        Ok(health.now_ms)
    }

    /// Starts the thread that delivers events of the attempt that [`Self::order`] named.
    pub fn events(&self, attempt: u32) -> EventSender {
        EventSender::start(self.connection.clone(), attempt)
    }

    /// Fetches a file to `to`, goes on where an earlier fetch stopped, and verifies all of it.
    pub fn download(
        &self,
        blob: &Blob,
        to: &Path,
        on_bytes: OnBytes<'_>,
        on_wait: OnWait<'_>,
    ) -> Result<(), ClientError> {
        download::download(&self.connection, blob, to, on_bytes, on_wait)
    }
}

fn retry<T>(
    on_wait: OnWait<'_>,
    mut attempt: impl FnMut() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let mut backoff = Backoff::default();
    loop {
        match attempt() {
            Err(error) if error.is_transient() => {
                let pause = backoff.step();
                on_wait(&error, pause);
                thread::sleep(pause);
            }
            done => return done,
        }
    }
}
