//! A store gives back what was put in, and nothing else.

use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, TreeSource};
use hostwright_store::{
    AddOptions, Change, CollectOptions, CollectReport, DirSource, FetchReport, FetchedImage,
    HttpSource, OPTIMIZE_LEVEL, Seeds, Source, Store, StoreError, differences, fetch,
    fetch_with_seeds,
};
use proptest::prelude::*;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const QUIET: &(dyn Fn(u64, u64) + Sync) = &|_, _| {};

struct Fixture {
    _dir: TempDir,
    tree: PathBuf,
    store_dir: PathBuf,
    store: Store,
}

fn fixture() -> Fixture {
    let dir = TempDir::new().expect("tempdir");
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).expect("mkdir");
    let store_dir = dir.path().join("store");
    let store = Store::open(&store_dir).expect("store");
    Fixture { _dir: dir, tree, store_dir, store }
}

/// Bytes that do not compress, so that frames are as long as they look.
fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// A tree with every kind of entry, files that share frames and one that spans several.
fn fill(tree: &Path) {
    let dir = tree.join("etc/deep");
    fs::create_dir_all(&dir).expect("mkdir");
    fs::create_dir(tree.join("proc")).expect("mkdir");
    fs::write(tree.join("proc/cpuinfo"), "not part of an image").expect("write");
    fs::write(tree.join("etc/empty"), "").expect("write");
    fs::write(tree.join("etc/hostname"), "demohost\n").expect("write");
    fs::write(tree.join("etc/same"), "demohost\n").expect("write");
    fs::write(dir.join("large"), noise(3_500_000, 1)).expect("write");
    fs::set_permissions(dir.join("large"), fs::Permissions::from_mode(0o4755)).expect("chmod");
    fs::hard_link(tree.join("etc/hostname"), tree.join("etc/z-link")).expect("link");
    symlink("../proc/self/mounts", tree.join("etc/mtab")).expect("symlink");
    xattr::set(dir.join("large"), "user.note", b"kept\0bytes").expect("xattr");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, tree.join("fifo"), fifo, 0o600.into(), 0).expect("mknod");
}

fn options() -> AddOptions {
    AddOptions { empty_dirs: vec!["proc".to_owned()], ..AddOptions::default() }
}

