//! The real host on loop devices: tables, file systems, mounts, removal, trees.
//!
//! These tests need root. What they make they take away again, also when they fail.

use hostwright_host::real::{RealHost, RealOptions};
use hostwright_host::{Command, Host, HostError, MountRequest, Tool};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, TreeSource};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process;

const MIB: u64 = 1 << 20;

/// A scratch directory with a disk in a loop device; the mounts below the directory and the device
/// go when it is dropped.
struct Scratch {
    dir: tempfile::TempDir,
    device: String,
}

impl Scratch {
    fn new(disk_bytes: u64) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let image = dir.path().join("disk.img");
        fs::File::create(&image).and_then(|file| file.set_len(disk_bytes)).expect("makes the disk");
        let mut losetup = process::Command::new("losetup");
        losetup.args(["--find", "--show", "--partscan"]).arg(&image);
        let output = losetup.output().expect("losetup runs");
        assert!(output.status.success(), "{output:?}");
        let device = String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned();
        Self { dir, device }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn root(&self) -> String {
        self.path("root")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut host = host();
        for mount in host.mounts_below(&self.path("")).unwrap_or_default().iter().rev() {
            let _ = host.unmount(mount);
        }
        let _ = process::Command::new("partx").args(["--delete", &self.device]).output();
        let _ = process::Command::new("losetup").args(["--detach", &self.device]).output();
    }
}

fn host() -> RealHost {
    RealHost::new(RealOptions::default())
}

fn run(host: &mut RealHost, command: Command) {
    host.run(&command, &mut |_, _| {}).and_then(|output| output.success()).expect("succeeds");
}

fn mount(host: &mut RealHost, source: &str, target: &str, kind: Option<&str>, options: &str) {
    let request = MountRequest {
        source: source.to_owned(),
        target: target.to_owned(),
        file_system: kind.map(str::to_owned),
        options: options.to_owned(),
    };
    host.mount(&request).expect("mounts");
}

#[test]
fn root_a_disk_is_partitioned_formatted_and_mounted() {
    let scratch = Scratch::new(64 * MIB);
    let (mut host, device) = (host(), scratch.device.clone());
    let table = "label: gpt\nstart=2048, size=32768, name=\"my root\"\nstart=34816, size=32768\n";
    run(
        &mut host,
        Command::new(Tool::Sfdisk).args(["--quiet", "--no-reread", &device]).stdin(table),
    );
    run(&mut host, Command::new(Tool::Partx).args(["--update", &device]));
    let (first, second) = (format!("{device}p1"), format!("{device}p2"));
    run(&mut host, Command::mkfs("ext4").args(["-q", "-L", "a b", &first]));
    let ids = host.device_ids(&first).expect("blkid answers");
    assert_eq!(ids.kind.as_deref(), Some("ext4"));
    assert_eq!(ids.label.as_deref(), Some("a b"));
    assert_eq!(ids.partlabel.as_deref(), Some("my root"));
    assert_eq!(ids.uuid.map(|uuid| uuid.len()), Some(36));
    let blank = host.device_ids(&second).expect("blkid answers");
    assert_eq!((blank.kind, blank.uuid, blank.label), (None, None, None));
    assert!(host.device_ids("/dev/nowhere").is_err());

    let root = scratch.root();
    mount(&mut host, &first, &root, Some("ext4"), "defaults,noatime,errors=remount-ro");
    host.write(&format!("{root}/etc/hostname"), b"x\n", 0o644).expect("writes");
    let table = fs::read_to_string("/proc/self/mountinfo").expect("reads");
    let line = table.lines().find(|line| line.contains(&root)).expect("is mounted");
    assert!(line.contains("noatime") && line.contains("errors=remount-ro"), "{line}");
    host.unmount(&root).expect("unmounts");
    assert_eq!(host.read(&format!("{root}/etc/hostname")).expect("reads"), None);
}

