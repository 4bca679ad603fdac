//! An image whose packs are in a directory: opens its files, verifying their contents.

use crate::StoreError;
use crate::error::check_digest;
use crate::frames::Frames;
use crate::manifest::{Manifest, ObjectList};
use crate::map::{Map, MapFrame, Place};
use crate::object::Object;
use crate::pack;
use crate::source::{DirSource, Source as _};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, TreeSource};
use rayon::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Files of at least this size are laid down first: one that is begun last keeps one core busy while
/// the others have nothing left to do.
const LARGE_BYTES: u64 = 16 << 20;

/// An image with all its bytes at hand.
pub struct FetchedImage {
    manifest: Manifest,
    list: ObjectList,
    map: Map,
    places: Vec<Place>,
    packs: DirSource,
    decoded: Frames,
}

impl FetchedImage {
    /// The image whose packs are below `root`. `digest` is its manifest's.
    pub(crate) fn new(
        manifest: Manifest,
        map: Map,
        root: &Path,
        digest: Digest,
    ) -> Result<Self, StoreError> {
        let list = manifest.object_list();
        let places = map.places(&list, digest)?;
        let (packs, decoded) = (DirSource::new(root), Frames::default());
        Ok(Self { manifest, list, map, places, packs, decoded })
    }

    /// What the image consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Compressed bytes of all frames that the image needs.
    pub fn packed_bytes(&self) -> u64 {
        self.map.packed_bytes()
    }

    /// Compares every object with its digest, on all cores, and then the files that are made of
    /// several; how many files there are.
    pub(crate) fn check(&self, on_bytes: crate::OnBytes<'_>) -> Result<u64, StoreError> {
        let (done, total) = (AtomicU64::new(0), self.packed_bytes());
        let parts = self.map.packs.iter();
        let frames: Vec<(Digest, &MapFrame)> =
            parts.flat_map(|part| part.frames.iter().map(|frame| (part.digest, frame))).collect();
        frames.par_iter().try_for_each(|(digest, frame)| {
            let path = pack::path(*digest);
            let length = u64::from(frame.length);
            let packed = self.packs.read_range(&path, frame.offset, length)?;
            frame.check(&path, &packed, &self.list)?;
            on_bytes(done.fetch_add(length, Ordering::Relaxed) + length, total);
            Ok(())
        })?;
        let is_file = |entry: &&Entry| matches!(entry.kind, EntryKind::File { .. });
        let files: Vec<&Entry> = self.manifest.entries.iter().filter(is_file).collect();
        let large = files.iter().filter(|entry| self.manifest.pieces(entry).len() > 1);
        large.par_bridge().try_for_each(|entry| self.check_file(entry))?;
        Ok(files.len() as u64)
    }

    fn check_file(&self, entry: &Entry) -> Result<(), StoreError> {
        let mut content = self.reader(entry);
        let mut buffer = vec![0; 256 << 10];
        while content.read_part(&mut buffer)? > 0 {}
        Ok(())
    }

    fn reader(&self, entry: &Entry) -> Content<'_> {
        let digest = match entry.kind {
            EntryKind::File { digest, .. } => digest,
            _ => Digest(*blake3::hash(b"").as_bytes()),
        };
        let (path, hasher) = (entry.path.clone(), blake3::Hasher::new());
        let pieces = self.manifest.pieces(entry).into();
        Content { image: self, path, digest, pieces, hasher, open: None }
    }

    /// Every needed frame, with the number of its pack and its own, in the order of the packs.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (usize, usize, &MapFrame)> {
        let packs = self.map.packs.iter().enumerate();
        packs.flat_map(|(pack, part)| (0..).zip(&part.frames).map(move |(n, it)| (pack, n, it)))
    }

    /// The needed objects in a frame: number, first byte, length.
    pub(crate) fn held(&self, frame: &MapFrame) -> Vec<(u32, u32, u32)> {
        let held = frame.held(&self.list).unwrap_or_default().into_iter();
        held.map(|(object, at)| (object, at, self.list.objects[object as usize].length)).collect()
    }

    /// True if that is where the object is taken from.
    pub(crate) fn is_read_at(&self, object: u32, pack: usize, frame: usize, offset: u32) -> bool {
        let place = self.places[object as usize];
        (place.pack as usize, place.frame as usize, place.offset) == (pack, frame, offset)
    }

    /// Decodes a frame and compares every needed object in it with its digest.
    pub(crate) fn verified_frame(&self, pack: usize, frame: usize) -> Result<Vec<u8>, StoreError> {
        let part = &self.map.packs[pack];
        let (path, frame) = (pack::path(part.digest), &part.frames[frame]);
        let packed = self.packs.read_range(&path, frame.offset, frame.length.into())?;
        frame.decode(&path, &packed, &self.list)
    }

    /// The decoded frame that an object is in, and its first byte there.
    fn frame_of(&self, object: Object) -> Result<(Arc<Vec<u8>>, usize), StoreError> {
        let place = self.places[self.list.numbers[&object.digest] as usize];
        let part = &self.map.packs[place.pack as usize];
        let frame = &part.frames[place.frame as usize];
        let path = pack::path(part.digest);
        let raw = self.decoded.get((place.pack, place.frame), &path, || {
            let packed = self.packs.read_range(&path, frame.offset, frame.length.into())?;
            pack::decompress(&path, &packed, frame.raw_length)
        })?;
        Ok((raw, place.offset as usize))
    }

    /// The number of an object that the image needs.
    pub(crate) fn number_of_object(&self, object: Object) -> u32 {
        self.list.numbers[&object.digest]
    }

    /// The verified bytes of an object that the image needs.
    pub(crate) fn object(&self, object: Object) -> Result<Vec<u8>, StoreError> {
        let (frame, start) = self.frame_of(object)?;
        let bytes = &frame[start..start + object.length as usize];
        check_digest(&format!("the object {}", object.digest), bytes, object.digest)?;
        Ok(bytes.to_vec())
    }

    /// A part of a file, verified object by object.
    pub(crate) fn read_at(
        &self,
        entry: &Entry,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let (mut at, end) = (0_u64, offset + length);
        let mut found = Vec::new();
        for piece in self.manifest.pieces(entry) {
            let behind = at + u64::from(piece.length);
            if behind > offset && at < end {
                let bytes = self.object(piece)?;
                let (from, to) = (offset.saturating_sub(at), end.min(behind) - at);
                found.extend(&bytes[from as usize..to as usize]);
            }
            at = behind;
        }
        Ok(found)
    }

    /// The manifest as a store keeps it. A system that was installed from the image keeps it too, so
    /// that the next one is fetched as a difference from it: see [`crate::Seeds::manifest`].
    pub fn manifest_file(&self) -> io::Result<Vec<u8>> {
        zstd::bulk::compress(&self.manifest.to_json(), 9)
    }
}

