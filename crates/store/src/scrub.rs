//! Reads all of a store, says what is damaged, and mends it from another one.
//!
//! A damaged pack is fetched again. Where the other store has packed the same images differently,
//! what is still good of the pack is packed anew and the rest is brought object by object. Maps are
//! made again from the packs. A damaged name is only told: its signature cannot be made good.

use crate::catalog::{Catalog, names_in};
use crate::error::check_digest;
use crate::packer::Packer;
use crate::pull::harmless;
use crate::source::{DirSource, Source, first_good, read_as};
use crate::store::Store;
use crate::{OnBytes, StoreError, manifest, pack, upgrade};
use hostwright_model::ids::Digest;
use rayon::prelude::*;
use rustix::fs::FlockOperation;
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// What [`Store::scrub`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScrubReport {
    /// Packs that were read.
    pub packs: u64,
    /// Bytes they have.
    pub pack_bytes: u64,
    /// Images, of all names and histories.
    pub images: u64,
    /// Names.
    pub names: u64,
    /// What was not as it should be.
    pub damaged: Vec<Damage>,
}

/// Something damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What, as a path inside the store.
    pub object: String,
    /// In what way.
    pub reason: String,
    /// True if it is as it should be now.
    pub healed: bool,
}

impl ScrubReport {
    /// True if nothing is damaged any more.
    pub fn is_sound(&self) -> bool {
        self.damaged.iter().all(|damage| damage.healed)
    }

    fn found(&mut self, object: String, error: &StoreError, healed: bool) {
        let reason = match error {
            StoreError::Corrupt { reason, .. } => reason.clone(),
            StoreError::Missing { .. } => "it is missing".to_owned(),
            error => error.to_string(),
        };
        self.damaged.push(Damage { object, reason, healed });
    }
}

