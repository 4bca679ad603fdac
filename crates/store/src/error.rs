//! Why something could not be stored or read.

use crate::keys::PublicKey;
use hostwright_model::ids::Digest;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A system call on a path failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Bytes do not match the digest they are named by.
    #[error(
        "{object} is corrupt: {reason}; add the image again, or copy the object from a good store"
    )]
    Corrupt {
        /// The object, as a path inside the store.
        object: String,
        /// In what way.
        reason: String,
    },
    /// An object is not there.
    #[error("{object} is missing; add the image again, or copy the object from a good store")]
    Missing {
        /// The object, as a path inside the store.
        object: String,
    },
    /// No image has this name or digest.
    #[error("there is no image '{name}' in the store; 'hostwright image list' shows what there is")]
    UnknownImage {
        /// What was asked for.
        name: String,
    },
    /// A name cannot be the name of an image.
    #[error(
        "'{name}' cannot name an image: use letters, digits, '.', '_' and '-', and begin with a letter or digit"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// A file name is not UTF-8.
    #[error("the name of {} is not UTF-8; rename or exclude it", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be part of an image.
    #[error("{} is a socket, which an image cannot hold; stop the program that made it, or exclude it", path.display())]
    Socket {
        /// The file.
        path: PathBuf,
    },
    /// An entry that no tree can have.
    #[error("'{path}' cannot be part of an image: {reason}")]
    BadEntry {
        /// Its path in the image.
        path: String,
        /// Why.
        reason: String,
    },
    /// A file changed while it was read.
    #[error("{} changed while the image was made; stop what writes to it and try again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A text that is no address of a store.
    #[error("'{address}' is not the address of a store: {reason}")]
    BadAddress {
        /// The text.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file that should name who may vouch for servers.
    #[error("{} names nobody who could vouch for a server: {reason}", path.display())]
    BadRoots {
        /// The file.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// An address that cannot be used for this.
    #[error("the store {address} cannot be used here: {reason}")]
    Unusable {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// Nobody has said yet whose signature under a name counts.
    #[error(
        "'{name}' is signed by {found}, whom nobody here trusts yet; compare the key with what its \
         owner says, and give it with --key"
    )]
    Untrusted {
        /// The name.
        name: String,
        /// Who signed it.
        found: Box<PublicKey>,
    },
    /// Somebody else signed a name.
    #[error("'{name}' is signed by {found}, and the key that counts is {pinned}")]
    OtherKey {
        /// The name.
        name: String,
        /// Who signed it.
        found: Box<PublicKey>,
        /// Whose signature counts.
        pinned: Box<PublicKey>,
    },
    /// A store shows an older state of a name than it did before.
    #[error(
        "'{name}' has been put back: it was seen in generation {seen} and is now {found}; ask the \
         store's owner, and remove upstream/{name} in this store if that is right"
    )]
    RolledBack {
        /// The name.
        name: String,
        /// The newest generation seen.
        seen: u64,
        /// The one that is there now.
        found: u64,
    },
    /// Others changed a name again and again.
    #[error("others keep changing '{name}' in the store; try again when they have done")]
    Contended {
        /// The name.
        name: String,
    },
    /// A server did not deliver.
    #[error("{url} could not be fetched: {reason}")]
    Remote {
        /// The address.
        url: String,
        /// What came instead.
        reason: String,
    },
}

impl StoreError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn other_key(name: impl Into<String>, found: PublicKey, pinned: PublicKey) -> Self {
        Self::OtherKey { name: name.into(), found: found.into(), pinned: pinned.into() }
    }

    pub(crate) fn corrupt(object: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Corrupt { object: object.into(), reason: reason.into() }
    }
}

/// Compares bytes with the digest that names them.
pub(crate) fn check_digest(object: &str, bytes: &[u8], want: Digest) -> Result<(), StoreError> {
    let found = Digest(*blake3::hash(bytes).as_bytes());
    if found == want {
        return Ok(());
    }
    Err(StoreError::corrupt(object, format!("its BLAKE3 is {found} and should be {want}")))
}
