//! Makes an image out of a tree: hash all files, then pack what the store does not have.

use crate::manifest::{Frame, MANIFEST_VERSION, Manifest, Pack, Place};
use crate::pack::{FRAME_BYTES, PackWriter, compress};
use crate::store::Store;
use crate::walk::walk;
use crate::{OnBytes, StoreError};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, ImageOrigin};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// How an image is made from a tree.
#[derive(Clone, Debug, Default)]
pub struct AddOptions {
    /// What it was built from.
    pub origin: ImageOrigin,
    /// Directories, relative to the root, that keep their place and lose their content.
    pub empty_dirs: Vec<String>,
}

/// Packs what is new below `root` and returns the manifest, which is not stored yet.
pub fn add_tree(
    store: &Store,
    root: &Path,
    options: &AddOptions,
    on_bytes: OnBytes<'_>,
) -> Result<Manifest, StoreError> {
    let mut entries = walk(root, &options.empty_dirs)?;
    let total: u64 = entries.iter().map(Entry::size_bytes).sum();
    // Hashing and packing each read everything once; hashing is the cheaper third of the work.
    let progress = Progress { done: AtomicU64::new(0), total: 3 * total, tell: on_bytes };
    hash_files(root, &mut entries, &progress)?;

    let mut known = store.known_places()?;
    let mut queued = HashSet::new();
    let new: Vec<&Entry> = entries
        .iter()
        .filter(|entry| match &entry.kind {
            EntryKind::File { size, digest } => {
                *size > 0 && !known.contains_key(digest) && queued.insert(*digest)
            }
            _ => false,
        })
        .collect();
    known.extend(pack_files(store, root, &new, &progress)?);
    Ok(assemble(entries, options.origin.clone(), &known))
}

/// Where a file lies: a pack, all frames of that pack, and the place inside.
#[derive(Clone)]
pub struct Known {
    pub pack: std::sync::Arc<Pack>,
    pub frame: usize,
    pub offset: u32,
}

struct Progress<'a> {
    done: AtomicU64,
    total: u64,
    tell: OnBytes<'a>,
}

impl Progress<'_> {
    fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.tell)(done.min(self.total), self.total);
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn hash_files(root: &Path, entries: &mut [Entry], progress: &Progress) -> Result<(), StoreError> {
    let files: Vec<usize> =
        (0..entries.len()).filter(|&i| matches!(entries[i].kind, EntryKind::File { .. })).collect();
    let next = AtomicUsize::new(0);
    let shared = &*entries;
    let hashed = thread::scope(|scope| {
        let worker = || -> Result<Vec<(usize, Digest)>, StoreError> {
            let mut found = Vec::new();
            while let Some(&i) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.push((i, hash_file(root, &shared[i])?));
                progress.add(shared[i].size_bytes());
            }
            Ok(found)
        };
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(worker)).collect();
        let joined =
            workers.into_iter().map(|w| w.join().expect("invariant: workers do not panic"));
        joined.collect::<Result<Vec<_>, _>>()
    })?;
    for (i, found) in hashed.into_iter().flatten() {
        if let EntryKind::File { digest, .. } = &mut entries[i].kind {
            *digest = found;
        }
    }
    Ok(())
}

