//! `hostwright run`: what was and is being installed.

use super::machine::ServerArgs;
use crate::faults::Failure;
use crate::render::progress::Bars;
use crate::render::{json, table};
use clap::Subcommand;
use hostwright_client::OperatorClient;
use hostwright_host::real::RealHost;
use hostwright_model::api::{Run, RunState};
use hostwright_model::ids::{MachineName, RunId};
use hostwright_model::progress::{PhaseState, RunProgress};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Installations: list, show, watch, resume, undo.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  hostwright run list --machine web1
  hostwright run watch RUN               progress bars until it ends; exit status 0 if it went well
  hostwright run resume RUN              after the cause of a failure was mended
  hostwright run undo /run/hostwright/run
                                         on the machine itself: its partition tables as they were")]
pub enum Verb {
    /// Runs, latest first.
    List {
        /// Only those of one machine.
        #[arg(long)]
        machine: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Where a run is, and why it failed.
    Show(OneArgs),
    /// Follow a run to its end.
    Watch(OneArgs),
    /// Have the machine of a failed run take it up again where it stopped.
    Resume(OneArgs),
    /// Put this machine's tables and signatures back, while a run has overwritten no data.
    Undo(UndoArgs),
}

/// One run of one server.
#[derive(clap::Args)]
pub struct OneArgs {
    /// The run.
    run: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// A run of this machine.
#[derive(clap::Args)]
pub struct UndoArgs {
    /// Record directory of the run, with its journal.
    run: PathBuf,
}

/// Does it.
pub fn run(verb: Verb, as_json: bool) -> Result<ExitCode, Failure> {
    match verb {
        Verb::List { machine, server } => {
            let machine = machine.map(MachineName::new);
            list(&server.client()?.runs(machine.as_ref())?, as_json);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Show(one) => {
            let (client, id) = (one.server.client()?, RunId::new(one.run));
            show(&client.run(&id)?, &client.progress(&id)?, as_json);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Resume(one) => {
            let run = one.server.client()?.resume(&RunId::new(one.run))?;
            match as_json {
                true => json::print(&run),
                false => println!(
                    "{} is asked to go on; watch it: hostwright run watch {}",
                    run.machine, run.id
                ),
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Undo(args) => undo(&args, as_json),
        Verb::Watch(one) => watch(&one.server.client()?, &RunId::new(one.run), as_json),
    }
}

/// The state of a run in words.
pub fn state_of(run: &Run) -> String {
    let word = match run.state {
        RunState::Failed if run.resume_asked_at_ms.is_some() => {
            "failed; asked to resume, the machine has not answered yet"
        }
        RunState::Armed => "armed, waits for the machine to boot",
        RunState::Booting => "booting",
        RunState::Running => "running",
        RunState::Installed => "installed",
        RunState::Failed => "failed; the machine is up and waits",
        RunState::Cancelled => "cancelled",
    };
    match (run.started_at_ms, run.ended_at_ms) {
        (Some(from), Some(to)) => format!("{word} after {} s", (to - from) / 1000),
        _ => word.to_owned(),
    }
}

fn list(runs: &[Run], as_json: bool) {
    if as_json {
        return json::print(&runs);
    }
    let row = |run: &Run| [run.id.to_string(), run.machine.to_string(), state_of(run)];
    let rows: Vec<_> = runs.iter().map(row).collect();
    table::print(["RUN", "MACHINE", "STATE"], &rows);
}

fn show(run: &Run, progress: &RunProgress, as_json: bool) {
    if as_json {
        return json::print(&serde_json::json!({ "run": run, "progress": progress }));
    }
    println!("{} {} {}", run.id, run.machine, state_of(run));
    for phase in &progress.phases {
        let mark = match phase.state {
            PhaseState::Waiting => " ",
            PhaseState::Running => ">",
            PhaseState::Done => "+",
            PhaseState::Failed => "!",
        };
        println!("{mark} {:12} {}/{}", phase.phase.name(), phase.finished, phase.steps);
    }
    for (step, status) in &progress.nonzero_exits {
        println!("  {step} ended with status {status}");
    }
    if let Some(fault) = &progress.fault {
        println!("{fault}");
        fault.output.iter().for_each(|line| println!("  | {line}"));
    }
}

/// With JSON a line each time something changes.
fn watch(client: &OperatorClient, id: &RunId, as_json: bool) -> Result<ExitCode, Failure> {
    let (mut bars, mut told) = (Bars::default(), None);
    loop {
        let (run, progress) = (client.run(id)?, client.progress(id)?);
        if !as_json {
            bars.show(&progress);
        } else if told.as_ref() != Some(&(run.clone(), progress.clone())) {
            json::print_line(&serde_json::json!({ "run": run, "progress": progress }));
            told = Some((run.clone(), progress.clone()));
        }
        let asked = run.resume_asked_at_ms.is_some();
        if !run.state.is_open() && !asked {
            bars.clear();
            return ended(&run, progress, as_json);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The exit status says who must act, in JSON too, where everything has been told.
fn ended(run: &Run, progress: RunProgress, as_json: bool) -> Result<ExitCode, Failure> {
    if !as_json {
        println!("{} {}", run.machine, state_of(run));
    }
    match progress.fault {
        Some(fault) if as_json => Ok(crate::faults::exit_status(fault.kind)),
        Some(fault) => Err(fault.into()),
        None => Ok(ExitCode::from(u8::from(run.state != RunState::Installed))),
    }
}

fn undo(args: &UndoArgs, as_json: bool) -> Result<ExitCode, Failure> {
    let dir = args.run.canonicalize();
    let dir = dir.map_err(|error| crate::faults::file("open", &args.run, &error))?;
    let mut host = RealHost::default();
    let changed = hostwright_engine::undo_record(&mut host, &dir.display().to_string())?;
    if as_json {
        json::print(&serde_json::json!({ "changed_devices": changed }));
    } else {
        println!("{changed} devices were put back; all are as they were before the run");
    }
    Ok(ExitCode::SUCCESS)
}
