//! Makes the delta from one image to the next: changed files with what they were as prefix, new
//! files beside them, in the order of their paths.

use crate::StoreError;
use crate::image::FetchedImage;
use crate::manifest::Manifest;
use crate::object::Object;
use crate::store::Store;
use crate::upgrade::{
    self, Base, DeltaFrame, MAX_BASE_BYTES, MAX_FRAME_BYTES, UPGRADE_VERSION, Upgrade, Way, short,
};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::mem::take;

/// How many older images a delta is made for: machines skip a release now and then.
pub const OLDER_IMAGES: usize = 3;
/// zstd's level when an image is added. With a prefix, 3 and 9 lose sight of what repeats much; 12
/// makes a third of what 3 does, and takes a second for a usual upgrade.
pub const PUBLISH_LEVEL: i32 = 12;
/// A file of up to this length is a base as a whole; of a longer one, the part around where the
/// bytes came from.
const WHOLE_BASE_BYTES: u64 = 4 << 20;
/// How much of a long base lies before and behind what it is the base of.
const MARGIN_BYTES: u64 = 512 << 10;
/// Frames that are compressed together. At high levels each takes about 100 MiB of memory.
const BATCH_FRAMES: usize = 4;

impl Store {
    /// Makes the deltas that lead from `older` images to the image `new`, unless they are there
    /// already at this level; how many were made. An older image that is damaged is left out: every
    /// object is in the packs as well.
    pub(crate) fn make_upgrade(
        &self,
        new: Digest,
        older: &[Digest],
        level: i32,
    ) -> Result<usize, StoreError> {
        let image = self.image(new)?;
        let known = self.upgrade(new).ok().flatten().map_or_else(Vec::new, |known| known.from);
        let (mut from, mut made) = (Vec::new(), 0);
        for old in older.iter().filter(|old| **old != new) {
            let is_there = |way: &&Way| {
                way.manifest == *old && self.root().join(upgrade::delta_path(way.delta)).exists()
            };
            let there = known.iter().find(is_there);
            if let Some(way) = there.filter(|way| way.level >= level) {
                from.push(way.clone());
                continue;
            }
            match self
                .image(*old)
                .and_then(|old_image| self.make_way(&image, *old, &old_image, level))
            {
                Ok(way) => {
                    made += 1;
                    from.push(way);
                }
                Err(StoreError::Corrupt { .. } | StoreError::Missing { .. }) => {
                    from.extend(there.cloned());
                }
                Err(error) => return Err(error),
            }
        }
        if made > 0 {
            let upgrade = Upgrade { version: UPGRADE_VERSION, from };
            self.write_compressed(&upgrade::path(new), &upgrade.to_json())?;
        }
        Ok(made)
    }

    /// The ways that lead to an image; `None` if there are none.
    pub(crate) fn upgrade(&self, manifest: Digest) -> Result<Option<Upgrade>, StoreError> {
        let path = self.root().join(upgrade::path(manifest));
        let packed = match fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(StoreError::io("read", &path))?,
        };
        let json = zstd::stream::decode_all(&packed[..])
            .map_err(|e| StoreError::corrupt(upgrade::path(manifest), format!("zstd says: {e}")))?;
        Upgrade::from_json(&json, manifest).map(Some)
    }

    fn make_way(
        &self,
        new: &FetchedImage,
        old_digest: Digest,
        old: &FetchedImage,
        level: i32,
    ) -> Result<Way, StoreError> {
        let tmp = self.tmp_file();
        let mut file = File::create(&tmp).map_err(StoreError::io("create", &tmp))?;
        let mut hasher = blake3::Hasher::new();
        let mut write = |bytes: &[u8]| {
            hasher.update(bytes);
            file.write_all(bytes).map_err(StoreError::io("write", &tmp))
        };
        let (new_json, old_json) = (new.manifest().to_json(), old.manifest().to_json());
        let manifest = upgrade::compress(&new_json, &old_json, level.max(PUBLISH_LEVEL))
            .map_err(StoreError::io("compress", &tmp))?;
        write(&manifest)?;
        let mut end = manifest.len() as u64;
        let mut frames = Vec::new();
        for batch in plan(new.manifest(), old.manifest()).chunks(BATCH_FRAMES) {
            let packed: Vec<Vec<u8>> = batch
                .par_iter()
                .map(|frame| frame.compress(new, old, level))
                .collect::<Result<_, _>>()?;
            for (frame, packed) in batch.iter().zip(packed) {
                write(&packed)?;
                frames.push(frame.listed(new, end, packed.len() as u32));
                end += packed.len() as u64;
            }
        }
        file.sync_all().map_err(StoreError::io("sync", &tmp))?;
        let delta = Digest(*hasher.finalize().as_bytes());
        let path = self.root().join(upgrade::delta_path(delta));
        fs::rename(&tmp, &path).map_err(StoreError::io("rename to", &path))?;
        let manifest_length = manifest.len() as u32;
        Ok(Way { manifest: old_digest, delta, level, manifest_length, frames })
    }
}

