//! A few GET requests on plain HTTP/1.1, one a connection: enough for a page that is looked at.
//!
//! httparse reads the head, as it does for hyper; the rest is one thread a connection. The small
//! synchronous servers there are have had no release for years, and a machine that is being
//! installed needs nothing that an asynchronous one could do.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpRequest {
    /// `GET`, `HEAD` or another.
    pub(super) method: String,
    /// The path, without a query.
    pub(super) path: String,
}

/// Reads the head of a request. `None` if what comes is none, or drop by drop.
pub(super) fn read_head(from: &mut impl Read, limit: Duration) -> io::Result<Option<HttpRequest>> {
    let begun = Instant::now();
    let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&chunk[..count]);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(_)) => return Ok(request_of(&request)),
            Ok(httparse::Status::Partial)
                if head.len() < HEAD_BYTES_MAX && begun.elapsed() < limit => {}
            _ => return Ok(None),
        }
    }
}

fn request_of(request: &httparse::Request<'_, '_>) -> Option<HttpRequest> {
    let path = request.path?.split('?').next().unwrap_or_default();
    Some(HttpRequest { method: request.method?.to_owned(), path: path.to_owned() })
}

/// An answer with a body that is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpAnswer {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

impl HttpAnswer {
    /// What was asked for.
    pub(super) fn ok(kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, kind, body: body.into() }
    }

    /// A word on why not.
    pub(super) fn not(status: u16, text: &str) -> Self {
        let body = format!("{text}\n").into_bytes();
        Self { status, kind: "text/plain; charset=utf-8", body }
    }

    /// Writes it; without the body for HEAD.
    pub(super) fn write(&self, to: &mut impl Write, with_body: bool) -> io::Result<()> {
        let mut bytes = head(self.status, self.kind);
        bytes.extend(format!("content-length: {}\r\n\r\n", self.body.len()).bytes());
        if with_body {
            bytes.extend(&self.body);
        }
        to.write_all(&bytes)
    }
}

/// Everything comes from this machine, scripts above all; nothing is kept.
fn head(status: u16, kind: &str) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Service Unavailable",
    };
    let policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                  object-src 'none'";
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\nconnection: close\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\n\
         referrer-policy: no-referrer\r\ncontent-security-policy: {policy}\r\n"
    )
    .into_bytes()
}

/// Begins a stream of server-sent events.
pub(super) fn begin_events(to: &mut impl Write) -> io::Result<()> {
    let mut bytes = head(200, "text/event-stream");
    bytes.extend(b"\r\n");
    to.write_all(&bytes)
}

/// One server-sent event with a text of any number of lines; of none it is a sign of life.
pub(super) fn write_event(to: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    let mut event = format!("event: {name}\n");
    for line in text.lines() {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    to.write_all(event.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_in_pieces_and_what_is_none_is_refused() {
        struct Pieces<'a>(&'a [u8]);
        impl Read for Pieces<'_> {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                let count = self.0.len().min(3);
                to[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        let minute = Duration::from_secs(60);
        let read = |text: &str| read_head(&mut Pieces(text.as_bytes()), minute);
        let request = read("GET /log?x=1 HTTP/1.1\r\nhost: web1\r\n\r\n").unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/log"));
        assert_eq!(read("nonsense\r\n\r\n").unwrap(), None);
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(HEAD_BYTES_MAX));
        assert_eq!(read(&long).unwrap(), None);
        let slow = read_head(&mut Pieces(b"GET / HTTP/1.1\r\n\r\n"), Duration::ZERO);
        assert_eq!(slow.unwrap(), None);
        assert_eq!(read("GET / HT").unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn events_keep_their_lines() {
        let mut wire = Vec::new();
        write_event(&mut wire, "page", "<p>\n</p>").unwrap();
        assert_eq!(wire, b"event: page\ndata: <p>\ndata: </p>\n\n");
    }
}
