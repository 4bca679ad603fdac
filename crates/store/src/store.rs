//! A store in a local directory: adding, listing and verifying images.

use crate::add::{AddOptions, add_tree};
use crate::catalog::{Catalog, names_in};
use crate::delta::{OLDER_IMAGES, PUBLISH_LEVEL};
use crate::image::FetchedImage;
use crate::keys::{PublicKey, SecretKey};
use crate::manifest::{self, Manifest};
use crate::map::{self, Map};
use crate::object::digest_of;
use crate::packer::Packer;
use crate::source::{DirSource, Source, read_as};
use crate::stream::{KEPT_IMAGES, Stream};
use crate::{OnBytes, StoreError, pack};
use hostwright_model::ids::Digest;
use hostwright_model::image::ImageRef;
use rustix::fs::FlockOperation;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory of images.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What [`Store::verify`] looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Files whose content was compared with its digest.
    pub files: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// Bytes they take in packs.
    pub packed_bytes: u64,
}

impl Store {
    /// Opens the store in `root`, and makes an empty one if there is none.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self { root: root.into() };
        for dir in ["packs", "manifests", "maps", "upgrades", "deltas", "refs", "tmp"] {
            let dir = store.root.join(dir);
            fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        }
        Ok(store)
    }

    /// The cache of a fetch in `root`: it has packs, as a store has, and nothing else that stays.
    pub(crate) fn cache(root: &Path) -> Result<Self, StoreError> {
        for dir in ["packs", "deltas", "tmp"].map(|dir| root.join(dir)) {
            fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Makes an image of the tree below `root` and gives it a name, which an older image loses. What
    /// leads from the older images of this name to the new one is made as well.
    ///
    /// Killed at any point it leaves the store as it was, but for files nothing refers to.
    pub fn add_tree(
        &self,
        root: &Path,
        name: &str,
        options: &AddOptions,
        on_bytes: OnBytes<'_>,
    ) -> Result<ImageRef, StoreError> {
        check_name(name)?;
        let _lock = self.lock(FlockOperation::LockShared)?;
        let mut catalog = Catalog::read(&self.packs_dir(), &self.condemned_packs()?)?;
        let mut packer = Packer::new(self, &mut catalog);
        let manifest = add_tree(&mut packer, root, options, on_bytes)?;
        packer.finish()?;
        let digest = self.put_manifest(&manifest, &catalog)?;
        self.make_upgrade(digest, &self.older_images(name)?, PUBLISH_LEVEL)?;
        self.issue(name, digest)?;
        Ok(image_ref(name, digest, &manifest))
    }

    /// The images that had the name last, newest first.
    pub(crate) fn older_images(&self, name: &str) -> Result<Vec<Digest>, StoreError> {
        let images = match self.stream(name) {
            Err(StoreError::UnknownImage { .. }) => Vec::new(),
            stream => stream?.images,
        };
        Ok(images.iter().map(|issue| issue.manifest).take(OLDER_IMAGES).collect())
    }

    /// Stores a manifest whose objects are all in `catalog`, and its map before it.
    pub(crate) fn put_manifest(
        &self,
        manifest: &Manifest,
        catalog: &Catalog,
    ) -> Result<Digest, StoreError> {
        let json = manifest.to_json();
        let digest = digest_of(&json);
        self.put_map(digest, manifest, catalog)?;
        self.write_compressed(&manifest::path(digest), &json)?;
        Ok(digest)
    }

    /// Writes the map of a stored image anew.
    pub(crate) fn put_map(
        &self,
        digest: Digest,
        manifest: &Manifest,
        catalog: &Catalog,
    ) -> Result<(), StoreError> {
        let missing = |object: crate::object::Object| StoreError::Missing {
            object: format!("the object {}", object.digest),
        };
        let map = catalog.map(&manifest.object_list()).map_err(missing)?;
        self.write_compressed(&map::path(digest), &map.to_json())
    }

    /// Gives a name to an image that is in the store.
    pub fn tag(&self, image: &str, name: &str) -> Result<ImageRef, StoreError> {
        check_name(name)?;
        let _lock = self.lock(FlockOperation::LockShared)?;
        let digest = self.digest_of(image)?;
        let manifest = self.manifest(digest)?;
        self.issue(name, digest)?;
        Ok(image_ref(name, digest, &manifest))
    }

    pub(crate) fn issue(&self, name: &str, digest: Digest) -> Result<(), StoreError> {
        let stream = match self.stream(name) {
            Err(StoreError::UnknownImage { .. }) => Ok(Stream::new(name)),
            stream => stream,
        };
        let mut stream = stream?;
        if stream.newest() == Some(digest) {
            return Ok(());
        }
        stream.issue(digest, KEPT_IMAGES);
        let key = self.secret_key()?;
        self.write(&self.root.join("refs").join(name), &stream.to_bytes(&key))
    }

    pub(crate) fn secret_key(&self) -> Result<SecretKey, StoreError> {
        SecretKey::at(&self.root.join("signing-key"))
    }

    /// The images by name.
    pub fn list(&self) -> Result<Vec<ImageRef>, StoreError> {
        self.names()?.iter().map(|name| self.resolve(name)).collect()
    }

    /// The names, sorted.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        names_in(&self.root.join("refs"))
    }

    /// Every image that has, or had, the name.
    pub fn stream(&self, name: &str) -> Result<Stream, StoreError> {
        check_name(name)?;
        let path = format!("refs/{name}");
        let bytes = DirSource::new(&self.root).read(&path)?;
        let bytes = bytes.ok_or_else(|| StoreError::UnknownImage { name: name.to_owned() })?;
        let (stream, key) = Stream::from_bytes(&bytes, name)?;
        match key == self.public_key()? {
            true => Ok(stream),
            false => Err(StoreError::corrupt(path, format!("it is signed by {key}, not by us"))),
        }
    }

    /// The key that signs the store's names.
    pub fn public_key(&self) -> Result<PublicKey, StoreError> {
        Ok(self.secret_key()?.public())
    }

    /// The image that `name` stands for now. `NAME~2` is the one before the one before, and a digest
    /// pins an image.
    pub fn resolve(&self, name: &str) -> Result<ImageRef, StoreError> {
        let digest = self.digest_of(name)?;
        Ok(image_ref(name, digest, &self.manifest(digest)?))
    }

    /// The manifest of an image.
    pub fn manifest(&self, digest: Digest) -> Result<Manifest, StoreError> {
        read_manifest(&DirSource::new(&self.root), digest)
    }

    /// The map of an image.
    pub fn map(&self, digest: Digest) -> Result<Map, StoreError> {
        read_map(&DirSource::new(&self.root), digest)
    }

    /// The image with its bytes in this store. Every file is verified when it is read.
    pub fn image(&self, digest: Digest) -> Result<FetchedImage, StoreError> {
        FetchedImage::new(self.manifest(digest)?, self.map(digest)?, &self.root, digest)
    }

    /// The image, after a look at the lengths of its packs: whether all of it is there.
    pub fn complete(&self, name: &str) -> Result<ImageRef, StoreError> {
        let image = self.resolve(name)?;
        for part in self.map(image.manifest)?.packs {
            let object = pack::path(part.digest);
            let end = part.frames.last().map_or(0, |frame| frame.offset + u64::from(frame.length));
            match fs::metadata(self.root.join(&object)) {
                Ok(meta) if meta.len() >= end => {}
                Ok(meta) => {
                    let reason = format!("it has {} of at least {end} bytes", meta.len());
                    return Err(StoreError::Corrupt { object, reason });
                }
                Err(_) => return Err(StoreError::Missing { object }),
            }
        }
        Ok(image)
    }

    /// Reads every file of an image and compares it with its digest.
    pub fn verify(&self, name: &str, on_bytes: OnBytes<'_>) -> Result<VerifyReport, StoreError> {
        let image = self.image(self.digest_of(name)?)?;
        let (content_bytes, packed_bytes) =
            (image.manifest().content_bytes(), image.packed_bytes());
        let files = image.check(on_bytes)?;
        Ok(VerifyReport { files, content_bytes, packed_bytes })
    }

    /// Takes a name away. The image's bytes stay until they are collected.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        let path = self.root.join("refs").join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::UnknownImage { name: name.to_owned() })
            }
            removed => removed.map_err(StoreError::io("remove", &path)),
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn packs_dir(&self) -> PathBuf {
        self.root.join("packs")
    }

    /// A name in `tmp/` that nobody else writes to.
    pub(crate) fn tmp_file(&self) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.root.join("tmp").join(format!("{}.{count}", std::process::id()))
    }

    /// Keeps the collection of what nobody needs away from who adds, and the other way round. The
    /// lock ends with the file.
    pub(crate) fn lock(&self, kind: FlockOperation) -> Result<File, StoreError> {
        let path = self.root.join("lock");
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(StoreError::io("open", &path))?;
        rustix::fs::flock(&file, kind)
            .map_err(io::Error::from)
            .map_err(StoreError::io("lock", &path))?;
        Ok(file)
    }

    fn digest_of(&self, name: &str) -> Result<Digest, StoreError> {
        if let Ok(digest) = name.parse() {
            return Ok(digest);
        }
        let (stem, back) = match name.split_once('~') {
            Some((stem, back)) => (stem, back.parse().ok()),
            None => (name, Some(0)),
        };
        let unknown = || StoreError::UnknownImage { name: name.to_owned() };
        let stream = self.stream(stem)?;
        let back: usize = back.ok_or_else(unknown)?;
        stream.images.get(back).map(|issue| issue.manifest).ok_or_else(unknown)
    }

    pub(crate) fn write_compressed(&self, path: &str, json: &[u8]) -> Result<(), StoreError> {
        let path = self.root.join(path);
        let packed = zstd::bulk::compress(json, 9).map_err(StoreError::io("compress", &path))?;
        self.write(&path, &packed)
    }

    /// Writes a file beside its place, syncs it and moves it there.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let tmp = self.tmp_file();
        let mut file = File::create(&tmp).map_err(StoreError::io("create", &tmp))?;
        file.write_all(bytes).map_err(StoreError::io("write", &tmp))?;
        file.sync_all().map_err(StoreError::io("sync", &tmp))?;
        fs::rename(&tmp, path).map_err(StoreError::io("rename to", path))?;
        let dir = path.parent().unwrap_or(&self.root);
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", dir))
    }
}

