//! Gives back the room of what no name leads to any more.
//!
//! Nothing is deleted in the run that finds it unneeded: a machine may be fetching it. It is
//! condemned, and deleted by a run that comes later than the grace time and finds it unneeded still.
//! Killed at any point, a run has deleted only what nobody needs.
//!
//! ```text
//! condemned/KIND-DIGEST    an empty file, as old as the sentence
//! ```

use crate::catalog::{Catalog, names_in};
use crate::manifest::Manifest;
use crate::pack::Frame;
use crate::packer::Packer;
use crate::source::{DirSource, Source as _};
use crate::store::Store;
use crate::{StoreError, pack};
use hostwright_model::ids::Digest;
use rustix::fs::FlockOperation;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How a store is cleaned.
#[derive(Clone, Copy, Debug)]
pub struct CollectOptions {
    /// How long what is not needed stays, so that whoever fetches it can end.
    pub grace: Duration,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What a run of [`Store::collect`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CollectReport {
    /// Images that names lead to.
    pub images: u64,
    /// Packs that nothing needs, found by this run.
    pub condemned_packs: u64,
    /// Packs with little that is needed, whose needed objects were packed again.
    pub repacked_packs: u64,
    /// Packs, deltas, manifests and what belongs to them that were deleted.
    pub deleted_files: u64,
    /// Bytes they had.
    pub deleted_bytes: u64,
}

/// A pack is packed again when less than this part of it is needed, in percent.
const REPACK_BELOW_PERCENT: u64 = 50;

impl Store {
    /// Repacks, condemns and deletes what no name needs. Waits until nobody adds to the store.
    pub fn collect(&self, options: CollectOptions) -> Result<CollectReport, StoreError> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        let mut report = CollectReport::default();
        let images = self.named_images()?;
        report.images = images.len() as u64;
        let catalog = Catalog::read(&self.packs_dir(), &HashSet::new())?;
        let live: HashSet<Digest> = images
            .values()
            .flat_map(|image| image.object_list().objects)
            .map(|object| object.digest)
            .collect();
        let sparse = sparse_packs(&catalog, &live);
        report.repacked_packs = sparse.len() as u64;
        let needed = match options.dry_run {
            true => needed_packs(&catalog, &live, &sparse),
            false => self.rewrite(&images, catalog, &live, &sparse)?,
        };
        let deltas = self.needed_deltas(&images);
        for (kind, digest, path) in self.everything()? {
            let is_needed = match kind {
                "pack" => needed.contains(&digest),
                "delta" => deltas.contains(&digest),
                _ => images.contains_key(&digest),
            };
            self.sentence(kind, digest, path, is_needed, options, &mut report)?;
        }
        if !options.dry_run {
            self.sweep_tmp(options.grace)?;
        }
        Ok(report)
    }

    /// The packs that are to be deleted: nothing new may rely on them.
    pub(crate) fn condemned_packs(&self) -> Result<HashSet<Digest>, StoreError> {
        let names = names_in(&self.root().join("condemned"))?;
        Ok(names.iter().filter_map(|name| name.strip_prefix("pack-")?.parse().ok()).collect())
    }

    /// The images of all names, with their histories.
    pub(crate) fn named_images(&self) -> Result<BTreeMap<Digest, Manifest>, StoreError> {
        let mut images = BTreeMap::new();
        for name in self.names()? {
            for issue in self.stream(&name)?.images {
                if let std::collections::btree_map::Entry::Vacant(free) =
                    images.entry(issue.manifest)
                {
                    free.insert(self.manifest(issue.manifest)?);
                }
            }
        }
        Ok(images)
    }

    /// The deltas that lead to an image with a name. An upgrade that cannot be read leads nowhere.
    fn needed_deltas(&self, images: &BTreeMap<Digest, Manifest>) -> BTreeSet<Digest> {
        let upgrades = images.keys().filter_map(|digest| self.upgrade(*digest).ok().flatten());
        upgrades.flat_map(|upgrade| upgrade.from).map(|way| way.delta).collect()
    }

    /// Packs the needed objects of `sparse` packs again and writes the maps anew; the packs that are
    /// needed then.
    fn rewrite(
        &self,
        images: &BTreeMap<Digest, Manifest>,
        catalog: Catalog,
        live: &HashSet<Digest>,
        sparse: &BTreeSet<Digest>,
    ) -> Result<BTreeSet<Digest>, StoreError> {
        let mut kept = Catalog::default();
        let (old, full): (Vec<_>, Vec<_>) =
            catalog.packs.into_iter().partition(|(digest, _)| sparse.contains(digest));
        for (digest, frames) in full {
            kept.add(digest, frames);
        }
        let mut packer = Packer::new(self, &mut kept);
        for (digest, frames) in &old {
            self.copy_live(*digest, frames, live, &mut packer)?;
        }
        packer.finish()?;
        let mut needed = BTreeSet::new();
        for (digest, image) in images {
            if !sparse.is_empty() {
                self.put_map(*digest, image, &kept)?;
            }
            needed.extend(self.map(*digest)?.packs.into_iter().map(|part| part.digest));
        }
        Ok(needed)
    }

    fn copy_live(
        &self,
        digest: Digest,
        frames: &[Frame],
        live: &HashSet<Digest>,
        packer: &mut Packer<'_>,
    ) -> Result<(), StoreError> {
        let path = pack::path(digest);
        let source = DirSource::new(self.root());
        for frame in frames.iter().filter(|f| f.objects.iter().any(|o| live.contains(&o.digest))) {
            let packed = source.read_range(&path, frame.offset, frame.length.into())?;
            let raw = pack::decompress(&path, &packed, frame.raw_length())?;
            let mut at = 0;
            for object in &frame.objects {
                let bytes = &raw[at..at + object.length as usize];
                at += object.length as usize;
                if live.contains(&object.digest) {
                    crate::error::check_digest(&path, bytes, object.digest)?;
                    packer.push(*object, bytes)?;
                }
            }
        }
        Ok(())
    }

    /// All files that are named by digests, with their kind.
    fn everything(&self) -> Result<Vec<(&'static str, Digest, PathBuf)>, StoreError> {
        let mut all = Vec::new();
        let kinds = [
            ("pack", "packs"),
            ("manifest", "manifests"),
            ("map", "maps"),
            ("upgrade", "upgrades"),
            ("delta", "deltas"),
        ];
        for (kind, dir) in kinds {
            for name in names_in(&self.root().join(dir))? {
                let stem = name.split('.').next().unwrap_or_default();
                let path = self.root().join(dir).join(&name);
                all.extend(stem.parse().ok().map(|digest| (kind, digest, path)));
            }
        }
        Ok(all)
    }

    /// Acquits, condemns or deletes a file.
    fn sentence(
        &self,
        kind: &str,
        digest: Digest,
        path: PathBuf,
        is_needed: bool,
        options: CollectOptions,
        report: &mut CollectReport,
    ) -> Result<(), StoreError> {
        let dir = self.root().join("condemned");
        let mark = dir.join(format!("{kind}-{digest}"));
        let age = match fs::metadata(&mark) {
            Ok(meta) => Some(age_of(&meta)),
            Err(_) => None,
        };
        let remove = |path: &PathBuf| fs::remove_file(path).map_err(StoreError::io("remove", path));
        match (is_needed, age) {
            (true, None) => {}
            (true, Some(_)) if options.dry_run => {}
            (true, Some(_)) => remove(&mark)?,
            (false, Some(age)) if age >= options.grace => {
                report.deleted_files += 1;
                report.deleted_bytes += fs::metadata(&path).map_or(0, |meta| meta.len());
                if !options.dry_run {
                    remove(&path)?;
                    remove(&mark)?;
                }
            }
            (false, Some(_)) => {}
            (false, None) => {
                report.condemned_packs += u64::from(kind == "pack");
                if !options.dry_run {
                    fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
                    File::create(&mark).map_err(StoreError::io("create", &mark))?;
                }
            }
        }
        Ok(())
    }

    /// Deletes what killed programs left in `tmp/`.
    fn sweep_tmp(&self, grace: Duration) -> Result<(), StoreError> {
        let tmp = self.root().join("tmp");
        for name in names_in(&tmp)? {
            let path = tmp.join(name);
            let is_old = fs::metadata(&path).is_ok_and(|meta| age_of(&meta) >= grace);
            match is_old.then(|| fs::remove_file(&path)) {
                Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &path)(e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn age_of(meta: &fs::Metadata) -> Duration {
    let changed = meta.modified().unwrap_or_else(|_| SystemTime::now());
    changed.elapsed().unwrap_or_default()
}

/// Packs of which some, but little, is needed.
fn sparse_packs(catalog: &Catalog, live: &HashSet<Digest>) -> BTreeSet<Digest> {
    let is_sparse = |digest: Digest, frames: &Vec<Frame>| {
        let sum = |wanted: &dyn Fn(Digest) -> bool| -> u64 {
            let objects = frames.iter().flat_map(|frame| &frame.objects);
            objects.filter(|o| wanted(o.digest)).map(|o| u64::from(o.length)).sum()
        };
        let is_from_here = |object| catalog.spot(object).is_some_and(|spot| spot.pack == digest);
        let needed = sum(&|object| live.contains(&object) && is_from_here(object));
        needed > 0 && needed * 100 < sum(&|_| true) * REPACK_BELOW_PERCENT
    };
    let sparse = catalog.packs.iter().filter(|(digest, frames)| is_sparse(**digest, frames));
    sparse.map(|(digest, _)| *digest).collect()
}

/// The packs that hold something live and stay.
fn needed_packs(
    catalog: &Catalog,
    live: &HashSet<Digest>,
    sparse: &BTreeSet<Digest>,
) -> BTreeSet<Digest> {
    let spots = live.iter().filter_map(|object| catalog.spot(*object));
    spots.map(|spot| spot.pack).filter(|pack| !sparse.contains(pack)).collect()
}
