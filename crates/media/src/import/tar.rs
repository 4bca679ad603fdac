//! Reads tar archives as streams: ustar, GNU and pax headers, hard links, devices, extended
//! attributes.

use super::ImportError;
use super::pax::Records;
use ::tar::Header;
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

const BLOCK_BYTES: u64 = 512;
/// No name, link or extended header is longer.
const MAX_EXTENSION_BYTES: u64 = 4 << 20;
/// Stands for the digest of a file whose content has not been read yet.
const UNREAD: Digest = Digest([0; 32]);

/// Told of each entry, with its content.
pub(super) type OnEntry<'a> = &'a mut dyn FnMut(Entry, &mut dyn Read) -> Result<(), ImportError>;

/// Reads an archive to its end. `path` is what errors are about.
pub(super) fn read(
    input: &mut dyn Read,
    path: &Path,
    on_entry: OnEntry<'_>,
) -> Result<(), ImportError> {
    let mut global = Records::default();
    let mut extra = Extra::default();
    while let Some(block) = next_header(input, path)? {
        let header = Header::from_byte_slice(&block[..]);
        let bad = |reason: String| ImportError::content(path, reason);
        let kind = header.entry_type().as_byte();
        let size = header.entry_size().map_err(|e| bad(e.to_string()))?;
        match kind {
            b'g' => global.read(&extension(input, path, size)?).map_err(bad)?,
            b'x' => {
                extra.records = Some(global.clone());
                let records = extra.records.get_or_insert_default();
                records.read(&extension(input, path, size)?).map_err(bad)?;
            }
            b'L' => extra.name = Some(until_nul(extension(input, path, size)?)),
            b'K' => extra.link = Some(until_nul(extension(input, path, size)?)),
            // A label of the volume.
            b'V' => skip(input, path, size)?,
            _ => {
                let extra = std::mem::take(&mut extra);
                let records = extra.records.clone().unwrap_or_else(|| global.clone());
                let size = records.number("size").unwrap_or(size);
                // Only files have content; what else says that it has some means something else.
                let size = if matches!(kind, 0 | b'0' | b'7') { size } else { 0 };
                let entry = entry(header, &extra, &records, size).map_err(bad)?;
                let mut content = input.take(size);
                on_entry(entry, &mut content)?;
                let left = content.limit();
                skip(input, path, left + padding(size))?;
            }
        }
        if matches!(kind, b'g' | b'x' | b'L' | b'K' | b'V') {
            skip(input, path, padding(size))?;
        }
    }
    Ok(())
}

/// The name of the first entry that tells what an archive holds: directories in which an OCI image
/// and any tree may begin do not. `None` for an archive without entries.
pub(super) fn first_name(input: &mut dyn Read) -> Result<Option<String>, ImportError> {
    const SAYS_NOTHING: [&str; 3] = ["", "blobs", "blobs/sha256"];
    let (mut found, mut is_known) = (None, false);
    let outcome = read(input, Path::new("archive"), &mut |entry, _| {
        is_known = !SAYS_NOTHING.contains(&entry.path.as_str());
        found = Some(entry.path);
        match is_known {
            // Enough is known: the rest need not be read.
            true => Err(ImportError::Unknown { path: "archive".into() }),
            false => Ok(()),
        }
    });
    if is_known { Ok(found) } else { outcome.map(|()| found) }
}

