//! A store that any web server publishes: single ranges, no state, TLS where the address says so.

use crate::StoreError;
use crate::source::Source;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// How often a request is tried, with a pause that doubles from half a second.
const TRIES: u32 = 6;
/// Where Debian has the certificates of public authorities.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How a server is talked to.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// How often a request is tried that brings nothing.
    pub tries: u32,
    /// PEM file of the authorities that may vouch for an `https://` server; the system's if there is
    /// none.
    pub roots: Option<PathBuf>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { tries: TRIES, roots: None }
    }
}

/// A store published over HTTP or HTTPS.
pub struct HttpSource {
    base: String,
    agent: ureq::Agent,
    tries: u32,
}

/// What a server said.
struct Answer {
    bytes: Vec<u8>,
    /// Why the bytes end too early.
    broken: Option<StoreError>,
}

impl HttpSource {
    /// The store whose files are below `base`, `http://10.0.0.1/store`.
    pub fn new(base: impl Into<String>) -> Self {
        Self::with_roots(base.into(), TRIES, Vec::new())
    }

    /// The same, `https://` among them.
    pub fn open(base: impl Into<String>, options: &HttpOptions) -> Result<Self, StoreError> {
        let base = base.into();
        let roots = match base.starts_with("https://") {
            true => read_roots(options.roots.as_deref().unwrap_or(Path::new(SYSTEM_ROOTS)))?,
            false => Vec::new(),
        };
        Ok(Self::with_roots(base, options.tries, roots))
    }

    fn with_roots(base: String, tries: u32, roots: Vec<Certificate<'static>>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_recv_body(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(tls)
            .build();
        let base = base.trim_end_matches('/').to_owned();
        Self { base, agent: config.new_agent(), tries: tries.max(1) }
    }

    /// Tries until `ask` says something else than that the server did not deliver.
    fn persist<T>(&self, ask: &mut dyn FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut pause = Duration::from_millis(500);
        for _ in 1..self.tries {
            match ask() {
                Err(StoreError::Remote { .. }) => std::thread::sleep(pause),
                answer => return answer,
            }
            pause *= 2;
        }
        ask()
    }

    /// The bytes of a file, or of a part of it; `None` if there is no such file. A connection that
    /// breaks leaves what came until then.
    fn get(&self, path: &str, range: Option<(u64, u64)>) -> Result<Option<Answer>, StoreError> {
        let url = format!("{}/{path}", self.base);
        let remote = |reason: String| StoreError::Remote { url: url.clone(), reason };
        let mut request = self.agent.get(&url);
        if let Some((offset, length)) = range {
            request = request.header("Range", format!("bytes={offset}-{}", offset + length - 1));
        }
        let response = request.call().map_err(|e| remote(e.to_string()))?;
        match (response.status().as_u16(), range) {
            (200, None) | (206, Some(_)) => {}
            (404, _) => return Ok(None),
            (416, _) => {
                return Err(StoreError::corrupt(path, "it is shorter than its manifest says"));
            }
            (status, _) => return Err(remote(format!("the server answered with status {status}"))),
        }
        let mut bytes = Vec::new();
        let limit = range.map_or(u64::MAX, |(_, length)| length + 1);
        let mut body = response.into_body().into_reader().take(limit);
        let broken = body.read_to_end(&mut bytes).map_err(|e| remote(e.to_string())).err();
        Ok(Some(Answer { bytes, broken }))
    }
}

impl Source for HttpSource {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.persist(&mut || match self.get(path, None)? {
            Some(Answer { broken: Some(error), .. }) => Err(error),
            answer => Ok(answer.map(|answer| answer.bytes)),
        })
    }

    /// What came before a connection broke is kept: only the rest is asked for again.
    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes: Vec<u8> = Vec::new();
        if length == 0 {
            return Ok(bytes);
        }
        let missing = || StoreError::Missing { object: path.to_owned() };
        let url = format!("{}/{path}", self.base);
        self.persist(&mut || {
            let have = bytes.len() as u64;
            let answer = self.get(path, Some((offset + have, length - have)))?;
            let answer = answer.ok_or_else(missing)?;
            bytes.extend(answer.bytes);
            match (answer.broken, bytes.len() as u64) {
                (_, now) if now == length => Ok(()),
                (_, now) if now > length => {
                    bytes.clear();
                    let reason = format!("it sent more than the {length} bytes asked for");
                    Err(StoreError::Remote { url: url.clone(), reason })
                }
                (Some(error), _) => Err(error),
                (None, now) => {
                    let reason = format!("{now} of {length} bytes arrived");
                    Err(StoreError::Remote { url: url.clone(), reason })
                }
            }
        })?;
        Ok(bytes)
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let url = format!("{}/{path}", self.base);
        let remote = |reason: String| StoreError::Remote { url: url.clone(), reason };
        self.persist(&mut || {
            let response = self.agent.head(&url).call().map_err(|e| remote(e.to_string()))?;
            match response.status().as_u16() {
                200 => {}
                404 => return Ok(None),
                status => return Err(remote(format!("the server answered with status {status}"))),
            }
            let length = response.headers().get("content-length");
            let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
            let no_length = || remote("the server does not say how long it is".to_owned());
            length.map(Some).ok_or_else(no_length)
        })
    }
}

fn read_roots(file: &Path) -> Result<Vec<Certificate<'static>>, StoreError> {
    let bad = |reason: String| StoreError::BadRoots { path: file.to_owned(), reason };
    let pem = std::fs::read(file).map_err(StoreError::io("read", file))?;
    let roots: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .map(|found| found.map(|der| Certificate::from_der(&der).to_owned()))
        .collect::<Result<_, _>>()
        .map_err(|e| bad(e.to_string()))?;
    match roots.is_empty() {
        true => Err(bad("there is no certificate in it".to_owned())),
        false => Ok(roots),
    }
}
