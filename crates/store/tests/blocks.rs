//! A ready-made file system comes out of a store block for block as it went in.

use hostwright_model::image::{BlockSource, EntryKind, TreeSource as _};
use hostwright_store::{
    AddOptions, BlockExtent, BlockImage, FetchedImage, Store, StoreError, write_blocks,
};
use proptest::prelude::*;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use tempfile::TempDir;

const BLOCK: u64 = 4096;
const QUIET: &(dyn Fn(u64, u64) + Sync) = &|_, _| {};

/// Bytes that do not compress.
fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// A store with an image of some files, and a file that looks like a file system with them in it.
struct Bench {
    dir: TempDir,
    store: Store,
    disk: Vec<u8>,
}

impl Bench {
    /// Files of these lengths, each in pieces of at most `piece` blocks, from the end to the
    /// beginning of the disk, with a block of something else behind each.
    fn new(lengths: &[usize], piece: u64) -> Result<Self, StoreError> {
        let dir = TempDir::new().expect("tempdir");
        let (tree, blocks) = (dir.path().join("tree"), dir.path().join("blocks"));
        fs::create_dir(&tree).expect("mkdir");
        fs::create_dir(&blocks).expect("mkdir");
        for (number, length) in lengths.iter().enumerate() {
            // Every third one is like another one.
            let content = noise(*length, (number - number % 3 / 2) as u8);
            fs::write(tree.join(format!("{number:03}")), content).expect("write");
        }
        let store = Store::open(dir.path().join("store"))?;
        store.add_tree(&tree, "web", &AddOptions::default(), QUIET)?;
        let image = store.image(store.resolve("web")?.manifest)?;
        let (disk, files) = scatter(&tree, &image, piece);
        let path = dir.path().join("disk");
        fs::write(&path, &disk).expect("write");
        let file = File::open(&path).expect("open");
        #[allow(clippy::single_range_in_vec_init, reason = "one range is meant")]
        let written = [0..disk.len() as u64];
        write_blocks(&blocks, &file, disk.len() as u64, &written, files)?;
        store.add_tree(&blocks, "web.ext4", &AddOptions::default(), QUIET)?;
        Ok(Self { dir, store, disk })
    }

    fn open(&self) -> Result<BlockImage, StoreError> {
        let image = |name: &str| self.store.image(self.store.resolve(name)?.manifest);
        BlockImage::new(image("web")?, image("web.ext4")?)
    }
}

type Places = Vec<(u32, Vec<BlockExtent>)>;

fn scatter(tree: &Path, image: &FetchedImage, piece: u64) -> (Vec<u8>, Places) {
    let entries = image.entries();
    let blocks = |size: u64| size.div_ceil(BLOCK);
    let total: u64 = entries.iter().map(|entry| 2 * blocks(entry.size_bytes()) + 2).sum();
    let mut disk = noise((total * BLOCK) as usize, 250);
    let (mut next, mut files) = (total, Places::new());
    for (number, entry) in (0..).zip(entries).filter(|(_, entry)| entry.size_bytes() > 0) {
        assert!(matches!(entry.kind, EntryKind::File { .. }));
        let mut content = fs::read(tree.join(&entry.path)).expect("read");
        content.resize((blocks(entry.size_bytes()) * BLOCK) as usize, 0);
        let mut extents = Vec::new();
        for (first, part) in
            (0..).step_by(piece as usize).zip(content.chunks((piece * BLOCK) as usize))
        {
            let count = part.len() as u64 / BLOCK;
            next -= count + 1;
            let at = (next * BLOCK) as usize;
            disk[at..at + part.len()].copy_from_slice(part);
            extents.push(BlockExtent { file_block: first, block: next, count });
        }
        files.push((number, extents));
    }
    (disk, files)
}

/// Everything, in an order in which threads might come to it.
fn lay(source: &BlockImage, backwards: bool) -> std::io::Result<Vec<u8>> {
    let mut disk = vec![0xee; source.size_bytes() as usize];
    let mut buffer = vec![0xdd; source.part_bytes_max()];
    let mut parts: Vec<usize> = (0..source.parts()).collect();
    if backwards {
        parts.reverse();
    }
    for part in parts {
        for run in source.read_part(part, &mut buffer)? {
            assert_eq!((run.to % BLOCK, run.bytes as u64 % BLOCK), (0, 0), "whole blocks");
            let at = run.to as usize;
            disk[at..at + run.bytes].copy_from_slice(&buffer[run.start..run.start + run.bytes]);
        }
    }
    Ok(disk)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_block_comes_back(
        lengths in prop::collection::vec(
            prop_oneof![1usize..20_000, Just(4096), Just(8192), 1_000_000usize..3_000_000],
            1..12,
        ),
        piece in prop_oneof![Just(1u64 << 20), 1u64..40],
        backwards: bool,
    ) {
        let bench = Bench::new(&lengths, piece).unwrap();
        let disk = lay(&bench.open().unwrap(), backwards).unwrap();
        prop_assert!(disk == bench.disk, "some block differs");
    }
}

#[test]
fn a_changed_pack_is_noticed_before_its_blocks_are_handed_over() {
    let bench = Bench::new(&[300_000, 2_000_000, 5], 1000).expect("makes");
    let packs = fs::read_dir(bench.dir.path().join("store/packs")).expect("packs");
    for pack in packs.flatten() {
        let file = File::options().write(true).open(pack.path()).expect("opens");
        file.write_all_at(b"changed", 20_000).expect("writes");
    }
    let laid = bench.open().map(|source| lay(&source, false).map(drop));
    assert!(!matches!(laid, Ok(Ok(()))), "it was laid down");
}

#[test]
fn the_blocks_of_another_image_are_refused() {
    let bench = Bench::new(&[300_000, 5], 1000).expect("makes");
    fs::write(bench.dir.path().join("tree/more"), "more").expect("writes");
    let tree = bench.dir.path().join("tree");
    bench.store.add_tree(&tree, "web", &AddOptions::default(), QUIET).expect("adds");
    let error = bench.open().err().expect("refuses");
    assert!(error.to_string().contains("layout.json"), "{error}");
}
