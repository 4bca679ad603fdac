//! The image of a run: fetched from the boot server's store into RAM, all of it, before a disk is
//! written.

use crate::console::Console;
use crate::fault;
use crate::report::Patience;
use hostwright_client::Backoff;
use hostwright_engine::Images;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, ImageRef, TreeSource};
use hostwright_store::{FetchedImage, HttpSource, Seeds, StoreError, fetch_with_seeds};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;

/// Images of one store, as far as they have been asked for.
pub(crate) struct StoreImages {
    console: Console,
    source: HttpSource,
    cache: PathBuf,
    /// Systems that were installed before.
    seeds: Seeds,
    fetched: BTreeMap<Digest, FetchedImage>,
}

impl StoreImages {
    /// Images below `url`, kept in `cache`. The console hears of a server that is away.
    pub(crate) fn new(url: &str, cache: impl Into<PathBuf>, console: Console) -> Self {
        Self {
            console,
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
        let mut patience = Patience::new(self.console.clone());
        let fetched = thread::scope(|scope| {
            let fetching = scope.spawn(move || {
                // The listener stays until this ends.
                let on_bytes = |done, total| told.send((done, total)).unwrap_or_default();
                let attempt = || fetch_with_seeds(source, image.manifest, cache, seeds, &on_bytes);
                try_on(attempt, &mut |error| patience.tell(error))
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

/// Tries until the server delivers, for as long as it takes: like every other request of this
/// machine, and nothing is lost by waiting. What was fetched is kept in between. `on_wait` hears why.
fn try_on<T>(
    mut attempt: impl FnMut() -> Result<T, StoreError>,
    on_wait: &mut dyn FnMut(&StoreError),
) -> Result<T, StoreError> {
    let mut backoff = Backoff::default();
    loop {
        match attempt() {
            Err(error @ StoreError::Remote { .. }) => {
                on_wait(&error);
                thread::sleep(backoff.step());
            }
            ended => return ended,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_is_waited_for_and_a_corrupt_object_is_not() {
        let away = || StoreError::Remote { url: "http://s/".into(), reason: "refused".into() };
        let mut answers = vec![Ok(7), Err(away()), Err(away())];
        let mut told = 0;
        let fetched = try_on(|| answers.pop().unwrap(), &mut |_| told += 1);
        assert_eq!((fetched.unwrap(), told), (7, 2));

        let corrupt = || StoreError::Corrupt { object: "packs/1".into(), reason: "bits".into() };
        let mut told = 0;
        let refused: Result<(), _> = try_on(|| Err(corrupt()), &mut |_| told += 1);
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })));
        assert_eq!(told, 0);
    }
}
