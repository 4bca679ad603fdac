//! Asks origins, directly or through the proxy behind this one.

use axum::body::Body;
use hyper::Uri;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

const CONNECT: Duration = Duration::from_secs(10);
/// An origin that does not begin to answer for this long will not.
const ANSWER: Duration = Duration::from_secs(60);
/// Connections that idle are kept for the next package of the same archive.
const KEEP: Duration = Duration::from_secs(20);

/// The proxy behind this one, `http://proxy.example.org:3128`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    host: String,
    port: u16,
}

/// A text that is not an [`Upstream`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is not the address of an HTTP proxy")]
pub struct BadUpstream(String);

impl FromStr for Upstream {
    type Err = BadUpstream;
    fn from_str(text: &str) -> Result<Self, BadUpstream> {
        let bad = || BadUpstream(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let http = uri.scheme_str() == Some("http");
        let host = uri.host().filter(|_| http && uri.path() == "/").ok_or_else(bad)?;
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(80) })
    }
}

/// Why an origin did not answer.
#[derive(Debug, Error)]
pub(super) enum OriginError {
    #[error("{0} is not an address that can be asked for")]
    Address(String),
    #[error("{url} did not begin to answer within {} seconds", ANSWER.as_secs())]
    Silent { url: String },
    #[error("{url} does not answer: {reason}")]
    Failed { url: String, reason: String },
}

/// A client for all origins.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    client: Client<Connector, Body>,
}

impl Origins {
    pub(super) fn new(upstream: Option<Upstream>) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEEP)
            .pool_timer(TokioTimer::new())
            .build(Connector { upstream });
        Self { client }
    }

    /// Sends a request and waits for the beginning of the answer.
    pub(super) async fn ask(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, OriginError> {
        let url = request.uri().to_string();
        match timeout(ANSWER, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let reason = crate::problem::chain(&error);
                Err(OriginError::Failed { url, reason })
            }
            Err(_) => Err(OriginError::Silent { url }),
        }
    }
}

#[derive(Clone, Debug)]
struct Connector {
    upstream: Option<Upstream>,
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Link>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        let through_proxy = self.upstream.is_some();
        let (host, port) = match &self.upstream {
            Some(upstream) => (upstream.host.clone(), upstream.port),
            None => {
                let host = origin.host().unwrap_or_default();
                (host.trim_matches(['[', ']']).to_owned(), origin.port_u16().unwrap_or(80))
            }
        };
        Box::pin(async move {
            let connecting = TcpStream::connect((host.as_str(), port));
            let stream = match timeout(CONNECT, connecting).await {
                Ok(connected) => connected?,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            };
            stream.set_nodelay(true)?;
            Ok(Link { stream: TokioIo::new(stream), through_proxy })
        })
    }
}

/// A connection; through a proxy, requests name the whole address.
struct Link {
    stream: TokioIo<TcpStream>,
    through_proxy: bool,
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.through_proxy)
    }
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
