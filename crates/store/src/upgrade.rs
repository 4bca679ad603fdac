//! Upgrades: the objects of an image as differences from files that older images had.
//!
//! ```text
//! upgrades/MANIFEST.json.zst   for each older image the frames that lead from it to this one
//! deltas/DIGEST.delta          those frames one behind the other, named by the BLAKE3 of all of it
//! frame                        zstd( objects, together up to 4 MiB ), its prefix: the bases, up to 8 MiB
//! ```
//!
//! A base is a part of a file as the older image had it. Whoever has such a file decodes the frame
//! with it; who has not fetches the objects from the packs, which hold all of them as well. Objects
//! that resemble nothing old are in the frames, too, so that an upgrade is few requests. The first
//! bytes of a delta are the manifest itself, with the older manifest as its prefix.
//!
//! Nothing vouches for an upgrade, and nothing has to: what comes out is compared with the digests
//! of the manifest.

use crate::StoreError;
use crate::manifest::ObjectList;
use crate::object::Object;
use hostwright_model::ids::Digest;
use serde::{Deserialize, Serialize};
use std::io::{Read as _, Write as _};
use zstd::stream::{read::Decoder, write::Encoder};

/// Version of the format, raised when an older program would misread it.
pub const UPGRADE_VERSION: u32 = 1;
/// No frame decodes to more.
pub const MAX_FRAME_BYTES: u64 = 4 << 20;
/// The bases of a frame have no more bytes.
pub const MAX_BASE_BYTES: u64 = 8 << 20;
/// No manifest is longer.
const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// The ways that lead to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// [`UPGRADE_VERSION`] of the program that wrote it.
    pub version: u32,
    /// One for each older image, newest first.
    pub from: Vec<Way>,
}

/// The way from one older image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The manifest of the older image.
    pub manifest: Digest,
    /// BLAKE3 of the delta.
    pub delta: Digest,
    /// zstd's level.
    pub level: i32,
    /// Bytes of the manifest, with the older one as prefix, at the start of the delta.
    pub manifest_length: u32,
    /// The frames behind it, in the order of the paths.
    pub frames: Vec<DeltaFrame>,
}

/// Objects that are compressed together, with what they are differences from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaFrame {
    /// Where it begins in the delta.
    pub offset: u64,
    /// Its compressed length in bytes.
    pub length: u32,
    /// What it holds, one behind the other: number of the first object in the manifest, and how
    /// many follow one another there.
    pub runs: Vec<(u32, u32)>,
    /// What its prefix consists of, one behind the other.
    pub bases: Vec<Base>,
}

/// A part of a file that an older image had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BaseTuple", into = "BaseTuple")]
pub struct Base {
    /// Number of the entry in the new manifest whose path the file had.
    pub entry: u32,
    /// Its path, where it was another.
    pub path: Option<String>,
    /// The first 16 digits of the BLAKE3 of all of it: enough to know whether it is worth a try.
    pub digest: String,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

type BaseTuple = (u32, Option<String>, String, u64, u64);

impl From<BaseTuple> for Base {
    fn from((entry, path, digest, offset, length): BaseTuple) -> Self {
        Self { entry, path, digest, offset, length }
    }
}

impl From<Base> for BaseTuple {
    fn from(base: Base) -> Self {
        (base.entry, base.path, base.digest, base.offset, base.length)
    }
}

/// How a base names the file that it is a part of.
pub fn short(digest: Digest) -> String {
    digest.to_string()[..16].to_owned()
}

impl Upgrade {
    /// Reads the upgrade to the image with this manifest.
    pub fn from_json(json: &[u8], manifest: Digest) -> Result<Self, StoreError> {
        let bad = |reason: String| StoreError::corrupt(path(manifest), reason);
        let upgrade: Self = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        match upgrade.version {
            UPGRADE_VERSION => Ok(upgrade),
            version => {
                let reason =
                    format!("it has format {version}, this program reads {UPGRADE_VERSION}");
                Err(bad(reason))
            }
        }
    }

    /// The bytes that are stored, compressed.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: an upgrade has only string keys")
    }
}

impl DeltaFrame {
    /// The numbers of its objects; `None` if they do not fit the manifest or the limits.
    pub fn objects(&self, list: &ObjectList) -> Option<Vec<u32>> {
        let mut objects = Vec::new();
        let mut bytes = 0;
        for (first, count) in &self.runs {
            for number in *first..first.checked_add(*count)? {
                bytes += u64::from(list.objects.get(number as usize)?.length);
                objects.push(number);
                if bytes > MAX_FRAME_BYTES {
                    return None;
                }
            }
        }
        let base_bytes = self.bases.iter().map(|base| base.length.min(MAX_BASE_BYTES + 1));
        (base_bytes.sum::<u64>() <= MAX_BASE_BYTES).then_some(objects)
    }

