//! `hostwright image`: what is in a store.

use crate::faults::Failure;
use crate::render::{json, table};
use clap::Subcommand;
use hostwright_model::image::{EntryKind, ImageRef};
use hostwright_model::size::ByteSize;
use hostwright_store::{AddOptions, Store};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

/// Content-addressed images: add, list, show, verify, remove.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  hostwright image list --store /srv/images
  hostwright image verify web --store /srv/images")]
pub enum Verb {
    /// Make an image of a directory.
    Add {
        /// The directory.
        tree: PathBuf,
        /// Name of the image.
        #[arg(long)]
        name: String,
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
        #[command(flatten)]
        store: StoreArg,
    },
    /// Read every file of an image and compare it with its digest.
    Verify {
        /// Name or digest.
        image: String,
        #[command(flatten)]
        store: StoreArg,
    },
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
    fn open(&self) -> Result<Store, Failure> {
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
        Verb::Add { tree, name, store } => {
            let bar = byte_bar("store");
            let image =
                store.open()?.add_tree(&tree, &name, &AddOptions::default(), &|done, total| {
                    bar.set_length(total);
                    bar.set_position(done);
                })?;
            bar.finish_and_clear();
            print_image(&image, as_json);
        }
        Verb::List { store } => list(&store.open()?.list()?, as_json),
        Verb::Show { image, store } => show(&store.open()?, &image, as_json)?,
        Verb::Verify { image, store } => verify(&store.open()?, &image, as_json)?,
        Verb::Remove { image, store } => store.open()?.remove(&image)?,
    }
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
    let packed = manifest.packed_bytes();
    if as_json {
        json::print(&serde_json::json!({
            "image": image, "files": files, "directories": directories, "packed_bytes": packed,
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
    Ok(())
}

fn verify(store: &Store, name: &str, as_json: bool) -> Result<(), Failure> {
    let bar = byte_bar("verify");
    let report = store.verify(name, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let (files, bytes) = (report.files, report.content_bytes);
    match as_json {
        true => json::print(&serde_json::json!({ "image": name, "files": files, "bytes": bytes })),
        false => {
            println!("{name}: {files} files, {} are as they should be", ByteSize(bytes).rounded())
        }
    }
    Ok(())
}
