//! Package indexes: from files, directories, or this machine's apt.

use crate::faults::{Failure, file, usage};
use hostwright_host::real::RealHost;
use hostwright_host::{Command, Host as _, Tool};
use hostwright_plan::PackageIndex;
use std::path::{Path, PathBuf};

/// The word for what this machine's apt knows.
const OWN: &str = "apt";

/// Reads all indexes into one; `None` if none is wanted.
pub fn read(sources: &[String]) -> Result<Option<PackageIndex>, Failure> {
    if sources.is_empty() {
        return Ok(None);
    }
    let mut index = PackageIndex::default();
    for source in sources {
        let before = index.len();
        if source == OWN {
            index.add(&output(Command::new(Tool::AptCache).arg("dumpavail"))?);
        } else {
            for path in files(Path::new(source))? {
                index.add(&text(&path)?);
            }
        }
        if index.len() == before {
            let cure = "name a Packages file, a directory of them, or 'apt' after 'apt-get update'";
            return Err(usage(format!("there are no packages in {source}"), cure));
        }
    }
    Ok(Some(index))
}

/// The file itself, or every index in a directory: apt names them `…_Packages`.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: &std::io::Error| file("list", path, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?.path();
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = name.trim_end_matches(".gz").trim_end_matches(".xz");
        if stem == "Packages" || stem.ends_with("_Packages") {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}

fn text(path: &Path) -> Result<String, Failure> {
    let tool = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Tool::Gzip,
        Some("xz") => Tool::Xz,
        _ => {
            let bytes = std::fs::read(path).map_err(|error| file("read", path, &error))?;
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
    };
    output(Command::new(tool).arg("-dc").arg(path.display().to_string()))
}

fn output(command: Command) -> Result<String, Failure> {
    let output = RealHost::default().run(&command, &mut |_, _| {})?;
    Ok(output.success()?.stdout)
}