fn content(image: &FetchedImage, path: &str) -> std::io::Result<Vec<u8>> {
    let entry = image.entries().iter().find(|e| e.path == path).expect("entry");
    let mut bytes = Vec::new();
    image.open(entry)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn files(image: &FetchedImage) -> impl Iterator<Item = &Entry> {
    image.entries().iter().filter(|e| matches!(e.kind, EntryKind::File { .. }))
}

#[test]
fn every_kind_of_entry_comes_back() {
    let f = fixture();
    fill(&f.tree);
    let added = f.store.add_tree(&f.tree, "demo", &options(), QUIET).expect("add");
    assert_eq!(f.store.list().expect("list"), std::slice::from_ref(&added));
    let image = f.store.image(added.manifest).expect("image");
    for entry in files(&image) {
        let on_disk = fs::read(f.tree.join(&entry.path)).expect("read");
        assert_eq!(content(&image, &entry.path).expect("content"), on_disk, "{}", entry.path);
    }
    let kind = |path: &str| {
        let entry = image.entries().iter().find(|e| e.path == path);
        entry.unwrap_or_else(|| panic!("{path} is missing")).kind.clone()
    };
    assert_eq!(kind("etc/z-link"), EntryKind::Hardlink { target: "etc/hostname".to_owned() });
    assert_eq!(kind("etc/mtab"), EntryKind::Symlink { target: "../proc/self/mounts".to_owned() });
    assert_eq!(kind("fifo"), EntryKind::Fifo);
    assert!(image.entries().iter().all(|e| e.path != "proc/cpuinfo"), "proc was not emptied");
    let large = image.entries().iter().find(|e| e.path == "etc/deep/large").expect("large");
    assert_eq!(large.mode, 0o4755);
    assert_eq!(large.xattrs["user.note"], b"kept\0bytes");
    let report = f.store.verify("demo", QUIET).expect("verify");
    assert_eq!((report.files, report.content_bytes), (4, 3_500_018));
}

#[test]
fn a_name_has_a_history_and_can_go_back() {
    let f = fixture();
    let mut images = Vec::new();
    for content in ["one", "two", "three"] {
        fs::write(f.tree.join("motd"), content).expect("write");
        images.push(f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add").manifest);
    }
    let resolved = |name: &str| f.store.resolve(name).map(|image| image.manifest);
    assert_eq!(resolved("web").expect("newest"), images[2]);
    assert_eq!(resolved("web~2").expect("oldest"), images[0]);
    assert_eq!(resolved(&images[1].to_string()).expect("pinned"), images[1]);
    for unknown in ["web~3", "web~x", "mail"] {
        let error = resolved(unknown).expect_err(unknown);
        assert!(matches!(error, StoreError::UnknownImage { .. }), "{unknown}: {error}");
    }
    f.store.tag("web~1", "web").expect("tag");
    assert_eq!(resolved("web").expect("went back"), images[1]);
    f.store.tag("web", "mail").expect("tag");
    assert_eq!(f.store.names().expect("names"), ["mail", "web"]);
}

#[test]
fn a_stream_that_somebody_else_signed_is_refused() {
    let (ours, theirs) = (fixture(), fixture());
    for f in [&ours, &theirs] {
        fs::write(f.tree.join("motd"), "x").expect("write");
        f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add");
    }
    fs::copy(theirs.store_dir.join("refs/web"), ours.store_dir.join("refs/web")).expect("copy");
    let error = ours.store.resolve("web").expect_err("theirs");
    assert!(error.to_string().contains("signed by"), "{error}");
    let mode = fs::metadata(ours.store_dir.join("signing-key")).expect("key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_differs_between_two_images_is_told_by_kind() {
    let f = fixture();
    fill(&f.tree);
    let old = f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add").manifest;
    fs::write(f.tree.join("etc/new"), "new").expect("write");
    fs::write(f.tree.join("etc/same"), "changed!\n").expect("write");
    fs::remove_file(f.tree.join("etc/empty")).expect("rm");
    fs::remove_file(f.tree.join("etc/mtab")).expect("rm");
    fs::write(f.tree.join("etc/mtab"), "").expect("write");
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(f.tree.join("etc/deep/large"), private).expect("chmod");
    let new = f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add").manifest;
    let manifest = |digest| f.store.manifest(digest).expect("manifest");
    let found = differences(&manifest(old), &manifest(new));
    let found: Vec<_> = found.iter().map(|d| (d.path.as_str(), d.change)).collect();
    let expected = [
        ("etc/deep/large", Change::Metadata),
        ("etc/empty", Change::Removed),
        ("etc/mtab", Change::Kind),
        ("etc/new", Change::Added),
        ("etc/same", Change::Content),
    ];
    assert_eq!(found, expected);
    assert_eq!(differences(&manifest(new), &manifest(new)), []);
}

fn files_in(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn nothing_that_a_name_leads_to_is_ever_collected() {
    let f = fixture();
    let now = CollectOptions { grace: Duration::ZERO, dry_run: false };
    // Two images that share most of a pack, and one that shares a small file with the first.
    fs::write(f.tree.join("a"), noise(900_000, 1)).expect("write");
    fs::write(f.tree.join("b"), noise(2_000_000, 2)).expect("write");
    fs::write(f.tree.join("c"), noise(5_000, 3)).expect("write");
    f.store.add_tree(&f.tree, "first", &options(), QUIET).expect("add");
    fs::remove_file(f.tree.join("a")).expect("rm");
    fs::remove_file(f.tree.join("b")).expect("rm");
    fs::write(f.tree.join("d"), noise(700_000, 4)).expect("write");
    let second = f.store.add_tree(&f.tree, "second", &options(), QUIET).expect("add");
    assert_eq!(
        f.store.collect(now).expect("collect"),
        CollectReport { images: 2, ..Default::default() }
    );

    f.store.remove("first").expect("remove");
    let planned = f.store.collect(CollectOptions { dry_run: true, ..now }).expect("dry run");
    assert_eq!((planned.images, planned.repacked_packs, planned.deleted_files), (1, 1, 0));
    assert_eq!(files_in(&f.store_dir.join("packs")), 2, "a dry run changed something");
    // The first pack holds 5 kB that the second image needs: they move, and the pack is condemned.
    let report = f.store.collect(now).expect("collect");
    assert_eq!((report.repacked_packs, report.condemned_packs), (1, 1));
    f.store.verify("second", QUIET).expect("whole while the old pack is still there");
    let later = CollectOptions { grace: Duration::from_secs(3600), dry_run: false };
    assert_eq!(f.store.collect(later).expect("collect").deleted_files, 0, "within the grace time");
    let report = f.store.collect(now).expect("collect");
    assert_eq!(report.deleted_files, 3, "the pack, manifest and map of the first");
    assert!(report.deleted_bytes > 2_800_000, "{report:?}");
    f.store.verify("second", QUIET).expect("whole without the old pack");
    assert_eq!(f.store.resolve("second").expect("is there").manifest, second.manifest);
    assert_eq!(files_in(&f.store_dir.join("condemned")), 0);

    f.store.remove("second").expect("remove");
    f.store.collect(now).expect("collect");
    f.store.collect(now).expect("collect");
    assert_eq!(files_in(&f.store_dir.join("packs")), 0);
}

#[test]
fn an_image_that_gets_a_name_again_is_acquitted() {
    let f = fixture();
    fs::write(f.tree.join("a"), noise(900_000, 1)).expect("write");
    let image = f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add").manifest;
    let now = CollectOptions { grace: Duration::ZERO, dry_run: false };
    f.store.remove("web").expect("remove");
    assert_eq!(f.store.collect(now).expect("collect").condemned_packs, 1);
    // What is about to be deleted is no ground to build on: the same content is stored again.
    let again = f.store.add_tree(&f.tree, "other", &options(), QUIET).expect("add").manifest;
    assert_eq!(again, image);
    f.store.collect(now).expect("collect");
    f.store.verify("other", QUIET).expect("whole");
    assert_eq!(files_in(&f.store_dir.join("packs")), 1);
}

#[test]
fn a_second_image_stores_only_what_is_new() {
    let f = fixture();
    fill(&f.tree);
    f.store.add_tree(&f.tree, "one", &options(), QUIET).expect("add");
    let packs = || fs::read_dir(f.store_dir.join("packs")).expect("packs").count();
    assert_eq!(packs(), 1);
    f.store.add_tree(&f.tree, "same", &options(), QUIET).expect("add");
    assert_eq!(packs(), 1, "an equal tree added a pack");
    fs::write(f.tree.join("etc/new"), noise(10, 7)).expect("write");
    let two = f.store.add_tree(&f.tree, "two", &options(), QUIET).expect("add");
    assert_eq!(packs(), 2);
    let image = f.store.image(two.manifest).expect("image");
    assert_eq!(content(&image, "etc/new").expect("content"), noise(10, 7));
    // The third image takes frames of the same pack by way of two manifests that know other parts.
    fs::remove_file(f.tree.join("etc/hostname")).expect("rm");
    fs::remove_file(f.tree.join("etc/z-link")).expect("rm");
    fs::remove_file(f.tree.join("etc/same")).expect("rm");
    f.store.add_tree(&f.tree, "three", &options(), QUIET).expect("add");
    fs::write(f.tree.join("etc/back"), "demohost\n").expect("write");
    let four = f.store.add_tree(&f.tree, "four", &options(), QUIET).expect("add");
    assert_eq!(packs(), 2);
    let image = f.store.image(four.manifest).expect("image");
    assert_eq!(content(&image, "etc/back").expect("content"), b"demohost\n");
    assert_eq!(content(&image, "etc/deep/large").expect("content"), noise(3_500_000, 1));
}

/// Answers GET requests for files below `root`, with single ranges; the first answers are cut short.
fn serve(root: PathBuf, cut_short: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let left = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(cut_short));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (root, left) = (root.clone(), left.clone());
            std::thread::spawn(move || answer(stream.expect("stream"), &root, &left));
        }
    });
    format!("http://{address}")
}

