//! `fcopy` beside FAI's.

use super::bench::*;

const ENV: &[(&str, &str)] = &[
    ("FAI", "@/space"),
    ("FAI_ROOT", "@/target"),
    ("classes", "DEFAULT DEBIAN\nDEMO LAST"),
    ("LOGDIR", "@/log"),
];
const TWO: &[Entry] = &[
    Dir("target"),
    Dir("log"),
    Owned("space/files/etc/motd/DEBIAN", "debian\n", 0o640),
    Owned("space/files/etc/motd/DEMO", "demo\n", 0o600),
    Owned("space/files/etc/motd/OTHER", "other\n", 0o600),
];
const EXISTING: &[Entry] = &[
    File("target/etc/motd", "old\n"),
    Dir("log"),
    Owned("space/files/etc/motd/DEMO", "demo\n", 0o600),
];
const EQUAL: &[Entry] = &[
    File("target/etc/motd", "demo\n"),
    Dir("log"),
    Owned("space/files/etc/motd/DEMO", "demo\n", 0o600),
];
const NO_MATCH: &[Entry] =
    &[File("target/etc/motd", "old\n"), Dir("log"), File("space/files/etc/motd/OTHER", "x\n")];
const TREE: &[Entry] = &[
    Dir("target"),
    Dir("log"),
    File("space/files/etc/a/DEMO", "a\n"),
    File("space/files/etc/b/c/DEBIAN", "c\n"),
    File("space/files/etc/b/DEMO", "not a leaf\n"),
    File("space/files/etc/b/d/.svn/x", "ignored\n"),
    File("space/files/etc/b/d/DEMO", "d\n"),
    File("space/files/etc/e/OTHER", "no class\n"),
    Dir("space/files/etc/empty"),
    File("space/files/usr/f/DEMO", "f\n"),
];
const MODES: &[Entry] = &[
    Dir("target"),
    Dir("log"),
    Owned("space/files/etc/m/DEMO", "demo\n", 0o600),
    Owned("space/files/etc/n/DEBIAN", "debian\n", 0o600),
    File("space/files/etc/m/file-modes", "# c\n\n7 8 0600 OTHER\n5 6 4755 DEMO\n1 1 0600 DEMO\n"),
    File("space/files/etc/n/file-modes", "1 2 0600\n3 4 0640\n5 6 0755 DEMO\n"),
];
const VARIABLES: &[Entry] = &[
    Dir("target"),
    Dir("log"),
    File("space/files/etc/s/DEMO", "a {%release%} {%EMPTY%}{%FAI_X%}\n{% no %} {%{%release%}%}\n"),
    File("space/files/etc/u/DEMO", "{%release%}\n{%NOT_SET%} end\n"),
    File("space/files/etc/t/DEMO", "{%release%}\n"),
    File("space/files/etc/t/_substitute", ""),
];
const SCRIPTS: &[Entry] = &[
    File("target/etc/old", "same\n"),
    Dir("log"),
    File("space/files/etc/p/DEMO", "text\n"),
    Owned("space/files/etc/p/preinst", "#!/bin/sh\necho \"$1 $classes\" >> $2\n", 0o755),
    File("space/files/etc/q/DEMO", "text\n"),
    Owned("space/files/etc/q/preinst", "#!/bin/sh\nexit 3\n", 0o755),
    File("space/files/etc/r/DEMO", "text\n"),
    Owned(
        "space/files/etc/r/postinst",
        "#!/bin/sh\necho \"$1 $2 $FAI_ROOT $target $ROOTCMD\" > $FAI_ROOT/post\n",
        0o755,
    ),
    File("space/files/etc/f/DEMO", "text\n"),
    Owned("space/files/etc/f/postinst", "#!/bin/sh\necho out; exit 1\n", 0o755),
    File("space/files/etc/x/DEMO", "text\n"),
    Owned("space/files/etc/x/postinst", "#!/bin/sh\nexit 1\n", 0o644),
    File("space/files/etc/old/DEMO", "same\n"),
    Owned("space/files/etc/old/postinst", "#!/bin/sh\ntouch $FAI_ROOT/ran\n", 0o755),
];
const LINKS: &[Entry] = &[
    Dir("target/etc"),
    Dir("log"),
    Link("space/files/etc/l/DEMO", "../motd/DEMO"),
    Link("space/files/etc/broken/DEMO", "nowhere"),
    File("space/files/etc/motd/DEMO", "demo\n"),
    Link("target/etc/same", "../motd/DEMO"),
    File("target/motd/DEMO", "x\n"),
    Link("space/files/etc/same/DEMO", "../motd/DEMO"),
];
const TO_LINK: &[Entry] = &[
    File("target/etc/real", "old\n"),
    Link("target/etc/motd", "real"),
    Dir("log"),
    File("space/files/etc/motd/DEMO", "demo\n"),
];

