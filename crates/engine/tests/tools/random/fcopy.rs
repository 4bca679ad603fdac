//! Trees of variants, targets and options for `fcopy`.

use super::bench::{Node, Outcome, Sample};
use super::seed::Seed;
use super::verdict::{Reason, tree_differences};
use super::{Contest, compare};

const CLASSES: &[&str] = &["DEFAULT", "DEBIAN", "DEMO", "FAI-BASE", "web01", "LAST"];
const PATHS: &[&str] =
    &["etc/motd", "etc/apt/sources.list", "etc/apt/conf.d/10x", "usr/bin/tool", "root/.profile"];
const TEXTS: &[&str] = &[
    "one\n",
    "two\n",
    "",
    "no end",
    "{%release%} and {%none%}\n",
    "{%A%}{%A%}\n{% A %} {%A\n",
    "{%EMPTY%}|{%classes%}\n",
    "\u{fc} {%umlaut%}\n",
];
const MODES: &[u32] = &[0o644, 0o600, 0o755, 0o4755, 0o2750, 0o444];
const TABLES: &[&str] = &[
    "root root 0640\n",
    "1 2 0600 DEMO\n3 4 0640\n",
    "# c\n\n5 6 4755 DEBIAN\n7 8 0600 DEBIAN\n",
    "0 0 644\n",
    "1 1 0600 OTHER\n",
    "9 9 0600\n8 8 0644\n",
];
const SCRIPTS: &[&str] = &[
    "#!/bin/sh\necho \"$1\" >> $2\n",
    "#!/bin/sh\nexit 3\n",
    "#!/bin/bash\necho \"$target $ROOTCMD\" >> $FAI_ROOT/ran\n",
    "#!/bin/sh\nsed -i s/o/0/ $2\n",
];

fn variants(seed: &mut Seed, sample: &mut Sample, path: &str) {
    let dir = format!("space/files/{path}");
    for class in seed.subset(CLASSES, 35) {
        let (mode, owner) = (seed.pick(MODES), seed.pick(&[0, 4321]));
        let node = match seed.below(20) {
            0 => Node::Link(seed.pick(&["LAST", "nowhere", "../motd/DEMO"]).to_owned()),
            1 => Node::Dir,
            _ => Node::File { text: seed.pick(TEXTS).into(), mode, owner },
        };
        sample.node(format!("{dir}/{class}"), node);
    }
    if seed.chance(15) {
        sample.file(format!("{dir}/file-modes"), seed.pick(TABLES));
    }
    if seed.chance(8) {
        sample.file(format!("{dir}/_substitute"), "");
    }
    for script in ["preinst", "postinst"] {
        if seed.chance(12) {
            let (mode, text) = (seed.pick(&[0o755, 0o755, 0o644]), seed.pick(SCRIPTS));
            let node = Node::File { text: text.into(), mode, owner: 0 };
            sample.node(format!("{dir}/{script}"), node);
        }
    }
    if seed.chance(5) {
        sample.file(format!("{dir}/.svn/DEMO"), "ignored\n");
    }
}

fn target(seed: &mut Seed, sample: &mut Sample, path: &str) {
    let to = format!("target/{path}");
    let (mode, owner) = (seed.pick(MODES), seed.pick(&[0, 77]));
    match seed.below(12) {
        0..=4 => sample.node(to, Node::File { text: seed.pick(TEXTS).into(), mode, owner }),
        5 => sample.node(to, Node::Link(seed.pick(&["real", "LAST", "nowhere"]).to_owned())),
        6 if seed.chance(30) => sample.node(to, Node::Dir),
        _ => sample,
    };
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    if seed.chance(10) {
        sample.file(format!("target/{parent}/real"), "real\n");
    }
}

fn options(seed: &mut Seed, sample: &mut Sample) {
    let flags = ["-B", "-d", "-i", "-v", "-D", "-M", "-S", "-H", "-l", "-n", "-U"];
    for flag in seed.subset(&flags, 14) {
        sample.arg(flag);
    }
    if seed.chance(25) {
        let modes = ["root,root,0600", "1,2,4750", "0,0,644", "12,34,0444", "root,0", "0,0,rw"];
        let _ = sample.arg("-m").arg(seed.pick(&modes));
    }
    if seed.chance(10) {
        let _ = sample.arg("-b").arg("@/backup");
    }
    if seed.chance(10) {
        let _ = sample.arg("-c").arg(seed.some(CLASSES, 1, 4).join(","));
    }
    if seed.chance(8) {
        sample.file("list", "# DEMO\nDEBIAN LAST\n\n  web01\n").arg("-C").arg("@/list");
    }
    if seed.chance(10) {
        let _ = sample.arg("-L").arg("@/own.log");
    }
    if seed.chance(8) {
        let _ = sample.arg("-s").arg("@/space/files").arg("-t").arg("@/target");
    }
    if seed.chance(8) {
        let _ = sample.arg("-I").arg(seed.pick(&["apt", "conf.d,x", ""]));
    }
    if seed.chance(2) {
        sample.arg("-Z");
    }
}