fn hash_file(root: &Path, entry: &Entry) -> Result<Digest, StoreError> {
    let path = root.join(&entry.path);
    let mut file = File::open(&path).map_err(StoreError::io("open", &path))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut length = 0;
    loop {
        let n = file.read(&mut buffer).map_err(StoreError::io("read", &path))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        length += n as u64;
    }
    if length != entry.size_bytes() {
        return Err(StoreError::Changed { path });
    }
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// A piece of a file inside a frame.
struct Segment {
    file: usize,
    offset: u64,
    length: usize,
}

/// Cuts the files' contents, laid end to end, into frames.
fn cut(files: &[&Entry]) -> (Vec<Vec<Segment>>, Vec<(usize, u32)>) {
    let mut frames = vec![Vec::new()];
    let mut room = FRAME_BYTES;
    let mut starts = Vec::with_capacity(files.len());
    for (file, entry) in files.iter().enumerate() {
        let size = entry.size_bytes();
        if room == 0 {
            frames.push(Vec::new());
            room = FRAME_BYTES;
        }
        starts.push((frames.len() - 1, (FRAME_BYTES - room) as u32));
        let mut offset = 0;
        while offset < size {
            if room == 0 {
                frames.push(Vec::new());
                room = FRAME_BYTES;
            }
            let length = usize::try_from(size - offset).unwrap_or(usize::MAX).min(room);
            let frame = frames.last_mut().expect("invariant: there is always a last frame");
            frame.push(Segment { file, offset, length });
            room -= length;
            offset += length as u64;
        }
    }
    frames.retain(|frame| !frame.is_empty());
    (frames, starts)
}

struct Packed {
    index: usize,
    raw_length: u32,
    bytes: Vec<u8>,
}

fn pack_files(
    store: &Store,
    root: &Path,
    files: &[&Entry],
    progress: &Progress,
) -> Result<HashMap<Digest, Known>, StoreError> {
    let (frames, starts) = cut(files);
    let next = AtomicUsize::new(0);
    let (sender, receiver) = sync_channel(4 * cores());
    let packs = thread::scope(|scope| {
        for _ in 0..cores() {
            let sender: SyncSender<Result<Packed, StoreError>> = sender.clone();
            let (frames, next) = (&frames, &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(segments) = frames.get(index) else { return };
                    let packed = pack_frame(root, files, index, segments);
                    let bytes: usize = segments.iter().map(|s| s.length).sum();
                    progress.add(2 * bytes as u64);
                    if sender.send(packed).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        write_packs(store, receiver, frame_ends(&frames, files))
    })?;
    Ok(places(files, &starts, &packs))
}

/// For each frame, true if no file goes on behind it: a pack may end there.
fn frame_ends(frames: &[Vec<Segment>], files: &[&Entry]) -> Vec<bool> {
    let ends = |segments: &Vec<Segment>| {
        let last = segments.last().expect("invariant: no frame is empty");
        last.offset + last.length as u64 == files[last.file].size_bytes()
    };
    frames.iter().map(ends).collect()
}

fn pack_frame(
    root: &Path,
    files: &[&Entry],
    index: usize,
    segments: &[Segment],
) -> Result<Packed, StoreError> {
    let mut raw = vec![0; segments.iter().map(|segment| segment.length).sum()];
    let mut rest = &mut raw[..];
    for segment in segments {
        let path = root.join(&files[segment.file].path);
        let (buffer, behind) = rest.split_at_mut(segment.length);
        let file = File::open(&path).map_err(StoreError::io("open", &path))?;
        file.read_exact_at(buffer, segment.offset)
            .map_err(|_| StoreError::Changed { path: path.clone() })?;
        rest = behind;
    }
    let bytes = compress(&raw).map_err(StoreError::io("compress", root))?;
    Ok(Packed { index, raw_length: raw.len() as u32, bytes })
}

/// The packs in order, each with the number of its first frame.
type WrittenPacks = Vec<(usize, std::sync::Arc<Pack>)>;

fn write_packs(
    store: &Store,
    receiver: Receiver<Result<Packed, StoreError>>,
    may_end: Vec<bool>,
) -> Result<WrittenPacks, StoreError> {
    let mut early = BTreeMap::new();
    let mut packs = Vec::new();
    let mut writer: Option<(usize, PackWriter)> = None;
    let mut wanted = 0;
    let mut close = |first: usize, writer: PackWriter| -> Result<(), StoreError> {
        let (digest, frames) = writer.finish(&store.packs_dir())?;
        packs.push((first, std::sync::Arc::new(Pack { digest, frames })));
        Ok(())
    };
    for packed in receiver {
        let packed = packed?;
        early.insert(packed.index, packed);
        while let Some(frame) = early.remove(&wanted) {
            let (first, mut open) = match writer.take() {
                Some(open) => open,
                None => (wanted, PackWriter::create(store.tmp_file())?),
            };
            open.push(&frame.bytes, frame.raw_length)?;
            match open.is_full() && may_end[wanted] {
                true => close(first, open)?,
                false => writer = Some((first, open)),
            }
            wanted += 1;
        }
    }
    if let Some((first, open)) = writer {
        close(first, open)?;
    }
    Ok(packs)
}

fn places(
    files: &[&Entry],
    starts: &[(usize, u32)],
    packs: &WrittenPacks,
) -> HashMap<Digest, Known> {
    let mut known = HashMap::new();
    for (entry, &(frame, offset)) in files.iter().zip(starts) {
        let EntryKind::File { digest, .. } = entry.kind else { continue };
        let behind = packs.partition_point(|(first, _)| *first <= frame);
        let (first, pack) = &packs[behind - 1];
        known.insert(digest, Known { pack: pack.clone(), frame: frame - first, offset });
    }
    known
}

/// Builds the manifest: only the packs and frames that the image needs are in it.
///
/// Two images may know different parts of one pack, so frames are told apart by their offset.
fn assemble(entries: Vec<Entry>, origin: ImageOrigin, known: &HashMap<Digest, Known>) -> Manifest {
    let stored = |entry: &Entry| match entry.kind {
        EntryKind::File { size, digest } if size > 0 => Some((digest, size, &known[&digest])),
        _ => None,
    };
    let mut needed: BTreeMap<Digest, BTreeMap<u64, Frame>> = BTreeMap::new();
    for (_, size, place) in entries.iter().filter_map(stored) {
        let frames = needed.entry(place.pack.digest).or_default();
        frames.extend(spanned(place, size).map(|frame| (frame.offset, frame)));
    }
    let mut places = BTreeMap::new();
    for (digest, _, place) in entries.iter().filter_map(stored) {
        let pack = needed.range(..place.pack.digest).count() as u32;
        let first = place.pack.frames[place.frame].offset;
        let frame = needed[&place.pack.digest].range(..first).count() as u32;
        places.insert(digest, Place { pack, frame, offset: place.offset });
    }
    let packs = needed
        .into_iter()
        .map(|(digest, frames)| Pack { digest, frames: frames.into_values().collect() })
        .collect();
    Manifest { version: MANIFEST_VERSION, origin, entries, packs, places }
}

/// The frames that a file of `size` bytes at `place` reaches into.
fn spanned(place: &Known, size: u64) -> impl Iterator<Item = Frame> {
    let end = u64::from(place.offset) + size;
    let mut before = 0;
    place.pack.frames[place.frame..].iter().copied().take_while(move |frame| {
        let begins_inside = before < end;
        before += u64::from(frame.raw_length);
        begins_inside
    })
}
