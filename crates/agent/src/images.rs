//! The image of a run: fetched from the boot server's store into RAM, all of it, before a disk is
//! written.

use crate::console::Console;
use crate::fault;
use crate::report::Patience;
use hostwright_client::Backoff;
use hostwright_engine::Images;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::Digest;
use hostwright_model::image::{ImageRef, TreeSource};
use hostwright_store::{FetchedImage, HttpSource, StoreError, fetch};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;

/// Images of one store, as far as they have been asked for.
pub(crate) struct StoreImages {
    console: Console,
    source: HttpSource,
    cache: PathBuf,
    fetched: BTreeMap<Digest, FetchedImage>,
}

impl StoreImages {
    /// Images below `url`, kept in `cache`. The console hears of a server that is away.
    pub(crate) fn new(url: &str, cache: impl Into<PathBuf>, console: Console) -> Self {
        let (source, cache) = (HttpSource::new(url), cache.into());
        Self { console, source, cache, fetched: BTreeMap::new() }
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
        let Self { source, cache, .. } = self;
        let mut patience = Patience::new(self.console.clone());
        let fetched = thread::scope(|scope| {
            let fetching = scope.spawn(move || {
                // The listener stays until this ends.
                let on_bytes = |done, total| told.send((done, total)).unwrap_or_default();
                let attempt = || fetch(source, image.manifest, cache, &on_bytes);
                try_on(attempt, &mut |error| patience.tell(error))
            });
            hear.iter().for_each(|(done, total)| on_bytes(done, total));
            fetching.join().expect("invariant: fetching does not panic")
        });
        let fetched = fetched.map_err(|error| fault::of_store(&error))?;
        self.fetched.insert(image.manifest, fetched);
        Ok(())
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
    fn entries(&self) -> &[hostwright_model::image::Entry] {
        self.0.entries()
    }

    fn open(
        &self,
        entry: &hostwright_model::image::Entry,
    ) -> std::io::Result<Box<dyn std::io::Read + '_>> {
        self.0.open(entry)
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
