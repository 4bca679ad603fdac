//! The same work done by Hostwright and by its peers, side by side.

mod disk;
pub mod fai_tools;
pub mod fai_tree;
pub mod lay;
pub mod setup_storage;
pub mod store;
mod tree;
mod trees;

use anyhow::{Context as _, Result};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// A comparison that is a test, which runs a few samples with all other tests.
struct TestedPeer<'a> {
    /// The package of the test.
    package: &'a str,
    /// The file of the test.
    test: &'a str,
    /// Begins the lines of the test that are rows of the table.
    row: &'a str,
}

impl TestedPeer<'_> {
    /// Runs the tests whose names contain `filter` on as many samples, from this seed on; their rows,
    /// and how they ended.
    fn compare(
        &self,
        root: &Path,
        filter: &str,
        samples: u64,
        seed: u64,
    ) -> Result<(Vec<String>, ExitStatus)> {
        let output = Command::new("cargo")
            .args(["test", "--quiet", "--locked", "--package", self.package, "--test", self.test])
            .args(["--", "--nocapture", filter])
            .env("HOSTWRIGHT_PEER_CASES", samples.to_string())
            .env("HOSTWRIGHT_PEER_SEED", seed.to_string())
            .current_dir(root)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run cargo")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let rows = text.lines().filter_map(|line| line.split_once(self.row));
        Ok((rows.map(|(_, row)| row.to_owned()).collect(), output.status))
    }
}
