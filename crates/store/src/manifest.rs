//! A manifest: every inode of an image, and the objects that its files consist of.
//!
//! Stored as JSON compressed by zstd. Its digest is that of the JSON, so that it does not depend on
//! a compressor's version. It does not say where the objects are: a store may pack them anew, and
//! every copy of an image has the same digest.

use crate::StoreError;
use crate::error::check_digest;
use crate::object::{MAX_OBJECT_BYTES, Object};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, ImageOrigin};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Version of the format, raised when an older program would misread it.
pub const MANIFEST_VERSION: u32 = 2;

/// Everything about one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] of the program that wrote it.
    pub version: u32,
    /// What the image was built from.
    pub origin: ImageOrigin,
    /// Inodes; a directory comes before what is in it.
    pub entries: Vec<Entry>,
    /// The chunks of each file that is too large for one object, by the file's digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chunks: BTreeMap<Digest, Vec<Object>>,
}

/// The objects of a manifest, each once, in the order in which its files need them.
#[derive(Clone, Debug, Default)]
pub struct ObjectList {
    /// The objects. Maps name them by their number here.
    pub objects: Vec<Object>,
    /// The number of each.
    pub numbers: HashMap<Digest, u32>,
}

impl Manifest {
    /// The canonical bytes, whose BLAKE3 names the manifest.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: a manifest has only string keys")
    }

    /// Reads canonical bytes after comparing them with `digest`.
    pub fn from_json(json: &[u8], digest: Digest) -> Result<Self, StoreError> {
        let object = path(digest);
        check_digest(&object, json, digest)?;
        let bad = |reason: String| StoreError::corrupt(&object, reason);
        let manifest: Self = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        if manifest.version != MANIFEST_VERSION {
            let version = manifest.version;
            return Err(bad(format!(
                "it has format {version}, this program reads {MANIFEST_VERSION}"
            )));
        }
        manifest.check().map_err(bad)?;
        Ok(manifest)
    }

    /// Sum of the lengths of all files.
    pub fn content_bytes(&self) -> u64 {
        self.entries.iter().map(Entry::size_bytes).sum()
    }

    /// The objects that a file consists of, in order; none for anything but a file with content.
    pub fn pieces(&self, entry: &Entry) -> Vec<Object> {
        match entry.kind {
            EntryKind::File { size, digest } if size > 0 => match self.chunks.get(&digest) {
                Some(chunks) => chunks.clone(),
                None => vec![Object { digest, length: u32::try_from(size).unwrap_or(u32::MAX) }],
            },
            _ => Vec::new(),
        }
    }

    /// All objects that the image needs.
    pub fn object_list(&self) -> ObjectList {
        let mut list = ObjectList::default();
        for object in self.entries.iter().flat_map(|entry| self.pieces(entry)) {
            list.numbers.entry(object.digest).or_insert_with(|| {
                list.objects.push(object);
                (list.objects.len() - 1) as u32
            });
        }
        list
    }

    /// A manifest that its digest vouches for can still come from a faulty program: lengths must
    /// add up before anything relies on them.
    fn check(&self) -> Result<(), String> {
        let mut lengths: HashMap<Digest, u32> = HashMap::new();
        for entry in &self.entries {
            let pieces = self.pieces(entry);
            let sum: u64 = pieces.iter().map(|piece| u64::from(piece.length)).sum();
            if sum != entry.size_bytes() {
                return Err(format!("{}: its chunks are {sum} bytes long", entry.path));
            }
            for piece in pieces {
                if piece.length == 0 || piece.length as usize > MAX_OBJECT_BYTES {
                    return Err(format!("{}: it has an object that is too long", entry.path));
                }
                if *lengths.entry(piece.digest).or_insert(piece.length) != piece.length {
                    return Err(format!("{}: an object has two lengths", entry.path));
                }
            }
        }
        Ok(())
    }
}

/// Where a manifest is inside a store.
pub fn path(digest: Digest) -> String {
    format!("manifests/{digest}.json.zst")
}
