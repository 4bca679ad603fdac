//! One fetch of one file, shared by everybody who wants it meanwhile.

use super::Counters;
use super::cache::{Cache, Meta, Unfinished};
use super::origin::{OriginError, Origins};
use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    CONTENT_RANGE, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE, USER_AGENT,
};
use hyper::{HeaderMap, Request, Response, StatusCode};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Origins that break off are asked for the rest this often.
const RESUMES: u32 = 3;
/// An origin that sends nothing for this long has broken off.
const STALL: Duration = Duration::from_secs(60);
/// Longest answer with an error that is passed on.
const ERROR_BYTES: usize = 1 << 20;

/// How a download stands.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The origin was asked.
    Asked,
    /// What is in the cache is what the origin has.
    Unchanged,
    /// Content is coming.
    Growing(Arc<Growing>, Grown),
    /// The origin said something else, which is passed on.
    Passed(Arc<Passed>),
    /// The origin did not answer.
    Unreachable(String),
}

/// A file that is being fetched.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) meta: Meta,
    /// False if nobody said how long it will be; then `meta.size_bytes` means nothing.
    pub(super) sized: bool,
    pub(super) file: Arc<File>,
}

/// How much of a file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grown {
    /// This much, and more to come.
    So(u64),
    /// All of it.
    Whole(u64),
    /// The rest will not come.
    Broken,
}

/// An answer that is not content.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What is needed to fetch one file.
pub(super) struct Download {
    pub(super) origins: Origins,
    pub(super) cache: Arc<Cache>,
    pub(super) counters: Arc<Counters>,
    /// What clients call it.
    pub(super) url: String,
    /// What the origin calls it.
    pub(super) target: String,
    /// What is in the cache already.
    pub(super) known: Option<Meta>,
    /// True if it never changes under its name.
    pub(super) immutable: bool,
    pub(super) stage: watch::Sender<Stage>,
}

impl Download {
    /// Fetches, and publishes what has become whole.
    pub(super) async fn run(self) {
        let response = match self.ask(self.validators()).await {
            Ok(response) => response,
            Err(error) => {
                self.stage.send_replace(Stage::Unreachable(error.to_string()));
                return;
            }
        };
        match response.status() {
            StatusCode::NOT_MODIFIED if self.known.is_some() => {
                self.stage.send_replace(Stage::Unchanged);
            }
            StatusCode::OK => self.receive(response).await,
            _ => self.pass(response).await,
        }
    }

