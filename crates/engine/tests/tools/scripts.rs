//! `fai-do-scripts` and `check_status` beside FAI's.

use super::bench::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const ENV: &[(&str, &str)] =
    &[("classes", "DEFAULT DEBIAN DEMO HOST"), ("LOGDIR", "@/log"), ("target", "@/target")];
const TREE: &[Entry] = &[
    Dir("log"),
    Dir("target"),
    Owned("s/DEBIAN/20-b", "#!/bin/bash\necho b; echo err >&2; pwd; exit 4\n", 0o755),
    Owned("s/DEBIAN/10-a", "#! /bin/sh\necho $0 $classes > $target/a\n", 0o755),
    Owned("s/DEBIAN/10-a~", "#! /bin/sh\ntouch $target/backup\n", 0o755),
    Owned("s/DEBIAN/15-x.dpkg-old", "#! /bin/sh\ntouch $target/old\n", 0o755),
    Owned("s/DEBIAN/1-one-digit", "#! /bin/sh\ntouch $target/one\n", 0o755),
    Owned("s/DEBIAN/30-not-executable", "#! /bin/sh\ntouch $target/no\n", 0o644),
    Owned("s/DEMO/10-c", "#!/bin/bash\necho c\n", 0o755),
    Owned("s/OTHER/10-d", "#!/bin/bash\ntouch $target/other\n", 0o755),
    Owned("s/HOST", "#!/bin/bash\necho host\n", 0o755),
];

const fn case(name: &'static str, args: &'static str) -> Case {
    Case { name, args, env: ENV, before: TREE, expect: Same }
}

const SCRIPTS: &[Case] = &[
    case("all", "@/s"),
    case("-L", "-L @/target @/s"),
    Case { env: &[("LOGDIR", "@/log")], ..case("no classes", "@/s") },
    Case { env: &[("classes", "DEMO"), ("LOGDIR", "@/log")], ..case("all well", "@/s") },
    Case {
        expect: SameTree,
        env: &[("classes", "DEMO"), ("LOGDIR", "@/log"), ("FAI_USE_OLD_SCRIPT_LOGS", "1")],
        ..case("old logs", "@/s")
    },
    case("no directory given", "").for_people(),
    Case {
        expect: Differs {
            because: "FAI names the kind of a script as file(1) does; the tools image has no file(1)",
            status: 0,
            files: &[("log/scripts.log", PERL_LOG)],
        },
        env: &[("classes", "PERL"), ("LOGDIR", "@/log")],
        before: &[Dir("log"), Owned("s/PERL/10-p", "#!/usr/bin/perl\nprint \"p\\n\";\n", 0o755)],
        ..case("perl", "@/s")
    },
];
const PERL_LOG: &str = "=====   perl: PERL/10-p   =====\np\nPERL/10-p            OK.\n";

const STATUS: &[Case] = &[case("well", "hook.DEMO 0"), case("failed", "partition.DEMO.sh 3")];

#[test]
fn root_class_scripts() {
    compare("fai-do-scripts", &["/usr/bin/fai-do-scripts"], SCRIPTS);
}

/// A policy that says which classes it was told.
const POLICY: &str = "#!/usr/bin/cf-agent -f
body common control
{
  bundlesequence => { \"main\" };
}
bundle agent main
{
reports:
  DEMO::
    \"for DEMO\";
  OTHER::
    \"for OTHER\";
}
";

#[test]
fn root_cfengine_is_told_the_classes() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_str().unwrap();
    fs::create_dir_all(format!("{base}/s/DEMO")).unwrap();
    fs::create_dir(format!("{base}/log")).unwrap();
    let script = format!("{base}/s/DEMO/10-cf");
    fs::write(&script, POLICY).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    for (old_logs, log) in [("0", "scripts.log"), ("1", "cfagent.log")] {
        let vars = [
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("LOGDIR", format!("{base}/log")),
            ("classes", "DEBIAN DEMO".to_owned()),
            ("cfclasses", "DEBIAN.DEMO".to_owned()),
            ("FAI_USE_OLD_SCRIPT_LOGS", old_logs.to_owned()),
        ];
        let vars = vars.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let (status, ..) = call("fai-do-scripts", &[format!("{base}/s")], vars, base, &NoPackages);
        let log = fs::read_to_string(format!("{base}/log/{log}")).unwrap();
        let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
        let wanted =
            ["=====   cf-agent: DEMO/10-cf   =====", "R: for DEMO", "DEMO/10-cf           OK."];
        assert_eq!((status, lines), (0, wanted.to_vec()));
    }
}

#[test]
fn root_status_lines() {
    compare("check_status", &["/usr/lib/fai/check_status"], STATUS);
}
