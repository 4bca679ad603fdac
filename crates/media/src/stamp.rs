//! Keys of parts: a part is made again only when the digest of what it is made from changes.

use crate::error::{MediaError, io_error};
use hostwright_model::ids::Digest;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Collects what a part is made from.
pub(crate) struct Key(blake3::Hasher);

impl Key {
    /// A key of the part `name` in version `recipe` of its recipe, which is raised when the code
    /// that makes it changes its result.
    pub(crate) fn new(name: &str, recipe: u32) -> Self {
        Self(blake3::Hasher::new()).with(name).with(&recipe.to_string())
    }

    /// Adds one ingredient.
    pub(crate) fn with(mut self, ingredient: &str) -> Self {
        self.0.update(&(ingredient.len() as u64).to_le_bytes());
        self.0.update(ingredient.as_bytes());
        self
    }

    /// Adds several.
    pub(crate) fn with_all<S: AsRef<str>>(self, ingredients: &[S]) -> Self {
        let count = self.with(&ingredients.len().to_string());
        ingredients.iter().fold(count, |key, ingredient| key.with(ingredient.as_ref()))
    }

    /// The key.
    pub(crate) fn finish(self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// Remembers beside the build which key each part was made for.
pub(crate) struct Stamps {
    dir: PathBuf,
}

impl Stamps {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// True if `product` is there and was made for `key`.
    pub(crate) fn is_fresh(&self, part: &str, key: Digest, product: &Path) -> bool {
        let stamp = fs::read_to_string(self.path(part)).unwrap_or_default();
        stamp == key.to_string() && product.exists()
    }

    /// To be called before a part is made: a build that is cut off leaves no fresh part.
    pub(crate) fn forget(&self, part: &str) -> Result<(), MediaError> {
        let path = self.path(part);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io_error("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// To be called when a part is made.
    pub(crate) fn remember(&self, part: &str, key: Digest) -> Result<(), MediaError> {
        let path = self.path(part);
        fs::write(&path, key.to_string()).map_err(io_error("write", &path))
    }

    fn path(&self, part: &str) -> PathBuf {
        self.dir.join(format!("{part}.key"))
    }
}

/// BLAKE3 of a file, and its length.
pub(crate) fn digest_file(path: &Path) -> Result<(Digest, u64), MediaError> {
    let mut file = fs::File::open(path).map_err(io_error("read", path))?;
    let (mut hasher, mut size_bytes) = (blake3::Hasher::new(), 0);
    let mut block = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut block).map_err(io_error("read", path))?;
        if count == 0 {
            return Ok((Digest(*hasher.finalize().as_bytes()), size_bytes));
        }
        hasher.update(&block[..count]);
        size_bytes += count as u64;
    }
}
