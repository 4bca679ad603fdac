//! Copies of a store: mirrors that fail or lie, a cache in front, pulls, and healing.

use hostwright_store::{
    AddOptions, Cached, DirSource, Failover, HttpOptions, HttpSource, PullOptions, Source, Store,
    StoreError, fetch, read_range_good,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

const QUIET: &(dyn Fn(u64, u64) + Sync) = &|_, _| {};

struct Site {
    dir: TempDir,
    store: Store,
}

impl Site {
    fn new() -> Self {
        let dir = TempDir::new().expect("tempdir");
        fs::create_dir(dir.path().join("tree")).expect("mkdir");
        let store = Store::open(dir.path().join("store")).expect("store");
        Self { dir, store }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn write(&self, name: &str, content: &[u8]) -> &Self {
        fs::write(self.dir.path().join("tree").join(name), content).expect("write");
        self
    }

    /// Adds the tree, with times that are the same at every site.
    fn add(&self, name: &str) -> hostwright_model::ids::Digest {
        let tree = self.dir.path().join("tree");
        let files = fs::read_dir(&tree).expect("dir").map(|entry| entry.expect("entry").path());
        for path in files.chain([tree.clone()]) {
            let file = fs::File::open(path).expect("open");
            file.set_modified(std::time::UNIX_EPOCH).expect("time");
        }
        self.store.add_tree(&tree, name, &AddOptions::default(), QUIET).expect("add").manifest
    }

    fn source(&self) -> DirSource {
        DirSource::new(self.root())
    }

    /// The store of another site, which is copied.
    fn copy_of(other: &Self) -> Self {
        let site = Self::new();
        for dir in ["packs", "manifests", "maps", "refs"] {
            for entry in fs::read_dir(other.root().join(dir)).expect("dir") {
                let path = entry.expect("entry").path();
                let to = site.root().join(dir).join(path.file_name().expect("name"));
                fs::copy(&path, to).expect("copy");
            }
        }
        site
    }

    /// The only file in a directory of the store.
    fn only(&self, dir: &str) -> PathBuf {
        let mut files: Vec<PathBuf> = fs::read_dir(self.root().join(dir))
            .expect("dir")
            .map(|entry| entry.expect("entry").path())
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }
}

fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("read");
    bytes[at] ^= 1;
    fs::write(file, bytes).expect("write");
}

/// Counts the bytes that a source gives.
struct Meter {
    source: DirSource,
    bytes: std::sync::Arc<AtomicU64>,
}

impl Meter {
    fn of(site: &Site) -> (Self, std::sync::Arc<AtomicU64>) {
        let bytes = std::sync::Arc::new(AtomicU64::new(0));
        (Self { source: site.source(), bytes: bytes.clone() }, bytes)
    }
}

impl Source for Meter {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.source.read(path)?;
        self.bytes.fetch_add(read.as_ref().map_or(0, Vec::len) as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.bytes.fetch_add(length, Ordering::Relaxed);
        self.source.read_range(path, offset, length)
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.source.length(path)
    }
}

#[test]
fn a_dead_and_a_lying_mirror_are_passed_over() {
    let good = Site::new();
    let image = good.write("base", &noise(3_000_000, 1)).add("web");
    let bad = Site::copy_of(&good);
    for (dir, at) in [("manifests", 50), ("maps", 50), ("packs", 900_000)] {
        flip(&bad.only(dir), at);
    }
    // Nobody listens on a port that was just given back.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("port");
    let options = HttpOptions { tries: 1, roots: None };
    let dead = HttpSource::open(format!("http://{port}/store"), &options).expect("source");
    let mirrors: Vec<Box<dyn Source + Send>> =
        vec![Box::new(dead), Box::new(bad.source()), Box::new(good.source())];
    let all = Failover::new(mirrors);
    let site = Site::new();
    let key = Some(good.store.public_key().expect("key"));
    site.store.pull(&all, "web", PullOptions { key }, QUIET).expect("pull");
    site.store.verify("web", QUIET).expect("whole");
    let error = read_range_good(&all, "packs/none", 0, 1, &|_| Ok(())).expect_err("nowhere");
    assert!(matches!(error, StoreError::Remote { .. }), "the dead one may have it: {error}");

    let only_bad = Failover::new(vec![Box::new(bad.source()) as Box<dyn Source + Send>]);
    let cache = TempDir::new().expect("tempdir");
    let error = fetch(&only_bad, image, cache.path(), QUIET).err().expect("damaged");
    assert!(error.to_string().starts_with("manifests/"), "{error}");
}

#[test]
fn a_cache_gives_what_it_has_keeps_to_its_limit_and_drops_what_is_wrong() {
    let site = Site::new();
    let image = site.write("base", &noise(9_000_000, 1)).add("web");
    let dirs = TempDir::new().expect("tempdir");
    let cache_dir = dirs.path().join("cache");
    let (meter, bytes) = Meter::of(&site);
    let cached = Cached::new(Box::new(meter), &cache_dir, 64 << 20).expect("cache");
    let whole = fs::read(site.only("packs")).expect("read");
    let path = format!("packs/{}", site.only("packs").file_name().expect("name").display());
    for (offset, length) in [(0, 10), (1_048_570, 20), (5_000_000, 3_000_000), (8_999_000, 999)] {
        let part = cached.read_range(&path, offset as u64, length as u64).expect("range");
        assert!(part == whole[offset..offset + length], "{offset}, {length}");
    }
    let past_the_end = cached.read_range(&path, whole.len() as u64 - 1, 2);
    assert!(matches!(past_the_end, Err(StoreError::Corrupt { .. })));
    fetch(&cached, image, &dirs.path().join("first"), QUIET).expect("fetch");
    let before = bytes.load(Ordering::Relaxed);
    // What the disk of the cache has changed is fetched again.
    let block = cache_dir.join(format!("{}+3", path.replace('/', "+")));
    flip(&block, 500_000);
    fetch(&cached, image, &dirs.path().join("second"), QUIET).expect("fetch");
    let map = fs::metadata(site.only("maps")).expect("map").len();
    assert_eq!(bytes.load(Ordering::Relaxed) - before, map + (1 << 20));

    // What came wrong is dropped when who reads it says so.
    let calls = AtomicU64::new(0);
    let check = |_: &[u8]| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Err(StoreError::Missing { object: "wrong".to_owned() }),
        _ => Ok(()),
    };
    read_range_good(&cached, &path, 0, 100, &check).expect("from behind the cache");
    assert!(!block.exists());

    let small_dir = dirs.path().join("small");
    let small = Cached::new(Box::new(site.source()), &small_dir, 4 << 20).expect("cache");
    for block in 0..8 {
        small.read_range(&path, block << 20, 1 << 20).expect("range");
        let held: u64 = fs::read_dir(&small_dir)
            .expect("dir")
            .map(|entry| entry.expect("entry").metadata().expect("meta").len())
            .sum();
        assert!(held <= (4 << 20) + (1 << 20), "{held} bytes after block {block}");
    }
}