fn answer(
    mut stream: std::net::TcpStream,
    root: &Path,
    cut_short: &std::sync::atomic::AtomicUsize,
) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    loop {
        let request = lines.next()?.ok()?;
        let path = request.split(' ').nth(1)?.trim_start_matches('/').to_owned();
        let headers: Vec<String> =
            lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let Ok(bytes) = fs::read(root.join(path)) else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").ok()?;
            continue;
        };
        let range = headers
            .iter()
            .find_map(|h| h.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let (status, part) = match range.as_deref().and_then(|r| r.split_once('-')) {
            Some((from, to)) => {
                let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
                ("206 Partial Content", bytes.get(from..=to)?.to_vec())
            }
            None => ("200 OK", bytes),
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", part.len()).ok()?;
        let broken = cut_short
            .fetch_update(
                std::sync::atomic::Ordering::SeqCst,
                std::sync::atomic::Ordering::SeqCst,
                |n| n.checked_sub(1),
            )
            .is_ok();
        let sent = if broken { part.len() / 2 } else { part.len() };
        stream.write_all(&part[..sent]).ok()?;
        if broken {
            return None;
        }
    }
}

#[test]
fn an_image_arrives_over_http_in_spite_of_broken_connections() {
    let f = fixture();
    fill(&f.tree);
    let added = f.store.add_tree(&f.tree, "demo", &options(), QUIET).expect("add");
    let source = HttpSource::new(serve(f.store_dir.clone(), 2));
    let cache = TempDir::new().expect("tempdir");
    let image = fetch(&source, added.manifest, cache.path(), QUIET).expect("fetch");
    assert_eq!(content(&image, "etc/deep/large").expect("content"), noise(3_500_000, 1));
    assert_eq!(content(&image, "etc/empty").expect("content"), b"");
    // Everything is in the cache now: the store may go away.
    fs::remove_dir_all(f.store_dir.join("packs")).expect("rm");
    fetch(&DirSource::new(&f.store_dir), added.manifest, cache.path(), QUIET).expect("resume");
}

