//! Content-addressed images: made from a tree, stored once per content, verified whenever read.
//!
//! The crate never knows what an operating system is: it sees entries and bytes. Read [`Store`]
//! first (a directory of images), then [`FetchedImage`] (one image whose every byte has been
//! verified and is at hand).
//!
//! ```text
//! STORE/
//!   packs/DIGEST.pack            objects in zstd frames; immutable                 (pack.rs)
//!   manifests/DIGEST.json.zst    every inode, and its objects; immutable           (manifest.rs)
//!   maps/DIGEST.json.zst         in which packs the objects of a manifest are      (map.rs)
//!   upgrades/DIGEST.json.zst     which deltas lead to a manifest from older ones   (upgrade.rs)
//!   deltas/DIGEST.delta          objects as differences from older files; immutable (delta.rs)
//!   refs/NAME                    the manifests that had a name, signed             (stream.rs)
//!   signing-key                  signs them; is not for others                     (keys.rs)
//!   condemned/                   what nothing needs, until its grace is over          (collect.rs)
//!   tmp/                         what is being written; renamed when it is whole
//! ```
//!
//! A pack is named by the BLAKE3 of its bytes, a manifest by the BLAKE3 of its uncompressed JSON: it
//! pins every byte of an image, wherever it is packed. The layout needs no server logic: any HTTP
//! server with ranges can publish a store read-only.

mod add;
mod blocks;
mod catalog;
mod collect;
mod delta;
mod diff;
mod error;
mod fetch;
mod frames;
mod image;
mod keys;
mod manifest;
mod map;
mod meter;
mod object;
mod optimize;
mod pack;
mod packer;
mod request;
mod scan;
mod seed;
mod source;
mod store;
mod stream;
mod upgrade;
mod walk;

pub use add::AddOptions;
pub use blocks::{BlockExtent, BlockImage, write_blocks};
pub use collect::{CollectOptions, CollectReport};
pub use diff::{Change, Difference, differences};
pub use error::StoreError;
pub use fetch::{FetchReport, fetch, fetch_with_seeds};
pub use image::FetchedImage;
pub use keys::{BadKey, PublicKey, SecretKey};
pub use manifest::{Manifest, ObjectList};
pub use map::{Map, MapFrame, MapPack, Place, Run};
pub use object::Object;
pub use optimize::{OPTIMIZE_LEVEL, OptimizeReport};
pub use seed::Seeds;
pub use source::{DirSource, HttpSource, Source};
pub use store::{Store, VerifyReport};
pub use stream::{Issue, Stream};

/// Told how many bytes of how many are done.
pub type OnBytes<'a> = &'a (dyn Fn(u64, u64) + Sync);
