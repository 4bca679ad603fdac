//! `/store/…` from a store that is elsewhere: whole files and single ranges, as a web server would
//! give them, with a copy on disk of what was asked for most recently.

use crate::config::Config;
use crate::problem::Problem;
use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use hostwright_store::{
    Cached, DirSource, HttpOptions, HttpSource, RemoteStore, S3Store, Source, StoreAddress,
    StoreError,
};
use std::ops::Range;
use std::sync::Arc;

/// What is read at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// How long caches may keep the files of a directory of the store.
pub(crate) fn cache_control(dir: &str) -> &'static str {
    match dir {
        // Written anew when packs and deltas are.
        "maps" | "upgrades" => "public, max-age=60",
        _ => "public, immutable, max-age=31536000",
    }
}

/// The image store that is elsewhere, with `store_dir` as the place for what came from there.
pub(crate) fn open(config: &Config) -> Result<Option<Arc<RemoteStore>>, StoreError> {
    let Some(remote) = &config.store else { return Ok(None) };
    let source: Box<dyn Source + Send> = match &remote.address {
        StoreAddress::Dir(dir) => Box::new(DirSource::new(dir)),
        StoreAddress::S3 { bucket, prefix } => {
            Box::new(S3Store::new(bucket, prefix, &remote.settings)?)
        }
        StoreAddress::Http(url) => {
            Box::new(HttpSource::open(url.clone(), &HttpOptions::default())?)
        }
    };
    let kept = Cached::new(source, config.store_dir.join("cache"), remote.cache_bytes)?;
    Ok(Some(Arc::new(RemoteStore::new(Box::new(kept), remote.key))))
}

/// Answers a request for the file `name` in the directory `dir` of the store.
pub(crate) async fn answer(
    store: Arc<RemoteStore>,
    dir: &str,
    name: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '.';
    if name.starts_with('.') || !name.chars().all(good) {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    let path = format!("{dir}/{name}");
    let (asked, file) = (Arc::clone(&store), path.clone());
    let length = blocking(move || asked.source().length(&file)).await?.map_err(unreachable)?;
    let Some(length) = length else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    let mut response = Response::builder()
        .header(ACCEPT_RANGES, "bytes")
        .header(CACHE_CONTROL, cache_control(dir))
        .header(CONTENT_TYPE, "application/octet-stream");
    let range = match wanted(headers, length) {
        Wanted::All => 0..length,
        Wanted::Part(range) => {
            let shown = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            response = response.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, shown);
            range
        }
        Wanted::Nothing => {
            let shown = format!("bytes */{length}");
            let refusal = response.status(StatusCode::RANGE_NOT_SATISFIABLE);
            return finish(refusal.header(CONTENT_RANGE, shown), Body::empty());
        }
    };
    response = response.header(CONTENT_LENGTH, range.end - range.start);
    match *method == Method::HEAD {
        true => finish(response, Body::empty()),
        false => finish(response, body(store, path, range)),
    }
}

fn finish(response: axum::http::response::Builder, body: Body) -> Result<Response, Problem> {
    response.body(body).map_err(|error| Problem::internal(&error))
}

/// The bytes of a range, read as the client takes them. One that cannot be read breaks the
/// connection off: the client sees that bytes are missing.
fn body(store: Arc<RemoteStore>, path: String, range: Range<u64>) -> Body {
    let chunks = stream::try_unfold(range, move |left| {
        let (store, path) = (Arc::clone(&store), path.clone());
        async move {
            if left.is_empty() {
                return Ok(None);
            }
            let length = CHUNK_BYTES.min(left.end - left.start);
            let read = move || store.source().read_range(&path, left.start, length);
            let bytes = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?;
            let bytes = bytes.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(Some((Bytes::from(bytes), left.start + length..left.end)))
        }
    });
    Body::from_stream(chunks)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))
}

fn unreachable(error: StoreError) -> Problem {
    let cure = "the boot server cannot reach its store; its log and 'store' in its configuration say \
                which";
    Problem::new(StatusCode::BAD_GATEWAY, "store-unreachable", error.to_string(), cure)
}

/// What a request wants of a file.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Nothing,
}

/// Reads `Range` (RFC 9110, section 14). What is not one range of bytes is passed over, as it may be.
fn wanted(headers: &HeaderMap, length: u64) -> Wanted {
    let text = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) = text.and_then(|text| text.strip_prefix("bytes=")?.split_once('-'))
    else {
        return Wanted::All;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if last < first => return Wanted::All,
        (Ok(first), Ok(last)) => first..last.saturating_add(1).min(length),
        (Ok(first), Err(_)) if last.is_empty() => first..length,
        // The last bytes of the file.
        (Err(_), Ok(count)) if first.is_empty() => length.saturating_sub(count)..length,
        _ => return Wanted::All,
    };
    if range.is_empty() { Wanted::Nothing } else { Wanted::Part(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_understood_and_others_passed_over() {
        let table = [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=90-", Wanted::Part(90..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-200", Wanted::Part(0..100)),
            ("bytes=50-1000", Wanted::Part(50..100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=100-200", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=9-0", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("bytes=x-y", Wanted::All),
        ];
        for (text, expected) in table {
            let headers = HeaderMap::from_iter([(RANGE, text.parse().expect("header"))]);
            assert_eq!(wanted(&headers, 100), expected, "{text}");
        }
        assert_eq!(wanted(&HeaderMap::new(), 100), Wanted::All);
    }
}
