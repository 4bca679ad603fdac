//! Looks for objects in seeds: first where the manifest says that they would be, then wherever a file
//! has the size of one that is missing.

use crate::StoreError;
use crate::manifest::{Manifest, ObjectList};
use crate::object::{MAX_OBJECT_BYTES, Object, cut, digest_of};
use crate::seed::{Seeds, open_below};
use hostwright_model::image::Entry;
use rayon::prelude::*;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Bytes of small files that are in memory at once.
const BATCH_BYTES: u64 = 16 << 20;
/// Files that are read together.
const BATCH_FILES: usize = 512;

/// A file of a seed that may hold what is needed.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The tree.
    root: PathBuf,
    /// The path in it.
    path: String,
    size: u64,
    /// The objects that it would hold.
    pub objects: Vec<u32>,
}

/// Who wants what a scan finds.
pub trait Finds {
    /// True as long as the object has not come from elsewhere.
    fn is_wanted(&self, object: u32) -> bool;
    /// Takes an object, whose bytes are those of its digest.
    fn found(&self, object: Object, bytes: &[u8]) -> Result<(), StoreError>;
    /// Takes notice of how many bytes were read.
    fn scanned(&self, bytes: u64);
}

/// The files of the seeds at the paths of wanted files: small ones of the same size, large ones of
/// any.
pub fn by_path(seeds: &Seeds, manifest: &Manifest, list: &ObjectList) -> Vec<Candidate> {
    let has_content = |entry: &&Entry| entry.size_bytes() > 0;
    let files: Vec<&Entry> = manifest.entries.iter().filter(has_content).collect();
    let look = |root: &PathBuf, entry: &Entry| {
        let (_, size) = open_below(root, &entry.path)?;
        let limit = MAX_OBJECT_BYTES as u64;
        let both_large = size > limit && entry.size_bytes() > limit;
        (both_large || size == entry.size_bytes()).then(|| Candidate {
            root: root.clone(),
            path: entry.path.clone(),
            size,
            objects: numbers(manifest, list, entry),
        })
    };
    let trees = seeds.trees().iter();
    trees
        .flat_map(|root| {
            let found: Vec<_> = files.par_iter().filter_map(|entry| look(root, entry)).collect();
            found
        })
        .collect()
}

fn numbers(manifest: &Manifest, list: &ObjectList, entry: &Entry) -> Vec<u32> {
    manifest.pieces(entry).iter().map(|object| list.numbers[&object.digest]).collect()
}

/// Reads candidates as long as something of them is wanted, and hands over what is.
pub fn read(
    candidates: &[Candidate],
    list: &ObjectList,
    finds: &(dyn Finds + Sync),
) -> Result<(), StoreError> {
    let wanted = |candidate: &Candidate| candidate.objects.iter().any(|n| finds.is_wanted(*n));
    let mut batch: Vec<&Candidate> = Vec::new();
    let mut bytes = 0;
    for candidate in candidates.iter().filter(|candidate| wanted(candidate)) {
        if candidate.size > MAX_OBJECT_BYTES as u64 {
            read_large(candidate, list, finds)?;
            continue;
        }
        batch.push(candidate);
        bytes += candidate.size;
        if bytes >= BATCH_BYTES || batch.len() >= BATCH_FILES {
            read_small(&batch, list, finds)?;
            (batch, bytes) = (Vec::new(), 0);
        }
    }
    read_small(&batch, list, finds)
}

/// Reads and hashes files of one object each on all cores; the finds are handed over one by one.
fn read_small(
    batch: &[&Candidate],
    list: &ObjectList,
    finds: &(dyn Finds + Sync),
) -> Result<(), StoreError> {
    let read = |candidate: &&Candidate| {
        let (file, _) = open_below(&candidate.root, &candidate.path)?;
        let mut bytes = Vec::with_capacity(candidate.size as usize + 1);
        // What cannot be read is not there; nor is what grew meanwhile.
        file.take(candidate.size + 1).read_to_end(&mut bytes).ok()?;
        let digest = digest_of(&bytes);
        let number = *list.numbers.get(&digest)?;
        finds.is_wanted(number).then_some((list.objects[number as usize], bytes))
    };
    let found: Vec<_> = batch.par_iter().filter_map(read).collect();
    finds.scanned(batch.iter().map(|candidate| candidate.size).sum());
    found.iter().try_for_each(|(object, bytes)| finds.found(*object, bytes))
}

/// Cuts a large file as it would be cut for an image, and takes the chunks that are wanted.
fn read_large(
    candidate: &Candidate,
    list: &ObjectList,
    finds: &(dyn Finds + Sync),
) -> Result<(), StoreError> {
    let Some((file, size)) = open_below(&candidate.root, &candidate.path) else { return Ok(()) };
    for piece in cut(file.take(size), size) {
        let Ok(bytes) = piece else { return Ok(()) };
        finds.scanned(bytes.len() as u64);
        let number = list.numbers.get(&digest_of(&bytes)).copied();
        if let Some(number) = number.filter(|number| finds.is_wanted(*number)) {
            finds.found(list.objects[number as usize], &bytes)?;
        }
    }
    Ok(())
}

/// The files of the seeds, wherever they are, with the size of a file that has `missing` objects.
pub fn by_size(
    seeds: &Seeds,
    manifest: &Manifest,
    list: &ObjectList,
    missing: &dyn Fn(u32) -> bool,
) -> Vec<Candidate> {
    let mut wanted = HashMap::<u64, Vec<u32>>::new();
    for entry in manifest.entries.iter().filter(|entry| entry.size_bytes() > 0) {
        let objects = numbers(manifest, list, entry).into_iter();
        let objects: Vec<u32> = objects.filter(|number| missing(*number)).collect();
        if !objects.is_empty() {
            wanted.entry(entry.size_bytes()).or_default().extend(objects);
        }
    }
    let mut candidates = Vec::new();
    for root in seeds.trees().iter().filter(|_| !wanted.is_empty()) {
        let mut visit = |path: String, size: u64| {
            if let Some(objects) = wanted.get(&size).cloned() {
                candidates.push(Candidate { root: root.clone(), path, size, objects });
            }
        };
        // A seed that cannot be walked to its end has told what it has.
        let _ = walk(root, &mut visit);
    }
    candidates.sort_unstable_by(|a, b| (&a.root, &a.path).cmp(&(&b.root, &b.path)));
    candidates
}

/// Tells path and size of every file on the file system that `root` is on.
fn walk(root: &Path, visit: &mut dyn FnMut(String, u64)) -> io::Result<()> {
    let device = fs::metadata(root)?.dev();
    let mut waiting = vec![String::new()];
    while let Some(dir) = waiting.pop() {
        let Ok(entries) = fs::read_dir(root.join(&dir)) else { continue };
        for entry in entries.flatten() {
            let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), entry.metadata()) else {
                continue;
            };
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            if meta.is_dir() && meta.dev() == device {
                waiting.push(path);
            } else if meta.is_file() && meta.len() > 0 {
                visit(path, meta.len());
            }
        }
    }
    Ok(())
}

/// How many bytes the candidates have.
pub fn bytes(candidates: &[Candidate]) -> u64 {
    candidates.iter().map(|candidate| candidate.size).sum()
}
