//! The store against a real S3 server: push, pull, what interrupts them and what is damaged there.

mod server;

use hostwright_store::{
    AddOptions, Cached, DirSource, Failover, PublicKey, PullOptions, Sink as _, Source, Store,
    StoreError, fetch,
};
use server::S3Server;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const QUIET: &(dyn Fn(u64, u64) + Sync) = &|_, _| {};

/// A store, and a tree whose images go into it.
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

    fn write(&self, name: &str, content: &[u8]) -> &Self {
        fs::write(self.dir.path().join("tree").join(name), content).expect("write");
        self
    }

    fn add(&self, name: &str) -> hostwright_model::ids::Digest {
        let tree = self.dir.path().join("tree");
        self.store.add_tree(&tree, name, &AddOptions::default(), QUIET).expect("add").manifest
    }

    fn key(&self) -> PublicKey {
        self.store.public_key().expect("key")
    }

    fn pull(&self, source: &dyn Source, key: Option<PublicKey>) -> Result<u64, StoreError> {
        let pulled = self.store.pull(source, "web", PullOptions { key }, QUIET)?;
        let image = self.store.resolve("web").expect("there");
        assert_eq!(image.manifest, pulled.image.manifest);
        self.store.verify("web", QUIET).expect("whole");
        Ok(pulled.received_bytes)
    }
}

/// Bytes that do not compress.
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

#[test]
fn an_image_moves_through_a_bucket_and_later_only_what_is_new() {
    let (s3, build, site) = (S3Server::start(), Site::new(), Site::new());
    let first = build.write("base", &noise(20_000_000, 1)).write("motd", b"one").add("web");
    let remote = s3.store();
    let pushed = build.store.push(&remote, "web", QUIET).expect("push");
    assert_eq!((pushed.files, pushed.at_hand_bytes, pushed.generation), (1, 0, 1));
    assert!(pushed.sent_bytes > 20_000_000, "{pushed:?}");
    let requests = s3.requests();
    let packs = requests.iter().filter(|line| line.contains("/packs/"));
    assert!(packs.clone().any(|line| line.contains("immutable")), "{requests:?}");
    let last = requests.iter().rfind(|line| line.starts_with("PUT")).expect("put");
    assert!(last.contains("/refs/web"), "the name is not last: {last}");

    assert_eq!(site.pull(&remote, Some(build.key())).expect("pull"), pushed.sent_bytes);
    assert_eq!(site.store.resolve("web").expect("image").manifest, first);
    assert_eq!(site.pull(&remote, None).expect("again"), 0);

    let again = build.store.push(&remote, "web", QUIET).expect("push");
    assert_eq!((again.sent_bytes, again.generation), (0, 1));
    let second = build.write("motd", b"two").add("web");
    let pushed = build.store.push(&remote, "web", QUIET).expect("push");
    assert!(pushed.sent_bytes < 2000 && pushed.generation == 2, "{pushed:?}");
    assert!(site.pull(&remote, None).expect("pull") < 2000);
    assert_eq!(site.store.resolve("web").expect("image").manifest, second);
    assert_eq!(site.store.resolve("web~1").expect("image").manifest, first);
    assert_eq!(remote.list("refs").expect("list"), ["web"]);
}

#[test]
fn a_machine_fetches_straight_from_a_bucket_and_through_a_cache() {
    let (s3, build) = (S3Server::start(), Site::new());
    let image = build.write("base", &noise(12_000_000, 1)).add("web");
    build.store.push(&s3.store(), "web", QUIET).expect("push");
    let dirs = TempDir::new().expect("tempdir");
    fetch(&s3.store(), image, &dirs.path().join("direct"), QUIET).expect("fetch");
    let cached = Cached::new(Box::new(s3.store()), dirs.path().join("cache"), 64 << 20);
    let cached = cached.expect("cache");
    fetch(&cached, image, &dirs.path().join("first"), QUIET).expect("fetch");
    s3.requests();
    fetch(&cached, image, &dirs.path().join("second"), QUIET).expect("fetch");
    let asked = s3.requests();
    assert!(asked.iter().all(|line| line.contains("/maps/")), "{asked:?}");
}

#[test]
fn an_interrupted_push_changes_nothing_and_goes_on() {
    let (s3, build, site) = (S3Server::start(), Site::new(), Site::new());
    let first = build.write("motd", b"one").add("web");
    build.store.push(&s3.store(), "web", QUIET).expect("push");
    // A full pack in eight parts, one more, the manifest, the map, and the name last.
    build.write("large", &noise(66 << 20, 1)).add("web");
    for allowed in [0, 3, 10] {
        s3.refuse("PUT", allowed);
        let error = build.store.push(&s3.store(), "web", QUIET).expect_err("interrupted");
        assert!(matches!(error, StoreError::Remote { .. }), "{error}");
        s3.admit_all();
        site.pull(&s3.store(), Some(build.key())).expect("the old image is whole");
        assert_eq!(site.store.resolve("web").expect("image").manifest, first);
    }
    let sent = || {
        let count = |dir| fs::read_dir(s3.file(dir)).map_or(0, Iterator::count);
        count("packs") + count("deltas")
    };
    let before = sent();
    let pushed = build.store.push(&s3.store(), "web", QUIET).expect("push");
    assert_eq!(before + pushed.files as usize, sent());
    assert!(site.pull(&s3.store(), None).expect("pull") > 66 << 20);
}

