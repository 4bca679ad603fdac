//! Where images come from: whoever runs the engine brings that along.

use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::image::{BlockSource, ImageRef, ReadyMade, TreeSource};

/// A source of images.
pub trait Images {
    /// Brings all of an image here and verifies it; an image that is already here is only verified.
    /// `on_bytes` is told how far it is and how far it is to go.
    fn fetch(
        &mut self,
        image: &ImageRef,
        on_bytes: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Box<Fault>>;

    /// Directories with systems that were installed before: until this is called again, what they
    /// have need not be fetched. Nothing in them is trusted.
    fn reuse(&mut self, _roots: &[String]) {}

    /// Opens a fetched image.
    fn open(&self, image: &ImageRef) -> Result<Box<dyn TreeSource + '_>, Box<Fault>>;

    /// Opens a ready-made file system, which was fetched like the image whose files are in it.
    fn open_ready_made(&self, made: &ReadyMade) -> Result<Box<dyn BlockSource + '_>, Box<Fault>> {
        Err(Box::new(Fault::new(
            FaultKind::Bug,
            "no-ready-made",
            format!("nobody can open {} as blocks here", made.blocks.name),
            "report this with the plan",
        )))
    }
}

/// For runs whose plans name no image.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoImages;

impl NoImages {
    fn refuse(image: &ImageRef) -> Box<Fault> {
        Box::new(Fault::new(
            FaultKind::Bug,
            "no-images",
            format!(
                "the plan wants image {}, but this run was started without a store",
                image.name
            ),
            "report this with the plan",
        ))
    }
}

impl Images for NoImages {
    fn fetch(&mut self, image: &ImageRef, _: &mut dyn FnMut(u64, u64)) -> Result<(), Box<Fault>> {
        Err(Self::refuse(image))
    }

    fn open(&self, image: &ImageRef) -> Result<Box<dyn TreeSource + '_>, Box<Fault>> {
        Err(Self::refuse(image))
    }
}
