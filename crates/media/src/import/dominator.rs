//! Images of a running Dominator imageserver: its metadata first, then the contents of all files in
//! one stream, each compared with its SHA-512.

use super::ImportError;
use super::srpc::Connection;
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, ImageRef};
use hostwright_store::{AddOptions, Import, OnBytes, Store};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// What an address of such an image begins with.
pub(super) const SCHEME: &str = "dominator://";
const PORT: u16 = 6971;
/// Stands for the digest of a file whose content has not been read yet.
const UNREAD: Digest = Digest([0; 32]);
/// No tree is deeper: one that is goes in circles.
const MAX_DEPTH: usize = 256;
/// Objects that are asked for at once. A request of all of a large image's would be refused as a
/// whole if one were missing, and say nothing of how far it got.
const BATCH_OBJECTS: usize = 4096;

/// An image on an imageserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DominatorImage {
    /// `HOST:PORT`.
    pub server: String,
    /// Its name, `bootable/Debian-12/2026-11-30`.
    pub image: String,
}

impl FromStr for DominatorImage {
    type Err = ImportError;

    fn from_str(text: &str) -> Result<Self, ImportError> {
        let bad = || ImportError::BadDominatorImage { text: text.to_owned() };
        let rest = text.strip_prefix(SCHEME).ok_or_else(bad)?;
        let (host, image) = rest.split_once('/').ok_or_else(bad)?;
        if host.is_empty() || image.is_empty() {
            return Err(bad());
        }
        let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        let server = match port {
            Some(Ok(_)) => host.to_owned(),
            // `[::1]` has colons and no port.
            Some(Err(_)) if !host.ends_with(']') => return Err(bad()),
            _ => format!("{host}:{PORT}"),
        };
        Ok(Self { server, image: image.to_owned() })
    }
}

impl fmt::Display for DominatorImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.server, self.image)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetImage<'a> {
    image_name: &'a str,
    timeout: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GotImage {
    image: Option<Image>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    file_system: Option<FileSystem>,
}

/// Inodes by number, and the root, whose own number nobody needs.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FileSystem {
    inode_table: HashMap<u64, Inode>,
    #[serde(flatten)]
    root: Directory,
}

/// Kinds have no names: their fields tell them apart.
#[derive(Deserialize)]
#[serde(untagged)]
enum Inode {
    Regular(Regular),
    Symlink(Symlink),
    Special(Special),
    Computed(Computed),
    Directory(Directory),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Regular {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime_seconds: i64,
    size: u64,
    hash: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Symlink {
    uid: u32,
    gid: u32,
    symlink: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Special {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime_seconds: i64,
    rdev: u64,
}

/// A file that a file generator would fill later; until then it is empty.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Computed {
    mode: u32,
    uid: u32,
    gid: u32,
    #[serde(rename = "Source")]
    _source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Directory {
    mode: u32,
    uid: u32,
    gid: u32,
    entry_list: Option<Vec<DirectoryEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DirectoryEntry {
    name: String,
    inode_number: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetObjects<'a> {
    hashes: &'a [&'a str],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GotObjects {
    response_string: String,
    object_sizes: Option<Vec<u64>>,
}

/// Adds an image of an imageserver to the store.
pub(super) fn add(
    store: &Store,
    image: &DominatorImage,
    name: &str,
    options: &AddOptions,
    on_bytes: OnBytes<'_>,
) -> Result<ImageRef, ImportError> {
    let failed = |reason: String| ImportError::Remote { server: image.server.clone(), reason };
    let mut connection = Connection::open(&image.server).map_err(failed)?;
    let request = GetImage { image_name: &image.image, timeout: 0 };
    let got: GotImage = connection.ask("ImageServer.GetImage", &request).map_err(failed)?;
    let no_image = || failed(format!("it has no image '{}'", image.image));
    let file_system = got.image.and_then(|image| image.file_system).ok_or_else(no_image)?;
    let tree = Tree::of(&file_system).map_err(failed)?;
    store.import(name, options, |import| {
        for entry in tree.others {
            import.put(entry, &mut io::empty())?;
        }
        let total = tree.files.values().map(|files| files[0].size_bytes()).sum();
        let mut done = 0;
        let files: Vec<(&str, Vec<Entry>)> = tree.files.into_iter().collect();
        for batch in files.chunks(BATCH_OBJECTS) {
            fetch(&mut connection, batch, import, &failed, &mut |bytes| {
                done += bytes;
                on_bytes(done, total);
            })?;
        }
        Ok(())
    })
}

/// Fetches the contents of files and takes them in.
fn fetch(
    connection: &mut Connection,
    batch: &[(&str, Vec<Entry>)],
    import: &mut Import<'_>,
    failed: &dyn Fn(String) -> ImportError,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(), ImportError> {
    let hashes: Vec<&str> = batch.iter().map(|(hash, _)| *hash).collect();
    let request = GetObjects { hashes: &hashes };
    let got: GotObjects = connection.stream("ObjectServer.GetObjects", &request).map_err(failed)?;
    if !got.response_string.is_empty() {
        return Err(failed(got.response_string));
    }
    let sizes = got.object_sizes.unwrap_or_default();
    if sizes.len() != batch.len() {
        return Err(failed(format!("it has {} of {} objects", sizes.len(), batch.len())));
    }
    for ((hash, files), size) in batch.iter().zip(sizes) {
        let (first, others) = files.split_first().expect("invariant: a hash is of a file");
        if first.size_bytes() != size {
            let path = &first.path;
            return Err(failed(format!("the content of {path} has {size} bytes")));
        }
        let mut content = Hashed { input: connection.bytes().take(size), sha: Sha512::new() };
        import.put(first.clone(), &mut content)?;
        let found: String = content.sha.finalize().iter().map(|b| format!("{b:02x}")).collect();
        if found != *hash {
            let path = &first.path;
            return Err(failed(format!(
                "the content of {path} is damaged: its SHA-512 is {found}"
            )));
        }
        for other in others {
            import.put_same(other.clone(), &first.path)?;
        }
        on_bytes(size);
    }
    Ok(())
}

/// Entries: those that need no object, and the files that share each object.
struct Tree<'a> {
    others: Vec<Entry>,
    files: BTreeMap<&'a str, Vec<Entry>>,
}

impl<'a> Tree<'a> {
    fn of(file_system: &'a FileSystem) -> Result<Self, String> {
        let mut tree = Tree { others: Vec::new(), files: BTreeMap::new() };
        let mut walk = Walk { inodes: &file_system.inode_table, first: HashMap::new() };
        walk.directory("", &file_system.root, 0, &mut tree)?;
        Ok(tree)
    }
}

struct Walk<'a> {
    inodes: &'a HashMap<u64, Inode>,
    /// The first path of each inode that is no directory.
    first: HashMap<u64, String>,
}

impl<'a> Walk<'a> {
    fn directory(
        &mut self,
        path: &str,
        directory: &'a Directory,
        depth: usize,
        tree: &mut Tree<'a>,
    ) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("the directories at {path} go in circles"));
        }
        let Directory { mode, uid, gid, entry_list } = directory;
        // Directories have no times there.
        tree.others.push(entry(path, *mode, *uid, *gid, 0, EntryKind::Directory));
        for child in entry_list.iter().flatten() {
            let below = match path {
                "" => child.name.clone(),
                path => format!("{path}/{}", child.name),
            };
            let inode = self.inodes.get(&child.inode_number);
            let inode = inode.ok_or_else(|| format!("{below} has no inode"))?;
            self.inode(below, child.inode_number, inode, depth, tree)?;
        }
        Ok(())
    }

