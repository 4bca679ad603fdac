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

#[test]
fn devices_of_a_known_machine_are_explained_by_their_lines() {
    let text = "disk_config disk1 disklabel:gpt\nprimary / 2G ext4 rw\nprimary - 1G - -\n\n\
                disk_config disk2 disklabel:gpt\nprimary - 2G - -\nprimary - 1G - -\n\n\
                disk_config disk3 sameas:disk2\n\n\
                disk_config raid\nraid1 /srv disk2.1,disk3.1 ext4 rw\n";
    let mut tree = support::minimal();
    tree.files.insert("disk_config/RAIDED".to_owned(), TreeFile::file(text, false));
    let (space, _) = parse(&tree);
    let mut facts = support::machine("bios-virtio-20g");
    for name in ["vdb", "vdc"] {
        let disk =
            hostwright_model::facts::Disk { name: name.to_owned(), ..facts.disks[0].clone() };
        facts.disks.push(disk);
    }
    let (classes, vars) = ("DEFAULT RAIDED LAST".parse().unwrap(), Vars::default());
    let asked = Asked::new(&tree, &space, Some(&classes), &vars).on(&facts);
    for (device, line) in [("vda2", 3), ("/dev/vdc2", 7), ("md0", 12), ("vdb1", 6)] {
        let found = explain(&asked, &Subject::Partition(device.to_owned()));
        let at = found.because.iter().filter_map(|it| it.at.as_ref()).map(|at| at.line);
        assert!(at.clone().any(|at| at == line), "{device}: {}", found.render());
    }
    let nothing = explain(&asked, &Subject::Partition("vda9".to_owned()));
    assert!(nothing.answer.contains("does not ask for it"), "{}", nothing.render());
}

#[test]
fn classes_that_contradict_each_other_are_told() {
    let mut tree = support::minimal();
    let file = TreeFile::file("[WEB]\nconflicts = [\"BASE\"]\n", false);
    tree.files.insert("class/dependencies.toml".to_owned(), file);
    let (space, _) = parse(&tree);
    let (classes, vars) = ("DEFAULT BASE WEB LAST".parse().unwrap(), Vars::default());
    let asked = Asked::new(&tree, &space, Some(&classes), &vars);
    let found = explain(&asked, &Subject::Package("less".to_owned()));
    assert!(found.because[0].text.contains("class-conflict"), "{}", found.render());
}

#[test]
fn a_package_that_is_asked_for_twice_keeps_both_in_a_comparison() {
    let mut old_tree = support::minimal();
    let text = "PACKAGES install\nnginx\n";
    old_tree.files.insert("package_config/DEFAULT".to_owned(), TreeFile::file(text, false));
    let mut new_tree = old_tree.clone();
    let text = "PACKAGES install\nnginx\nPACKAGES remove\nnginx\n";
    new_tree.files.insert("package_config/DEFAULT".to_owned(), TreeFile::file(text, false));
    let inputs = inputs("bios-virtio-20g", "DEFAULT AMD64 BASE DEBIAN GRUB_PC demohost LAST");
    let text = difference((&old_tree, &inputs), (&new_tree, &inputs));
    assert!(text.contains("install, then remove"), "{text}");
}
