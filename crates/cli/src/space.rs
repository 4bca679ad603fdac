//! Finds and reads a config space for the verbs, wherever it is.

use crate::faults::{Failure, usage};
use hostwright_host::real::RealHost;
use hostwright_host::space::read_space;
use hostwright_host::space_source::{self, SpaceSource};
use hostwright_plan::ConfigTree;
use hostwright_plan::space::profiles;
use std::path::{Path, PathBuf};

/// Where spaces from elsewhere are kept.
const CACHE: &str = "/var/cache/hostwright/spaces";

/// The directory of a space that is named by its path or by a source as in FAI_CONFIG_SRC. A space
/// from elsewhere is fetched, and its version told.
pub fn locate(named: &Path) -> Result<PathBuf, Failure> {
    let Some(uri) = named.to_str().filter(|text| text.contains("://")) else {
        return Ok(named.to_owned());
    };
    let source: SpaceSource = uri.parse().map_err(|error: space_source::BadSource| {
        usage(
            error.to_string(),
            "see 'Config spaces from elsewhere' in docs/reference/fai-session.md",
        )
    })?;
    if let SpaceSource::Archive { url, sha256: None } = &source
        && url.starts_with("http")
    {
        eprintln!("nothing verifies {url}; add #sha256=HEX to it");
    }
    let cache = format!("{CACHE}/{}", file_name(uri.split('#').next().unwrap_or(uri)));
    let fetched = space_source::fetch(&mut RealHost::default(), &source, &cache)?;
    if let Some(revision) = &fetched.revision {
        eprintln!("config space {uri}: {revision}");
    }
    Ok(PathBuf::from(fetched.dir))
}

/// The classes of a profile of the space, joined by commas as in ADDCLASSES.
pub fn profile(directory: &Path, name: &str) -> Result<String, Failure> {
    let found = profiles(&read(directory)?);
    let Some(profile) = found.iter().find(|profile| profile.name == name) else {
        let names: Vec<&str> = found.iter().map(|profile| profile.name.as_str()).collect();
        let cure = match names.is_empty() {
            true => "the space has no class/*.profile: name classes by --classes".to_owned(),
            false => format!("the profiles are: {}", names.join(", ")),
        };
        return Err(usage(format!("the space has no profile '{name}'"), cure));
    };
    let classes: Vec<&str> = profile.classes.iter().map(|class| class.as_str()).collect();
    Ok(classes.join(","))
}

/// A file name that no other text has: `=2F` for a slash.
fn file_name(text: &str) -> String {
    let mut name = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => name.push(byte.into()),
            _ => name.push_str(&format!("={byte:02X}")),
        }
    }
    name
}

/// The files of the space in `directory`, which must look like one.
pub fn read(directory: &Path) -> Result<ConfigTree, Failure> {
    if !directory.is_dir() {
        let message = format!("there is no directory {}", directory.display());
        return Err(usage(message, "give the directory that holds class/, package_config/, …"));
    }
    let tree = ConfigTree { files: read_space(directory)? };
    if !tree.has_class_directory() {
        let message = format!("{} is not a config space: it has no class/", directory.display());
        return Err(usage(message, "give the directory that holds class/, package_config/, …"));
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_a_directory_of_its_own() {
        assert_eq!(file_name("git://h/a_b"), "git=3A=2F=2Fh=2Fa_b");
        assert_ne!(file_name("git://h/a_b"), file_name("git://h/a/b"));
    }
}
