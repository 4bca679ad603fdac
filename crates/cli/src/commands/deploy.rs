//! `hostwright image deploy`: an image of a store onto a disk, into a disk image file or a directory.
//!
//! A disk is planned and written as in an installation: facts, plan, every byte of the image
//! compared with its digest, and only then the first write.

use super::build::View;
use super::disk_image::DiskImage;
use super::image::{StoreArg, byte_bar};
use crate::directory_run::DirectoryRun;
use crate::faults::{Failure, file, usage};
use crate::machine_args::FirmwareArg;
use crate::render::json;
use crate::stored_image::StoredImage;
use hostwright_engine::sandbox;
use hostwright_host::real::RealHost;
use hostwright_host::{Host as _, free_disk, namespace};
use hostwright_media::disk_image::DiskImageFormat;
use hostwright_model::class::ClassName;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::image::ImageRef;
use hostwright_model::plan::{Plan, Rules};
use hostwright_model::size::ByteSize;
use hostwright_plan::render;
use hostwright_store::FetchedImage;
use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The class of a `--layout`, which belongs to no space.
const LAYOUT_CLASS: &str = "LAYOUT";
/// While it is in a directory, what is there is an image that is not whole yet.
const UNFINISHED: &str = ".hostwright-deploy";

/// Lay an image down on a disk, into a disk image file or a directory, verified.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright image deploy web --store /srv/images --to /srv/chroot/
  hostwright image deploy web --store /srv/images --to web.raw --size 8GiB --layout disk_config/WEB
  hostwright image deploy web --store /srv/images --to /dev/sdb --layout disk_config/WEB --yes
  hostwright image deploy web --store /srv/images --to /dev/sdb --space /srv/fai/config --classes GRUB_EFI --yes

A disk or file gets the partitions and fresh file systems of --layout, or of the disk_config of a
space, whose scripts also install a boot loader; with --layout alone nobody does. The plan is shown
first; nothing is written to a disk without --yes. It may be repeated whenever it was cut off.")]
pub struct Args {
    /// Name or digest.
    image: String,
    #[command(flatten)]
    store: StoreArg,
    /// A disk (/dev/sdb), a file (NAME.raw, .qcow2, …), or a directory (with a '/' at its end if it
    /// is not there yet).
    #[arg(long, value_name = "DISK|FILE|DIR")]
    to: PathBuf,
    /// The layout of the disk, in the language of disk_config.
    #[arg(long, value_name = "DISK_CONFIG", conflicts_with = "space")]
    layout: Option<PathBuf>,
    /// A config space, of which the disk_config, hooks and scripts for boot loaders are used.
    #[arg(long)]
    space: Option<PathBuf>,
    /// Classes beside those that the space's class scripts give.
    #[arg(long, value_delimiter = ',', requires = "space")]
    classes: Vec<ClassName>,
    /// Size of the disk in a disk image file.
    #[arg(long)]
    size: Option<ByteSize>,
    /// Host name of the machine that will boot from it.
    #[arg(long, default_value = "localhost")]
    hostname: String,
    /// Firmware of the machine that will boot from it.
    #[arg(long, default_value = "bios")]
    firmware: FirmwareArg,
    /// Write to the disk. Without it the plan is shown, and that is all.
    #[arg(long)]
    yes: bool,
    /// Where the journal and logs are kept.
    #[arg(long, default_value = "/var/tmp/hostwright/deploy")]
    work_dir: PathBuf,
}

/// Where it goes.
enum Destination {
    Directory(PathBuf),
    /// Kernel name of a disk.
    Disk(String),
    File(PathBuf, DiskImageFormat),
}

