//! The verbs, one file each.

mod apply;
mod build;
mod check;
mod deploy;
mod disk_image;
mod explain;
mod facts;
mod image;
mod installer;
mod lab;
mod layout;
mod machine;
pub mod plan;
mod run;
mod serve;
mod shell;

use crate::faults::Failure;
use clap::Subcommand;
use std::process::ExitCode;

/// What can be asked for.
#[derive(Subcommand)]
pub enum Verb {
    Check(check::Args),
    Plan(Box<plan::Args>),
    Explain(explain::Args),
    Layout(layout::Args),
    Build(build::Args),
    Apply(apply::Args),
    Facts(facts::Args),
    Serve(serve::Args),
    #[command(subcommand)]
    Machine(machine::Verb),
    #[command(subcommand)]
    Run(run::Verb),
    #[command(subcommand)]
    Image(image::Verb),
    #[command(subcommand)]
    Installer(installer::Verb),
    #[command(subcommand)]
    Lab(lab::Verb),
}

/// Does what was asked for.
pub fn run(verb: Verb, json: bool) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Check(args) => check::run(args, json),
        Verb::Plan(args) => plan::run(*args, json),
        Verb::Explain(args) => explain::run(args, json),
        Verb::Layout(args) => layout::run(&args, json),
        Verb::Build(args) => build::run(args, json),
        Verb::Apply(args) => apply::run(args, json),
        Verb::Facts(args) => facts::run(&args, json),
        Verb::Serve(args) => serve::run(&args, json),
        Verb::Machine(verb) => machine::run(verb, json),
        Verb::Run(verb) => run::run(verb, json),
        Verb::Image(verb) => image::run(verb, json),
        Verb::Installer(verb) => installer::run(verb, json),
        Verb::Lab(verb) => lab::run(verb, json),
    }
}
