//! A file system that is made ready and laid down as blocks has the files of its image in it.

#![allow(clippy::disallowed_methods, reason = "tests make and read files, and start df")]
#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, not by their crate")]

use hostwright_engine::ready_made;
use hostwright_host::loop_disk::LoopDisk;
use hostwright_host::real::RealHost;
use hostwright_host::{Command, Host as _, MountRequest, Tool, namespace};
use hostwright_model::image::ReadyMade;
use hostwright_store::{AddOptions, BlockImage, Store};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

/// Files of many sizes, a link of each kind, and a directory to mount something on.
fn fill(tree: &Path) {
    for dir in ["etc/deep", "srv", "usr/lib", "root"] {
        fs::create_dir_all(tree.join(dir)).unwrap();
    }
    for number in 0..400_u32 {
        let text = number.to_string().repeat(number as usize * 7);
        fs::write(tree.join(format!("usr/lib/{number}")), text).unwrap();
    }
    let large: Vec<u8> = (0..5_000_001_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
    fs::write(tree.join("usr/large"), large).unwrap();
    fs::hard_link(tree.join("usr/large"), tree.join("usr/same")).unwrap();
    symlink("../usr/large", tree.join("etc/link")).unwrap();
}

fn tool(host: &mut RealHost, command: Command) {
    host.run(&command, &mut |_, _| {}).unwrap().success().unwrap();
}

fn compare(tree: &Path, laid: &Path) {
    for dir in ["etc", "usr", "usr/lib", "srv"] {
        for entry in fs::read_dir(tree.join(dir)).unwrap().flatten() {
            let there = laid.join(dir).join(entry.file_name());
            let (old, new) = (entry.metadata().unwrap(), there.symlink_metadata().unwrap());
            assert_eq!((old.mode(), old.mtime()), (new.mode(), new.mtime()), "{there:?}");
            if old.is_file() {
                assert!(fs::read(entry.path()).unwrap() == fs::read(&there).unwrap(), "{there:?}");
            }
        }
    }
    assert_eq!(fs::read_link(laid.join("etc/link")).unwrap(), Path::new("../usr/large"));
    let inode = |name: &str| fs::metadata(laid.join(name)).unwrap().ino();
    assert_eq!(inode("usr/large"), inode("usr/same"));
}

/// In a thread, so that the mounts are that thread's alone.
#[test]
fn root_blocks_become_a_sound_file_system_of_the_size_of_the_disk() {
    std::thread::spawn(|| {
        namespace::own_mounts().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (tree, laid) = (dir.path().join("tree"), dir.path().join("laid"));
        fill(&tree);
        let store = Store::open(dir.path().join("store")).unwrap();
        let image = store.add_tree(&tree, "web", &AddOptions::default(), &|_, _| {}).unwrap();
        let host = &mut RealHost::default();
        let made = ready_made::make(host, &store, &image).unwrap();
        assert_eq!((made.of, made.file_system.as_str()), (image.manifest, "ext4"));
        let named = store.resolve(&ReadyMade::name("web", "ext4")).unwrap();
        assert_eq!(ReadyMade::from_labels(&named).as_ref(), Some(&made));
        assert!(made.empty_directories.contains(&"/srv".to_owned()), "{made:?}");
        assert!(!made.empty_directories.contains(&"/etc".to_owned()), "{made:?}");

        let file = tempfile::tempfile().unwrap();
        file.set_len(2 << 30).unwrap();
        let disk = LoopDisk::attach(&file).unwrap();
        let device = format!("/dev/{}", disk.name());
        let opened = |digest| store.image(digest).unwrap();
        let source = BlockImage::new(opened(made.of), opened(named.manifest)).unwrap();
        host.lay_blocks(&device, &source, &mut |_| {}).unwrap();
        tool(host, Command::new(Tool::Resize2fs).args(["-f", &device]));
        tool(host, Command::new(Tool::Tune2fs).args(["-j", "-U", "random", &device]));
        tool(host, Command::new(Tool::E2fsck).args(["-f", "-n", &device]));
        host.mount(&MountRequest {
            source: device,
            target: laid.display().to_string(),
            file_system: Some("ext4".to_owned()),
            options: "ro".to_owned(),
        })
        .unwrap();
        compare(&tree, &laid);
        let room = room_of(&laid);
        assert!(room > 1_800 << 20, "it has grown to {room} bytes");
        host.unmount(&laid.display().to_string()).unwrap();
    })
    .join()
    .unwrap();
}

/// Bytes of a mounted file system, as df(1) tells them.
fn room_of(at: &Path) -> u64 {
    let mut df = std::process::Command::new("df");
    let output = df.args(["--output=size", "--block-size=1"]).arg(at).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().nth(1).unwrap().trim().parse().unwrap()
}