pub(crate) fn image_ref(name: &str, manifest: Digest, content: &Manifest) -> ImageRef {
    ImageRef {
        name: name.to_owned(),
        manifest,
        content_bytes: content.content_bytes(),
        origin: content.origin.clone(),
    }
}

/// Reads a manifest and compares it with its digest.
pub(crate) fn read_manifest(source: &dyn Source, digest: Digest) -> Result<Manifest, StoreError> {
    let path = manifest::path(digest);
    let manifest = read_as(source, &path, &|packed| unpack_manifest(packed, digest))?;
    manifest.ok_or(StoreError::Missing { object: path })
}

/// Reads the map of the image with this manifest.
pub(crate) fn read_map(source: &dyn Source, manifest: Digest) -> Result<Map, StoreError> {
    let path = map::path(manifest);
    let unpack = |packed: &[u8]| Map::from_json(&decompress(&path, packed)?, manifest);
    let map = read_as(source, &path, &unpack)?;
    map.ok_or(StoreError::Missing { object: path })
}

/// The manifest that a file of a store holds.
pub(crate) fn unpack_manifest(packed: &[u8], digest: Digest) -> Result<Manifest, StoreError> {
    Manifest::from_json(&decompress(&manifest::path(digest), packed)?, digest)
}

pub(crate) fn decompress(path: &str, packed: &[u8]) -> Result<Vec<u8>, StoreError> {
    zstd::stream::decode_all(packed)
        .map_err(|e| StoreError::corrupt(path, format!("zstd says: {e}")))
}

pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && name.len() <= 128 && name.chars().all(good) {
        return Ok(());
    }
    Err(StoreError::BadName { name: name.to_owned() })
}
