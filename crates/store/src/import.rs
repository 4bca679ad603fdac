//! Makes an image out of entries that arrive one by one, in any order, as archives have them.
//!
//! The same tree gives the same manifest as [`Store::add_tree`], whichever way it came: entries are
//! put into the order in which a walk would meet them, and of the names of an inode the first one
//! there carries the content.

use crate::StoreError;
use crate::add::AddOptions;
use crate::catalog::Catalog;
use crate::delta::PUBLISH_LEVEL;
use crate::manifest::{MANIFEST_VERSION, Manifest};
use crate::object::{MAX_OBJECT_BYTES, Object, cut, digest_of};
use crate::packer::Packer;
use crate::store::{Store, check_name, image_ref};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, ImageOrigin, ImageRef};
use rustix::fs::FlockOperation;
use std::collections::{BTreeMap, HashSet};
use std::io::Read;

/// An image that is being made.
pub struct Import<'a> {
    packer: Packer<'a>,
    empty_dirs: Vec<String>,
    nodes: Vec<Entry>,
    /// The inode of each path. A key has NUL for `/`, so that what is in a directory comes right
    /// behind it.
    paths: BTreeMap<String, usize>,
    /// Names of files that had not come yet, with those files.
    links: Vec<(String, String)>,
    chunks: BTreeMap<Digest, Vec<Object>>,
}

impl Store {
    /// Makes an image of the entries that `fill` puts into it, and gives it a name.
    ///
    /// Killed at any point it leaves the store as it was, but for files nothing refers to.
    pub fn import<E: From<StoreError>>(
        &self,
        name: &str,
        options: &AddOptions,
        fill: impl FnOnce(&mut Import<'_>) -> Result<(), E>,
    ) -> Result<ImageRef, E> {
        check_name(name)?;
        let _lock = self.lock(FlockOperation::LockShared)?;
        let mut catalog = Catalog::read(&self.packs_dir(), &self.condemned_packs()?)?;
        let mut import = Import::new(Packer::new(self, &mut catalog), options);
        fill(&mut import)?;
        let manifest = import.finish(options.origin.clone())?;
        let digest = self.put_manifest(&manifest, &catalog)?;
        self.make_upgrade(digest, &self.older_images(name)?, PUBLISH_LEVEL)?;
        self.issue(name, digest)?;
        Ok(image_ref(name, digest, &manifest))
    }
}

impl<'a> Import<'a> {
    fn new(packer: Packer<'a>, options: &AddOptions) -> Self {
        Self {
            packer,
            empty_dirs: options.empty_dirs.clone(),
            nodes: Vec::new(),
            paths: BTreeMap::new(),
            links: Vec::new(),
            chunks: BTreeMap::new(),
        }
    }

    /// Takes an entry in, instead of one that had its path before. The digest of a file is found
    /// out: `content` has its bytes, as many as the entry says. A hard link may come before the file
    /// it is another name of.
    pub fn put(&mut self, mut entry: Entry, content: &mut dyn Read) -> Result<(), StoreError> {
        check_path(&entry.path)?;
        if self.is_left_out(&entry.path) {
            return Ok(());
        }
        if let EntryKind::Hardlink { target } = &entry.kind {
            check_path(target)?;
            return self.link(&entry.path, target);
        }
        if let EntryKind::File { size, digest } = &mut entry.kind {
            *digest = self.pack(&entry.path, *size, content)?;
        }
        self.paths.insert(key(&entry.path), self.nodes.len());
        self.nodes.push(entry);
        Ok(())
    }

    /// Takes a file in that has the same content as the one at `path`, and is another inode.
    pub fn put_same(&mut self, mut entry: Entry, path: &str) -> Result<(), StoreError> {
        check_path(&entry.path)?;
        if self.is_left_out(&entry.path) {
            return Ok(());
        }
        let node = self.paths.get(&key(path)).map(|node| &self.nodes[*node]);
        let file = node.filter(|node| matches!(node.kind, EntryKind::File { .. }));
        let no_file = || bad_entry(&entry.path, format!("there is no file {path}"));
        entry.kind = file.ok_or_else(no_file)?.kind.clone();
        self.paths.insert(key(&entry.path), self.nodes.len());
        self.nodes.push(entry);
        Ok(())
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), StoreError> {
        match self.paths.get(&key(target)).copied() {
            Some(node) if self.nodes[node].kind == EntryKind::Directory => {
                Err(bad_entry(path, format!("it is another name of the directory {target}")))
            }
            Some(node) => {
                self.paths.insert(key(path), node);
                Ok(())
            }
            None => {
                self.links.push((path.to_owned(), target.to_owned()));
                Ok(())
            }
        }
    }

