//! Lays an image of a store down with the calls of the engine, for `cargo xtask peers lay`.
//!
//! ```text
//! lay add  STORE NAME TREE       makes an image of a directory
//! lay tree STORE NAME DIRECTORY  lays its files down below a directory and waits for the disk
//! lay blocks STORE NAME DEVICE   lays its ready-made ext4 down on a device
//! ```
#![allow(clippy::print_stderr, reason = "a tool for developers talks to them")]

use hostwright_host::real::RealHost;
use hostwright_host::{Command, Host as _, Tool};
use hostwright_model::image::ReadyMade;
use hostwright_store::{AddOptions, BlockImage, Store};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["add", store, name, tree] => add(store, name, tree),
        ["tree", store, name, directory] => tree(store, name, directory),
        ["blocks", store, name, device] => blocks(store, name, device),
        _ => Err("the first lines of its source say how it is called".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn add(store: &str, name: &str, tree: &str) -> Result<(), Box<dyn Error>> {
    let options = AddOptions::default();
    Store::open(store)?.add_tree(Path::new(tree), name, &options, &|_, _| {})?;
    Ok(())
}

fn tree(store: &str, name: &str, directory: &str) -> Result<(), Box<dyn Error>> {
    let store = Store::open(store)?;
    let image = store.image(store.resolve(name)?.manifest)?;
    RealHost::default().lay_tree(directory, &image, &mut |_| {})?;
    Ok(())
}

fn blocks(store: &str, name: &str, device: &str) -> Result<(), Box<dyn Error>> {
    let store = Store::open(store)?;
    let open = |name: &str| store.image(store.resolve(name)?.manifest);
    let made = BlockImage::new(open(name)?, open(&ReadyMade::name(name, "ext4"))?)?;
    let host = &mut RealHost::default();
    host.lay_blocks(device, &made, &mut |_| {})?;
    // As the engine does: as large as the device, with a journal and an identity of its own.
    let grow = Command::new(Tool::Resize2fs).args(["-f", device]);
    let identify = Command::new(Tool::Tune2fs).args(["-j", "-U", "random", device]);
    for command in [grow, identify] {
        host.run(&command, &mut |_, _| {})?.success()?;
    }
    Ok(())
}
