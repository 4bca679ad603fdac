//! Brings everything an image needs to this machine, verified, before anything relies on it.
//!
//! ```text
//! CACHE/packs/DIGEST.pack    sparse: the frames that were fetched, at their offsets in the pack
//! ```
//!
//! A fetch that was interrupted goes on where it stopped: frames that are there already and hold
//! what they should are not fetched again.

use crate::image::FetchedImage;
use crate::manifest::ObjectList;
use crate::map::{Map, MapFrame};
use crate::source::{DirSource, Source};
use crate::store::{read_manifest, read_map};
use crate::{OnBytes, StoreError, pack};
use hostwright_model::ids::Digest;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// How many compressed bytes one request asks for.
const REQUEST_BYTES: u64 = 8 << 20;
/// How many requests are under way at once.
const CONNECTIONS: usize = 4;

/// Fetches an image into `cache` and returns it once every object is there and verified.
pub fn fetch(
    source: &dyn Source,
    manifest: Digest,
    cache: &Path,
    on_bytes: OnBytes<'_>,
) -> Result<FetchedImage, StoreError> {
    let (content, map) = (read_manifest(source, manifest)?, read_map(source, manifest)?);
    let list = content.object_list();
    // Whatever the map leaves out is found before anything is fetched.
    map.places(&list, manifest)?;
    let packs = cache.join("packs");
    fs::create_dir_all(&packs).map_err(StoreError::io("create", &packs))?;
    fetch_all(source, &map, &list, cache, on_bytes)?;
    FetchedImage::new(content, map, cache, manifest)
}

fn fetch_all(
    source: &dyn Source,
    map: &Map,
    list: &ObjectList,
    cache: &Path,
    on_bytes: OnBytes<'_>,
) -> Result<(), StoreError> {
    let mut requests = Vec::new();
    for part in &map.packs {
        requests.extend(split(&part.frames).into_iter().map(|frames| (part.digest, frames)));
    }
    let total = map.packed_bytes();
    let (done, next) = (AtomicU64::new(0), AtomicUsize::new(0));
    let worker = || -> Result<(), StoreError> {
        while let Some((digest, frames)) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            fetch_frames(source, cache, &pack::path(*digest), frames, list)?;
            let bytes: u64 = frames.iter().map(|frame| u64::from(frame.length)).sum();
            on_bytes(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(worker)).collect();
        let joined =
            workers.into_iter().map(|w| w.join().expect("invariant: workers do not panic"));
        joined.collect::<Result<(), _>>()
    })
}

/// Groups neighbouring frames into requests.
fn split(frames: &[MapFrame]) -> Vec<&[MapFrame]> {
    let mut groups = Vec::new();
    let mut start = 0;
    for i in 1..=frames.len() {
        let ends = i == frames.len() || {
            let first = frames[start].offset;
            let end = frames[i - 1].offset + u64::from(frames[i - 1].length);
            frames[i].offset != end || end - first >= REQUEST_BYTES
        };
        if ends {
            groups.push(&frames[start..i]);
            start = i;
        }
    }
    groups
}

fn fetch_frames(
    source: &dyn Source,
    cache: &Path,
    path: &str,
    frames: &[MapFrame],
    list: &ObjectList,
) -> Result<(), StoreError> {
    if frames.iter().all(|frame| is_cached(cache, path, frame, list)) {
        return Ok(());
    }
    let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(()) };
    let length = last.offset + u64::from(last.length) - first.offset;
    let bytes = source.read_range(path, first.offset, length)?;
    for frame in frames {
        let start = (frame.offset - first.offset) as usize;
        frame.check(path, &bytes[start..start + frame.length as usize], list)?;
    }
    let file_path = cache.join(path);
    let file = open_sparse(&file_path)?;
    file.write_all_at(&bytes, first.offset).map_err(StoreError::io("write", &file_path))
}

fn is_cached(cache: &Path, path: &str, frame: &MapFrame, list: &ObjectList) -> bool {
    let cached = DirSource::new(cache).read_range(path, frame.offset, frame.length.into());
    cached.is_ok_and(|packed| frame.check(path, &packed, list).is_ok())
}

fn open_sparse(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.open(path).map_err(StoreError::io("open", path))
}
