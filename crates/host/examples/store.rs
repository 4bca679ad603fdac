//! Does with a store what the engine and the verbs do, for `cargo xtask peers store`.
//!
//! ```text
//! store add      STORE NAME TREE            makes an image of a directory
//! store optimize STORE                      compresses the store again, tightly
//! store tree     STORE NAME DIRECTORY       lays an image's files down below a directory
//! store fetch    STORE NAME CACHE [TREE [MANIFEST]]
//!                                           fetches an image with an old tree as seed, and what it
//!                                           was laid down from; prints where everything came from
//! ```
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool for developers")]

use hostwright_host::Host as _;
use hostwright_host::real::RealHost;
use hostwright_store::{
    AddOptions, DirSource, OPTIMIZE_LEVEL, Seeds, Store, StoreError, fetch_with_seeds,
};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["add", store, name, tree] => add(store, name, tree),
        ["optimize", store] => optimize(store),
        ["tree", store, name, directory] => tree(store, name, directory),
        ["fetch", store, name, cache] => fetch(store, name, cache, Seeds::default()),
        ["fetch", store, name, cache, tree] => {
            fetch(store, name, cache, Seeds::default().tree(tree))
        }
        ["fetch", store, name, cache, tree, manifest] => {
            fetch(store, name, cache, Seeds::default().tree(tree).manifest(manifest))
        }
        _ => Err("the first lines of its source say how it is called".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("store: {error}");
            ExitCode::FAILURE
        }
    }
}

fn add(store: &str, name: &str, tree: &str) -> Result<(), Box<dyn Error>> {
    let options = AddOptions::default();
    let image = Store::open(store)?.add_tree(Path::new(tree), name, &options, &|_, _| {})?;
    println!("{}", image.manifest);
    Ok(())
}

fn optimize(store: &str) -> Result<(), Box<dyn Error>> {
    let report = Store::open(store)?.optimize(OPTIMIZE_LEVEL, &|_, _| {})?;
    println!("{report:?}");
    Ok(())
}

fn tree(store: &str, name: &str, directory: &str) -> Result<(), Box<dyn Error>> {
    let store = Store::open(store)?;
    let image = store.image(store.resolve(name)?.manifest)?;
    RealHost::default().lay_tree(directory, &image, &mut |_| {})?;
    Ok(())
}

fn fetch(store: &str, name: &str, cache: &str, seeds: Seeds) -> Result<(), Box<dyn Error>> {
    let image = Store::open(store)?.resolve(name)?;
    let source = DirSource::new(store);
    let fetched: Result<_, StoreError> =
        fetch_with_seeds(&source, image.manifest, Path::new(cache), &seeds, &|_, _| {});
    println!("{}", serde_json::to_string(&fetched?.1)?);
    Ok(())
}
