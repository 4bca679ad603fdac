//! Where the bytes of a store come from: a directory, a server, or several of them.

use crate::StoreError;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// Something that has a store's files.
pub trait Source: Sync {
    /// A whole small file; `None` if there is none.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// `length` bytes of a file from `offset`. Fewer bytes are an error.
    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError>;

    /// How many bytes a file has; `None` if there is none.
    fn length(&self, path: &str) -> Result<Option<u64>, StoreError>;

    /// The sources that this one chooses from, in the order in which to ask them; none if it has
    /// its bytes from one place.
    fn parts(&self) -> Vec<&dyn Source> {
        Vec::new()
    }

    /// Takes notice that what came from a file was not what it should be: who keeps copies drops
    /// this one.
    fn distrust(&self, _path: &str) {}
}

/// True for files that have their digest in their name and never change.
pub(crate) fn is_immutable(path: &str) -> bool {
    ["packs/", "manifests/", "deltas/"].iter().any(|dir| path.starts_with(dir))
}

/// Looks at bytes that arrived; an error says what is wrong with them.
pub type Check<'a> = &'a dyn Fn(&[u8]) -> Result<(), StoreError>;

/// What a small file holds, as `parse` reads it, from the first part of `source` whose file it can
/// read; `None` if none has the file.
pub fn read_as<T>(
    source: &dyn Source,
    path: &str,
    parse: &dyn Fn(&[u8]) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let missing = || StoreError::Missing { object: path.to_owned() };
    let read = first_good(source, &mut |part| {
        let bytes = part.read(path)?.ok_or_else(missing)?;
        parse(&bytes).inspect_err(|_| part.distrust(path))
    });
    match read {
        Ok(parsed) => Ok(Some(parsed)),
        Err(StoreError::Missing { object }) if object == path => Ok(None),
        Err(error) => Err(error),
    }
}

/// A range of a file that `check` finds good, from the first part of `source` that has such a one.
pub fn read_range_good(
    source: &dyn Source,
    path: &str,
    offset: u64,
    length: u64,
    check: Check<'_>,
) -> Result<Vec<u8>, StoreError> {
    first_good(source, &mut |part| {
        let bytes = part.read_range(path, offset, length)?;
        check(&bytes).inspect_err(|_| part.distrust(path))?;
        Ok(bytes)
    })
}

/// What `ask` gets from the first part of `source` that gives it. If none does, the error that says
/// most: that a file is missing says less than that a server is down or has a damaged one.
pub fn first_good<T>(
    source: &dyn Source,
    ask: &mut dyn FnMut(&dyn Source) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let parts = source.parts();
    if parts.is_empty() {
        return ask(source);
    }
    let mut worst = None;
    for part in parts {
        match (first_good(part, ask), &worst) {
            (Ok(answer), _) => return Ok(answer),
            (Err(StoreError::Missing { .. }), Some(_)) => {}
            (Err(error), _) => worst = Some(error),
        }
    }
    Err(worst.expect("invariant: there is a part"))
}

/// A store in a directory.
#[derive(Clone, Debug)]
pub struct DirSource {
    root: PathBuf,
}

impl DirSource {
    /// The store below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Source for DirSource {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let file = self.root.join(path);
        match std::fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", &file)(e)),
        }
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let file = self.root.join(path);
        let open = match File::open(&file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { object: path.to_owned() });
            }
            opened => opened.map_err(StoreError::io("open", &file))?,
        };
        let mut bytes = vec![0; usize::try_from(length).expect("invariant: ranges fit memory")];
        match open.read_exact_at(&mut bytes, offset) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(StoreError::corrupt(path, "it is shorter than its manifest says"))
            }
            read => read.map(|()| bytes).map_err(StoreError::io("read", &file)),
        }
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let file = self.root.join(path);
        match std::fs::metadata(&file) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", &file)(e)),
        }
    }
}
