//! The API's description, generated from the handlers.

use super::{agent, machines, runs, stream};
use axum::Json;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

#[derive(OpenApi)]
#[openapi(
    info(title = "Hostwright", description = "The boot server's API. Changing anything needs the \
        operators' token, `/agent/…` the token of a run, both as `Authorization: Bearer`."),
    paths(
        runs::health,
        machines::list, machines::add, machines::show, machines::change, machines::remove,
        machines::install, machines::cancel, machines::shell, machines::unknown,
        machines::monitored,
        runs::list, runs::show, runs::progress, runs::events, runs::resume,
        stream::events,
        agent::order, agent::facts, agent::events, agent::recovery_key, agent::certificate,
        agent::word,
    ),
    security(("token" = [])),
)]
struct Api;

/// The document as text; `cargo xtask generate` writes it down.
pub(crate) fn document_text() -> String {
    api().to_pretty_json().expect("invariant: the document has string keys")
}

fn api() -> utoipa::openapi::OpenApi {
    let mut api = Api::openapi();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(scheme));
    api
}

/// The API's description.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(api())
}
