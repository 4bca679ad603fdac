//! Where the bytes of a store come from: a directory, or an HTTP server that publishes one.

use crate::StoreError;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// Something that has a store's files.
pub trait Source: Sync {
    /// A whole small file; `None` if there is none.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// `length` bytes of a file from `offset`. Fewer bytes are an error.
    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError>;
}

/// A store in a directory.
#[derive(Clone, Debug)]
pub struct DirSource {
    root: PathBuf,
}

impl DirSource {
    /// The store below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Source for DirSource {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let file = self.root.join(path);
        match std::fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", &file)(e)),
        }
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let file = self.root.join(path);
        let open = match File::open(&file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { object: path.to_owned() });
            }
            opened => opened.map_err(StoreError::io("open", &file))?,
        };
        let mut bytes = vec![0; usize::try_from(length).expect("invariant: ranges fit memory")];
        match open.read_exact_at(&mut bytes, offset) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(StoreError::corrupt(path, "it is shorter than its manifest says"))
            }
            read => read.map(|()| bytes).map_err(StoreError::io("read", &file)),
        }
    }
}

/// A store published over HTTP.
pub struct HttpSource {
    base: String,
    agent: ureq::Agent,
}

/// How often a request is tried, with a pause that doubles from half a second.
const TRIES: u32 = 6;

impl HttpSource {
    /// The store whose files are below `base`, `http://10.0.0.1/store`.
    pub fn new(base: impl Into<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_body(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Self { base: base.into().trim_end_matches('/').to_owned(), agent: config.new_agent() }
    }

    fn get(&self, path: &str, range: Option<(u64, u64)>) -> Result<Option<Vec<u8>>, StoreError> {
        let mut pause = Duration::from_millis(500);
        for _ in 1..TRIES {
            match self.try_get(path, range) {
                Err(StoreError::Remote { .. }) => std::thread::sleep(pause),
                answer => return answer,
            }
            pause *= 2;
        }
        self.try_get(path, range)
    }

    fn try_get(
        &self,
        path: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
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
        let mut body = response.into_body().into_reader();
        body.read_to_end(&mut bytes).map_err(|e| remote(e.to_string()))?;
        match range {
            Some((_, length)) if bytes.len() as u64 != length => {
                Err(remote(format!("{} of {length} bytes arrived", bytes.len())))
            }
            _ => Ok(Some(bytes)),
        }
    }
}

impl Source for HttpSource {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(path, None)
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let missing = || StoreError::Missing { object: path.to_owned() };
        self.get(path, Some((offset, length)))?.ok_or_else(missing)
    }
}