    /// Decodes the frame of the delta at `path` and compares every object with its digest.
    pub fn decode(
        &self,
        path: &str,
        packed: &[u8],
        prefix: &[u8],
        list: &ObjectList,
    ) -> Result<Vec<(Object, Vec<u8>)>, StoreError> {
        let bad = |reason: &str| StoreError::corrupt(path, reason);
        let numbers = self.objects(list).ok_or_else(|| bad("a frame holds what it cannot"))?;
        let objects: Vec<Object> = numbers.iter().map(|n| list.objects[*n as usize]).collect();
        let length = objects.iter().map(|object| u64::from(object.length)).sum();
        let raw = decompress(path, packed, prefix, length)?;
        let mut rest = &raw[..];
        let mut found = Vec::with_capacity(objects.len());
        for object in objects {
            let (bytes, behind) = rest.split_at(object.length as usize);
            crate::error::check_digest(path, bytes, object.digest)?;
            found.push((object, bytes.to_vec()));
            rest = behind;
        }
        Ok(found)
    }
}

/// Compresses `raw`, which resembles `prefix`.
pub fn compress(raw: &[u8], prefix: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    let mut encoder = Encoder::with_ref_prefix(Vec::new(), level, prefix)?;
    let all_bytes = (raw.len() + prefix.len()).max(1) as u64;
    // The whole prefix must be within reach of the last byte; 27 is what every decoder takes.
    encoder.window_log((64 - all_bytes.leading_zeros()).clamp(20, 27))?;
    encoder.set_pledged_src_size(Some(raw.len() as u64))?;
    encoder.write_all(raw)?;
    encoder.finish()
}

/// What `packed`, a part of the delta at `path`, decodes to: `length` bytes.
fn decompress(
    path: &str,
    packed: &[u8],
    prefix: &[u8],
    length: u64,
) -> Result<Vec<u8>, StoreError> {
    let bad = |reason: String| StoreError::corrupt(path, reason);
    let mut raw = Vec::new();
    let mut read = || -> std::io::Result<()> {
        let mut decoder = Decoder::with_ref_prefix(packed, prefix)?;
        decoder.window_log_max(27)?;
        // One byte more than expected shows that it is too long.
        decoder.take(length + 1).read_to_end(&mut raw).map(drop)
    };
    read().map_err(|e| bad(format!("zstd says: {e}")))?;
    match raw.len() as u64 == length {
        true => Ok(raw),
        false => Err(bad(format!("a frame does not have {length} bytes"))),
    }
}

/// The JSON of the manifest that `packed` is, with an older one as prefix. Its digest has yet to be
/// looked at.
pub fn decode_manifest(packed: &[u8], old: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut json = Vec::new();
    let mut decoder = Decoder::with_ref_prefix(packed, old)?;
    decoder.window_log_max(27)?;
    decoder.take(MAX_MANIFEST_BYTES).read_to_end(&mut json)?;
    Ok(json)
}

/// Where the upgrade to an image is inside a store.
pub fn path(manifest: Digest) -> String {
    format!("upgrades/{manifest}.json.zst")
}

/// Where a delta is inside a store.
pub fn delta_path(digest: Digest) -> String {
    format!("deltas/{digest}.delta")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever changes, the objects come back with the right prefix, and never with another.
        #[test]
        fn frames_round_trip(
            old in prop::collection::vec(any::<u8>(), 0..20_000),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
            added in prop::collection::vec(any::<u8>(), 1..3000),
            level in prop::sample::select(vec![3, 9, 19]),
        ) {
            let mut new = old.clone();
            for (at, byte) in edits.iter().filter(|_| !old.is_empty()) {
                new[at.index(old.len())] = *byte;
            }
            new.extend(&added);
            let objects: Vec<Object> = new.chunks(7000).map(Object::of).collect();
            let mut list = ObjectList::default();
            for object in objects {
                list.numbers.insert(object.digest, list.objects.len() as u32);
                list.objects.push(object);
            }
            let runs = vec![(0, list.objects.len() as u32)];
            let packed = compress(&new, &old, level).unwrap();
            let frame = DeltaFrame { offset: 0, length: packed.len() as u32, runs, bases: vec![] };
            let decoded = frame.decode("d", &packed, &old, &list).unwrap();
            let bytes: Vec<u8> = decoded.into_iter().flat_map(|(_, bytes)| bytes).collect();
            prop_assert_eq!(&bytes, &new);
            let mut other = old.clone();
            if let Some(byte) = other.first_mut() {
                *byte ^= 1;
                // The first byte may not have been needed; what comes out is right or nothing does.
                if let Ok(decoded) = frame.decode("d", &packed, &other, &list) {
                    let bytes: Vec<u8> = decoded.into_iter().flat_map(|(_, bytes)| bytes).collect();
                    prop_assert_eq!(&bytes, &new);
                }
            }
        }
    }
}
