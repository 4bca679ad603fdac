//! What a client is answered: from the cache, from a download under way, or from the origin.

use super::cache::{CONTENT_AT, Cache, Entry, Meta};
use super::download::{Download, Growing, Grown, Passed, Stage};
use super::origin::{Origins, Upstream};
use super::{Counters, MirrorMap, ProxyStats};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE, WARNING,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

/// Bytes read from a file at once.
const CHUNK_BYTES: u64 = 128 << 10;

/// The proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    cache: Arc<Cache>,
    map: MirrorMap,
    origins: Origins,
    counters: Arc<Counters>,
    /// Downloads under way, by what clients call the file.
    under_way: Arc<Mutex<HashMap<String, watch::Receiver<Stage>>>>,
}

/// The part of a file that an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the first to behind the last byte.
    Range(u64, u64),
    Unsatisfiable,
}

impl Proxy {
    pub(super) fn new(cache: Cache, map: MirrorMap, upstream: Option<Upstream>) -> Self {
        Self {
            cache: Arc::new(cache),
            map,
            origins: Origins::new(upstream),
            counters: Arc::default(),
            under_way: Arc::default(),
        }
    }

    pub(super) fn stats(&self) -> ProxyStats {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        ProxyStats {
            hits: count(&self.counters.hits),
            misses: count(&self.counters.misses),
            fetched_bytes: count(&self.counters.fetched_bytes),
            cached_bytes: self.cache.size_bytes(),
            under_way: self.under_way.lock().unwrap_or_else(PoisonError::into_inner).len(),
        }
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let uri = request.uri().clone();
        let headers = request.headers();
        match request.method() {
            &Method::CONNECT => refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "this proxy caches packages and does not pass encrypted connections on; name the \
                 archive with http:// (packages are signed), or reach it directly",
            ),
            _ if uri.scheme_str() != Some("http") => self.not_a_proxy_request(&uri),
            &Method::GET => self.get(&uri, headers).await,
            &Method::HEAD => self.head(&uri, headers).await,
            other => refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                &format!("this proxy for packages knows GET and HEAD, not {other}"),
            ),
        }
    }

    /// Somebody looks at the proxy with a browser.
    fn not_a_proxy_request(&self, uri: &Uri) -> Response<Body> {
        let ProxyStats { hits, misses, fetched_bytes, cached_bytes, under_way } = self.stats();
        let text = format!(
            "This is Hostwright's caching proxy for packages. Set http_proxy to its address.\n\n\
             requests answered from the cache: {hits}\nfiles fetched: {misses}\n\
             bytes fetched: {fetched_bytes}\nbytes in the cache: {cached_bytes}\n\
             downloads under way: {under_way}\n"
        );
        let status = if uri.path() == "/" { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        plain(status, &text)
    }

    async fn get(&self, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
        let (url, target, immutable) = self.names(uri);
        let cached = self.find(&url).await;
        if let Some(entry) = cached.as_ref().filter(|_| immutable) {
            Counters::add(&self.counters.hits, 1);
            return from_cache(entry, headers);
        }
        let known = cached.as_ref().map(|entry| entry.meta.clone());
        let mut stage = self.join(&url, target, known, immutable);
        let settled = stage.wait_for(|stage| !matches!(stage, Stage::Asked)).await;
        let settled = settled.map(|stage| stage.clone());
        match settled {
            Ok(Stage::Growing(growing, _)) => from_download(&growing, stage, headers),
            Ok(Stage::Passed(passed)) if !passed.status.is_server_error() || cached.is_none() => {
                pass_on(&passed)
            }
            // Joined while it was asked with what another request had found in the cache.
            Ok(Stage::Unchanged) => match self.find(&url).await {
                Some(entry) => {
                    Counters::add(&self.counters.hits, 1);
                    from_cache(&entry, headers)
                }
                None => {
                    refusal(StatusCode::BAD_GATEWAY, "the cached file has just gone; try again")
                }
            },
            trouble => match cached {
                Some(entry) => stale(&url, &entry, headers),
                None => refusal(StatusCode::BAD_GATEWAY, &reason(trouble.ok())),
            },
        }
    }

    async fn head(&self, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
        let (url, target, immutable) = self.names(uri);
        if immutable && let Some(entry) = self.find(&url).await {
            Counters::add(&self.counters.hits, 1);
            return without_body(from_cache(&entry, headers));
        }
        let request = Request::builder().method(Method::HEAD).uri(&target).body(Body::empty());
        let Ok(request) = request else {
            return refusal(StatusCode::BAD_REQUEST, "this address cannot be asked for");
        };
        match self.origins.ask(request).await {
            Ok(response) => {
                let (head, _) = response.into_parts();
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = head.status;
                *answer.headers_mut() = end_to_end(&head.headers);
                answer
            }
            Err(error) => refusal(StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }

    /// What clients call the file, what its origin calls it, and whether it never changes.
    fn names(&self, uri: &Uri) -> (String, String, bool) {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let url = format!("http://{authority}{path}");
        (url, self.map.target(authority, path), is_immutable(uri.path()))
    }

    async fn find(&self, url: &str) -> Option<Entry> {
        let (cache, url) = (Arc::clone(&self.cache), url.to_owned());
        spawn_blocking(move || cache.find(&url)).await.ok().flatten()
    }

    /// The download of a file: the one under way, or a new one.
    fn join(
        &self,
        url: &str,
        target: String,
        known: Option<Meta>,
        immutable: bool,
    ) -> watch::Receiver<Stage> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stage) = under_way.get(url) {
            Counters::add(&self.counters.hits, 1);
            return stage.clone();
        }
        let (sender, stage) = watch::channel(Stage::Asked);
        under_way.insert(url.to_owned(), stage.clone());
        let download = Download {
            origins: self.origins.clone(),
            cache: Arc::clone(&self.cache),
            counters: Arc::clone(&self.counters),
            url: url.to_owned(),
            target,
            known,
            immutable,
            stage: sender,
        };
        let entry = UnderWay { url: url.to_owned(), all: Arc::clone(&self.under_way) };
        // It goes on when nobody waits any more: whoever asked will ask again.
        tokio::spawn(async move {
            download.run().await;
            drop(entry);
        });
        stage
    }
}

