//! Follows the server's event log: server-sent events, taken up again where they broke off.

use crate::ClientError;
use crate::backoff::Backoff;
use crate::connection::Connection;
use hostwright_model::api::StoredEvent;
use hostwright_model::ids::RunId;
use std::io::{BufRead as _, BufReader};
use std::thread;
use ureq::BodyReader;

/// Events as they are stored. Never ends by itself.
///
/// An `Err` is one failed attempt to stay connected; asking for the next item waits a little and
/// connects again, without losing or repeating an event.
pub struct EventStream {
    connection: Connection,
    run: Option<RunId>,
    since: u64,
    body: Option<BufReader<BodyReader<'static>>>,
    backoff: Backoff,
    failed: bool,
}

impl EventStream {
    pub(crate) fn new(connection: Connection, since: u64, run: Option<RunId>) -> Self {
        Self { connection, run, since, body: None, backoff: Backoff::default(), failed: false }
    }

    fn path(&self) -> String {
        let run = self.run.as_ref().map_or(String::new(), |run| format!("&run={run}"));
        format!("/api/v1/events?since={}{run}", self.since)
    }

    fn read(&mut self) -> Result<StoredEvent, ClientError> {
        let path = self.path();
        let body = match &mut self.body {
            Some(body) => body,
            body => {
                let accept = [("accept", "text/event-stream".to_owned())];
                let response = self.connection.open(&path, &accept)?;
                body.insert(BufReader::new(response.into_body().into_reader()))
            }
        };
        let url = self.connection.url(&path);
        let broken_off = |source| ClientError::BrokenOff { url: url.clone(), source };
        let mut line = String::new();
        // Sign-of-life comments and `id:` lines are skipped: the event carries its id itself.
        loop {
            line.clear();
            if body.read_line(&mut line).map_err(broken_off)? == 0 {
                return Err(broken_off(std::io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(json) = line.strip_prefix("data:") {
                return serde_json::from_str(json.trim())
                    .map_err(|e| ClientError::Garbled { url, reason: e.to_string() });
            }
        }
    }
}

impl Iterator for EventStream {
    type Item = Result<StoredEvent, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            thread::sleep(self.backoff.step());
        }
        let item = self.read();
        self.failed = item.is_err();
        match &item {
            Ok(event) => {
                self.since = event.id;
                self.backoff.reset();
            }
            Err(_) => self.body = None,
        }
        Some(item)
    }
}
