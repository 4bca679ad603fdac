//! What FAI does against its documentation, in whole runs: only where it is asked for, and told.

use crate::bench::output;
use crate::directory::{Bench, write};
use hostwright_model::plan::Rules;

const FILES: [(&str, &str); 7] = [
    ("class/10-base", "#!/bin/sh\necho FAIBASE EXTRA\n"),
    ("class/20-more.sh", "#!/bin/bash\nnewclasses=\"EXTRA SOURCED\"\n"),
    ("class/30-seen", "#!/bin/sh\nprintf 'WHOLE\\nCUT' > $LOGDIR/additional-classes\n"),
    ("class/demohost", "HOSTFILE # COMMENT\n"),
    ("class/EXTRA.var", "COUNT=1$COUNT\n"),
    ("hooks/configure.EXTRA", "#!/bin/sh\necho hook >> $target/etc/hooks\n"),
    ("scripts/EXTRA/10-count", "#!/bin/sh\necho $COUNT >> $target/etc/count\n"),
];

fn bench(fai_bugs: bool) -> Bench {
    let mut bench = Bench::new();
    for (name, text) in FILES {
        write(&bench.dir.path().join("space"), name, text);
    }
    bench.rules = Rules { fai_bugs, ..Rules::default() };
    let ended = bench.run();
    ended.unwrap_or_else(|fault| panic!("{fault}\n{}", output(&bench.events)));
    bench
}

fn classes(bench: &Bench) -> String {
    bench.log("FAI_CLASSES").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn root_the_documentation_counts() {
    let bench = bench(false);
    assert_eq!(classes(&bench), "DEFAULT FAIBASE EXTRA SOURCED WHOLE CUT HOSTFILE demohost LAST");
    assert_eq!(bench.target("etc/count"), "1\n");
    assert_eq!(bench.target("etc/hooks"), "hook\n");
    assert!(bench.log("fai.log").contains("warning[duplicate-class]: class EXTRA"));
}

#[test]
fn root_what_fai_does_instead_is_done_where_it_is_asked_for() {
    let bench = bench(true);
    assert_eq!(
        classes(&bench),
        "DEFAULT FAIBASE EXTRA EXTRA SOURCED WHOLE HOSTFILE COMMENT demohost LAST"
    );
    assert_eq!(bench.target("etc/count"), "11\n11\n");
    assert_eq!(bench.target("etc/hooks"), "hook\nhook\n");
    let log = bench.log("fai.log");
    for id in ["class-twice", "class-last-line", "class-trailing-comment"] {
        assert!(log.contains(&format!("warning[{id}]: ")), "{id}: {log}");
    }
}