    fn is_left_out(&self, path: &str) -> bool {
        let is_below = |dir: &String| {
            path.strip_prefix(dir.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        self.empty_dirs.iter().any(is_below)
    }

    /// Stores the content of a file; its digest.
    fn pack(
        &mut self,
        path: &str,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<Digest, StoreError> {
        let mut whole = blake3::Hasher::new();
        let mut objects = Vec::new();
        let mut length = 0;
        for piece in cut(content.take(size), size) {
            let bytes = piece.map_err(|e| bad_entry(path, format!("its content: {e}")))?;
            length += bytes.len() as u64;
            if bytes.is_empty() {
                continue;
            }
            let object = match size <= MAX_OBJECT_BYTES as u64 {
                true => {
                    let digest = digest_of(&bytes);
                    self.packer.push(Object { digest, length: bytes.len() as u32 }, &bytes)?;
                    return match length == size {
                        true => Ok(digest),
                        false => Err(ends_early(path, length, size)),
                    };
                }
                false => Object::of(&bytes),
            };
            whole.update(&bytes);
            self.packer.push(object, &bytes)?;
            objects.push(object);
        }
        if length != size {
            return Err(ends_early(path, length, size));
        }
        let digest = Digest(*whole.finalize().as_bytes());
        if !objects.is_empty() {
            self.chunks.insert(digest, objects);
        }
        Ok(digest)
    }

    fn finish(mut self, origin: ImageOrigin) -> Result<Manifest, StoreError> {
        self.resolve_links()?;
        self.add_parents()?;
        self.packer.finish()?;
        let mut first_paths: Vec<Option<String>> = vec![None; self.nodes.len()];
        let mut entries = Vec::with_capacity(self.paths.len());
        for (key, node) in self.paths {
            let path = key.replace('\0', "/");
            let mut entry = self.nodes[node].clone();
            match &first_paths[node] {
                None => first_paths[node] = Some(path.clone()),
                Some(first) => {
                    entry.kind = EntryKind::Hardlink { target: first.clone() };
                    entry.xattrs.clear();
                }
            }
            entry.path = path;
            entries.push(entry);
        }
        // What was replaced later is not in the image.
        let used: HashSet<Digest> = entries.iter().filter_map(digest_of_file).collect();
        self.chunks.retain(|digest, _| used.contains(digest));
        Ok(Manifest { version: MANIFEST_VERSION, origin, entries, chunks: self.chunks })
    }

    /// Links whose files came later.
    fn resolve_links(&mut self) -> Result<(), StoreError> {
        loop {
            let before = self.links.len();
            for (path, target) in std::mem::take(&mut self.links) {
                self.link(&path, &target)?;
            }
            match self.links.first() {
                None => return Ok(()),
                Some((path, target)) if self.links.len() == before => {
                    let reason = format!("it is another name of {target}, which is not there");
                    return Err(bad_entry(path, reason));
                }
                Some(_) => {}
            }
        }
    }

    /// Directories that no entry was about, though others are in them.
    fn add_parents(&mut self) -> Result<(), StoreError> {
        let mut missing = HashSet::from([String::new()]);
        for key in self.paths.keys() {
            let mut end = key.len();
            while let Some(cut) = key[..end].rfind('\0') {
                missing.insert(key[..cut].to_owned());
                end = cut;
            }
        }
        for parent in missing {
            let path = parent.replace('\0', "/");
            match self.paths.get(&parent) {
                Some(node) if self.nodes[*node].kind == EntryKind::Directory => {}
                Some(_) => {
                    return Err(bad_entry(&path, "it is no directory, and others are in it"));
                }
                None => {
                    self.paths.insert(parent, self.nodes.len());
                    self.nodes.push(plain_directory(path));
                }
            }
        }
        Ok(())
    }
}

fn digest_of_file(entry: &Entry) -> Option<Digest> {
    match entry.kind {
        EntryKind::File { digest, .. } => Some(digest),
        _ => None,
    }
}

fn plain_directory(path: String) -> Entry {
    let (xattrs, kind) = (BTreeMap::new(), EntryKind::Directory);
    Entry { path, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs, kind }
}

fn key(path: &str) -> String {
    path.replace('/', "\0")
}

fn check_path(path: &str) -> Result<(), StoreError> {
    let good = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if path.is_empty() || path.split('/').all(good) {
        return Ok(());
    }
    Err(bad_entry(path, "it does not stay below the image's root"))
}

fn bad_entry(path: &str, reason: impl Into<String>) -> StoreError {
    StoreError::BadEntry { path: path.to_owned(), reason: reason.into() }
}

fn ends_early(path: &str, length: u64, size: u64) -> StoreError {
    bad_entry(path, format!("its content ends after {length} of {size} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry { kind, ..plain_directory(path.to_owned()) }
    }

    fn file(path: &str, content: &[u8]) -> Entry {
        let digest = Digest([0; 32]);
        entry(path, EntryKind::File { size: content.len() as u64, digest })
    }

    fn link(path: &str, target: &str) -> Entry {
        entry(path, EntryKind::Hardlink { target: target.to_owned() })
    }

    /// The paths and kinds of what comes of these entries.
    fn import(entries: &[(Entry, &[u8])]) -> Result<Vec<(String, EntryKind)>, StoreError> {
        let dir = tempfile::TempDir::new().expect("tempdir");
        let store = Store::open(dir.path())?;
        let image = store.import("x", &AddOptions::default(), |import| {
            entries
                .iter()
                .try_for_each(|(entry, content)| import.put(entry.clone(), &mut &content[..]))
        })?;
        store.verify("x", &|_, _| {})?;
        let entries = store.manifest(image.manifest)?.entries;
        Ok(entries.into_iter().map(|entry| (entry.path, entry.kind)).collect())
    }

    #[test]
    fn the_first_name_in_order_carries_the_content_whatever_came_first() {
        let content = b"content";
        let expected = import(&[
            (file("a", content), content),
            (link("z", "a"), b""),
            (link("m/n", "a"), b""),
        ])
        .expect("in order");
        let kinds: Vec<_> = expected.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(kinds, ["", "a", "m", "m/n", "z"]);
        assert!(matches!(expected[1].1, EntryKind::File { size: 7, .. }));
        assert_eq!(expected[3].1, EntryKind::Hardlink { target: "a".to_owned() });
        let other_names = import(&[
            (link("m/n", "z"), b""),
            (file("z", content), content),
            (link("a", "m/n"), b""),
        ]);
        assert_eq!(other_names.expect("links first"), expected);
    }

    #[test]
    fn a_later_entry_replaces_an_earlier_one_but_not_its_other_names() {
        let found = import(&[
            (file("a", b"old"), b"old"),
            (link("b", "a"), b""),
            (file("a", b"newer"), b"newer"),
        ])
        .expect("import");
        let size = |at: usize| match found[at].1 {
            EntryKind::File { size, .. } => size,
            _ => 0,
        };
        assert_eq!((size(1), size(2)), (5, 3), "{found:?}");
    }

    #[test]
    fn what_cannot_be_a_tree_is_refused_with_its_path() {
        type Case = (&'static str, Vec<(Entry, &'static [u8])>);
        let cases: [Case; 6] = [
            ("../x", vec![(file("../x", b""), b"")]),
            ("a/../../x", vec![(file("a/../../x", b""), b"")]),
            ("/etc", vec![(file("/etc", b""), b"")]),
            ("l", vec![(link("l", "nowhere"), b"")]),
            ("f", vec![(file("f", b"12345"), b"123")]),
            ("f", vec![(file("f", b""), b""), (file("f/g", b""), b"")]),
        ];
        for (path, entries) in cases {
            let error = import(&entries).expect_err(path);
            assert!(
                matches!(&error, StoreError::BadEntry { path: at, .. } if at == path),
                "{error}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// The order of arrival makes no difference to the manifest.
        #[test]
        fn any_order_gives_the_same_image(order in Just((0usize..7).collect::<Vec<_>>()).prop_shuffle()) {
            let large = vec![7; 1_500_000];
            let all: [(Entry, &[u8]); 7] = [
                (file("etc/passwd", b"root"), b"root"),
                (file("etc-x", b"x"), b"x"),
                (entry("etc", EntryKind::Directory), b""),
                (file("lib/large", &large), &large),
                (link("lib/again", "lib/large"), b""),
                (entry("bin", EntryKind::Symlink { target: "usr/bin".to_owned() }), b""),
                (entry("run/fifo", EntryKind::Fifo), b""),
            ];
            let shuffled: Vec<_> = order.iter().map(|at| all[*at].clone()).collect();
            prop_assert_eq!(import(&shuffled).unwrap(), import(&all).unwrap());
        }
    }
}
