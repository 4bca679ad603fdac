//! An image whose packs are in a directory: opens its files, verifying frames and contents.

use crate::StoreError;
use crate::error::check_digest;
use crate::manifest::{Manifest, Place};
use crate::source::{DirSource, Source as _};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, TreeSource};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// How many decoded frames are kept: enough for all cores to read neighbouring files.
const KEPT_FRAMES: usize = 16;

/// A decoded frame, with the pack and the number it is known by.
type Decoded = ((u32, u32), Arc<Vec<u8>>);

/// An image with all its bytes at hand.
pub struct FetchedImage {
    manifest: Manifest,
    packs: DirSource,
    decoded: Mutex<VecDeque<Decoded>>,
}

impl FetchedImage {
    pub(crate) fn new(manifest: Manifest, root: &Path) -> Self {
        Self { manifest, packs: DirSource::new(root), decoded: Mutex::default() }
    }

    /// What the image consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads a file to its end and compares it with its digest.
    pub(crate) fn check(&self, entry: &Entry) -> Result<(), StoreError> {
        let mut content = self.reader(entry);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match content.read_part(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn reader(&self, entry: &Entry) -> Content<'_> {
        let (size, digest) = match entry.kind {
            EntryKind::File { size, digest } => (size, digest),
            _ => (0, Digest(*blake3::hash(b"").as_bytes())),
        };
        let place = self.manifest.places.get(&digest).copied();
        let place = place.unwrap_or(Place { pack: 0, frame: 0, offset: 0 });
        let (path, hasher) = (entry.path.clone(), blake3::Hasher::new());
        Content { image: self, path, digest, place, left: size, hasher, frame: None }
    }

    /// The decoded content of a frame, after its compressed bytes were compared with their digest.
    fn frame(&self, pack: u32, frame: u32) -> Result<Arc<Vec<u8>>, StoreError> {
        let kept = || self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, raw)) = kept().iter().find(|(key, _)| *key == (pack, frame)) {
            return Ok(raw.clone());
        }
        let Some(found) = self.manifest.packs.get(pack as usize) else {
            return Err(StoreError::corrupt("manifest", "a place names no pack"));
        };
        let object = format!("packs/{}.pack", found.digest);
        let Some(part) = found.frames.get(frame as usize) else {
            return Err(StoreError::corrupt(object, "a file reaches beyond its last frame"));
        };
        let packed = self.packs.read_range(&object, part.offset, part.length.into())?;
        check_digest(&object, &packed, part.digest)?;
        let raw = zstd::bulk::decompress(&packed, part.raw_length as usize)
            .map_err(|e| StoreError::corrupt(&object, format!("zstd says: {e}")))?;
        let raw = Arc::new(raw);
        let mut decoded = kept();
        decoded.push_back(((pack, frame), raw.clone()));
        if decoded.len() > KEPT_FRAMES {
            decoded.pop_front();
        }
        Ok(raw)
    }
}

impl TreeSource for FetchedImage {
    fn entries(&self) -> &[Entry] {
        &self.manifest.entries
    }

    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.reader(entry)))
    }
}

/// The content of a file; its end is an error if the digest does not match.
struct Content<'a> {
    image: &'a FetchedImage,
    path: String,
    digest: Digest,
    place: Place,
    left: u64,
    hasher: blake3::Hasher,
    frame: Option<Arc<Vec<u8>>>,
}

impl Content<'_> {
    fn read_part(&mut self, buffer: &mut [u8]) -> Result<usize, StoreError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            let found = Digest(*self.hasher.finalize().as_bytes());
            return match found == self.digest {
                true => Ok(0),
                false => Err(StoreError::corrupt(
                    &self.path,
                    format!("its BLAKE3 is {found} and should be {}", self.digest),
                )),
            };
        }
        let raw = match self.frame.take() {
            Some(raw) => raw,
            None => self.image.frame(self.place.pack, self.place.frame)?,
        };
        let behind = raw.get(self.place.offset as usize..).unwrap_or_default();
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let n = behind.len().min(buffer.len()).min(wanted);
        buffer[..n].copy_from_slice(&behind[..n]);
        self.hasher.update(&buffer[..n]);
        self.left -= n as u64;
        self.place.offset += n as u32;
        match self.place.offset as usize >= raw.len() {
            true => self.place = Place { frame: self.place.frame + 1, offset: 0, ..self.place },
            false => self.frame = Some(raw),
        }
        // An empty frame would otherwise look like the end of the file.
        if n == 0 { self.read_part(buffer) } else { Ok(n) }
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_part(buffer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
