//! `ftar` beside FAI's.

use super::bench::*;
use std::process::Command;

const ENV: &[(&str, &str)] = &[
    ("FAI", "@/space"),
    ("FAI_ROOT", "@/target"),
    ("classes", "DEFAULT DEBIAN DEMO LAST"),
    ("LOGDIR", "@/log"),
];
/// Archives cannot be written into a table: [`pack`] makes them of these directories.
const TREE: &[Entry] = &[
    Owned("DEBIAN/a", "debian\n", 0o4750),
    Owned("DEBIAN/d/b", "debian\n", 0o600),
    Link("DEBIAN/l", "/a"),
    Owned("DEMO/a", "demo\n", 0o640),
    Owned("OTHER/a", "other\n", 0o640),
    File("target/opt/old", "old\n"),
    File("target/opt/dir/old", "old\n"),
    Dir("log"),
];

const fn case(name: &'static str, args: &'static str) -> Case {
    Case { name, args, env: ENV, before: TREE, expect: Same }
}

const CASES: &[Case] = &[
    case("all classes, the highest first", "opt"),
    case("-1", "-1 opt"),
    case("-c", "-c DEMO_DEBIAN opt"),
    case("-d", "-d opt"),
    case("-r", "-r opt"),
    case("-s and -t", "-s @/space/files -t @/target opt"),
    case("no class", "-c NONE opt"),
    case("no class -i", "-i -c NONE opt"),
    case("no directory", "none"),
    Case { env: &[("FAI", "@/space"), ("classes", "DEMO")], ..case("no target", "opt") },
    Case {
        expect: Differs {
            because: "FAI ends with 0 although tar could not unpack",
            status: 2,
            files: &[],
        },
        ..case("broken archive", "-c BROKEN opt")
    },
];

/// FAI's program, but with the archives made first.
const ORACLE: &[&str] = &["/bin/bash", "-c", "/usr/sbin/ftar \"$@\"", "ftar"];

#[test]
fn root_archives() {
    compare_prepared("ftar", ORACLE, CASES, pack);
}

/// Packs the directories of [`TREE`].
fn pack(base: &str) {
    let script = "mkdir -p space/files/opt && cd space/files/opt &&
        tar --mtime=@1000000000 --sort=name -C ../../../DEBIAN -czf DEBIAN.tar.gz . &&
        tar --mtime=@1000000000 --sort=name -C ../../../DEMO -cJf DEMO.txz . &&
        tar --mtime=@1000000000 --sort=name -C ../../../OTHER -cf OTHER.tar . &&
        echo no archive > BROKEN.tar && rm -r ../../../DEBIAN ../../../DEMO ../../../OTHER";
    let status = Command::new("bash").args(["-c", script]).current_dir(base).status().unwrap();
    assert!(status.success());
}
