//! `hostwright build`: a finished system in a directory, and in the store, from one config space.

use super::image::{byte_bar, print_image};
use super::lab::FirmwareArg;
use crate::directory_run::{DirectoryRun, Observer};
use crate::faults::{Failure, file, usage};
use crate::render::json;
use crate::render::progress::Bars;
use crate::rules::RuleArgs;
use hostwright_model::class::ClassName;
use hostwright_model::event::Event;
use hostwright_model::facts::Firmware;
use hostwright_model::image::{ImageOrigin, ImageRef};
use hostwright_model::progress::RunProgress;
use hostwright_store::{AddOptions, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Directories whose content belongs to the running system, not to an image.
const EMPTY_DIRS: [&str; 4] = ["proc", "sys", "run", "tmp"];

/// Build a finished system from a config space, into a directory or an image store.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright build --space /srv/fai/config --hostname web1 --firmware uefi --store /srv/images --name web
  hostwright build --space /srv/fai/config --only-classes DEBIAN,AMD64,FAIBASE,LAST --dir /srv/chroot

A build that failed is taken up again where it stopped with --resume.")]
pub struct Args {
    /// Directory of the config space.
    #[arg(long)]
    space: PathBuf,
    /// Host name, which class scripts may look at.
    #[arg(long, default_value = "localhost")]
    hostname: String,
    /// Firmware of the machine it is for; class scripts see it instead of this machine's.
    #[arg(long, default_value = "bios")]
    firmware: FirmwareArg,
    /// Classes beside those that the space's class scripts give.
    #[arg(long, value_delimiter = ',')]
    classes: Vec<ClassName>,
    /// Exactly these classes, in this order; no class script is run.
    #[arg(long, value_delimiter = ',', conflicts_with = "classes")]
    only_classes: Vec<ClassName>,
    /// A variable; it wins over those of the space.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
    #[command(flatten)]
    rules: RuleArgs,
    /// Leave the system in this directory, which must be empty or not there.
    #[arg(long, required_unless_present = "store")]
    dir: Option<PathBuf>,
    /// Put the system into this image store.
    #[arg(long, requires = "name")]
    store: Option<PathBuf>,
    /// Name of the image.
    #[arg(long)]
    name: Option<String>,
    /// Where the build keeps its journal, logs and, without --dir, the system.
    #[arg(long, default_value = "/var/tmp/hostwright/build")]
    work_dir: PathBuf,
    /// Where downloaded packages are kept.
    #[arg(long, default_value = "/var/cache/hostwright/packages")]
    package_cache: PathBuf,
    /// Go on where the last build with this --work-dir stopped.
    #[arg(long)]
    resume: bool,
}

/// Does it.
pub fn run(args: &Args, as_json: bool) -> Result<ExitCode, Failure> {
    let name = args.name.clone().unwrap_or_else(|| args.hostname.clone());
    let work_dir = args.work_dir.join(&name);
    let target = args.dir.clone().unwrap_or_else(|| work_dir.join("root"));
    let only = !args.only_classes.is_empty();
    let given = if only { &args.only_classes } else { &args.classes };
    let run = DirectoryRun {
        space: args.space.clone(),
        hostname: args.hostname.clone(),
        firmware: args.firmware.into(),
        given_classes: given.clone(),
        run_class_scripts: !only,
        vars: parse_vars(&args.vars)?,
        rules: args.rules.rules(),
        record_dir: work_dir.join("record"),
        log_dir: work_dir.join("logs"),
        target: target.clone(),
        package_cache: args.package_cache.clone(),
        resume: args.resume,
    };
    check_place(&run, args.dir.as_deref())?;
    let mut view = View { bars: Bars::default(), progress: RunProgress::default(), as_json };
    let built = run.carry_out(&mut view);
    view.bars.clear();
    let built = built?;
    if built.task_error > 0 {
        eprintln!(
            "a script or task reported error {}; see {}",
            built.task_error,
            run.log_dir.display()
        );
    }
    if let Some(store) = &args.store {
        let origin = ImageOrigin {
            classes: built.classes,
            space: Some(built.space),
            labels: BTreeMap::from([("firmware".to_owned(), firmware_word(run.firmware))]),
        };
        let image = add_to_store(store, &name, &target, origin)?;
        print_image(&image, as_json);
    }
    if args.dir.is_none() {
        std::fs::remove_dir_all(&work_dir).map_err(|error| file("remove", &work_dir, &error))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn firmware_word(firmware: Firmware) -> String {
    match firmware {
        Firmware::Bios => "bios".to_owned(),
        Firmware::Uefi => "uefi".to_owned(),
    }
}

/// `NAME=VALUE` words as a map.
pub fn parse_vars(words: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let split = |word: &String| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(usage(format!("--var {word} has no '='"), "write --var NAME=VALUE")),
    };
    words.iter().map(split).collect()
}

/// A fresh build begins with nothing of an earlier one, and never in a directory of somebody's.
fn check_place(run: &DirectoryRun, given: Option<&Path>) -> Result<(), Failure> {
    if run.resume {
        return Ok(());
    }
    let is_empty = |dir: &Path| match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !dir.exists(),
    };
    if let Some(dir) = given
        && !is_empty(dir)
    {
        let message = format!("{} is not empty", dir.display());
        return Err(usage(message, "name an empty or new directory, or add --resume"));
    }
    let own = [Some(&run.record_dir), Some(&run.log_dir), given.is_none().then_some(&run.target)];
    for dir in own.into_iter().flatten().filter(|dir| dir.exists()) {
        hostwright_host::Host::remove(
            &mut hostwright_host::real::RealHost::default(),
            &dir.display().to_string(),
        )?;
    }
    Ok(())
}

fn add_to_store(
    store: &Path,
    name: &str,
    tree: &Path,
    origin: ImageOrigin,
) -> Result<ImageRef, Failure> {
    let bar = byte_bar("store");
    let empty_dirs = EMPTY_DIRS.map(str::to_owned).to_vec();
    let options = AddOptions { origin, empty_dirs };
    let image = Store::open(store)?.add_tree(tree, name, &options, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    Ok(image)
}

/// Shows a build: bars, or a line of JSON an event.
struct View {
    bars: Bars,
    progress: RunProgress,
    as_json: bool,
}

impl Observer for View {
    fn event(&mut self, event: &Event) {
        if self.as_json {
            return json::print_line(event);
        }
        self.progress.apply(1, event);
        self.bars.show(&self.progress);
    }
}
