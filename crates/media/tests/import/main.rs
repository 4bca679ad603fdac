//! Whatever an image is made of, equal trees give equal images, and what is broken is refused.
#![allow(clippy::disallowed_methods, reason = "archives are made by the programs that people use")]

mod imageserver;

use hostwright_host::real::RealHost;
use hostwright_media::import::{ImportError, ImportOptions, Origin, add};
use hostwright_model::ids::Digest;
use hostwright_model::image::EntryKind;
use hostwright_store::{AddOptions, Store};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    /// The digest of the image of what is at a path.
    fn import(&self, from: &Path) -> Result<Digest, ImportError> {
        self.import_as(&Origin::Path(from.to_owned()), None)
    }

    fn import_as(&self, origin: &Origin, reference: Option<&str>) -> Result<Digest, ImportError> {
        let reference = reference.map(str::to_owned);
        let options = ImportOptions { reference, ..ImportOptions::default() };
        let mut host = RealHost::default();
        let image = add(&self.store, &mut host, origin, "x", &options, QUIET)?;
        self.store.verify("x", QUIET)?;
        Ok(image.manifest)
    }

    /// The digest of the image of the tree itself.
    fn digest(&self) -> Digest {
        let options = AddOptions::default();
        self.store.add_tree(&self.tree(), "tree", &options, QUIET).expect("add").manifest
    }
}

fn run(program: &str, words: &[&str]) {
    let output = Command::new(program).args(words).output().expect(program);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {said}");
}

fn tar(out: &Path, tree: &Path, words: &[&str]) {
    let (out, tree) = (out.display().to_string(), tree.display().to_string());
    let mut all = vec!["--create", "--file", &out, "--directory", &tree];
    all.extend(words);
    all.push(".");
    run("tar", &all);
}

