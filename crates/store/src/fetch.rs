//! Brings everything an image needs to this machine, verified, before anything relies on it.
//!
//! ```text
//! CACHE/packs/DIGEST.pack    sparse: the frames that were fetched, at their offsets in the pack
//! ```
//!
//! A fetch that was interrupted goes on where it stopped: frames that are there already and have
//! the right digest are not fetched again.

use crate::error::check_digest;
use crate::image::FetchedImage;
use crate::manifest::{Frame, Pack};
use crate::source::{DirSource, Source};
use crate::store::read_manifest;
use crate::{OnBytes, StoreError};
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

/// Fetches an image into `cache` and returns it once every frame is there and verified.
pub fn fetch(
    source: &dyn Source,
    manifest: Digest,
    cache: &Path,
    on_bytes: OnBytes<'_>,
) -> Result<FetchedImage, StoreError> {
    let manifest = read_manifest(source, manifest)?;
    let packs = cache.join("packs");
    fs::create_dir_all(&packs).map_err(StoreError::io("create", &packs))?;
    let mut requests = Vec::new();
    for pack in &manifest.packs {
        requests.extend(split(&pack.frames).into_iter().map(|frames| (pack, frames)));
    }
    let total = manifest.packed_bytes();
    let done = AtomicU64::new(0);
    let next = AtomicUsize::new(0);
    let worker = || -> Result<(), StoreError> {
        while let Some((pack, frames)) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            fetch_frames(source, cache, pack, frames)?;
            let bytes: u64 = frames.iter().map(|frame| u64::from(frame.length)).sum();
            on_bytes(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(worker)).collect();
        let joined =
            workers.into_iter().map(|w| w.join().expect("invariant: workers do not panic"));
        joined.collect::<Result<Vec<()>, _>>()
    })?;
    Ok(FetchedImage::new(manifest, cache))
}

/// Groups neighbouring frames into requests.
fn split(frames: &[Frame]) -> Vec<&[Frame]> {
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
    pack: &Pack,
    frames: &[Frame],
) -> Result<(), StoreError> {
    let object = format!("packs/{}.pack", pack.digest);
    if frames.iter().all(|frame| is_cached(cache, &object, frame)) {
        return Ok(());
    }
    let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(()) };
    let length = last.offset + u64::from(last.length) - first.offset;
    let bytes = source.read_range(&object, first.offset, length)?;
    for frame in frames {
        let start = (frame.offset - first.offset) as usize;
        check_digest(&object, &bytes[start..start + frame.length as usize], frame.digest)?;
    }
    let path = cache.join(&object);
    let file = open_sparse(&path)?;
    file.write_all_at(&bytes, first.offset).map_err(StoreError::io("write", &path))
}

fn is_cached(cache: &Path, object: &str, frame: &Frame) -> bool {
    let cached = DirSource::new(cache).read_range(object, frame.offset, frame.length.into());
    cached.is_ok_and(|bytes| check_digest(object, &bytes, frame.digest).is_ok())
}

fn open_sparse(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.open(path).map_err(StoreError::io("open", path))
}
