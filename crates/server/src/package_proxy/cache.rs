//! Complete files on disk, each with what its origin said about it.

use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the content begins in a file of the cache: behind the JSON, and at a page's border.
pub(super) const CONTENT_AT: u64 = 4096;

/// What is known about a cached file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The address clients know it by.
    pub(super) url: String,
    /// Length of the content.
    pub(super) size_bytes: u64,
    /// `Content-Type` of the origin.
    pub(super) content_type: Option<String>,
    /// `Last-Modified` of the origin.
    pub(super) last_modified: Option<String>,
    /// `ETag` of the origin.
    pub(super) etag: Option<String>,
}

impl Meta {
    /// What an answer says about the file at `url`.
    pub(super) fn of(url: &str, size_bytes: u64, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            url: url.to_owned(),
            size_bytes,
            content_type: text(CONTENT_TYPE),
            last_modified: text(LAST_MODIFIED),
            etag: text(ETAG),
        }
    }
}

/// A cached file, open.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) meta: Meta,
    pub(super) file: File,
}

/// An unfinished file. Removed when it is dropped without having been published.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    /// Locked, so that other processes with the same cache let it be.
    file: File,
    /// Bytes of content so far.
    written: u64,
    published: bool,
}

/// The directory.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    size_bytes: AtomicU64,
}

impl Cache {
    /// Opens the cache in `dir`; what a killed process left unfinished is removed.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        let tmp = dir.join("tmp");
        fs::create_dir_all(&tmp)?;
        for entry in fs::read_dir(&tmp)?.flatten() {
            let abandoned = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if abandoned {
                fs::remove_file(entry.path())?;
            }
        }
        let size_bytes = AtomicU64::new(size_of(&dir)?);
        Ok(Self { dir, size_bytes })
    }

    /// Bytes of all complete files.
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Relaxed)
    }

    /// The file cached for `url`. One that is not whole is removed.
    pub(super) fn find(&self, url: &str) -> Option<Entry> {
        let path = self.path_of(url);
        let file = File::open(&path).ok()?;
        match read_meta(&file) {
            Some(meta) if meta.url == url => Some(Entry { meta, file }),
            _ => {
                tracing::warn!(url, file = %path.display(), "a cached file is damaged; removed");
                if let Err(error) = fs::remove_file(&path) {
                    tracing::warn!(file = %path.display(), %error, "cannot remove it");
                }
                None
            }
        }
    }

    /// A new unfinished file.
    pub(super) fn begin(&self) -> io::Result<Unfinished> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("tmp/{}.{count}", std::process::id()));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(Unfinished { path, file, written: 0, published: false })
    }

    /// Makes a file whose content is complete the one cached for its address.
    pub(super) fn publish(&self, mut unfinished: Unfinished, meta: &Meta) -> io::Result<()> {
        let length = unfinished.file.metadata()?.len();
        if length != CONTENT_AT + meta.size_bytes {
            return Err(io::Error::other("the unfinished file has another length than announced"));
        }
        let mut json = serde_json::to_vec(meta)?;
        if json.len() as u64 >= CONTENT_AT {
            return Err(io::Error::other("the headers are too long to be kept"));
        }
        json.resize(CONTENT_AT as usize - 1, b' ');
        json.push(b'\n');
        unfinished.file.write_all_at(&json, 0)?;
        // Otherwise a power cut could leave the name in place and the content behind.
        unfinished.file.sync_all()?;
        let path = self.path_of(&meta.url);
        fs::create_dir_all(path.parent().unwrap_or(&self.dir))?;
        let replaced = fs::metadata(&path).map_or(0, |meta| meta.len());
        fs::rename(&unfinished.path, &path)?;
        unfinished.published = true;
        self.size_bytes.fetch_add(length, Ordering::Relaxed);
        self.size_bytes.fetch_sub(replaced, Ordering::Relaxed);
        Ok(())
    }

    fn path_of(&self, url: &str) -> PathBuf {
        let hash = blake3::hash(url.as_bytes()).to_hex();
        let (dir, name) = hash.split_at(2);
        self.dir.join(dir).join(name)
    }
}

impl Unfinished {
    /// Appends content.
    pub(super) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.write_all_at(content, CONTENT_AT + self.written)?;
        self.written += content.len() as u64;
        Ok(())
    }

    /// Bytes of content so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Another view of the file, for readers.
    pub(super) fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.published {
            // At worst the next start removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The JSON at the beginning, if the file is as long as it says.
fn read_meta(file: &File) -> Option<Meta> {
    let mut json = vec![0; CONTENT_AT as usize];
    file.read_exact_at(&mut json, 0).ok()?;
    let meta: Meta = serde_json::from_slice(&json).ok()?;
    (file.metadata().ok()?.len() == CONTENT_AT + meta.size_bytes).then_some(meta)
}

/// Bytes of all complete files below `dir`.
fn size_of(dir: &Path) -> io::Result<u64> {
    let mut size_bytes = 0;
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_name().len() == 2 {
            for file in fs::read_dir(entry.path())?.flatten() {
                size_bytes += file.metadata()?.len();
            }
        }
    }
    Ok(size_bytes)
}