    fn inode(
        &mut self,
        path: String,
        number: u64,
        inode: &'a Inode,
        depth: usize,
        tree: &mut Tree<'a>,
    ) -> Result<(), String> {
        if let Inode::Directory(directory) = inode {
            return self.directory(&path, directory, depth + 1, tree);
        }
        if let Some(first) = self.first.get(&number) {
            let kind = EntryKind::Hardlink { target: first.clone() };
            tree.others.push(entry(&path, 0, 0, 0, 0, kind));
            return Ok(());
        }
        self.first.insert(number, path.clone());
        match inode {
            Inode::Regular(Regular { mode, uid, gid, mtime_seconds, size, hash }) => {
                let kind = EntryKind::File { size: *size, digest: UNREAD };
                let entry = entry(&path, *mode, *uid, *gid, *mtime_seconds, kind);
                match size {
                    // An empty file has no object.
                    0 => tree.others.push(entry),
                    _ => tree.files.entry(hash.as_str()).or_default().push(entry),
                }
            }
            Inode::Computed(Computed { mode, uid, gid, .. }) => {
                let kind = EntryKind::File { size: 0, digest: UNREAD };
                tree.others.push(entry(&path, *mode, *uid, *gid, 0, kind));
            }
            Inode::Symlink(Symlink { uid, gid, symlink }) => {
                let kind = EntryKind::Symlink { target: symlink.clone() };
                tree.others.push(entry(&path, 0o777, *uid, *gid, 0, kind));
            }
            Inode::Special(Special { mode, uid, gid, mtime_seconds, rdev }) => {
                let kind = special(&path, *mode, *rdev)?;
                tree.others.push(entry(&path, *mode, *uid, *gid, *mtime_seconds, kind));
            }
            Inode::Directory(_) => {}
        }
        Ok(())
    }
}

/// What a special inode is: its mode has the kind as stat(2) has it.
fn special(path: &str, mode: u32, rdev: u64) -> Result<EntryKind, String> {
    let (major, minor) = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    match mode & 0o170_000 {
        0o020_000 => Ok(EntryKind::CharDevice { major, minor }),
        0o060_000 => Ok(EntryKind::BlockDevice { major, minor }),
        0o010_000 => Ok(EntryKind::Fifo),
        _ => Err(format!("{path} is of a kind that no image can hold")),
    }
}

fn entry(path: &str, mode: u32, uid: u32, gid: u32, mtime: i64, kind: EntryKind) -> Entry {
    let (path, xattrs) = (path.to_owned(), BTreeMap::new());
    Entry { path, mode: mode & 0o7777, uid, gid, mtime, xattrs, kind }
}

/// Hashes what is read.
struct Hashed<R> {
    input: R,
    sha: Sha512,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.sha.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let table = [
            ("dominator://images/a/b", "images:6971", "a/b"),
            ("dominator://10.0.0.1:7000/x", "10.0.0.1:7000", "x"),
            ("dominator://[::1]/x", "[::1]:6971", "x"),
            ("dominator://[::1]:7000/x", "[::1]:7000", "x"),
        ];
        for (text, server, image) in table {
            let found: DominatorImage = text.parse().expect(text);
            assert_eq!((found.server.as_str(), found.image.as_str()), (server, image), "{text}");
        }
        for bad in ["dominator://", "dominator://h", "dominator:///x", "dominator://h:y/x"] {
            assert!(bad.parse::<DominatorImage>().is_err(), "{bad}");
        }
    }
}
