//! `hostwright apply`: the running system brought to what its config space says (FAI's softupdate).

use super::build::View;
use super::plan::{Only, Silent};
use crate::directory_run::DirectoryRun;
use crate::faults::{Failure, file, usage};
use crate::render::json;
use crate::space;
use crate::space_args::SpaceArgs;
use hostwright_agent::planner::SpacePlanner;
use hostwright_engine::discrepancy::{Discrepancies, discrepancies};
use hostwright_host::Host as _;
use hostwright_host::real::RealHost;
use hostwright_model::class::{ClassList, ClassName};
use hostwright_model::facts::Firmware;
use hostwright_model::overrides::Overrides;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Discovered, Inputs, Plan, TargetProfile};
use hostwright_plan::{ConfigSpace, parse, render, resolve};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where an installation leaves its classes, below the root of the installed system.
const STORED_CLASSES: &str = "var/lib/fai/FAI_CLASSES";

/// Bring this running system to what its config space says, or show what would change. Nothing is
/// partitioned; services are restarted by their packages as usual.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright apply --space /srv/fai/config --dry-run          what differs, and what would run
  hostwright apply --space /srv/fai/config                    with the classes of the installation
  hostwright apply --space /srv/fai/config --new-classes      with classes that are defined anew")]
pub struct Args {
    #[command(flatten)]
    space: SpaceArgs,
    /// Host name, which class scripts may look at; this machine's if not given.
    #[arg(long)]
    hostname: Option<String>,
    /// Define the classes anew by the space's class scripts, instead of those of the installation;
    /// --classes and --profile imply it.
    #[arg(long, short = 'N', conflicts_with = "only_classes")]
    new_classes: bool,
    /// The system: `/`, or the root of another one that is mounted here.
    #[arg(long, default_value = "/")]
    target: PathBuf,
    /// Change nothing: show what differs and what would run. Class scripts and .var files are run.
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Where the run keeps its journal and logs.
    #[arg(long, default_value = "/var/lib/hostwright/apply")]
    work_dir: PathBuf,
    /// Go on where the last run with this --work-dir stopped.
    #[arg(long)]
    resume: bool,
    /// End with 1 if anything recorded a task error, as fai does, even if the run went on.
    #[arg(long)]
    fai_exit_status: bool,
}

/// Does it.
pub fn run(mut args: Args, as_json: bool) -> Result<ExitCode, Failure> {
    args.space.locate()?;
    let args = &args;
    let run = directory_run(args)?;
    if args.dry_run {
        return show(args, &run, as_json);
    }
    if !args.resume {
        for dir in [&run.record_dir, &run.log_dir] {
            RealHost::default().remove(&dir.display().to_string())?;
        }
    }
    let built = View::new(as_json).watch(&run)?;
    Ok(ExitCode::from(u8::from(args.fai_exit_status && built.task_error > 0)))
}

fn directory_run(args: &Args) -> Result<DirectoryRun, Failure> {
    let (given_classes, run_class_scripts) = classes(args)?;
    let hostname = match &args.hostname {
        Some(name) => name.clone(),
        None => hostname()?,
    };
    Ok(DirectoryRun {
        space: args.space.space.clone(),
        on_system: true,
        hostname,
        // What is there is looked at, not wished for.
        firmware: Firmware::Bios,
        given_classes,
        run_class_scripts,
        vars: args.space.vars()?,
        defaults: args.space.defaults()?,
        rules: args.space.rules(),
        record_dir: args.work_dir.join("record"),
        log_dir: args.work_dir.join("logs"),
        target: args.target.clone(),
        disk: None,
        is_used_disk: false,
        image: None,
        package_cache: args.work_dir.join("packages"),
        resume: args.resume,
    })
}

