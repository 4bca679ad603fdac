//! Makes images of what others made: archives, OCI images, disk images, images of a Dominator
//! imageserver.
//!
//! Everything is read as a stream and goes into the store as it comes. Equal trees give equal images,
//! whichever way they came. Read [`add`] first.

mod compression;
mod disk;
mod dominator;
mod error;
mod oci;
mod pax;
mod srpc;
mod tar;

pub use dominator::DominatorImage;
pub use error::ImportError;

use hostwright_host::Host;
use hostwright_model::image::ImageRef;
use hostwright_store::{AddOptions, OnBytes, Store};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where an image can be made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A directory, an archive or a disk image: what it is, it says itself.
    Path(PathBuf),
    /// An image on a running imageserver.
    Dominator(DominatorImage),
}

impl FromStr for Origin {
    type Err = ImportError;

    fn from_str(text: &str) -> Result<Self, ImportError> {
        match text.strip_prefix(dominator::SCHEME) {
            Some(_) => Ok(Self::Dominator(text.parse()?)),
            None => Ok(Self::Path(text.into())),
        }
    }
}

/// How an image is made of what others made.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// What the store is told.
    pub add: AddOptions,
    /// Which of several images of an OCI layout: its `org.opencontainers.image.ref.name`.
    pub reference: Option<String>,
}

/// Makes an image of `origin` and gives it a name. `host` mounts disk images.
pub fn add(
    store: &Store,
    host: &mut dyn Host,
    origin: &Origin,
    name: &str,
    options: &ImportOptions,
    on_bytes: OnBytes<'_>,
) -> Result<ImageRef, ImportError> {
    let path = match origin {
        Origin::Path(path) => path,
        Origin::Dominator(image) => {
            return dominator::add(store, image, name, &options.add, on_bytes);
        }
    };
    match kind_of(path)? {
        Kind::Tree => Ok(store.add_tree(path, name, &options.add, on_bytes)?),
        Kind::OciLayout | Kind::OciArchive => oci::add(store, path, name, options, on_bytes),
        Kind::Tar => add_tar(store, path, name, options, on_bytes),
        Kind::Disk => disk::add(store, host, path, name, &options.add, on_bytes),
    }
}

/// What a path holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tree,
    OciLayout,
    OciArchive,
    Tar,
    Disk,
}

/// Looks at a path's own words, never at its name.
fn kind_of(path: &Path) -> Result<Kind, ImportError> {
    let meta = std::fs::metadata(path).map_err(ImportError::io("read", path))?;
    if meta.is_dir() {
        let is_layout = path.join("oci-layout").is_file() && path.join("index.json").is_file();
        return Ok(if is_layout { Kind::OciLayout } else { Kind::Tree });
    }
    if disk::is_disk(path)? {
        return Ok(Kind::Disk);
    }
    let file = File::open(path).map_err(ImportError::io("open", path))?;
    let mut content = compression::decompress(file).map_err(ImportError::io("read", path))?;
    match tar::first_name(&mut content) {
        Ok(Some(name)) if oci::is_member(&name) => Ok(Kind::OciArchive),
        Ok(Some(_)) => Ok(Kind::Tar),
        _ => Err(ImportError::Unknown { path: path.to_owned() }),
    }
}

fn add_tar(
    store: &Store,
    path: &Path,
    name: &str,
    options: &ImportOptions,
    on_bytes: OnBytes<'_>,
) -> Result<ImageRef, ImportError> {
    let file = File::open(path).map_err(ImportError::io("open", path))?;
    let total = file.metadata().map_err(ImportError::io("read", path))?.len();
    let done = AtomicU64::new(0);
    let counted = Counted { input: file, done: &done };
    let mut content = compression::decompress(counted).map_err(ImportError::io("read", path))?;
    store.import(name, &options.add, |import| {
        tar::read(&mut content, path, &mut |entry, content| {
            on_bytes(done.load(Ordering::Relaxed), total);
            Ok(import.put(entry, content)?)
        })
    })
}

/// Counts what is read.
struct Counted<'a, R> {
    input: R,
    done: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.done.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
