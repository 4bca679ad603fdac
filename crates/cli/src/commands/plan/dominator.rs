//! `hostwright plan --dominator`: a machine that is described in Dominator's files.

use super::Args;
use crate::description;
use crate::faults::{Failure, file, usage};
use crate::render::{diagnostics, json};
use hostwright_model::facts::Facts;
use hostwright_model::ids::Digest;
use hostwright_model::image::{ImageOrigin, ImageRef, ImageSummary};
use hostwright_plan::dominator::{self, DominatorInputs};
use hostwright_plan::image_install::{self, DiskChoice, ImageInstall};
use hostwright_plan::{check_plan, render};
use hostwright_store::Store;
use std::path::Path;
use std::process::ExitCode;

/// Makes the plan and shows it.
pub fn run(
    args: &Args,
    directory: &Path,
    facts: Facts,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let described = dominator::inputs(&description::read(directory)?)?;
    let (image, summary) = image(args, &described)?;
    let inputs = image_install::inputs(facts, image_install::hostname(&described)?, image);
    let disks = match (args.disk_order.is_empty(), args.all_disks) {
        (false, _) => DiskChoice::Named(args.disk_order.clone()),
        (true, true) => DiskChoice::AllFixed,
        (true, false) => DiskChoice::Only,
    };
    let install = ImageInstall { inputs: &inputs, described: &described, summary: &summary, disks };
    let plan = image_install::resolve(&install)?;
    let objections = check_plan(&plan, &inputs);
    if !objections.is_empty() {
        return Err(objections.into());
    }
    match as_json {
        true => json::print(&plan),
        false => print!("{}", render(&plan)),
    }
    let advice = image_install::advise(&install);
    if !as_json && !advice.is_empty() {
        diagnostics::print(&advice);
    }
    Ok(ExitCode::SUCCESS)
}

/// The image: of a store, or only told about.
fn image(args: &Args, described: &DominatorInputs) -> Result<(ImageRef, ImageSummary), Failure> {
    let name = args.image.as_ref().unwrap_or(&described.image.name);
    if let Some(path) = &args.image_summary {
        let text = std::fs::read(path).map_err(|error| file("read", path, &error))?;
        let summary: ImageSummary = serde_json::from_slice(&text).map_err(|error| {
            let cure = "make it with 'hostwright image show NAME --summary --json'";
            usage(format!("{} is no summary of an image: {error}", path.display()), cure)
        })?;
        let image = ImageRef {
            name: name.clone(),
            manifest: Digest([0; 32]),
            content_bytes: summary.occupied_bytes,
            origin: ImageOrigin::default(),
        };
        return Ok((image, summary));
    }
    let Some(store) = &args.store else {
        return Err(usage(
            "a plan for an image needs the image",
            "add --store DIR, or --image-summary FILE with what \
             'hostwright image show NAME --summary --json' wrote",
        ));
    };
    let store = Store::open(store)?;
    let image = store.resolve(name)?;
    let summary = image_install::summarize(&store.manifest(image.manifest)?.entries);
    Ok((image, summary))
}
