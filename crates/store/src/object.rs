//! Objects: the contents that a store keeps once each, and the cutting of files into them.
//!
//! A file of up to 1 MiB is one object. A larger one is cut where its content says so (FastCDC,
//! Xia et al., USENIX ATC 2016), so that a byte put in or taken out changes the chunk around it and
//! no other.

use fastcdc::v2020::StreamCDC;
use hostwright_model::ids::Digest;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// No object is longer, and no frame decodes to more.
pub const MAX_OBJECT_BYTES: usize = 1 << 20;
/// Shortest, usual and longest chunk of a large file. Other numbers, or another version of the
/// algorithm, cut elsewhere: images stay readable, but share less with older ones.
const CHUNK_BYTES: (usize, usize, usize) = (64 << 10, 256 << 10, MAX_OBJECT_BYTES);

/// The name and length of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(Digest, u32)", into = "(Digest, u32)")]
pub struct Object {
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// How many bytes; never 0.
    pub length: u32,
}

impl Object {
    /// The object that `bytes` are.
    pub fn of(bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("invariant: objects are short");
        Self { digest: digest_of(bytes), length }
    }
}

impl From<(Digest, u32)> for Object {
    fn from((digest, length): (Digest, u32)) -> Self {
        Self { digest, length }
    }
}

impl From<Object> for (Digest, u32) {
    fn from(object: Object) -> Self {
        (object.digest, object.length)
    }
}

/// BLAKE3 of `bytes`.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// The content of a file, object by object.
pub fn cut<'a>(
    content: impl Read + 'a,
    size: u64,
) -> Box<dyn Iterator<Item = io::Result<Vec<u8>>> + 'a> {
    if size <= MAX_OBJECT_BYTES as u64 {
        return Box::new(std::iter::once_with(move || {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            // One byte more than expected shows that the file grew.
            content.take(size + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        }));
    }
    let (shortest, usual, longest) = CHUNK_BYTES;
    let chunks = StreamCDC::new(content, shortest, usual, longest);
    Box::new(chunks.map(|chunk| chunk.map(|chunk| chunk.data).map_err(io::Error::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn objects(bytes: &[u8]) -> Vec<Object> {
        let size = bytes.len() as u64;
        cut(bytes, size).map(|piece| Object::of(&piece.unwrap())).collect()
    }

    #[test]
    fn a_byte_put_in_changes_the_chunk_around_it_only() {
        let before = noise(8 << 20);
        let mut after = before.clone();
        after.insert(3 << 20, b'!');
        let (before, after) = (objects(&before), objects(&after));
        assert!(before.len() > 16, "{} chunks", before.len());
        let new = after.iter().filter(|object| !before.contains(object)).count();
        assert!((1..=2).contains(&new), "{new} of {} chunks are new", after.len());
    }

    #[test]
    fn pieces_are_the_file_and_no_longer_than_allowed() {
        for size in [1, MAX_OBJECT_BYTES - 1, MAX_OBJECT_BYTES, MAX_OBJECT_BYTES + 1, 5_000_000] {
            let bytes = noise(size);
            let pieces: Vec<Vec<u8>> =
                cut(&bytes[..], size as u64).collect::<io::Result<_>>().unwrap();
            assert!(pieces.iter().all(|piece| (1..=MAX_OBJECT_BYTES).contains(&piece.len())));
            assert!(pieces.concat() == bytes, "{size} bytes come back");
            assert_eq!(pieces.len() == 1, size <= MAX_OBJECT_BYTES, "{size}");
        }
    }
}
