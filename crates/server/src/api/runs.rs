//! Runs and their events.

use super::auth::{Operator, Reader};
use super::to_the_end;
use crate::app::App;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, Query, State};
use hostwright_model::api::{ApiError, Health, Run, StoredEvent};
use hostwright_model::ids::RunId;
use hostwright_model::progress::RunProgress;
use serde::Deserialize;
use std::sync::Arc;

/// Whether the server is up.
#[utoipa::path(get, path = "/api/v1/health", tag = "server",
    responses((status = 200, body = Health)))]
pub(super) async fn health(State(app): State<Arc<App>>) -> Json<Health> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(Health { version, open_runs: app.fleet.open_runs(), now_ms: app.now_ms() })
}

/// Which runs are wanted.
#[derive(Debug, Deserialize)]
pub(super) struct RunsQuery {
    machine: Option<String>,
}

/// Runs, latest first: of one machine, or of all.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs",
    params(("machine" = Option<String>, Query, description = "only runs of this machine")),
    responses((status = 200, body = Vec<Run>)))]
pub(super) async fn list(
    _: Reader,
    State(app): State<Arc<App>>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<Vec<Run>>, Problem> {
    Ok(Json(app.state.runs(query.machine.as_deref()).await?))
}

/// One run.
#[utoipa::path(get, path = "/api/v1/runs/{id}", tag = "runs", params(("id" = String, Path)),
    responses((status = 200, body = Run), (status = 404, body = ApiError)))]
pub(super) async fn show(
    _: Reader,
    State(app): State<Arc<App>>,
    Path(id): Path<RunId>,
) -> Result<Json<Run>, Problem> {
    let run = app.state.run(&id).await?;
    run.map(Json).ok_or_else(|| Problem::no_run(&id))
}

/// Where a run is.
#[utoipa::path(get, path = "/api/v1/runs/{id}/progress", tag = "runs",
    params(("id" = String, Path)),
    responses((status = 200, body = RunProgress), (status = 404, body = ApiError)))]
pub(super) async fn progress(
    _: Reader,
    State(app): State<Arc<App>>,
    Path(id): Path<RunId>,
) -> Result<Json<RunProgress>, Problem> {
    Ok(Json(app.progress(&id).await?))
}

/// From where on events are wanted.
#[derive(Debug, Deserialize)]
pub(super) struct SinceQuery {
    #[serde(default)]
    since: u64,
}

/// The next events of a run behind number `since` of the log, at most 1000.
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", tag = "runs",
    params(("id" = String, Path),
           ("since" = Option<u64>, Query, description = "the last event that is known")),
    responses((status = 200, body = Vec<StoredEvent>), (status = 404, body = ApiError)))]
pub(super) async fn events(
    _: Reader,
    State(app): State<Arc<App>>,
    Path(id): Path<RunId>,
    Query(query): Query<SinceQuery>,
) -> Result<Json<Vec<StoredEvent>>, Problem> {
    let events = app.state.events_of(&id, query.since).await?;
    if events.is_empty() && app.state.run(&id).await?.is_none() {
        return Err(Problem::no_run(&id));
    }
    Ok(Json(events))
}

/// Has the machine of a failed run take it up again where it stopped; the disks are left as they
/// are until then.
#[utoipa::path(post, path = "/api/v1/runs/{id}/resume", tag = "runs", params(("id" = String, Path)),
    responses((status = 200, body = Run), (status = 404, body = ApiError),
              (status = 409, body = ApiError)))]
pub(super) async fn resume(
    _: Operator,
    State(app): State<Arc<App>>,
    Path(id): Path<RunId>,
) -> Result<Json<Run>, Problem> {
    to_the_end(async move { app.resume(&id).await }).await.map(Json)
}
