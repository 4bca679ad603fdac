//! Edits for `fai-sed`, links for `fai-link`, results for `check_status`.

use super::bench::{Node, Outcome, Sample};
use super::seed::Seed;
use super::verdict::{Reason, tree_differences};
use super::{Contest, compare};

fn tree(seed: &mut Seed, sample: &mut Sample) {
    let texts = ["one\ntwo\n", "", "one", "a b c\nfoo=bar\n", "\u{fc}\n"];
    for name in ["f", "g", "d/h"] {
        if seed.chance(80) {
            let (mode, owner) = (seed.pick(&[0o644, 0o4755, 0o600]), seed.pick(&[0, 77]));
            let node = Node::File { text: seed.pick(&texts).into(), mode, owner };
            sample.node(format!("t/etc/{name}"), node);
        }
    }
    if seed.chance(40) {
        sample
            .node("t/etc/l", Node::Link(seed.pick(&["f", "g", "nowhere", "../etc/f"]).to_owned()));
    }
    if seed.chance(20) && sample.before.iter().any(|(path, _)| path == "t/etc/f") {
        sample.node("t/etc/second", Node::HardLink("t/etc/f".to_owned()));
    }
    sample.node("t/etc/dir", Node::Dir);
    sample.var("target", "@/t");
    if seed.chance(25) {
        sample.var("verbose", "1");
    }
}

fn sed_sample(seed: &mut Seed) -> Sample {
    let mut sample = Sample::default();
    tree(seed, &mut sample);
    for flag in seed.subset(&["-n", "-E"], 20) {
        sample.arg(flag);
    }
    let edits = [
        "s/one/1/",
        "/two/d",
        "s/x/y/",
        "$a new",
        "1i first",
        "s/one/1",
        "",
        "p",
        "s/a b/A B/;s/c/C/",
        "/foo/{s/bar/baz/}",
        "q",
        "s/\u{fc}/ue/",
        "y/abc/xyz/",
        "d",
        "s|o|0|g",
    ];
    sample.arg(seed.pick(&edits));
    for file in seed.some(&["/etc/f", "/etc/g", "/etc/l", "/etc/none", "/etc/dir", "etc/f"], 1, 1) {
        sample.arg(file);
    }
    if seed.chance(4) {
        sample.arg("/etc/g");
    }
    sample
}

fn link_sample(seed: &mut Seed) -> Sample {
    let mut sample = Sample::default();
    tree(seed, &mut sample);
    sample.arg(seed.pick(&["/etc/l", "/etc/f", "/etc/new", "/etc/none/x", "/etc/dir", "/etc/d/l"]));
    sample.arg(seed.pick(&["f", "g", "../etc/f", "/etc/f", "nowhere", "dir"]));
    sample
}

fn status_sample(seed: &mut Seed) -> Sample {
    let mut sample = Sample::default();
    sample.var("LOGDIR", "@/log").node("log", Node::Dir);
    sample.arg(seed.pick(&[
        "hook.X",
        "FAIBASE/10-misc",
        "a-name-that-is-longer-than-the-column",
        "x",
    ]));
    sample.arg(seed.pick(&["0", "1", "3", "127", "255", "01", " 2"]));
    if seed.chance(40) {
        sample.file("log/status.log", "before\n");
    }
    sample
}

fn deps_sample(seed: &mut Seed) -> Sample {
    let names = ["A", "B", "C", "D", "E", "F", "G"];
    let mut sample = Sample::default();
    sample.var("LOGDIR", "@/log").var("FAI", "@/space").node("space/class", Node::Dir);
    let list: Vec<&str> = seed.some(&names, 1, 6);
    sample.file("log/FAI_CLASSES", format!("{}\n", list.join("\n")));
    for name in seed.subset(&names, 50) {
        let words = seed.some(&names, 0, 3);
        let blank = seed.pick(&[" ", "\n", "\t", " # comment\n", ";x\n  "]);
        let mode = seed.pick(&[0o644, 0o644, 0o644, 0o755]);
        let text = format!("{}\n", words.join(blank)).into_bytes();
        sample.node(format!("space/class/{name}.deps"), Node::File { text, mode, owner: 0 });
    }
    if seed.chance(10) {
        sample.arg("-d");
    }
    sample
}

fn judge_sed(sample: &Sample, theirs: &Outcome, ours: &Outcome) -> Option<Reason> {
    if sample.args.iter().any(|arg| arg == "etc/f") {
        return Some(Reason::PathWithoutSlash);
    }
    // Refusals are worded in another way, and are on standard error.
    let same = theirs.status == ours.status && tree_differences(theirs, ours).is_empty();
    (same && ours.status != 0).then_some(Reason::BothFail)
}

fn judge_link(_: &Sample, theirs: &Outcome, ours: &Outcome) -> Option<Reason> {
    if ours.stderr.contains("is a directory") {
        return Some(Reason::LinkIsDirectory);
    }
    let same_tree = tree_differences(theirs, ours).is_empty();
    (theirs.status != 0 && ours.status != 0 && same_tree).then_some(Reason::BothFail)
}

#[test]
fn root_random_sed() {
    let (sample, judge) = (sed_sample as fn(&mut Seed) -> Sample, judge_sed as _);
    compare(&Contest { tool: "fai-sed", oracle: &["/usr/bin/fai-sed"], sample, judge });
}

#[test]
fn root_random_link() {
    let (sample, judge) = (link_sample as fn(&mut Seed) -> Sample, judge_link as _);
    compare(&Contest { tool: "fai-link", oracle: &["/usr/bin/fai-link"], sample, judge });
}

#[test]
fn root_random_check_status() {
    let (sample, judge) = (status_sample as fn(&mut Seed) -> Sample, judge_link as _);
    let oracle = &["/usr/lib/fai/check_status"];
    compare(&Contest { tool: "check_status", oracle, sample, judge });
}

#[test]
fn root_random_deps() {
    let (sample, judge) = (deps_sample as fn(&mut Seed) -> Sample, judge_link as _);
    compare(&Contest { tool: "fai-deps", oracle: &["/usr/bin/fai-deps"], sample, judge });
}