#[test]
fn a_pull_brings_objects_where_little_of_a_pack_is_missing() {
    let (build, site) = (Site::new(), Site::new());
    // The site has most of the content already, in a pack of its own.
    build.write("base", &noise(6_000_000, 1)).write("new", &noise(300_000, 2)).add("web");
    site.write("base", &noise(6_000_000, 1)).add("mine");
    let key = Some(build.store.public_key().expect("key"));
    let pulled = site.store.pull(&build.source(), "web", PullOptions { key }, QUIET).expect("pull");
    assert!(pulled.received_bytes < 1_400_000, "{pulled:?}");
    assert_eq!(pulled.at_hand_bytes, 6_000_000);
    site.store.verify("web", QUIET).expect("whole");
    assert_eq!(
        build.store.resolve("web").expect("there").manifest,
        site.store.resolve("web").expect("here").manifest
    );
}

#[test]
fn a_pack_that_holds_what_it_should_not_is_refused_though_its_name_is_right() {
    let (build, site) = (Site::new(), Site::new());
    let (right, wrong) = (noise(5000, 1), noise(5000, 2));
    build.write("passwd", &right).add("web");
    // The attacker has no key, but the bucket: the pack keeps its form, its table lies.
    let pack = fs::read(build.only("packs")).expect("read");
    let frame = zstd::bulk::compress(&wrong, 3).expect("zstd");
    let (object, length) = (blake3::hash(&right), frame.len());
    let table = format!(r#"[{{"offset":0,"length":{length},"objects":[["{object}",5000]]}}]"#);
    let table = zstd::bulk::compress(table.as_bytes(), 3).expect("zstd");
    let trailer = pack[pack.len() - 8..].to_vec();
    let forged = [&frame[..], &table, &(table.len() as u64).to_le_bytes(), &trailer].concat();
    let name = blake3::hash(&forged);
    fs::remove_file(build.only("packs")).expect("rm");
    fs::write(build.root().join(format!("packs/{name}.pack")), forged).expect("write");
    let map = build.only("maps");
    let json = zstd::stream::decode_all(&fs::read(&map).expect("read")[..]).expect("zstd");
    let mut json: serde_json::Value = serde_json::from_slice(&json).expect("json");
    json["packs"][0]["digest"] = name.to_string().into();
    json["packs"][0]["frames"][0]["length"] = frame.len().into();
    let packed = zstd::bulk::compress(json.to_string().as_bytes(), 3).expect("zstd");
    fs::write(&map, packed).expect("write");
    let key = Some(build.store.public_key().expect("key"));
    let error = site.store.pull(&build.source(), "web", PullOptions { key }, QUIET);
    let error = error.expect_err("forged");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert_eq!(fs::read_dir(site.root().join("packs")).expect("dir").count(), 0);
}

#[test]
fn a_store_is_healed_from_one_that_packed_the_same_differently() {
    let (site, other) = (Site::new(), Site::new());
    // Here one pack; there two.
    other.write("a", &noise(2_000_000, 1)).add("first");
    other.write("b", &noise(2_000_000, 2)).add("web");
    let image = site.write("a", &noise(2_000_000, 1)).write("b", &noise(2_000_000, 2)).add("web");
    let pack = site.only("packs");
    flip(&pack, 100_000);
    let found = site.store.scrub(None, QUIET).expect("scrub");
    assert!(!found.is_sound() && found.damaged[0].object.starts_with("packs/"), "{found:?}");
    assert!(site.store.verify("web", QUIET).is_err());

    let useless = Site::new();
    let tried = site.store.scrub(Some(&useless.source()), QUIET).expect("scrub");
    assert!(!tried.is_sound(), "{tried:?}");
    assert!(pack.exists(), "a damaged pack is better than none");

    let (meter, bytes) = Meter::of(&other);
    let healed = site.store.scrub(Some(&meter), QUIET).expect("scrub");
    assert!(healed.is_sound() && !healed.damaged.is_empty(), "{healed:?}");
    assert!(bytes.load(Ordering::Relaxed) < 2_500_000, "what was good was fetched as well");
    site.store.verify("web", QUIET).expect("whole");
    assert_eq!(site.store.resolve("web").expect("image").manifest, image);
    assert_eq!(site.store.scrub(None, QUIET).expect("scrub").damaged, []);
}

#[test]
fn a_pack_that_is_gone_is_missed_and_brought_back() {
    let (site, other) = (Site::new(), Site::new());
    for store in [&site, &other] {
        store.write("a", &noise(2_000_000, 1)).add("web");
    }
    fs::remove_file(site.only("packs")).expect("rm");
    let found = site.store.scrub(None, QUIET).expect("scrub");
    assert!(!found.is_sound(), "{found:?}");
    assert!(site.store.scrub(Some(&other.source()), QUIET).expect("heal").is_sound());
    site.store.verify("web", QUIET).expect("whole");
}
