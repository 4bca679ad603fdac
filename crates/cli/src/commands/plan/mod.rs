//! `hostwright plan`: what will happen, and why, before anything does.

mod compare;
mod dominator;

use crate::directory_run::{Built, DirectoryRun, Observer};
use crate::faults::{Failure, usage};
use crate::machine_args::{MachineArgs, read_facts};
use crate::render::{diagnostics, json};
use crate::space;
use crate::space_args::SpaceArgs;
use hostwright_agent::planner::SpacePlanner;
use hostwright_engine::{Planner, sandbox};
use hostwright_model::class::ClassList;
use hostwright_model::event::Event;
use hostwright_model::facts::{Facts, Firmware};
use hostwright_model::fault::Fault;
use hostwright_model::overrides::Overrides;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Discovered, Inputs, Plan, TargetProfile};
use hostwright_model::vars::Vars;
use hostwright_plan::{ConfigSpace, ConfigTree, advise, check_plan, parse, render, resolve};
use hostwright_store::Store;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show what an installation will do, and why. Class scripts and .var files of the space are run on
/// this machine, as `build` does; nothing else is.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright plan --space /srv/fai/config --hostname web1 --disk vda=20GiB
  hostwright plan --space /srv/fai/config --hostname web1 --facts machine.json --store /srv/images --image web
  hostwright plan --space /srv/fai/config --only-classes DEBIAN,FAIBASE,LAST --target directory --json
  hostwright plan --space . --hostname web1 --disk vda=20GiB --diff HEAD      what a change to the space does
  hostwright plan --space . --hostname web1 --facts web1.json --diff-hostname db1 --diff-facts db1.json
  hostwright plan --dominator /tftpdata --facts web1.json --store /srv/images   config.json, storage-layout.json")]
pub struct Args {
    #[command(flatten)]
    space: SpaceArgs,
    /// Host name, which class scripts may look at.
    #[arg(long, default_value = "localhost")]
    hostname: String,
    /// The machine, as `hostwright facts --json` saw it.
    #[arg(long, conflicts_with_all = ["disks", "firmware", "ram"])]
    facts: Option<PathBuf>,
    #[command(flatten)]
    imagined: MachineArgs,
    /// What is written to.
    #[arg(long, default_value = "disks")]
    target: TargetArg,
    /// Lay this image down instead of installing packages.
    #[arg(long)]
    image: Option<String>,
    /// Image store.
    #[arg(long, env = "HOSTWRIGHT_STORE")]
    store: Option<PathBuf>,
    /// A directory with config.json, storage-layout.json and imagename, as Dominator's tools write
    /// them, in place of a config space.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["space", "classes", "target", "diff"])]
    dominator: Option<PathBuf>,
    /// What an image is like, in place of the image: `hostwright image show NAME --summary --json`.
    #[arg(long, value_name = "FILE", requires = "dominator")]
    image_summary: Option<PathBuf>,
    /// All disks that are built in may be wiped; the first one boots.
    #[arg(long, requires = "dominator")]
    all_disks: bool,
    /// These disks, by the kernel's names, in this order, as a drive selector would choose them.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "dominator")]
    disk_order: Vec<String>,
    /// Show what differs from the plan by this commit of the space's git repository, or by the space
    /// in this directory.
    #[arg(long, value_name = "COMMIT|DIR")]
    diff: Option<String>,
    /// Show what differs from the plan for this machine.
    #[arg(long, value_name = "FILE")]
    diff_facts: Option<PathBuf>,
    /// Show what differs from the plan for a machine of this name.
    #[arg(long, value_name = "HOSTNAME")]
    diff_hostname: Option<String>,
}

/// Target on the command line.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TargetArg {
    /// The machine's disks (FAI's install).
    Disks,
    /// A directory (FAI's dirinstall).
    Directory,
}

/// Does it.
pub fn run(mut args: Args, as_json: bool) -> Result<ExitCode, Failure> {
    if let Some(directory) = args.dominator.clone() {
        let facts = facts(&args)?;
        return dominator::run(&args, &directory, facts, as_json);
    }
    if args.image.is_some() && args.store.is_none() {
        return Err(usage("--image is the name of an image in a store", "add --store DIR"));
    }
    args.space.locate()?;
    let args = &args;
    let facts = facts(args)?;
    if args.diff.is_some() || args.diff_facts.is_some() || args.diff_hostname.is_some() {
        return compare::run(args, facts, as_json);
    }
    let made = Made::new(args, &args.space.space, &args.hostname, facts)?;
    match as_json {
        true => json::print(&made.plan),
        false => print!("{}", render(&made.plan)),
    }
    let advice = advise(&made.space, &made.inputs);
    if !as_json && !advice.is_empty() {
        diagnostics::print(&advice);
    }
    Ok(ExitCode::SUCCESS)
}

