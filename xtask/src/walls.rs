//! Who may use whom: ARCHITECTURE.md's table of floors, held against `cargo metadata`.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Each crate and the crates of ours it may use. Adding a line needs a decision record.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("plan", &["model"]),
    ("host", &["model"]),
    ("store", &["model"]),
    ("client", &["model"]),
    ("engine", &["model", "host", "store"]),
    ("media", &["model", "host", "store"]),
    ("netboot", &["model"]),
    ("server", &["model", "plan", "host", "store", "netboot"]),
    ("agent", &["model", "plan", "host", "store", "engine", "client"]),
    (
        "hostwright",
        &["model", "plan", "host", "store", "client", "engine", "media", "server", "agent", "lab"],
    ),
    ("lab", &["model", "client"]),
    ("fuzz", &["model", "plan", "host", "engine", "netboot", "store", "agent", "server"]),
    ("xtask", &[]),
];

/// What must never be linked into the agent, and why.
const NOT_IN_AGENT: &[(&str, &str)] = &[
    ("sqlx", "a database"),
    ("libsqlite3-sys", "a database"),
    ("axum", "a web framework"),
    ("hyper", "a web server"),
    ("tokio", "an async runtime; the engine is synchronous"),
    ("clap", "a command line for people"),
    ("openssl-sys", "a dynamic C library"),
    ("ring", "a second crypto provider"),
];

/// Fails with every wall that is broken.
pub fn check(root: &Path) -> Result<()> {
    let metadata = metadata(root)?;
    let mut broken = broken_edges(&metadata)?;
    broken.extend(agent_contents(root)?);
    if broken.is_empty() {
        println!("walls: {} crates keep to their floors", MAY_USE.len());
        return Ok(());
    }
    bail!("broken walls:\n  {}", broken.join("\n  "))
}

fn metadata(root: &Path) -> Result<Value> {
    let args = ["metadata", "--format-version=1", "--no-deps", "--locked"];
    let output = Command::new("cargo").args(args).current_dir(root).output()?;
    serde_json::from_slice(&output.stdout).context("cargo metadata wrote no JSON")
}

fn broken_edges(metadata: &Value) -> Result<Vec<String>> {
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut broken = Vec::new();
    for package in packages {
        let name = short(package["name"].as_str().unwrap_or_default());
        let Some(allowed) = table.get(name) else {
            broken.push(format!("{name} is not in the table of floors"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let full = dependency["name"].as_str().unwrap_or_default();
            let ours = full.starts_with("hostwright-");
            // Tests may look across walls: they see both sides of a contract.
            let for_tests = dependency["kind"] == "dev";
            if ours && !for_tests && !allowed.contains(&short(full)) {
                broken.push(format!("{name} must not use {}", short(full)));
            }
        }
    }
    Ok(broken)
}

fn short(name: &str) -> &str {
    name.strip_prefix("hostwright-").unwrap_or(name)
}

fn agent_contents(root: &Path) -> Result<Vec<String>> {
    let args =
        ["tree", "--package=hostwright-agent", "--edges=normal", "--prefix=none", "--locked"];
    let output = Command::new("cargo").args(args).current_dir(root).output()?;
    let tree = String::from_utf8_lossy(&output.stdout);
    if tree.is_empty() {
        bail!("cargo tree says nothing about hostwright-agent");
    }
    let has = |name: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
    let found = NOT_IN_AGENT.iter().filter(|(name, _)| has(name));
    Ok(found.map(|(name, why)| format!("the agent links {name}: {why}")).collect())
}