/// Does it.
pub fn run(args: Args, as_json: bool) -> Result<ExitCode, Failure> {
    let to = destination(&args)?;
    let stored = StoredImage::find(args.store.directory(), &args.image)?;
    let opened = args.store.open()?.image(stored.image.manifest)?;
    match to {
        Destination::Directory(dir) => into_directory(&dir, &stored, &opened, as_json)?,
        Destination::Disk(_) | Destination::File(..) => {
            if !namespace::is_root() {
                let message = "laying an image down makes and mounts file systems";
                return Err(Fault::new(
                    FaultKind::Environment,
                    "needs-root",
                    message,
                    "run it as root",
                )
                .into());
            }
            // A file's disk and everything that scripts start end with this process.
            if std::env::var_os(namespace::OWN_PROCESSES).is_none() {
                let status = namespace::own_processes()?;
                return Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)));
            }
            onto_disk(&args, &to, stored, &opened, as_json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn destination(args: &Args) -> Result<Destination, Failure> {
    let to = &args.to;
    if to.as_os_str().as_encoded_bytes().ends_with(b"/") || to.is_dir() {
        return Ok(Destination::Directory(to.clone()));
    }
    if std::fs::metadata(to).is_ok_and(|found| found.file_type().is_block_device()) {
        let disk = free_disk::name_of(to)?;
        return Ok(Destination::Disk(disk));
    }
    if to.starts_with("/dev") {
        let cure = "'hostwright facts' lists the disks of this machine";
        return Err(usage(format!("{} is no disk of this machine", to.display()), cure));
    }
    let Some(format) = DiskImageFormat::of_path(to) else {
        let message = format!("the name {} does not say what to make", to.display());
        let known = DiskImageFormat::suffixes();
        let cure = format!("end it with '/' for a directory, else with one of {known}");
        return Err(usage(message, cure));
    };
    let path = std::path::absolute(to).map_err(|error| file("find", to, &error))?;
    Ok(Destination::File(path, format))
}

/// What comes from where.
fn tell_source(stored: &StoredImage, opened: &FetchedImage) {
    let (image, store) = (&stored.image, stored.store.display());
    let (content, packed) = (ByteSize(image.content_bytes), ByteSize(opened.packed_bytes()));
    println!("image {} {}", image.name, image.manifest);
    println!("  {} in {} paths", content.rounded(), opened.manifest().entries.len());
    println!("  {} from {store}, nothing from elsewhere", packed.rounded());
}

/// Everything in a directory is the image's, and no other directory is written to.
fn into_directory(
    dir: &Path,
    stored: &StoredImage,
    opened: &FetchedImage,
    as_json: bool,
) -> Result<(), Failure> {
    let unfinished = dir.join(UNFINISHED);
    let mark = stored.image.manifest.to_string();
    let names: Vec<_> = match std::fs::read_dir(dir) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect(),
        Err(_) => Vec::new(),
    };
    let is_ours = std::fs::read_to_string(&unfinished).is_ok_and(|text| text.trim() == mark);
    if !is_ours && names.iter().any(|name| name != "lost+found") {
        let message = format!("{} is not empty", dir.display());
        return Err(usage(message, "name an empty or new directory"));
    }
    if !as_json {
        tell_source(stored, opened);
    }
    let host = &mut RealHost::default();
    host.write(&unfinished.display().to_string(), format!("{mark}\n").as_bytes(), 0o600)?;
    let bar = byte_bar("lay down");
    bar.set_length(stored.image.content_bytes);
    host.lay_tree(&dir.display().to_string(), opened, &mut |done| bar.set_position(done))?;
    host.remove(&unfinished.display().to_string())?;
    bar.finish_and_clear();
    tell_done(&dir.display().to_string(), &stored.image, as_json);
    Ok(())
}

fn tell_done(to: &str, image: &ImageRef, as_json: bool) {
    if as_json {
        let done = serde_json::json!({
            "to": to, "image": image.name, "manifest": image.manifest,
            "content_bytes": image.content_bytes,
        });
        return json::print_line(&serde_json::json!({ "deployed": done }));
    }
    println!("{to}: image {}, every file as it should be", image.name);
}

