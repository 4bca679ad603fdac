//! `hostwright build`: a finished system in a directory, in the store or in a disk image, from one
//! config space.

use super::disk_image::DiskImage;
use super::image::{byte_bar, print_image};
use crate::directory_run::{Built, DirectoryRun, Observer};
use crate::faults::{Failure, file, usage};
use crate::isolation;
use crate::machine_args::FirmwareArg;
use crate::render::json;
use crate::render::progress::Bars;
use crate::space_args::SpaceArgs;
use hostwright_engine::sandbox;
use hostwright_media::disk_image::DiskImageFormat;
use hostwright_model::event::Event;
use hostwright_model::facts::Firmware;
use hostwright_model::image::{ImageOrigin, ImageRef};
use hostwright_model::plan::Rules;
use hostwright_model::progress::RunProgress;
use hostwright_model::size::ByteSize;
use hostwright_store::{AddOptions, Store};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Directories whose content belongs to the running system, not to an image.
const EMPTY_DIRS: [&str; 4] = ["proc", "sys", "run", "tmp"];

/// Build a finished system from a config space, into a directory, an image store or a disk image.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright build --space /srv/fai/config --hostname web1 --firmware uefi --store /srv/images --name web
  hostwright build --space /srv/fai/config --only-classes DEBIAN,AMD64,FAIBASE,LAST -o /srv/chroot/
  hostwright build --space /srv/fai/config --only-classes DEBIAN,AMD64,FAIBASE,GRUB_PC,CLOUD,LAST --size 3G -o cloud.qcow2

The suffix of a disk image says its format: .raw .raw.xz .raw.zst .qcow2 .vdi .vhdx .vmdk .simg.
It appears under its name when it is finished; a build that ends before leaves nothing of it.
A build into a directory or store that failed is taken up again where it stopped with --resume.")]
pub struct Args {
    #[command(flatten)]
    space: SpaceArgs,
    /// Host name, which class scripts may look at.
    #[arg(long, default_value = "localhost")]
    hostname: String,
    /// Firmware of the machine it is for; class scripts see it instead of this machine's.
    #[arg(long, default_value = "bios")]
    firmware: FirmwareArg,
    /// A disk image to make, or, with a '/' at its end, the same as --dir.
    #[arg(long, short, conflicts_with_all = ["dir", "store"])]
    output: Option<PathBuf>,
    /// Size of the disk in a disk image.
    #[arg(long, default_value = "800M", requires = "output")]
    size: ByteSize,
    /// Leave the disk of a build that failed beside the image, as NAME.failed.
    #[arg(long, requires = "output")]
    keep: bool,
    /// Let each copy of the disk become a machine of its own when it starts for the first time: new
    /// identifiers for its file systems, machine id and host keys, and all of the disk for its last
    /// partition.
    #[arg(long, requires = "output")]
    first_boot: bool,
    /// Leave the system in this directory, which must be empty or not there.
    #[arg(long, required_unless_present_any = ["store", "output"])]
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
    /// End with 1 if anything recorded a task error, as fai does, even if the build went on.
    #[arg(long)]
    fai_exit_status: bool,
}

/// What is made.
enum Wanted {
    Directory(PathBuf),
    DiskImage(PathBuf, DiskImageFormat),
    Stored,
}

impl Args {
    fn wanted(&self) -> Result<Wanted, Failure> {
        let Some(output) = &self.output else {
            return Ok(self.dir.clone().map_or(Wanted::Stored, Wanted::Directory));
        };
        if output.as_os_str().as_encoded_bytes().ends_with(b"/") || output.is_dir() {
            return Ok(Wanted::Directory(output.clone()));
        }
        let Some(format) = DiskImageFormat::of_path(output) else {
            let message = format!("the name {} does not say what to make", output.display());
            let known = DiskImageFormat::suffixes();
            let cure = format!("end it with '/' for a directory, else with one of {known}");
            return Err(usage(message, cure));
        };
        if self.resume {
            let message = "a disk image is not taken up again: nothing of a failed one is left";
            return Err(usage(message, "build it without --resume"));
        }
        let path = std::path::absolute(output).map_err(|error| file("find", output, &error))?;
        Ok(Wanted::DiskImage(path, format))
    }

    /// What tells this build from others on this machine.
    fn build_name(&self, wanted: &Wanted) -> String {
        match (wanted, &self.name) {
            (_, Some(name)) => name.clone(),
            (Wanted::DiskImage(path, _), None) => {
                path.display().to_string().trim_start_matches('/').replace('/', "=")
            }
            _ => self.hostname.clone(),
        }
    }

