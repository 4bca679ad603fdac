//! Copies an image from another store: only what is missing here, every object verified before it
//! counts, the name last.
//!
//! ```text
//! tmp/pull-DIGEST    what has come of a pack or delta; an interrupted pull goes on behind it
//! upstream/NAME      the name as it was seen last there, with its signature: whose key counts,
//!                    and below which generation nobody goes back
//! ```

use crate::catalog::Catalog;
use crate::error::check_digest;
use crate::keys::PublicKey;
use crate::manifest::{Manifest, ObjectList};
use crate::map::{Map, MapFrame, MapPack};
use crate::packer::Packer;
use crate::scrub::{check_objects, digest_of_file};
use crate::source::{Source, first_good, read_as, read_range_good};
use crate::store::{Store, check_name, decompress, image_ref, read_manifest, read_map};
use crate::stream::Stream;
use crate::upgrade::{self, Upgrade};
use crate::{OnBytes, StoreError, pack};
use hostwright_model::ids::Digest;
use hostwright_model::image::ImageRef;
use rustix::fs::FlockOperation;
use serde::Serialize;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many bytes one request asks for.
const REQUEST_BYTES: u64 = 8 << 20;
/// How many requests are under way at once.
const CONNECTIONS: usize = 4;
/// A pack is fetched whole when at least this part of it is missing here, in percent; else its
/// frames are.
const WHOLE_FROM_PERCENT: u64 = 50;
/// No pack is longer: whoever says so is wrong, or wants our disk.
const MAX_PACK_BYTES: u64 = 1 << 30;

/// How an image is pulled.
#[derive(Clone, Copy, Debug, Default)]
pub struct PullOptions {
    /// Whose signature under the name counts; the one that counted last time if there is none.
    pub key: Option<PublicKey>,
}

/// What [`Store::pull`] did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// The image.
    pub image: ImageRef,
    /// Bytes of packs and frames that came.
    pub received_bytes: u64,
    /// Bytes of content that were here already.
    pub at_hand_bytes: u64,
    /// The generation of the name there.
    pub generation: u64,
}

/// A pack, and what of it has to come.
struct Wanted<'a> {
    part: &'a MapPack,
    /// The frames that hold what is missing.
    frames: Vec<&'a MapFrame>,
}

impl Store {
    /// Copies the image that `name` stands for in `source`, and gives it the name here.
    pub fn pull(
        &self,
        source: &dyn Source,
        name: &str,
        options: PullOptions,
        on_bytes: OnBytes<'_>,
    ) -> Result<Pulled, StoreError> {
        check_name(name)?;
        let (bytes, stream) = self.upstream(source, name, options)?;
        let unknown = || StoreError::UnknownImage { name: name.to_owned() };
        let digest = stream.newest().ok_or_else(unknown)?;
        let _lock = self.lock(FlockOperation::LockShared)?;
        let (manifest, received_bytes, at_hand_bytes) = self.bring(source, digest, on_bytes)?;
        self.bring_upgrade(source, digest)?;
        self.issue(name, digest)?;
        let dir = self.root().join("upstream");
        fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        self.write(&dir.join(name), &bytes)?;
        let image = image_ref(name, digest, &manifest);
        let generation = stream.generation;
        Ok(Pulled { image, received_bytes, at_hand_bytes, generation })
    }

