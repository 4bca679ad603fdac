//! `hostwright check`: every mistake in a config space.

mod index;
mod shell;

use crate::description;
use crate::faults::{Failure, exit_status};
use crate::git;
use crate::machine_args::{MachineArgs, read_facts};
use crate::render::{diagnostics, json, sarif};
use crate::space;
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::facts::Firmware;
use hostwright_model::fault::FaultKind;
use hostwright_plan::{Against, Machine, check_against, diagnostic_codes, dominator};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Find every mistake in a config space, before any machine sees it; or in a directory with a
/// machine's config.json and storage-layout.json.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright check /srv/fai/config
  hostwright check --strict /srv/fai/config             warnings fail, too; for continuous integration
  hostwright check --packages apt --disk sda=20GiB      package names, and whether layouts fit
  hostwright check --facts web1.json --facts db1.json   layouts against recorded machines
  hostwright check --changed --strict                   only files that differ from the last commit
  hostwright check --format sarif > check.sarif         for code hosting sites

Exit status: 0 nothing that fails; 3 errors, or with --strict warnings.")]
pub struct Args {
    /// Directory of the space.
    #[arg(default_value = ".")]
    space: PathBuf,
    /// Fail on warnings too.
    #[arg(long)]
    strict: bool,
    /// Leave notes out.
    #[arg(long)]
    quiet: bool,
    /// How findings are written; --json is short for json: one object a line.
    #[arg(long, default_value = "text")]
    format: Format,
    /// Only findings in files that differ from this commit of the space's git repository.
    /// HEAD unless another one is named.
    #[arg(
        long,
        value_name = "COMMIT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "HEAD"
    )]
    changed: Option<String>,
    /// Package names must be in this index: a Packages file (.gz and .xz, too), a directory of them,
    /// or `apt` for what this machine's apt knows. May be repeated.
    #[arg(long, value_name = "FILE|DIR|apt")]
    packages: Vec<String>,
    /// Disk layouts must fit a machine, as `hostwright facts --json` saw it. May be repeated.
    #[arg(long)]
    facts: Vec<PathBuf>,
    #[command(flatten)]
    imagined: MachineArgs,
    /// Do not ask bash about the syntax of scripts.
    #[arg(long)]
    no_shell: bool,
}

/// How findings are written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people, on standard error.
    Text,
    /// One JSON object a line.
    Json,
    /// SARIF 2.1.0.
    Sarif,
}

/// Does it.
pub fn run(mut args: Args, as_json: bool) -> Result<ExitCode, Failure> {
    args.space = space::locate(&args.space)?;
    let args = &args;
    let mut found = match description::is_one(&args.space) {
        true => dominator::check(&description::read(&args.space)?),
        false => space_findings(args)?,
    };
    if args.quiet {
        found.retain(|diagnostic| diagnostic.severity != Severity::Note);
    }
    if let Some(commit) = &args.changed {
        let changed = git::changed_files(&args.space, commit)?;
        let is_changed = |diagnostic: &Diagnostic| {
            diagnostic.at.as_ref().is_some_and(|at| changed.contains(&at.file))
        };
        found.retain(is_changed);
    }
    match if as_json { Format::Json } else { args.format } {
        Format::Text => diagnostics::print(&found),
        Format::Json => found.iter().for_each(json::print_line),
        Format::Sarif => json::print(&sarif::log(&found, diagnostic_codes(), &base(&args.space))),
    }
    let limit = if args.strict { Severity::Warning } else { Severity::Error };
    let fails = found.iter().any(|diagnostic| diagnostic.severity >= limit);
    Ok(if fails { exit_status(FaultKind::Config) } else { ExitCode::SUCCESS })
}

/// Everything found in a config space.
fn space_findings(args: &Args) -> Result<Vec<Diagnostic>, Failure> {
    let tree = space::read(&args.space)?;
    let against = Against { packages: index::read(&args.packages)?, machines: machines(args)? };
    let mut found = check_against(&tree, &against);
    if !args.no_shell {
        found.extend(shell::findings(&tree)?);
        found.sort_by(|a, b| a.at.cmp(&b.at));
    }
    Ok(found)
}

/// The space as paths in SARIF begin with it.
fn base(space: &Path) -> String {
    let text = space.display().to_string();
    match text.trim_start_matches("./").trim_end_matches('/') {
        "" | "." => String::new(),
        path => format!("{path}/"),
    }
}

fn machines(args: &Args) -> Result<Vec<Machine>, Failure> {
    let mut machines = Vec::new();
    for path in &args.facts {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        machines.push(Machine { name, facts: read_facts(path)? });
    }
    let imagined = &args.imagined;
    if !imagined.disks.is_empty() {
        let names: Vec<&str> = imagined.disks.iter().map(|disk| disk.name.as_str()).collect();
        let name = format!("a machine with {}", names.join(", "));
        // A space has layouts for both, and only its class scripts know which is for which.
        let either = vec![Firmware::Bios, Firmware::Uefi];
        let firmware = imagined.firmware.map_or(either, |named| vec![named.into()]);
        let facts = firmware.into_iter().map(|firmware| imagined.facts(firmware));
        machines.extend(facts.map(|facts| Machine { name: name.clone(), facts }));
    }
    Ok(machines)
}
