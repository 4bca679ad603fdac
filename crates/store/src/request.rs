//! Requests of a fetch: which ranges of deltas and packs bring what is missing, and what is done with
//! what they bring.

use crate::StoreError;
use crate::fetch::{CameBy, Session};
use crate::map::MapFrame;
use crate::pack;
use crate::source::{DirSource, Source as _};
use crate::upgrade::{self, Base, DeltaFrame, Upgrade};
use hostwright_model::ids::Digest;
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// How many compressed bytes one request asks for.
const REQUEST_BYTES: u64 = 8 << 20;
/// Ranges that are no further apart are asked for as one: the bytes between them cost less than
/// another answer.
const GAP_BYTES: u64 = 128 << 10;

/// Bytes that lie close together in one file of the store.
pub enum Request<'a> {
    /// Frames of a pack, each with its number in the map.
    Pack { pack: u32, frames: Vec<(u32, &'a MapFrame)> },
    /// Frames of a delta, by their numbers among the usable ones.
    Delta { delta: Digest, frames: Vec<usize> },
}

impl Request<'_> {
    /// Compressed bytes of its frames; for packs only, which is what is compared.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Pack { frames, .. } => frames.iter().map(|(_, it)| u64::from(it.length)).sum(),
            Self::Delta { .. } => 0,
        }
    }
}

/// The frames of deltas whose bases are all at hand.
pub struct DeltaPlan<'a> {
    frames: Vec<Usable<'a>>,
    /// Those that turned out to be damaged, and why.
    failed: Mutex<HashMap<usize, String>>,
}

/// A frame that can be decoded here.
struct Usable<'a> {
    delta: Digest,
    frame: &'a DeltaFrame,
    objects: Vec<u32>,
    /// The tree that has each base.
    trees: Vec<usize>,
}

impl<'a> DeltaPlan<'a> {
    /// Looks which frames could be of use, and reads the files they build on.
    pub fn new(session: &Session<'_>, upgrade: Option<&'a Upgrade>) -> Self {
        let ways = upgrade.iter().flat_map(|upgrade| &upgrade.from);
        let listed = ways.flat_map(|way| way.frames.iter().map(|frame| (way.delta, frame)));
        let useful = |(delta, frame): (Digest, &'a DeltaFrame)| {
            let objects = frame.objects(session.parts.list)?;
            let is_needed = objects.iter().any(|object| session.is_needed(*object));
            let is_sound = frame.offset.checked_add(frame.length.into()).is_some();
            (is_needed && is_sound).then_some((delta, frame, objects))
        };
        let useful: Vec<_> = listed.filter_map(useful).collect();
        let mut files: Vec<(&str, &Base)> = useful
            .iter()
            .flat_map(|(_, frame, _)| &frame.bases)
            .filter_map(|base| Some((path_of(session, base)?, base)))
            .collect();
        // Parts of one file are looked for once: whether all of it is as it was.
        let key = |(path, base): &(&'_ str, &'_ Base)| (path.to_string(), base.digest.clone());
        files.sort_by_cached_key(key);
        files.dedup_by_key(|file| key(file));
        let trees: HashMap<(String, String), usize> = files
            .par_iter()
            .filter_map(|file| Some((key(file), session.seeds.tree_with(file.0, &file.1.digest)?)))
            .collect();
        let tree_of = |base: &Base| trees.get(&key(&(path_of(session, base)?, base))).copied();
        let usable = |(delta, frame, objects): (Digest, &'a DeltaFrame, Vec<u32>)| {
            let trees = frame.bases.iter().map(tree_of).collect::<Option<_>>()?;
            Some(Usable { delta, frame, objects, trees })
        };
        let frames = useful.into_iter().filter_map(usable).collect();
        Self { frames, failed: Mutex::default() }
    }

    /// The objects that deltas can bring.
    pub fn objects(&self) -> impl Iterator<Item = u32> {
        self.frames.iter().flat_map(|usable| &usable.objects).copied()
    }

    /// What was wrong with deltas.
    pub fn failures(self) -> Vec<String> {
        let failed = self.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.into_values().collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, HashMap<usize, String>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path in a seed of the file that a base is a part of.
fn path_of<'s>(session: &'s Session<'_>, base: &'s Base) -> Option<&'s str> {
    match &base.path {
        Some(path) => Some(path),
        None => Some(&session.parts.manifest.entries.get(base.entry as usize)?.path),
    }
}