#[test]
fn root_mounts_below_are_listed_in_order_and_taken_away() {
    let scratch = Scratch::new(MIB);
    let (mut host, root) = (host(), scratch.root());
    mount(&mut host, "tmpfs", &root, Some("tmpfs"), "size=1m,mode=0755");
    let (odd, bound) = (format!("{root}/a b"), format!("{root}/a b/bound"));
    mount(&mut host, "tmpfs", &odd, Some("tmpfs"), "");
    host.write(&format!("{root}/source/file"), b"", 0o644).expect("writes");
    mount(&mut host, &format!("{root}/source"), &bound, None, "bind,ro,private");
    assert_eq!(host.mounts_below(&root).expect("lists"), [&*root, &odd, &bound]);
    assert_eq!(host.mounts_below(&odd).expect("lists"), [&*odd, &bound]);
    let error = host.write(&format!("{bound}/new"), b"", 0o644).expect_err("it is read-only");
    let HostError::Io { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.kind(), io::ErrorKind::ReadOnlyFilesystem);

    // A removal stops at what is mounted, also where a bind mount has the same device number.
    assert!(host.remove(&odd).is_err());
    assert_eq!(host.list(&bound).expect("lists"), ["file"]);
    for path in [&bound, &odd, &root] {
        host.unmount(path).expect("unmounts");
        host.unmount(path).expect("what is not mounted is fine");
    }
    assert_eq!(host.mounts_below(&root).expect("lists"), Vec::<String>::new());
    let start = std::time::Instant::now();
    let missing = format!("{root}/never");
    host.unmount(&missing).expect("what is not there is fine");
    assert!(start.elapsed().as_secs() < 2);
}

#[test]
fn root_tools_run_inside_another_root() {
    let scratch = Scratch::new(MIB);
    let (mut host, root) = (host(), scratch.root());
    // The whole of this system, read-only, is a root with every program.
    mount(&mut host, "/", &root, None, "bind,ro");
    mount(&mut host, "tmpfs", &format!("{root}/tmp"), Some("tmpfs"), "");
    host.write(&format!("{root}/tmp/mark"), b"inside", 0o644).expect("writes");
    let command = Command::new(Tool::Bash).args(["-c", "pwd; cat /tmp/mark"]).in_root(&root);
    let output = host.run(&command, &mut |_, _| {}).expect("runs");
    assert_eq!(output.stdout, "/\ninside");
}

/// A tree in memory.
struct Memory {
    entries: Vec<Entry>,
    files: BTreeMap<String, Vec<u8>>,
}

impl TreeSource for Memory {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        let content = self.files.get(&entry.path).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Box::new(content.as_slice()))
    }
}