const fn case(name: &'static str, args: &'static str, before: &'static [Entry]) -> Case {
    Case { name, args, env: ENV, before, expect: Same }
}

const CASES: &[Case] = &[
    case("last class wins", "-v etc/motd", TWO),
    case("leading slash and dot", "/./etc/motd", TWO),
    case("-M", "-M /etc/motd", TWO),
    case("-m with numbers", "-m 12,34,4750 /etc/motd", TWO),
    case("-m wrong number of items", "-m root,root /etc/motd", TWO).failing(),
    case("-m wrong mode", "-m 0,0,rwx /etc/motd", TWO).failing(),
    case("-c", "-c DEBIAN,NONE /etc/motd", TWO),
    case(
        "-C",
        "-C @/list /etc/motd",
        &[
            Dir("target"),
            Dir("log"),
            File("list", "# DEMO\nX DEBIAN\nOTHER\n"),
            File("space/files/etc/motd/DEBIAN", "debian\n"),
            File("space/files/etc/motd/OTHER", "other\n"),
            File("space/files/etc/motd/DEMO", "demo\n"),
        ],
    ),
    case("-s and -t", "-s @/space/files/etc -t @/elsewhere -iM motd", TWO),
    case(
        "-F",
        "-F @/list",
        &[
            Dir("target"),
            Dir("log"),
            File("list", "# comment\n/etc/a\netc/b\n"),
            File("space/files/etc/a/DEMO", "a\n"),
            File("space/files/etc/b/DEMO", "b\n"),
        ],
    ),
    case("-L", "-L @/my.log /etc/motd /etc/none", TWO),
    case("several sources, one missing", "/etc/none /etc/motd", TWO),
    case("-i missing directory", "-i /etc/none", TWO),
    case("source is a variant", "/etc/motd/DEMO", TWO),
    case("no class", "/etc/motd", NO_MATCH),
    case("no class -i", "-i /etc/motd", NO_MATCH),
    case("no class -d", "-d /etc/motd", NO_MATCH),
    case("no class -di", "-di /etc/motd", NO_MATCH),
    case("no class -dB", "-dB /etc/motd", NO_MATCH),
    case("no class -d -b", "-d -b @/backup /etc/motd", NO_MATCH),
    case("backup", "/etc/motd", EXISTING),
    case("-B", "-B /etc/motd", EXISTING),
    case("-b", "-b @/backup -M /etc/motd", EXISTING),
    case("-n", "-n /etc/motd", EXISTING),
    case("equal: owner, mode and time are set", "-v /etc/motd", EQUAL),
    case("equal -M", "-vM /etc/motd", EQUAL),
    case("-r", "-r /etc", TREE).sorted(),
    case("-r with slash", "-riM /etc/", TREE).sorted(),
    case("-r two", "-r etc/b usr", TREE).sorted(),
    Case {
        env: &[
            ("FAI", "@/space"),
            ("FAI_ROOT", "@/target"),
            ("classes", "DEMO"),
            ("HOSTWRIGHT_FAI_BUGS", "1"),
        ],
        ..case("-r leaf itself, as FAI", "-r /etc/a", TREE)
    },
    Case {
        expect: Differs {
            because: "FAI copies nothing if the source itself has no directories",
            status: 0,
            files: &[("target/etc/a", "a\n")],
        },
        ..case("-r leaf itself", "-r /etc/a", TREE)
    },
    case("-r missing", "-r /none", TREE),
    case("-r -I", "-r -I a,b /etc", TREE).sorted(),
    case("file-modes of class", "/etc/m", MODES),
    case("file-modes default", "-M /etc/n", MODES),
    case("-S", "-S /etc/s", VARIABLES),
    case("-S unset variable", "-S /etc/u", VARIABLES),
    case("_substitute", "/etc/t", VARIABLES),
    case("no substitution", "/etc/s", VARIABLES),
    case("preinst", "/etc/p", SCRIPTS),
    case("preinst fails", "/etc/q", SCRIPTS),
    case("postinst", "/etc/r", SCRIPTS),
    case("postinst fails", "/etc/f", SCRIPTS),
    case("postinst not executable", "-v /etc/x", SCRIPTS),
    case("no postinst for equal files", "/etc/old", SCRIPTS),
    case("-H", "-H /etc/l", LINKS),
    case("-H broken", "-H /etc/broken", LINKS),
    case("-H equal", "-H /etc/same", LINKS),
    case("link without -H", "/etc/l", LINKS),
    case("broken link is no variant", "/etc/broken", LINKS),
    case("-l", "-l /etc/motd", TO_LINK),
    case("destination is a link", "/etc/motd", TO_LINK),
    case("destination is a link -B", "-BM /etc/motd", TO_LINK),
];

