//! Brings everything an image needs to this machine, verified, before anything relies on it.
//!
//! ```text
//! CACHE/packs/DIGEST.pack      sparse: the frames that were fetched, at their offsets in the pack;
//!                              or whole: packs of what came from seeds and deltas
//! CACHE/deltas/DIGEST.delta    sparse: frames of deltas, until the fetch is done
//! ```
//!
//! What a seed has is not fetched; what resembles something in a seed is fetched as a difference from
//! it; the rest comes from packs. Seeds are read while the rest is fetched, and whichever has an
//! object first is taken. A fetch that was interrupted goes on where it stopped.

use crate::catalog::Catalog;
use crate::image::FetchedImage;
use crate::manifest::{self, Manifest, ObjectList};
use crate::map::{self, Map, MapFrame, MapPack, Place};
use crate::meter::Meter;
use crate::object::Object;
use crate::packer::Packer;
use crate::request::{DeltaPlan, Request};
use crate::scan::{self, Candidate, Finds};
use crate::seed::Seeds;
use crate::source::{DirSource, Source};
use crate::store::Store;
use crate::upgrade::{self, Upgrade};
use crate::{OnBytes, StoreError, pack};
use hostwright_model::ids::Digest;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many requests are under way at once.
const CONNECTIONS: usize = 4;
/// zstd's level for what comes from seeds: it is kept for minutes, and made while others wait.
const CACHE_LEVEL: i32 = 1;

/// Where the bytes of an image came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FetchReport {
    /// Bytes of all objects, each counted once.
    pub content_bytes: u64,
    /// Bytes of content that an earlier fetch had left here.
    pub cached_bytes: u64,
    /// Bytes of content that seeds had.
    pub seed_bytes: u64,
    /// Bytes of content that came as differences from what seeds had.
    pub delta_bytes: u64,
    /// Bytes of content that came from packs.
    pub pack_bytes: u64,
    /// Bytes that were moved, with manifest and map.
    pub moved_bytes: u64,
    /// Requests that moved them.
    pub requests: u64,
    /// What was wrong with deltas; their objects came from packs.
    pub damaged_deltas: Vec<String>,
}

/// Fetches an image into `cache` and returns it once every object is there and verified.
pub fn fetch(
    source: &dyn Source,
    manifest: Digest,
    cache: &Path,
    on_bytes: OnBytes<'_>,
) -> Result<FetchedImage, StoreError> {
    fetch_with_seeds(source, manifest, cache, &Seeds::default(), on_bytes).map(|(image, _)| image)
}

/// Fetches an image into `cache`, but for what `seeds` have; says where everything came from.
/// `on_bytes` is told the bytes of content.
pub fn fetch_with_seeds(
    source: &dyn Source,
    digest: Digest,
    cache: &Path,
    seeds: &Seeds,
    on_bytes: OnBytes<'_>,
) -> Result<(FetchedImage, FetchReport), StoreError> {
    let meter = Meter::new(source);
    let mut damaged = Vec::new();
    let upgrade = read_upgrade(&meter, digest, seeds, &mut damaged);
    let content = read_manifest(&meter, digest, seeds, upgrade.as_ref(), &mut damaged)?;
    let map = meter.read_compressed(&map::path(digest), &|json| Map::from_json(json, digest))?;
    let list = content.object_list();
    // Whatever the map leaves out is found before anything is fetched.
    let places = map.places(&list, digest)?;
    let here = Store::cache(cache)?;
    let mut catalog = cached_packs(&here, &list)?;
    let packer = Mutex::new(Packer::new(&here, &mut catalog).with_level(CACHE_LEVEL));
    let parts = Parts { manifest: &content, list: &list, map: &map, places: &places };
    let session = Session::new(meter, parts, cache, seeds, packer, on_bytes);
    session.take_cached();
    damaged.extend(session.run(upgrade.as_ref())?);
    let Session { meter, packer, mut report, bytes, .. } = session;
    packer.into_inner().unwrap_or_else(PoisonError::into_inner).finish()?;
    bytes.tell(&mut report);
    (report.moved_bytes, report.requests) = (meter.bytes(), meter.requests());
    report.damaged_deltas = damaged;
    for dir in ["deltas", "tmp"].map(|dir| cache.join(dir)) {
        fs::remove_dir_all(&dir).map_err(StoreError::io("remove", &dir))?;
    }
    let map = map_of_cache(&map, &list, &places, &catalog);
    Ok((FetchedImage::new(content, map, cache, digest)?, report))
}

