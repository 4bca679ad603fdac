//! `ainsl` beside FAI's.

use super::bench::*;

const ENV: &[(&str, &str)] = &[("AINSL_TARGET", "@")];
const FILE: &[Entry] = &[File(
    "f",
    "# comment\nfoo bar\nfoobar baz\nalpha\t  beta\nx (y) z+\n\"quoted\" {%a%}\n* hard nofile 1\nlast\n",
)];
const UNFINISHED: &[Entry] = &[File("f", "one\ntwo")];

const fn case(name: &'static str, args: &'static str, before: &'static [Entry]) -> Case {
    Case { name, args, env: ENV, before, expect: Same }
}

const CASES: &[Case] = &[
    case("append", "/f new_line", FILE),
    case("append verbosely", "-v f new_line", FILE),
    case("-n", "-nv f new_line", FILE),
    case("there", "f foo_bar", FILE),
    case("there as part of another line", "f oobar", FILE),
    case("anchored", "f ^foo$", FILE),
    case("anchored and there", "f ^foo_bar$", FILE),
    case("anchors are not written", "f ^new$", FILE),
    case("only ^", "f ^ba", FILE),
    case("parentheses and plus are literal", "f x_(y)_z+", FILE),
    case("a dot is a pattern", "f f.o_b.r", FILE),
    case("star is a pattern", "f fo*_bar", FILE),
    case("brackets are a pattern", "f [f]oo_bar", FILE),
    case("-s", "-s f alpha_beta", FILE),
    case("without -s", "f alpha_beta", FILE),
    case("-s at the end of a line", "-s f foo_bar_", FILE),
    case("-q", "-q f *_hard_nofile_1", FILE),
    case("-q appends", "-q f *_soft_nofile_1", FILE),
    case("-Q finds", "-Q f * FILE", FILE),
    case("-Q with pattern", "-Q f new f.o", FILE),
    case("pattern", "f new_line foo", FILE),
    case("pattern that matches nothing", "f ^new$ nothing", FILE),
    case("pattern with classes", "f new ^[[:alpha:]]+\\s+b[a-z]{2}$", FILE),
    case("pattern with look-ahead", "f new ^foo(?=bar)", FILE),
    case("pattern with back reference", "f new (o)\\1b", FILE),
    case("pattern with escaped punctuation", "f new \\\"quoted\\\"", FILE),
    case("braces that repeat nothing", "f {%a%}", FILE),
    case("\\z and \\A", "f new \\Afoo\\_bar\\Z", FILE),
    case("wrong pattern", "f new *x", FILE).failing(),
    case("empty line of a file", "f new ^$", FILE),
    case("-a makes file and directories", "-a a/b/c new", &[]),
    case("-av", "-av c new", &[]),
    case("-a with a file", "-a f new", FILE),
    case("missing file", "none new", FILE),
    case("empty file", "f new", &[File("f", "")]),
    case("without final newline but there", "f two", UNFINISHED),
    case("-N", "-N @/f new", FILE),
    case("a line with a variable", "f $HOME/x", FILE),
    case("umlaut", "f grün", FILE),
    case("one word", "f", FILE).for_people(),
    case("unknown option", "-Z f new", FILE).for_people(),
];

const DEVIATIONS: &[Case] = &[
    Case {
        expect: Differs {
            because: "FAI glues the new line to the last one",
            status: 0,
            files: &[("f", "one\ntwo\nnew\n")],
        },
        ..case("without final newline", "f new", UNFINISHED)
    },
    Case {
        expect: Differs {
            because: "FAI quotes what it has escaped already, so that it never finds the line",
            status: 0,
            files: &[("f", "a (b) c+\n")],
        },
        ..case("-Q with parentheses", "-Q f a_(b)_c+", &[File("f", "a (b) c+\n")])
    },
    Case {
        expect: Differs {
            because: "FAI follows an absolute link of the target to the host's own files",
            status: 0,
            files: &[("target/run/f", "x\nnew\n")],
        },
        env: &[("AINSL_TARGET", "@/target")],
        ..case(
            "absolute link",
            "/var/f new",
            &[Link("target/var", "/run"), File("target/run/f", "x\n")],
        )
    },
];

#[test]
fn root_lines_and_patterns() {
    compare("ainsl", &["/usr/bin/ainsl"], CASES);
}

#[test]
fn root_deviations_of_ainsl() {
    compare("ainsl", &["/usr/bin/ainsl"], DEVIATIONS);
}
