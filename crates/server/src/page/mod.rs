//! The live page: what every machine is doing, rendered here and refreshed by server-sent events.

use crate::app::App;
use axum::Router;
use std::sync::Arc;

/// The routes of the page.
pub(crate) fn router(app: &Arc<App>) -> Router {
    Router::new().with_state(Arc::clone(app))
}
