//! Feeds every seed to its target: no input that once broke a parser breaks it again.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads its files")]

use hostwright_fuzz::{TARGETS, find};
use std::fs;
use std::path::Path;

fn seeds() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

#[test]
fn every_seed_is_read_without_a_panic() {
    for target in TARGETS {
        let dir = seeds().join(target.name);
        let mut count = 0;
        for entry in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        {
            (target.run)(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{} has no seeds", target.name);
    }
}

#[test]
fn every_directory_of_seeds_has_a_target() {
    for entry in fs::read_dir(seeds()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(find(&name).is_some(), "{name} is no target");
    }
}
