//! Config spaces on the server: checked, and packed for the machine.

use hostwright_host::HostError;
use hostwright_host::space::read_space;
use hostwright_model::api::Blob;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::ids::Digest;
use hostwright_plan::ConfigTree;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tar::{EntryType, Header};
use thiserror::Error;

/// A compression level that keeps arming quick; spaces are small.
const LEVEL: i32 = 6;

/// Directories of version control, which are never part of a space.
const NOT_PART: [&str; 3] = [".git", ".svn", "CVS"];

/// Why a space cannot be used.
#[derive(Debug, Error)]
pub(crate) enum SpaceError {
    /// A system call on a path failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The files cannot be read.
    #[error("cannot read the config space")]
    Read(#[from] HostError),
    /// Something that cannot be part of a space.
    #[error("{} is neither file, directory nor symbolic link; remove it from the space", .0.display())]
    Special(PathBuf),
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpaceError {
    let path = path.to_owned();
    move |source| SpaceError::Io { operation, path, source }
}

/// Every mistake in the space in `dir`.
pub(crate) fn check(dir: &Path) -> Result<Vec<Diagnostic>, SpaceError> {
    let tree = ConfigTree { files: read_space(dir)? };
    Ok(hostwright_plan::check(&tree))
}

/// Packs the space in `dir` into `files_dir`, under the digest of the archive.
///
/// The archive is a tar compressed by zstd: names sorted, owner and group 0, modes and times as they
/// are, nothing of version control. The same space gives the same bytes.
pub(crate) fn archive(dir: &Path, files_dir: &Path) -> Result<Blob, SpaceError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let tmp = files_dir.join(format!("new.{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    let file = File::create(&tmp).map_err(failed("create", &tmp))?;
    let digesting = Digesting { file, hasher: blake3::Hasher::new(), size_bytes: 0 };
    let zstd = zstd::Encoder::new(digesting, LEVEL).map_err(failed("write", &tmp))?;
    let mut tar = tar::Builder::new(zstd);
    pack_dir(&mut tar, dir, Path::new(""))?;
    let zstd = tar.into_inner().map_err(failed("write", &tmp))?;
    let written = zstd.finish().map_err(failed("write", &tmp))?;
    written.file.sync_all().map_err(failed("sync", &tmp))?;
    let digest = Digest(*written.hasher.finalize().as_bytes());
    let path = files_dir.join(digest.to_string());
    fs::rename(&tmp, &path).map_err(failed("rename to", &path))?;
    Ok(Blob { path: format!("/files/{digest}"), digest, size_bytes: written.size_bytes })
}

fn pack_dir<W: Write>(
    tar: &mut tar::Builder<W>,
    root: &Path,
    relative: &Path,
) -> Result<(), SpaceError> {
    let dir = root.join(relative);
    let list = |e| failed("list", &dir)(e);
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).map_err(list)? {
        names.push(entry.map_err(list)?.file_name());
    }
    names.sort_unstable();
    for name in names.into_iter().filter(|name| !NOT_PART.iter().any(|other| name == other)) {
        pack(tar, root, &relative.join(name))?;
    }
    Ok(())
}

fn pack<W: Write>(
    tar: &mut tar::Builder<W>,
    root: &Path,
    relative: &Path,
) -> Result<(), SpaceError> {
    let path = root.join(relative);
    let meta = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
    let mut header = header(&meta);
    let kind = meta.file_type();
    if kind.is_dir() {
        header.set_entry_type(EntryType::Directory);
        tar.append_data(&mut header, relative, io::empty()).map_err(failed("pack", &path))?;
        pack_dir(tar, root, relative)
    } else if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        let target = fs::read_link(&path).map_err(failed("read", &path))?;
        tar.append_link(&mut header, relative, target).map_err(failed("pack", &path))
    } else if kind.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_size(meta.len());
        let file = File::open(&path).map_err(failed("open", &path))?;
        // A file that changes its length meanwhile would spoil the archive.
        let file = Exactly { file, left: meta.len() };
        tar.append_data(&mut header, relative, file).map_err(failed("pack", &path))
    } else {
        Err(SpaceError::Special(path))
    }
}

fn header(meta: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(meta.mode() & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

/// Reads as many bytes as were announced, or fails.
struct Exactly {
    file: File,
    left: u64,
}

impl io::Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read(&mut buffer[..limit])?;
        if count == 0 && limit > 0 {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Writes to a file and tells what was written.
struct Digesting {
    file: File,
    hasher: blake3::Hasher,
    size_bytes: u64,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn write(path: &Path, text: &str, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn space(dir: &Path) {
        write(&dir.join("class/10-base"), "#!/bin/sh\necho BASE\n", 0o755);
        write(&dir.join("class/BASE.var"), "A=1\n", 0o644);
        write(&dir.join(".git/config"), "secret\n", 0o644);
        symlink("10-base", dir.join("class/20-more")).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        File::open(dir.join("class")).unwrap().set_modified(time).unwrap();
    }

    /// Goal: two machines get the same archive of the same space, with run bits, without history.
    #[test]
    fn the_same_space_gives_the_same_archive() {
        let files = tempfile::tempdir().unwrap();
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        space(one.path());
        space(two.path());
        // Links carry the time they were made at.
        let blobs = [one.path(), two.path()].map(|dir| {
            fs::remove_file(dir.join("class/20-more")).unwrap();
            File::open(dir.join("class")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
            archive(dir, files.path()).unwrap()
        });
        assert_eq!(blobs[0], blobs[1]);
    }

    #[test]
    fn the_archive_keeps_modes_and_links_and_drops_owners_and_history() {
        let files = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir().unwrap();
        space(dir.path());
        let blob = archive(dir.path(), files.path()).unwrap();
        let packed = fs::read(files.path().join(blob.digest.to_string())).unwrap();
        assert_eq!(packed.len() as u64, blob.size_bytes);
        assert_eq!(Digest(*blake3::hash(&packed).as_bytes()), blob.digest);
        let raw = zstd::stream::decode_all(&packed[..]).unwrap();
        let mut seen = Vec::new();
        for entry in tar::Archive::new(&raw[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            let path = entry.path().unwrap().display().to_string();
            seen.push((path, header.mode().unwrap() & 0o111 != 0, text.len()));
        }
        let paths: Vec<_> = seen.iter().map(|(path, ..)| path.as_str()).collect();
        let expected = ["class", "class/10-base", "class/20-more", "class/BASE.var"];
        assert_eq!(paths.iter().map(|p| p.trim_end_matches('/')).collect::<Vec<_>>(), expected);
        assert!(seen[1].1 && seen[1].2 == 20 && !seen[3].1, "{seen:?}");
    }
}
