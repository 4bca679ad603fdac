//! FAI's log files: lines are gathered in memory and written where nothing can be lost by it.

use crate::settings::Settings;
use hostwright_host::{Command, Host, HostError, Tool};
use std::collections::BTreeMap;

/// A file in the log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogFile {
    /// The main flow.
    Fai,
    /// Partitions and file systems.
    Format,
    /// Everything about packages.
    Software,
    /// Output of the space's scripts.
    Scripts,
    /// How hooks and scripts ended.
    Status,
    /// Complaints of debconf.
    Debconf,
    /// What FAI's monitor would be told.
    Monitor,
    /// Output of scripts by kind, as FAI kept it before version 6.
    Shell,
    /// The same for CFEngine.
    Cfagent,
    /// The same for perl.
    Perl,
    /// The same for expect.
    Expect,
    /// The same for python.
    Python,
    /// The same for ruby.
    Ruby,
}

impl LogFile {
    /// Its name in the log directory.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fai => "fai.log",
            Self::Format => "format.log",
            Self::Software => "software.log",
            Self::Scripts => "scripts.log",
            Self::Status => "status.log",
            Self::Debconf => "debconf.log",
            Self::Monitor => "fai-monitor.log",
            Self::Shell => "shell.log",
            Self::Cfagent => "cfagent.log",
            Self::Perl => "perl.log",
            Self::Expect => "expect.log",
            Self::Python => "python.log",
            Self::Ruby => "ruby.log",
        }
    }
}

/// Lines that are not in their files yet.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    pending: BTreeMap<LogFile, String>,
}

impl Logs {
    /// Adds a line.
    pub(crate) fn line(&mut self, file: LogFile, line: &str) {
        let text = self.pending.entry(file).or_default();
        text.push_str(line);
        text.push('\n');
    }

    /// Writes everything. To be called before user code runs, which reads and appends to the files.
    pub(crate) fn flush(
        &mut self,
        host: &mut dyn Host,
        settings: &Settings,
    ) -> Result<(), HostError> {
        while let Some((file, text)) = self.pending.pop_first() {
            host.append(&settings.in_logs(file.name()), text.as_bytes())?;
        }
        Ok(())
    }
}

/// Lets the group adm read a directory of logs and what is in it, as FAI does. Where there is no such
/// group the logs are for root alone.
pub(crate) fn let_administrators_read(host: &mut dyn Host, dir: &str) {
    let command = Command::new(Tool::Chgrp).args(["--recursive", "adm", dir]);
    let _ = host.run(&command, &mut |_, _| {});
}

/// The line by which FAI says how a hook or script ended.
pub(crate) fn status_line(name: &str, status: i32) -> String {
    match status {
        0 => format!("{name:<20} OK."),
        _ => format!("{name:<20} FAILED with exit code {status}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_as_fai_tells_them() {
        assert_eq!(status_line("FAIBASE/10-misc", 0), "FAIBASE/10-misc      OK.");
        assert_eq!(status_line("X/10-misc", 3), "X/10-misc            FAILED with exit code 3.");
    }
}
