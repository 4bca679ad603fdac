//! Reads a config space for the verbs.

use crate::faults::{Failure, usage};
use hostwright_host::space::read_space;
use hostwright_plan::ConfigTree;
use std::path::Path;

/// The files of the space in `directory`, which must look like one.
pub fn read(directory: &Path) -> Result<ConfigTree, Failure> {
    let tree = ConfigTree { files: read_space(directory)? };
    if !tree.files.keys().any(|path| path.starts_with("class/")) {
        let message = format!("{} is not a config space: it has no class/", directory.display());
        return Err(usage(message, "give the directory that holds class/, package_config/, …"));
    }
    Ok(tree)
}