/// What the headers in front of an entry's own say.
#[derive(Default)]
struct Extra {
    records: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// The next header; `None` at the end. Two blocks of zeros end an archive, and so does its file.
fn next_header(
    input: &mut dyn Read,
    path: &Path,
) -> Result<Option<Box<[u8; BLOCK_BYTES as usize]>>, ImportError> {
    let mut block = Box::new([0; BLOCK_BYTES as usize]);
    let mut filled = 0;
    while filled < block.len() {
        match input.read(&mut block[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(ImportError::content(path, "it ends in the middle of a header")),
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(ImportError::io("read", path)(e)),
        }
    }
    if block.iter().all(|byte| *byte == 0) {
        // What is behind is padding; it has to be read so that compressed streams are checked.
        io::copy(input, &mut io::sink()).map_err(ImportError::io("read", path))?;
        return Ok(None);
    }
    let header = Header::from_byte_slice(&block[..]);
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    // The checksum counts as spaces.
    let found = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
    match header.cksum() {
        Ok(wanted) if wanted == found => Ok(Some(block)),
        _ => Err(ImportError::content(path, "it is no tar archive, or a damaged one")),
    }
}

fn extension(input: &mut dyn Read, path: &Path, size: u64) -> Result<Vec<u8>, ImportError> {
    if size > MAX_EXTENSION_BYTES {
        return Err(ImportError::content(path, format!("a header of it has {size} bytes")));
    }
    let mut bytes = Vec::new();
    input.take(size).read_to_end(&mut bytes).map_err(ImportError::io("read", path))?;
    match bytes.len() as u64 == size {
        true => Ok(bytes),
        false => Err(ImportError::content(path, "it ends in the middle of a header")),
    }
}

fn skip(input: &mut dyn Read, path: &Path, length: u64) -> Result<(), ImportError> {
    let skipped = io::copy(&mut input.take(length), &mut io::sink());
    match skipped.map_err(ImportError::io("read", path))? == length {
        true => Ok(()),
        false => Err(ImportError::content(path, "it ends in the middle of a file")),
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK_BYTES) - size
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn entry(header: &Header, extra: &Extra, records: &Records, size: u64) -> Result<Entry, String> {
    let name = records.bytes("path").map(<[u8]>::to_vec).or_else(|| extra.name.clone());
    let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
    let (path, is_dir) = clean(&name)?;
    let said = |e: io::Error| format!("{path}: {e}");
    if records.has_any("GNU.sparse.") || header.entry_type().is_gnu_sparse() {
        return Err(format!("{path} is stored sparse; make the archive without --sparse"));
    }
    let id = |key: &str, value: io::Result<u64>| -> Result<u32, String> {
        let value = records.number(key).map_or(value, Ok).map_err(said)?;
        u32::try_from(value).map_err(|_| format!("{path}: no system has the {key} {value}"))
    };
    let mtime = match records.seconds("mtime") {
        Some(seconds) => seconds,
        None => header.mtime().map_err(said)?.cast_signed(),
    };
    let kind = kind(header, extra, records, size, is_dir).map_err(|e| format!("{path}: {e}"))?;
    let xattrs = match kind {
        EntryKind::Hardlink { .. } => BTreeMap::new(),
        _ => records.xattrs().map_err(|e| format!("{path}: {e}"))?,
    };
    Ok(Entry {
        mode: header.mode().map_err(said)? & 0o7777,
        uid: id("uid", header.uid())?,
        gid: id("gid", header.gid())?,
        mtime,
        xattrs,
        kind,
        path: path.clone(),
    })
}

fn kind(
    header: &Header,
    extra: &Extra,
    records: &Records,
    size: u64,
    is_dir: bool,
) -> Result<EntryKind, String> {
    let link = || {
        let link = records.bytes("linkpath").map(<[u8]>::to_vec).or_else(|| extra.link.clone());
        link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned())
    };
    let device = || -> Result<(u32, u32), String> {
        let part = |number: io::Result<Option<u32>>| number.ok().flatten();
        let both = (part(header.device_major()), part(header.device_minor()));
        both.0.zip(both.1).ok_or_else(|| "its device numbers are broken".to_owned())
    };
    Ok(match header.entry_type().as_byte() {
        // Before POSIX a directory was a file whose name ends in a slash.
        0 | b'0' | b'7' if is_dir => EntryKind::Directory,
        0 | b'0' | b'7' => EntryKind::File { size, digest: UNREAD },
        b'1' => EntryKind::Hardlink { target: clean(&link())?.0 },
        b'2' => EntryKind::Symlink {
            target: String::from_utf8(link()).map_err(|_| "its target is not UTF-8")?,
        },
        b'3' => device().map(|(major, minor)| EntryKind::CharDevice { major, minor })?,
        b'4' => device().map(|(major, minor)| EntryKind::BlockDevice { major, minor })?,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => return Err(format!("its kind '{}' is not known", char::from(other))),
    })
}

/// A path relative to the root, and whether it ended in a slash. One that leads out is an error.
pub(super) fn clean(name: &[u8]) -> Result<(String, bool), String> {
    let shown = || String::from_utf8_lossy(name);
    let text = str::from_utf8(name).map_err(|_| format!("the name '{}' is not UTF-8", shown()))?;
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    match parts.contains(&"..") {
        true => Err(format!("the name '{}' leads out of the archive", shown())),
        false => Ok((parts.join("/"), text.ends_with('/'))),
    }
}
