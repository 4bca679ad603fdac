//! The blocks of a ready-made file system: where the files of an image lie in it, and what else is.
//!
//! Kept as an image of its own, which is named, signed, verified, pushed and collected like every
//! other. Of the files it holds only the places: their contents are the objects of the image they
//! belong to, so that a ready-made file system costs a store what its inodes and directories take.
//!
//! ```text
//! layout.json    size of the file system; for each file its extents; the extents of `rest`
//! rest           every block that was written and belongs to no file, one behind the other
//! ```
//!
//! Blocks are written in the order of the packs, so that each frame is decoded once; whoever made
//! the file system laid its files down in that order, too, so that they come out as large writes.

use crate::StoreError;
use crate::image::FetchedImage;
use crate::map::MapFrame;
use hostwright_model::image::{BlockRun, BlockSource, Entry, TreeSource as _};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes of a block. Everything is written in whole blocks.
const BLOCK_BYTES: u64 = 4096;
const BLOCK: usize = BLOCK_BYTES as usize;
/// Version of the format, raised when an older program would misread it.
const LAYOUT_VERSION: u32 = 1;
/// How much of packs makes a part, decoded.
const PART_BYTES: u64 = 4 << 20;
const LAYOUT: &str = "layout.json";
const REST: &str = "rest";

/// Blocks of a file that lie one behind the other in the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
pub struct BlockExtent {
    /// Its first block in the file.
    pub file_block: u64,
    /// Its first block in the file system.
    pub block: u64,
    /// How many blocks.
    pub count: u64,
}

impl From<(u64, u64, u64)> for BlockExtent {
    fn from((file_block, block, count): (u64, u64, u64)) -> Self {
        Self { file_block, block, count }
    }
}

impl From<BlockExtent> for (u64, u64, u64) {
    fn from(extent: BlockExtent) -> Self {
        (extent.file_block, extent.block, extent.count)
    }
}

#[derive(Serialize, Deserialize)]
struct Layout {
    version: u32,
    size_bytes: u64,
    /// By the number of the entry in the image's manifest.
    files: Vec<(u32, Vec<BlockExtent>)>,
    rest: Vec<BlockExtent>,
}

/// Writes what an image of a ready-made file system consists of into the directory `dir`.
///
/// `file_system` holds it, `written` are the parts of it that were ever written, and `files` says
/// where each file with content is, by the number of its entry.
pub fn write_blocks(
    dir: &Path,
    file_system: &File,
    size_bytes: u64,
    written: &[Range<u64>],
    files: Vec<(u32, Vec<BlockExtent>)>,
) -> Result<(), StoreError> {
    let mut taken: Vec<Range<u64>> = files
        .iter()
        .flat_map(|(_, extents)| extents.iter().map(|it| it.block..it.block + it.count))
        .collect();
    taken.sort_by_key(|range| range.start);
    let rest = extents_of(&without(written, &taken));
    let path = dir.join(REST);
    let mut out = BufWriter::new(File::create(&path).map_err(StoreError::io("create", &path))?);
    let mut block = [0; BLOCK];
    for number in rest.iter().flat_map(|extent| extent.block..extent.block + extent.count) {
        let read = file_system.read_exact_at(&mut block, number * BLOCK_BYTES);
        read.map_err(StoreError::io("read the file system for", &path))?;
        out.write_all(&block).map_err(StoreError::io("write", &path))?;
    }
    out.flush().map_err(StoreError::io("write", &path))?;
    let layout = Layout { version: LAYOUT_VERSION, size_bytes, files, rest };
    let json = serde_json::to_vec(&layout).expect("invariant: a layout is plain data");
    let path = dir.join(LAYOUT);
    fs::write(&path, json).map_err(StoreError::io("write", &path))
}

/// The blocks in the byte ranges `written` that are not in `taken`, which is sorted.
fn without(written: &[Range<u64>], taken: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    for range in written {
        let mut at = range.start / BLOCK_BYTES;
        let end = range.end.div_ceil(BLOCK_BYTES);
        let first = taken.partition_point(|it| it.end <= at);
        for hole in taken[first..].iter().take_while(|it| it.start < end) {
            if at < hole.start {
                left.push(at..hole.start);
            }
            at = at.max(hole.end);
        }
        if at < end {
            left.push(at..end);
        }
    }
    left
}

/// Ranges of blocks as the extents of a file that holds them one behind the other.
fn extents_of(ranges: &[Range<u64>]) -> Vec<BlockExtent> {
    let mut file_block = 0;
    let extent = |range: &Range<u64>| {
        let count = range.end - range.start;
        file_block += count;
        BlockExtent { file_block: file_block - count, block: range.start, count }
    };
    ranges.iter().map(extent).collect()
}

