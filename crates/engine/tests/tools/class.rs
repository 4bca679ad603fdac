//! `fai-class` beside FAI's.

use super::bench::*;

const ENV: &[(&str, &str)] =
    &[("LOGDIR", "@/log"), ("HOSTNAME", "web01"), ("ADDCLASSES", "EXTRA,MORE"), ("X", "x")];
const TREE: &[Entry] = &[
    Dir("log"),
    Owned("c/10-base", "#!/bin/sh\necho LINUX AMD64\necho DEBIAN\n", 0o755),
    Owned(
        "c/20-asks",
        "#!/bin/bash\ncase $classes in *AMD64*) echo SIXTYFOUR;; esac\npwd >&2\n",
        0o755,
    ),
    Owned("c/30-sets.sh", "newclasses='FROM_SH TWO'\nkept=yes\necho NOT_A_CLASS\n", 0o755),
    Owned("c/40-keeps.sh", "[ \"$kept\" = yes ] && newclasses=KEPT\n", 0o755),
    Owned("c/50-nothing", "#!/bin/sh\n", 0o755),
    Owned("c/60-leaves", "#!/bin/sh\necho LEFT > $LOGDIR/additional-classes\n", 0o755),
    Owned("c/70-skipped", "#!/bin/sh\necho NO\n", 0o644),
    Owned("c/80-backup~", "#!/bin/sh\necho NO\n", 0o755),
    Owned("c/90-calls", "#!/bin/bash\ncalled-by-90\n", 0o755),
    Owned("c/called-by-90", "#!/bin/sh\necho CALLED\n", 0o755),
    Owned("c/1-x", "#!/bin/sh\necho NO\n", 0o755),
    File("c/web01", "# comment\nHOST_A HOST_B\n"),
];

const fn case(name: &'static str, args: &'static str, before: &'static [Entry]) -> Case {
    Case { name, args, env: ENV, before, expect: SameTree }
}

const CASES: &[Case] = &[
    case("all of it", "@/c @/out", TREE),
    case("old file is kept", "@/c @/out", &[Dir("c"), Dir("log"), File("out", "OLD\n")]),
    case("-T without duplicates", "-T @/c @/out", TREE),
    case("a script fails", "@/c @/out", FAILING),
    case("no directory", "@/none @/out", TREE).failing(),
    Case {
        expect: Differs {
            because: "FAI keeps a class as often as it is defined, and runs its scripts as often",
            status: 2,
            files: &[("out", "DEFAULT\nA\nB\nweb01\nEXTRA\nLAST\n")],
        },
        env: &[("LOGDIR", "@/log"), ("HOSTNAME", "web01"), ("ADDCLASSES", "EXTRA,A")],
        ..case("-T with duplicates", "-T @/c @/out", TWICE)
    },
    Case {
        expect: Differs {
            because: "FAI joins the lines first, so that a comment swallows everything",
            status: 0,
            files: &[("out", "DEFAULT\nA\nB\nEXTRA\nMORE\nweb01\nLAST\n")],
        },
        ..case(
            "comments in output",
            "@/c @/out",
            &[
                Dir("log"),
                Owned(
                    "c/10-x",
                    "#!/bin/sh\necho '# comment'; echo A; echo '# more'; echo B\n",
                    0o755,
                ),
            ],
        )
    },
];
const FAILING: &[Entry] = &[Dir("log"), Owned("c/10-x", "#!/bin/sh\necho A; exit 3\n", 0o755)];
const TWICE: &[Entry] =
    &[Dir("log"), Owned("c/10-x", "#!/bin/sh\necho A B A\n", 0o755), File("c/web01", "web01\n")];

#[test]
fn root_class_definitions() {
    compare("fai-class", &["/usr/bin/fai-class"], CASES);
}
