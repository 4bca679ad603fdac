//! Several sources of the same store: the first good answer wins.

use crate::StoreError;
use crate::source::{Source, first_good, read_as, read_range_good};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a source that failed is asked last.
const SHUNNED_FOR: Duration = Duration::from_secs(30);

/// Sources that are asked one after the other.
pub struct Failover {
    members: Vec<Member>,
}

impl Failover {
    /// Asks `sources` in their order; who did not deliver is asked last for a while.
    pub fn new(sources: Vec<Box<dyn Source + Send>>) -> Self {
        let member = |source| Member { source, failed: Mutex::new(None) };
        Self { members: sources.into_iter().map(member).collect() }
    }
}

impl Source for Failover {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        read_as(self, path, &|bytes| Ok(bytes.to_vec()))
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        read_range_good(self, path, offset, length, &|_| Ok(()))
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let missing = || StoreError::Missing { object: path.to_owned() };
        match first_good(self, &mut |part| part.length(path)?.ok_or_else(missing)) {
            Ok(length) => Ok(Some(length)),
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parts(&self) -> Vec<&dyn Source> {
        let (shunned, ready): (Vec<&Member>, Vec<_>) =
            self.members.iter().partition(|member| member.is_shunned());
        ready.into_iter().chain(shunned).map(|member| member as &dyn Source).collect()
    }
}

/// One of the sources, and when it failed last.
struct Member {
    source: Box<dyn Source + Send>,
    failed: Mutex<Option<Instant>>,
}

impl Member {
    fn is_shunned(&self) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < SHUNNED_FOR)
    }

    fn shun(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn watched<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Remote { .. } | StoreError::Io { .. }) = &answer {
            self.shun();
        }
        answer
    }
}

impl Source for Member {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.watched(self.source.read(path))
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.watched(self.source.read_range(path, offset, length))
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.watched(self.source.length(path))
    }

    /// A damaged answer counts as none.
    fn distrust(&self, path: &str) {
        self.shun();
        self.source.distrust(path);
    }
}