#[test]
fn damage_is_found_and_named_before_anything_is_used() {
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 7] = [
        ("packs", |file| flip(file, 1000)),
        ("packs", |file| {
            fs::write(file, fs::read(file).expect("read").split_off(4096)).expect("write")
        }),
        ("packs", |file| fs::remove_file(file).expect("rm")),
        ("maps", |file| flip(file, 40)),
        ("maps", |file| fs::remove_file(file).expect("rm")),
        ("manifests", |file| flip(file, 40)),
        ("manifests", |file| fs::remove_file(file).expect("rm")),
    ];
    for (i, (dir, damage)) in damages.iter().enumerate() {
        let f = fixture();
        fill(&f.tree);
        let added = f.store.add_tree(&f.tree, "demo", &options(), QUIET).expect("add");
        let victim =
            fs::read_dir(f.store_dir.join(dir)).expect("dir").next().expect("one").expect("entry");
        damage(&victim.path());
        let cache = TempDir::new().expect("tempdir");
        let source = DirSource::new(&f.store_dir);
        let fetched = fetch(&source, added.manifest, cache.path(), QUIET).err();
        let verified = f.store.verify("demo", QUIET).err();
        for error in [fetched, verified] {
            let error = error.unwrap_or_else(|| panic!("damage {i} to {dir} was not found"));
            let named = error.to_string().starts_with(&format!("{dir}/"));
            assert!(named, "damage {i}: {error}");
            assert!(error.to_string().contains("add the image again"), "no cure in: {error}");
        }
    }
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("read");
    bytes[at] ^= 1;
    fs::write(file, bytes).expect("write");
}

#[test]
fn names_that_cannot_be_files_are_refused() {
    let f = fixture();
    for name in ["", "../x", "a/b", ".hidden", "a b"] {
        let error = f.store.add_tree(&f.tree, name, &options(), QUIET).expect_err(name);
        assert!(matches!(error, StoreError::BadName { .. }), "{name}: {error}");
    }
    let error = f.store.resolve("nosuch").expect_err("unknown");
    assert!(matches!(error, StoreError::UnknownImage { .. }), "{error}");
}

#[test]
fn a_name_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let f = fixture();
    fs::write(f.tree.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").expect("write");
    let error = f.store.add_tree(&f.tree, "demo", &options(), QUIET).expect_err("latin1");
    assert!(matches!(error, StoreError::NotUtf8 { .. }), "{error}");
}

/// Text that compresses a little and differs from file to file.
fn prose(length: usize, seed: u8) -> Vec<u8> {
    noise(length, seed)
        .iter()
        .flat_map(|byte| format!("{byte:03} ").into_bytes())
        .take(length)
        .collect()
}

