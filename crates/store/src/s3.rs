//! A store in a bucket of any S3 service.
//!
//! The objects have the names of the store's files behind the prefix. What never changes says so to
//! caches. The crate behind it is asynchronous: a small runtime of its own drives it, and callers
//! wait.

use crate::StoreError;
use crate::address::StoreAddress;
use crate::sink::{Sink, Version};
use crate::source::{Source, is_immutable};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, Error, GetOptions, MultipartUpload, ObjectStore, ObjectStoreExt as _,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, UpdateVersion,
};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// One request of an upload carries this much; no service takes less than 5 MiB.
const PART_BYTES: u64 = 8 << 20;
const NEVER_CHANGES: &str = "public, immutable, max-age=31536000";
const CHANGES: &str = "public, max-age=60";

/// How a service is reached: variables as other programs know them, `AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL` and so on.
#[derive(Clone, Default)]
pub struct S3Settings {
    /// Names with their values. Those that nobody knows are passed over.
    pub variables: Vec<(String, String)>,
}

impl std::fmt::Debug for S3Settings {
    /// The values hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.variables.iter().map(|(name, _)| name)).finish()
    }
}

/// A store in a bucket.
pub struct S3Store {
    bucket: Arc<dyn ObjectStore>,
    address: StoreAddress,
    prefix: String,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl S3Store {
    /// The store in `bucket` whose objects' names begin with `prefix`.
    pub fn new(bucket: &str, prefix: &str, settings: &S3Settings) -> Result<Self, StoreError> {
        let prefix = prefix.trim_matches('/').to_owned();
        let address = StoreAddress::S3 { bucket: bucket.to_owned(), prefix: prefix.clone() };
        let unusable =
            |reason: String| StoreError::Unusable { address: address.to_string(), reason };
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
        for (name, value) in &settings.variables {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
            // Whoever names such an endpoint means it.
            if name.contains("ENDPOINT") && value.starts_with("http://") {
                builder = builder.with_allow_http(true);
            }
        }
        let built = builder.build().map_err(|e| unusable(e.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3")
            .enable_all()
            .build();
        let runtime = Some(runtime.map_err(|e| unusable(e.to_string()))?);
        Ok(Self { bucket: Arc::new(built), address, prefix, runtime })
    }

    /// Waits for `work`. Must not be called from a task of another runtime.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("invariant: it is not dropped").block_on(work)
    }

    fn key(&self, path: &str) -> Key {
        match self.prefix.is_empty() {
            true => Key::from(path),
            false => Key::from(format!("{}/{path}", self.prefix)),
        }
    }

    fn failed(&self, path: &str) -> impl Fn(Error) -> StoreError {
        let url = format!("{}/{path}", self.address);
        move |error| StoreError::Remote { url: url.clone(), reason: error.to_string() }
    }

    fn put_with(&self, path: &str, bytes: Vec<u8>, mode: PutMode) -> Result<(), Error> {
        let options = PutOptions { mode, attributes: attributes(path), ..PutOptions::default() };
        let payload = PutPayload::from_bytes(Bytes::from(bytes));
        self.wait(self.bucket.put_opts(&self.key(path), payload, options)).map(drop)
    }

    async fn send_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        file: &Path,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<(), SendError> {
        let mut open = File::open(file)?;
        loop {
            let mut part = Vec::new();
            (&mut open).take(PART_BYTES).read_to_end(&mut part)?;
            let length = part.len() as u64;
            if length == 0 {
                return upload.complete().await.map(drop).map_err(SendError::Service);
            }
            upload
                .put_part(PutPayload::from_bytes(Bytes::from(part)))
                .await
                .map_err(SendError::Service)?;
            on_bytes(length);
        }
    }
}

/// Why an upload stopped.
enum SendError {
    File(std::io::Error),
    Service(Error),
}

impl From<std::io::Error> for SendError {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

impl Drop for S3Store {
    /// A runtime must not wait for its threads inside another one.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Source for S3Store {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read_version(path)?.map(|(bytes, _)| bytes))
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        if length == 0 {
            return Ok(Vec::new());
        }
        let key = self.key(path);
        let bytes = match self.wait(self.bucket.get_range(&key, offset..offset + length)) {
            Err(Error::NotFound { .. }) => {
                return Err(StoreError::Missing { object: path.to_owned() });
            }
            got => got.map_err(self.failed(path))?,
        };
        match bytes.len() as u64 == length {
            true => Ok(bytes.to_vec()),
            false => Err(StoreError::corrupt(path, "it is shorter than its manifest says")),
        }
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        match self.wait(self.bucket.head(&self.key(path))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(path)(error)),
        }
    }
}

impl Sink for S3Store {
    fn put_file(
        &self,
        path: &str,
        file: &Path,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<(), StoreError> {
        let length = file.metadata().map_err(StoreError::io("read", file))?.len();
        if length <= PART_BYTES {
            let bytes = std::fs::read(file).map_err(StoreError::io("read", file))?;
            self.put(path, bytes)?;
            on_bytes(length);
            return Ok(());
        }
        self.wait(async {
            let options =
                PutMultipartOptions { attributes: attributes(path), ..Default::default() };
            let begun = self.bucket.put_multipart_opts(&self.key(path), options).await;
            let mut upload = begun.map_err(self.failed(path))?;
            let error = match self.send_parts(&mut *upload, file, on_bytes).await {
                Ok(()) => return Ok(()),
                Err(SendError::File(error)) => StoreError::io("read", file)(error),
                Err(SendError::Service(error)) => self.failed(path)(error),
            };
            // Parts that were sent cost room. That they stay is not what went wrong first.
            let _ = upload.abort().await;
            Err(error)
        })
    }

    fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.put_with(path, bytes, PutMode::Overwrite).map_err(self.failed(path))
    }

    fn read_version(&self, path: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let key = self.key(path);
        let got = self.wait(async {
            let got = self.bucket.get_opts(&key, GetOptions::default()).await?;
            let tag = got.meta.e_tag.clone().unwrap_or_default();
            Ok((got.bytes().await?.to_vec(), Version(tag)))
        });
        match got {
            Ok(read) => Ok(Some(read)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(path)(error)),
        }
    }

    fn replace(
        &self,
        path: &str,
        bytes: Vec<u8>,
        old: Option<&Version>,
    ) -> Result<bool, StoreError> {
        let mode = match old {
            None => PutMode::Create,
            Some(Version(tag)) => {
                PutMode::Update(UpdateVersion { e_tag: Some(tag.clone()), version: None })
            }
        };
        match self.put_with(path, bytes, mode) {
            Ok(()) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.failed(path)(error)),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, StoreError> {
        let prefix = self.key(dir);
        let found = self.wait(self.bucket.list(Some(&prefix)).try_collect::<Vec<_>>());
        let found = found.map_err(self.failed(dir))?;
        let name = |key: &Key| key.filename().map(str::to_owned);
        let mut names: Vec<String> = found.iter().filter_map(|meta| name(&meta.location)).collect();
        names.sort_unstable();
        Ok(names)
    }
}

/// What an object says about itself.
fn attributes(path: &str) -> Attributes {
    let mut attributes = Attributes::new();
    let cache = if is_immutable(path) { NEVER_CHANGES } else { CHANGES };
    attributes.insert(Attribute::CacheControl, cache.into());
    attributes.insert(Attribute::ContentType, "application/octet-stream".into());
    attributes
}
