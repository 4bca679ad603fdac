//! Where a store can be copied to over the network.

use crate::StoreError;
use crate::source::Source;
use std::path::Path;

/// A remote store that takes files. Each arrives whole or not at all.
pub trait Sink: Source {
    /// Stores a file that is immutable: it has its digest in its name. `on_bytes` is told how many
    /// bytes more have been sent.
    fn put_file(
        &self,
        path: &str,
        file: &Path,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<(), StoreError>;

    /// Stores a small file, over one that is there.
    fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), StoreError>;

    /// A small file and what tells this version of it from others.
    fn read_version(&self, path: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError>;

    /// Stores a small file if what is there is still `old`; `None` is nothing. False if it is not.
    fn replace(
        &self,
        path: &str,
        bytes: Vec<u8>,
        old: Option<&Version>,
    ) -> Result<bool, StoreError>;

    /// The names of the files in a directory of the store, sorted.
    fn list(&self, dir: &str) -> Result<Vec<String>, StoreError>;
}

/// A version of a file, as its server names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub(crate) String);