/// The given classes, and whether class scripts are run.
fn classes(args: &Args) -> Result<(Vec<ClassName>, bool), Failure> {
    let named = args.space.given_classes();
    if args.new_classes || args.space.profile.is_some() || !named.0.is_empty() {
        return Ok(named);
    }
    let path = args.target.join(STORED_CLASSES);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let message =
            format!("cannot read the classes of the installation: {}: {error}", path.display());
        usage(message, "name them by --only-classes, or define them by --new-classes")
    })?;
    let list: ClassList = text.parse().map_err(|error| {
        let message = format!("{}: {error}", path.display());
        usage(message, "mend the file, or define the classes by --new-classes")
    })?;
    Ok((list.iter().cloned().collect(), false))
}

fn hostname() -> Result<String, Failure> {
    let path = Path::new("/proc/sys/kernel/hostname");
    let name = std::fs::read_to_string(path).map_err(|error| file("read", path, &error))?;
    Ok(name.trim().split('.').next().unwrap_or_default().to_owned())
}

/// The plan, and how the system differs from it.
fn show(args: &Args, run: &DirectoryRun, as_json: bool) -> Result<ExitCode, Failure> {
    let (space, _) = parse(&space::read(&args.space.space)?);
    let (plan, classes) = plan(args, run, &space)?;
    let settings = run.settings(&args.space.space, None)?;
    let files = variants(&space, &classes);
    let found = discrepancies(&mut RealHost::default(), &settings, &plan, &files)?;
    if as_json {
        let Discrepancies { missing_packages, unwanted_packages, missing_files, .. } = &found;
        let Discrepancies { changed_files, unknown_files, scripts, .. } = &found;
        json::print(&serde_json::json!({
            "plan": plan,
            "missing_packages": missing_packages,
            "unwanted_packages": unwanted_packages,
            "missing_files": missing_files,
            "changed_files": changed_files,
            "unknown_files": unknown_files,
            "scripts": scripts,
        }));
    } else {
        print!("{}", render(&plan));
        print_differences(&found);
    }
    Ok(ExitCode::SUCCESS)
}

/// Learns classes and variables in a scratch directory and makes the plan.
fn plan(
    args: &Args,
    run: &DirectoryRun,
    space: &ConfigSpace,
) -> Result<(Plan, ClassList), Failure> {
    let scratch = std::env::temp_dir().join(format!("hostwright-apply.{}", std::process::id()));
    let observing = DirectoryRun {
        record_dir: scratch.join("record"),
        log_dir: scratch.join("logs"),
        resume: false,
        ..directory_run(args)?
    };
    let mut planner = Only { whole: SpacePlanner::read(&args.space.space)?, until: Phase::Defvar };
    let built = observing.run(&args.space.space, &mut planner, &mut Silent);
    // The scratch directory is only a courtesy to scripts that look for it.
    let _ = std::fs::remove_dir_all(&scratch);
    let built = built?;
    let inputs = Inputs {
        facts: RealHost::default().facts()?,
        hostname: run.hostname.clone(),
        target: TargetProfile::RunningSystem,
        given_classes: run.given_classes.clone(),
        run_class_scripts: run.run_class_scripts,
        classes: Some(built.classes.clone()),
        vars: Some(built.vars),
        skips: Vec::new(),
        rules: run.rules,
        discovered: Discovered::default(),
        overrides: Overrides::default(),
    };
    Ok((resolve(space, &inputs)?, built.classes))
}

/// The variant of each file that the classes choose: that of the last class which has one.
fn variants(space: &ConfigSpace, classes: &ClassList) -> Vec<(String, String)> {
    let chosen = space.files.iter().filter_map(|(path, variants)| {
        let variant = classes.iter().rev().find_map(|class| variants.get(class))?;
        Some((path.clone(), variant.clone()))
    });
    chosen.collect()
}

fn print_differences(found: &Discrepancies) {
    let lists = [
        ("packages to install", &found.missing_packages),
        ("packages to remove", &found.unwanted_packages),
        ("files that are missing", &found.missing_files),
        ("files that differ", &found.changed_files),
        ("files with variables in them, which may differ", &found.unknown_files),
        ("hooks and scripts that would run and may change anything", &found.scripts),
    ];
    println!();
    for (title, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
        println!("{title}:");
        list.iter().for_each(|entry| println!("  {entry}"));
    }
    if found.is_empty() {
        println!("packages and files are as the space wants them");
    }
}
