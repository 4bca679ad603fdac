//! `mkramdisk`: puts a RAM disk with the content of a directory over it, or writes it back.

use super::options::Options;
use super::session::words;
use super::{Session, ToolError};
use crate::actions::ram_disk::COPY;
use hostwright_host::{Command, HostError, MountRequest, Tool, metadata};

pub(super) const USAGE: &str = "[-u] [-s SIZE] [-a | DIRECTORY...]";

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    // FAI's -n is for an /etc/mtab that is a file, which no system has any more.
    let options = Options::parse("ans:u", args)?;
    let directories = match options.has('a') {
        true => {
            let usual = format!("{}/var/lib/dpkg", session.target().trim_end_matches('/'));
            words(session.env.get("FAI_RAMDISKS").unwrap_or(&usual))
        }
        false => options.rest.clone(),
    };
    for directory in &directories {
        let directory = session.absolute(directory.trim_end_matches('/'));
        let is_mounted = session.host.mounts_below(&directory)?.contains(&directory);
        if options.has('u') {
            match is_mounted {
                true => write_back(session, &directory)?,
                false => session.warn(&format!("{directory} is not a mounted ramdisk.")),
            }
        } else if metadata::stat(&directory)?.is_some_and(|found| found.is_dir()) {
            let size = options.value('s').unwrap_or("80%");
            put_over(session, &directory, size)?;
        }
    }
    Ok(0)
}

fn put_over(session: &mut Session<'_>, directory: &str, size: &str) -> Result<(), ToolError> {
    let staged = staging(directory);
    session.host.make_dir(&staged, 0o700)?;
    session.host.mount(&MountRequest {
        source: "tmpfs".to_owned(),
        target: staged.clone(),
        file_system: Some("tmpfs".to_owned()),
        options: format!("noatime,size={size},private"),
    })?;
    let moved = copy(session, directory, &staged).and_then(|()| bind(session, &staged, directory));
    session.host.unmount(&staged)?;
    session.host.remove(&staged)?;
    moved?;
    if session.env.is_on("verbose") {
        session.say(&format!("Ramdisk mounted onto {directory}"));
    }
    Ok(())
}

fn write_back(session: &mut Session<'_>, directory: &str) -> Result<(), ToolError> {
    let staged = staging(directory);
    session.host.make_dir(&staged, 0o700)?;
    bind(session, directory, &staged)?;
    session.host.unmount(directory)?;
    for name in session.host.list(directory)? {
        session.host.remove(&format!("{directory}/{name}"))?;
    }
    copy(session, &staged, directory)?;
    session.host.unmount(&staged)?;
    session.host.remove(&staged)?;
    Ok(())
}

/// Beside the directory, as FAI's own has it.
fn staging(directory: &str) -> String {
    format!("{directory}-in-ramdisk")
}

fn bind(session: &mut Session<'_>, from: &str, to: &str) -> Result<(), ToolError> {
    Ok(session.host.mount(&MountRequest {
        source: from.to_owned(),
        target: to.to_owned(),
        file_system: None,
        options: "bind,private".to_owned(),
    })?)
}

fn copy(session: &mut Session<'_>, from: &str, to: &str) -> Result<(), ToolError> {
    let command = Command::new(Tool::Bash).args(["-c", COPY, "copy", from, to]);
    let copied: Result<_, HostError> = session.run(command)?.success();
    Ok(copied.map(|_| ())?)
}
