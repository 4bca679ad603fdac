//! Directories with a machine's description in Dominator's files.

use crate::faults::{Failure, file};
use hostwright_plan::dominator;
use std::collections::BTreeMap;
use std::path::Path;

/// No file of a description is as large; what is, belongs to something else.
const LARGEST_BYTES: u64 = 4 << 20;

/// The files of a directory by their names; what is below it is not read.
pub fn read(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let failed = |error: &std::io::Error| file("list", directory, error);
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory).map_err(|error| failed(&error))? {
        let path = entry.map_err(|error| failed(&error))?.path();
        let metadata = std::fs::metadata(&path).map_err(|error| file("read", &path, &error))?;
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|_| metadata.is_file() && metadata.len() <= LARGEST_BYTES) {
            let bytes = std::fs::read(&path).map_err(|error| file("read", &path, &error))?;
            files.insert(name.to_owned(), bytes);
        }
    }
    Ok(files)
}

/// True for a directory of such files. A config space has directories for everything.
pub fn is_one(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: Vec<String> = names.collect();
    dominator::is_described(names.iter().map(String::as_str))
}
