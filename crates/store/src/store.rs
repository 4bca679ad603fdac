//! A store in a local directory: adding, listing and verifying images.

use crate::add::{Known, add_tree};
use crate::image::FetchedImage;
use crate::manifest::Manifest;
use crate::source::{DirSource, Source};
use crate::{AddOptions, OnBytes, StoreError};
use hostwright_model::ids::Digest;
use hostwright_model::image::{EntryKind, ImageRef, TreeSource as _};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
        for dir in [store.packs_dir(), store.manifests_dir(), store.refs_dir(), store.tmp_dir()] {
            fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        }
        Ok(store)
    }

    /// Makes an image of the tree below `root` and gives it a name, which an older image loses.
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
        let manifest = add_tree(self, root, options, on_bytes)?;
        let json = manifest.to_json();
        let digest = Digest(*blake3::hash(&json).as_bytes());
        let path = self.root.join(manifest_path(digest));
        let packed = zstd::bulk::compress(&json, 9).map_err(StoreError::io("compress", &path))?;
        self.write(&path, &packed)?;
        self.write(&self.refs_dir().join(name), format!("{digest}\n").as_bytes())?;
        Ok(image_ref(name, digest, &manifest))
    }

    /// The images by name.
    pub fn list(&self) -> Result<Vec<ImageRef>, StoreError> {
        let refs = self.refs_dir();
        let read = |e| StoreError::io("list", &refs)(e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&refs).map_err(read)? {
            names.extend(entry.map_err(read)?.file_name().into_string());
        }
        names.sort_unstable();
        names.iter().map(|name| self.resolve(name)).collect()
    }

    /// The image that `name`, or a digest, stands for now.
    pub fn resolve(&self, name: &str) -> Result<ImageRef, StoreError> {
        let digest = self.digest_of(name)?;
        Ok(image_ref(name, digest, &self.manifest(digest)?))
    }

    /// The manifest of an image.
    pub fn manifest(&self, digest: Digest) -> Result<Manifest, StoreError> {
        read_manifest(&DirSource::new(&self.root), digest)
    }

    /// The image with its bytes in this store. Every frame is verified when it is read.
    pub fn image(&self, digest: Digest) -> Result<FetchedImage, StoreError> {
        Ok(FetchedImage::new(self.manifest(digest)?, &self.root))
    }

    /// Reads every file of an image and compares it with its digest.
    pub fn verify(&self, name: &str, on_bytes: OnBytes<'_>) -> Result<VerifyReport, StoreError> {
        let image = self.image(self.digest_of(name)?)?;
        let (content_bytes, packed_bytes) =
            (image.manifest().content_bytes(), image.manifest().packed_bytes());
        let mut files = 0;
        let mut done = 0;
        for entry in image.entries().iter().filter(|e| matches!(e.kind, EntryKind::File { .. })) {
            image.check(entry)?;
            files += 1;
            done += entry.size_bytes();
            on_bytes(done, content_bytes);
        }
        Ok(VerifyReport { files, content_bytes, packed_bytes })
    }

    /// Takes a name away. The image's bytes stay until they are collected.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        let path = self.refs_dir().join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::UnknownImage { name: name.to_owned() })
            }
            removed => removed.map_err(StoreError::io("remove", &path)),
        }
    }

    pub(crate) fn packs_dir(&self) -> PathBuf {
        self.root.join("packs")
    }

    fn tmp_dir(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// A name in `tmp/` that nobody else writes to.
    pub(crate) fn tmp_file(&self) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.tmp_dir().join(format!("{}.{count}", std::process::id()))
    }

    fn manifests_dir(&self) -> PathBuf {
        self.root.join("manifests")
    }

    fn refs_dir(&self) -> PathBuf {
        self.root.join("refs")
    }

    fn digest_of(&self, name: &str) -> Result<Digest, StoreError> {
        if let Ok(digest) = name.parse() {
            return Ok(digest);
        }
        check_name(name)?;
        let unknown = || StoreError::UnknownImage { name: name.to_owned() };
        let path = format!("refs/{name}");
        let text = DirSource::new(&self.root).read(&path)?.ok_or_else(unknown)?;
        let digest = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        digest.ok_or_else(|| StoreError::corrupt(path, "it does not hold a digest"))
    }

    /// Where the content of every file of every image lies. A manifest that cannot be read is left
    /// out: its files are packed again.
    pub(crate) fn known_places(&self) -> Result<HashMap<Digest, Known>, StoreError> {
        let dir = self.manifests_dir();
        let read = |e| StoreError::io("list", &dir)(e);
        let mut known = HashMap::new();
        for entry in fs::read_dir(&dir).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            let digest = name.to_str().and_then(|n| n.strip_suffix(".json.zst")?.parse().ok());
            let Some(Ok(manifest)) = digest.map(|digest| self.manifest(digest)) else { continue };
            let packs: Vec<_> = manifest.packs.into_iter().map(Arc::new).collect();
            known.extend(manifest.places.into_iter().filter_map(|(digest, place)| {
                let pack = packs[place.pack as usize].clone();
                let frame = place.frame as usize;
                // A pack that was lost must not be relied on again.
                let there = self.packs_dir().join(format!("{}.pack", pack.digest)).exists();
                there.then_some((digest, Known { pack, frame, offset: place.offset }))
            }));
        }
        Ok(known)
    }

    /// Writes a file beside its place, syncs it and moves it there.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let tmp = self.tmp_file();
        let mut file = File::create(&tmp).map_err(StoreError::io("create", &tmp))?;
        file.write_all(bytes).map_err(StoreError::io("write", &tmp))?;
        file.sync_all().map_err(StoreError::io("sync", &tmp))?;
        fs::rename(&tmp, path).map_err(StoreError::io("rename to", path))?;
        let dir = path.parent().unwrap_or(&self.root);
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", dir))
    }
}

fn image_ref(name: &str, manifest: Digest, content: &Manifest) -> ImageRef {
    ImageRef {
        name: name.to_owned(),
        manifest,
        content_bytes: content.content_bytes(),
        origin: content.origin.clone(),
    }
}

fn manifest_path(digest: Digest) -> String {
    format!("manifests/{digest}.json.zst")
}

/// Reads a manifest and compares it with its digest.
pub(crate) fn read_manifest(source: &dyn Source, digest: Digest) -> Result<Manifest, StoreError> {
    let object = manifest_path(digest);
    let packed =
        source.read(&object)?.ok_or_else(|| StoreError::Missing { object: object.clone() })?;
    let json = zstd::stream::decode_all(&packed[..])
        .map_err(|e| StoreError::corrupt(&object, format!("zstd says: {e}")))?;
    Manifest::from_json(&json, digest)
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && name.len() <= 128 && name.chars().all(good) {
        return Ok(());
    }
    Err(StoreError::BadName { name: name.to_owned() })
}