impl Memory {
    fn add(&mut self, path: &str, mode: u32, kind: EntryKind) -> &mut Entry {
        let (path, xattrs) = (path.to_owned(), BTreeMap::new());
        let entry = Entry { path, mode, uid: 0, gid: 0, mtime: 1_600_000_000, xattrs, kind };
        self.entries.push(entry);
        self.entries.last_mut().expect("pushed just now")
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> &mut Entry {
        self.files.insert(path.to_owned(), content.to_owned());
        let (size, digest) = (content.len() as u64, Digest([0; 32]));
        self.add(path, mode, EntryKind::File { size, digest })
    }
}

fn sample() -> Memory {
    let mut tree = Memory { entries: vec![], files: BTreeMap::new() };
    tree.add("", 0o755, EntryKind::Directory);
    tree.add("dev", 0o755, EntryKind::Directory);
    tree.add("dev/null", 0o666, EntryKind::CharDevice { major: 1, minor: 3 });
    tree.add("dev/disk", 0o660, EntryKind::BlockDevice { major: 254, minor: 1 }).gid = 6;
    tree.add("etc", 0o750, EntryKind::Directory);
    tree.add("etc/pipe", 0o600, EntryKind::Fifo);
    tree.file("etc/shadow", 0o640, b"secret").gid = 42;
    // Not writable for anybody, and not even searchable: it must still be filled.
    tree.add("etc/closed", 0o000, EntryKind::Directory).uid = 7;
    tree.file("etc/closed/file", 0o400, b"x");
    tree.add("etc/link", 0o777, EntryKind::Symlink { target: "../no where".to_owned() }).uid = 5;
    let big = vec![7; 300_000];
    let ping = tree.file("ping", 0o4755, &big);
    // cap_net_raw, version 2 (linux/capability.h).
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    ping.xattrs.insert("security.capability".to_owned(), capability.to_vec());
    ping.uid = 3;
    tree.add("pong", 0o4755, EntryKind::Hardlink { target: "ping".to_owned() });
    tree.add("tmp", 0o1777, EntryKind::Directory);
    for number in 0..500 {
        tree.file(&format!("tmp/{number}"), 0o644, number.to_string().as_bytes());
    }
    tree
}

fn check_sample(root: &str) {
    let meta = |path: &str| fs::symlink_metadata(format!("{root}/{path}")).expect(path);
    let of = |path: &str| {
        let meta = meta(path);
        (meta.mode() & 0o7777, meta.uid(), meta.gid(), meta.mtime())
    };
    let at = 1_600_000_000;
    assert_eq!(of(""), (0o755, 0, 0, at));
    assert_eq!(of("etc"), (0o750, 0, 0, at));
    assert_eq!(of("etc/shadow"), (0o640, 0, 42, at));
    assert_eq!(of("etc/closed"), (0, 7, 0, at));
    assert_eq!(of("etc/closed/file"), (0o400, 0, 0, at));
    assert_eq!(of("tmp"), (0o1777, 0, 0, at));
    assert_eq!(of("ping"), (0o4755, 3, 0, at));
    assert_eq!((of("etc/link").1, of("etc/link").3), (5, at));
    assert_eq!(of("dev/disk"), (0o660, 0, 6, at));
    assert!(meta("dev/null").file_type().is_char_device());
    assert_eq!(meta("dev/null").rdev(), rustix::fs::makedev(1, 3));
    assert!(meta("etc/pipe").file_type().is_fifo());
    assert_eq!(meta("ping").ino(), meta("pong").ino());
    assert_eq!(meta("ping").nlink(), 2);
    assert_eq!(meta("ping").len(), 300_000);
    let target = fs::read_link(format!("{root}/etc/link")).expect("is a link");
    assert_eq!(target.to_str(), Some("../no where"));
    let mut value = [0; 20];
    let length =
        rustix::fs::getxattr(format!("{root}/ping"), "security.capability", &mut value[..])
            .expect("has a capability");
    assert_eq!((length, value[5]), (20, 32));
    assert_eq!(fs::read(format!("{root}/tmp/499")).expect("reads"), b"499");
}

#[test]
fn root_a_tree_is_laid_down_whole_and_again_over_its_own_remains() {
    let scratch = Scratch::new(64 * MIB);
    let (mut host, root) = (host(), scratch.root());
    run(&mut host, Command::mkfs("ext4").args(["-q", &scratch.device]));
    mount(&mut host, &scratch.device, &root, Some("ext4"), "");
    let tree = sample();
    let mut bytes = 0;
    host.lay_tree(&root, &tree, &mut |sum| bytes = sum).expect("lays the tree");
    let expected: u64 = tree.files.values().map(|content| content.len() as u64).sum();
    assert_eq!(bytes, expected);
    check_sample(&root);

    // What a power cut may leave: some files half, links not yet links.
    host.write(&format!("{root}/etc/shadow"), b"longer than the secret", 0o777).expect("writes");
    host.remove(&format!("{root}/pong")).expect("removes");
    host.write(&format!("{root}/pong"), b"", 0o600).expect("writes");
    host.lay_tree(&root, &tree, &mut |_| {}).expect("lays it again");
    check_sample(&root);
    assert_eq!(fs::read(format!("{root}/etc/shadow")).expect("reads"), b"secret");
}

#[test]
fn root_a_tree_cannot_leave_its_root() {
    let scratch = Scratch::new(MIB);
    let (mut host, root) = (host(), scratch.root());
    host.make_dir(&root, 0o755).expect("makes");
    host.make_dir(&scratch.path("outside"), 0o755).expect("makes");
    let tree_with = |path: &str| {
        let mut tree = Memory { entries: vec![], files: BTreeMap::new() };
        tree.add("way", 0o777, EntryKind::Symlink { target: "../outside".to_owned() });
        tree.file(path, 0o644, b"evil");
        tree
    };
    for path in ["way/file", "../outside/file", "/etc/evil", "a/../../outside/file", "way/.."] {
        // The link first, by itself: the passes of one call run in parallel.
        let mut link = tree_with(path);
        link.entries.truncate(1);
        host.lay_tree(&root, &link, &mut |_| {}).expect("lays the link");
        host.lay_tree(&root, &tree_with(path), &mut |_| {}).expect_err(path);
        assert_eq!(host.list(&scratch.path("outside")).expect("lists"), Vec::<String>::new());
    }
}

#[test]
fn root_content_that_does_not_verify_stops_it_and_is_named() {
    let scratch = Scratch::new(MIB);
    let (mut host, root) = (host(), scratch.root());
    host.make_dir(&root, 0o755).expect("makes");
    let mut tree = sample();
    tree.files.remove("tmp/250");
    let error = host.lay_tree(&root, &tree, &mut |_| {}).expect_err("one file is bad");
    assert_eq!(error.to_string(), format!("cannot lay down {root}/tmp/250"));
}

#[test]
fn root_this_machine_has_facts() {
    let facts = host().facts().expect("the probes work");
    assert!(facts.memory_bytes > 64 * MIB && facts.cpus > 0);
    assert!(facts.disks.iter().all(|disk| !disk.name.starts_with("loop") && disk.size_bytes > 0));
    assert!(facts.nics.iter().all(|nic| nic.name != "lo"));
    let sorted = facts.disks.is_sorted_by(|a, b| a.name < b.name);
    assert!(sorted, "{:?}", facts.disks);
}
