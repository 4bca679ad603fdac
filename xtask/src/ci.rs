//! Runs everything that must hold before a change lands, cheapest first.

use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Each check with its command line.
const CHECKS: &[(&str, &[&str])] = &[
    ("format", &["cargo", "fmt", "--all", "--check"]),
    ("tidy", &["cargo", "xtask", "tidy"]),
    ("walls", &["cargo", "xtask", "walls"]),
    ("generated files", &["cargo", "xtask", "generate", "--check"]),
    ("lints", &["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-Dwarnings"]),
    ("documentation tests", &["cargo", "test", "--workspace", "--doc", "--locked", "--quiet"]),
    ("tests", &["cargo", "nextest", "run", "--workspace", "--locked", "--profile", "ci"]),
    ("agent", &["cargo", "xtask", "agent"]),
    ("command", &["cargo", "build", "--package", "hostwright", "--locked"]),
];

/// The lab's ring for every change.
const LAB: (&str, &[&str]) =
    ("lab, ring pr", &["target/debug/hostwright", "lab", "test", "--ring", "pr"]);

/// Runs all checks and stops at the first that fails.
pub fn run(root: &Path, no_lab: bool) -> Result<()> {
    let lab = (!no_lab).then_some(&LAB);
    for (name, words) in CHECKS.iter().chain(lab) {
        println!("==> {name}: {}", words.join(" "));
        let started = Instant::now();
        let status = Command::new(words[0]).args(&words[1..]).current_dir(root).status()?;
        if !status.success() {
            bail!("{name} failed; repeat it with: {}", words.join(" "));
        }
        println!("==> {name}: done after {} s", started.elapsed().as_secs());
    }
    Ok(())
}