impl Session<'_> {
    /// Requests for everything that is missing and that no seed has promised.
    pub(crate) fn plan<'r>(&'r self, deltas: &DeltaPlan<'_>) -> Vec<Request<'r>> {
        let mut missing: HashSet<u32> =
            (0..self.parts.list.objects.len() as u32).filter(|n| self.is_missing(*n)).collect();
        let mut requests = self.plan_deltas(deltas, &mut missing);
        requests.extend(self.plan_packs(&missing));
        requests
    }

    /// Requests for what seeds have promised, in the order in which they are read.
    pub(crate) fn plan_promised(&self) -> Vec<Request<'_>> {
        let all = 0..self.parts.list.objects.len() as u32;
        let promised = all.filter(|n| self.is_needed(*n) && !self.is_missing(*n)).collect();
        self.plan_packs(&promised)
    }

    /// Takes from `missing` what deltas bring for less than packs would.
    fn plan_deltas<'r>(
        &self,
        deltas: &DeltaPlan<'_>,
        missing: &mut HashSet<u32>,
    ) -> Vec<Request<'r>> {
        let failed: HashSet<usize> = deltas.failed().keys().copied().collect();
        let of_way = |delta: Digest| {
            let all = deltas.frames.iter().enumerate();
            all.filter(move |(n, usable)| usable.delta == delta && !failed.contains(n))
        };
        let length = |object: &u32| u64::from(self.parts.list.objects[*object as usize].length);
        // The older image of which most is at hand comes first.
        let mut ways: Vec<Digest> = Vec::new();
        for usable in &deltas.frames {
            if !ways.contains(&usable.delta) {
                ways.push(usable.delta);
            }
        }
        let of_way = &of_way;
        let brings = |delta: &Digest| -> u64 {
            let frames = of_way.clone()(*delta);
            let objects = frames.flat_map(|(_, usable)| &usable.objects);
            objects.filter(|object| missing.contains(object)).map(length).sum()
        };
        ways.sort_by_cached_key(|delta| std::cmp::Reverse(brings(delta)));
        let mut requests = Vec::new();
        for delta in ways {
            let mut chosen = Vec::new();
            for (number, usable) in of_way.clone()(delta) {
                let brought = || usable.objects.iter().filter(|object| missing.contains(object));
                let frames: HashSet<(u32, u32)> = brought().map(|n| self.place(*n)).collect();
                let packed: u64 = frames.iter().map(|at| u64::from(self.frame(*at).length)).sum();
                if u64::from(usable.frame.length) <= packed {
                    missing.retain(|object| !usable.objects.contains(object));
                    chosen.push(number);
                }
            }
            let range = |n: &usize| {
                let frame = deltas.frames[*n].frame;
                (frame.offset, u64::from(frame.length))
            };
            let groups = grouped(chosen, range).into_iter();
            requests.extend(groups.map(|frames| Request::Delta { delta, frames }));
        }
        requests
    }

    fn plan_packs<'r>(&'r self, missing: &HashSet<u32>) -> Vec<Request<'r>> {
        let frames: BTreeSet<(u32, u32)> = missing.iter().map(|n| self.place(*n)).collect();
        let mut requests = Vec::new();
        for pack in 0..self.parts.map.packs.len() as u32 {
            let frames = frames.range((pack, 0)..=(pack, u32::MAX));
            let frames: Vec<_> = frames.map(|at| (at.1, self.frame(*at))).collect();
            let range = |(_, frame): &(u32, &MapFrame)| (frame.offset, u64::from(frame.length));
            let groups = grouped(frames, range).into_iter();
            requests.extend(groups.map(|frames| Request::Pack { pack, frames }));
        }
        requests
    }

    fn place(&self, object: u32) -> (u32, u32) {
        let place = self.parts.places[object as usize];
        (place.pack, place.frame)
    }

    fn frame(&self, (pack, frame): (u32, u32)) -> &MapFrame {
        &self.parts.map.packs[pack as usize].frames[frame as usize]
    }

    /// Fetches what a request is about, unless it has come from elsewhere meanwhile.
    pub(crate) fn do_request(
        &self,
        request: &Request<'_>,
        deltas: &DeltaPlan<'_>,
    ) -> Result<(), StoreError> {
        match request {
            Request::Pack { pack, frames } => self.fetch_frames(*pack, frames),
            Request::Delta { delta, frames } => self.fetch_deltas(*delta, frames, deltas),
        }
    }

    fn fetch_frames(&self, pack: u32, frames: &[(u32, &MapFrame)]) -> Result<(), StoreError> {
        let in_frame = |frame: u32| self.in_frame.get(&(pack, frame)).into_iter().flatten();
        let is_needed =
            |(frame, _): &&(u32, &MapFrame)| in_frame(*frame).any(|object| self.is_needed(*object));
        let frames: Vec<_> = frames.iter().filter(is_needed).collect();
        let (Some((_, first)), Some((_, last))) = (frames.first(), frames.last()) else {
            return Ok(());
        };
        let start = first.offset;
        let range = (start, last.offset + u64::from(last.length) - start);
        let path = pack::path(self.parts.map.packs[pack as usize].digest);
        let part = |bytes: &'_ [u8], frame: &MapFrame| -> std::ops::Range<usize> {
            let at = (frame.offset - start) as usize;
            at..(at + frame.length as usize).min(bytes.len())
        };
        let check = |bytes: &[u8]| {
            let good = |(_, frame): &&(u32, &MapFrame)| {
                frame.check(&path, &bytes[part(bytes, frame)], self.parts.list)
            };
            frames.iter().try_for_each(good)
        };
        let bytes = self.meter.read_range(&path, range, &check)?;
        let file_path = self.cache.join(&path);
        let file = open_sparse(&file_path)?;
        for (number, frame) in frames {
            file.write_all_at(&bytes[part(&bytes, frame)], frame.offset)
                .map_err(StoreError::io("write", &file_path))?;
            in_frame(*number).for_each(|object| self.arrived(*object, CameBy::Pack));
        }
        Ok(())
    }

    fn fetch_deltas(
        &self,
        delta: Digest,
        numbers: &[usize],
        deltas: &DeltaPlan<'_>,
    ) -> Result<(), StoreError> {
        let path = upgrade::delta_path(delta);
        let needed = |number: &&usize| {
            deltas.frames[**number].objects.iter().any(|object| self.is_needed(*object))
        };
        let mut left: Vec<usize> = numbers.iter().filter(needed).copied().collect();
        let cached = DirSource::new(self.cache);
        left.retain(|number| {
            let usable = &deltas.frames[*number];
            let range = (usable.frame.offset, u64::from(usable.frame.length));
            let packed = cached.read_range(&path, range.0, range.1);
            !packed.is_ok_and(|packed| self.take_delta(&path, usable, &packed).is_ok())
        });
        let frame = |number: usize| deltas.frames[number].frame;
        let (Some(first), Some(last)) = (left.first(), left.last()) else { return Ok(()) };
        let start = frame(*first).offset;
        let range = (start, frame(*last).offset + u64::from(frame(*last).length) - start);
        let bytes = match self.meter.read_range(&path, range, &|_| Ok(())) {
            Ok(bytes) => bytes,
            // The packs have it all; whether they can be reached shows when they are asked.
            Err(error) => {
                let failed = left.iter().map(|number| (*number, error.to_string()));
                deltas.failed().extend(failed);
                return Ok(());
            }
        };
        let file_path = self.cache.join(&path);
        let file = open_sparse(&file_path)?;
        file.write_all_at(&bytes, start).map_err(StoreError::io("write", &file_path))?;
        for number in left {
            let at = (frame(number).offset - start) as usize;
            let packed = bytes.get(at..at + frame(number).length as usize).unwrap_or_default();
            match self.take_delta(&path, &deltas.frames[number], packed) {
                Err(error @ (StoreError::Corrupt { .. } | StoreError::Changed { .. })) => {
                    deltas.failed().insert(number, error.to_string());
                }
                taken => taken?,
            }
        }
        Ok(())
    }

    /// Decodes a frame of a delta and keeps what is in it.
    fn take_delta(&self, path: &str, usable: &Usable<'_>, packed: &[u8]) -> Result<(), StoreError> {
        let mut prefix = Vec::new();
        for (base, tree) in usable.frame.bases.iter().zip(&usable.trees) {
            let file = path_of(self, base).unwrap_or_default();
            prefix.extend(self.seeds.read_base(*tree, file, base)?);
        }
        let objects = usable.frame.decode(path, packed, &prefix, self.parts.list)?;
        for (object, bytes) in objects {
            if self.is_needed(self.parts.list.numbers[&object.digest]) {
                self.keep(object, &bytes, CameBy::Delta)?;
            }
        }
        Ok(())
    }
}

/// Groups what lies close together into requests.
fn grouped<T>(items: Vec<T>, range: impl Fn(&T) -> (u64, u64)) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    let (mut start, mut end) = (0, 0);
    for item in items {
        let (offset, length) = range(&item);
        match groups.last_mut() {
            Some(group)
                if offset >= end
                    && offset - end <= GAP_BYTES
                    && offset.saturating_add(length) - start <= REQUEST_BYTES =>
            {
                group.push(item);
            }
            _ => {
                start = offset;
                groups.push(vec![item]);
            }
        }
        end = offset.saturating_add(length);
    }
    groups
}

fn open_sparse(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.open(path).map_err(StoreError::io("open", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_request_and_strangers_are_not() {
        let mib = 1 << 20;
        let ranges = vec![
            (0, 100),
            (100, 50),
            (150 + GAP_BYTES, 10),
            (2 * mib, 1),
            (3 * mib, 6 * mib),
            (9 * mib, 3 * mib),
        ];
        let groups = grouped(ranges, |range| *range);
        let lengths: Vec<usize> = groups.iter().map(Vec::len).collect();
        assert_eq!(lengths, [3, 1, 1, 1]);
    }
}
