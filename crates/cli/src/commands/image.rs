//! `hostwright image`: what is in a store.

mod transfer;

use super::deploy;
use crate::faults::{Failure, usage};
use crate::render::{json, table};
use crate::stores::HttpArgs;
use clap::Subcommand;
use hostwright_engine::ready_made;
use hostwright_host::namespace;
use hostwright_host::real::RealHost;
use hostwright_media::import::{self, ImportOptions, Origin};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::image::{EntryKind, ImageRef};
use hostwright_model::size::ByteSize;
use hostwright_plan::image_install::summarize;
use hostwright_store::{
    Change, CollectOptions, CollectReport, Difference, OPTIMIZE_LEVEL, OnBytes, OptimizeReport,
    PublicKey, Store, StoreAddress, differences,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Content-addressed images: add, list, show, verify, diff, push, pull, blocks, deploy, tag, remove,
/// optimize, gc.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  hostwright image list --store /srv/images
  hostwright image verify web --store /srv/images
  hostwright image diff web~1 web --store /srv/images    what the newest image changed
  hostwright image add debian.tar.zst --name web --store /srv/images
  hostwright image push web --to s3://fleet/images --store /srv/images
  hostwright image pull web --from s3://fleet/images --key KEY --store /srv/images
  hostwright image verify --all --heal-from s3://fleet/images --store /srv/images
  hostwright image tag web~1 web --store /srv/images     back to the image before
  hostwright image deploy web --store /srv/images --to /srv/chroot/
  hostwright image optimize --store /srv/images          at night: less to store and to fetch
  hostwright image gc --store /srv/images --dry-run

An image is named by NAME, by NAME~1 for the one that had the name before, or by its digest.

Another store is a directory, s3://BUCKET/PREFIX (key, secret, region and endpoint by the usual
variables, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL), or the http:// or
https:// address of a published one, which can only be read.")]
pub enum Verb {
    /// Make an image of what there is: a directory, a tar (also compressed by gzip, xz, zstd or
    /// bzip2), an OCI layout or archive, a raw disk image, or an image of a Dominator imageserver,
    /// dominator://HOST[:6971]/IMAGE.
    Add {
        /// The directory, the file or the address.
        from: String,
        /// Name of the image.
        #[arg(long)]
        name: String,
        /// Which of several images of an OCI layout.
        #[arg(long)]
        reference: Option<String>,
        #[command(flatten)]
        store: StoreArg,
    },
    /// All images by name.
    List {
        #[command(flatten)]
        store: StoreArg,
    },
    /// What an image was built from and what is in it.
    Show {
        /// Name or digest.
        image: String,
        /// Only what decides how it is installed, as JSON, for `hostwright plan --image-summary`.
        #[arg(long)]
        summary: bool,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Read every file of an image and compare it with its digest; or all that is in the store, and
    /// heal what is damaged.
    Verify {
        /// Name or digest.
        #[arg(required_unless_present = "all")]
        image: Option<String>,
        /// Every pack, manifest, map and name.
        #[arg(long, conflicts_with = "image")]
        all: bool,
        /// A store that has what is damaged here. Several are asked one after the other.
        #[arg(long, value_name = "STORE", requires = "all")]
        heal_from: Vec<StoreAddress>,
        #[command(flatten)]
        http: HttpArgs,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Copy an image to another store: what is missing there, and its name last.
    Push {
        /// Name of the image.
        image: String,
        /// Where it goes.
        #[arg(long, value_name = "STORE")]
        to: StoreAddress,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Copy an image from another store: what is missing here, every byte verified.
    Pull {
        /// Name of the image.
        image: String,
        /// Where it is. Several are asked one after the other; the first good answer wins.
        #[arg(long, value_name = "STORE", required = true)]
        from: Vec<StoreAddress>,
        /// Whose signature under the name counts: what 'image key' says there. Needed the first
        /// time.
        #[arg(long)]
        key: Option<PublicKey>,
        #[command(flatten)]
        http: HttpArgs,
        #[command(flatten)]
        store: StoreArg,
    },
    /// The key by which others know this store's signatures.
    Key {
        #[command(flatten)]
        store: StoreArg,
    },
    /// Paths that two images do not have in the same way.
    Diff {
        /// Name or digest.
        old: String,
        /// Name or digest.
        new: String,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Give a name to an image that is there: a second name, or back to an older image.
    Tag {
        /// Name or digest of the image.
        image: String,
        /// The name it gets.
        name: String,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Compress everything again, tightly. Images stay as they are, and usable meanwhile.
    Optimize {
        /// Level of zstd, up to 22. From 20 on machines need more memory to read it.
        #[arg(long, default_value_t = OPTIMIZE_LEVEL, value_parser = clap::value_parser!(i32).range(1..=22))]
        level: i32,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Delete what no name has led to for a while, and repack what is mostly such.
    Gc {
        /// Hours that a machine may take to fetch an image that has lost its name.
        #[arg(long, default_value_t = 24.0)]
        grace_hours: f64,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Make an ext4 with the files of an image in it ready, which goes onto disks as blocks.
    Blocks {
        /// Name of the image.
        image: String,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Lay an image down on a disk, into a disk image file or a directory.
    Deploy(Box<deploy::Args>),
    /// Take a name away.
    Remove {
        /// Name of the image.
        image: String,
        #[command(flatten)]
        store: StoreArg,
    },
}

/// Where images are.
#[derive(clap::Args)]
pub struct StoreArg {
    /// Directory of the store.
    #[arg(long, env = "HOSTWRIGHT_STORE")]
    store: PathBuf,
}

impl StoreArg {
    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.store
    }

    /// The store.
    pub fn open(&self) -> Result<Store, Failure> {
        Ok(Store::open(&self.store)?)
    }
}

/// A bar of bytes that a store's callbacks can move.
pub fn byte_bar(what: &str) -> ProgressBar {
    let template = "  {prefix:14} {wide_bar} {bytes:>10} of {total_bytes:10} {eta}";
    let style = ProgressStyle::with_template(template).expect("invariant: the template is valid");
    ProgressBar::new(0).with_style(style).with_prefix(what.to_owned())
}

/// Does it.
pub fn run(verb: Verb, as_json: bool) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Add { from, name, reference, store } => {
            let options = ImportOptions { reference, ..ImportOptions::default() };
            let (store, origin) = (store.open()?, from.parse::<Origin>()?);
            let image = with_bar("store", |on_bytes| {
                import::add(&store, &mut RealHost::default(), &origin, &name, &options, on_bytes)
            })?;
            print_image(&image, as_json);
        }
        Verb::List { store } => list(&store.open()?.list()?, as_json),
        Verb::Show { image, summary: true, store } => {
            let store = store.open()?;
            let manifest = store.manifest(store.resolve(&image)?.manifest)?;
            json::print(&summarize(&manifest.entries));
        }
        Verb::Show { image, summary: false, store } => show(&store.open()?, &image, as_json)?,
        Verb::Verify { image: Some(image), store, .. } => {
            verify(&store.open()?, &image, as_json)?;
        }
        Verb::Verify { image: None, heal_from, http, store, .. } => {
            transfer::scrub(&store.open()?, &heal_from, &http, as_json)?;
        }
        Verb::Push { image, to, store } => {
            transfer::push(&store.open()?, &image, &to, as_json)?;
        }
        Verb::Pull { image, from, key, http, store } => {
            transfer::pull(&store.open()?, &image, &from, key, &http, as_json)?;
        }
        Verb::Key { store } => print_key(&store.open()?, as_json)?,
        Verb::Diff { old, new, store } => diff(&store.open()?, &old, &new, as_json)?,
        Verb::Tag { image, name, store } => {
            print_image(&store.open()?.tag(&image, &name)?, as_json)
        }
        Verb::Optimize { level, store } => {
            let store = store.open()?;
            let report = with_bar("compress", |on_bytes| store.optimize(level, on_bytes))?;
            print_optimized(&report, as_json);
        }
        Verb::Gc { grace_hours, dry_run, store } => {
            let grace = Duration::try_from_secs_f64(grace_hours * 3600.0);
            let cure = "give a number of hours that is not negative";
            let grace = grace.map_err(|e| usage(format!("--grace-hours: {e}"), cure))?;
            let options = CollectOptions { grace, dry_run };
            print_collected(&store.open()?.collect(options)?, dry_run, as_json);
        }
        Verb::Blocks { image, store } => return blocks(&image, &store, as_json),
        Verb::Deploy(args) => return deploy::run(*args, as_json),
        Verb::Remove { image, store } => store.open()?.remove(&image)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Mounts are this process's alone, and gone with it.
fn blocks(name: &str, store: &StoreArg, as_json: bool) -> Result<ExitCode, Failure> {
    let opened = store.open()?;
    let image = opened.resolve(name)?;
    if !namespace::is_root() {
        let message = "making a file system ready mounts it";
        return Err(
            Fault::new(FaultKind::Environment, "needs-root", message, "run it as root").into()
        );
    }
    namespace::own_mounts()?;
    let made = ready_made::make(&mut RealHost::default(), &opened, &image)?;
    print_image(&made.blocks, as_json);
    Ok(ExitCode::SUCCESS)
}

/// Says which image was made.
pub fn print_image(image: &ImageRef, as_json: bool) {
    match as_json {
        true => json::print(image),
        false => println!(
            "image {}: {}, {}",
            image.name,
            ByteSize(image.content_bytes).rounded(),
            image.manifest
        ),
    }
}

fn list(images: &[ImageRef], as_json: bool) {
    if as_json {
        return json::print(&images);
    }
    let row = |image: &ImageRef| {
        let size = ByteSize(image.content_bytes).rounded();
        let digest = image.manifest.to_string();
        [image.name.clone(), size, digest[..16].to_owned(), image.origin.classes.to_string()]
    };
    let rows: Vec<_> = images.iter().map(row).collect();
    table::print(["NAME", "SIZE", "DIGEST", "CLASSES"], &rows);
}

fn show(store: &Store, name: &str, as_json: bool) -> Result<(), Failure> {
    let image = store.resolve(name)?;
    let manifest = store.manifest(image.manifest)?;
    let count = |wanted: fn(&EntryKind) -> bool| {
        manifest.entries.iter().filter(|entry| wanted(&entry.kind)).count()
    };
    let files = count(|kind| matches!(kind, EntryKind::File { .. }));
    let directories = count(|kind| matches!(kind, EntryKind::Directory));
    let packed = store.map(image.manifest)?.packed_bytes();
    let history = store.stream(name).map(|stream| stream.images).unwrap_or_default();
    if as_json {
        json::print(&serde_json::json!({
            "image": image, "files": files, "directories": directories, "packed_bytes": packed,
            "history": history,
        }));
        return Ok(());
    }
    println!("name         {}", image.name);
    println!("digest       {}", image.manifest);
    println!("classes      {}", image.origin.classes);
    println!("files        {files} in {directories} directories");
    println!("content      {}", ByteSize(image.content_bytes).rounded());
    println!("stored as    {}", ByteSize(packed).rounded());
    for (label, value) in &image.origin.labels {
        println!("{label:12} {value}");
    }
    for (back, issue) in history.iter().enumerate().skip(1) {
        println!("{:12} {}", format!("{name}~{back}"), issue.manifest);
    }
    Ok(())
}

fn diff(store: &Store, old: &str, new: &str, as_json: bool) -> Result<(), Failure> {
    let manifest = |name: &str| store.manifest(store.resolve(name)?.manifest);
    let differences = differences(&manifest(old)?, &manifest(new)?);
    if as_json {
        json::print(&differences);
        return Ok(());
    }
    for difference in &differences {
        println!("{} {}", sign(difference.change), shown(difference));
    }
    println!("{} paths differ", differences.len());
    Ok(())
}

/// What stands before a path that differs, after `git status`: `T` is another kind.
fn sign(change: Change) -> char {
    match change {
        Change::Added => 'A',
        Change::Removed => 'D',
        Change::Kind => 'T',
        Change::Content => 'M',
        Change::Metadata => 'm',
        Change::Time => 't',
    }
}

fn shown(difference: &Difference) -> String {
    let (old, new) = (difference.old_bytes, difference.new_bytes);
    match old == new {
        true => difference.path.clone(),
        false => {
            let (old, new) = (ByteSize(old).rounded(), ByteSize(new).rounded());
            format!("{} ({old} -> {new})", difference.path)
        }
    }
}

fn print_collected(report: &CollectReport, dry_run: bool, as_json: bool) {
    if as_json {
        return json::print(report);
    }
    let bytes = ByteSize(report.deleted_bytes).rounded();
    let would = if dry_run { "would be " } else { "" };
    println!("{} images have names", report.images);
    println!("{} packs {would}packed again without what nothing needs", report.repacked_packs);
    println!("{} packs {would}marked for deletion after the grace time", report.condemned_packs);
    println!("{} files {would}deleted, {bytes}", report.deleted_files);
}

fn print_optimized(report: &OptimizeReport, as_json: bool) {
    if as_json {
        return json::print(report);
    }
    let (old, new) = (ByteSize(report.old_bytes).rounded(), ByteSize(report.new_bytes).rounded());
    println!("{} packs compressed again: {old} -> {new}", report.packs);
    println!("{} deltas made again", report.deltas);
    if report.packs > 0 {
        println!("'hostwright image gc' deletes the old packs after its grace time");
    }
}

fn print_key(store: &Store, as_json: bool) -> Result<(), Failure> {
    let key = store.public_key()?.to_string();
    match as_json {
        true => json::print(&serde_json::json!({ "key": key })),
        false => println!("{key}"),
    }
    Ok(())
}

/// Does something that tells how many bytes are done, with a bar that shows it.
fn with_bar<T, E>(what: &str, work: impl FnOnce(OnBytes<'_>) -> Result<T, E>) -> Result<T, E> {
    let bar = byte_bar(what);
    let done = work(&|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    done
}

fn verify(store: &Store, name: &str, as_json: bool) -> Result<(), Failure> {
    let report = with_bar("verify", |on_bytes| store.verify(name, on_bytes))?;
    let (files, bytes) = (report.files, report.content_bytes);
    match as_json {
        true => json::print(&serde_json::json!({ "image": name, "files": files, "bytes": bytes })),
        false => {
            println!("{name}: {files} files, {} are as they should be", ByteSize(bytes).rounded())
        }
    }
    Ok(())
}
