//! A map: in which packs the objects of an image are.
//!
//! Stored as JSON compressed by zstd under the digest of the image's manifest, and written anew when
//! packs are. Nothing vouches for a map, and nothing has to: whoever reads an object compares it
//! with its digest, which the manifest has.

use crate::error::check_digest;
use crate::manifest::ObjectList;
use crate::object::{MAX_OBJECT_BYTES, Object};
use crate::{StoreError, pack};
use hostwright_model::ids::Digest;
use serde::{Deserialize, Serialize};

/// Version of the format, raised when an older program would misread it.
pub const MAP_VERSION: u32 = 1;

/// Where the objects of one manifest are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// [`MAP_VERSION`] of the program that wrote it.
    pub version: u32,
    /// The packs that are needed.
    pub packs: Vec<MapPack>,
}

/// The part of a pack that an image needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapPack {
    /// BLAKE3 of all of its bytes.
    pub digest: Digest,
    /// The needed frames, in the order of their offsets.
    pub frames: Vec<MapFrame>,
}

/// A frame, and what of it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapFrame {
    /// Where it begins in the pack.
    pub offset: u64,
    /// Its compressed length in bytes.
    pub length: u32,
    /// Its length in bytes when decoded.
    pub raw_length: u32,
    /// What is in it, from its start.
    pub runs: Vec<Run>,
}

/// Objects that lie one behind the other, in the order of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32, u32)", into = "(u32, u32, u32)")]
pub struct Run {
    /// Bytes before it that belong to other images.
    pub skip: u32,
    /// Number of its first object.
    pub first: u32,
    /// How many objects.
    pub count: u32,
}

impl From<(u32, u32, u32)> for Run {
    fn from((skip, first, count): (u32, u32, u32)) -> Self {
        Self { skip, first, count }
    }
}

impl From<Run> for (u32, u32, u32) {
    fn from(run: Run) -> Self {
        (run.skip, run.first, run.count)
    }
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the pack in the map.
    pub pack: u32,
    /// Number of the frame in the pack.
    pub frame: u32,
    /// Its first byte in the decoded frame.
    pub offset: u32,
}

impl Map {
    /// Reads the map of the manifest with this digest.
    pub fn from_json(json: &[u8], manifest: Digest) -> Result<Self, StoreError> {
        let bad = |reason: String| StoreError::corrupt(path(manifest), reason);
        let map: Self = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        if map.version != MAP_VERSION {
            let version = map.version;
            return Err(bad(format!("it has format {version}, this program reads {MAP_VERSION}")));
        }
        Ok(map)
    }

    /// The bytes that are stored, compressed.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: a map has only string keys")
    }

    /// Compressed bytes of all frames that the image needs.
    pub fn packed_bytes(&self) -> u64 {
        let frames = self.packs.iter().flat_map(|pack| &pack.frames);
        frames.map(|frame| u64::from(frame.length)).sum()
    }

    /// The place of each object, in the order of the manifest. Fails if one has none, or a frame
    /// says that it holds more than it does.
    pub fn places(&self, list: &ObjectList, manifest: Digest) -> Result<Vec<Place>, StoreError> {
        let bad = |reason: &str| StoreError::corrupt(path(manifest), reason);
        let mut places = vec![None; list.objects.len()];
        for (pack, part) in self.packs.iter().enumerate() {
            if !part.is_in_order() {
                return Err(bad("the frames of a pack lie on one another"));
            }
            for (number, frame) in part.frames.iter().enumerate() {
                let held = frame.held(list).ok_or_else(|| bad("a frame holds what it cannot"))?;
                for (object, offset) in held {
                    let place = Place { pack: pack as u32, frame: number as u32, offset };
                    places[object as usize].get_or_insert(place);
                }
            }
        }
        let places: Option<Vec<Place>> = places.into_iter().collect();
        places.ok_or_else(|| bad("it does not say where all objects are"))
    }
}

impl MapPack {
    /// True if the frames lie one behind the other.
    fn is_in_order(&self) -> bool {
        let mut end = Some(0_u64);
        self.frames.iter().all(|frame| {
            let begins_behind = end.is_some_and(|end| frame.offset >= end);
            end = frame.offset.checked_add(frame.length.into());
            begins_behind && end.is_some()
        })
    }
}

impl MapFrame {
    /// The numbers of the needed objects, each with its first byte; `None` if they do not fit.
    pub fn held(&self, list: &ObjectList) -> Option<Vec<(u32, u32)>> {
        if self.raw_length as usize > MAX_OBJECT_BYTES {
            return None;
        }
        let mut held = Vec::new();
        let mut offset = 0_u32;
        for run in &self.runs {
            offset = offset.checked_add(run.skip)?;
            for number in run.first..run.first.checked_add(run.count)? {
                let object: &Object = list.objects.get(number as usize)?;
                held.push((number, offset));
                offset = offset.checked_add(object.length)?;
                if offset > self.raw_length {
                    return None;
                }
            }
        }
        Some(held)
    }

    /// Decodes the frame, which is `packed` in the pack at `path`, and compares every needed object
    /// in it with its digest.
    pub fn check(&self, path: &str, packed: &[u8], list: &ObjectList) -> Result<(), StoreError> {
        self.decode(path, packed, list).map(drop)
    }

    /// What the frame holds, after the same comparison.
    pub fn decode(
        &self,
        path: &str,
        packed: &[u8],
        list: &ObjectList,
    ) -> Result<Vec<u8>, StoreError> {
        let raw = pack::decompress(path, packed, self.raw_length)?;
        for (number, offset) in self.held(list).unwrap_or_default() {
            let object = list.objects[number as usize];
            let bytes = &raw[offset as usize..][..object.length as usize];
            check_digest(path, bytes, object.digest)?;
        }
        Ok(raw)
    }
}

/// Where the map of a manifest is inside a store.
pub fn path(manifest: Digest) -> String {
    format!("maps/{manifest}.json.zst")
}
