//! Copies an image to a remote store: packs and deltas first, then manifest and map, the signed name
//! last, so that the copy is whole at every moment.

use crate::map::MapPack;
use crate::sink::Sink;
use crate::source::is_immutable;
use crate::store::{Store, check_name};
use crate::stream::{KEPT_IMAGES, Stream};
use crate::{OnBytes, StoreError, manifest, map, pack, upgrade};
use hostwright_model::ids::Digest;
use hostwright_model::image::ImageRef;
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// How many packs are under way at once.
const CONNECTIONS: usize = 4;
/// How often a name is tried that others change at the same time.
const TRIES: usize = 8;

/// What [`Store::push`] did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// The image.
    pub image: ImageRef,
    /// Packs and deltas that were sent.
    pub files: u64,
    /// Bytes they have.
    pub sent_bytes: u64,
    /// Bytes of those that were there already.
    pub at_hand_bytes: u64,
    /// The generation of the name there.
    pub generation: u64,
}

/// A pack that the image needs, or a delta that leads to it, as it is here.
struct Wanted {
    path: String,
    file: PathBuf,
    length: u64,
}

impl Store {
    /// Copies what a remote store lacks of the image `name`, and gives it the name there, signed by
    /// this store's key. An interrupted push goes on with the first pack that is missing.
    pub fn push(
        &self,
        sink: &dyn Sink,
        name: &str,
        on_bytes: OnBytes<'_>,
    ) -> Result<Pushed, StoreError> {
        check_name(name)?;
        let image = self.complete(name)?;
        // Nobody may collect what is being sent.
        let _lock = self.lock(rustix::fs::FlockOperation::LockShared)?;
        let map = self.map(image.manifest)?;
        let mut wanted = self.wanted(&map.packs)?;
        let upgrade = self.upgrade(image.manifest)?;
        for way in upgrade.iter().flat_map(|upgrade| &upgrade.from) {
            wanted.push(self.file(upgrade::delta_path(way.delta))?);
        }
        let missing = missing(sink, &wanted)?;
        let all: u64 = wanted.iter().map(|pack| pack.length).sum();
        let sent_bytes: u64 = missing.iter().map(|pack| pack.length).sum();
        send(sink, &missing, sent_bytes, on_bytes)?;
        let mut small = vec![map::path(image.manifest), manifest::path(image.manifest)];
        small.extend(upgrade.map(|_| upgrade::path(image.manifest)));
        for path in small {
            let file = self.root().join(&path);
            let bytes = fs::read(&file).map_err(StoreError::io("read", &file))?;
            if !is_immutable(&path) || sink.length(&path)? != Some(bytes.len() as u64) {
                sink.put(&path, bytes)?;
            }
        }
        let generation = self.push_name(sink, name, image.manifest)?;
        let files = missing.len() as u64;
        Ok(Pushed { image, files, sent_bytes, at_hand_bytes: all - sent_bytes, generation })
    }

    fn wanted(&self, parts: &[MapPack]) -> Result<Vec<Wanted>, StoreError> {
        parts.iter().map(|part| self.file(pack::path(part.digest))).collect()
    }

    fn file(&self, path: String) -> Result<Wanted, StoreError> {
        let file = self.root().join(&path);
        let length = fs::metadata(&file).map_err(StoreError::io("read", &file))?.len();
        Ok(Wanted { path, file, length })
    }

    /// Moves the name in the remote store to `manifest`, unless it is there; its generation.
    fn push_name(&self, sink: &dyn Sink, name: &str, manifest: Digest) -> Result<u64, StoreError> {
        let path = format!("refs/{name}");
        let key = self.secret_key()?;
        for _ in 0..TRIES {
            let there = sink.read_version(&path)?;
            let mut stream = match &there {
                None => Stream::new(name),
                Some((bytes, _)) => {
                    let (stream, found) = Stream::from_bytes(bytes, name)?;
                    if found != key.public() {
                        return Err(StoreError::other_key(name, found, key.public()));
                    }
                    stream
                }
            };
            if stream.newest() == Some(manifest) {
                return Ok(stream.generation);
            }
            stream.issue(manifest, KEPT_IMAGES);
            let version = there.as_ref().map(|(_, version)| version);
            if sink.replace(&path, stream.to_bytes(&key), version)? {
                return Ok(stream.generation);
            }
        }
        Err(StoreError::Contended { name: name.to_owned() })
    }
}

/// Those that the remote store does not have in full length. Whole or not at all is what it
/// promises, so the length is enough.
fn missing<'a>(sink: &dyn Sink, wanted: &'a [Wanted]) -> Result<Vec<&'a Wanted>, StoreError> {
    let mut missing = Vec::new();
    for pack in wanted {
        if sink.length(&pack.path)? != Some(pack.length) {
            missing.push(pack);
        }
    }
    Ok(missing)
}

fn send(
    sink: &dyn Sink,
    packs: &[&Wanted],
    total: u64,
    on_bytes: OnBytes<'_>,
) -> Result<(), StoreError> {
    let (done, next) = (AtomicU64::new(0), AtomicUsize::new(0));
    let worker = || -> Result<(), StoreError> {
        while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            sink.put_file(&pack.path, &pack.file, &|bytes| {
                on_bytes(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
            })?;
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