/// An entry of the downloads under way; taken out when the download has ended, however it did.
struct UnderWay {
    url: String,
    all: Arc<Mutex<HashMap<String, watch::Receiver<Stage>>>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.url);
    }
}

/// Archives never change a package, nor a file that is named by its digest.
fn is_immutable(path: &str) -> bool {
    let package = [".deb", ".udeb", ".ddeb"].iter().any(|suffix| path.ends_with(suffix));
    package || path.contains("/by-hash/") || path.contains("/pool/")
}

fn from_cache(entry: &Entry, asked: &HeaderMap) -> Response<Body> {
    let size_bytes = entry.meta.size_bytes;
    let Ok(file) = entry.file.try_clone() else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "too many files are open");
    };
    let file = Arc::new(file);
    content(&entry.meta, Some(size_bytes), asked, |from, to| {
        Body::from_stream(read_file(Arc::clone(&file), from, to))
    })
}

fn from_download(
    growing: &Arc<Growing>,
    stage: watch::Receiver<Stage>,
    asked: &HeaderMap,
) -> Response<Body> {
    let length = growing.sized.then_some(growing.meta.size_bytes);
    content(&growing.meta, length, asked, |from, to| {
        Body::from_stream(read_growing(Arc::clone(growing), stage, from, to))
    })
}

/// An answer with content, as far as the client wants it. `body` gives bytes from here to there.
fn content(
    meta: &Meta,
    length: Option<u64>,
    asked: &HeaderMap,
    body: impl FnOnce(u64, u64) -> Body,
) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    let mut set = |name: HeaderName, value: Option<&str>| {
        let value = value.and_then(|value| HeaderValue::from_str(value).ok());
        answer.headers_mut().extend(value.map(|value| (name, value)));
    };
    set(CONTENT_TYPE, meta.content_type.as_deref());
    set(LAST_MODIFIED, meta.last_modified.as_deref());
    set(ETAG, meta.etag.as_deref());
    if is_known(meta, asked) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return answer;
    }
    let part = length.map_or(Part::Whole, |length| wanted(meta, length, asked));
    set(ACCEPT_RANGES, length.map(|_| "bytes"));
    match (part, length) {
        (Part::Whole, length) => {
            set(CONTENT_LENGTH, length.map(|length| length.to_string()).as_deref());
            *answer.body_mut() = body(0, length.unwrap_or(u64::MAX));
        }
        (Part::Range(from, to), length) => {
            let total = length.unwrap_or(0);
            set(CONTENT_RANGE, Some(&format!("bytes {from}-{}/{total}", to - 1)));
            set(CONTENT_LENGTH, Some(&(to - from).to_string()));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            *answer.body_mut() = body(from, to);
        }
        (Part::Unsatisfiable, length) => {
            set(CONTENT_RANGE, Some(&format!("bytes */{}", length.unwrap_or(0))));
            *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        }
    }
    answer
}

