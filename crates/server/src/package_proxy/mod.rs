//! A caching HTTP proxy for packages: machines and builds reach every archive through it, and each
//! file crosses the outer network once.
//!
//! It answers `GET` and `HEAD` of absolute `http://` addresses. Files that never change under their
//! name (packages, by-hash indices) are served from the cache without asking; all others are asked
//! for again at their origin, and served from the cache if they are the same, or if the origin does
//! not answer. Requests for a file that is just being fetched share the one download. What is not
//! complete is never served as complete: it lives in an unfinished file until its length is right.
//!
//! ```text
//! CACHE/ab/cdef…   4096 bytes of JSON about the file (`Meta`), then its content   (cache.rs)
//! CACHE/tmp/…      unfinished downloads, locked by the process that writes them
//! ```
//!
//! Read [`PackageProxyConfig`] first, then [`start`].

mod answer;
mod cache;
mod download;
mod mirrors;
mod origin;

pub use mirrors::{BadMirror, MirrorMap};
pub use origin::{BadUpstream, Upstream};

use answer::Proxy;
use cache::Cache;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A client that sends no request for this long is hung up on.
const IDLE: Duration = Duration::from_secs(120);

/// How the proxy works.
#[derive(Clone, Debug)]
pub struct PackageProxyConfig {
    /// Where it listens; port 0 for any.
    pub listen: SocketAddr,
    /// Where files are kept; made if it is not there.
    pub cache_dir: PathBuf,
    /// Which mirrors stand for which names.
    pub map: MirrorMap,
    /// The proxy behind this one, if the network has one.
    pub upstream: Option<Upstream>,
}

/// What the proxy has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyStats {
    /// Requests answered from the cache, or from a download that was under way.
    pub hits: u64,
    /// Requests for which the origin was asked for content.
    pub misses: u64,
    /// Bytes of content that came from origins.
    pub fetched_bytes: u64,
    /// Bytes in the cache.
    pub cached_bytes: u64,
    /// Downloads that have not ended.
    pub under_way: usize,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    fetched_bytes: AtomicU64,
}

/// A proxy in a thread of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    proxy: Arc<Proxy>,
    shutdown: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `http_proxy` has to be: `http://ADDRESS:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has done.
    pub fn stats(&self) -> ProxyStats {
        self.proxy.stats()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic there was already reported by its thread.
            let _ = thread.join();
        }
    }
}

/// Starts a proxy at `config.listen`.
pub fn start(config: PackageProxyConfig) -> io::Result<Handle> {
    start_on(TcpListener::bind(config.listen)?, config)
}

/// Starts a proxy on a socket that is already bound, perhaps in another network namespace.
pub fn start_on(listener: TcpListener, config: PackageProxyConfig) -> io::Result<Handle> {
    let address = listener.local_addr()?;
    let proxy = Arc::new(open(config)?);
    let shutdown = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (serving, ending) = (Arc::clone(&proxy), shutdown.clone());
    let listening = {
        let _inside = runtime.enter();
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)?
    };
    let thread = thread::Builder::new().name("package-proxy".into()).spawn(move || {
        runtime.block_on(serve(listening, serving, ending));
        runtime.shutdown_background();
    })?;
    Ok(Handle { address, proxy, shutdown, thread: Some(thread) })
}

/// A proxy with its cache, to be served by [`serve`].
pub(crate) fn open(config: PackageProxyConfig) -> io::Result<Proxy> {
    let cache = Cache::open(config.cache_dir)?;
    Ok(Proxy::new(cache, config.map, config.upstream))
}

/// Serves until `shutdown`.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    proxy: Arc<Proxy>,
    shutdown: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, mostly: others must end first.
                tracing::warn!(%error, "the package proxy cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (proxy, shutdown) = (Arc::clone(&proxy), shutdown.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let proxy = Arc::clone(&proxy);
                async move { Ok::<_, std::convert::Infallible>(proxy.answer(request).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(IDLE);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = shutdown.cancelled() => {}
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to the package proxy broke");
                },
            }
        });
    }
}

impl Counters {
    fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}
