//! `hostwright check`: every mistake in a config space.

use crate::faults::Failure;
use crate::render::{diagnostics, json};
use crate::space;
use hostwright_model::diagnostic::Severity;
use std::path::PathBuf;
use std::process::ExitCode;

/// Find every mistake in a config space, before any machine sees it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright check /srv/fai/config
  hostwright check --strict /srv/fai/config     warnings fail too; for continuous integration")]
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
}

/// Does it.
pub fn run(mut args: Args, as_json: bool) -> Result<ExitCode, Failure> {
    args.space = space::locate(&args.space)?;
    let args = &args;
    let mut found = hostwright_plan::check(&space::read(&args.space)?);
    if args.quiet {
        found.retain(|diagnostic| diagnostic.severity != Severity::Note);
    }
    let limit = if args.strict { Severity::Warning } else { Severity::Error };
    if found.iter().any(|diagnostic| diagnostic.severity >= limit) {
        return Err(found.into());
    }
    match as_json {
        true => json::print(&serde_json::json!({ "diagnostics": found })),
        false => diagnostics::print(&found),
    }
    Ok(ExitCode::SUCCESS)
}