#[test]
fn an_interrupted_pull_goes_on_where_it_stopped() {
    let (s3, build, site) = (S3Server::start(), Site::new(), Site::new());
    build.write("base", &noise(50_000_000, 1)).add("web");
    build.store.push(&s3.store(), "web", QUIET).expect("push");
    // The name, manifest and map, and three of seven ranges.
    s3.refuse("GET", 6);
    let error = site.pull(&s3.store(), Some(build.key())).expect_err("interrupted");
    assert!(matches!(error, StoreError::Remote { .. }), "{error}");
    assert!(site.store.names().expect("names").is_empty(), "a name without an image");
    s3.admit_all();
    let rest = site.pull(&s3.store(), Some(build.key())).expect("pull");
    assert!(rest < 26_000_000, "{rest} bytes came again");
}

#[test]
fn what_is_damaged_in_the_bucket_is_refused_and_another_source_helps() {
    for dir in ["packs", "manifests", "maps", "refs"] {
        let (s3, build, site) = (S3Server::start(), Site::new(), Site::new());
        build.write("base", &noise(3_000_000, 1)).add("web");
        build.store.push(&s3.store(), "web", QUIET).expect("push");
        flip(&s3.only(dir), 60);
        let error = site.pull(&s3.store(), Some(build.key())).expect_err(dir);
        assert!(error.to_string().starts_with(dir), "{dir}: {error}");
        let good = DirSource::new(build.dir.path().join("store"));
        let both = Failover::new(vec![Box::new(s3.store()), Box::new(good)]);
        site.pull(&both, Some(build.key())).unwrap_or_else(|error| panic!("{dir}: {error}"));
    }
}

#[test]
fn names_are_changed_by_one_at_a_time() {
    let (s3, build) = (S3Server::start(), Site::new());
    let remote = s3.store();
    let put = |bytes: &[u8], old| remote.replace("refs/x", bytes.to_vec(), old).expect("replace");
    assert!(put(b"one", None));
    assert!(!put(b"other", None), "created twice");
    let (_, version) = remote.read_version("refs/x").expect("read").expect("there");
    assert!(put(b"two", Some(&version)));
    assert!(!put(b"three", Some(&version)), "an old version was replaced");

    // Two that sign with the same key push at once: neither loses its image.
    let twin = Site::new();
    let key = |site: &Site| site.dir.path().join("store/signing-key");
    build.key();
    fs::copy(key(&build), key(&twin)).expect("copy");
    build.write("a", b"a").add("web");
    twin.write("b", b"b").add("web");
    std::thread::scope(|scope| {
        for site in [&build, &twin] {
            scope.spawn(|| site.store.push(&s3.store(), "web", QUIET).expect("push"));
        }
    });
    let site = Site::new();
    site.pull(&remote, Some(build.key())).expect("pull");
    let upstream = fs::read_to_string(site.dir.path().join("store/upstream/web")).expect("read");
    assert!(upstream.contains("\"generation\":2"), "{upstream}");
    assert_eq!(upstream.matches("\"manifest\"").count(), 2, "{upstream}");

    let stranger = Site::new();
    stranger.write("c", b"c").add("web");
    let error = stranger.store.push(&remote, "web", QUIET).expect_err("not theirs");
    assert!(matches!(error, StoreError::OtherKey { .. }), "{error}");
}

#[test]
fn a_name_must_be_signed_by_the_pinned_key_and_never_goes_back() {
    let (s3, build, site) = (S3Server::start(), Site::new(), Site::new());
    build.write("motd", b"one").add("web");
    build.store.push(&s3.store(), "web", QUIET).expect("push");
    let old = fs::read(s3.file("refs/web")).expect("read");
    let error = site.pull(&s3.store(), None).expect_err("nobody is trusted yet");
    assert!(matches!(error, StoreError::Untrusted { .. }), "{error}");
    assert!(error.to_string().contains(&build.key().to_string()), "{error}");
    let error = site.pull(&s3.store(), Some(site.key())).expect_err("another key");
    assert!(matches!(error, StoreError::OtherKey { .. }), "{error}");
    site.pull(&s3.store(), Some(build.key())).expect("pull");

    build.write("motd", b"two").add("web");
    build.store.push(&s3.store(), "web", QUIET).expect("push");
    site.pull(&s3.store(), None).expect("the key is known now");
    fs::write(s3.file("refs/web"), old).expect("write");
    let error = site.pull(&s3.store(), None).expect_err("put back");
    assert!(matches!(error, StoreError::RolledBack { seen: 2, found: 1, .. }), "{error}");
}

#[test]
fn a_wrong_secret_is_told() {
    let (s3, build) = (S3Server::start(), Site::new());
    build.write("motd", b"one").add("web");
    let remote = s3.store_of("operator", "guess").expect("store");
    let error = build.store.push(&remote, "web", QUIET).expect_err("refused");
    assert!(matches!(error, StoreError::Remote { .. }), "{error}");
    assert!(!s3.file("packs").exists());
}

#[test]
fn a_damaged_store_is_healed_from_a_bucket() {
    let (s3, build) = (S3Server::start(), Site::new());
    build.write("base", &noise(3_000_000, 1)).add("web");
    build.store.push(&s3.store(), "web", QUIET).expect("push");
    let store = build.dir.path().join("store");
    for dir in ["packs", "manifests", "maps"] {
        let victim = fs::read_dir(store.join(dir)).expect("dir").next().expect("one");
        flip(&victim.expect("entry").path(), 60);
    }
    let found = build.store.scrub(None, QUIET).expect("scrub");
    assert!(!found.is_sound() && found.damaged.len() >= 2, "{found:?}");
    let healed = build.store.scrub(Some(&s3.store()), QUIET).expect("heal");
    assert!(healed.is_sound() && healed.damaged.len() >= 2, "{healed:?}");
    assert_eq!(build.store.scrub(None, QUIET).expect("scrub").damaged, []);
    build.store.verify("web", QUIET).expect("whole");
}