/// Every kind of entry; names and values that formats have trouble with.
fn fill(tree: &Path) {
    fs::create_dir_all(tree.join("etc/deep")).expect("mkdir");
    fs::create_dir_all(tree.join("usr/bin")).expect("mkdir");
    fs::write(tree.join("etc/empty"), "").expect("write");
    fs::write(tree.join("etc/hostname"), "demohost\n").expect("write");
    fs::write(tree.join("etc-beside"), "sorts before what is in etc\n").expect("write");
    let large: Vec<u8> =
        (0..600_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(tree.join("etc/deep/large"), large).expect("write");
    fs::write(tree.join("usr/bin/sudo"), "program").expect("write");
    fs::set_permissions(tree.join("usr/bin/sudo"), fs::Permissions::from_mode(0o4755))
        .expect("chmod");
    // The link comes before the file it is another name of, in the order of names.
    fs::hard_link(tree.join("etc/hostname"), tree.join("etc/a-link")).expect("link");
    symlink("../proc/self/mounts", tree.join("etc/mtab")).expect("symlink");
    let long = "n".repeat(180);
    fs::create_dir(tree.join(&long)).expect("mkdir");
    fs::write(tree.join(&long).join(&long), "a long name").expect("write");
    symlink(format!("/{long}/{long}"), tree.join("long-link")).expect("symlink");
    fs::write(tree.join("etc/größe"), "UTF-8").expect("write");
    xattr::set(tree.join("usr/bin/sudo"), "user.note", b"two\nlines\0and more").expect("xattr");
    rustix::fs::mkfifoat(rustix::fs::CWD, tree.join("fifo"), 0o640.into()).expect("fifo");
    for (path, time) in [("etc/hostname", 1_000_000_000), ("etc/empty", 0), ("usr", 1_234_567_890)]
    {
        let file = fs::File::open(tree.join(path)).expect("open");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(time * 1000 + 750);
        file.set_modified(time).expect("time");
    }
}

#[test]
fn a_tar_of_any_format_and_compression_is_the_tree_it_was_made_of() {
    let site = Site::new();
    fill(&site.tree());
    let expected = site.digest();
    let pax = ["--format=pax", "--xattrs", "--xattrs-include=*"];
    for compression in ["", "--gzip", "--xz", "--zstd", "--bzip2"] {
        // The name of the file says nothing.
        let out = site.path("archive");
        let words: Vec<&str> =
            pax.iter().copied().chain(Some(compression).filter(|word| !word.is_empty())).collect();
        tar(&out, &site.tree(), &words);
        assert_eq!(site.import(&out).expect("import"), expected, "{compression}");
    }
    // Names in another order: the link's file comes before the link.
    let out = site.path("sorted");
    tar(&out, &site.tree(), &["--format=pax", "--xattrs", "--xattrs-include=*", "--sort=inode"]);
    assert_eq!(site.import(&out).expect("import"), expected);
    // Other formats have no room for extended attributes.
    xattr::remove(site.tree().join("usr/bin/sudo"), "user.note").expect("xattr");
    let expected = site.digest();
    for format in ["--format=gnu", "--format=oldgnu", "--format=pax"] {
        tar(&out, &site.tree(), &[format]);
        assert_eq!(site.import(&out).expect("import"), expected, "{format}");
    }
}

#[test]
fn access_control_lists_come_as_the_kernel_keeps_them() {
    let site = Site::new();
    let file = site.tree().join("shared");
    fs::write(&file, "x").expect("write");
    let entry = |tag: u16, rights: u16, id: u32| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let nobody = u32::MAX;
    let entries = [(1, 6, nobody), (2, 5, 1234), (4, 4, nobody), (16, 5, nobody), (32, 0, nobody)];
    let entries = entries.map(|(tag, rights, id)| entry(tag, rights, id)).concat();
    let acl = [&2u32.to_le_bytes()[..], &entries].concat();
    xattr::set(&file, "system.posix_acl_access", &acl).expect("the file system has ACLs");
    let out = site.path("acl.tar");
    tar(&out, &site.tree(), &["--format=pax", "--acls", "--numeric-owner"]);
    assert_eq!(site.import(&out).expect("import"), site.digest());
}

#[test]
fn what_is_no_archive_or_a_broken_one_is_refused() {
    let site = Site::new();
    fill(&site.tree());
    let whole = site.path("whole.tar");
    tar(&whole, &site.tree(), &["--format=gnu"]);
    let bytes = fs::read(&whole).expect("read");
    let broken = site.path("broken");
    for length in [700, 512 * 3 + 100, bytes.len() / 2] {
        fs::write(&broken, &bytes[..length]).expect("write");
        let error = site.import(&broken).expect_err("cut short");
        assert!(
            matches!(error, ImportError::Content { .. } | ImportError::Store(_)),
            "{length}: {error}"
        );
    }
    let zipped = site.path("whole.tar.gz");
    tar(&zipped, &site.tree(), &["--gzip"]);
    let mut zip = fs::read(&zipped).expect("read");
    let middle = zip.len() / 2;
    zip[middle] ^= 0x55;
    fs::write(&broken, zip).expect("write");
    assert!(site.import(&broken).is_err(), "damaged gzip");
    for (content, expected) in [
        (&b"plain text, and no archive"[..], "nothing an image can be made of"),
        (b"", "nothing an image can be made of"),
        (b"QFI\xfb and the rest of a disk", "qemu-img convert"),
    ] {
        fs::write(&broken, content).expect("write");
        let error = site.import(&broken).expect_err("no archive").to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(site.store.names().expect("names").is_empty());
}

/// A layout whose layers are trees.
struct Layout {
    dir: PathBuf,
}

impl Layout {
    fn new(site: &Site) -> Self {
        let dir = site.path("layout");
        fs::create_dir_all(dir.join("blobs/sha256")).expect("mkdir");
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("write");
        Self { dir }
    }

    fn blob(&self, bytes: &[u8], kind: &str) -> serde_json::Value {
        let digest: String =
            Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(self.dir.join("blobs/sha256").join(&digest), bytes).expect("write");
        serde_json::json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{digest}"),
            "size": bytes.len(),
        })
    }

    fn manifest(&self, layers: &[Vec<u8>]) -> serde_json::Value {
        let layers: Vec<_> =
            layers.iter().map(|layer| self.blob(layer, "layer.v1.tar+gzip")).collect();
        let config = self.blob(b"{}", "config.v1+json");
        let manifest =
            serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers });
        self.blob(manifest.to_string().as_bytes(), "manifest.v1+json")
    }

    fn index(&self, manifests: &[serde_json::Value]) {
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.dir.join("index.json"), index.to_string()).expect("write");
    }
}

fn layer(site: &Site, tree: &Path, words: &[&str]) -> Vec<u8> {
    let out = site.path("layer.tar");
    let mut all = vec!["--format=pax", "--xattrs", "--xattrs-include=*"];
    all.extend(words);
    tar(&out, tree, &all);
    fs::read(out).expect("read")
}