/// FAI's variables instead of options.
const BY_VARIABLE: &[Case] = &[
    Case {
        name: "FCOPY_DRYRUN",
        args: "/etc/motd",
        env: &[
            ("FAI", "@/space"),
            ("target", "@/target"),
            ("classes", "DEMO"),
            ("FCOPY_DRYRUN", "1"),
        ],
        before: EXISTING,
        expect: Same,
    },
    Case {
        name: "FCOPY_NOBACKUP, FCOPY_SUBSTITUTE",
        args: "/etc/s",
        env: &[
            ("FAI", "@/space"),
            ("FAI_ROOT", "@/target"),
            ("classes", "DEMO"),
            ("FCOPY_NOBACKUP", "1"),
            ("FCOPY_SUBSTITUTE", "1"),
            ("release", "bookworm"),
            ("EMPTY", ""),
            ("FAI_X", "{%release%}"),
        ],
        before: VARIABLES,
        expect: Same,
    },
    Case {
        name: "FAI_BACKUPDIR, FCOPY_IGNOREDIRS",
        args: "-r /etc",
        env: &[
            ("FAI", "@/space"),
            ("FAI_ROOT", "@/target"),
            ("classes", "DEMO"),
            ("FAI_BACKUPDIR", "@/backup"),
            ("FCOPY_IGNOREDIRS", "b e"),
        ],
        before: TREE,
        expect: Same,
    },
    Case {
        name: "no target",
        args: "/etc/motd",
        env: &[("FAI", "@/space"), ("classes", "DEMO")],
        before: TWO,
        expect: SameTree,
    }
    .failing(),
];

/// Where we differ on purpose.
const DEVIATIONS: &[Case] = &[
    Case {
        expect: Differs {
            because: "FAI prints its help and ends with 0, so that a mistyped option looks done",
            status: 2,
            files: &[],
        },
        ..case("unknown option", "-Z /etc/motd", TWO)
    },
    Case {
        expect: Differs {
            because: "FAI follows an absolute link of the target to the host's own files",
            status: 0,
            files: &[("target/run/x/f", "demo\n"), ("outside/x/f", "host\n")],
        },
        ..case(
            "absolute link in the target",
            "-BM /var/run/x/f",
            &[
                Dir("log"),
                File("outside/x/f", "host\n"),
                Link("target/var/run", "/run"),
                Dir("target/run/x"),
                File("space/files/var/run/x/f/DEMO", "demo\n"),
            ],
        )
    },
    Case {
        expect: Differs {
            because: "FAI gives root to a file whose owner the target does not know, and says nothing",
            status: 1,
            files: &[("target/etc/motd", "demo\n")],
        },
        ..case("unknown owner", "-m nobody-here,0,0644 /etc/motd", TWO)
    },
    Case {
        expect: Differs {
            because: "FAI needs perl in the target to find the number of a name",
            status: 0,
            files: &[("target/etc/motd", "demo\n")],
        },
        ..case(
            "names of the target",
            "-m web,www,0640 /etc/motd",
            &[
                File("target/etc/passwd", "root:x:0:0::/:/bin/sh\nweb:x:77:78::/:/bin/sh\n"),
                File("target/etc/group", "www:x:79:\n"),
                Dir("log"),
                File("space/files/etc/motd/DEMO", "demo\n"),
            ],
        )
    },
    Case {
        expect: Differs {
            because: "FAI copies into the directory, under the name of the class",
            status: 1,
            files: &[],
        },
        ..case(
            "destination is a directory",
            "/etc/motd",
            &[Dir("target/etc/motd"), Dir("log"), File("space/files/etc/motd/DEMO", "demo\n")],
        )
    },
    Case {
        expect: Differs {
            because: "FAI copies the file with owner 1 and the mode of the copy",
            status: 1,
            files: &[("target/etc/motd", "demo\n")],
        },
        ..case(
            "file-modes without the class",
            "/etc/motd",
            &[
                Dir("target"),
                Dir("log"),
                File("space/files/etc/motd/DEMO", "demo\n"),
                File("space/files/etc/motd/file-modes", "5 6 0600 OTHER\n"),
            ],
        )
    },
];

#[test]
fn root_options_of_fcopy() {
    compare("fcopy", &["/usr/sbin/fcopy"], CASES);
}

#[test]
fn root_variables_of_fcopy() {
    compare("fcopy", &["/usr/sbin/fcopy"], BY_VARIABLE);
}

#[test]
fn root_deviations_of_fcopy() {
    compare("fcopy", &["/usr/sbin/fcopy"], DEVIATIONS);
}
