//! Lines, files and patterns for `ainsl`.

use super::bench::{Node, Outcome, Sample};
use super::seed::Seed;
use super::verdict::{Reason, tree_differences};
use super::{Contest, compare};

const LINES: &[&str] = &[
    "foo bar",
    "foo",
    "# comment",
    "",
    "alpha\t  beta",
    "x (y) z+",
    "\"q\" {%a%}",
    "* hard 1",
    "a.b.c",
    "[section]",
    "key = value",
    "PATH=/usr/bin:$HOME",
    "  indented",
    "trailing  ",
    "127.0.0.1\tlocalhost",
    "a|b",
    "c:\\dir",
    "gr\u{fc}n",
    "UUID=1-2 / ext4 rw,noatime 0 1",
    "@x",
];
const PIECES: &[&str] = &[
    "foo",
    "bar",
    "a",
    "b",
    " ",
    "\t",
    ".",
    "*",
    "+",
    "?",
    "(",
    ")",
    "(a|b)",
    "[ab]",
    "[^a]",
    "[[:space:]]",
    "{2}",
    "{",
    "}",
    "{,2}",
    "^",
    "$",
    "|",
    "\\",
    "\\s",
    "\\S",
    "\\w+",
    "\\d",
    "\\.",
    "\\b",
    "\\h",
    "\\t",
    "\\/",
    "/",
    "\\(",
    "\\)",
    "\\1",
    "(o)\\1",
    "(?:x)",
    "(?i)",
    "(?=b)",
    "(?!#)",
    "(?<=f)",
    "x*?",
    "a++",
    "-",
    "=",
    "#",
    "\"",
    "\u{fc}",
    "\\x41",
    "\\Q",
    "\\E",
    "\\z",
    "\\A",
    "\\Z",
    "\\K",
    "\\R",
    "\\N",
    "\\<",
    "[a-z]",
    "[]]",
    "[^]]",
    "[a\\]]",
    "[\\w.-]",
    "&&",
    "[a&&b]",
    "[[]",
    "~",
    ",",
    "1",
    "0",
];

fn sample(seed: &mut Seed) -> Sample {
    let mut sample = Sample::default();
    let mut options = seed.subset(&["-a", "-s", "-q", "-Q", "-n", "-v"], 20);
    let own_name = seed.chance(15);
    if own_name {
        options.push("-N");
    }
    if seed.chance(2) {
        options.push("-Z");
    }
    sample.args.extend(options.into_iter().map(str::to_owned));
    // Without AINSL_TARGET the file is one of this machine.
    if !own_name || seed.chance(50) {
        sample.var("AINSL_TARGET", "@/target");
    }
    let lines: String = seed.some(LINES, 0, 8).into_iter().map(|l| format!("{l}\n")).collect();
    let lines = if seed.chance(15) { lines.trim_end_matches('\n') } else { &lines };
    if seed.chance(90) {
        sample.file("target/etc/f", lines).file("f", lines);
    }
    sample.arg(match own_name {
        true => "@/target/etc/f",
        false => seed.pick(&["/etc/f", "etc/f", "//etc//f", "f", "/etc/none/f"]),
    });
    let line = match seed.below(4) {
        0 => seed.pick(LINES).to_owned(),
        1 => format!("^{}$", seed.pick(LINES)),
        _ => seed.some(PIECES, 1, 6).concat(),
    };
    // An empty word is no line; one that looks like an option cannot come here.
    sample.arg(if line.is_empty() { "x".to_owned() } else { line });
    if seed.chance(40) {
        sample.arg(seed.some(PIECES, 0, 6).concat());
    }
    sample
}

fn judge(sample: &Sample, theirs: &Outcome, ours: &Outcome) -> Option<Reason> {
    let has = |option| sample.args.iter().any(|arg| arg == option);
    let same_tree = tree_differences(theirs, ours).is_empty();
    if theirs.status != 0 && ours.status != 0 && same_tree {
        return Some(Reason::BothFail);
    }
    // Perl looks at the pattern when there is a line, and takes an empty one as the last that matched.
    let pattern = sample.args.last().map_or("", String::as_str);
    if pattern.is_empty() {
        return Some(Reason::EmptyPattern);
    }
    if ours.stderr.contains("cannot be used") && theirs.status == 0 && !has_lines(sample) {
        return Some(Reason::WrongPattern);
    }
    if theirs.stderr.contains("Unescaped left brace") && ours.status == 0 {
        return Some(Reason::BraceIsLiteral);
    }
    if has("-a") && has("-n") && theirs.status == 2 && ours.status == 0 && same_tree {
        return Some(Reason::DryRun);
    }
    let glued = ours.tree.iter().all(|(path, ours)| {
        theirs.tree.get(path).is_some_and(|theirs| {
            theirs == ours || theirs.content.replace('\n', "") == ours.content.replace('\n', "")
        })
    });
    if glued && !same_tree && theirs.status == ours.status {
        return Some(Reason::OwnLine);
    }
    let quoted = sample.args.iter().any(|arg| arg.contains(['(', ')', '+', '^', '$']));
    if has("-Q") && quoted && theirs.status == 0 && ours.status == 0 {
        return Some(Reason::QuotedOnce);
    }
    None
}

/// True if the file in question has a line that Perl would try the pattern on.
fn has_lines(sample: &Sample) -> bool {
    let name = sample.args.iter().find(|arg| !arg.starts_with('-')).map_or("", String::as_str);
    let name = name.replace("//", "/");
    let name = name.trim_start_matches("@/target").trim_start_matches('/');
    sample.before.iter().any(|(path, node)| {
        *path == format!("target/{name}")
            && matches!(node, Node::File { text, .. } if !text.is_empty())
    })
}

#[test]
fn root_random_ainsl() {
    compare(&Contest { tool: "ainsl", oracle: &["/usr/bin/ainsl"], sample, judge });
}
