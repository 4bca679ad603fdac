//! `hostwright`: the verbs. Each file in `commands` is one verb; nothing here is worth a test that
//! could not be written one floor below.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the command line talks to people")]

mod commands;
mod description;
mod directory_run;
mod fai;
mod faults;
mod git;
mod isolation;
mod machine_args;
mod render;
mod space;
mod space_args;
mod stored_image;
mod stores;
mod tools;

use clap::Parser;
use std::process::ExitCode;

/// Turns bare metal, or an empty directory, into a finished host, from one config space, and shows
/// the plan before it touches anything.
#[derive(Parser)]
#[command(name = "hostwright", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  hostwright check /srv/fai/config                       every mistake, before any machine sees it
  hostwright plan --space /srv/fai/config --hostname web1 --disk vda=20GiB
  hostwright explain package nginx --space /srv/fai/config   which class, file and line asks for it
  hostwright build --space /srv/fai/config --hostname web1 --firmware uefi --store /srv/images --name web
  hostwright serve --config /etc/hostwright.toml
  hostwright lab demo                                    an empty virtual machine becomes a Debian

Exit status: 0 done; 1 a defect of Hostwright; 2 wrong usage; 3 the config space or configuration
must be mended; 4 the hardware; 5 this machine or network; 6 the other side of a connection.")]
struct Args {
    /// Write JSON to standard output instead of text.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    verb: commands::Verb,
}

fn main() -> ExitCode {
    // Scripts of config spaces call fcopy, ainsl and their fellows, which are this program.
    if let Some(status) = tools::called_as_tool() {
        return status;
    }
    match fai::translated(std::env::args_os().collect()) {
        Some(Ok(words)) => carry_out(Args::parse_from(words), |_| ExitCode::from(fai::FAILED)),
        Some(Err(status)) => status,
        None => carry_out(Args::parse(), |status| status),
    }
}

/// Runs a verb; `failed` makes the exit status of a failure out of the usual one.
fn carry_out(args: Args, failed: impl FnOnce(ExitCode) -> ExitCode) -> ExitCode {
    match commands::run(args.verb, args.json) {
        Ok(status) => status,
        Err(failure) => failed(faults::report(&failure, args.json)),
    }
}
