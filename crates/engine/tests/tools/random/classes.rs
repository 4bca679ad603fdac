//! Class directories for `fai-class`.

use super::bench::{Node, Outcome, Sample};
use super::seed::Seed;
use super::verdict::{Reason, tree_differences};
use super::{Contest, compare};

const NAMES: &[&str] = &[
    "10-base",
    "20-x",
    "25-y.sh",
    "30-z.sh",
    "050-w",
    "99-last",
    "1-one-digit",
    "40-old.source",
    "45-backup~",
    "46-x.bak",
    "a-name",
    "60.sh",
];
/// What a script that prints classes does.
const PRINTING: &[&str] = &[
    "echo A B",
    "echo C; echo D",
    "case $classes in *A*) echo HAS_A;; esac",
    "echo E; exit 3",
    ":",
    "printf 'NO_END'",
    "echo out >&2",
    "echo LEFT > $LOGDIR/additional-classes",
    "echo \"$classes\" > $LOGDIR/seen",
    "pwd > $LOGDIR/pwd",
    "echo '  F   G  '",
    "a-name",
];
/// Output with comments, which FAI joins.
const COMMENTING: &[&str] =
    &["echo H; echo '# comment'; echo I", "echo '#J'; echo K", "echo L # M"];
const SOURCED: &[&str] = &[
    "newclasses='S T'",
    "newclasses=U; kept=yes",
    "[ \"$kept\" = yes ] && newclasses=KEPT",
    "false",
    "echo NOT_A_CLASS",
    "newclasses=\"$HOSTNAME-x\"",
];

fn sample(seed: &mut Seed) -> Sample {
    let mut sample = Sample::default();
    sample.node("log", Node::Dir).node("c", Node::Dir);
    let with_comments = seed.chance(20);
    for name in seed.subset(NAMES, 35) {
        let text = match name.ends_with(".sh") || name.ends_with(".source") {
            true => seed.pick(SOURCED),
            false if with_comments => seed.pick(COMMENTING),
            false => seed.pick(PRINTING),
        };
        let mode = seed.pick(&[0o755, 0o755, 0o755, 0o644]);
        let text = format!("#!/bin/bash\n{text}\n").into_bytes();
        sample.node(format!("c/{name}"), Node::File { text, mode, owner: 0 });
    }
    let host = seed.pick(&["web01", "host.example", "n-1"]);
    sample.var("LOGDIR", "@/log").var("HOSTNAME", host);
    if seed.chance(50) {
        let own = seed.pick(&["H1 H2\n", "# comment\nH1\n", "H1", "#x\n\nH2 H3\n"]);
        sample.file(format!("c/{host}"), own);
    }
    if seed.chance(40) {
        sample.var("ADDCLASSES", seed.pick(&["X1", "X1,X2", ",X1,,X2", "A,B"]));
    }
    if seed.chance(20) {
        sample.file("log/additional-classes", seed.pick(&["Y1\nY2\n", "# c\nY1 Y3\n"]));
    }
    if seed.chance(15) {
        sample.file("out", "OLD\n");
    }
    for flag in seed.subset(&["-T", "-v"], 30) {
        sample.arg(flag);
    }
    if seed.chance(15) {
        let _ = sample.node("other", Node::Dir).arg("-t").arg("@/other");
    }
    sample.arg(if seed.chance(3) { "@/none" } else { "@/c" }).arg("@/out");
    sample
}

fn judge(_: &Sample, theirs: &Outcome, ours: &Outcome) -> Option<Reason> {
    let quiet = |outcome: &Outcome| {
        let is_result = |line: &&str| line.ends_with("OK.") || line.contains("FAILED with");
        let lines: Vec<&str> = outcome.stdout.lines().filter(is_result).collect();
        Outcome { stdout: lines.join("\n"), stderr: String::new(), ..outcome.clone() }
    };
    if quiet(theirs) == quiet(ours) {
        return Some(Reason::Chatter);
    }
    let list = |outcome: &Outcome| {
        outcome.tree.get("out").map_or(Vec::new(), |f| {
            f.content.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
    };
    let (theirs_list, ours_list) = (list(theirs), list(ours));
    let mut once: Vec<String> = Vec::new();
    for class in
        theirs_list.iter().filter(|class| !once.contains(class)).cloned().collect::<Vec<_>>()
    {
        if !once.contains(&class) {
            once.push(class);
        }
    }
    if once != theirs_list && once == ours_list {
        return Some(Reason::ClassTwice);
    }
    let joined = ["#", "#J", "comment"].iter().any(|word| theirs_list.iter().any(|c| c == word));
    let swallowed = theirs_list.len() < ours_list.len() && ours_list.iter().any(|c| c == "K");
    if joined || swallowed {
        return Some(Reason::CommentByLine);
    }
    None
}

/// Everything as FAI has it, its mistakes included.
fn sample_with_bugs(seed: &mut Seed) -> Sample {
    let mut sample = sample(seed);
    sample.var("HOSTWRIGHT_FAI_BUGS", "1");
    sample
}

fn judge_with_bugs(sample: &Sample, theirs: &Outcome, ours: &Outcome) -> Option<Reason> {
    let reason = judge(sample, theirs, ours).filter(|reason| *reason == Reason::Chatter);
    if reason.is_some() {
        return reason;
    }
    let mut theirs = theirs.clone();
    if let Some(list) = theirs.tree.get_mut("out") {
        let names = list.content.lines().filter(|name| !name.starts_with('#'));
        list.content = names.map(|name| format!("{name}\n")).collect();
    }
    let same = tree_differences(&theirs, ours).is_empty() && theirs.status == ours.status;
    same.then_some(Reason::NoClassName)
}

#[test]
fn root_random_classes_with_bugs() {
    let (sample, judge) = (sample_with_bugs as _, judge_with_bugs as _);
    compare(&Contest { tool: "fai-class", oracle: &["/usr/bin/fai-class"], sample, judge });
}

#[test]
fn root_random_classes() {
    compare(&Contest { tool: "fai-class", oracle: &["/usr/bin/fai-class"], sample, judge });
}