    /// The name as `source` has it, if it is signed by whom it should be and not older than what was
    /// seen.
    fn upstream(
        &self,
        source: &dyn Source,
        name: &str,
        options: PullOptions,
    ) -> Result<(Vec<u8>, Stream), StoreError> {
        let file = self.root().join("upstream").join(name);
        let seen = match fs::read(&file) {
            Ok(bytes) => Some(Stream::from_bytes(&bytes, name)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(StoreError::io("read", &file)(e)),
        };
        let pinned = options.key.or(seen.as_ref().map(|(_, key)| *key));
        let accept = |bytes: &[u8]| {
            let (stream, found) = Stream::from_bytes(bytes, name)?;
            let name = name.to_owned();
            let Some(pinned) = pinned else {
                return Err(StoreError::Untrusted { name, found: found.into() });
            };
            if found != pinned {
                return Err(StoreError::other_key(name, found, pinned));
            }
            // Another key begins a history of its own.
            let before = seen.as_ref().filter(|(_, key)| *key == pinned);
            match before.map(|(seen, _)| seen) {
                Some(seen) if stream.generation < seen.generation => Err(StoreError::RolledBack {
                    name,
                    seen: seen.generation,
                    found: stream.generation,
                }),
                Some(seen) if stream.generation == seen.generation && stream != *seen => {
                    let path = format!("refs/{name}");
                    Err(StoreError::corrupt(path, "it has two contents in one generation"))
                }
                _ => Ok((bytes.to_vec(), stream)),
            }
        };
        let read = read_as(source, &format!("refs/{name}"), &accept)?;
        read.ok_or_else(|| StoreError::UnknownImage { name: name.to_owned() })
    }

    /// Brings everything that an image needs and this store lacks, and stores its manifest and map;
    /// the manifest, the bytes that came and the bytes of content that were here. The caller has the
    /// lock.
    pub(crate) fn bring(
        &self,
        source: &dyn Source,
        digest: Digest,
        on_bytes: OnBytes<'_>,
    ) -> Result<(Manifest, u64, u64), StoreError> {
        let manifest = read_manifest(source, digest)?;
        let list = manifest.object_list();
        let mut catalog = Catalog::read(&self.packs_dir(), &self.condemned_packs()?)?;
        let has = |number: usize| catalog.spot(list.objects[number].digest).is_some();
        let missing: Vec<bool> = (0..list.objects.len()).map(|number| !has(number)).collect();
        let length = |number: usize| u64::from(list.objects[number].length);
        let at_hand = (0..missing.len()).filter(|n| !missing[*n]).map(length).sum();
        let mut received = 0;
        if missing.contains(&true) {
            let map = read_map(source, digest)?;
            map.places(&list, digest)?;
            received = self.bring_objects(source, &map, &list, &missing, &mut catalog, on_bytes)?;
        }
        self.put_manifest(&manifest, &catalog)?;
        Ok((manifest, received, at_hand))
    }

    fn bring_objects(
        &self,
        source: &dyn Source,
        map: &Map,
        list: &ObjectList,
        missing: &[bool],
        catalog: &mut Catalog,
        on_bytes: OnBytes<'_>,
    ) -> Result<u64, StoreError> {
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        let mut total = 0;
        for part in &map.packs {
            let Some(wanted) = wanted(part, list, missing) else { continue };
            let needed: u64 = wanted.frames.iter().map(|frame| u64::from(frame.length)).sum();
            let path = pack::path(part.digest);
            let missing = || StoreError::Missing { object: path.clone() };
            let length = source.length(&path)?.ok_or_else(missing)?;
            match needed * 100 >= length * WHOLE_FROM_PERCENT {
                true => {
                    whole.push(part.digest);
                    total += length;
                }
                false => {
                    parts.push(wanted);
                    total += needed;
                }
            }
        }
        let done = AtomicU64::new(0);
        let arrived = |bytes: u64| {
            on_bytes(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
        };
        self.bring_packs(source, &whole, catalog, &arrived)?;
        self.bring_frames(source, &parts, list, catalog, &arrived)?;
        Ok(done.into_inner())
    }

    /// Fetches whole packs, and takes each into the catalog.
    fn bring_packs(
        &self,
        source: &dyn Source,
        packs: &[Digest],
        catalog: &mut Catalog,
        arrived: &(dyn Fn(u64) + Sync),
    ) -> Result<(), StoreError> {
        let next = AtomicUsize::new(0);
        let here = Mutex::new(Vec::new());
        let worker = || -> Result<(), StoreError> {
            while let Some(digest) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                first_good(source, &mut |part| self.bring_pack(part, *digest, arrived))?;
                here.lock().unwrap_or_else(PoisonError::into_inner).push(*digest);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(worker)).collect();
            let joined =
                workers.into_iter().map(|w| w.join().expect("invariant: workers do not panic"));
            joined.collect::<Result<(), _>>()
        })?;
        for digest in here.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let path = pack::path(digest);
            catalog.add(digest, pack::read_table(&self.root().join(&path), &path)?);
        }
        Ok(())
    }

    /// Fetches one pack, from where an earlier try ended, verifies all of it and gives it its name.
    pub(crate) fn bring_pack(
        &self,
        source: &dyn Source,
        digest: Digest,
        arrived: &(dyn Fn(u64) + Sync),
    ) -> Result<(), StoreError> {
        let path = pack::path(digest);
        self.bring_file(source, &path, digest, arrived, &|tmp| check_objects(tmp, &path))
    }

    /// The same of any file that is named by its digest; `check` looks at what is in it.
    fn bring_file(
        &self,
        source: &dyn Source,
        path: &str,
        digest: Digest,
        arrived: &(dyn Fn(u64) + Sync),
        check: &dyn Fn(&Path) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let tmp = self.root().join("tmp").join(format!("pull-{digest}"));
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&tmp);
        let file = file.map_err(StoreError::io("create", &tmp))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(io::Error::from)
            .map_err(StoreError::io("lock", &tmp))?;
        let begun = file.metadata().map_err(StoreError::io("read", &tmp))?.len();
        let mut outcome = self.complete_file(source, path, digest, (&file, &tmp), begun, arrived);
        if let (Err(StoreError::Corrupt { .. }), true) = (&outcome, begun > 0) {
            // What came earlier may be what is wrong, and from somebody else.
            outcome = self.complete_file(source, path, digest, (&file, &tmp), 0, arrived);
        }
        match outcome.and_then(|()| check(&tmp)) {
            Ok(()) => {
                let place = self.root().join(path);
                fs::rename(&tmp, &place).map_err(StoreError::io("rename to", &place))
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                source.distrust(path);
                fs::remove_file(&tmp).map_err(StoreError::io("remove", &tmp))?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Appends what is missing behind the first `begun` bytes, and compares the whole with its name.
    fn complete_file(
        &self,
        source: &dyn Source,
        path: &str,
        wanted: Digest,
        (file, tmp): (&File, &Path),
        begun: u64,
        arrived: &(dyn Fn(u64) + Sync),
    ) -> Result<(), StoreError> {
        let missing = || StoreError::Missing { object: path.to_owned() };
        let length = source.length(path)?.ok_or_else(missing)?;
        if length > MAX_PACK_BYTES {
            return Err(StoreError::corrupt(path, format!("no pack has {length} bytes")));
        }
        let mut at = if begun > length { 0 } else { begun };
        file.set_len(at).map_err(StoreError::io("write", tmp))?;
        while at < length {
            let part = REQUEST_BYTES.min(length - at);
            let bytes = source.read_range(path, at, part)?;
            file.write_all_at(&bytes, at).map_err(StoreError::io("write", tmp))?;
            at += part;
            arrived(part);
        }
        file.sync_all().map_err(StoreError::io("sync", tmp))?;
        match digest_of_file(tmp)? {
            found if found == wanted => Ok(()),
            found => Err(StoreError::corrupt(path, format!("its BLAKE3 is {found}"))),
        }
    }

    /// Copies what leads to an image from older ones. That it is missing, damaged or cannot be reached
    /// is no harm: the packs have it all.
    fn bring_upgrade(&self, source: &dyn Source, digest: Digest) -> Result<(), StoreError> {
        let path = upgrade::path(digest);
        let parse = |packed: &[u8]| Upgrade::from_json(&decompress(&path, packed)?, digest);
        let mut upgrade = match read_as(source, &path, &parse) {
            Ok(Some(upgrade)) => upgrade,
            Ok(None) => return Ok(()),
            Err(error) => return harmless(error),
        };
        let mut here = Vec::new();
        for way in upgrade.from {
            match self.bring_delta(source, way.delta) {
                Ok(()) => here.push(way),
                Err(error) => harmless(error)?,
            }
        }
        upgrade.from = here;
        self.write_compressed(&path, &upgrade.to_json())
    }

    /// Fetches a delta unless it is here. What it decodes to is verified by whoever decodes it.
    pub(crate) fn bring_delta(
        &self,
        source: &dyn Source,
        digest: Digest,
    ) -> Result<(), StoreError> {
        let path = upgrade::delta_path(digest);
        if self.root().join(&path).exists() {
            return Ok(());
        }
        first_good(source, &mut |part| self.bring_file(part, &path, digest, &|_| {}, &|_| Ok(())))
    }

    /// Fetches single frames and packs what is missing of them anew.
    fn bring_frames(
        &self,
        source: &dyn Source,
        parts: &[Wanted<'_>],
        list: &ObjectList,
        catalog: &mut Catalog,
        arrived: &(dyn Fn(u64) + Sync),
    ) -> Result<(), StoreError> {
        let mut packer = Packer::new(self, catalog);
        let frames = parts.iter().flat_map(|wanted| {
            let path = pack::path(wanted.part.digest);
            wanted.frames.iter().map(move |frame| (path.clone(), *frame))
        });
        let frames: Vec<(String, &MapFrame)> = frames.collect();
        for batch in frames.chunks(CONNECTIONS) {
            for (raw, (path, frame)) in fetch_frames(source, batch, list)?.iter().zip(batch) {
                arrived(frame.length.into());
                for (number, at) in frame.held(list).unwrap_or_default() {
                    let object = list.objects[number as usize];
                    let bytes = &raw[at as usize..][..object.length as usize];
                    check_digest(path, bytes, object.digest)?;
                    packer.push(object, bytes)?;
                }
            }
        }
        packer.finish()
    }
}

/// An error of the other side, where what it was asked for can be done without.
pub(crate) fn harmless(error: StoreError) -> Result<(), StoreError> {
    match error {
        StoreError::Corrupt { .. } | StoreError::Missing { .. } | StoreError::Remote { .. } => {
            Ok(())
        }
        error => Err(error),
    }
}

/// Fetches frames at the same time, each verified; their decoded content.
fn fetch_frames(
    source: &dyn Source,
    frames: &[(String, &MapFrame)],
    list: &ObjectList,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let fetch = |path: &str, frame: &MapFrame| {
        let check = |packed: &[u8]| frame.check(path, packed, list);
        let packed = read_range_good(source, path, frame.offset, frame.length.into(), &check)?;
        pack::decompress(path, &packed, frame.raw_length)
    };
    thread::scope(|scope| {
        let fetches: Vec<_> =
            frames.iter().map(|(path, frame)| scope.spawn(move || fetch(path, frame))).collect();
        let joined = fetches.into_iter().map(|f| f.join().expect("invariant: they do not panic"));
        joined.collect()
    })
}

/// What of a pack is missing; `None` if nothing is.
fn wanted<'a>(part: &'a MapPack, list: &ObjectList, missing: &[bool]) -> Option<Wanted<'a>> {
    let is_wanted = |frame: &&MapFrame| {
        let held = frame.held(list).unwrap_or_default();
        held.iter().any(|(number, _)| missing[*number as usize])
    };
    let frames: Vec<&MapFrame> = part.frames.iter().filter(is_wanted).collect();
    (!frames.is_empty()).then_some(Wanted { part, frames })
}