/// The upgrade to the image, if somebody has a use for it and there is one.
fn read_upgrade(
    meter: &Meter<'_>,
    digest: Digest,
    seeds: &Seeds,
    damaged: &mut Vec<String>,
) -> Option<Upgrade> {
    if seeds.trees().is_empty() {
        return None;
    }
    let parse = |json: &[u8]| Upgrade::from_json(json, digest);
    match meter.read_compressed(&upgrade::path(digest), &parse) {
        Ok(upgrade) => Some(upgrade),
        Err(StoreError::Missing { .. }) => None,
        Err(error) => {
            damaged.push(error.to_string());
            None
        }
    }
}

/// The manifest: as a difference from one that is at hand, or whole.
fn read_manifest(
    meter: &Meter<'_>,
    digest: Digest,
    seeds: &Seeds,
    upgrade: Option<&Upgrade>,
    damaged: &mut Vec<String>,
) -> Result<Manifest, StoreError> {
    for (old, old_json) in seeds.old_manifests() {
        if old == digest {
            return Manifest::from_json(&old_json, digest);
        }
        let mut ways = upgrade.iter().flat_map(|upgrade| &upgrade.from);
        let Some(way) = ways.find(|way| way.manifest == old) else { continue };
        let path = upgrade::delta_path(way.delta);
        let range = (0, u64::from(way.manifest_length));
        let fetched = meter.read_range(&path, range, &|_| Ok(())).and_then(|packed| {
            let json = upgrade::decode_manifest(&packed, &old_json)
                .map_err(|e| StoreError::corrupt(&path, format!("zstd says: {e}")))?;
            Manifest::from_json(&json, digest)
        });
        match fetched {
            Ok(manifest) => return Ok(manifest),
            Err(error) => damaged.push(error.to_string()),
        }
    }
    meter.read_compressed(&manifest::path(digest), &|json| Manifest::from_json(json, digest))
}

/// The whole packs of a cache. One with an object that is not what it should be is deleted.
fn cached_packs(here: &Store, list: &ObjectList) -> Result<Catalog, StoreError> {
    let found = Catalog::read(&here.packs_dir(), &HashSet::new())?;
    let mut good = Catalog::default();
    for (digest, frames) in found.packs {
        let path = pack::path(digest);
        let source = DirSource::new(here.root());
        let is_good = frames.par_iter().all(|frame| {
            let packed = source.read_range(&path, frame.offset, frame.length.into());
            packed.is_ok_and(|packed| frame.holds_needed(&path, &packed, list))
        });
        match is_good {
            true => good.add(digest, frames),
            false => {
                let file = here.root().join(&path);
                fs::remove_file(&file).map_err(StoreError::io("remove", &file))?;
            }
        }
    }
    Ok(good)
}

/// Where the objects are now: in packs that were made here, or in frames that were fetched.
fn map_of_cache(map: &Map, list: &ObjectList, places: &[Place], made: &Catalog) -> Map {
    let mut packs = made.parts(list);
    let is_elsewhere = |object: &Object| made.spot(object.digest).is_none();
    let used: HashSet<(u32, u32)> = list
        .objects
        .iter()
        .zip(places)
        .filter(|(object, _)| is_elsewhere(object))
        .map(|(_, place)| (place.pack, place.frame))
        .collect();
    for (number, part) in (0..).zip(&map.packs) {
        let frames = (0..).zip(&part.frames).filter(|(frame, _)| used.contains(&(number, *frame)));
        let frames: Vec<MapFrame> = frames.map(|(_, frame)| frame.clone()).collect();
        if !frames.is_empty() {
            packs.push(MapPack { digest: part.digest, frames });
        }
    }
    Map { version: map.version, packs }
}

/// What an image consists of, and where its store has it.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub manifest: &'a Manifest,
    pub list: &'a ObjectList,
    pub map: &'a Map,
    pub places: &'a [Place],
}

/// States of an object.
const MISSING: u8 = 0;
/// A seed has a file that looks like it.
const PROMISED: u8 = 1;
const AT_HAND: u8 = 2;

/// A fetch under way.
pub struct Session<'a> {
    pub meter: Meter<'a>,
    pub parts: Parts<'a>,
    pub cache: &'a Path,
    pub seeds: &'a Seeds,
    packer: Mutex<Packer<'a>>,
    states: Vec<AtomicU8>,
    /// The objects that are taken from each frame of the map.
    pub in_frame: HashMap<(u32, u32), Vec<u32>>,
    bytes: Counts,
    race: Race,
    report: FetchReport,
    on_bytes: OnBytes<'a>,
}

