//! Keeps the house in order: walls, tidiness, generated files, CI, comparisons with peers.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers talks to them"
)]

mod agent;
mod ci;
mod clippy_config;
mod fuzz;
mod generate;
mod peers;
mod tidy;
mod walls;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Keeps the house in order.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the static agent into target/static and hold it against its limits.
    Agent,
    /// Who may use whom; what the agent may contain.
    Walls,
    /// Lengths of files, opening sentences, words that say nothing.
    Tidy,
    /// Write what is made from the sources: the clippy.toml of each crate, the command-line
    /// reference; compare the pages about codes with the codes.
    Generate {
        /// Change nothing; fail if something is out of date.
        #[arg(long)]
        check: bool,
    },
    /// The same work by Hostwright and by a peer, side by side.
    #[command(subcommand)]
    Peers(Peer),
    /// Feed the parsers what nobody would write, until one breaks.
    Fuzz(fuzz::Options),
    /// Everything that must hold before a change lands, in the order of its cost.
    Ci {
        /// Leave the lab's machines out.
        #[arg(long)]
        no_lab: bool,
    },
}

/// What is compared.
#[derive(Subcommand)]
enum Peer {
    /// The tree of a build with FAI's own of the same classes.
    FaiTree(peers::fai_tree::Options),
    /// FAI's class-aware tools with ours, on random inputs.
    FaiTools(peers::fai_tools::Options),
    /// Laying a tree down, by files and by blocks, with tar, unsquashfs and casync.
    Lay(peers::lay::Options),
    /// FAI's planner of disks with ours, on random layouts.
    SetupStorage(peers::setup_storage::Options),
    /// Stores of images: bytes, times, what moves from one version to the next.
    Store(peers::store::Options),
}

fn main() -> ExitCode {
    match run(Args::parse().verb, &workspace_root()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not the backtrace that anyhow's Debug would add: what is wrong is in the words.
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb, root: &Path) -> Result<()> {
    match verb {
        Verb::Agent => agent::build(root).map(|built| println!("{}", built.display())),
        Verb::Walls => walls::check(root),
        Verb::Tidy => tidy::check(root),
        Verb::Generate { check } => {
            clippy_config::generate(root, check)?;
            generate::generate(root, check)
        }
        Verb::Peers(Peer::FaiTree(options)) => peers::fai_tree::run(root, &options),
        Verb::Peers(Peer::FaiTools(options)) => peers::fai_tools::run(root, &options),
        Verb::Peers(Peer::Lay(options)) => peers::lay::run(root, &options),
        Verb::Peers(Peer::SetupStorage(options)) => peers::setup_storage::run(root, &options),
        Verb::Peers(Peer::Store(options)) => peers::store::run(root, &options),
        Verb::Fuzz(options) => fuzz::run(root, &options),
        Verb::Ci { no_lab } => ci::run(root, no_lab),
    }
}

/// The directory of the workspace's Cargo.toml: the one cargo runs this for, not the one it was
/// compiled in, which another checkout may share a target directory with.
fn workspace_root() -> PathBuf {
    let compiled_in = env!("CARGO_MANIFEST_DIR").to_owned();
    let manifest_dir = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap_or(compiled_in));
    manifest_dir.parent().map(PathBuf::from).unwrap_or(manifest_dir)
}
