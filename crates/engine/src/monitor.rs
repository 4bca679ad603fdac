//! FAI's monitor: a server that is told the beginning and the end of tasks, a line each.
//!
//! ```text
//! SENDID check | TASKBEGIN task | TASKEND task error | HOOK name | TASKERROR task error
//! ```
//!
//! The shell function `sendmon` sends, so that a space may define it anew. Hostwright's own server
//! needs none of it: it gets events.

use crate::logs::{LogFile, Logs};
use crate::settings::Settings;
use hostwright_host::command::quote;
use hostwright_host::{Host, HostError, ShellRequest};
use std::collections::BTreeMap;

/// The port of FAI's monitor.
const PORT: &str = "4711";

/// Tells the monitor, or only the log if there is none.
pub(crate) fn tell(
    host: &mut dyn Host,
    settings: &Settings,
    shell_vars: &mut BTreeMap<String, String>,
    logs: &mut Logs,
    message: &str,
) -> Result<(), HostError> {
    if shell_vars.get("faimond").map(String::as_str) != Some("1") {
        logs.line(LogFile::Monitor, message);
        return Ok(());
    }
    logs.flush(host, settings)?;
    let request =
        ShellRequest::Eval { script: format!("sendmon {}", quote(message)), dir: "/".to_owned() };
    let reply = host.shell(&request, &mut |_, line| logs.line(LogFile::Fai, line))?;
    *shell_vars = reply.vars;
    Ok(())
}

/// Switches messages on if `vars` name a monitor, and says who is speaking there.
pub(crate) fn switch_on(vars: &mut BTreeMap<String, String>) {
    if vars.get("monserver").is_none_or(|server| server.is_empty() || server == "none") {
        return;
    }
    let get = |name: &str| vars.get(name).cloned().unwrap_or_default();
    let id = match get("FAI_SENDID").as_str() {
        "" | "host" => get("HOSTNAME"),
        "mac" => get("MAC"),
        // As PXELINUX names its files.
        "pxe" => format!("01-{}", get("MAC").replace(':', "-")),
        literal => literal.to_owned(),
    };
    vars.insert("faimond".to_owned(), "1".to_owned());
    vars.insert("sendid".to_owned(), id);
    vars.entry("FAI_MONITOR_PORT".to_owned()).or_insert_with(|| PORT.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sendid(kind: &str) -> Option<String> {
        let known = [
            ("monserver", "boot"),
            ("HOSTNAME", "web1"),
            ("MAC", "52:54:00:12:34:56"),
            ("FAI_SENDID", kind),
        ];
        let mut vars = known.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        switch_on(&mut vars);
        assert_eq!(vars["FAI_MONITOR_PORT"], "4711");
        vars.remove("sendid")
    }

    #[test]
    fn who_speaks_is_chosen_by_faisendid() {
        assert_eq!(sendid("host").as_deref(), Some("web1"));
        assert_eq!(sendid("pxe").as_deref(), Some("01-52-54-00-12-34-56"));
        assert_eq!(sendid("rack7").as_deref(), Some("rack7"));
    }

    #[test]
    fn without_a_monitor_nothing_is_sent() {
        let mut vars = BTreeMap::from([("monserver".to_owned(), "none".to_owned())]);
        switch_on(&mut vars);
        assert_eq!(vars.get("faimond"), None);
    }
}
