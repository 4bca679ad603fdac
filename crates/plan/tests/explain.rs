//! Golden explanations and comparisons of the example space.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod support;

use hostwright_model::class::ClassList;
use hostwright_model::plan::{Inputs, TargetProfile};
use hostwright_model::vars::Vars;
use hostwright_plan::{Asked, ConfigTree, Side, Subject, TreeFile, diff, explain, parse, resolve};

const VARS: [(&str, &str, &str); 3] = [
    ("FAI_DEBOOTSTRAP", "bookworm http://deb.example.org/debian", "class/BASE.var"),
    ("kernel", "linux-image-amd64", "class/DEBIAN.var"),
    ("ROOTPW", "first", "command line"),
];

/// The example with what it takes to show every kind of answer.
fn space() -> ConfigTree {
    let mut tree = support::minimal();
    let mut put = |path: &str, text: &str, runs: bool| {
        tree.files.insert(path.to_owned(), TreeFile::file(text, runs));
    };
    put("class/dependencies.toml", "[WEB]\nrequires = [\"BASE\"]\nafter = [\"DEBIAN\"]\n", false);
    put("files/etc/motd/WEB", "a web server\n", false);
    put("package_config/HALL", "PACKAGES remove WEB && DEBIAN\nless\n", false);
    put("hooks/repository.WEB", "#!/bin/sh\nskiptask tests\n", true);
    put("class/WEB.var", "TIMEZONE=Europe/Rome\n", false);
    tree
}

fn answers(classes: Option<&str>) -> String {
    let tree = space();
    let (space, _) = parse(&tree);
    let classes: Option<ClassList> = classes.map(|classes| classes.parse().unwrap());
    let mut vars = Vars::default();
    VARS.iter().for_each(|(name, value, origin)| vars.set(name, *value, origin));
    let asked = Asked::new(&tree, &space, classes.as_ref(), &vars);
    let subjects = [
        Subject::Package("less".to_owned()),
        Subject::Package("linux-image-amd64".to_owned()),
        Subject::Package("no-such-package".to_owned()),
        Subject::File("/etc/motd".to_owned()),
        Subject::Class("BASE".to_owned()),
        Subject::Class("WEB".to_owned()),
        Subject::Partition("/".to_owned()),
        Subject::Script("WEB/10-site".to_owned()),
        Subject::Hook("repository".to_owned()),
        Subject::Variable("TIMEZONE".to_owned()),
        Subject::Variable("ROOTPW".to_owned()),
    ];
    let texts = subjects.iter().map(|subject| explain(&asked, subject).render());
    texts.collect::<Vec<_>>().join("\n----\n\n")
}

#[test]
fn explanations_for_a_machine() {
    insta::assert_snapshot!(answers(Some("DEFAULT AMD64 DEBIAN WEB GRUB_PC demohost LAST")));
}

#[test]
fn explanations_for_all_machines() {
    insta::assert_snapshot!(answers(None));
}

fn inputs(machine: &str, classes: &str) -> Inputs {
    let facts = support::machine(machine);
    support::inputs(facts, TargetProfile::DisksClassic, classes, &VARS)
}

fn difference(old: (&ConfigTree, &Inputs), new: (&ConfigTree, &Inputs)) -> String {
    let spaces = [old, new].map(|(tree, _)| parse(tree).0);
    let plans = [resolve(&spaces[0], old.1), resolve(&spaces[1], new.1)].map(Result::unwrap);
    let side =
        |at: usize, (tree, inputs)| Side { tree, space: &spaces[at], inputs, plan: &plans[at] };
    diff(side(0, old), side(1, new)).render()
}

#[test]
fn two_commits_and_two_machines_are_compared() {
    let old_tree = support::minimal();
    let mut new_tree = space();
    new_tree.files.insert("files/etc/motd/BASE".to_owned(), TreeFile::file("new\n", false));
    new_tree.files.insert("scripts/BASE/20-root".to_owned(), TreeFile::file("#!/bin/sh\n", true));
    let old = inputs("bios-virtio-20g", "DEFAULT AMD64 BASE DEBIAN GRUB_PC demohost LAST");
    let mut new = inputs("uefi-nvme-512g", "DEFAULT AMD64 DEBIAN BASE WEB GRUB_EFI BASE_EFI LAST");
    new.vars.as_mut().unwrap().set("ROOTPW", "second", "command line");
    new.vars.as_mut().unwrap().set("TIMEZONE", "Europe/Rome", "class/WEB.var");
    insta::assert_snapshot!(difference((&old_tree, &old), (&new_tree, &new)));
    let mut motd_only = old_tree.clone();
    motd_only.files.insert("files/etc/motd/BASE".to_owned(), TreeFile::file("new\n", false));
    insta::assert_snapshot!("one_file", difference((&old_tree, &old), (&motd_only, &old)));
    assert_eq!(difference((&old_tree, &old), (&old_tree, &old)), "no difference\n");
}