/// A plan with everything that it was made from.
struct Made {
    tree: ConfigTree,
    space: ConfigSpace,
    inputs: Inputs,
    plan: Plan,
}

impl Made {
    /// Runs class scripts and variables of the space, plans, and has the plan checked.
    fn new(args: &Args, space: &Path, hostname: &str, facts: Facts) -> Result<Self, Failure> {
        let target = target(args)?;
        let (given_classes, run_class_scripts) = args.space.given_classes();
        let (classes, vars) = observe(args, space, hostname, facts.firmware)?;
        let inputs = Inputs {
            facts,
            hostname: hostname.to_owned(),
            target,
            given_classes,
            run_class_scripts,
            classes: Some(classes),
            vars: Some(vars),
            skips: Vec::new(),
            rules: args.space.rules(),
            discovered: Discovered::default(),
            overrides: Overrides::default(),
        };
        let tree = space::read(space)?;
        let (space, _) = parse(&tree);
        let plan = resolve(&space, &inputs)?;
        let objections = check_plan(&plan, &inputs);
        if !objections.is_empty() {
            return Err(objections.into());
        }
        Ok(Self { tree, space, inputs, plan })
    }
}

fn target(args: &Args) -> Result<TargetProfile, Failure> {
    match (&args.image, &args.store, args.target) {
        (Some(name), Some(store), _) => {
            Ok(TargetProfile::DisksImage { image: Store::open(store)?.resolve(name)? })
        }
        (_, _, TargetArg::Directory) => Ok(TargetProfile::Directory),
        (_, _, TargetArg::Disks) => Ok(TargetProfile::DisksClassic),
    }
}

/// The recorded machine, or one that is imagined from the arguments.
fn facts(args: &Args) -> Result<Facts, Failure> {
    if let Some(path) = &args.facts {
        return read_facts(path);
    }
    if args.imagined.disks.is_empty() && args.target == TargetArg::Disks {
        return Err(usage(
            "a plan for disks needs a machine",
            "add --disk vda=20GiB, or --facts with what 'hostwright facts --json' wrote there",
        ));
    }
    Ok(args.imagined.facts(args.imagined.firmware()))
}

/// Runs class scripts and .var files, as far as a build would, and asks what came of them.
fn observe(
    args: &Args,
    space: &Path,
    hostname: &str,
    firmware: Firmware,
) -> Result<(ClassList, Vars), Failure> {
    let scratch = std::env::temp_dir().join(format!("hostwright-plan.{}", std::process::id()));
    let (given_classes, run_class_scripts) = args.space.given_classes();
    let run = DirectoryRun {
        space: space.to_owned(),
        on_system: false,
        hostname: hostname.to_owned(),
        firmware,
        given_classes,
        run_class_scripts,
        vars: args.space.vars()?,
        defaults: args.space.defaults()?,
        rules: args.space.rules(),
        record_dir: scratch.join("record"),
        log_dir: scratch.join("logs"),
        target: scratch.join("root"),
        disk: None,
        is_used_disk: false,
        image: None,
        package_cache: scratch.join("packages"),
        resume: false,
    };
    let built = observed_by(&run);
    // The scratch directory is only a courtesy to scripts that look for it.
    let _ = std::fs::remove_dir_all(&scratch);
    let Built { classes, vars, .. } = built?;
    Ok((classes, vars))
}

fn observed_by(run: &DirectoryRun) -> Result<Built, Failure> {
    sandbox::enter(run.firmware)?;
    let mut planner = Only { whole: SpacePlanner::read(&run.space)?, until: Phase::Defvar };
    run.run(&run.space, &mut planner, &mut Silent)
}

/// Plans no further than a phase.
pub struct Only {
    /// Makes the whole plan.
    pub whole: SpacePlanner,
    /// The last phase of it that is kept.
    pub until: Phase,
}

impl Planner for Only {
    fn plan(&mut self, inputs: &Inputs) -> Result<Plan, Box<Fault>> {
        let mut plan = self.whole.plan(inputs)?;
        plan.stages.retain(|stage| stage.phase <= self.until);
        Ok(plan)
    }
}

/// Shows nothing.
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: &Event) {}
}