/// A release and the next: files changed, renamed, added and moved; a large file changed inside.
fn releases(f: &Fixture) -> [Digest; 2] {
    fs::create_dir_all(f.tree.join("usr/lib")).expect("mkdir");
    fs::create_dir_all(f.tree.join("etc")).expect("mkdir");
    for number in 0..40 {
        fs::write(f.tree.join(format!("usr/lib/{number}.so")), prose(30_000, number))
            .expect("write");
    }
    fs::write(f.tree.join("usr/lib/module-1.2.ko"), noise(50_000, 60)).expect("write");
    fs::write(f.tree.join("usr/lib/moved"), noise(60_000, 61)).expect("write");
    fs::write(f.tree.join("usr/lib/large"), noise(6_000_000, 62)).expect("write");
    fs::write(f.tree.join("etc/config"), prose(2000, 63)).expect("write");
    let old = f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add").manifest;
    fs::create_dir_all(f.tree.parent().expect("parent").join("old")).expect("mkdir");
    copy(&f.tree, &old_root(f));
    for number in 0..20 {
        let path = f.tree.join(format!("usr/lib/{number}.so"));
        let mut bytes = fs::read(&path).expect("read");
        bytes.splice(1000..1010, *b"another release");
        fs::write(path, bytes).expect("write");
    }
    let mut module = noise(50_000, 60);
    module[25_000] ^= 1;
    fs::remove_file(f.tree.join("usr/lib/module-1.2.ko")).expect("rm");
    fs::write(f.tree.join("usr/lib/module-1.3.ko"), module).expect("write");
    fs::rename(f.tree.join("usr/lib/moved"), f.tree.join("etc/moved")).expect("mv");
    let mut large = noise(6_000_000, 62);
    large.splice(3_000_000..3_000_000, *b"a byte put in");
    fs::write(f.tree.join("usr/lib/large"), large).expect("write");
    fs::write(f.tree.join("usr/lib/new"), noise(5000, 64)).expect("write");
    let new = f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add").manifest;
    [old, new]
}

fn old_root(f: &Fixture) -> PathBuf {
    f.tree.parent().expect("parent").join("old")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            fs::create_dir_all(&target).expect("mkdir");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copy");
        }
    }
}

/// Every file of the image is what is in the tree.
fn assert_is_tree(f: &Fixture, image: &FetchedImage) {
    for entry in files(image) {
        let on_disk = fs::read(f.tree.join(&entry.path)).expect("read");
        let fetched = content(image, &entry.path).expect("content");
        assert!(fetched == on_disk, "{} is not what was added", entry.path);
    }
}

fn fetch_seeded(f: &Fixture, image: Digest, seeds: &Seeds) -> (FetchedImage, FetchReport) {
    let cache = f.store_dir.parent().expect("parent").join("cache");
    let source = DirSource::new(&f.store_dir);
    fetch_with_seeds(&source, image, &cache, seeds, QUIET).expect("fetch")
}

fn manifest_of(f: &Fixture, image: Digest) -> PathBuf {
    f.store_dir.join(format!("manifests/{image}.json.zst"))
}

#[test]
fn an_upgrade_moves_what_changed_and_no_more() {
    let f = fixture();
    let [old, new] = releases(&f);
    let seeds = Seeds::default().tree(old_root(&f)).manifest(manifest_of(&f, old));
    let (image, report) = fetch_seeded(&f, new, &seeds);
    assert_is_tree(&f, &image);
    assert_eq!(report.damaged_deltas, [""; 0]);
    let sum = report.seed_bytes + report.delta_bytes + report.pack_bytes;
    assert_eq!((sum, report.cached_bytes), (report.content_bytes, 0));
    assert!(report.seed_bytes > 6_000_000, "{report:?}");
    assert_eq!(report.pack_bytes, 0, "something was fetched whole: {report:?}");
    // 5000 bytes are new noise.
    assert!((5000..30_000).contains(&report.moved_bytes), "{report:?}");
    assert!(report.requests <= 6, "{report:?}");
}