/// A lower and an upper layer, with whiteouts, and in `site`'s tree what comes of both.
fn two_layers(site: &Site) -> [Vec<u8>; 2] {
    let (lower, upper) = (site.path("lower"), site.path("upper"));
    let write = |root: &Path, path: &str, content: &str| {
        let file = root.join(path);
        fs::create_dir_all(file.parent().expect("parent")).expect("mkdir");
        fs::write(file, content).expect("write");
    };
    let kept = [("etc/passwd", "root"), ("usr/share/kept", "kept"), ("var/log/old", "old")];
    for (path, content) in kept {
        write(&lower, path, content);
    }
    fs::hard_link(lower.join("etc/passwd"), lower.join("etc/passwd-")).expect("link");
    for gone in ["etc/motd", "var/cache/a", "var/cache/b/c", "opt/app/file", "srv/was-a-dir/x"] {
        write(&lower, gone, "gone");
    }
    write(&upper, "etc/.wh.motd", "");
    write(&upper, "var/cache/.wh..wh..opq", "");
    write(&upper, "var/cache/new", "new");
    write(&upper, ".wh.opt", "");
    write(&upper, "etc/passwd", "root, and others");
    write(&upper, "srv/was-a-dir", "now a file");
    let layers = [layer(site, &lower, &["--gzip"]), layer(site, &upper, &["--zstd"])];
    // The same by hand.
    let (from, to) = (format!("{}/.", lower.display()), site.tree().display().to_string());
    run("cp", &["-a", &from, &to]);
    let tree = site.tree();
    for gone in ["etc/motd", "etc/passwd"] {
        fs::remove_file(tree.join(gone)).expect("rm");
    }
    for gone in ["var/cache", "opt", "srv/was-a-dir"] {
        fs::remove_dir_all(tree.join(gone)).expect("rm");
    }
    for marker in ["etc/.wh.motd", "var/cache/.wh..wh..opq", ".wh.opt"] {
        fs::remove_file(upper.join(marker)).expect("rm");
    }
    let from = format!("{}/.", upper.display());
    run("cp", &["-a", &from, &to]);
    // Directories have in the layers the times they had when those were made.
    for dir in ["etc", "var/cache", ""] {
        let file = fs::File::open(tree.join(dir)).expect("open");
        file.set_modified(std::time::UNIX_EPOCH).expect("time");
    }
    layers
}

#[test]
fn layers_of_an_oci_image_lie_on_one_another_as_the_specification_says() {
    let site = Site::new();
    let layers = two_layers(&site);
    let layout = Layout::new(&site);
    layout.index(&[layout.manifest(&layers)]);
    let as_layout = site.import(&layout.dir).expect("layout");
    let manifest = |digest| site.store.manifest(digest).expect("manifest");
    let strip = |digest| -> Vec<_> {
        let entries = manifest(digest).entries.into_iter();
        entries
            .map(|mut entry| {
                if entry.kind == EntryKind::Directory {
                    entry.mtime = 0;
                }
                entry
            })
            .collect()
    };
    assert_eq!(strip(as_layout), strip(site.digest()));
    for words in [&[][..], &["--gzip"], &["--zstd"]] {
        let out = site.path("archive");
        tar(&out, &layout.dir, words);
        assert_eq!(site.import(&out).expect("archive"), as_layout, "{words:?}");
    }
}

#[test]
fn one_layer_of_a_tree_is_the_tree() {
    let site = Site::new();
    fill(&site.tree());
    let layout = Layout::new(&site);
    layout.index(&[layout.manifest(&[layer(&site, &site.tree(), &["--gzip"])])]);
    assert_eq!(site.import(&layout.dir).expect("import"), site.digest());
}

#[test]
fn of_several_images_one_has_to_be_named() {
    let site = Site::new();
    let layers = two_layers(&site);
    let layout = Layout::new(&site);
    let named = |layers: &[Vec<u8>], name: &str, architecture: &str| {
        let mut manifest = layout.manifest(layers);
        manifest["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": name });
        manifest["platform"] = serde_json::json!({ "os": "linux", "architecture": architecture });
        manifest
    };
    layout.index(&[
        named(&layers[..1], "one", "amd64"),
        named(&layers, "two", "amd64"),
        named(&layers[1..], "two", "arm64"),
    ]);
    let import = |reference| site.import_as(&Origin::Path(layout.dir.clone()), reference);
    let error = import(None).expect_err("which?").to_string();
    assert!(error.contains("'one', 'two'") && error.contains("--reference"), "{error}");
    let error = import(Some("three")).expect_err("none").to_string();
    assert!(error.contains("'one'"), "{error}");
    assert_ne!(import(Some("one")).expect("one"), import(Some("two")).expect("two"));
    // An index in the index, as registries have one for several machines.
    let inner = serde_json::json!({ "manifests": [named(&layers, "x", "amd64"), named(&layers[..1], "x", "arm64")] });
    layout.index(&[layout.blob(inner.to_string().as_bytes(), "index.v1+json")]);
    assert_eq!(import(None).expect("ours"), import(None).expect("again"));
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_refused() {
    let site = Site::new();
    let layers = two_layers(&site);
    let layout = Layout::new(&site);
    layout.index(&[layout.manifest(&layers)]);
    for blob in fs::read_dir(layout.dir.join("blobs/sha256")).expect("dir") {
        let path = blob.expect("entry").path();
        let whole = fs::read(&path).expect("read");
        if whole == b"{}" {
            // The configuration is nothing that an image is made of.
            continue;
        }
        let mut damaged = whole.clone();
        *damaged.last_mut().expect("content") ^= 1;
        fs::write(&path, damaged).expect("write");
        assert!(site.import(&layout.dir).is_err(), "{}", path.display());
        fs::write(&path, whole).expect("write");
    }
    assert!(site.store.names().expect("names").is_empty());
    site.import(&layout.dir).expect("all is well again");
}