    async fn receive(&self, response: Response<Incoming>) {
        Counters::add(&self.counters.misses, 1);
        let length = response.body().size_hint().exact();
        let chunked = response.headers().contains_key("transfer-encoding");
        let meta = Meta::of(&self.url, length.unwrap_or(0), response.headers());
        let cache = Arc::clone(&self.cache);
        let begun = spawn_blocking(move || {
            let unfinished = cache.begin()?;
            let reader = unfinished.reader()?;
            Ok::<_, std::io::Error>((unfinished, reader))
        });
        let (mut unfinished, reader) = match begun.await.map_err(std::io::Error::from) {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) | Err(error) => {
                let reason = format!("the package proxy cannot write to its cache: {error}");
                self.stage.send_replace(Stage::Unreachable(reason));
                return;
            }
        };
        let growing = Arc::new(Growing { meta, sized: length.is_some(), file: Arc::new(reader) });
        self.stage.send_replace(Stage::Growing(Arc::clone(&growing), Grown::So(0)));
        let fetched = self.fetch(response, &growing, &mut unfinished).await;
        let size_bytes = unfinished.written();
        let grown = match &fetched {
            Ok(()) => Grown::Whole(size_bytes),
            Err(reason) => {
                tracing::warn!(url = self.url, reason, "a download broke off");
                Grown::Broken
            }
        };
        self.stage.send_replace(Stage::Growing(Arc::clone(&growing), grown));
        // Without length and without chunks nobody can tell an end from a break.
        if fetched.is_ok() && (growing.sized || chunked) {
            self.publish(unfinished, Meta { size_bytes, ..growing.meta.clone() }).await;
        }
    }

    async fn fetch(
        &self,
        mut response: Response<Incoming>,
        growing: &Arc<Growing>,
        unfinished: &mut Unfinished,
    ) -> Result<(), String> {
        for resume in 0.. {
            let broken = match self.drain(response.into_body(), growing, unfinished).await {
                Ok(()) => return Ok(()),
                Err(broken) => broken,
            };
            if resume == RESUMES || !self.can_resume(growing) {
                return Err(broken);
            }
            let done = unfinished.written();
            tracing::info!(url = self.url, done, broken, "an origin broke off; going on there");
            response =
                self.rest(growing, done).await.map_err(|error| format!("{broken}; {error}"))?;
        }
        unreachable!("invariant: the loop ends by returning")
    }

    /// Writes a body to the file until its end.
    async fn drain(
        &self,
        mut body: Incoming,
        growing: &Arc<Growing>,
        unfinished: &mut Unfinished,
    ) -> Result<(), String> {
        loop {
            let frame = match timeout(STALL, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(crate::problem::chain(&error)),
                Ok(None) => break,
                Err(_) => return Err(format!("nothing came for {} seconds", STALL.as_secs())),
            };
            let Ok(content) = frame.into_data() else { continue };
            Counters::add(&self.counters.fetched_bytes, content.len() as u64);
            // Into the page cache; the sync at the end is what takes time.
            unfinished.write(&content).map_err(|error| format!("cannot write: {error}"))?;
            let grown = Grown::So(unfinished.written());
            self.stage.send_replace(Stage::Growing(Arc::clone(growing), grown));
        }
        let (done, announced) = (unfinished.written(), growing.meta.size_bytes);
        if growing.sized && done != announced {
            return Err(format!("{done} of {announced} bytes came"));
        }
        Ok(())
    }

    /// True if the rest of the file can be trusted to be of the same file.
    fn can_resume(&self, growing: &Growing) -> bool {
        let Meta { etag, last_modified, .. } = &growing.meta;
        growing.sized && (self.immutable || etag.is_some() || last_modified.is_some())
    }

    async fn rest(&self, growing: &Growing, done: u64) -> Result<Response<Incoming>, String> {
        let mut headers = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_str(text).ok();
        let Meta { etag, last_modified, size_bytes, .. } = &growing.meta;
        headers.extend(value(&format!("bytes={done}-")).map(|range| (RANGE, range)));
        let same = etag.as_ref().or(last_modified.as_ref());
        headers.extend(same.and_then(|same| value(same)).map(|same| (IF_RANGE, same)));
        let response = self.ask(headers).await.map_err(|error| error.to_string())?;
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let wanted = format!("bytes {done}-{}/{size_bytes}", size_bytes - 1);
        if response.status() != StatusCode::PARTIAL_CONTENT || range != Some(wanted.as_str()) {
            return Err(format!("the origin does not send the rest: {}", response.status()));
        }
        Ok(response)
    }

    async fn publish(&self, unfinished: Unfinished, meta: Meta) {
        let cache = Arc::clone(&self.cache);
        let published = spawn_blocking(move || cache.publish(unfinished, &meta)).await;
        if let Ok(Err(error)) | Err(error) = published.map_err(std::io::Error::from) {
            tracing::error!(url = self.url, %error, "cannot keep a file in the package cache");
        }
    }

    async fn pass(&self, response: Response<Incoming>) {
        let (head, body) = response.into_parts();
        let stage = match Limited::new(body, ERROR_BYTES).collect().await {
            Ok(body) => Stage::Passed(Arc::new(Passed {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            })),
            Err(error) => Stage::Unreachable(format!("{} broke off: {error}", self.target)),
        };
        self.stage.send_replace(stage);
    }

    /// What makes the origin answer "not modified".
    fn validators(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some(known) = &self.known else { return headers };
        let value = |text: &Option<String>| HeaderValue::from_str(text.as_ref()?).ok();
        headers.extend(value(&known.etag).map(|etag| (IF_NONE_MATCH, etag)));
        headers.extend(value(&known.last_modified).map(|time| (IF_MODIFIED_SINCE, time)));
        headers
    }

    async fn ask(&self, headers: HeaderMap) -> Result<Response<Incoming>, OriginError> {
        let mut request = Request::builder()
            .uri(&self.target)
            .header(USER_AGENT, concat!("hostwright/", env!("CARGO_PKG_VERSION")))
            .body(Body::empty())
            .map_err(|_| OriginError::Address(self.target.clone()))?;
        request.headers_mut().extend(headers);
        self.origins.ask(request).await
    }
}