/// A piece of an object, and where it goes.
#[derive(Clone, Copy, Debug)]
struct Fragment {
    /// First byte in the file system.
    to: u64,
    /// Bytes from there to the end of its file.
    left: u64,
    bytes: u32,
    /// The number of its frame in the part, and its first byte there.
    frame: u32,
    start: u32,
}

/// What is decoded and written together.
#[derive(Default)]
struct Part {
    /// True for blocks that belong to no file.
    is_rest: bool,
    /// Pack and number of each frame.
    frames: Vec<(usize, usize)>,
    /// In the order of the file system.
    fragments: Vec<Fragment>,
}

impl Part {
    /// Bytes that its blocks take at most.
    fn room(&self) -> usize {
        let blocks = self.fragments.iter().map(|it| {
            let end = it.to % BLOCK_BYTES + u64::from(it.bytes);
            // One more, for a block that another part has begun.
            end.div_ceil(BLOCK_BYTES) as usize + 1
        });
        blocks.sum::<usize>() * BLOCK
    }
}

/// A ready-made file system with all its bytes at hand.
pub struct BlockImage {
    files: FetchedImage,
    rest: FetchedImage,
    size_bytes: u64,
    parts: Vec<Part>,
    /// Blocks of which one part has the beginning and another one the end.
    begun: Mutex<HashMap<u64, Begun>>,
    parts_left: AtomicUsize,
}

/// A block that is not whole yet.
struct Begun {
    bytes: Box<[u8; BLOCK]>,
    filled: u64,
    expected: u64,
}

impl BlockImage {
    /// The ready-made file system `blocks` with the contents of `files`, whose blocks it has.
    pub fn new(files: FetchedImage, blocks: FetchedImage) -> Result<Self, StoreError> {
        let layout = read_layout(&blocks)?;
        let mut placed = Vec::new();
        for (number, extents) in &layout.files {
            let entry = files.manifest().entries.get(*number as usize);
            let entry = entry.ok_or_else(|| bad("it names a file that the image lacks"))?;
            placed.push((entry, extents.as_slice()));
        }
        let is_placed = placed.iter().map(|(entry, _)| entry.size_bytes()).sum::<u64>();
        if is_placed != files.manifest().content_bytes() {
            return Err(bad("it is made of other files"));
        }
        let mut parts = parts_of(&files, &placed, layout.size_bytes, false)?;
        let entry = entry_named(&blocks, REST)?;
        // Last, so that what was cut off is not taken for a file system.
        parts.extend(parts_of(&blocks, &[(entry, &layout.rest)], layout.size_bytes, true)?);
        let parts_left = AtomicUsize::new(parts.len());
        let (rest, begun, size_bytes) = (blocks, Mutex::default(), layout.size_bytes);
        Ok(Self { files, rest, size_bytes, parts, begun, parts_left })
    }

    fn fill(&self, part: &Part, buffer: &mut [u8]) -> Result<Vec<BlockRun>, StoreError> {
        let image = if part.is_rest { &self.rest } else { &self.files };
        let frames = part.frames.iter().map(|(pack, frame)| image.verified_frame(*pack, *frame));
        let frames: Vec<Vec<u8>> = frames.collect::<Result<_, _>>()?;
        let mut filler =
            Filler { buffer, used: 0, runs: Vec::new(), open: None, begun: Vec::new() };
        for it in &part.fragments {
            let frame = &frames[it.frame as usize];
            filler.add(it, &frame[it.start as usize..(it.start + it.bytes) as usize])?;
        }
        filler.close();
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        for (to, block) in std::mem::take(&mut filler.begun) {
            let known = begun.remove(&to);
            let block = match known {
                Some(other) => block.and(&other)?,
                None => block,
            };
            match block.filled == block.expected {
                true => filler.append(to, BLOCK).copy_from_slice(&block.bytes[..]),
                false => drop(begun.insert(to, block)),
            }
        }
        if self.parts_left.fetch_sub(1, Ordering::Relaxed) == 1 && !begun.is_empty() {
            return Err(bad("it lacks parts of some blocks"));
        }
        Ok(filler.runs)
    }
}

impl Begun {
    /// With what another part had of it.
    fn and(mut self, other: &Self) -> Result<Self, StoreError> {
        self.bytes.iter_mut().zip(other.bytes.iter()).for_each(|(mine, its)| *mine |= its);
        self.filled += other.filled;
        match self.filled <= self.expected && self.expected == other.expected {
            true => Ok(self),
            false => Err(bad("two files are in one block")),
        }
    }
}

impl BlockSource for BlockImage {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn content_bytes(&self) -> u64 {
        let fragments = self.parts.iter().flat_map(|part| &part.fragments);
        fragments.map(|it| u64::from(it.bytes)).sum()
    }

