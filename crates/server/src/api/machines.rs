//! Machines: describe, list, arm, take back.

use super::auth::{Operator, Reader};
use super::{Json, to_the_end};
use crate::app::App;
use crate::problem::Problem;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use hostwright_model::api::{
    ApiError, CertificateRequest, Machine, MachineSpec, Run, ShellPass, UnknownMachine,
};
use hostwright_model::ids::MachineName;
use hostwright_model::monitored::MonitoredMachine;
use serde::Deserialize;
use std::sync::Arc;

/// All machines by name.
#[utoipa::path(get, path = "/api/v1/machines", tag = "machines",
    responses((status = 200, body = Vec<Machine>)))]
pub(super) async fn list(_: Reader, State(app): State<Arc<App>>) -> axum::Json<Vec<Machine>> {
    axum::Json(app.fleet.members().into_iter().map(|member| member.machine).collect())
}

/// Describes a new machine; it boots from its disk until it is armed.
#[utoipa::path(post, path = "/api/v1/machines", tag = "machines", request_body = MachineSpec,
    responses((status = 201, body = Machine), (status = 400, body = ApiError),
              (status = 409, body = ApiError)))]
pub(super) async fn add(
    _: Operator,
    State(app): State<Arc<App>>,
    Json(spec): Json<MachineSpec>,
) -> Result<(StatusCode, axum::Json<Machine>), Problem> {
    let machine = to_the_end(async move { app.add_machine(spec).await }).await?;
    Ok((StatusCode::CREATED, axum::Json(machine)))
}

/// One machine.
#[utoipa::path(get, path = "/api/v1/machines/{name}", tag = "machines",
    params(("name" = String, Path)),
    responses((status = 200, body = Machine), (status = 404, body = ApiError)))]
pub(super) async fn show(
    _: Reader,
    State(app): State<Arc<App>>,
    Path(name): Path<MachineName>,
) -> Result<axum::Json<Machine>, Problem> {
    Ok(axum::Json(app.member(&name)?.machine))
}

/// Describes a known machine anew; its next run follows the new description.
#[utoipa::path(put, path = "/api/v1/machines/{name}", tag = "machines",
    params(("name" = String, Path)), request_body = MachineSpec,
    responses((status = 200, body = Machine), (status = 400, body = ApiError),
              (status = 404, body = ApiError), (status = 409, body = ApiError)))]
pub(super) async fn change(
    _: Operator,
    State(app): State<Arc<App>>,
    Path(name): Path<MachineName>,
    Json(spec): Json<MachineSpec>,
) -> Result<axum::Json<Machine>, Problem> {
    to_the_end(async move { app.change_machine(&name, spec).await }).await.map(axum::Json)
}

/// Forgets a machine, its runs and their events.
#[utoipa::path(delete, path = "/api/v1/machines/{name}", tag = "machines",
    params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = ApiError), (status = 409, body = ApiError)))]
pub(super) async fn remove(
    _: Operator,
    State(app): State<Arc<App>>,
    Path(name): Path<MachineName>,
) -> Result<StatusCode, Problem> {
    to_the_end(async move { app.remove_machine(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Arms a machine: it is installed when it boots from the network the next time.
#[utoipa::path(post, path = "/api/v1/machines/{name}/install", tag = "machines",
    params(("name" = String, Path)),
    responses((status = 201, body = Run), (status = 404, body = ApiError),
              (status = 409, body = ApiError)))]
pub(super) async fn install(
    _: Operator,
    State(app): State<Arc<App>>,
    Path(name): Path<MachineName>,
) -> Result<(StatusCode, axum::Json<Run>), Problem> {
    let run = to_the_end(async move { app.install(&name).await }).await?;
    Ok((StatusCode::CREATED, axum::Json(run)))
}

/// How a run is taken back.
#[derive(Debug, Deserialize)]
pub(super) struct CancelQuery {
    /// True to take back a run that has begun.
    #[serde(default)]
    force: bool,
}

/// Takes a machine's open run back.
#[utoipa::path(post, path = "/api/v1/machines/{name}/cancel", tag = "machines",
    params(("name" = String, Path),
           ("force" = Option<bool>, Query, description = "also a run that has begun")),
    responses((status = 200, body = Run), (status = 404, body = ApiError),
              (status = 409, body = ApiError)))]
pub(super) async fn cancel(
    _: Operator,
    State(app): State<Arc<App>>,
    Path(name): Path<MachineName>,
    Query(query): Query<CancelQuery>,
) -> Result<axum::Json<Run>, Problem> {
    to_the_end(async move { app.cancel(&name, query.force).await }).await.map(axum::Json)
}

/// A certificate for a shell on the machine, and where it is. The machine takes it while it is
/// being installed, and after a failure.
#[utoipa::path(post, path = "/api/v1/machines/{name}/shell", tag = "machines",
    params(("name" = String, Path)), request_body = CertificateRequest,
    responses((status = 200, body = ShellPass), (status = 400, body = ApiError),
              (status = 404, body = ApiError), (status = 409, body = ApiError)))]
pub(super) async fn shell(
    _: Operator,
    State(app): State<Arc<App>>,
    Path(name): Path<MachineName>,
    Json(request): Json<CertificateRequest>,
) -> Result<axum::Json<ShellPass>, Problem> {
    app.shell_pass(&name, &request.csr).map(axum::Json)
}

/// Machines that asked for an address or a boot file and are not known, latest first.
#[utoipa::path(get, path = "/api/v1/unknown-machines", tag = "machines",
    responses((status = 200, body = Vec<UnknownMachine>)))]
pub(super) async fn unknown(
    _: Reader,
    State(app): State<Arc<App>>,
) -> axum::Json<Vec<UnknownMachine>> {
    axum::Json(app.fleet.unknown())
}

/// Machines that told FAI's monitor of their tasks, by name.
#[utoipa::path(get, path = "/api/v1/monitored-machines", tag = "machines",
    responses((status = 200, body = Vec<MonitoredMachine>)))]
pub(super) async fn monitored(
    _: Reader,
    State(app): State<Arc<App>>,
) -> axum::Json<Vec<MonitoredMachine>> {
    axum::Json(app.monitor.machines())
}
