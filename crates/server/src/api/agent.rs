//! What agents ask and tell.

use super::auth::{AgentRun, ReportingRun};
use super::{Json, to_the_end};
use crate::app::App;
use crate::problem::Problem;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use hostwright_model::api::{
    AgentWord, ApiError, Certificate, CertificateRequest, EventAck, EventBatch, Order, RecoveryKey,
    ServerWord,
};
use hostwright_model::facts::Facts;
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;

/// Which start of the agent asks.
#[derive(Debug, Deserialize)]
pub(super) struct StartQuery {
    start: String,
}

/// What the machine shall do. A `start` that is new counts as a new attempt.
#[utoipa::path(get, path = "/api/v1/agent/order", tag = "agent",
    params(("start" = String, Query, description = "a word no other start of the agent has")),
    responses((status = 200, body = Order), (status = 401, body = ApiError),
              (status = 410, body = ApiError)))]
pub(super) async fn order(
    AgentRun(run): AgentRun,
    State(app): State<Arc<App>>,
    Query(query): Query<StartQuery>,
) -> Result<axum::Json<Order>, Problem> {
    if query.start.is_empty() || query.start.len() > 100 {
        let cure = "send 1 to 100 characters that no other start of the agent has sent";
        return Err(Problem::bad("bad-start", "'start' is empty or too long", cure));
    }
    to_the_end(async move { app.order(run, &query.start).await }).await.map(axum::Json)
}

/// What the machine looks like.
#[utoipa::path(put, path = "/api/v1/agent/facts", tag = "agent", request_body = Facts,
    responses((status = 204), (status = 401, body = ApiError), (status = 410, body = ApiError)))]
pub(super) async fn facts(
    ReportingRun(run): ReportingRun,
    State(app): State<Arc<App>>,
    Json(facts): Json<Facts>,
) -> Result<StatusCode, Problem> {
    to_the_end(async move { app.facts(&run, facts).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A key to keep that opens an encrypted device of the machine when nothing else does. No answer of
/// the API ever holds it.
#[utoipa::path(post, path = "/api/v1/agent/recovery-keys", tag = "agent",
    request_body = RecoveryKey,
    responses((status = 204), (status = 400, body = ApiError), (status = 401, body = ApiError),
              (status = 410, body = ApiError)))]
pub(super) async fn recovery_key(
    ReportingRun(run): ReportingRun,
    State(app): State<Arc<App>>,
    Json(key): Json<RecoveryKey>,
) -> Result<StatusCode, Problem> {
    to_the_end(async move { app.keep_recovery_key(&run, key).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What happened. Sending a batch again does no harm; what follows a gap is not stored.
#[utoipa::path(post, path = "/api/v1/agent/events", tag = "agent", request_body = EventBatch,
    responses((status = 200, body = EventAck), (status = 401, body = ApiError),
              (status = 409, body = ApiError), (status = 410, body = ApiError)))]
pub(super) async fn events(
    ReportingRun(run): ReportingRun,
    State(app): State<Arc<App>>,
    Json(batch): Json<EventBatch>,
) -> Result<axum::Json<EventAck>, Problem> {
    to_the_end(async move { app.record(run, batch).await }).await.map(axum::Json)
}

/// A certificate for the machine of the run, by which operators know it.
#[utoipa::path(post, path = "/api/v1/agent/certificate", tag = "agent",
    request_body = CertificateRequest,
    responses((status = 200, body = Certificate), (status = 400, body = ApiError),
              (status = 401, body = ApiError), (status = 410, body = ApiError)))]
pub(super) async fn certificate(
    AgentRun(run): AgentRun,
    State(app): State<Arc<App>>,
    Json(request): Json<CertificateRequest>,
) -> Result<axum::Json<Certificate>, Problem> {
    app.machine_certificate(run, &request.csr).map(axum::Json)
}

/// Where the machine of the run is, and whether it shall take the run up again.
#[utoipa::path(post, path = "/api/v1/agent/word", tag = "agent", request_body = AgentWord,
    responses((status = 200, body = ServerWord), (status = 401, body = ApiError),
              (status = 410, body = ApiError)))]
pub(super) async fn word(
    ReportingRun(run): ReportingRun,
    State(app): State<Arc<App>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Json(word): Json<AgentWord>,
) -> axum::Json<ServerWord> {
    axum::Json(app.word(&run, from, word))
}