    fn parts(&self) -> usize {
        self.parts.len()
    }

    fn part_bytes_max(&self) -> usize {
        self.parts.iter().map(Part::room).max().unwrap_or_default()
    }

    fn read_part(&self, number: usize, buffer: &mut [u8]) -> io::Result<Vec<BlockRun>> {
        let filled = self.fill(&self.parts[number], buffer);
        filled.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

fn bad(reason: &str) -> StoreError {
    StoreError::corrupt(LAYOUT, reason)
}

fn entry_named<'a>(image: &'a FetchedImage, path: &str) -> Result<&'a Entry, StoreError> {
    let entry = image.manifest().entries.iter().find(|entry| entry.path == path);
    entry.ok_or_else(|| StoreError::Missing { object: path.to_owned() })
}

fn read_layout(blocks: &FetchedImage) -> Result<Layout, StoreError> {
    let entry = entry_named(blocks, LAYOUT)?;
    let mut json = Vec::new();
    let read = blocks.open(entry).and_then(|mut content| content.read_to_end(&mut json));
    read.map_err(StoreError::io("read", Path::new(LAYOUT)))?;
    let layout: Layout = serde_json::from_slice(&json).map_err(|error| bad(&error.to_string()))?;
    match layout.version == LAYOUT_VERSION {
        true => Ok(layout),
        false => Err(bad("another version of this program wrote it")),
    }
}

/// Where the bytes of each object of an image go, in parts of some frames each.
fn parts_of(
    image: &FetchedImage,
    placed: &[(&Entry, &[BlockExtent])],
    size_bytes: u64,
    is_rest: bool,
) -> Result<Vec<Part>, StoreError> {
    let mut uses: HashMap<u32, Vec<(usize, u64)>> = HashMap::new();
    for (file, (entry, _)) in placed.iter().enumerate() {
        let mut offset = 0;
        for piece in image.manifest().pieces(entry) {
            uses.entry(image.number_of_object(piece)).or_default().push((file, offset));
            offset += u64::from(piece.length);
        }
    }
    let mut parts = Vec::new();
    let mut part = Part { is_rest, ..Part::default() };
    let mut decoded = 0;
    for (pack, number, frame) in image.frames() {
        let at = part.frames.len() as u32;
        let before = part.fragments.len();
        for (object, start, bytes) in objects_of(image, pack, number, frame) {
            for (file, offset) in uses.get(&object).into_iter().flatten() {
                let (entry, extents) = placed[*file];
                let left = entry.size_bytes() - offset;
                let whole = Fragment { to: *offset, left, bytes, frame: at, start };
                place(whole, extents, size_bytes, &mut part.fragments)?;
            }
        }
        if part.fragments.len() == before {
            continue;
        }
        part.frames.push((pack, number));
        decoded += u64::from(frame.raw_length);
        if decoded >= PART_BYTES {
            parts.push(std::mem::replace(&mut part, Part { is_rest, ..Part::default() }));
            decoded = 0;
        }
    }
    parts.push(part);
    parts.retain(|part| !part.frames.is_empty());
    parts.iter_mut().for_each(|part| part.fragments.sort_by_key(|it| it.to));
    Ok(parts)
}

/// The objects that are read from a frame: number, first byte, length. A map may name an object
/// twice; it is read where the image reads it.
fn objects_of(
    image: &FetchedImage,
    pack: usize,
    number: usize,
    frame: &MapFrame,
) -> Vec<(u32, u32, u32)> {
    let held = image.held(frame).into_iter();
    let is_here = |object: u32, start: u32| image.is_read_at(object, pack, number, start);
    let here = held.filter(|(object, start, _)| is_here(*object, *start));
    let mut here: Vec<_> = here.collect();
    here.dedup();
    here
}

/// Cuts a fragment, whose `to` is still its offset in its file, at the ends of the file's extents.
fn place(
    whole: Fragment,
    extents: &[BlockExtent],
    size_bytes: u64,
    fragments: &mut Vec<Fragment>,
) -> Result<(), StoreError> {
    let (mut rest, end) = (whole, whole.to + u64::from(whole.bytes));
    for extent in extents {
        let begin = extent.file_block * BLOCK_BYTES;
        let stop = begin.saturating_add(extent.count.saturating_mul(BLOCK_BYTES));
        if rest.to < begin || rest.to >= stop.min(end) {
            continue;
        }
        let bytes = (stop.min(end) - rest.to) as u32;
        let to = extent.block * BLOCK_BYTES + (rest.to - begin);
        if to + u64::from(bytes) > size_bytes {
            return Err(bad("a block is behind the end of the file system"));
        }
        fragments.push(Fragment { to, bytes, ..rest });
        rest.to += u64::from(bytes);
        rest.left -= u64::from(bytes);
        rest.start += bytes;
        rest.bytes -= bytes;
    }
    match rest.bytes {
        0 => Ok(()),
        _ => Err(bad("it does not say where all of a file is")),
    }
}

