//! Puts new objects into packs: frames are filled in the order of arrival, compressed on all cores
//! and written one behind the other.

use crate::StoreError;
use crate::catalog::Catalog;
use crate::object::{MAX_OBJECT_BYTES, Object};
use crate::pack::{LEVEL, PackWriter, compress};
use crate::store::Store;
use hostwright_model::ids::Digest;
use rayon::prelude::*;
use std::collections::HashSet;
use std::mem::take;

/// Frames that are compressed together: enough for every core to be busy most of the time.
const BATCH_FRAMES: usize = 16;

/// A frame that is not compressed yet.
#[derive(Default)]
struct Open {
    raw: Vec<u8>,
    objects: Vec<Object>,
}

/// Fills packs of a store.
pub struct Packer<'a> {
    store: &'a Store,
    catalog: &'a mut Catalog,
    arrived: HashSet<Digest>,
    open: Open,
    closed: Vec<Open>,
    writer: Option<PackWriter>,
    level: i32,
}

impl<'a> Packer<'a> {
    /// Packs for `store`, whose packs hold what is in `catalog`; new packs are added to it.
    pub fn new(store: &'a Store, catalog: &'a mut Catalog) -> Self {
        let (open, closed) = (Open::default(), Vec::new());
        let (arrived, writer) = (HashSet::new(), None);
        Self { store, catalog, arrived, open, closed, writer, level: LEVEL }
    }

    /// Compresses at this level of zstd.
    pub fn with_level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// True if the store has the object, or will have it.
    pub fn has(&self, object: Digest) -> bool {
        self.catalog.spot(object).is_some() || self.arrived.contains(&object)
    }

    /// Stores an object, unless the store has it.
    pub fn push(&mut self, object: Object, bytes: &[u8]) -> Result<(), StoreError> {
        if self.has(object.digest) {
            return Ok(());
        }
        self.arrived.insert(object.digest);
        if self.open.raw.len() + bytes.len() > MAX_OBJECT_BYTES {
            self.closed.push(take(&mut self.open));
        }
        self.open.raw.extend_from_slice(bytes);
        self.open.objects.push(object);
        if self.closed.len() >= BATCH_FRAMES { self.write_closed() } else { Ok(()) }
    }

    /// Writes what is left and closes the last pack.
    pub fn finish(mut self) -> Result<(), StoreError> {
        if !self.open.objects.is_empty() {
            self.closed.push(take(&mut self.open));
        }
        self.write_closed()?;
        match self.writer.take() {
            Some(writer) => self.close(writer),
            None => Ok(()),
        }
    }

    fn write_closed(&mut self) -> Result<(), StoreError> {
        let level = self.level;
        let compressed: Vec<_> =
            self.closed.par_iter().map(|frame| compress(&frame.raw, level)).collect();
        for (frame, bytes) in take(&mut self.closed).into_iter().zip(compressed) {
            let bytes = bytes.map_err(StoreError::io("compress", self.store.root()))?;
            let mut writer = match self.writer.take() {
                Some(writer) => writer,
                None => PackWriter::create(self.store.tmp_file())?,
            };
            writer.push(&bytes, frame.objects, level)?;
            match writer.is_full() {
                true => self.close(writer)?,
                false => self.writer = Some(writer),
            }
        }
        Ok(())
    }

    fn close(&mut self, writer: PackWriter) -> Result<(), StoreError> {
        let (digest, frames) = writer.finish(&self.store.packs_dir())?;
        self.catalog.add(digest, frames);
        Ok(())
    }
}
