//! OCI images: a layout directory, or an archive of one. Layers are laid over one another as the
//! image specification says, whiteouts included.
//!
//! Layers are read from the top down, so that what an upper layer hides is never stored. Every blob
//! is compared with its SHA-256.

use super::{Counted, ImportError, ImportOptions, compression, tar};
use hostwright_model::image::{Entry, EntryKind, ImageRef};
use hostwright_store::{Import, OnBytes, Store};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const REFERENCE: &str = "org.opencontainers.image.ref.name";
/// Indexes, manifests and configurations are short.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;
/// An index that leads to an index that leads to an index is no image.
const MAX_INDEXES: usize = 4;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// True if the first file of an archive of an OCI layout may have this name.
pub(super) fn is_member(name: &str) -> bool {
    matches!(name, "oci-layout" | "index.json") || name.starts_with("blobs/sha256/")
}

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    layers: Vec<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

impl Descriptor {
    fn fits_us(&self) -> bool {
        let is_ours = |p: &Platform| p.os == "linux" && p.architecture == "amd64";
        self.platform.as_ref().is_none_or(is_ours)
    }

    fn has_name(&self, reference: Option<&str>) -> bool {
        reference.is_none_or(|name| self.annotations.get(REFERENCE).is_some_and(|r| r == name))
    }

    /// How it is told apart from others.
    fn shown(&self) -> String {
        match self.annotations.get(REFERENCE) {
            Some(name) => format!("'{name}'"),
            None => self.digest.clone(),
        }
    }
}

/// Adds the image of a layout or archive to the store.
pub(super) fn add(
    store: &Store,
    path: &Path,
    name: &str,
    options: &ImportOptions,
    on_bytes: OnBytes<'_>,
) -> Result<ImageRef, ImportError> {
    let layout = Layout::open(path)?;
    let manifest = layout.manifest(options.reference.as_deref())?;
    let total: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
    let done = AtomicU64::new(0);
    store.import(name, &options.add, |import| {
        let mut hidden = Hidden::default();
        for layer in manifest.layers.iter().rev() {
            let told = &|| on_bytes(done.load(Ordering::Relaxed), total);
            layout.add_layer(layer, import, &mut hidden, &done, told)?;
        }
        Ok(())
    })
}

/// The files of a layout.
struct Layout {
    /// What errors are about.
    path: PathBuf,
    files: Files,
}

enum Files {
    Dir(PathBuf),
    /// An archive that is not compressed, and where its files are in it.
    Archive(Arc<File>, BTreeMap<String, (u64, u64)>),
}

impl Layout {
    fn open(path: &Path) -> Result<Self, ImportError> {
        let owned = path.to_owned();
        if path.is_dir() {
            return Ok(Self { path: owned.clone(), files: Files::Dir(owned) });
        }
        let archive = uncompressed(path)?;
        let members = members(&archive, path)?;
        Ok(Self { path: owned, files: Files::Archive(Arc::new(archive), members) })
    }

    fn bad(&self, reason: impl Into<String>) -> ImportError {
        ImportError::content(&self.path, reason)
    }

    /// A file of the layout, and its length.
    fn open_file(&self, name: &str) -> Result<(Box<dyn Read>, u64), ImportError> {
        match &self.files {
            Files::Dir(dir) => {
                let path = dir.join(name);
                let file = File::open(&path).map_err(ImportError::io("open", &path))?;
                let length = file.metadata().map_err(ImportError::io("read", &path))?.len();
                Ok((Box::new(file), length))
            }
            Files::Archive(file, members) => {
                let missing = || self.bad(format!("it lacks {name}"));
                let (at, length) = *members.get(name).ok_or_else(missing)?;
                Ok((Box::new(Part { file: file.clone(), at, end: at + length }), length))
            }
        }
    }

    fn document(&self, name: &str) -> Result<Vec<u8>, ImportError> {
        let (file, length) = self.open_file(name)?;
        if length > MAX_DOCUMENT_BYTES {
            return Err(self.bad(format!("{name} has {length} bytes")));
        }
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(ImportError::io("read", &self.path))?;
        Ok(bytes)
    }

    fn blob_name(&self, descriptor: &Descriptor) -> Result<String, ImportError> {
        let hex = descriptor.digest.strip_prefix("sha256:");
        let is_hex = |hex: &&str| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        match hex.filter(is_hex) {
            Some(hex) => Ok(format!("blobs/sha256/{hex}")),
            None => Err(self.bad(format!("'{}' is no SHA-256 digest", descriptor.digest))),
        }
    }

