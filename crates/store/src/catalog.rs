//! A catalog: what the packs of a local store hold, read from their tables.

use crate::manifest::ObjectList;
use crate::map::{MAP_VERSION, Map, MapFrame, MapPack, Run};
use crate::object::Object;
use crate::pack::Frame;
use crate::{StoreError, pack};
use hostwright_model::ids::Digest;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The frames of a store's packs, and where each object is.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The packs, with their frames.
    pub packs: BTreeMap<Digest, Vec<Frame>>,
    spots: HashMap<Digest, Spot>,
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The pack.
    pub pack: Digest,
    /// Number of the frame in the pack.
    pub frame: u32,
}

impl Catalog {
    /// Reads the tables of all packs in `dir` but those to leave out. A pack that cannot be read is
    /// left out as well, so that its objects are stored again when they come by.
    pub fn read(dir: &Path, leave_out: &HashSet<Digest>) -> Result<Self, StoreError> {
        let list = |e| StoreError::io("list", dir)(e);
        let mut files: Vec<(Digest, PathBuf)> = Vec::new();
        for entry in fs::read_dir(dir).map_err(list)? {
            let path = entry.map_err(list)?.path();
            let digest = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
            let wanted = digest.filter(|digest| !leave_out.contains(digest));
            files.extend(wanted.map(|digest| (digest, path.clone())));
        }
        files.sort_unstable();
        let read = |(digest, path): (Digest, PathBuf)| {
            let frames = pack::read_table(&path, &pack::path(digest)).ok()?;
            Some((digest, frames))
        };
        let packs: Vec<_> = files.into_par_iter().filter_map(read).collect();
        let mut catalog = Self::default();
        for (digest, frames) in packs {
            catalog.add(digest, frames);
        }
        Ok(catalog)
    }

    /// Takes a pack in. What other packs hold stays with them, unless it is compressed better here.
    pub fn add(&mut self, digest: Digest, frames: Vec<Frame>) {
        for (number, frame) in frames.iter().enumerate() {
            let spot = Spot { pack: digest, frame: number as u32 };
            for object in &frame.objects {
                let known = self.spots.get(&object.digest);
                let known =
                    known.and_then(|known| self.packs.get(&known.pack)?.get(known.frame as usize));
                if known.is_none_or(|known| known.level < frame.level) {
                    self.spots.insert(object.digest, spot);
                }
            }
        }
        self.packs.insert(digest, frames);
    }

    /// The catalog without some of its packs.
    pub fn without(self, leave_out: impl Fn(Digest) -> bool) -> Self {
        let mut kept = Self::default();
        for (digest, frames) in self.packs {
            if !leave_out(digest) {
                kept.add(digest, frames);
            }
        }
        kept
    }

    /// Where an object is.
    pub fn spot(&self, object: Digest) -> Option<Spot> {
        self.spots.get(&object).copied()
    }

    /// The map of an image with these objects; the first object that is nowhere if there is one.
    pub fn map(&self, list: &ObjectList) -> Result<Map, Object> {
        match list.objects.iter().find(|object| self.spot(object.digest).is_none()) {
            Some(nowhere) => Err(*nowhere),
            None => Ok(Map { version: MAP_VERSION, packs: self.parts(list) }),
        }
    }

    /// The packs that hold some of these objects, with the frames that do.
    pub fn parts(&self, list: &ObjectList) -> Vec<MapPack> {
        let mut needed: BTreeMap<Digest, BTreeMap<u32, ()>> = BTreeMap::new();
        for spot in list.objects.iter().filter_map(|object| self.spot(object.digest)) {
            needed.entry(spot.pack).or_default().insert(spot.frame, ());
        }
        let packs = needed.into_iter().map(|(digest, frames)| {
            let all = &self.packs[&digest];
            let frames = frames.into_keys().map(|number| {
                let here = Spot { pack: digest, frame: number };
                self.map_frame(&all[number as usize], here, list)
            });
            MapPack { digest, frames: frames.collect() }
        });
        packs.collect()
    }

    /// The part of a frame that `list` needs and has nowhere else.
    fn map_frame(&self, frame: &Frame, here: Spot, list: &ObjectList) -> MapFrame {
        let mut runs: Vec<Run> = Vec::new();
        let mut skip = 0;
        for object in &frame.objects {
            let number = list.numbers.get(&object.digest).copied();
            match number.filter(|_| self.spot(object.digest) == Some(here)) {
                None => skip += object.length,
                Some(number) => match runs.last_mut() {
                    Some(run) if skip == 0 && run.first + run.count == number => run.count += 1,
                    _ => {
                        runs.push(Run { skip: std::mem::take(&mut skip), first: number, count: 1 })
                    }
                },
            }
        }
        let (offset, length, raw_length) = (frame.offset, frame.length, frame.raw_length());
        MapFrame { offset, length, raw_length, runs }
    }
}

/// Reads a directory's names; none if it is not there.
pub fn names_in(dir: &Path) -> Result<Vec<String>, StoreError> {
    let list = |e| StoreError::io("list", dir)(e);
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(list)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(list)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
