//! `fai-savelog`: saves the logs of a run into the target, or on another machine.

use super::options::Options;
use super::session::usage;
use super::{Session, ToolError};
use crate::shell::PRELUDE;
use hostwright_host::{Command, Tool};

pub(super) const USAGE: &str = "-l | -r";

/// Copies what is not empty, with the links that FAI's readers follow.
const SAVE: &str = r#"set -e
base=$1 host=$2 run=$3 action=$4
find "$LOGDIR" -xdev -type f -size 0 -delete
[ -d "$base/$host/$run" ] && exit 0
mkdir -p "$base/$host/$run"
cp -a "$LOGDIR/." "$base/$host/$run"
chmod 0750 "$base/$host/$run"
chgrp -R adm "$base/$host/$run" || true
ln -sfn "$host" "$base/localhost"
ln -sfn "$run" "$base/$host/last"
ln -sfn "$run" "$base/$host/last-$action""#;

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("lr", args)?;
    if !options.has('l') && !options.has('r') {
        return Err(usage("-l for the target or -r for another machine is needed"));
    }
    let value = |name: &str| session.env.get(name).unwrap_or_default().to_owned();
    let (host, date, logs) = (value("HOSTNAME"), value("fai_rundate"), value("LOGDIR"));
    if [&host, &date, &logs].iter().any(|value| value.is_empty()) {
        return Err(usage("LOGDIR, HOSTNAME and fai_rundate must be set"));
    }
    let action = session.env.get("FAI_ACTION").unwrap_or("noaction").to_owned();
    let run = format!("{action}-{date}");
    let mut worst = 0;
    if options.has('l') {
        let base = format!("{}/var/log/fai", session.target().trim_end_matches('/'));
        let words = ["-c", SAVE, "fai-savelog", &base, &host, &run, &action];
        worst = session.run(Command::new(Tool::Bash).args(words))?.status;
    }
    if options.has('r') {
        worst = worst.max(save_remote(session, &run, &action)?);
    }
    Ok(worst)
}

fn save_remote(session: &mut Session<'_>, run: &str, action: &str) -> Result<i32, ToolError> {
    if session.env.get("LOGUSER").is_none() {
        session.say("LOGUSER is not set: the logs stay here.");
        return Ok(0);
    }
    let script = format!("{PRELUDE}\n_hostwright_save_remote \"$1\" \"$2\"");
    let words = ["-c", &script, "fai-savelog", run, action];
    Ok(session.run(Command::new(Tool::Bash).args(words))?.status)
}
