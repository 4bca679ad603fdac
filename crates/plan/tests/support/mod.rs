//! What the tests of this crate share: spaces and machines read from the disk.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]
#![expect(clippy::disallowed_methods, reason = "the crate is pure, its tests read fixtures")]

mod old_disks;

#[allow(unused_imports, reason = "some tests have blank disks only")]
pub use old_disks::OldDisks;

use hostwright_model::facts::Facts;
use hostwright_model::overrides::Overrides;
use hostwright_model::plan::{Discovered, Inputs, Rules, TargetProfile};
use hostwright_model::vars::Vars;
use hostwright_plan::{ConfigTree, TreeFile};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The project's directory.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reads all files below a directory.
pub fn read_tree(root: &Path) -> ConfigTree {
    let mut tree = ConfigTree::default();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory);
        let entries =
            entries.unwrap_or_else(|e| panic!("cannot read {}: {e}", directory.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                open.push(path);
                continue;
            }
            let file = if metadata.is_symlink() {
                TreeFile::symlink(fs::read_link(&path).unwrap().to_str().unwrap())
            } else {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                TreeFile::file(fs::read(&path).unwrap(), executable)
            };
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            tree.files.insert(name.to_owned(), file);
        }
    }
    tree
}

/// Our own example.
pub fn minimal() -> ConfigTree {
    read_tree(&project().join("examples/minimal"))
}

/// FAI's example, as the Debian package fai-doc has it.
pub fn simple() -> ConfigTree {
    let named = std::env::var_os("HOSTWRIGHT_FAI_DOC").map(PathBuf::from);
    let root = named.unwrap_or_else(|| "/usr/share/doc/fai-doc/examples/simple".into());
    assert!(
        root.join("class").is_dir(),
        "FAI's example space is not at {}: install the Debian package fai-doc (and gunzip what dpkg \
         left packed), or name its directory in HOSTWRIGHT_FAI_DOC",
        root.display()
    );
    read_tree(&root)
}

/// A recorded machine, `fixtures/machines/NAME.json`.
pub fn machine(name: &str) -> Facts {
    let path = project().join(format!("fixtures/machines/{name}.json"));
    let text = fs::read(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Inputs of a machine whose classes and variables are known.
pub fn inputs(
    facts: Facts,
    target: TargetProfile,
    classes: &str,
    vars: &[(&str, &str, &str)],
) -> Inputs {
    let mut known = Vars::default();
    for (name, value, origin) in vars {
        known.set(name, *value, origin);
    }
    Inputs {
        facts,
        hostname: "demohost".to_owned(),
        target,
        given_classes: Vec::new(),
        run_class_scripts: true,
        classes: Some(classes.parse().unwrap()),
        vars: Some(known),
        skips: Vec::new(),
        rules: Rules::default(),
        discovered: Discovered::default(),
        overrides: Overrides::default(),
    }
}

/// A text file.
pub fn read_text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// Replaces a text file.
pub fn write_text(path: &Path, text: &str) {
    let written =
        path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
}

/// True if the environment has a variable.
pub fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}
