//! `fai-link`: makes a symbolic link in the target, unless it is there already.

use super::session::{self, usage};
use super::{Session, ToolError};
use hostwright_host::metadata::{self, FileKind};

pub(super) const USAGE: &str = "LINK DESTINATION";

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let [link, to] = args else { return Err(usage("a link and its destination are needed")) };
    let verbose = session.env.is_on("verbose");
    let target = session.env.get("target").unwrap_or_default().to_owned();
    let shown = session::below(&target, link);
    let path = match target.as_str() {
        "" => session.absolute(link),
        target => metadata::resolve_in_root(&session.absolute(target), link, false)?,
    };
    let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
    if !parent.is_empty() && !metadata::stat(parent)?.is_some_and(|meta| meta.is_dir()) {
        return Err(ToolError::refused(1, format!("there is no directory for {shown}")));
    }
    match metadata::stat_link(&path)?.map(|meta| meta.kind) {
        Some(FileKind::Symlink) if metadata::read_link(&path)? == *to => {
            if verbose {
                session.say(&format!("fai-link: Nothing to do for link {shown} -> {to}"));
            }
            return Ok(0);
        }
        Some(FileKind::Directory) => {
            return Err(ToolError::refused(1, format!("{shown} is a directory")));
        }
        _ => {}
    }
    session.host.symlink(&path, to)?;
    if verbose {
        session.say(&format!("'{shown}' -> '{to}'"));
    }
    Ok(0)
}