    fn directory_run(&self, work_dir: &Path, dir: Option<&Path>) -> Result<DirectoryRun, Failure> {
        let (given_classes, run_class_scripts) = self.space.given_classes();
        let mut vars = self.space.vars()?;
        if let Ok(here) = std::env::current_dir() {
            // Scripts leave files for whoever started the build there.
            vars.entry("FAI_RUNDIR".to_owned()).or_insert(here.display().to_string());
        }
        Ok(DirectoryRun {
            space: self.space.space.clone(),
            on_system: false,
            hostname: self.hostname.clone(),
            firmware: self.firmware.into(),
            given_classes,
            run_class_scripts,
            vars,
            defaults: self.space.defaults()?,
            rules: Rules { first_boot: self.first_boot, ..self.space.rules() },
            record_dir: work_dir.join("record"),
            log_dir: work_dir.join("logs"),
            target: dir.map_or_else(|| work_dir.join("root"), Path::to_owned),
            disk: None,
            is_used_disk: false,
            image: None,
            package_cache: self.package_cache.clone(),
            resume: self.resume,
        })
    }
}

/// Does it.
pub fn run(mut args: Args, as_json: bool) -> Result<ExitCode, Failure> {
    let wanted = args.wanted()?;
    let why = "a build mounts file systems and runs programs in another root";
    if let Some(status) = isolation::own_processes(why)? {
        return Ok(status);
    }
    args.space.locate()?;
    let args = &args;
    let name = args.build_name(&wanted);
    let work_dir = args.work_dir.join(&name);
    let _lock = lock(&args.work_dir, &name)?;
    // First of all: threads and open files that exist already would stay outside.
    sandbox::enter(args.firmware.into())?;
    let dir = match &wanted {
        Wanted::Directory(dir) => Some(dir.as_path()),
        _ => None,
    };
    let mut run = args.directory_run(&work_dir, dir)?;
    check_place(&run, dir)?;
    let view = View::new(as_json);
    let task_error = match &wanted {
        Wanted::DiskImage(path, format) => {
            let image = DiskImage { path, format: *format, size: args.size, keep: args.keep };
            image.build(&mut run, view)?
        }
        Wanted::Directory(_) | Wanted::Stored => build_tree(args, &name, &run, view)?,
    };
    if dir.is_none() {
        // The logs stay for whoever was told to read them.
        let done_with = match task_error {
            0 => vec![&work_dir],
            _ => vec![&run.record_dir, &run.target],
        };
        for path in done_with.into_iter().filter(|path| path.exists()) {
            std::fs::remove_dir_all(path).map_err(|error| file("remove", path, &error))?;
        }
    }
    Ok(ExitCode::from(u8::from(args.fai_exit_status && task_error > 0)))
}

/// Keeps other builds of this name away, as long as it is not dropped.
fn lock(work_dir: &Path, name: &str) -> Result<File, Failure> {
    std::fs::create_dir_all(work_dir).map_err(|error| file("create", work_dir, &error))?;
    let path = work_dir.join(format!("{name}.lock"));
    let lock = File::create(&path).map_err(|error| file("create", &path, &error))?;
    lock.try_lock().map_err(|_| {
        let message = format!("another build of {name} is running in {}", work_dir.display());
        usage(message, "wait for it, or name this one by --name or another --work-dir")
    })?;
    Ok(lock)
}

/// Builds into a directory, and from there into a store; FAI's highest task error.
fn build_tree(args: &Args, name: &str, run: &DirectoryRun, mut view: View) -> Result<u32, Failure> {
    let built = view.watch(run)?;
    let Some(store) = &args.store else {
        return Ok(built.task_error);
    };
    let origin = ImageOrigin {
        classes: built.classes,
        space: Some(built.space),
        labels: BTreeMap::from([("firmware".to_owned(), firmware_word(run.firmware))]),
    };
    let image = add_to_store(store, name, &run.target, origin)?;
    print_image(&image, view.as_json);
    Ok(built.task_error)
}

fn firmware_word(firmware: Firmware) -> String {
    match firmware {
        Firmware::Bios => "bios".to_owned(),
        Firmware::Uefi => "uefi".to_owned(),
    }
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

/// Shows a run: bars, or a line of JSON an event.
pub(super) struct View {
    bars: Bars,
    progress: RunProgress,
    pub(super) as_json: bool,
}

impl View {
    /// A view that has seen nothing yet.
    pub(super) fn new(as_json: bool) -> Self {
        Self { bars: Bars::default(), progress: RunProgress::default(), as_json }
    }

    /// Carries a run out before the user's eyes.
    pub(super) fn watch(&mut self, run: &DirectoryRun) -> Result<Built, Failure> {
        let built = run.carry_out(self);
        self.bars.clear();
        let built = built?;
        if built.task_error > 0 {
            let (error, logs) = (built.task_error, run.log_dir.display());
            eprintln!("a script or task reported error {error}; see {logs}");
        }
        Ok(built)
    }
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
