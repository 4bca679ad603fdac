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
//!   upstream/NAME                names as they were seen where they were pulled    (pull.rs)
//!   signing-key                  signs them; is not for others                     (keys.rs)
//!   condemned/                   what nothing needs, until its grace is over          (collect.rs)
//!   tmp/                         what is being written; renamed when it is whole
//! ```
//!
//! A pack is named by the BLAKE3 of its bytes, a manifest by the BLAKE3 of its uncompressed JSON: it
//! pins every byte of an image, wherever it is packed. The layout needs no server logic: any HTTP
//! server with ranges can publish a store read-only.

mod add;
mod address;
mod blocks;
mod cached;
mod catalog;
mod collect;
mod delta;
mod diff;
mod error;
mod failover;
mod fetch;
mod frames;
mod http;
mod image;
mod import;
mod keys;
mod manifest;
mod map;
mod meter;
mod object;
mod optimize;
mod pack;
mod packer;
mod pull;
mod push;
mod remote;
mod request;
#[cfg(feature = "s3")]
mod s3;
mod scan;
mod scrub;
mod seed;
mod sink;
mod source;
mod store;
mod stream;
mod upgrade;
mod walk;

pub use add::AddOptions;
pub use address::StoreAddress;
pub use blocks::{BlockExtent, BlockImage, write_blocks};
pub use cached::Cached;
pub use collect::{CollectOptions, CollectReport};
pub use diff::{Change, Difference, differences};
pub use error::StoreError;
pub use failover::Failover;
pub use fetch::{FetchReport, fetch, fetch_with_seeds};
pub use http::{HttpOptions, HttpSource};
pub use image::FetchedImage;
pub use import::Import;
pub use keys::{BadKey, PublicKey, SecretKey};
pub use manifest::{Manifest, ObjectList};
pub use map::{Map, MapFrame, MapPack, Place, Run};
pub use object::Object;
pub use optimize::{OPTIMIZE_LEVEL, OptimizeReport};
pub use pull::{PullOptions, Pulled};
pub use push::Pushed;
pub use remote::RemoteStore;
#[cfg(feature = "s3")]
pub use s3::{S3Settings, S3Store};
pub use scrub::{Damage, ScrubReport};
pub use seed::Seeds;
pub use sink::{Sink, Version};
pub use source::{Check, DirSource, Source, read_as, read_range_good};
pub use store::{Store, VerifyReport};
pub use stream::{Issue, Stream};

/// Told how many bytes of how many are done.
pub type OnBytes<'a> = &'a (dyn Fn(u64, u64) + Sync);
