//! Nothing that can stand in a file makes the reader panic, and every place it names exists.

mod support;

use hostwright_model::plan::TargetProfile;
use hostwright_plan::{ConfigTree, TreeFile, check, parse, resolve};
use proptest::prelude::*;

/// Texts of pieces that mean something, and of any characters.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "PACKAGES", "install", "remove", " ", "\t", "\n", "#", "(", ")", "!", "&&", "||", "&", "A",
        "release=", "$", "${", "}", "a-", "é", "\r", "'", "\"", "\\", "=", "NAME", "PRELOAD", "#!",
        "/bin/sh", "fcopy ", "-i", "/etc/x",
    ]);
    let known = prop::collection::vec(pieces, 0..40).prop_map(|words| words.concat());
    prop_oneof![4 => known, 1 => "\\PC{0,60}"]
}

fn path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "class/10-x",
        "class/10-x.sh",
        "class/BASE.var",
        "class/demohost",
        "class/odd.txt",
        "hooks/setup.BASE",
        "hooks/odd.BASE.sh",
        "hooks/subroutines",
        "scripts/BASE/10-x",
        "scripts/BASE/x",
        "package_config/BASE",
        "debconf/BASE",
        "disk_config/OTHER",
        "files/x/BASE",
        "tests/BASE",
        "basefiles/BASE.tar",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_space_can_be_read(files in prop::collection::btree_map(path(), (text(), any::<bool>()), 0..8)) {
        let files = files.into_iter().map(|(path, (text, executable))| {
            (path.to_owned(), TreeFile::file(text, executable))
        });
        let tree = ConfigTree { files: files.collect() };
        for finding in check(&tree) {
            let at = finding.at.expect("a finding about a space has a place");
            // Places in a disk_config have tests of their own.
            if at.line == 0 || at.file.starts_with("disk_config/") {
                continue;
            }
            let text = tree.files[&at.file].text();
            let line = text.split('\n').nth(at.line as usize - 1).expect("the line is there");
            prop_assert_eq!(finding.source_line.as_deref(), Some(line.trim_end_matches('\r')));
            prop_assert!((at.column + at.length) as usize <= line.len() + 2, "{:?}", at);
        }
        let machine = support::machine("bios-virtio-20g");
        let inputs = support::inputs(machine, TargetProfile::Directory, "BASE demohost", &[]);
        let _ = resolve(&parse(&tree).0, &inputs);
    }
}
