//! Where a file lies on its file system (FIEMAP), and which parts of a sparse file are there.

use crate::HostError;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;

/// `FS_IOC_FIEMAP` of linux/fs.h.
const FIEMAP: libc::c_ulong = 0xC020_660B;
/// Flags of linux/fiemap.h: write the file first; the last extent; everything that makes an extent
/// something else than plain blocks: unknown place, not written yet, encoded, encrypted, not aligned,
/// inside of an inode or a tail.
const FLAG_SYNC: u32 = 1;
const EXTENT_LAST: u32 = 1;
const EXTENT_ODD: u32 = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800;
/// How many extents are asked for at a time.
const EXTENTS: usize = 128;

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// `struct fiemap`.
#[repr(C)]
struct Request {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    extents: [RawExtent; EXTENTS],
}

const _: () = assert!(size_of::<RawExtent>() == 56 && size_of::<Request>() == 32 + EXTENTS * 56);

/// A part of a file that lies in one piece on its file system; all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileExtent {
    /// Where it begins in the file.
    pub offset: u64,
    /// Where it begins in the file system.
    pub place: u64,
    /// How long it is.
    pub length: u64,
}

/// Where the content of the file at `path` is. Fails for content that is not in plain blocks.
pub fn of_file(path: &str) -> Result<Vec<FileExtent>, HostError> {
    let failed =
        |source| HostError::Io { operation: "find the blocks of", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let (mut found, mut start) = (Vec::new(), 0);
    loop {
        let extents = ask(&file, start).map_err(failed)?;
        let Some(last) = extents.last().copied() else { return Ok(found) };
        for extent in &extents {
            if extent.flags & EXTENT_ODD != 0 {
                return Err(failed(io::Error::other("its content is not in plain blocks")));
            }
            let RawExtent { logical, physical, length, .. } = *extent;
            found.push(FileExtent { offset: logical, place: physical, length });
        }
        if last.flags & EXTENT_LAST != 0 {
            return Ok(found);
        }
        start = last.logical + last.length;
    }
}

fn ask(file: &File, start: u64) -> io::Result<Vec<RawExtent>> {
    let mut request = Request {
        start,
        length: u64::MAX - start,
        flags: FLAG_SYNC,
        mapped: 0,
        count: EXTENTS as u32,
        reserved: 0,
        extents: [RawExtent::default(); EXTENTS],
    };
    // SAFETY: the kernel reads the header and writes at most `count` extents behind it, for which
    // there is room.
    #[expect(unsafe_code, reason = "rustix has no FIEMAP")]
    let status = unsafe { libc::ioctl(file.as_raw_fd(), FIEMAP, &raw mut request) };
    match status {
        0 => Ok(request.extents[..request.mapped as usize].to_vec()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The parts of a sparse file that are not holes, in bytes.
pub fn data_ranges(file: &File) -> Result<Vec<Range<u64>>, HostError> {
    let failed = |error: Errno| HostError::Io {
        operation: "find the holes of",
        path: "a sparse file".to_owned(),
        source: error.into(),
    };
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(found),
            Err(error) => return Err(failed(error)),
        };
        at = rustix::fs::seek(file, SeekFrom::Hole(start)).map_err(failed)?;
        found.push(start..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn holes_are_no_data() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(&[1; 4096], 256 << 10).unwrap();
        let ranges = data_ranges(&file).unwrap();
        let holds = |at: u64| ranges.iter().any(|range| range.contains(&at));
        assert!(holds(256 << 10), "{ranges:?}");
        // Some file systems have no holes; then everything is data.
        let is_whole = ranges.len() == 1 && ranges[0] == (0..1 << 20);
        assert!(is_whole || !holds(0), "{ranges:?}");
    }
}
