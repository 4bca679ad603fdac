//! `fcopy`: copies the variant of a file that belongs to the highest class into the target.
//!
//! `$FAI/files/etc/motd/` is a directory of variants of `/etc/motd`, each named after a class:
//! the last class that has one wins. Beside them may be `preinst` and `postinst` scripts, a table
//! `file-modes`, and a mark `_substitute`.

mod leaves;
pub(crate) mod modes;
mod place;
mod settings;
pub(crate) mod substitute;

use super::{Session, ToolError};
use hostwright_host::metadata;
use place::Copier;
pub(crate) use settings::Settings;

pub(super) const USAGE: &str = "[-BdDhHilMnrSUv] [-b DIR] [-c CLASS,…] [-C FILE] [-F FILE] \
     [-I DIR,…] [-L FILE] [-m USER,GROUP,MODE] [-s DIR] [-t DIR] SOURCE…";

/// Exists while a softupdate is running, for `-U`.
const SOFTUPDATE_STAMP: &str = "/var/run/fai/fai_softupdate_is_running";

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let settings = Settings::parse(args, session)?;
    if settings.dry_run {
        session.warn("fcopy: dry run, nothing is changed");
    }
    if settings.not_in_softupdate && metadata::stat(SOFTUPDATE_STAMP)?.is_some() {
        if settings.verbose {
            session.say("fcopy: skipped during softupdate");
        }
        return Ok(0);
    }
    prepare_env(&settings, session);
    let mut sources = settings.sources.clone();
    if settings.recurse {
        sources = leaves::find(&settings, session)?;
    }
    let log = settings.log.clone();
    let mut copier = Copier::new(settings, session);
    for source in &sources {
        copier.copy(source);
    }
    let (lines, failed) = copier.finish();
    if let Some(log) = log {
        session.host.append(&log, lines.as_bytes())?;
    }
    Ok(i32::from(failed))
}

/// What `preinst` and `postinst` may rely on.
fn prepare_env(settings: &Settings, session: &mut Session<'_>) {
    let target = &settings.target;
    session.env.set("FAI_ROOT", target.clone());
    session.env.set("target", target.clone());
    if target != "/" {
        session.env.set("ROOTCMD", format!("chroot {target}"));
    }
}