#[test]
fn a_damaged_delta_is_told_and_the_objects_come_from_packs() {
    let f = fixture();
    let [old, new] = releases(&f);
    let delta = fs::read_dir(f.store_dir.join("deltas")).expect("dir").next();
    let delta = delta.expect("a delta").expect("entry").path();
    let seeds = Seeds::default().tree(old_root(&f)).manifest(manifest_of(&f, old));
    let good = fs::read(&delta).expect("read");
    type Damage = fn(&Path, &[u8]);
    let damages: [Damage; 3] = [
        |file, good| fs::write(file, &good[..good.len() / 2]).expect("write"),
        |file, _| fs::remove_file(file).expect("rm"),
        |file, good| {
            let flipped: Vec<u8> = good.iter().map(|byte| byte ^ 0x55).collect();
            fs::write(file, flipped).expect("write");
        },
    ];
    for damage in damages {
        damage(&delta, &good);
        let (image, report) = fetch_seeded(&f, new, &seeds);
        assert_is_tree(&f, &image);
        assert_ne!(report.damaged_deltas.len(), 0);
        assert!(report.damaged_deltas[0].starts_with("deltas/"), "{report:?}");
        assert!(report.pack_bytes > 0, "{report:?}");
        fs::remove_dir_all(f.store_dir.parent().expect("parent").join("cache")).expect("rm");
    }
}

#[test]
fn a_seed_that_lies_is_never_used() {
    let f = fixture();
    let [_, new] = releases(&f);
    // Every file of the new image is there, as long as it should be, with another content.
    let lies = f.tree.parent().expect("parent").join("lies");
    fs::create_dir(&lies).expect("mkdir");
    copy(&f.tree, &lies);
    for dir in ["usr/lib", "etc"] {
        for entry in fs::read_dir(lies.join(dir)).expect("list") {
            let path = entry.expect("entry").path();
            let size = fs::metadata(&path).expect("size").len() as usize;
            fs::write(&path, noise(size, 99)).expect("write");
        }
    }
    symlink("/dev/zero", lies.join("usr/lib/link")).expect("symlink");
    let (image, report) = fetch_seeded(&f, new, &Seeds::default().tree(&lies));
    assert_is_tree(&f, &image);
    assert_eq!((report.seed_bytes, report.delta_bytes), (0, 0), "{report:?}");
    assert_eq!(report.pack_bytes, report.content_bytes);
}

#[test]
fn a_base_that_was_changed_here_costs_its_frame_only() {
    let f = fixture();
    let [_, new] = releases(&f);
    fs::write(old_root(&f).join("etc/config"), "changed by hand").expect("write");
    fs::write(f.tree.join("etc/config"), prose(2000, 63)).expect("write");
    let mut changed = fs::read(f.tree.join("etc/config")).expect("read");
    changed.extend(b"next");
    fs::write(f.tree.join("etc/config"), changed).expect("write");
    let newest = f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add").manifest;
    assert_ne!(newest, new);
    // The machine has the image before the one before.
    let (image, report) = fetch_seeded(&f, newest, &Seeds::default().tree(old_root(&f)));
    assert_is_tree(&f, &image);
    assert!(report.delta_bytes > 500_000, "{report:?}");
    assert_eq!(report.pack_bytes, 2004, "{report:?}");
}

#[test]
fn the_network_is_tried_where_a_seed_is_slow() {
    let f = fixture();
    let [old, _] = releases(&f);
    copy(&old_root(&f), &f.tree);
    let seeds = Seeds::default().tree(old_root(&f)).wait_for_trees(Duration::ZERO);
    let (image, report) = fetch_seeded(&f, old, &seeds);
    for entry in files(&image) {
        content(&image, &entry.path).expect("content");
    }
    let sum = report.seed_bytes + report.pack_bytes;
    assert_eq!(sum, report.content_bytes, "each object is counted once: {report:?}");
}

#[test]
fn a_fetch_with_seeds_goes_on_where_it_stopped() {
    let f = fixture();
    let [old, new] = releases(&f);
    let seeds = Seeds::default().tree(old_root(&f)).manifest(manifest_of(&f, old));
    let (_, first) = fetch_seeded(&f, new, &seeds);
    // Everything is at hand: nothing but the upgrade and the map is asked for, and no seed is read.
    let (image, again) = fetch_seeded(&f, new, &seeds);
    assert_is_tree(&f, &image);
    assert_eq!((again.cached_bytes, again.seed_bytes), (first.content_bytes, 0), "{again:?}");
    // A pack of the cache that was damaged is made again.
    let packs = f.store_dir.parent().expect("parent").join("cache/packs");
    for pack in fs::read_dir(&packs).expect("dir") {
        flip(&pack.expect("entry").path(), 50);
    }
    let (image, mended) = fetch_seeded(&f, new, &seeds);
    assert_is_tree(&f, &image);
    assert!(mended.cached_bytes < mended.content_bytes, "{mended:?}");
}

