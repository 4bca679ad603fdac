//! What git knows of a config space: files that changed, and the space as it was.

use crate::faults::{Failure, file, usage};
use hostwright_host::real::RealHost;
use hostwright_host::{Command, Host as _, HostError, Tool};
use std::collections::BTreeSet;
use std::path::Path;

/// Files of the space, relative to it, that differ from a commit, with those that git does not know
/// yet.
pub fn changed_files(space: &Path, commit: &str) -> Result<BTreeSet<String>, Failure> {
    let differ = ["diff", "--relative", "--name-only", "-z", commit, "--", "."];
    let new = ["ls-files", "--others", "--exclude-standard", "-z", "--", "."];
    let mut files = BTreeSet::new();
    for arguments in [&differ[..], &new[..]] {
        let names = git(space, arguments)?;
        files.extend(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned));
    }
    Ok(files)
}

/// Writes the space as it was at a commit into an empty directory.
pub fn extract(space: &Path, commit: &str, directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).map_err(|error| file("make", directory, &error))?;
    let prefix = git(space, &["rev-parse", "--show-prefix"])?;
    let tree = format!("{commit}:{}", prefix.trim_end_matches(['\n', '/']));
    let archive = directory.join("space.tar").display().to_string();
    git(space, &["archive", "--format=tar", &format!("--output={archive}"), &tree])?;
    let target = directory.display().to_string();
    let unpack = Command::new(Tool::Tar).args(["-x", "-f", &archive, "-C", &target]);
    RealHost::default().run(&unpack, &mut |_, _| {})?.success()?;
    std::fs::remove_file(&archive).map_err(|error| file("remove", Path::new(&archive), &error))?;
    Ok(())
}

fn git(space: &Path, arguments: &[&str]) -> Result<String, Failure> {
    // Tools are started in the root directory.
    let directory = std::path::absolute(space).map_err(|error| file("find", space, &error))?;
    let directory = directory.display().to_string();
    let command = Command::new(Tool::Git).args(["-C", &directory]).args(arguments.iter().copied());
    let output = RealHost::default().run(&command, &mut |_, _| {})?;
    match output.success() {
        Ok(output) => Ok(output.stdout),
        Err(HostError::Failed { output, .. }) => {
            let said = output.last().cloned().unwrap_or_default();
            let message = format!("git has no answer about {directory}: {said}");
            Err(usage(message, "name a commit of the git repository that the space is in"))
        }
        Err(error) => Err(error.into()),
    }
}