impl TreeSource for FetchedImage {
    fn entries(&self) -> &[Entry] {
        &self.manifest.entries
    }

    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.reader(entry)))
    }

    fn read_to(
        &self,
        entry: &Entry,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let EntryKind::File { digest, .. } = entry.kind else { return Ok(()) };
        let pieces = self.manifest.pieces(entry);
        let mut hasher = blake3::Hasher::new();
        for piece in &pieces {
            let (frame, start) = self.frame_of(*piece).map_err(invalid)?;
            let bytes = &frame[start..start + piece.length as usize];
            match pieces.len() {
                // Nothing of a file that is one object is handed over before it is verified.
                1 => check_digest(&entry.path, bytes, digest).map_err(invalid)?,
                _ => drop(hasher.update(bytes)),
            }
            sink(bytes)?;
        }
        match pieces.len() {
            0..=1 => Ok(()),
            _ => check_end(&entry.path, &hasher, digest).map_err(invalid),
        }
    }

    fn groups(&self) -> Vec<Vec<&Entry>> {
        let mut groups = BTreeMap::<_, Vec<&Entry>>::new();
        for entry in &self.manifest.entries {
            let key = match (&entry.kind, self.manifest.pieces(entry).first()) {
                (EntryKind::Directory | EntryKind::Hardlink { .. }, _) => continue,
                // One after the other, so that its parts are decoded once.
                (_, Some(first)) => {
                    let place = self.places[self.list.numbers[&first.digest] as usize];
                    (entry.size_bytes() < LARGE_BYTES, place.pack, place.frame)
                }
                // Behind everything: what has no content.
                (_, None) => (true, u32::MAX, 0),
            };
            groups.entry(key).or_default().push(entry);
        }
        groups.into_values().collect()
    }
}

fn invalid(error: StoreError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn check_end(path: &str, hasher: &blake3::Hasher, digest: Digest) -> Result<(), StoreError> {
    let found = Digest(*hasher.finalize().as_bytes());
    let reason = || format!("its BLAKE3 is {found} and should be {digest}");
    if found == digest { Ok(()) } else { Err(StoreError::corrupt(path, reason())) }
}

/// The content of a file; its end is an error if the digest does not match.
struct Content<'a> {
    image: &'a FetchedImage,
    path: String,
    digest: Digest,
    pieces: VecDeque<Object>,
    hasher: blake3::Hasher,
    open: Option<Piece>,
}

/// What is left to read of an object.
struct Piece {
    frame: Arc<Vec<u8>>,
    next: usize,
    end: usize,
}

impl Content<'_> {
    fn read_part(&mut self, buffer: &mut [u8]) -> Result<usize, StoreError> {
        let mut piece = match self.open.take() {
            Some(piece) => piece,
            None => match self.pieces.pop_front() {
                Some(object) => {
                    let (frame, next) = self.image.frame_of(object)?;
                    Piece { frame, next, end: next + object.length as usize }
                }
                None => return self.end(),
            },
        };
        let n = buffer.len().min(piece.end - piece.next);
        buffer[..n].copy_from_slice(&piece.frame[piece.next..piece.next + n]);
        self.hasher.update(&buffer[..n]);
        piece.next += n;
        self.open = (piece.next < piece.end).then_some(piece);
        Ok(n)
    }

    fn end(&self) -> Result<usize, StoreError> {
        check_end(&self.path, &self.hasher, self.digest).map(|()| 0)
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_part(buffer).map_err(invalid)
    }
}