#[test]
fn optimizing_makes_a_store_smaller_and_changes_no_image() {
    let f = fixture();
    let [old, new] = releases(&f);
    let now = CollectOptions { grace: Duration::ZERO, dry_run: false };
    let maps = |digest| f.store.map(digest).expect("map").packed_bytes();
    let before = maps(new);
    let report = f.store.optimize(OPTIMIZE_LEVEL, QUIET).expect("optimize");
    assert!(report.packs > 0 && report.new_bytes < report.old_bytes, "{report:?}");
    assert_eq!(report.deltas, 1);
    assert!(maps(new) < before, "{} and {before} bytes", maps(new));
    for _ in 0..2 {
        f.store.collect(now).expect("collect");
        f.store.verify("web", QUIET).expect("whole");
        f.store.verify("web~1", QUIET).expect("whole");
    }
    let again = f.store.optimize(OPTIMIZE_LEVEL, QUIET).expect("optimize");
    assert_eq!((again.packs, again.deltas), (0, 0), "{again:?}");
    let seeds = Seeds::default().tree(old_root(&f)).manifest(manifest_of(&f, old));
    let (image, report) = fetch_seeded(&f, new, &seeds);
    assert_is_tree(&f, &image);
    assert_eq!((report.pack_bytes, report.damaged_deltas.len()), (0, 0), "{report:?}");
}

#[test]
fn deltas_are_collected_with_the_images_they_lead_to() {
    let f = fixture();
    releases(&f);
    let now = CollectOptions { grace: Duration::ZERO, dry_run: false };
    f.store.collect(now).expect("collect");
    f.store.collect(now).expect("collect");
    assert_eq!(
        (files_in(&f.store_dir.join("deltas")), files_in(&f.store_dir.join("upgrades"))),
        (1, 1)
    );
    f.store.remove("web").expect("remove");
    f.store.collect(now).expect("collect");
    f.store.collect(now).expect("collect");
    assert_eq!(
        (files_in(&f.store_dir.join("deltas")), files_in(&f.store_dir.join("upgrades"))),
        (0, 0)
    );
}

/// A source that is gone after some requests, as when the power fails.
struct Failing {
    store: DirSource,
    left: AtomicUsize,
}

impl Failing {
    fn ask(&self) -> Result<(), StoreError> {
        let gone = || StoreError::Missing { object: "the network".to_owned() };
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        left.map(drop).map_err(|_| gone())
    }
}

impl Source for Failing {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask()?;
        self.store.read(path)
    }

    fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.ask()?;
        self.store.read_range(path, offset, length)
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.ask()?;
        self.store.length(path)
    }
}

#[test]
fn a_fetch_that_was_cut_off_anywhere_is_ended_by_the_next() {
    let f = fixture();
    let [_, new] = releases(&f);
    let whole = fetch_seeded(&f, new, &Seeds::default()).1;
    for seeds in [Seeds::default(), Seeds::default().tree(old_root(&f))] {
        for requests in 0..=whole.requests as usize {
            let cache = TempDir::new().expect("tempdir");
            let left = AtomicUsize::new(requests);
            let source = Failing { store: DirSource::new(&f.store_dir), left };
            let cut_off = fetch_with_seeds(&source, new, cache.path(), &seeds, QUIET);
            let source = DirSource::new(&f.store_dir);
            let (image, report) =
                fetch_with_seeds(&source, new, cache.path(), &seeds, QUIET).expect("second");
            assert_is_tree(&f, &image);
            assert_eq!(report.damaged_deltas, [""; 0]);
            if cut_off.is_ok() {
                assert_eq!(report.cached_bytes, report.content_bytes, "{report:?}");
            }
        }
    }
}