/// A frame that is not compressed yet.
#[derive(Default)]
struct Planned<'a> {
    objects: Vec<Object>,
    bytes: u64,
    bases: Vec<PlannedBase<'a>>,
    base_bytes: u64,
}

/// A part of a file of the older image.
struct PlannedBase<'a> {
    file: &'a Entry,
    base: Base,
}

impl Planned<'_> {
    fn compress(
        &self,
        new: &FetchedImage,
        old: &FetchedImage,
        level: i32,
    ) -> Result<Vec<u8>, StoreError> {
        let (mut raw, mut prefix) = (Vec::new(), Vec::new());
        for object in &self.objects {
            raw.extend(new.object(*object)?);
        }
        for PlannedBase { file, base } in &self.bases {
            prefix.extend(old.read_at(file, base.offset, base.length)?);
        }
        let failed =
            |e| StoreError::Io { operation: "compress", path: "a delta".into(), source: e };
        upgrade::compress(&raw, &prefix, level).map_err(failed)
    }

    fn listed(&self, new: &FetchedImage, offset: u64, length: u32) -> DeltaFrame {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for number in self.objects.iter().map(|object| new.number_of_object(*object)) {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == number => *count += 1,
                _ => runs.push((number, 1)),
            }
        }
        let bases = self.bases.iter().map(|planned| planned.base.clone()).collect();
        DeltaFrame { offset, length, runs, bases }
    }
}

/// New objects of a file that lie one behind the other.
struct Piece {
    objects: Vec<Object>,
    bytes: u64,
    /// First byte in the file.
    offset: u64,
}

/// Cuts what is new in `new` into frames.
fn plan<'a>(new: &Manifest, old: &'a Manifest) -> Vec<Planned<'a>> {
    let predecessors = Predecessors::new(new, old);
    let mut known: HashSet<Digest> =
        old.object_list().objects.iter().map(|object| object.digest).collect();
    let (mut frames, mut open, mut top) = (Vec::new(), Planned::default(), "");
    for (number, entry) in new.entries.iter().enumerate() {
        for piece in new_pieces(new, entry, &mut known) {
            let file = predecessors.of(&entry.path);
            let base = file.map(|file| base_of(number as u32, entry, &piece, file, new, old));
            let base_bytes = base.as_ref().map_or(0, |planned| planned.base.length);
            // A file that was changed on the machine spoils its frame: what is below /etc is kept
            // apart from what is below /usr.
            let begins = entry.path.split('/').next().unwrap_or_default();
            if open.bytes + piece.bytes > MAX_FRAME_BYTES
                || open.base_bytes + base_bytes > MAX_BASE_BYTES
                || begins != top
            {
                frames.push(take(&mut open));
            }
            top = begins;
            open.bytes += piece.bytes;
            open.objects.extend(piece.objects);
            let is_new = |planned: &PlannedBase<'_>| {
                open.bases.iter().all(|known| known.base != planned.base)
            };
            if let Some(planned) = base.filter(is_new) {
                open.base_bytes += base_bytes;
                open.bases.push(planned);
            }
        }
    }
    frames.push(open);
    frames.retain(|frame| !frame.objects.is_empty());
    frames
}

