//! Compresses what is in a store more tightly, in the background: packs and deltas, at a level that
//! would make whoever adds an image wait. Objects, manifests and names stay as they are.

use crate::catalog::Catalog;
use crate::object::Object;
use crate::packer::Packer;
use crate::source::{DirSource, Source as _};
use crate::store::Store;
use crate::{OnBytes, StoreError, pack};
use hostwright_model::ids::Digest;
use rustix::fs::FlockOperation;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};

/// zstd's level, if nobody says otherwise: the highest that costs those who read it no memory.
pub const OPTIMIZE_LEVEL: i32 = 19;

/// What [`Store::optimize`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct OptimizeReport {
    /// Packs that were compressed again.
    pub packs: u64,
    /// Bytes they had.
    pub old_bytes: u64,
    /// Bytes they have now.
    pub new_bytes: u64,
    /// Deltas that were made again.
    pub deltas: u64,
}

impl Store {
    /// Compresses the packs and deltas of all named images at this level, but for what is already.
    /// The old packs stay until they are collected: a machine may be fetching them.
    ///
    /// Killed at any point it leaves every image whole, and the next run goes on.
    pub fn optimize(
        &self,
        level: i32,
        on_bytes: OnBytes<'_>,
    ) -> Result<OptimizeReport, StoreError> {
        let _lock = self.lock(FlockOperation::LockShared)?;
        let condemned = self.condemned_packs()?;
        let images = self.named_images()?;
        let live: HashSet<Digest> = images
            .values()
            .flat_map(|image| image.object_list().objects)
            .map(|object| object.digest)
            .collect();
        let mut kept = Catalog::read(&self.packs_dir(), &condemned)?;
        let is_old = |frames: &Vec<pack::Frame>| {
            let at_level = |frame: &pack::Frame| frame.level.unwrap_or(pack::LEVEL) >= level;
            let is_live = |object: &Object| live.contains(&object.digest);
            frames.iter().any(|frame| !at_level(frame) && frame.objects.iter().any(is_live))
        };
        let old: BTreeMap<Digest, Vec<pack::Frame>> = kept
            .packs
            .iter()
            .filter(|(_, it)| is_old(it))
            .map(|(d, it)| (*d, it.clone()))
            .collect();
        kept = kept.without(|digest| old.contains_key(&digest));
        let mut report = OptimizeReport { packs: old.len() as u64, ..Default::default() };
        let before: HashSet<Digest> = kept.packs.keys().copied().collect();
        self.repack(&old, &live, level, &mut kept, on_bytes)?;
        for digest in images.keys().filter(|_| !old.is_empty()) {
            self.put_map(*digest, &images[digest], &kept)?;
        }
        for digest in old.keys() {
            report.old_bytes += self.pack_bytes(*digest);
            self.condemn_pack(*digest)?;
        }
        let new = kept.packs.keys().filter(|digest| !before.contains(digest));
        report.new_bytes = new.map(|digest| self.pack_bytes(*digest)).sum();
        for name in self.names()? {
            let images = self.stream(&name)?.images;
            let digests: Vec<Digest> = images.iter().map(|issue| issue.manifest).collect();
            for (at, digest) in digests.iter().enumerate() {
                let older = digests[at + 1..].iter().take(crate::delta::OLDER_IMAGES);
                let older: Vec<Digest> = older.copied().collect();
                report.deltas += self.make_upgrade(*digest, &older, level)? as u64;
            }
        }
        Ok(report)
    }

    fn repack(
        &self,
        old: &BTreeMap<Digest, Vec<pack::Frame>>,
        live: &HashSet<Digest>,
        level: i32,
        kept: &mut Catalog,
        on_bytes: OnBytes<'_>,
    ) -> Result<(), StoreError> {
        let total = old.values().flatten().map(|frame| u64::from(frame.length)).sum();
        let mut done = 0;
        let source = DirSource::new(self.root());
        let mut packer = Packer::new(self, kept).with_level(level);
        for (digest, frames) in old {
            let path = pack::path(*digest);
            for frame in frames {
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
                done += u64::from(frame.length);
                on_bytes(done, total);
            }
        }
        packer.finish()
    }

    fn pack_bytes(&self, digest: Digest) -> u64 {
        fs::metadata(self.root().join(pack::path(digest))).map_or(0, |meta| meta.len())
    }

    /// Says that nothing new may rely on a pack. It is deleted once nothing does and its grace is
    /// over.
    fn condemn_pack(&self, digest: Digest) -> Result<(), StoreError> {
        let dir = self.root().join("condemned");
        fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        let mark = dir.join(format!("pack-{digest}"));
        File::create(&mark).map(drop).map_err(StoreError::io("create", &mark))
    }
}