/// Puts fragments, which come in the order of the file system, into whole blocks.
struct Filler<'a> {
    buffer: &'a mut [u8],
    used: usize,
    runs: Vec<BlockRun>,
    /// The last block of the buffer, while it is not whole.
    open: Option<(u64, Open)>,
    begun: Vec<(u64, Begun)>,
}

/// How much of a block is there, and how much a file has in it.
struct Open {
    filled: u64,
    expected: u64,
}

impl Filler<'_> {
    fn add(&mut self, fragment: &Fragment, mut bytes: &[u8]) -> Result<(), StoreError> {
        let (mut to, mut left) = (fragment.to, fragment.left);
        while !bytes.is_empty() {
            let inside = (to % BLOCK_BYTES) as usize;
            let count = match inside == 0 && bytes.len() >= BLOCK {
                true => bytes.len() / BLOCK * BLOCK,
                false => bytes.len().min(BLOCK - inside),
            };
            let (now, later) = bytes.split_at(count);
            if count >= BLOCK {
                self.close();
                self.append(to, count).copy_from_slice(now);
            } else {
                self.add_to_block(to - inside as u64, inside, left, now)?;
            }
            to += count as u64;
            left -= count as u64;
            bytes = later;
        }
        Ok(())
    }

    fn add_to_block(
        &mut self,
        block: u64,
        inside: usize,
        left: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != block) {
            self.close();
            self.append(block, BLOCK).fill(0);
            let expected = BLOCK_BYTES.min(inside as u64 + left);
            self.open = Some((block, Open { filled: 0, expected }));
        }
        let start = self.used - BLOCK + inside;
        self.buffer[start..start + bytes.len()].copy_from_slice(bytes);
        let (_, open) = self.open.as_mut().expect("invariant: opened just now");
        open.filled += bytes.len() as u64;
        if open.filled > open.expected {
            return Err(bad("two files are in one block"));
        }
        if open.filled == open.expected {
            self.open = None;
        }
        Ok(())
    }

    /// Takes a block that is not whole out of the buffer: another part has the rest of it.
    fn close(&mut self) {
        let Some((to, Open { filled, expected })) = self.open.take() else { return };
        self.used -= BLOCK;
        let mut bytes = Box::new([0; BLOCK]);
        bytes.copy_from_slice(&self.buffer[self.used..self.used + BLOCK]);
        self.begun.push((to, Begun { bytes, filled, expected }));
        let run = self.runs.last_mut().expect("invariant: the block is in a run");
        run.bytes -= BLOCK;
        if run.bytes == 0 {
            self.runs.pop();
        }
    }

    /// Room for whole blocks that go to `to`.
    fn append(&mut self, to: u64, bytes: usize) -> &mut [u8] {
        let start = self.used;
        self.used += bytes;
        match self.runs.last_mut() {
            Some(run) if run.to + run.bytes as u64 == to => run.bytes += bytes,
            _ => self.runs.push(BlockRun { to, start, bytes }),
        }
        &mut self.buffer[start..start + bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_file_has_is_left() {
        let block = |range: Range<u64>| range.start * BLOCK_BYTES..range.end * BLOCK_BYTES;
        let written = [block(0..10), block(20..21)];
        assert_eq!(without(&written, &[2..4, 9..12]), [0..2, 4..9, 20..21]);
        assert_eq!(without(&written, &[0..15, 15..30]), []);
        assert_eq!(without(&written, &[]), [0..10, 20..21]);
    }

    #[test]
    fn a_fragment_is_cut_where_its_file_is() {
        let extents = [(0, 100, 1), (1, 50, 2)].map(BlockExtent::from);
        let whole = Fragment { to: 1000, left: 9000, bytes: 9000, frame: 0, start: 7 };
        let mut cut = Vec::new();
        place(whole, &extents, 1 << 20, &mut cut).unwrap();
        let seen: Vec<_> = cut.iter().map(|it| (it.to, it.bytes, it.left, it.start)).collect();
        let first = 100 * BLOCK_BYTES + 1000;
        assert_eq!(seen, [(first, 3096, 9000, 7), (50 * BLOCK_BYTES, 5904, 5904, 3103)]);
        place(whole, &extents[..1], 1 << 20, &mut cut).unwrap_err();
        place(whole, &extents, 60 * BLOCK_BYTES, &mut cut).unwrap_err();
    }
}
