//! Content-addressed images: made from a tree, stored once per content, verified whenever read.
//!
//! The crate never knows what an operating system is: it sees entries and bytes. Read [`Store`]
//! first (a directory of images), then [`FetchedImage`] (one image whose every byte has been
//! verified and is at hand).
//!
//! ```text
//! STORE/
//!   packs/DIGEST.pack            zstd frames, one behind the other; immutable      (pack.rs)
//!   manifests/DIGEST.json.zst    every inode, and where its bytes are; immutable   (manifest.rs)
//!   refs/NAME                    digest of a manifest, in text; the only mutable thing
//!   tmp/                         what is being written; renamed when it is whole
//! ```
//!
//! A pack is named by the BLAKE3 of its bytes, a manifest by the BLAKE3 of its uncompressed JSON.
//! The layout needs no server logic: any HTTP server with ranges can publish a store read-only.

mod add;
mod error;
mod fetch;
mod image;
mod manifest;
mod pack;
mod source;
mod store;
mod walk;

pub use add::AddOptions;
pub use error::StoreError;
pub use fetch::fetch;
pub use image::FetchedImage;
pub use manifest::{Frame, Manifest, Pack, Place};
pub use source::{DirSource, HttpSource, Source};
pub use store::{Store, VerifyReport};

/// Told how many bytes of how many are done.
pub type OnBytes<'a> = &'a (dyn Fn(u64, u64) + Sync);
