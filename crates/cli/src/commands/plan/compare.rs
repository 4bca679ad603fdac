//! `hostwright plan --diff`: two commits of a space, or two machines, compared.

use super::{Args, Made};
use crate::faults::{Failure, file};
use crate::git;
use crate::machine_args::read_facts;
use crate::render::json;
use hostwright_model::facts::Facts;
use hostwright_plan::{Side, diff};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes both plans and shows what differs.
pub fn run(args: &Args, facts: Facts, as_json: bool) -> Result<ExitCode, Failure> {
    let scratch = std::env::temp_dir().join(format!("hostwright-diff.{}", std::process::id()));
    let compared = compare(args, facts, &scratch, as_json);
    // What is left there is of no use to anybody.
    let _ = std::fs::remove_dir_all(&scratch);
    compared
}

fn compare(args: &Args, facts: Facts, scratch: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    let old_facts = match &args.diff_facts {
        Some(path) => read_facts(path)?,
        None => facts.clone(),
    };
    let old_space = old_space(args, scratch)?;
    let old_hostname = args.diff_hostname.as_ref().unwrap_or(&args.hostname);
    let old = in_own_namespace(|| Made::new(args, &old_space, old_hostname, old_facts))?;
    let new = in_own_namespace(|| Made::new(args, &args.space.space, &args.hostname, facts))?;
    let differences = diff(side(&old), side(&new));
    match as_json {
        true => json::print(&differences),
        false => anstream::print!("{}", differences.render()),
    }
    Ok(ExitCode::SUCCESS)
}

fn side(made: &Made) -> Side<'_> {
    Side { tree: &made.tree, space: &made.space, inputs: &made.inputs, plan: &made.plan }
}

/// A directory as it is, a commit written into a directory of its own.
fn old_space(args: &Args, scratch: &Path) -> Result<PathBuf, Failure> {
    let Some(old) = &args.diff else { return Ok(args.space.space.clone()) };
    let directory = Path::new(old);
    if directory.is_dir() {
        return std::path::absolute(directory).map_err(|error| file("find", directory, &error));
    }
    let target = scratch.join("space");
    git::extract(&args.space.space, old, &target)?;
    Ok(target)
}

/// In a thread: each plan wants a mount namespace of its own, and a process can enter one only
/// before it has threads.
fn in_own_namespace(make: impl FnOnce() -> Result<Made, Failure> + Send) -> Result<Made, Failure> {
    std::thread::scope(|scope| {
        let made = scope.spawn(make).join();
        made.expect("invariant: making a plan does not panic")
    })
}
