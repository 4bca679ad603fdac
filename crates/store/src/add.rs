//! Makes an image out of a tree: each file is read once, cut into objects and packed if it is new.

use crate::manifest::{MANIFEST_VERSION, Manifest};
use crate::object::{MAX_OBJECT_BYTES, Object, cut, digest_of};
use crate::packer::Packer;
use crate::walk::walk;
use crate::{OnBytes, StoreError};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, ImageOrigin};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// How an image is made from a tree.
#[derive(Clone, Debug, Default)]
pub struct AddOptions {
    /// What it was built from.
    pub origin: ImageOrigin,
    /// Directories, relative to the root, that keep their place and lose their content.
    pub empty_dirs: Vec<String>,
}

/// Bytes of small files that are in memory at once.
const BATCH_BYTES: u64 = 32 << 20;
/// Files that are read together.
const BATCH_FILES: usize = 1024;

/// Packs what is new below `root` and returns the manifest, which is not stored yet.
pub fn add_tree(
    packer: &mut Packer<'_>,
    root: &Path,
    options: &AddOptions,
    on_bytes: OnBytes<'_>,
) -> Result<Manifest, StoreError> {
    let mut entries = walk(root, &options.empty_dirs)?;
    let total: u64 = entries.iter().map(Entry::size_bytes).sum();
    let mut chunks = BTreeMap::new();
    let mut done = 0;
    for batch in batches(&mut entries) {
        done += batch.iter().map(|entry| entry.size_bytes()).sum::<u64>();
        match batch.as_slice() {
            [entry] if entry.size_bytes() > MAX_OBJECT_BYTES as u64 => {
                let (digest, objects) = add_large(packer, root, entry)?;
                set_digest(entry_of(batch), digest);
                chunks.insert(digest, objects);
            }
            _ => add_small(packer, root, batch)?,
        }
        on_bytes(done, total);
    }
    let origin = options.origin.clone();
    Ok(Manifest { version: MANIFEST_VERSION, origin, entries, chunks })
}

/// The files with content: large ones alone, small ones in groups that fit memory.
fn batches(entries: &mut [Entry]) -> Vec<Vec<&mut Entry>> {
    let mut batches: Vec<Vec<&mut Entry>> = Vec::new();
    let mut open: Vec<&mut Entry> = Vec::new();
    let mut bytes = 0;
    for entry in entries.iter_mut().filter(|e| matches!(e.kind, EntryKind::File { .. })) {
        let size = entry.size_bytes();
        if size > MAX_OBJECT_BYTES as u64 {
            batches.push(std::mem::take(&mut open));
            batches.push(vec![entry]);
            bytes = 0;
            continue;
        }
        open.push(entry);
        bytes += size;
        if bytes >= BATCH_BYTES || open.len() >= BATCH_FILES {
            batches.push(std::mem::take(&mut open));
            bytes = 0;
        }
    }
    batches.push(open);
    batches.retain(|batch| !batch.is_empty());
    batches
}

fn entry_of(batch: Vec<&mut Entry>) -> &mut Entry {
    batch.into_iter().next().expect("invariant: no batch is empty")
}

fn set_digest(entry: &mut Entry, found: Digest) {
    if let EntryKind::File { digest, .. } = &mut entry.kind {
        *digest = found;
    }
}

/// Reads, names and stores files that are one object each.
fn add_small(
    packer: &mut Packer<'_>,
    root: &Path,
    batch: Vec<&mut Entry>,
) -> Result<(), StoreError> {
    let read = |entry: &&mut Entry| -> Result<Vec<u8>, StoreError> {
        let path = root.join(&entry.path);
        let file = File::open(&path).map_err(StoreError::io("open", &path))?;
        let size = entry.size_bytes();
        let content = cut(file, size).next().expect("invariant: a small file is one piece");
        let bytes = content.map_err(StoreError::io("read", &path))?;
        if bytes.len() as u64 != size {
            return Err(StoreError::Changed { path });
        }
        Ok(bytes)
    };
    let contents: Vec<(Digest, Vec<u8>)> = batch
        .par_iter()
        .map(|entry| read(entry).map(|bytes| (digest_of(&bytes), bytes)))
        .collect::<Result<_, _>>()?;
    for (entry, (digest, bytes)) in batch.into_iter().zip(contents) {
        set_digest(entry, digest);
        if !bytes.is_empty() {
            let length = bytes.len() as u32;
            packer.push(Object { digest, length }, &bytes)?;
        }
    }
    Ok(())
}

/// Reads, cuts and stores a file of many objects; its digest and its chunks.
fn add_large(
    packer: &mut Packer<'_>,
    root: &Path,
    entry: &Entry,
) -> Result<(Digest, Vec<Object>), StoreError> {
    let path = root.join(&entry.path);
    let file = File::open(&path).map_err(StoreError::io("open", &path))?;
    let mut whole = blake3::Hasher::new();
    let mut objects = Vec::new();
    let size = entry.size_bytes();
    for piece in cut(file.take(size + 1), size) {
        let bytes = piece.map_err(StoreError::io("read", &path))?;
        whole.update(&bytes);
        let object = Object::of(&bytes);
        packer.push(object, &bytes)?;
        objects.push(object);
    }
    let length: u64 = objects.iter().map(|object| u64::from(object.length)).sum();
    if length != size {
        return Err(StoreError::Changed { path });
    }
    Ok((Digest(*whole.finalize().as_bytes()), objects))
}
