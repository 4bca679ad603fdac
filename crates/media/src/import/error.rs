//! Why something could not be made an image.

use hostwright_host::HostError;
use hostwright_store::StoreError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why an import failed.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The store refused it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A disk image could not be attached or mounted.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A file could not be read.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel or the decompressor said.
        #[source]
        source: io::Error,
    },
    /// A file is nothing that an image can be made of.
    #[error(
        "{} is no directory, no tar, no OCI image and no disk image: nothing an image can be made \
         of", path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// An archive or disk image is broken, or has what an image cannot hold.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A text that names no image of an imageserver.
    #[error("'{text}' names no image of an imageserver: dominator://HOST[:PORT]/IMAGE does")]
    BadDominatorImage {
        /// The text.
        text: String,
    },
    /// An imageserver did not deliver.
    #[error("the imageserver {server} does not deliver: {reason}")]
    Remote {
        /// Its address.
        server: String,
        /// What came instead.
        reason: String,
    },
}

impl ImportError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.into() }
    }
}
