//! Reads a source and counts what that moves.

use crate::StoreError;
use crate::source::{Source, read_as, read_range_good};
use std::sync::atomic::{AtomicU64, Ordering};

/// A source with a meter.
pub struct Meter<'a> {
    source: &'a dyn Source,
    bytes: AtomicU64,
    requests: AtomicU64,
}

impl<'a> Meter<'a> {
    /// Counts from nought.
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source, bytes: AtomicU64::new(0), requests: AtomicU64::new(0) }
    }

    /// Bytes that came.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Files and ranges that were asked for.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What a small file holds, as `parse` reads it; `None` if there is none.
    pub fn read<T>(
        &self,
        path: &str,
        parse: &dyn Fn(&[u8]) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        read_as(self.source, path, &|bytes| {
            self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            parse(bytes)
        })
    }

    /// What a small file that is compressed by zstd holds; a file that is not there is an error.
    pub fn read_compressed<T>(
        &self,
        path: &str,
        parse: &dyn Fn(&[u8]) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let parsed = self.read(path, &|packed| {
            let json = zstd::stream::decode_all(packed)
                .map_err(|e| StoreError::corrupt(path, format!("zstd says: {e}")))?;
            parse(&json)
        })?;
        parsed.ok_or_else(|| StoreError::Missing { object: path.to_owned() })
    }

    /// A range of a file that `check` finds good.
    pub fn read_range(
        &self,
        path: &str,
        (offset, length): (u64, u64),
        check: &dyn Fn(&[u8]) -> Result<(), StoreError>,
    ) -> Result<Vec<u8>, StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        read_range_good(self.source, path, offset, length, &|bytes| {
            self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            check(bytes)
        })
    }
}
