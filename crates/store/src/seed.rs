//! Seeds: trees on this machine that may have content an image needs, such as the roots of systems
//! that were installed before.
//!
//! Nothing in a seed is trusted. Paths and sizes say where to look; what is read is compared with the
//! digest of an object before it counts.

use crate::StoreError;
use crate::upgrade::{Base, short};
use hostwright_model::ids::Digest;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the network waits for what seeds look as if they had.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this machine has already.
#[derive(Clone, Debug)]
pub struct Seeds {
    trees: Vec<PathBuf>,
    manifests: Vec<PathBuf>,
    patience: Duration,
}

impl Default for Seeds {
    fn default() -> Self {
        Self { trees: Vec::new(), manifests: Vec::new(), patience: PATIENCE }
    }
}

impl Seeds {
    /// Takes the tree below `root` in: an old system's root, mounted read-only.
    pub fn tree(mut self, root: impl Into<PathBuf>) -> Self {
        self.trees.push(root.into());
        self
    }

    /// Takes the manifest of an image in that was installed here, a file as
    /// [`crate::FetchedImage::manifest_file`] makes it: the new manifest is then fetched as a
    /// difference.
    pub fn manifest(mut self, file: impl Into<PathBuf>) -> Self {
        self.manifests.push(file.into());
        self
    }

    /// How long reading the trees may take before what they look as if they had is fetched as well,
    /// where that is faster by far. Five seconds, if nobody says otherwise.
    pub fn wait_for_trees(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The roots of the trees.
    pub(crate) fn trees(&self) -> &[PathBuf] {
        &self.trees
    }

    /// The manifests that can be read, as JSON, each with its digest.
    pub(crate) fn old_manifests(&self) -> Vec<(Digest, Vec<u8>)> {
        let read = |file: &PathBuf| {
            let json = zstd::stream::decode_all(&fs::read(file).ok()?[..]).ok()?;
            Some((crate::object::digest_of(&json), json))
        };
        self.manifests.iter().filter_map(read).collect()
    }

    /// The first tree that has, at this path, the file whose digest begins so.
    pub(crate) fn tree_with(&self, path: &str, digest: &str) -> Option<usize> {
        let is_it = |root: &PathBuf| {
            let (mut file, _) = open_below(root, path)?;
            (short(hash_of(&mut file).ok()?) == digest).then_some(())
        };
        self.trees.iter().position(|root| is_it(root).is_some())
    }

    /// The bytes of a base, from the tree that was found to have it.
    pub(crate) fn read_base(
        &self,
        tree: usize,
        path: &str,
        base: &Base,
    ) -> Result<Vec<u8>, StoreError> {
        let root = &self.trees[tree];
        let changed = || StoreError::Changed { path: root.join(path) };
        let (file, _) = open_below(root, path).ok_or_else(changed)?;
        let mut bytes = vec![0; usize::try_from(base.length).map_err(|_| changed())?];
        file.read_exact_at(&mut bytes, base.offset).map_err(|_| changed())?;
        Ok(bytes)
    }
}

/// Opens a regular file below `root` and says how long it is. Links are followed as if `root` were
/// the root, as they were meant; nothing that could make the reader wait is opened.
pub(crate) fn open_below(root: &Path, path: &str) -> Option<(File, u64)> {
    let dir = File::open(root).ok()?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(dir, path, flags, Mode::empty(), resolve).ok()?);
    let meta = file.metadata().ok()?;
    (meta.is_file() && meta.len() > 0).then_some((file, meta.len()))
}

fn hash_of(file: &mut File) -> io::Result<Digest> {
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest(*hasher.finalize().as_bytes())),
            count => drop(hasher.update(&buffer[..count])),
        }
    }
}