#[test]
fn root_the_file_systems_of_a_disk_image_are_one_tree() {
    let site = Site::new();
    let (root, boot) = (site.tree(), site.path("boot"));
    fs::create_dir_all(root.join("etc")).expect("mkdir");
    fs::create_dir_all(root.join("boot")).expect("mkdir");
    fs::create_dir(&boot).expect("mkdir");
    fs::write(root.join("etc/os-release"), "ID=debian\n").expect("write");
    fs::write(root.join("etc/fstab"), "LABEL=sys / ext4 defaults 0 1\nLABEL=boot /boot ext4 defaults 0 2\nUUID=12 none swap sw 0 0\n").expect("write");
    fs::write(boot.join("vmlinuz"), "a kernel").expect("write");
    let disk = site.path("disk.raw");
    fs::File::create(&disk).and_then(|file| file.set_len(64 << 20)).expect("disk");
    let script = site.path("table");
    fs::write(&script, "label: gpt\nstart=2048,size=32768\nstart=34816,size=65536\n")
        .expect("write");
    run("sh", &["-c", &format!("sfdisk -q {} < {}", disk.display(), script.display())]);
    for (tree, label, start, blocks) in
        [(&boot, "boot", 1u64 << 20, "16M"), (&root, "sys", 17 << 20, "32M")]
    {
        let part = site.path("part");
        let words = [
            "-q",
            "-t",
            "ext4",
            "-L",
            label,
            "-d",
            &tree.display().to_string(),
            &part.display().to_string(),
            blocks,
        ];
        run("mke2fs", &words);
        let (from, to) = (format!("if={}", part.display()), format!("of={}", disk.display()));
        run(
            "dd",
            &[&from, &to, "bs=1M", &format!("seek={}", start >> 20), "conv=notrunc", "status=none"],
        );
        fs::remove_file(part).expect("rm");
    }
    let digest = site.import(&disk).expect("import");
    let manifest = site.store.manifest(digest).expect("manifest");
    let has = |path: &str| manifest.entries.iter().any(|entry| entry.path == path);
    assert!(has("etc/os-release") && has("boot/vmlinuz"), "{:?}", manifest.entries);
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    assert!(!mounts.contains("/dev/loop"), "something stayed mounted: {mounts}");

    // What the fstab asks for has to be there.
    let sick = site.path("sick.raw");
    let words = [
        "-q",
        "-t",
        "ext4",
        "-L",
        "sys",
        "-d",
        &root.display().to_string(),
        &sick.display().to_string(),
        "32M",
    ];
    run("mke2fs", &words);
    let error = site.import(&sick).expect_err("no boot").to_string();
    assert!(error.contains("LABEL=boot on /boot"), "{error}");
}

#[test]
fn an_image_comes_from_an_imageserver() {
    let site = Site::new();
    let (server, expected) = imageserver::start();
    let origin =
        |image: &str| format!("dominator://{server}/{image}").parse::<Origin>().expect("origin");
    let digest = site.import_as(&origin("bootable/Debian"), None).expect("import");
    let found: Vec<(String, u32, EntryKind)> = site
        .store
        .manifest(digest)
        .expect("manifest")
        .entries
        .into_iter()
        .map(|entry| (entry.path, entry.mode, entry.kind))
        .collect();
    assert_eq!(found, expected);
    let error = site.import_as(&origin("nosuch"), None).expect_err("unknown").to_string();
    assert!(error.contains("no image 'nosuch'"), "{error}");
    let error = site.import_as(&origin("tampered"), None).expect_err("tampered").to_string();
    assert!(error.contains("SHA-512"), "{error}");
    let error = site.import_as(&origin("refused"), None).expect_err("refused").to_string();
    assert!(error.contains("access denied"), "{error}");
}