/// True if the client has this version already. A time counts if it is the very one that we told:
/// no dates are parsed.
fn is_known(meta: &Meta, asked: &HeaderMap) -> bool {
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    if asked.contains_key(RANGE) {
        return false;
    }
    match (text(IF_NONE_MATCH), &meta.etag) {
        (Some(tags), Some(etag)) => tags.split(',').any(|tag| tag.trim() == etag),
        (Some(_), None) => false,
        (None, _) => {
            let since = text(IF_MODIFIED_SINCE);
            since.is_some() && since == meta.last_modified.as_deref()
        }
    }
}

/// The part that `Range` and `If-Range` ask for (RFC 9110, sections 13.1.5 and 14.2).
fn wanted(meta: &Meta, length: u64, asked: &HeaderMap) -> Part {
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    let same = text(IF_RANGE).is_none_or(|version| {
        [&meta.etag, &meta.last_modified].into_iter().any(|known| known.as_deref() == Some(version))
    });
    let Some(range) = text(RANGE).filter(|_| same) else { return Part::Whole };
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Part::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (from, to) = match (number(first), number(last)) {
        (Some(from), Some(last)) if from <= last => (from, length.min(last.saturating_add(1))),
        (Some(from), None) if last.is_empty() => (from, length),
        (None, Some(count)) if first.is_empty() => (length.saturating_sub(count), length),
        // Several ranges, or none that is understood: everything is a correct answer.
        _ => return Part::Whole,
    };
    if from < to { Part::Range(from, to) } else { Part::Unsatisfiable }
}

/// The bytes of a complete file from here to there.
fn read_file(
    file: Arc<File>,
    from: u64,
    to: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold(from, move |at| {
        let file = Arc::clone(&file);
        async move {
            if at == to {
                return Ok(None);
            }
            let chunk = read_chunk(file, at, CHUNK_BYTES.min(to - at)).await?;
            let next = at + chunk.len() as u64;
            Ok(Some((chunk, next)))
        }
    })
}

/// The bytes of a growing file from here to there, or to its end. Fails if the download does.
fn read_growing(
    growing: Arc<Growing>,
    stage: watch::Receiver<Stage>,
    from: u64,
    to: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((from, stage), move |(at, mut stage)| {
        let file = Arc::clone(&growing.file);
        async move {
            let there = |stage: &Stage| match stage {
                Stage::Growing(_, Grown::So(done)) => (*done > at).then_some(Ok(*done)),
                Stage::Growing(_, Grown::Whole(done)) => Some(Ok(*done)),
                _ => Some(Err(io::Error::other("the origin broke off"))),
            };
            let grown = stage.wait_for(|stage| at >= to || there(stage).is_some()).await;
            let grown = grown.map_err(io::Error::other)?.clone();
            if at >= to {
                return Ok(None);
            }
            let end = there(&grown).expect("invariant: waited for").map(|done| done.min(to))?;
            if at >= end {
                return Ok(None);
            }
            let chunk = read_chunk(file, at, CHUNK_BYTES.min(end - at)).await?;
            let next = at + chunk.len() as u64;
            Ok(Some((chunk, (next, stage))))
        }
    })
}

async fn read_chunk(file: Arc<File>, at: u64, length: u64) -> io::Result<Bytes> {
    let read = spawn_blocking(move || {
        let mut chunk = vec![0; length as usize];
        file.read_exact_at(&mut chunk, CONTENT_AT + at)?;
        Ok(Bytes::from(chunk))
    });
    read.await.map_err(io::Error::from)?
}

/// What the cache has, although the origin could not be asked whether it is still the same.
fn stale(url: &str, entry: &Entry, asked: &HeaderMap) -> Response<Body> {
    tracing::warn!(url, "the origin does not answer; answered from the cache");
    let mut answer = from_cache(entry, asked);
    let warning = HeaderValue::from_static("110 hostwright \"Response is Stale\"");
    answer.headers_mut().insert(WARNING, warning);
    answer
}

fn pass_on(passed: &Passed) -> Response<Body> {
    let mut answer = Response::new(Body::from(passed.body.clone()));
    *answer.status_mut() = passed.status;
    let headers = end_to_end(&passed.headers);
    let kept = [CONTENT_TYPE, LOCATION];
    let kept = kept.into_iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone())));
    answer.headers_mut().extend(kept);
    answer
}

/// Headers but for those that are about one connection (RFC 9110, section 7.6.1).
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        headers.remove(name);
    }
    headers
}

fn without_body(mut answer: Response<Body>) -> Response<Body> {
    *answer.body_mut() = Body::empty();
    answer
}

fn reason(stage: Option<Stage>) -> String {
    match stage {
        Some(Stage::Unreachable(reason)) => reason,
        _ => "the download ended without an answer".to_owned(),
    }
}

fn refusal(status: StatusCode, text: &str) -> Response<Body> {
    plain(status, &format!("Hostwright's package proxy: {text}\n"))
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut answer = Response::new(Body::from(text.to_owned()));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}
