//! The image of a run: fetched from the boot server's store into RAM, all of it, before a disk is
//! written.

use crate::fault;
use hostwright_engine::Images;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, ImageRef, TreeSource};
use hostwright_store::{FetchedImage, HttpSource, Seeds, fetch_with_seeds};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;

/// Images of one store, as far as they have been asked for.
pub(crate) struct StoreImages {
    source: HttpSource,
    cache: PathBuf,
    /// Systems that were installed before.
    seeds: Seeds,
    fetched: BTreeMap<Digest, FetchedImage>,
}

impl StoreImages {
    /// Images below `url`, kept in `cache`.
    pub(crate) fn new(url: &str, cache: impl Into<PathBuf>) -> Self {
        Self {
            source: HttpSource::new(url),
            cache: cache.into(),
            seeds: Seeds::default(),
            fetched: BTreeMap::new(),
        }
    }
}

impl Images for StoreImages {
    fn fetch(
        &mut self,
        image: &ImageRef,
        on_bytes: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Box<Fault>> {
        // Several connections report at once, the engine listens in one thread.
        let (told, hear) = channel();
        let Self { source, cache, seeds, .. } = self;
        let fetched = thread::scope(|scope| {
            let fetching = scope.spawn(move || {
                // The listener stays until this ends.
                let on_bytes = |done, total| told.send((done, total)).unwrap_or_default();
                fetch_with_seeds(source, image.manifest, cache, seeds, &on_bytes)
            });
            hear.iter().for_each(|(done, total)| on_bytes(done, total));
            fetching.join().expect("invariant: fetching does not panic")
        });
        let (fetched, _) = fetched.map_err(|error| fault::of_store(&error))?;
        self.fetched.insert(image.manifest, fetched);
        Ok(())
    }

    fn reuse(&mut self, roots: &[String]) {
        self.seeds = roots.iter().fold(Seeds::default(), |seeds, root| seeds.tree(root));
    }

    fn open(&self, image: &ImageRef) -> Result<Box<dyn TreeSource + '_>, Box<Fault>> {
        let fetched = self.fetched.get(&image.manifest).ok_or_else(|| {
            Box::new(Fault::new(
                FaultKind::Bug,
                "image-not-fetched",
                format!("image {} is wanted before it was fetched", image.name),
                "report this with the plan",
            ))
        })?;
        Ok(Box::new(Borrowed(fetched)))
    }
}

/// A fetched image that stays with its owner.
struct Borrowed<'a>(&'a FetchedImage);

impl TreeSource for Borrowed<'_> {
    fn entries(&self) -> &[Entry] {
        self.0.entries()
    }

    fn open(&self, entry: &Entry) -> io::Result<Box<dyn io::Read + '_>> {
        self.0.open(entry)
    }

    fn read_to(
        &self,
        entry: &Entry,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.0.read_to(entry, sink)
    }

    fn groups(&self) -> Vec<Vec<&Entry>> {
        self.0.groups()
    }
}
