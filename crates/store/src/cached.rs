//! Keeps what came from another source in a local directory, up to a size.
//!
//! ```text
//! DIR/packs+DIGEST.pack+17    BLAKE3 of the rest, then block 17 of the pack: 1 MiB, the last shorter
//! DIR/…+length                the same with the length of the file, 8 bytes, little-endian
//! DIR/…+whole                 the same with a whole small file
//! ```
//!
//! Only files that never change are kept. Whoever verifies what it reads and finds it wrong has it
//! dropped, and asks the source behind.

use crate::StoreError;
use crate::catalog::names_in;
use crate::object::digest_of;
use crate::source::{Source, is_immutable};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

const BLOCK_BYTES: u64 = 1 << 20;
const DIGEST_BYTES: usize = 32;

/// A source with a local copy of what was read most recently.
pub struct Cached {
    view: View,
}

/// The copy and the source behind it, seen as one.
struct View {
    behind: Box<dyn Source + Send>,
    dir: PathBuf,
    limit_bytes: u64,
    held_bytes: Mutex<u64>,
}

impl Cached {
    /// Keeps up to `limit_bytes` of what comes from `behind` in `dir`, which is made.
    pub fn new(
        behind: Box<dyn Source + Send>,
        dir: impl Into<PathBuf>,
        limit_bytes: u64,
    ) -> Result<Self, StoreError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        let mut held = 0;
        for name in names_in(&dir)? {
            let path = dir.join(&name);
            match name.ends_with(".tmp") {
                // Left by a program that was killed.
                true => fs::remove_file(&path).map_err(StoreError::io("remove", &path))?,
                false => held += fs::metadata(&path).map_or(0, |meta| meta.len()),
            }
        }
        let held_bytes = Mutex::new(held);
        Ok(Self { view: View { behind, dir, limit_bytes, held_bytes } })
    }
}

impl Source for Cached {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.view.read(path)
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.view.read_range(path, offset, length)
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.view.length(path)
    }

    fn parts(&self) -> Vec<&dyn Source> {
        let behind = self.view.behind.parts();
        let behind =
            if behind.is_empty() { vec![&*self.view.behind as &dyn Source] } else { behind };
        std::iter::once(&self.view as &dyn Source).chain(behind).collect()
    }

    fn distrust(&self, path: &str) {
        self.view.distrust(path);
    }
}

impl Source for View {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if !is_immutable(path) {
            return self.behind.read(path);
        }
        let name = entry_name(path, "whole");
        if let Some(bytes) = self.get(&name) {
            return Ok(Some(bytes));
        }
        let read = self.behind.read(path)?;
        if let Some(bytes) = &read {
            self.put(&name, bytes)?;
        }
        Ok(read)
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        if !is_immutable(path) || length == 0 {
            return self.behind.read_range(path, offset, length);
        }
        let file_length = self.length(path)?;
        let file_length =
            file_length.ok_or_else(|| StoreError::Missing { object: path.to_owned() })?;
        let end = offset.checked_add(length).filter(|end| *end <= file_length);
        let end =
            end.ok_or_else(|| StoreError::corrupt(path, "it is shorter than its manifest says"))?;
        let mut bytes = Vec::new();
        let mut block = offset / BLOCK_BYTES;
        while block * BLOCK_BYTES < end {
            block += match self.get(&entry_name(path, block)) {
                Some(kept) => {
                    bytes.extend(kept);
                    1
                }
                None => self.fill(path, block, end, file_length, &mut bytes)?,
            };
        }
        let start = (offset % BLOCK_BYTES) as usize;
        let part = bytes.get(start..start + length as usize);
        part.map(<[u8]>::to_vec).ok_or_else(|| {
            self.distrust(path);
            StoreError::corrupt(path, "blocks of it in the cache are too short")
        })
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        if !is_immutable(path) {
            return self.behind.length(path);
        }
        let name = entry_name(path, "length");
        if let Some(kept) = self.get(&name).and_then(|bytes| bytes.try_into().ok()) {
            return Ok(Some(u64::from_le_bytes(kept)));
        }
        let length = self.behind.length(path)?;
        if let Some(length) = length {
            self.put(&name, &length.to_le_bytes())?;
        }
        Ok(length)
    }

    fn distrust(&self, path: &str) {
        let stem = entry_name(path, "");
        for name in names_in(&self.dir).unwrap_or_default() {
            if name.starts_with(&stem) {
                self.drop_entry(&name);
            }
        }
        self.behind.distrust(path);
    }
}

impl View {
    /// Fetches the blocks from `first` on that are not here, in one request, and appends them; how
    /// many there were.
    fn fill(
        &self,
        path: &str,
        first: u64,
        end: u64,
        file_length: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<u64, StoreError> {
        let mut last = first + 1;
        while last * BLOCK_BYTES < end && !self.dir.join(entry_name(path, last)).exists() {
            last += 1;
        }
        let from = first * BLOCK_BYTES;
        let to = (last * BLOCK_BYTES).min(file_length);
        let fetched = self.behind.read_range(path, from, to - from)?;
        for (number, block) in (first..).zip(fetched.chunks(BLOCK_BYTES as usize)) {
            self.put(&entry_name(path, number), block)?;
        }
        bytes.extend(fetched);
        Ok(last - first)
    }

    /// What is kept under a name, unless the disk has changed it.
    fn get(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.dir.join(name);
        let mut kept = fs::read(&path).ok()?;
        let is_whole = kept.len() >= DIGEST_BYTES
            && digest_of(&kept[DIGEST_BYTES..]).0[..] == kept[..DIGEST_BYTES];
        if !is_whole {
            self.drop_entry(name);
            return None;
        }
        // What is used stays. That the time cannot be set harms nobody.
        let _ = File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        Some(kept.split_off(DIGEST_BYTES))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let tmp = self.dir.join(format!("{}.{count}.tmp", std::process::id()));
        let entry = [&digest_of(bytes).0[..], bytes].concat();
        fs::write(&tmp, &entry).map_err(StoreError::io("write", &tmp))?;
        let path = self.dir.join(name);
        fs::rename(&tmp, &path).map_err(StoreError::io("rename to", &path))?;
        let mut held = self.held_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *held += entry.len() as u64;
        if *held > self.limit_bytes {
            *held = self.evict()?;
        }
        Ok(())
    }

    /// Removes what was not used for longest until a tenth of the limit is free; what is left.
    fn evict(&self) -> Result<u64, StoreError> {
        let mut entries = Vec::new();
        for name in names_in(&self.dir)? {
            let path = self.dir.join(name);
            // Another thread may have renamed or removed it.
            if let Ok(meta) = fs::metadata(&path) {
                entries.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), path));
            }
        }
        entries.sort_unstable();
        let mut held: u64 = entries.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in entries {
            if held <= self.limit_bytes / 10 * 9 {
                break;
            }
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &path)(e));
                }
                _ => held -= length,
            }
        }
        Ok(held)
    }

    fn drop_entry(&self, name: &str) {
        let path = self.dir.join(name);
        let length = fs::metadata(&path).map_or(0, |meta| meta.len());
        if fs::remove_file(&path).is_ok() {
            let mut held = self.held_bytes.lock().unwrap_or_else(PoisonError::into_inner);
            *held = held.saturating_sub(length);
        }
    }
}

fn entry_name(path: &str, part: impl std::fmt::Display) -> String {
    format!("{}+{part}", path.replace('/', "+"))
}
