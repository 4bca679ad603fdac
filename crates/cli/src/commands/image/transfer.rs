//! `hostwright image push`, `pull` and `verify --all`: what concerns a second store.

use super::with_bar;
use crate::faults::{Failure, usage};
use crate::render::json;
use crate::stores::{HttpArgs, open, s3_settings};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::size::ByteSize;
use hostwright_store::{
    DirSource, PublicKey, PullOptions, S3Store, ScrubReport, Source, Store, StoreAddress,
};

/// Copies an image to another store.
pub fn push(store: &Store, name: &str, to: &StoreAddress, as_json: bool) -> Result<(), Failure> {
    let report = match to {
        StoreAddress::Http(_) => {
            let cure = "push to the directory or the bucket that it publishes";
            return Err(usage(format!("--to: {to} can only be read"), cure));
        }
        StoreAddress::Dir(dir) => {
            // A directory is a store of its own, with its own key: it takes the image over.
            let key = Some(store.public_key()?);
            let here = DirSource::new(store.root());
            let there = Store::open(dir)?;
            let pulled = with_bar("push", |on_bytes| {
                there.pull(&here, name, PullOptions { key }, on_bytes)
            })?;
            Moved::of_pull(&pulled)
        }
        StoreAddress::S3 { bucket, prefix } => {
            let bucket = S3Store::new(bucket, prefix, &s3_settings())?;
            let pushed = with_bar("push", |on_bytes| store.push(&bucket, name, on_bytes))?;
            Moved {
                digest: pushed.image.manifest.to_string(),
                moved_bytes: pushed.sent_bytes,
                at_hand_bytes: pushed.at_hand_bytes,
                generation: pushed.generation,
            }
        }
    };
    report.print(name, &format!("is in {to}"), as_json);
    Ok(())
}

/// Copies an image from other stores.
pub fn pull(
    store: &Store,
    name: &str,
    from: &[StoreAddress],
    key: Option<PublicKey>,
    http: &HttpArgs,
    as_json: bool,
) -> Result<(), Failure> {
    let source = open(from, http)?;
    let pulled =
        with_bar("pull", |on_bytes| store.pull(&*source, name, PullOptions { key }, on_bytes))?;
    Moved::of_pull(&pulled).print(name, "is here", as_json);
    Ok(())
}

/// Reads all of a store, and heals it.
pub fn scrub(
    store: &Store,
    heal_from: &[StoreAddress],
    http: &HttpArgs,
    as_json: bool,
) -> Result<(), Failure> {
    let source = match heal_from {
        [] => None,
        some => Some(open(some, http)?),
    };
    let report = with_bar("verify", |on_bytes| {
        store.scrub(source.as_deref().map(|source| source as &dyn Source), on_bytes)
    })?;
    match as_json {
        true => json::print(&report),
        false => print_scrub(&report),
    }
    if report.is_sound() {
        return Ok(());
    }
    let left = report.damaged.iter().filter(|damage| !damage.healed).count();
    let message = format!("{left} objects of the store are damaged");
    let cure = "name a store that has them by --heal-from, or add the images again; a damaged name is \
                given again by 'hostwright image tag'";
    Err(Fault::new(FaultKind::Environment, "store-corrupt", message, cure).into())
}

fn print_scrub(report: &ScrubReport) {
    for damage in &report.damaged {
        let outcome = if damage.healed { "healed" } else { "damaged" };
        println!("{outcome:8} {}: {}", damage.object, damage.reason);
    }
    let bytes = ByteSize(report.pack_bytes).rounded();
    println!(
        "{} names, {} images, {} packs, {bytes} were read",
        report.names, report.images, report.packs
    );
}

/// What went from one store to another.
#[derive(serde::Serialize)]
struct Moved {
    digest: String,
    moved_bytes: u64,
    at_hand_bytes: u64,
    generation: u64,
}

impl Moved {
    fn of_pull(pulled: &hostwright_store::Pulled) -> Self {
        Self {
            digest: pulled.image.manifest.to_string(),
            moved_bytes: pulled.received_bytes,
            at_hand_bytes: pulled.at_hand_bytes,
            generation: pulled.generation,
        }
    }

    fn print(&self, name: &str, outcome: &str, as_json: bool) {
        if as_json {
            return json::print(self);
        }
        let (moved, kept) = (ByteSize(self.moved_bytes), ByteSize(self.at_hand_bytes));
        println!(
            "image {name} {outcome}: {} moved, {} were there; generation {}, {}",
            moved.rounded(),
            kept.rounded(),
            self.generation,
            self.digest
        );
    }
}