fn onto_disk(
    args: &Args,
    to: &Destination,
    stored: StoredImage,
    opened: &FetchedImage,
    as_json: bool,
) -> Result<(), Failure> {
    let work_dir = args.work_dir.join(name_of_run(&args.to));
    let space = match (&args.space, &args.layout) {
        (Some(space), _) => std::path::absolute(space).map_err(|e| file("find", space, &e))?,
        (None, Some(layout)) => space_of_layout(layout, &work_dir.join("space"))?,
        (None, None) => {
            let message = "nothing says how the disk is divided";
            return Err(usage(message, "add --layout DISK_CONFIG, or --space DIR"));
        }
    };
    sandbox::enter(args.firmware.into())?;
    let mut run = directory_run(args, space, &work_dir, stored);
    let host = &mut RealHost::default();
    let preview = work_dir.join("preview");
    for dir in [&run.record_dir, &run.log_dir, &run.target, &preview] {
        host.remove(&dir.display().to_string())?;
    }
    let image = run.image.clone().expect("invariant: it was given one");
    let mut show = |run: &DirectoryRun| -> Result<(), Failure> {
        let (plan, _) = run.preview(&preview)?;
        tell_plan(&image, opened, &plan, as_json);
        Ok(())
    };
    match to {
        Destination::File(path, format) => {
            let Some(size) = args.size else {
                return Err(usage("the disk in a file needs a size", "add --size 8GiB"));
            };
            let made = DiskImage { path, format: *format, size, keep: false };
            made.make(&mut run, &mut View::new(as_json), &mut show)?;
        }
        Destination::Disk(name) => {
            free_disk::demand_free(name)?;
            run.disk = Some(name.clone());
            run.is_used_disk = true;
            show(&run)?;
            if !args.yes {
                let message = format!("this erases what is on {}", args.to.display());
                return Err(usage(message, "add --yes once the plan is what you want"));
            }
            View::new(as_json).watch(&run)?;
        }
        Destination::Directory(_) => {}
    }
    host.remove(&work_dir.display().to_string())?;
    tell_done(&args.to.display().to_string(), &image.image, as_json);
    Ok(())
}

/// What tells this run from others in the same work directory.
fn name_of_run(to: &Path) -> String {
    let path = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
    path.display().to_string().trim_start_matches('/').replace('/', "=")
}

/// A space that holds a layout and nothing else.
fn space_of_layout(layout: &Path, space: &Path) -> Result<PathBuf, Failure> {
    let text = std::fs::read(layout).map_err(|error| file("read", layout, &error))?;
    let host = &mut RealHost::default();
    let at = |name: &str| space.join(name).display().to_string();
    host.remove(&space.display().to_string())?;
    // What makes a directory a space is that it has something in `class`.
    host.write(&at(&format!("class/{LAYOUT_CLASS}.var")), b"", 0o600)?;
    host.write(&at(&format!("disk_config/{LAYOUT_CLASS}")), &text, 0o600)?;
    std::path::absolute(space).map_err(|error| file("find", space, &error))
}

fn directory_run(
    args: &Args,
    space: PathBuf,
    work_dir: &Path,
    stored: StoredImage,
) -> DirectoryRun {
    let layout_class = LAYOUT_CLASS.parse::<ClassName>().expect("invariant: a good name");
    let given_classes = match args.space {
        Some(_) => args.classes.clone(),
        None => vec![layout_class],
    };
    DirectoryRun {
        space,
        on_system: false,
        hostname: args.hostname.clone(),
        firmware: args.firmware.into(),
        given_classes,
        run_class_scripts: args.space.is_some(),
        vars: BTreeMap::new(),
        defaults: BTreeMap::new(),
        rules: Rules::default(),
        record_dir: work_dir.join("record"),
        log_dir: work_dir.join("logs"),
        target: work_dir.join("root"),
        disk: None,
        is_used_disk: false,
        image: Some(stored),
        package_cache: work_dir.join("packages"),
        resume: false,
    }
}

fn tell_plan(stored: &StoredImage, opened: &FetchedImage, plan: &Plan, as_json: bool) {
    match as_json {
        true => json::print_line(&serde_json::json!({ "plan": plan })),
        false => {
            tell_source(stored, opened);
            print!("{}", render(plan));
        }
    }
}