impl Store {
    /// Reads everything. With `heal_from` what is damaged is mended as far as that store has it.
    /// Waits until nobody uses the store otherwise.
    pub fn scrub(
        &self,
        heal_from: Option<&dyn Source>,
        on_bytes: OnBytes<'_>,
    ) -> Result<ScrubReport, StoreError> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        let mut report = ScrubReport::default();
        let mut images = BTreeSet::new();
        for name in self.names()? {
            report.names += 1;
            match self.stream(&name) {
                Ok(stream) => images.extend(stream.images.iter().map(|issue| issue.manifest)),
                Err(error) => report.found(format!("refs/{name}"), &error, false),
            }
        }
        report.images = images.len() as u64;
        let bad = self.scrub_packs(heal_from, &mut report, on_bytes)?;
        self.scrub_deltas(heal_from, &mut report)?;
        for digest in &images {
            self.scrub_manifest(*digest, heal_from, &mut report)?;
        }
        self.scrub_maps(&images, &bad, heal_from, &mut report)?;
        Ok(report)
    }

    /// Reads all packs and fetches damaged ones again; those that stay damaged.
    fn scrub_packs(
        &self,
        heal_from: Option<&dyn Source>,
        report: &mut ScrubReport,
        on_bytes: OnBytes<'_>,
    ) -> Result<HashSet<Digest>, StoreError> {
        let mut packs: Vec<(Digest, u64)> = Vec::new();
        for name in names_in(&self.packs_dir())? {
            let Some(digest) = name.strip_suffix(".pack").and_then(|stem| stem.parse().ok()) else {
                continue;
            };
            let file = self.packs_dir().join(&name);
            let length = fs::metadata(&file).map_err(StoreError::io("read", &file))?.len();
            packs.push((digest, length));
        }
        report.packs = packs.len() as u64;
        report.pack_bytes = packs.iter().map(|(_, length)| length).sum();
        let mut bad = HashSet::new();
        let mut done = 0;
        for (digest, length) in packs {
            let path = pack::path(digest);
            if let Err(error) = check_pack(&self.root().join(&path), digest) {
                let fetched = heal_from.map(|source| {
                    first_good(source, &mut |part| self.bring_pack(part, digest, &|_| {}))
                });
                match fetched {
                    Some(Ok(())) => report.found(path, &error, true),
                    _ => {
                        report.found(path, &error, false);
                        bad.insert(digest);
                    }
                }
            }
            done += length;
            on_bytes(done, report.pack_bytes);
        }
        Ok(bad)
    }

    /// Compares deltas with their names. One that cannot be fetched again is removed: the packs have
    /// what is in it.
    fn scrub_deltas(
        &self,
        heal_from: Option<&dyn Source>,
        report: &mut ScrubReport,
    ) -> Result<(), StoreError> {
        for name in names_in(&self.root().join("deltas"))? {
            let stem = name.split('.').next().unwrap_or_default();
            let Ok(digest) = stem.parse::<Digest>() else { continue };
            let path = upgrade::delta_path(digest);
            let file = self.root().join(&path);
            let found = digest_of_file(&file)?;
            if found == digest {
                continue;
            }
            if let Some(source) = heal_from {
                fs::remove_file(&file).map_err(StoreError::io("remove", &file))?;
                self.bring_delta(source, digest).or_else(harmless)?;
            }
            let error = StoreError::corrupt(&path, format!("its BLAKE3 is {found}"));
            report.found(path, &error, heal_from.is_some());
        }
        Ok(())
    }

    fn scrub_manifest(
        &self,
        digest: Digest,
        heal_from: Option<&dyn Source>,
        report: &mut ScrubReport,
    ) -> Result<(), StoreError> {
        let Err(error) = self.manifest(digest) else { return Ok(()) };
        let path = manifest::path(digest);
        let good =
            |packed: &[u8]| crate::store::unpack_manifest(packed, digest).map(|_| packed.to_vec());
        let fetched = heal_from.map(|source| read_as(source, &path, &good));
        let healed = match fetched {
            Some(Ok(Some(packed))) => {
                self.write(&self.root().join(&path), &packed)?;
                true
            }
            _ => false,
        };
        report.found(path, &error, healed);
        Ok(())
    }

    /// Looks whether every image has all of its objects and a map that says so.
    fn scrub_maps(
        &self,
        images: &BTreeSet<Digest>,
        bad: &HashSet<Digest>,
        heal_from: Option<&dyn Source>,
        report: &mut ScrubReport,
    ) -> Result<(), StoreError> {
        let mut all_whole = true;
        if heal_from.is_some() {
            self.set_aside(bad)?;
        }
        let catalog = Catalog::read(&self.packs_dir(), bad)?;
        for digest in images {
            let Ok(manifest) = self.manifest(*digest) else { continue };
            let list = manifest.object_list();
            let map = self.map(*digest).and_then(|map| map.places(&list, *digest).map(|_| map));
            let error = match (map, catalog.map(&list)) {
                (Ok(map), Ok(_))
                    if map.packs.iter().all(|p| catalog.packs.contains_key(&p.digest)) =>
                {
                    continue;
                }
                (Err(error), _) => error,
                (Ok(_), Err(object)) => {
                    let reason = format!("the object {} is in no good pack", object.digest);
                    StoreError::corrupt("", reason)
                }
                (Ok(_), Ok(_)) => StoreError::corrupt("", "it names packs that are not good"),
            };
            let healed = heal_from.is_some_and(|source| {
                self.put_map(*digest, &manifest, &catalog).is_ok()
                    || self.bring(source, *digest, &|_, _| {}).is_ok()
            });
            all_whole &= healed;
            report.found(crate::map::path(*digest), &error, healed);
        }
        if heal_from.is_none() {
            return Ok(());
        }
        for digest in bad {
            let path = pack::path(*digest);
            match all_whole {
                // Nothing needs it any more.
                true => {
                    let healed = report.damaged.iter_mut().filter(|damage| damage.object == path);
                    healed.for_each(|damage| damage.healed = true);
                }
                // Better a damaged pack than none.
                false => self.put_back(*digest)?,
            }
        }
        Ok(())
    }

    /// Moves damaged packs out of the way, after what is good of them was packed anew.
    fn set_aside(&self, bad: &HashSet<Digest>) -> Result<(), StoreError> {
        let mut catalog = Catalog::read(&self.packs_dir(), bad)?;
        let mut packer = Packer::new(self, &mut catalog);
        for digest in bad {
            let path = pack::path(*digest);
            // Without a table nothing of it can be told apart.
            for frame in pack::read_table(&self.root().join(&path), &path).unwrap_or_default() {
                let Ok(raw) = self.read_frame(&path, &frame) else { continue };
                let mut at = 0;
                for object in &frame.objects {
                    let bytes = &raw[at..at + object.length as usize];
                    at += object.length as usize;
                    if check_digest(&path, bytes, object.digest).is_ok() {
                        packer.push(*object, bytes)?;
                    }
                }
            }
        }
        packer.finish()?;
        for digest in bad {
            let (from, to) = (self.root().join(pack::path(*digest)), self.aside(*digest));
            fs::rename(&from, &to).map_err(StoreError::io("rename", &from))?;
        }
        Ok(())
    }

    fn read_frame(&self, path: &str, frame: &pack::Frame) -> Result<Vec<u8>, StoreError> {
        let source = DirSource::new(self.root());
        let packed = source.read_range(path, frame.offset, frame.length.into())?;
        pack::decompress(path, &packed, frame.raw_length())
    }

    fn put_back(&self, digest: Digest) -> Result<(), StoreError> {
        let (from, to) = (self.aside(digest), self.root().join(pack::path(digest)));
        fs::rename(&from, &to).map_err(StoreError::io("rename", &from))
    }

    /// Where a damaged pack waits until `gc` sweeps `tmp/`.
    fn aside(&self, digest: Digest) -> std::path::PathBuf {
        self.root().join("tmp").join(format!("damaged-{digest}.pack"))
    }
}

/// Compares a pack with its name, and all objects in it with theirs.
fn check_pack(file: &Path, digest: Digest) -> Result<(), StoreError> {
    let path = pack::path(digest);
    let found = digest_of_file(file)?;
    if found != digest {
        return Err(StoreError::corrupt(path, format!("its BLAKE3 is {found}")));
    }
    check_objects(file, &path)
}

/// Decodes all frames of the pack in `file`, which has `path` inside its store, and compares every
/// object with its digest: a pack may have its right name and hold what it should not.
pub(crate) fn check_objects(file: &Path, path: &str) -> Result<(), StoreError> {
    let frames = pack::read_table(file, path)?;
    let open = File::open(file).map_err(StoreError::io("open", file))?;
    frames.par_iter().try_for_each(|frame| {
        let mut packed = vec![0; frame.length as usize];
        open.read_exact_at(&mut packed, frame.offset).map_err(StoreError::io("read", file))?;
        let raw = pack::decompress(path, &packed, frame.raw_length())?;
        let mut at = 0;
        for object in &frame.objects {
            let bytes = &raw[at..at + object.length as usize];
            at += object.length as usize;
            check_digest(path, bytes, object.digest)?;
        }
        Ok(())
    })
}

/// BLAKE3 of a file.
pub(crate) fn digest_of_file(path: &Path) -> Result<Digest, StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("open", path))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(StoreError::io("read", path))?;
        if read == 0 {
            return Ok(Digest(*hasher.finalize().as_bytes()));
        }
        hasher.update(&buffer[..read]);
    }
}
