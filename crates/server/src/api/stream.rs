//! The event log as server-sent events: what is stored, then what comes.

use super::auth::Reader;
use crate::app::App;
use crate::problem::Problem;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, Stream, StreamExt as _};
use hostwright_model::api::StoredEvent;
use hostwright_model::ids::RunId;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How often a silent stream shows that it lives.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// What to follow, and from where on.
#[derive(Debug, Deserialize)]
pub(super) struct FollowQuery {
    since: Option<u64>,
    run: Option<RunId>,
}

/// Follows the log behind number `since`, or behind `Last-Event-ID` where a broken stream is taken
/// up again; from its end on if there is neither.
#[utoipa::path(get, path = "/api/v1/events", tag = "runs",
    params(("since" = Option<u64>, Query, description = "the last event that is known"),
           ("run" = Option<String>, Query, description = "only events of this run"),
           ("Last-Event-ID" = Option<u64>, Header, description = "wins over `since`")),
    responses((status = 200, content_type = "text/event-stream", body = StoredEvent,
               description = "`id:` is the event's number, `data:` the event")))]
pub(super) async fn events(
    _: Reader,
    State(app): State<Arc<App>>,
    Query(query): Query<FollowQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let since = resumed.or(query.since).unwrap_or_else(|| *app.last_event.borrow());
    let stop = app.stop.clone().cancelled_owned();
    let events = follow(app, since, query.run).take_until(stop).map(|stored| {
        let json = serde_json::to_string(&stored).expect("invariant: events have string keys");
        Ok(Event::default().id(stored.id.to_string()).data(json))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)))
}

/// Events behind `since`, for ever. The log itself is read, so a slow reader loses nothing and
/// holds nothing in memory.
fn follow(app: Arc<App>, since: u64, run: Option<RunId>) -> impl Stream<Item = StoredEvent> {
    let news = app.last_event.subscribe();
    let start = (app, since, run, news);
    stream::unfold(start, |(app, since, run, mut news)| async move {
        loop {
            // Marked as seen before reading, so that what comes meanwhile wakes us again.
            news.borrow_and_update();
            let page = match &run {
                Some(run) => app.state.events_of(run, since).await,
                None => app.state.events(since).await,
            };
            match page {
                Ok(events) if events.is_empty() => news.changed().await.ok()?,
                Ok(events) => {
                    let since = events.last().map_or(since, |event| event.id);
                    return Some((stream::iter(events), (app, since, run, news)));
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read the event log");
                    return None;
                }
            }
        }
    })
    .flatten()
}
