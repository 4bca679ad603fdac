//! Boot scripts and boot files over HTTP: routes that the server merges into its own.
//!
//! ```text
//! GET /boot/ipxe/52:54:00:12:34:56?uuid=…&platform=efi   the machine's script
//! GET /boot/files/initrd.img                             a file, or a range of it
//! ```

use crate::booter::{BootRequest, Booter};
use crate::clock::now_ms;
use crate::decide::SharedLeases;
use crate::event::{BootEvent, BootStep};
use crate::files::{BootFile, Files, clean_name};
use crate::script::{BootSpec, Platform, Scripts};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hostwright_model::ids::MacAddr;
use http_body_util::BodyExt;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use tower_http::services::ServeFile;

/// The default of 64 KiB costs twice the processor time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What the routes need.
#[derive(Clone)]
pub struct HttpBoot {
    /// Who says what a machine boots.
    pub booter: Arc<dyn Booter>,
    /// Which machine an address belongs to.
    pub leases: SharedLeases,
    /// The files below `/boot/files/`.
    pub files: Arc<dyn Files>,
    /// Renders the scripts.
    pub scripts: Arc<Scripts>,
}

/// The routes `/boot/ipxe/{mac}` and `/boot/files/{name}`.
///
/// They learn who asks from axum's [`ConnectInfo`]: serve them with
/// `into_make_service_with_connect_info::<SocketAddr>()`, or put it into each request.
pub fn router(boot: HttpBoot) -> Router {
    Router::new()
        .route("/boot/ipxe/{mac}", get(script))
        .route("/boot/files/{*name}", get(file))
        .with_state(boot)
}

#[derive(Deserialize)]
struct ScriptQuery {
    uuid: Option<String>,
    platform: Option<String>,
}

async fn script(
    State(boot): State<HttpBoot>,
    Path(mac): Path<String>,
    Query(query): Query<ScriptQuery>,
    request: Request,
) -> Response {
    let mac: MacAddr = match mac.parse() {
        Ok(mac) => mac,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let client = client_of(&request);
    let asked = BootRequest {
        mac,
        client,
        leased: boot.leases.address_of(mac, now_ms()),
        platform: query.platform.as_deref().and_then(Platform::from_ipxe),
        uuid: query.uuid.filter(|uuid| !uuid.is_empty()),
    };
    let mut spec = boot.booter.boot_spec(&asked);
    let text = boot.scripts.machine(mac, &spec).or_else(|error| {
        tracing::error!(%mac, %error, "cannot make a boot script");
        spec = BootSpec::Hold { message: format!("The server cannot make its script:\n{error}") };
        boot.scripts.machine(mac, &spec)
    });
    match text {
        Ok(text) => {
            if request.method() != Method::HEAD {
                boot.saw(Some(mac), client, BootStep::script_served(&spec));
            }
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn file(
    State(boot): State<HttpBoot>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let client = client_of(&request);
    let head = request.method() == Method::HEAD;
    let Some(file) = clean_name(&name).and_then(|name| boot.files.open(&name)) else {
        let file = name.chars().filter(|c| !c.is_control()).collect();
        let reason = "no such file".to_owned();
        boot.saw(None, client, BootStep::HttpFailed { file, done_bytes: 0, reason });
        return (StatusCode::NOT_FOUND, "no such boot file\n").into_response();
    };
    let response = match file {
        BootFile::Bytes(bytes) => {
            ([(header::CONTENT_TYPE, "application/octet-stream")], bytes.to_vec()).into_response()
        }
        BootFile::Path(path) => {
            let mut files = ServeFile::new(path).with_buf_chunk_size(CHUNK_BYTES);
            match files.try_call(request).await {
                Ok(response) => response.map(Body::new),
                Err(error) => {
                    tracing::error!(file = name, %error, "cannot read a boot file");
                    let missing = error.kind() == std::io::ErrorKind::NotFound;
                    let internal = StatusCode::INTERNAL_SERVER_ERROR;
                    if missing { StatusCode::NOT_FOUND } else { internal }.into_response()
                }
            }
        }
    };
    if head { response } else { watched(response, Watch::new(boot, client, name)) }
}

fn client_of(request: &Request) -> Option<IpAddr> {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map(|ConnectInfo(address)| address.ip().to_canonical())
}

impl HttpBoot {
    fn saw(&self, mac: Option<MacAddr>, client: Option<IpAddr>, step: BootStep) {
        let address: Option<Ipv4Addr> = match client {
            Some(IpAddr::V4(address)) => Some(address),
            Some(IpAddr::V6(_)) | None => None,
        };
        let mac = mac.or_else(|| self.leases.mac_of(address?));
        tracing::info!(client = ?address, "HTTP: {step}");
        self.booter.saw(BootEvent { at_ms: now_ms(), mac, address, step });
    }
}

/// Counts what is sent of a file; when it is dropped, everything was sent or the client hung up.
struct Watch {
    boot: HttpBoot,
    client: Option<IpAddr>,
    file: String,
    size_bytes: u64,
    done_bytes: u64,
    refused: Option<StatusCode>,
    started: Instant,
}

impl Watch {
    fn new(boot: HttpBoot, client: Option<IpAddr>, file: String) -> Self {
        let started = Instant::now();
        Self { boot, client, file, size_bytes: 0, done_bytes: 0, refused: None, started }
    }

    /// A method, because a closure that only names a field captures only that field and would
    /// drop the rest at once.
    fn count(&mut self, bytes: u64) {
        self.done_bytes += bytes;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let file = std::mem::take(&mut self.file);
        let (done_bytes, size_bytes) = (self.done_bytes, self.size_bytes);
        let failed = |reason| BootStep::HttpFailed { file: file.clone(), done_bytes, reason };
        let step = if let Some(status) = self.refused {
            failed(format!("answered {status}"))
        } else if done_bytes < size_bytes {
            failed(format!("the machine hung up {} bytes before the end", size_bytes - done_bytes))
        } else {
            let duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            BootStep::HttpFinished { file, size_bytes, duration_ms }
        };
        self.boot.saw(None, self.client, step);
    }
}

/// Reports the start of an answer that has content, and watches it to its end.
fn watched(response: Response, mut watch: Watch) -> Response {
    if !response.status().is_success() {
        watch.refused = Some(response.status());
        return response;
    }
    let length = response.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    watch.size_bytes = length.unwrap_or(0);
    let step = BootStep::HttpStarted { file: watch.file.clone(), size_bytes: watch.size_bytes };
    watch.boot.saw(None, watch.client, step);
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            watch.count(frame.data_ref().map_or(0, |data| data.len() as u64));
            frame
        }))
    })
}
