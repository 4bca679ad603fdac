//! A manifest: every inode of an image, and where the bytes of its files are.
//!
//! Stored as JSON compressed by zstd. Its digest is that of the JSON, so that it does not depend on
//! a compressor's version.

use crate::StoreError;
use crate::error::check_digest;
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, ImageOrigin};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the format, raised when an older program would misread it.
pub const MANIFEST_VERSION: u32 = 1;

/// Everything about one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] of the program that wrote it.
    pub version: u32,
    /// What the image was built from.
    pub origin: ImageOrigin,
    /// Inodes; a directory comes before what is in it.
    pub entries: Vec<Entry>,
    /// The packs that hold its files.
    pub packs: Vec<Pack>,
    /// Where the content of each file is.
    pub places: BTreeMap<Digest, Place>,
}

/// A pack, or the part of it that the image needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// BLAKE3 of all of its bytes.
    pub digest: Digest,
    /// The frames that the image needs, in order.
    pub frames: Vec<Frame>,
}

/// A zstd frame of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Where it begins in the pack.
    pub offset: u64,
    /// Its compressed length in bytes.
    pub length: u32,
    /// Its length in bytes when decoded.
    pub raw_length: u32,
    /// BLAKE3 of its compressed bytes.
    pub digest: Digest,
}

/// Where the content of a file begins. It goes on through the following frames of the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Index into [`Manifest::packs`].
    pub pack: u32,
    /// Index into [`Pack::frames`].
    pub frame: u32,
    /// First byte inside the decoded frame.
    pub offset: u32,
}

impl Manifest {
    /// The canonical bytes, whose BLAKE3 names the manifest.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: a manifest has only string keys")
    }

    /// Reads canonical bytes after comparing them with `digest`.
    pub fn from_json(json: &[u8], digest: Digest) -> Result<Self, StoreError> {
        let object = format!("manifests/{digest}.json.zst");
        check_digest(&object, json, digest)?;
        let bad = |reason: String| StoreError::corrupt(&object, reason);
        let manifest: Self = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        if manifest.version != MANIFEST_VERSION {
            let version = manifest.version;
            return Err(bad(format!(
                "it has format {version}, this program reads {MANIFEST_VERSION}"
            )));
        }
        manifest.check_places().map_err(bad)?;
        Ok(manifest)
    }

    /// Sum of the lengths of all files.
    pub fn content_bytes(&self) -> u64 {
        self.entries.iter().map(Entry::size_bytes).sum()
    }

    /// Compressed bytes of all frames that the image needs.
    pub fn packed_bytes(&self) -> u64 {
        let frames = self.packs.iter().flat_map(|pack| &pack.frames);
        frames.map(|frame| u64::from(frame.length)).sum()
    }

    /// A manifest signed off by its digest can still come from a faulty program: every index must
    /// lead somewhere before anything relies on it.
    fn check_places(&self) -> Result<(), String> {
        for entry in &self.entries {
            let EntryKind::File { size, digest } = &entry.kind else { continue };
            if *size == 0 {
                continue;
            }
            let place = self.places.get(digest).ok_or("a file has no place")?;
            let pack = self.packs.get(place.pack as usize).ok_or("a place names no pack")?;
            let frames = pack.frames.get(place.frame as usize..).ok_or("a place names no frame")?;
            let there: u64 = frames.iter().map(|frame| u64::from(frame.raw_length)).sum();
            if u64::from(place.offset) + size > there {
                return Err(format!("{} reaches beyond its pack", entry.path));
            }
        }
        Ok(())
    }
}
