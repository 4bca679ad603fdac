//! Trees of scripts in every language for `fai-do-scripts`.

use super::bench::{Node, Outcome, Sample};
use super::seed::Seed;
use super::verdict::Reason;
use super::{Contest, compare};

const CLASSES: &[&str] = &["DEFAULT", "DEBIAN", "DEMO", "web01", "LAST"];
const NAMES: &[&str] =
    &["10-a", "20-b", "10-a~", "15-x.dpkg-old", "16.dpkg-dist", "1-one", "099", "30-x.pl", "S40"];
const SHELLS: &[&str] = &[
    "#!/bin/sh\necho $0 $classes\n",
    "#! /bin/bash\necho out; echo err >&2; exit 4\n",
    "#!/bin/bash\npwd; echo \"$LOGDIR $target\"\n",
    "#!/bin/sh\nexit 1\n",
    "#!/usr/bin/env bash\necho env\n",
    "#!/bin/bash\nprintf 'no end'\n",
    "#!/bin/sh\ncat\n",
];
const OTHERS: &[&str] = &[
    "#!/usr/bin/perl\nprint \"perl @ARGV\\n\"; exit 7;\n",
    "#!/usr/bin/python3\nprint('python')\n",
    "#!/usr/bin/env python3\nimport sys\nsys.exit(2)\n",
    "echo no first line\n",
    "#!/usr/bin/expect -f\nputs expect\nexit 3\n",
    "#!/usr/bin/awk -f\nBEGIN { print \"awk\" }\n",
];

fn sample(seed: &mut Seed) -> Sample {
    let mut sample = Sample::default();
    sample.node("log", Node::Dir).node("s", Node::Dir);
    let with_others = seed.chance(40);
    for class in seed.subset(CLASSES, 50) {
        let mut paths = vec![format!("s/{class}")];
        if seed.chance(70) {
            paths = seed.subset(NAMES, 30).iter().map(|name| format!("s/{class}/{name}")).collect();
        }
        for path in paths {
            let texts = if with_others && seed.chance(60) { OTHERS } else { SHELLS };
            let mode = seed.pick(&[0o755, 0o755, 0o700, 0o644]);
            let text = seed.pick(texts).into();
            sample.node(path, Node::File { text, mode, owner: 0 });
        }
    }
    sample.var("LOGDIR", "@/log").var("target", "@/target").var("cfclasses", "A.B");
    if seed.chance(95) {
        sample.var("classes", seed.subset(CLASSES, 70).join(seed.pick(&[" ", "\n"])));
    }
    for name in seed.subset(&["FAI_USE_OLD_SCRIPT_LOGS", "verbose", "debug"], 20) {
        sample.var(name, "1");
    }
    if seed.chance(15) {
        let _ = sample.node("own", Node::Dir).arg("-L").arg("@/own");
    }
    if seed.chance(8) {
        sample.arg("-n");
    }
    sample.arg(seed.pick(&["@/s", "@/s", "s", "@/s/"]));
    sample
}

fn judge(_: &Sample, theirs: &Outcome, ours: &Outcome) -> Option<Reason> {
    if unbroken(theirs) == unbroken(ours) {
        return Some(Reason::OwnLine);
    }
    (without_kinds(theirs) == without_kinds(ours)).then_some(Reason::KindOfScript)
}

/// The outcome without line ends.
fn unbroken(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    outcome.stderr.clear();
    outcome.tree.values_mut().for_each(|found| found.content = found.content.replace('\n', ""));
    outcome
}

/// The outcome without what says by which interpreter a script runs.
fn without_kinds(outcome: &Outcome) -> Outcome {
    let plain = |text: &str| {
        let line = |line: &str| match line.strip_prefix("=====   ") {
            Some(head) => {
                head.trim_end_matches("   =====").rsplit(' ').next().unwrap_or("").to_owned()
            }
            None if line.starts_with("Executing") => "Executing".to_owned(),
            None => line.to_owned(),
        };
        let is_advice = |line: &&str| {
            line.starts_with("WARNING. Old style log")
                || line.starts_with("Skipping ")
                || line.starts_with("unset FAI_USE_OLD")
        };
        let text = text.replace("no end\n", "no end");
        text.lines().filter(|line| !is_advice(line)).map(line).collect::<Vec<_>>().join("\n")
    };
    let mut outcome = outcome.clone();
    outcome.stdout = plain(&outcome.stdout);
    outcome.stderr.clear();
    outcome.tree.values_mut().for_each(|found| found.content = plain(&found.content));
    // file(1) of this version does not know expect, so that FAI's expect.log stays empty.
    for dir in ["log", "own"] {
        if let Some(moved) = outcome.tree.remove(&format!("{dir}/expect.log")) {
            let log = outcome.tree.entry(format!("{dir}/scripts.log")).or_insert(moved.clone());
            if *log != moved {
                log.content.push_str(&format!("\n{}", moved.content));
            }
        }
        if let Some(log) = outcome.tree.get_mut(&format!("{dir}/scripts.log")) {
            let mut lines: Vec<&str> = log.content.lines().collect();
            lines.sort_unstable();
            log.content = lines.join("\n");
        }
    }
    outcome
}

#[test]
fn root_random_scripts() {
    compare(&Contest {
        tool: "fai-do-scripts",
        oracle: &["/usr/bin/fai-do-scripts"],
        sample,
        judge,
    });
}