fn sample(seed: &mut Seed) -> Sample {
    let mut sample = Sample::default();
    sample.node("target", Node::Dir).node("log", Node::Dir);
    for path in PATHS {
        if seed.chance(60) {
            variants(seed, &mut sample, path);
        }
        target(seed, &mut sample, path);
    }
    options(seed, &mut sample);
    sample.var("FAI", "@/space").var("FAI_ROOT", "@/target").var("release", "bookworm");
    sample.var("A", "a{%A%}").var("EMPTY", "").var("classes", seed.subset(CLASSES, 60).join(" "));
    if seed.chance(85) {
        sample.var("LOGDIR", "@/log");
    }
    let by_variable = ["FCOPY_DRYRUN", "FCOPY_NOBACKUP", "FCOPY_SUBSTITUTE", "verbose"];
    for name in seed.subset(&by_variable, 7) {
        sample.var(name, seed.pick(&["1", "0", "yes"]));
    }
    if seed.chance(7) {
        sample.var("FAI_BACKUPDIR", "@/saved");
    }
    if seed.chance(7) {
        sample.var("FCOPY_IGNOREDIRS", "conf.d bin");
    }
    sources(seed, &mut sample);
    sample
}

fn sources(seed: &mut Seed, sample: &mut Sample) {
    if seed.chance(35) {
        sample.arg("-r");
        // None twice, by whatever name.
        let tops = match seed.below(4) {
            0 => vec![seed.pick(&["/", ".", ""])],
            1 => vec![seed.pick(&["etc/apt", "/etc/apt/", "./etc/motd"])],
            _ => seed.subset(&["/etc", "usr", "/none", "root/"], 40),
        };
        sample.args.extend(tops.into_iter().map(str::to_owned));
        return;
    }
    let mut names: Vec<String> = Vec::new();
    for path in seed.some(PATHS, 1, 4) {
        names.push(format!("{}{path}", seed.pick(&["/", "", "./", "//"])));
    }
    if seed.chance(10) {
        names.push("/etc/none".to_owned());
    }
    if seed.chance(5) {
        names.push("/etc/motd/DEMO".to_owned());
    }
    if seed.chance(10) {
        sample.file("files", format!("# c\n{}\n", names.join("\n"))).arg("-F").arg("@/files");
    }
    sample.args.extend(names);
}

fn judge(sample: &Sample, theirs: &Outcome, ours: &Outcome) -> Option<Reason> {
    let has = |option| sample.args.iter().any(|arg| arg == option);
    let is_on = |name: &str| sample.env.iter().any(|(n, value)| n == name && value != "0");
    let same_tree = tree_differences(theirs, ours).is_empty();
    if has("-Z") {
        return Some(Reason::UnknownOption);
    }
    if theirs.status != 0 && ours.status != 0 && same_tree {
        return Some(Reason::BothFail);
    }
    if ours.stderr.contains("is a directory") {
        return Some(Reason::DestinationIsDirectory);
    }
    if ours.stderr.contains("has no valid line for class") {
        return Some(Reason::NoModes);
    }
    if in_order(theirs) == in_order(ours) {
        return Some(Reason::OrderOfNames);
    }
    if has("-D") && same_tree && theirs.status == ours.status {
        return Some(Reason::DebugOutput);
    }
    if has("-H") && without_modes(theirs) == without_modes(ours) {
        return Some(Reason::BehindLink);
    }
    if has("-r") && ["etc/apt", "./etc/motd", "usr", "root/"].iter().any(|leaf| has(leaf)) {
        return Some(Reason::LeafSource);
    }
    if has("-n") || is_on("FCOPY_DRYRUN") {
        return Some(Reason::DryRun);
    }
    None
}

/// The outcome without owners, modes and times.
fn without_modes(outcome: &Outcome) -> Outcome {
    let mut outcome = in_order(outcome);
    let values = outcome.tree.values_mut();
    values.for_each(|found| (found.owner, found.mode, found.time) = ((0, 0), 0, None));
    outcome
}

/// The outcome with the lines of output and log in the order of their names.
fn in_order(outcome: &Outcome) -> Outcome {
    let sorted = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    let mut outcome = outcome.clone();
    outcome.stdout = sorted(&outcome.stdout);
    outcome.stderr.clear();
    for log in ["log/fcopy.log", "own.log", "target/ran"] {
        if let Some(found) = outcome.tree.get_mut(log) {
            found.content = sorted(&found.content);
        }
    }
    outcome
}

#[test]
fn root_random_fcopy() {
    compare(&Contest { tool: "fcopy", oracle: &["/usr/sbin/fcopy"], sample, judge });
}
