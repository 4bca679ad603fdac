//! An image of a store in a directory of this machine, as the engine asks for it.

use hostwright_engine::{Images, ready_made};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::image::{BlockSource, ImageRef, ReadyMade, TreeSource};
use hostwright_store::{BlockImage, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;

/// An image, and the store that it is in.
#[derive(Clone, Debug)]
pub struct StoredImage {
    /// Directory of the store.
    pub store: PathBuf,
    /// The image.
    pub image: ImageRef,
    /// The same as a ready-made file system, if the store has one of just this image.
    pub ready_made: Option<ReadyMade>,
}

impl StoredImage {
    /// The image with this name or digest.
    pub fn find(directory: &Path, name: &str) -> Result<Self, StoreError> {
        let store = Store::open(directory)?;
        let image = store.resolve(name)?;
        let blocks = store.resolve(&ReadyMade::name(&image.name, ready_made::FILE_SYSTEM));
        let made = blocks.ok().and_then(|blocks| ReadyMade::from_labels(&blocks));
        let ready_made = made.filter(|made| made.of == image.manifest);
        Ok(Self { store: directory.to_owned(), image, ready_made })
    }

    fn open_store(&self) -> Result<Store, Box<Fault>> {
        Store::open(&self.store).map_err(of_store)
    }
}

impl Images for StoredImage {
    /// Nothing has to be brought: every object is read and compared with its digest.
    fn fetch(
        &mut self,
        image: &ImageRef,
        on_bytes: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Box<Fault>> {
        let store = self.open_store()?;
        let (told, hear) = channel();
        let verified = thread::scope(|scope| {
            let verifying = scope.spawn(move || {
                let name = image.manifest.to_string();
                // The listener stays until this ends.
                store.verify(&name, &|done, total| told.send((done, total)).unwrap_or_default())
            });
            hear.iter().for_each(|(done, total)| on_bytes(done, total));
            verifying.join().expect("invariant: verifying does not panic")
        });
        verified.map(drop).map_err(of_store)
    }

    fn open(&self, image: &ImageRef) -> Result<Box<dyn TreeSource + '_>, Box<Fault>> {
        let image = self.open_store()?.image(image.manifest).map_err(of_store)?;
        Ok(Box::new(image))
    }

    fn open_ready_made(&self, made: &ReadyMade) -> Result<Box<dyn BlockSource + '_>, Box<Fault>> {
        let store = self.open_store()?;
        let open = |manifest| store.image(manifest).map_err(of_store);
        let blocks = BlockImage::new(open(made.of)?, open(made.blocks.manifest)?);
        Ok(Box::new(blocks.map_err(of_store)?))
    }
}

fn of_store(error: StoreError) -> Box<Fault> {
    let mut output = Vec::new();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        output.push(error.to_string());
        cause = error.source();
    }
    let cure = "'hostwright image verify' says what else is damaged; nothing was written yet";
    let fault = Fault::new(FaultKind::Environment, "store-corrupt", error.to_string(), cure);
    Box::new(Fault { output, ..fault })
}
