//! `fai-link` and `fai-sed` beside FAI's.

use super::bench::*;

const ENV: &[(&str, &str)] = &[("target", "@/t")];
const TREE: &[Entry] = &[
    Owned("t/etc/f", "one\ntwo\n", 0o4640),
    File("t/etc/g", "g\n"),
    Link("t/etc/l", "f"),
    Link("t/etc/dangling", "nowhere"),
    Dir("t/etc/d"),
];

const fn case(name: &'static str, args: &'static str) -> Case {
    Case { name, args, env: ENV, before: TREE, expect: Same }
}

const LINKS: &[Case] = &[
    case("new", "/etc/new ../x"),
    case("the same", "/etc/l f"),
    case("another", "/etc/l g"),
    case("dangling, the same", "/etc/dangling nowhere"),
    case("dangling, another", "/etc/dangling f"),
    case("replaces a file", "/etc/g f"),
    case("no directory", "/none/x f"),
    Case { env: &[("target", "@/t"), ("verbose", "1")], ..case("verbose new", "/etc/new x") },
    Case { env: &[("target", "@/t"), ("verbose", "1")], ..case("verbose same", "/etc/l f") },
    Case { env: &[], ..case("without target", "@/t/etc/new f") },
    Case {
        expect: Differs {
            because: "FAI makes the link inside the directory and says nothing",
            status: 1,
            files: &[],
        },
        ..case("a directory is there", "/etc/d f")
    },
];

const SEDS: &[Case] = &[
    case("change", "s/one/1/ /etc/f"),
    case("no change", "s/three/3/ /etc/f"),
    case("-n", "-n s/one/1/ /etc/f"),
    case("-E changed", "-E s/one/1/ /etc/f"),
    case("-E unchanged", "-E s/three/3/ /etc/f"),
    case("delete lines", "/two/d /etc/f"),
    case("wrong command", "s/one /etc/f"),
    case("missing file", "s/a/b/ /etc/none"),
    case("a directory", "s/a/b/ /etc/d"),
    case("a link is replaced", "s/one/1/ /etc/l"),
    case("two commands", "s/one/1/;s/two/2/ /etc/f"),
    case("no file", "s/one/1/").for_people(),
    case("two files", "s/one/1/ /etc/f /etc/g").for_people(),
];

#[test]
fn root_links() {
    compare("fai-link", &["/usr/bin/fai-link"], LINKS);
}

#[test]
fn root_seds() {
    compare("fai-sed", &["/usr/bin/fai-sed"], SEDS);
}
