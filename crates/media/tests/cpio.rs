//! Archives read back by GNU cpio, the peer.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]
#![allow(clippy::disallowed_methods, reason = "the peer is started as a user would")]

use hostwright_media::cpio::{Archive, Node};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

fn sample(content: &Path) -> Archive {
    let mut archive = Archive::default();
    archive.add("init", 0o755, Node::Bytes(b"#!/bin/sh\n".to_vec()));
    archive.add("dev/console", 0o600, Node::CharDevice { major: 5, minor: 1 });
    archive.add("bin/sh", 0o777, Node::Symlink("busybox".to_owned()));
    archive.add("lib/modules/x/odd-length", 0o644, Node::Copy(content.to_owned()));
    archive.add("empty", 0o600, Node::Bytes(Vec::new()));
    archive.add("tmp", 0o1777, Node::Directory);
    archive
}

fn bytes(archive: &Archive) -> Vec<u8> {
    let mut bytes = Vec::new();
    archive.write_to(&mut bytes, 1_700_000_000).unwrap();
    bytes
}

#[test]
fn root_gnu_cpio_unpacks_what_was_put_in() {
    let dir = tempfile::tempdir().unwrap();
    let (content, out) = (dir.path().join("content"), dir.path().join("out"));
    fs::write(&content, "7 bytes").unwrap();
    fs::create_dir(&out).unwrap();
    fs::write(dir.path().join("archive"), bytes(&sample(&content))).unwrap();
    let status = Command::new("cpio")
        .args(["--extract", "--quiet", "--make-directories", "--preserve-modification-time"])
        .stdin(Stdio::from(fs::File::open(dir.path().join("archive")).unwrap()))
        .current_dir(&out)
        .status()
        .expect("Debian's package cpio is installed");
    assert!(status.success());
    assert_eq!(fs::read(out.join("lib/modules/x/odd-length")).unwrap(), b"7 bytes");
    assert_eq!(fs::read_link(out.join("bin/sh")).unwrap(), Path::new("busybox"));
    assert_eq!(fs::metadata(out.join("empty")).unwrap().len(), 0);
    let mode = |path: &str| fs::metadata(out.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode("init"), mode("tmp"), mode("lib/modules")], [0o755, 0o1777, 0o755]);
    let console = fs::metadata(out.join("dev/console")).unwrap();
    assert!(console.file_type().is_char_device());
    assert_eq!(console.rdev(), 5 << 8 | 1);
    assert_eq!(fs::metadata(out.join("init")).unwrap().mtime(), 1_700_000_000);
}

#[test]
fn the_order_of_adding_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let content = dir.path().join("content");
    fs::write(&content, "7 bytes").unwrap();
    let mut other = Archive::default();
    other.add("tmp", 0o1777, Node::Directory);
    other.add("lib/modules/x/odd-length", 0o644, Node::Copy(content.clone()));
    other.add("empty", 0o600, Node::Bytes(Vec::new()));
    other.add("dev/console", 0o600, Node::CharDevice { major: 5, minor: 1 });
    other.add("bin/sh", 0o777, Node::Symlink("busybox".to_owned()));
    other.add("init", 0o755, Node::Bytes(b"#!/bin/sh\n".to_vec()));
    assert_eq!(bytes(&sample(&content)), bytes(&other));
}