/// How an object came.
#[derive(Clone, Copy)]
pub enum CameBy {
    Cache,
    Seed,
    Delta,
    Pack,
}

/// Bytes of content by the way they came.
#[derive(Default)]
struct Counts([AtomicU64; 4]);

impl Counts {
    fn add(&self, by: CameBy, bytes: u64) {
        self.0[by as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn tell(&self, report: &mut FetchReport) {
        let count = |by: CameBy| self.0[by as usize].load(Ordering::Relaxed);
        report.cached_bytes = count(CameBy::Cache);
        report.seed_bytes = count(CameBy::Seed);
        report.delta_bytes = count(CameBy::Delta);
        report.pack_bytes = count(CameBy::Pack);
    }
}

/// The race between the seeds and the network.
struct Race {
    begun: Instant,
    scan_bytes: AtomicU64,
    scanned_bytes: AtomicU64,
    scan_ends: AtomicBool,
}

impl Race {
    fn new() -> Self {
        let (scan_bytes, scanned_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { begun: Instant::now(), scan_bytes, scanned_bytes, scan_ends: false.into() }
    }

    /// True if `left_bytes` over the network are likely to be here before the scan ends, by far.
    fn network_wins(&self, patience: Duration, moved_bytes: u64, left_bytes: u64) -> bool {
        let passed = self.begun.elapsed();
        if passed < patience {
            return false;
        }
        let scanned = self.scanned_bytes.load(Ordering::Relaxed);
        let left = self.scan_bytes.load(Ordering::Relaxed).saturating_sub(scanned);
        // What each side still needs, in units of the time that has passed. Nobody knows how fast
        // a network is that has not been asked for anything.
        let scan_needs = left as f64 / scanned.max(1) as f64;
        let network_needs = match moved_bytes {
            0 => 0.0,
            moved => left_bytes as f64 / moved as f64,
        };
        scan_needs > 2.0 * network_needs
    }
}

impl<'a> Session<'a> {
    fn new(
        meter: Meter<'a>,
        parts: Parts<'a>,
        cache: &'a Path,
        seeds: &'a Seeds,
        packer: Mutex<Packer<'a>>,
        on_bytes: OnBytes<'a>,
    ) -> Self {
        let states = parts.list.objects.iter().map(|_| AtomicU8::new(MISSING)).collect();
        let mut in_frame = HashMap::<_, Vec<u32>>::new();
        for (number, place) in (0..).zip(parts.places) {
            in_frame.entry((place.pack, place.frame)).or_default().push(number);
        }
        let content_bytes = parts.list.objects.iter().map(|object| u64::from(object.length)).sum();
        let report = FetchReport { content_bytes, ..FetchReport::default() };
        let (bytes, race) = (Counts::default(), Race::new());
        Self { meter, parts, cache, seeds, packer, states, in_frame, bytes, race, report, on_bytes }
    }

    fn packer(&self) -> std::sync::MutexGuard<'_, Packer<'a>> {
        self.packer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the object has not come yet.
    pub fn is_needed(&self, object: u32) -> bool {
        self.states[object as usize].load(Ordering::Relaxed) != AT_HAND
    }

    /// True if the object has not come and no seed looks as if it had it.
    pub fn is_missing(&self, object: u32) -> bool {
        self.states[object as usize].load(Ordering::Relaxed) == MISSING
    }

    /// Notes that an object is at hand, unless it was already.
    pub fn arrived(&self, object: u32, by: CameBy) {
        if self.states[object as usize].swap(AT_HAND, Ordering::Relaxed) != AT_HAND {
            self.bytes.add(by, self.parts.list.objects[object as usize].length.into());
            (self.on_bytes)(self.bytes.sum(), self.report.content_bytes);
        }
    }

    /// Keeps an object that was verified.
    pub fn keep(&self, object: Object, bytes: &[u8], by: CameBy) -> Result<(), StoreError> {
        self.packer().push(object, bytes)?;
        self.arrived(self.parts.list.numbers[&object.digest], by);
        Ok(())
    }

    /// Takes what an earlier fetch left: objects in whole packs, which have been looked at, and
    /// frames that hold what they should.
    fn take_cached(&self) {
        for (number, object) in (0..).zip(&self.parts.list.objects) {
            if self.packer().has(object.digest) {
                self.arrived(number, CameBy::Cache);
            }
        }
        let source = DirSource::new(self.cache);
        self.in_frame.par_iter().for_each(|((pack, frame), objects)| {
            let part = &self.parts.map.packs[*pack as usize];
            let (path, frame) = (pack::path(part.digest), &part.frames[*frame as usize]);
            let packed = source.read_range(&path, frame.offset, frame.length.into());
            if packed.is_ok_and(|packed| frame.check(&path, &packed, self.parts.list).is_ok()) {
                objects.iter().for_each(|object| self.arrived(*object, CameBy::Cache));
            }
        });
    }

    /// Scans and fetches until everything is at hand; what was wrong with deltas.
    fn run(&self, upgrade: Option<&Upgrade>) -> Result<Vec<String>, StoreError> {
        let deltas = DeltaPlan::new(self, upgrade);
        let candidates = self.promises(&deltas);
        self.race.scan_bytes.store(scan::bytes(&candidates), Ordering::Relaxed);
        let requests = self.plan(&deltas);
        thread::scope(|scope| {
            let scan = scope.spawn(|| {
                let done = scan::read(&candidates, self.parts.list, self);
                self.race.scan_ends.store(true, Ordering::Relaxed);
                done
            });
            let fetched = self.carry_out(&requests, &deltas, true);
            let scanned = scan.join().expect("invariant: a scan does not panic");
            fetched.and(scanned)
        })?;
        // Promises that were not kept, and what came as a damaged delta.
        for state in &self.states {
            let _ = state.compare_exchange(PROMISED, MISSING, Ordering::Relaxed, Ordering::Relaxed);
        }
        loop {
            match self.plan(&deltas) {
                requests if requests.is_empty() => break,
                requests => self.carry_out(&requests, &deltas, false)?,
            }
        }
        Ok(deltas.failures())
    }

    /// The files of seeds that look as if they had something, which is put off; not what is known to
    /// have changed.
    fn promises(&self, deltas: &DeltaPlan<'_>) -> Vec<Candidate> {
        let Parts { manifest, list, .. } = self.parts;
        if self.seeds.trees().is_empty() {
            return Vec::new();
        }
        let changed: HashSet<u32> = deltas.objects().collect();
        let promise = |candidates: &[Candidate]| {
            let objects = candidates.iter().flat_map(|candidate| &candidate.objects);
            for object in objects.filter(|object| !changed.contains(object)) {
                let state = &self.states[*object as usize];
                let (from, to) = (MISSING, PROMISED);
                let _ = state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
            }
        };
        let mut candidates = scan::by_path(self.seeds, manifest, list);
        promise(&candidates);
        let missing = |object: u32| self.is_missing(object) && !changed.contains(&object);
        let elsewhere = scan::by_size(self.seeds, manifest, list, &missing);
        promise(&elsewhere);
        candidates.extend(elsewhere);
        candidates
    }

    /// Carries out requests over several connections; with `races`, then those for what seeds have
    /// promised, from the other end, if the seeds are much slower than the network.
    fn carry_out(
        &self,
        requests: &[Request<'_>],
        deltas: &DeltaPlan<'_>,
        races: bool,
    ) -> Result<(), StoreError> {
        let next = AtomicUsize::new(0);
        let promised = if races { self.plan_promised() } else { Vec::new() };
        let left = AtomicUsize::new(promised.len());
        let packed = |requests: &[Request<'_>]| requests.iter().map(Request::bytes).sum::<u64>();
        let steal = || -> Result<(), StoreError> {
            while !self.race.scan_ends.load(Ordering::Relaxed) {
                let end = left.load(Ordering::Relaxed);
                let left_bytes = packed(&promised[..end]);
                let wins =
                    self.race.network_wins(self.seeds.patience(), self.meter.bytes(), left_bytes);
                if end == 0 {
                    return Ok(());
                }
                if !wins {
                    thread::sleep(Duration::from_millis(5));
                } else if left
                    .compare_exchange(end, end - 1, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
                {
                    self.do_request(&promised[end - 1], deltas)?;
                }
            }
            Ok(())
        };
        let worker = || -> Result<(), StoreError> {
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.do_request(request, deltas)?;
            }
            steal()
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(worker)).collect();
            let joined =
                workers.into_iter().map(|w| w.join().expect("invariant: workers do not panic"));
            joined.collect::<Result<(), _>>()
        })
    }
}

impl Finds for Session<'_> {
    fn is_wanted(&self, object: u32) -> bool {
        self.is_needed(object)
    }

    fn found(&self, object: Object, bytes: &[u8]) -> Result<(), StoreError> {
        self.keep(object, bytes, CameBy::Seed)
    }

    fn scanned(&self, bytes: u64) {
        self.race.scanned_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