/// The objects of a file that are not in `known`, to which they are added.
fn new_pieces(new: &Manifest, entry: &Entry, known: &mut HashSet<Digest>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut offset, mut goes_on) = (0, false);
    for object in new.pieces(entry) {
        let length = u64::from(object.length);
        let is_new = known.insert(object.digest);
        match pieces.last_mut() {
            Some(piece) if is_new && goes_on && piece.bytes + length <= MAX_FRAME_BYTES => {
                piece.objects.push(object);
                piece.bytes += length;
            }
            _ if is_new => pieces.push(Piece { objects: vec![object], bytes: length, offset }),
            _ => {}
        }
        goes_on = is_new;
        offset += length;
    }
    pieces
}

/// The part of `file` that `piece` is most likely to resemble.
fn base_of<'a>(
    number: u32,
    entry: &Entry,
    piece: &Piece,
    file: &'a Entry,
    new: &Manifest,
    old: &Manifest,
) -> PlannedBase<'a> {
    let size = file.size_bytes();
    let (offset, length) = match size <= WHOLE_BASE_BYTES {
        true => (0, size),
        false => {
            let from = came_from(entry, piece.offset, file, new, old);
            let length = (piece.bytes + 2 * MARGIN_BYTES).min(size);
            (from.saturating_sub(MARGIN_BYTES).min(size - length), length)
        }
    };
    let digest = match file.kind {
        EntryKind::File { digest, .. } => short(digest),
        _ => String::new(),
    };
    let path = (file.path != entry.path).then(|| file.path.clone());
    PlannedBase { file, base: Base { entry: number, path, digest, offset, length } }
}

/// Where in the old file the byte at `offset` of the new one was, going by the last chunk before it
/// that both have.
fn came_from(entry: &Entry, offset: u64, file: &Entry, new: &Manifest, old: &Manifest) -> u64 {
    let mut starts = HashMap::new();
    let mut at = 0;
    for object in old.pieces(file) {
        starts.insert(object.digest, at);
        at += u64::from(object.length);
    }
    let (mut at, mut guess) = (0, offset);
    for object in new.pieces(entry) {
        if at >= offset {
            break;
        }
        if let Some(start) = starts.get(&object.digest) {
            guess = start + (offset - at);
        }
        at += u64::from(object.length);
    }
    guess
}

/// What each file was in the older image.
struct Predecessors<'a> {
    by_path: HashMap<&'a str, &'a Entry>,
    /// Files that are gone, by their paths without numbers: a library or a kernel module has a
    /// version in its path.
    gone: HashMap<String, &'a Entry>,
}

impl<'a> Predecessors<'a> {
    fn new(new: &Manifest, old: &'a Manifest) -> Self {
        let stays: HashSet<&str> = new.entries.iter().map(|entry| entry.path.as_str()).collect();
        let files = || old.entries.iter().filter(|entry| entry.size_bytes() > 0);
        let by_path = files().map(|entry| (entry.path.as_str(), entry)).collect();
        let gone = files().filter(|entry| !stays.contains(entry.path.as_str()));
        let gone = gone.map(|entry| (without_numbers(&entry.path), entry)).collect();
        Self { by_path, gone }
    }

    fn of(&self, path: &str) -> Option<&'a Entry> {
        let at_path = self.by_path.get(path).copied();
        at_path.or_else(|| self.gone.get(&without_numbers(path)).copied())
    }
}

fn without_numbers(path: &str) -> String {
    let mut short = String::with_capacity(path.len());
    for c in path.chars() {
        match c.is_ascii_digit() {
            false => short.push(c),
            true if short.ends_with('#') => {}
            true => short.push('#'),
        }
    }
    short
}
