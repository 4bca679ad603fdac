//! `hostwright explain`: why something is on a machine, and what would change that.

use crate::faults::Failure;
use crate::machine_args::{MachineArgs, read_facts};
use crate::render::json;
use crate::space;
use hostwright_model::class::{ClassList, ClassName};
use hostwright_plan::{Asked, Subject, explain, parse};
use std::path::PathBuf;
use std::process::ExitCode;

/// Say where a package, file, class, … of a machine comes from: by which class, file and line, and
/// what would change it. Nothing of the space is run.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright explain package nginx --space /srv/fai/config
  hostwright explain file /etc/motd --space /srv/fai/config --classes DEFAULT,DEBIAN,WEB,LAST
  hostwright explain class WEB                            what defines it, and what it brings
  hostwright explain partition /var --classes FAIBASE,LVM
  hostwright explain partition md0 --classes MAIL --facts mail1.json
  hostwright explain script DEBIAN/30-interface
  hostwright explain variable TIMEZONE --classes FAIBASE,GERMAN
  hostwright explain hook instsoft                        all hooks of a task, in their order")]
pub struct Args {
    /// What it is.
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// Its name: a package, a path, a class, a mount point, …
    name: String,
    /// Directory of the config space.
    #[arg(long, default_value = ".")]
    space: PathBuf,
    /// The machine's classes, all of them, in their order; without them all machines are meant.
    #[arg(long, value_delimiter = ',')]
    classes: Vec<ClassName>,
    /// The machine, as `hostwright facts --json` saw it: then its devices have names.
    #[arg(long, conflicts_with_all = ["disks", "firmware", "ram"])]
    facts: Option<PathBuf>,
    #[command(flatten)]
    imagined: MachineArgs,
    /// A variable, for packages that are named by one.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
}

/// Kinds of things that can be explained.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// A package.
    Package,
    /// A file that fcopy copies.
    File,
    /// A class.
    Class,
    /// A mount point, a logical volume GROUP-NAME, swap, or a device of a known machine.
    Partition,
    /// A script of class/, scripts/ or tests/.
    Script,
    /// A variable.
    Variable,
    /// A hook, or all hooks of a task.
    Hook,
}

/// Does it.
pub fn run(args: Args, as_json: bool) -> Result<ExitCode, Failure> {
    let tree = space::read(&space::locate(&args.space)?)?;
    let (space, _) = parse(&tree);
    let classes: ClassList = args.classes.iter().cloned().collect();
    let classes = Some(&classes).filter(|classes| !classes.is_empty());
    let vars = crate::space_args::parse_vars(&args.vars)?;
    let mut told = hostwright_model::vars::Vars::default();
    vars.iter().for_each(|(name, value)| told.set(name, value.clone(), "command line"));
    let facts = match &args.facts {
        Some(path) => Some(read_facts(path)?),
        None if args.imagined.disks.is_empty() => None,
        None => Some(args.imagined.facts(args.imagined.firmware())),
    };
    let mut asked = Asked::new(&tree, &space, classes, &told);
    if let Some(facts) = &facts {
        asked = asked.on(facts);
    }
    let name = args.name;
    let subject = match args.kind {
        Kind::Package => Subject::Package(name),
        Kind::File => Subject::File(name),
        Kind::Class => Subject::Class(name),
        Kind::Partition => Subject::Partition(name),
        Kind::Script => Subject::Script(name),
        Kind::Variable => Subject::Variable(name),
        Kind::Hook => Subject::Hook(name),
    };
    let explanation = explain(&asked, &subject);
    match as_json {
        true => json::print(&explanation),
        false => anstream::print!("{}", explanation.render()),
    }
    Ok(ExitCode::SUCCESS)
}
