//! Pieces of the page as they change.
//!
//! ```text
//! event: now   data: milliseconds since the epoch, by the server's clock
//! event: put   data: {"id": "machine-web01", "html": "<article …"}
//! ```

use super::view::MachineView;
use super::{Shown, member_of, render, value};
use crate::api::{Reader, SIGN_OF_LIFE};
use crate::app::App;
use crate::fleet::Member;
use axum::extract::{Query, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, Stream, StreamExt as _};
use hostwright_model::ids::{MachineName, RunId};
use minijinja::context;
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often a piece is sent at most: bars in motion look smooth, and phones keep up.
const PERIOD: Duration = Duration::from_millis(250);

/// What is being looked at.
#[derive(Debug, Deserialize)]
pub(super) struct LiveQuery {
    /// One run; all machines without it.
    run: Option<RunId>,
}

/// Pieces of the page, for as long as somebody looks.
pub(super) async fn events(
    _: Reader,
    State(app): State<Arc<App>>,
    Query(query): Query<LiveQuery>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stop = app.stop.clone().cancelled_owned();
    let news = app.fleet.watch();
    let viewer = Viewer { app, run: query.run, news, seen: 0, names: Vec::new() };
    let pieces = stream::unfold(viewer, |mut viewer| async move {
        let pieces = viewer.next().await?;
        Some((stream::iter(pieces.into_iter().map(Ok)), viewer))
    });
    let events = pieces.flatten().take_until(stop);
    Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE))
}

/// Somebody who looks, and what they have been shown.
struct Viewer {
    app: Arc<App>,
    run: Option<RunId>,
    news: watch::Receiver<u64>,
    /// The fleet's revision that they have seen; 0 before the first piece.
    seen: u64,
    names: Vec<MachineName>,
}

impl Viewer {
    /// The next pieces, once there are any. `None` when the server ends.
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.seen > 0 {
            tokio::time::sleep(PERIOD).await;
            self.news.wait_for(|revision| *revision > self.seen).await.ok()?;
        }
        let revision = *self.news.borrow_and_update();
        let mut pieces = vec![Event::default().event("now").data(self.app.now_ms().to_string())];
        match self.run.clone() {
            Some(run) => pieces.extend(self.run_piece(&run).await),
            None => pieces.extend(self.fleet_pieces()),
        }
        self.seen = revision;
        Some(pieces)
    }

    /// The card of one run.
    async fn run_piece(&self, run: &RunId) -> Option<Event> {
        // A run that is gone stays on the page as it was.
        let member = member_of(&self.app, run).await.ok()?;
        if self.seen > 0 && member.revision <= self.seen {
            return None;
        }
        Some(put("machines", &card(&member, self.app.now_ms())))
    }

    /// Cards that changed, or all of them if there are others than before; and what is around.
    fn fleet_pieces(&mut self) -> Vec<Event> {
        let shown = Shown::now(&self.app);
        let values = shown.values();
        let mut pieces = vec![
            put("summary", &render("summary.html", values.clone())),
            put("unknown", &render("unknown.html", values.clone())),
            put("monitored", &render("monitored.html", values)),
        ];
        let members = self.app.fleet.members();
        let names = members.iter().map(|member| member.machine.spec.name.clone()).collect();
        let others = std::mem::replace(&mut self.names, names) != self.names;
        let now_ms = self.app.now_ms();
        if others {
            pieces.push(put(
                "machines",
                &members.iter().map(|member| card(member, now_ms)).collect::<String>(),
            ));
            return pieces;
        }
        for member in members.iter().filter(|member| member.revision > self.seen) {
            pieces
                .push(put(&format!("machine-{}", member.machine.spec.name), &card(member, now_ms)));
        }
        pieces
    }
}

fn card(member: &Member, now_ms: i64) -> String {
    let machine = value(MachineView::new(member, now_ms));
    render("machine.html", context! { machine })
}

fn put(id: &str, html: &str) -> Event {
    Event::default().event("put").data(json!({ "id": id, "html": html }).to_string())
}