/// The files of a store that changed, in the order in which they were written.
fn written(before: &Path, after: &Path) -> Vec<PathBuf> {
    let dirs = ["packs", "maps", "manifests", "deltas", "upgrades", "condemned", "refs"];
    let mut changed = Vec::new();
    for (rank, dir) in dirs.iter().enumerate() {
        for entry in fs::read_dir(after.join(dir)).into_iter().flatten() {
            let path = Path::new(dir).join(entry.expect("entry").file_name());
            let now = fs::read(after.join(&path)).expect("read");
            if fs::read(before.join(&path)).ok() != Some(now) {
                let time = fs::metadata(after.join(&path)).expect("meta").modified().expect("time");
                changed.push((time, rank, path));
            }
        }
    }
    changed.sort();
    changed.into_iter().map(|(_, _, path)| path).collect()
}

/// Kills `work` after each file that it writes: names lead to whole images then, and doing it again
/// leads to where doing it at once does.
fn assert_survives_kills(f: &Fixture, before: &Path, work: &dyn Fn(&Store)) {
    let files = written(before, &f.store_dir);
    assert!(files.len() > 2, "{files:?}");
    for kept in 0..=files.len() {
        let killed = TempDir::new().expect("tempdir");
        copy(before, killed.path());
        let store = Store::open(killed.path()).expect("store");
        for file in &files[..kept] {
            let to = killed.path().join(file);
            fs::create_dir_all(to.parent().expect("parent")).expect("mkdir");
            fs::copy(f.store_dir.join(file), to).expect("copy");
        }
        fs::write(killed.path().join("tmp/1.1"), "half a pack").expect("write");
        for name in store.names().expect("names") {
            store.verify(&name, QUIET).unwrap_or_else(|e| panic!("{kept} of {files:?}: {e}"));
        }
        work(&store);
        let now = CollectOptions { grace: Duration::ZERO, dry_run: false };
        for _ in 0..2 {
            store.collect(now).expect("collect");
        }
        store.verify("web", QUIET).expect("web");
        assert_eq!(store.resolve("web").expect("web"), f.store.resolve("web").expect("web"));
    }
}

#[test]
fn another_system_under_the_same_name_gets_no_delta() {
    let f = fixture();
    fs::write(f.tree.join("a"), noise(300_000, 1)).expect("write");
    f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add");
    fs::remove_file(f.tree.join("a")).expect("rm");
    fs::write(f.tree.join("b"), noise(400_000, 2)).expect("write");
    f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add");
    assert_eq!(files_in(&f.store_dir.join("deltas")), 0);
    f.store.optimize(OPTIMIZE_LEVEL, QUIET).expect("optimize");
    assert_eq!(files_in(&f.store_dir.join("deltas")), 0);
}

#[test]
fn adding_and_optimizing_survive_a_kill_after_any_file() {
    let f = fixture();
    fs::write(f.tree.join("a"), prose(300_000, 1)).expect("write");
    f.store.add_tree(&f.tree, "web", &options(), QUIET).expect("add");
    let before = TempDir::new().expect("tempdir");
    copy(&f.store_dir, before.path());
    let mut changed = prose(300_000, 1);
    changed.extend(b"and more");
    fs::write(f.tree.join("a"), changed).expect("write");
    let add = |store: &Store| drop(store.add_tree(&f.tree, "web", &options(), QUIET).expect("add"));
    add(&f.store);
    assert_survives_kills(&f, before.path(), &add);

    let added = TempDir::new().expect("tempdir");
    copy(&f.store_dir, added.path());
    let optimize = |store: &Store| {
        store.optimize(OPTIMIZE_LEVEL, QUIET).expect("optimize");
    };
    optimize(&f.store);
    assert_survives_kills(&f, added.path(), &optimize);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the sizes, every file comes back, and a second add changes nothing.
    #[test]
    fn any_sizes_round_trip(sizes in prop::collection::vec(0usize..2_500_000, 1..12)) {
        let f = fixture();
        for (i, size) in sizes.iter().enumerate() {
            fs::write(f.tree.join(format!("{i:02}")), noise(*size, i as u8)).expect("write");
        }
        let added = f.store.add_tree(&f.tree, "demo", &options(), QUIET).expect("add");
        let again = f.store.add_tree(&f.tree, "demo", &options(), QUIET).expect("add");
        prop_assert_eq!(added.manifest, again.manifest);
        let image = f.store.image(added.manifest).expect("image");
        for (i, size) in sizes.iter().enumerate() {
            let bytes = content(&image, &format!("{i:02}")).expect("content");
            prop_assert!(bytes == noise(*size, i as u8), "file {} of {} bytes", i, size);
        }
    }
}
