//! `ftar`: unpacks the archives that belong to the classes into a directory of the target.

use super::options::Options;
use super::session::{single_slashes, usage, words};
use super::{Session, ToolError};
use hostwright_host::{Command, Tool, metadata};

pub(super) const USAGE: &str = "[-1dDirv] [-c 'CLASS …'] [-s DIR] [-t DIR] SOURCE";

/// Archives of one class in the order in which they are unpacked.
const SUFFIXES: [&str; 8] = ["tgz", "tar", "tar.gz", "tar.bz2", "tar.xz", "txz", "tar.zst", "tzst"];

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("1Ddirvs:t:c:", args)?;
    let Some(source) = options.rest.first() else { return Err(usage("a source is needed")) };
    let archives = directory(&options, source, session)?;
    let target = options.value('t').or_else(|| session.env.get("FAI_ROOT"));
    let no_target = || ToolError::refused(1, "neither -t nor FAI_ROOT says where the target is");
    let target = session.absolute(target.ok_or_else(no_target)?);
    let into = metadata::resolve_in_root(&target, source, true)?;
    let mut found = matching(&archives, &classes(&options, session)?)?;
    if found.is_empty() {
        let message = format!("No matching class found in {archives}");
        if !options.has('i') {
            return Err(ToolError::refused(1, message));
        }
        session.say(&format!("ftar: {message}"));
        return Ok(0);
    }
    if options.has('1') {
        found.truncate(1);
    }
    clear(&options, &into, session)?;
    let mut status = 0;
    for archive in found {
        session.say(&single_slashes(&format!("ftar: extracting {archive} to {target}/{source}")));
        let command = extraction(&options, &archive, &into, is_nfs(&target, session)?);
        let ended = session.run(command)?.status;
        if ended != 0 {
            session.warn(&format!("ftar: tar ended with status {ended} on {archive}"));
            status = 2;
        }
    }
    Ok(status)
}

/// The directory that holds the archives.
fn directory(options: &Options, source: &str, session: &Session<'_>) -> Result<String, ToolError> {
    let of_space = session.env.get("FAI").map(|space| format!("{space}/files"));
    let root = options.value('s').map(str::to_owned).or(of_space);
    let undefined = || ToolError::refused(1, "neither -s nor FAI says where the archives are");
    let path = session.absolute(&format!("{}/{source}", root.ok_or_else(undefined)?));
    if !metadata::stat(&path)?.is_some_and(|meta| meta.is_dir()) {
        return Err(ToolError::refused(1, format!("No directory {path}")));
    }
    Ok(path)
}

/// The classes: of `-c`, else of the log directory where the run has them, else of the variable.
fn classes(options: &Options, session: &mut Session<'_>) -> Result<Vec<String>, ToolError> {
    if let Some(classes) = options.value('c') {
        return Ok(words(classes));
    }
    let of_variable = session.classes();
    let file = session.log_file("FAI_CLASSES").filter(|_| !of_variable.is_empty());
    let content = match file {
        Some(file) => session.host.read(&file)?,
        None => None,
    };
    Ok(content.map_or(of_variable, |text| words(&String::from_utf8_lossy(&text))))
}

/// Archives of the classes, those of the highest class first.
fn matching(directory: &str, classes: &[String]) -> Result<Vec<String>, ToolError> {
    let mut found = Vec::new();
    for class in classes.iter().rev() {
        for suffix in SUFFIXES {
            let path = format!("{directory}/{class}.{suffix}");
            if metadata::stat(&path)?.is_some_and(|meta| meta.is_file()) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Empties the directory: of everything with `-r`, of all but directories with `-d`.
fn clear(options: &Options, into: &str, session: &mut Session<'_>) -> Result<(), ToolError> {
    if !options.has('d') && !options.has('r') {
        return Ok(());
    }
    if options.has('r') && into == "/" {
        return Err(ToolError::refused(3, "the root directory is not emptied"));
    }
    if options.has('r') && !metadata::stat(into)?.is_some_and(|meta| meta.is_dir()) {
        return Err(ToolError::refused(4, format!("there is no directory {into}")));
    }
    for name in session.host.list(into)? {
        let path = format!("{into}/{name}");
        let is_dir = metadata::stat_link(&path)?.is_some_and(|meta| meta.is_dir());
        if options.has('r') || !is_dir {
            session.host.remove(&path)?;
        }
    }
    Ok(())
}

/// True if the target is mounted over NFS, which keeps no extended attributes.
fn is_nfs(target: &str, session: &mut Session<'_>) -> Result<bool, ToolError> {
    let mounts = session.host.read("/proc/mounts")?.unwrap_or_default();
    let mounts = String::from_utf8_lossy(&mounts).into_owned();
    let mut fields = mounts.lines().map(words);
    Ok(fields.any(|line| matches!(&line[..], [_, at, kind, ..] if at == target && kind == "nfs")))
}

fn extraction(options: &Options, archive: &str, into: &str, is_nfs: bool) -> Command {
    let mut command = Command::new(Tool::Tar);
    if !is_nfs {
        command = command.args(["--xattrs", "--xattrs-include=*.*", "--selinux", "--acls"]);
    }
    if options.has('D') {
        command = command.arg("-v");
    }
    command.args(["--numeric-owner", "-C", into, "-xf", archive])
}