    /// A short blob, compared with its digest.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImportError> {
        let bytes = self.document(&self.blob_name(descriptor)?)?;
        self.check(descriptor, bytes.len() as u64, &Sha256::digest(&bytes))?;
        Ok(bytes)
    }

    fn check(&self, descriptor: &Descriptor, length: u64, found: &[u8]) -> Result<(), ImportError> {
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        match length == descriptor.size && descriptor.digest == format!("sha256:{found}") {
            true => Ok(()),
            false => Err(self.bad(format!(
                "the blob {} is damaged: it has {length} bytes and the SHA-256 {found}",
                descriptor.digest
            ))),
        }
    }

    /// The manifest of the one image that is meant.
    fn manifest(&self, reference: Option<&str>) -> Result<Manifest, ImportError> {
        let broken = |e: serde_json::Error| self.bad(format!("a document of it is broken: {e}"));
        let mut index = self.document("index.json")?;
        let mut reference = reference;
        for _ in 0..MAX_INDEXES {
            let found: Index = serde_json::from_slice(&index).map_err(broken)?;
            let chosen = self.choose(&found, reference)?;
            let document = self.blob(chosen)?;
            if chosen.media_type.contains("image.index") || chosen.media_type.contains("list") {
                (index, reference) = (document, None);
                continue;
            }
            return serde_json::from_slice(&document).map_err(broken);
        }
        Err(self.bad("its indexes lead to indexes without end"))
    }

    fn choose<'a>(
        &self,
        index: &'a Index,
        reference: Option<&str>,
    ) -> Result<&'a Descriptor, ImportError> {
        let fits = |d: &&Descriptor| d.fits_us() && d.has_name(reference);
        let fitting: Vec<&Descriptor> = index.manifests.iter().filter(fits).collect();
        match fitting[..] {
            [one] => Ok(one),
            [] => {
                let all: Vec<String> = index.manifests.iter().map(Descriptor::shown).collect();
                let all = all.join(", ");
                Err(self
                    .bad(format!("no image of it is for this machine and so named; it has {all}")))
            }
            [..] => {
                let all: Vec<String> = fitting.iter().map(|d| d.shown()).collect();
                let all = all.join(", ");
                Err(self.bad(format!("it has several images, say which by --reference: {all}")))
            }
        }
    }

    fn add_layer(
        &self,
        layer: &Descriptor,
        import: &mut Import<'_>,
        hidden: &mut Hidden,
        done: &AtomicU64,
        told: &dyn Fn(),
    ) -> Result<(), ImportError> {
        let (blob, _) = self.open_file(&self.blob_name(layer)?)?;
        let mut hashed =
            Hashed { input: Counted { input: blob, done }, length: 0, sha: Sha256::new() };
        let mut own = Hidden::default();
        {
            let content = compression::decompress(&mut hashed);
            let mut content = content.map_err(ImportError::io("read", &self.path))?;
            tar::read(&mut content, &self.path, &mut |entry, content| {
                told();
                put(import, entry, content, hidden, &mut own)
            })?;
        }
        // A decompressor may stop before the end of the blob.
        io::copy(&mut hashed, &mut io::sink()).map_err(ImportError::io("read", &self.path))?;
        self.check(layer, hashed.length, &hashed.sha.finalize())?;
        hidden.paths.extend(own.paths);
        hidden.opaque.extend(own.opaque);
        hidden.dirs.extend(own.dirs);
        Ok(())
    }
}

/// Takes an entry of a layer in, unless a layer above hides it.
fn put(
    import: &mut Import<'_>,
    entry: Entry,
    content: &mut dyn Read,
    above: &Hidden,
    own: &mut Hidden,
) -> Result<(), ImportError> {
    let (dir, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
    if name == OPAQUE {
        own.opaque.insert(dir.to_owned());
        return Ok(());
    }
    if let Some(gone) = name.strip_prefix(WHITEOUT) {
        own.paths.insert(if dir.is_empty() { gone.to_owned() } else { format!("{dir}/{gone}") });
        return Ok(());
    }
    if above.hides(&entry.path) {
        return Ok(());
    }
    match entry.kind {
        // A directory is laid over one below: it hides that one's own entry, not what is in it.
        EntryKind::Directory => drop(own.dirs.insert(entry.path.clone())),
        _ => drop(own.paths.insert(entry.path.clone())),
    }
    Ok(import.put(entry, content)?)
}

/// What upper layers hide of lower ones.
#[derive(Debug, Default)]
struct Hidden {
    /// Paths, with everything below them.
    paths: HashSet<String>,
    /// Directories whose content is hidden, but they are not.
    opaque: HashSet<String>,
    /// Directories that are there already; what is in them is not hidden.
    dirs: HashSet<String>,
}

impl Hidden {
    fn hides(&self, path: &str) -> bool {
        if self.paths.contains(path) || self.dirs.contains(path) {
            return true;
        }
        let mut parent = path;
        while !parent.is_empty() {
            parent = parent.rsplit_once('/').map_or("", |(parent, _)| parent);
            if self.opaque.contains(parent) || (!parent.is_empty() && self.paths.contains(parent)) {
                return true;
            }
        }
        false
    }
}

/// Hashes what is read.
struct Hashed<R> {
    input: R,
    length: u64,
    sha: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.sha.update(&buffer[..read]);
        self.length += read as u64;
        Ok(read)
    }
}

/// A part of a file.
struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = (self.end - self.at).min(buffer.len() as u64) as usize;
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The archive itself, or a decompressed copy that goes away with it: layers are read from the last
/// to the first, which a compressed stream does not allow.
fn uncompressed(path: &Path) -> Result<File, ImportError> {
    let file = File::open(path).map_err(ImportError::io("open", path))?;
    if !compression::is_compressed(&file).map_err(ImportError::io("read", path))? {
        return Ok(file);
    }
    let mut content = compression::decompress(file).map_err(ImportError::io("read", path))?;
    let mut copy = tempfile::tempfile().map_err(ImportError::io("make a copy of", path))?;
    io::copy(&mut content, &mut copy).map_err(ImportError::io("make a copy of", path))?;
    Ok(copy)
}

/// Where the files of an archive are.
fn members(archive: &File, path: &Path) -> Result<BTreeMap<String, (u64, u64)>, ImportError> {
    let mut members = BTreeMap::new();
    let mut input = archive.try_clone().map_err(ImportError::io("read", path))?;
    input.seek(SeekFrom::Start(0)).map_err(ImportError::io("read", path))?;
    let at = input.try_clone().map_err(ImportError::io("read", path))?;
    tar::read(&mut input, path, &mut |entry, _| {
        if let EntryKind::File { size, .. } = entry.kind {
            // Both descriptors share one position, which is the first byte of the content now.
            let start = (&at).stream_position().map_err(ImportError::io("read", path))?;
            members.insert(entry.path, (start, size));
        }
        Ok(())
    })?;
    Ok(members)
}
