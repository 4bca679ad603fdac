//! The HTTP API below `/api/v1`.
//!
//! Who may do what:
//!
//! | endpoints | need |
//! |---|---|
//! | health, the API's description | nothing |
//! | reading machines, runs, events | the operators' token, or `open_page = true` |
//! | changing anything | the operators' token |
//! | `/agent/…` | the token of the run |

mod agent;
mod auth;
mod machines;
mod openapi;
mod runs;
mod stream;

pub(crate) use openapi::document_text;
pub(crate) use stream::SIGN_OF_LIFE;

pub(crate) use auth::{AgentRun, COOKIE, Reader, cookie_token};

use crate::app::App;
use crate::problem::Problem;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::routing::{get, post, put};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;

/// The routes.
pub(crate) fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/api/v1/health", get(runs::health))
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/api/v1/machines", get(machines::list).post(machines::add))
        .route(
            "/api/v1/machines/{name}",
            get(machines::show).put(machines::change).delete(machines::remove),
        )
        .route("/api/v1/machines/{name}/install", post(machines::install))
        .route("/api/v1/machines/{name}/cancel", post(machines::cancel))
        .route("/api/v1/machines/{name}/shell", post(machines::shell))
        .route("/api/v1/unknown-machines", get(machines::unknown))
        .route("/api/v1/monitored-machines", get(machines::monitored))
        .route("/api/v1/runs", get(runs::list))
        .route("/api/v1/runs/{id}", get(runs::show))
        .route("/api/v1/runs/{id}/progress", get(runs::progress))
        .route("/api/v1/runs/{id}/events", get(runs::events))
        .route("/api/v1/runs/{id}/resume", post(runs::resume))
        .route("/api/v1/events", get(stream::events))
        .route("/api/v1/agent/order", get(agent::order))
        .route("/api/v1/agent/facts", put(agent::facts))
        .route("/api/v1/agent/events", post(agent::events))
        .route("/api/v1/agent/recovery-keys", post(agent::recovery_key))
        .route("/api/v1/agent/certificate", post(agent::certificate))
        .route("/api/v1/agent/word", post(agent::word))
        .with_state(Arc::clone(app))
}

/// A JSON body; what is wrong with it is said as a [`Problem`].
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(bad_body(&rejection)),
        }
    }
}

fn bad_body(rejection: &JsonRejection) -> Problem {
    let cure = "/api/v1/openapi.json describes what is understood";
    Problem::new(rejection.status(), "bad-body", rejection.body_text(), cure)
}

/// Runs a change to its end even if whoever asked for it hangs up: a commit that nobody waits for
/// any more must still reach the fleet.
async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(change).await.map_err(|error| Problem::internal(&error))?
}
