//! Files for agents: the archive of the space and the tools image, by digest; and the image store.
//!
//! ```text
//! GET /files/DIGEST   for the agent of an open run, with its token
//! GET /store/…        packs, manifests, maps, upgrades and deltas by digest, as the store lies on
//!                     disk or elsewhere
//! ```

use crate::api::AgentRun;
use crate::app::{App, installer_file};
use crate::problem::Problem;
use crate::store_files;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hostwright_model::ids::Digest;
use hostwright_store::RemoteStore;
use std::path::PathBuf;
use std::sync::Arc;
use tower::ServiceBuilder;
use tower_http::services::{ServeDir, ServeFile};
use tower_http::set_header::SetResponseHeaderLayer;

/// The default of 64 KiB costs twice the processor time.
const CHUNK_BYTES: usize = 256 << 10;

/// Directories of a store that are published.
const PUBLISHED: [&str; 5] = ["packs", "manifests", "maps", "upgrades", "deltas"];

/// The routes `/files/…` and `/store/…`.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let files = Router::new().route("/files/{digest}", get(file)).with_state(Arc::clone(app));
    match &app.remote_store {
        Some(remote) => files.merge(remote_router(remote)),
        None => PUBLISHED.into_iter().fold(files, |router, part| {
            let dir = ServeDir::new(app.config.store_dir.join(part));
            let dir = dir.append_index_html_on_directories(false).with_buf_chunk_size(CHUNK_BYTES);
            let cache = HeaderValue::from_static(store_files::cache_control(part));
            let layer = SetResponseHeaderLayer::if_not_present(
                CACHE_CONTROL,
                move |answer: &Response<_>| answer.status().is_success().then(|| cache.clone()),
            );
            let dir = ServiceBuilder::new().layer(layer).service(dir);
            router.nest_service(&format!("/store/{part}"), dir)
        }),
    }
}

/// `/store/…` from a store that is elsewhere.
fn remote_router(remote: &Arc<RemoteStore>) -> Router {
    PUBLISHED.into_iter().fold(Router::new(), |router, part| {
        let store = Arc::clone(remote);
        let answer = move |Path(name): Path<String>, method: Method, headers: HeaderMap| async move {
            store_files::answer(store, part, &name, &method, &headers).await
        };
        router.route(&format!("/store/{part}/{{name}}"), get(answer))
    })
}

async fn file(
    State(app): State<Arc<App>>,
    Path(digest): Path<String>,
    _run: AgentRun,
    request: Request,
) -> Result<Response, Problem> {
    let missing = || {
        let message = format!("there is no file {digest}");
        let cure = "the installer or the space was made anew: arm the machine again";
        Problem::new(StatusCode::NOT_FOUND, "no-such-file", message, cure)
    };
    let wanted: Digest = digest.parse().map_err(|_| missing())?;
    let path = path_of(&app, wanted).ok_or_else(missing)?;
    let mut service = ServeFile::new(path).with_buf_chunk_size(CHUNK_BYTES);
    let response = service.try_call(request).await.map_err(|error| Problem::internal(&error))?;
    Ok(response.map(Body::new).into_response())
}

fn path_of(app: &App, digest: Digest) -> Option<PathBuf> {
    let archive = app.files_dir().join(digest.to_string());
    if archive.is_file() {
        return Some(archive);
    }
    let installer = app.installer().filter(|installer| installer.tools.digest == digest)?;
    Some(installer_file(app.config.installer_dir.as_ref()?, &installer.tools.file))
}
