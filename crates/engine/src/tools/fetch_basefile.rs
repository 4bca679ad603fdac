//! `fetch-basefile`: fetches the base file of the highest class that a server has one for.

use super::options::Options;
use super::{Session, ToolError};
use crate::actions::fetched_base;
use crate::package_calls::download_to;
use hostwright_host::{MountRequest, metadata};

pub(super) const USAGE: &str = "[-m]";

/// Status when the file is there already, or cannot be had.
const NOT_FETCHED: i32 = 1;

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("m", args)?;
    let Some(url) = session.env.get("FAI_BASEFILEURL").map(str::to_owned) else { return Ok(0) };
    let space = session.env.get("FAI").unwrap_or("/var/lib/fai/config").to_owned();
    let base = url.trim_end_matches('/');
    let listing = session.run_for_output(fetched_base::list(base))?.success()?.stdout;
    let names = fetched_base::names(base, &listing);
    let classes = session.classes();
    let Some(name) = fetched_base::chosen(&names, classes.iter().map(String::as_str)) else {
        session.warn(&format!("No basefile matching a class name was found at {url}"));
        return Ok(0);
    };
    let dir = session.absolute(&format!("{space}/basefiles"));
    session.host.make_dir(&dir, 0o755)?;
    if options.has('m') {
        session.host.mount(&MountRequest {
            source: "tmpfs".to_owned(),
            target: dir.clone(),
            file_system: Some("tmpfs".to_owned()),
            options: "private".to_owned(),
        })?;
    }
    let path = format!("{dir}/{name}");
    if metadata::stat(&path)?.is_some() {
        return Err(ToolError::refused(NOT_FETCHED, format!("{path} already exists")));
    }
    session.say(&format!("Downloading {base}/{name}"));
    let fetched = session.run(download_to(&format!("{base}/{name}"), &path))?;
    if fetched.status != 0 {
        // A part of an archive must not be taken for a base file.
        session.host.remove(&path)?;
    }
    Ok(fetched.status)
}
