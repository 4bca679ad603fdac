//! What runs a script, told from its first line, and what FAI makes of each kind: the line above its
//! output, its log, its arguments.
//!
//! FAI asks file(1), which is not at hand everywhere; the first line says the same.

use crate::logs::LogFile;

/// What runs a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interpreter {
    /// A shell, by its name.
    Shell(String),
    /// CFEngine's agent, by its name: `cf-agent`, or `cfagent` of version 2.
    Cfengine(String),
    /// Another interpreter, by its name.
    Other(String),
    /// A program, or a text without `#!`, which a shell makes the best of.
    Unknown,
}

impl Interpreter {
    /// What runs a file that begins with `content`.
    pub(crate) fn of(content: &[u8]) -> Self {
        let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        let Some(line) = line.strip_prefix("#!") else { return Self::Unknown };
        let mut names = line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
        let name = match names.next() {
            Some("env") => names.find(|word| !word.starts_with('-') && !word.contains('=')),
            name => name,
        };
        match name {
            Some(name @ ("sh" | "bash" | "dash" | "zsh" | "ksh")) => Self::Shell(name.to_owned()),
            Some(name @ ("cf-agent" | "cfagent")) => Self::Cfengine(name.to_owned()),
            Some(name) => Self::Other(name.to_owned()),
            None => Self::Unknown,
        }
    }

    /// The kind as FAI's logs name it.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Shell(_) => "shell",
            Self::Cfengine(_) => "cf-agent",
            Self::Other(name) => match OLD_LOGS.iter().find(|(kind, _)| name.starts_with(kind)) {
                Some((kind, _)) => kind,
                None => name,
            },
            Self::Unknown => "program",
        }
    }

    /// The line above the output of the script `name`.
    pub(crate) fn header(&self, name: &str) -> String {
        format!("=====   {}: {name}   =====", self.kind())
    }

    /// The log of this kind: one for all, or with `FAI_USE_OLD_SCRIPT_LOGS=1` one for each.
    pub(crate) fn log(&self, old_logs: bool) -> LogFile {
        let of_kind = OLD_LOGS.iter().find(|(kind, _)| *kind == self.kind());
        of_kind.filter(|_| old_logs).map_or(LogFile::Scripts, |(_, log)| *log)
    }

    /// What the script is called with: CFEngine is told the classes, given joined by dots. Version 3
    /// wants commas, which FAI does not know.
    pub(crate) fn args(&self, classes: &str, debug: bool) -> Vec<String> {
        let Self::Cfengine(agent) = self else { return Vec::new() };
        let classes =
            if agent == "cf-agent" { classes.replace('.', ",") } else { classes.to_owned() };
        let verbose = debug.then(|| "-v".to_owned());
        verbose.into_iter().chain(["-KI".to_owned(), format!("-D{classes}")]).collect()
    }
}

/// FAI's logs before version 6, by kind.
const OLD_LOGS: [(&str, LogFile); 6] = [
    ("shell", LogFile::Shell),
    ("cf-agent", LogFile::Cfagent),
    ("perl", LogFile::Perl),
    ("expect", LogFile::Expect),
    ("python", LogFile::Python),
    ("ruby", LogFile::Ruby),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter() {
        let kind = |text: &str| Interpreter::of(text.as_bytes());
        assert_eq!(kind("#! /bin/bash\n"), Interpreter::Shell("bash".to_owned()));
        let python = Interpreter::Other("python3".to_owned());
        assert_eq!(kind("#!/usr/bin/env -S python3 -u\n"), python);
        assert_eq!(kind("#!/usr/bin/env A=b python3\n"), python);
        assert_eq!(kind("#!/usr/bin/perl"), Interpreter::Other("perl".to_owned()));
        assert_eq!(kind("#! /usr/sbin/cfagent -f\n"), Interpreter::Cfengine("cfagent".to_owned()));
        assert_eq!(kind("echo hi\n"), Interpreter::Unknown);
        assert_eq!(kind("\x7fELF"), Interpreter::Unknown);
    }

    #[test]
    fn kinds_have_their_logs_and_arguments() {
        let of = |line: &str| Interpreter::of(line.as_bytes());
        assert_eq!(of("#!/usr/bin/env python3").log(true), LogFile::Python);
        assert_eq!(of("#!/usr/bin/env python3").log(false), LogFile::Scripts);
        assert_eq!(of("#!/usr/bin/awk -f").log(true), LogFile::Scripts);
        assert_eq!(of("#!/bin/zsh").header("X/10-a"), "=====   shell: X/10-a   =====");
        assert_eq!(of("#!/usr/bin/python3").header("X"), "=====   python: X   =====");
        assert_eq!(of("#!/usr/bin/cf-agent -f").args("A.B", false), ["-KI", "-DA,B"]);
        assert_eq!(of("#!/usr/sbin/cfagent -f").args("A.B", false), ["-KI", "-DA.B"]);
        assert_eq!(of("#!/usr/bin/cf-agent -f").args("A", true), ["-v", "-KI", "-DA"]);
        assert!(of("#!/bin/sh").args("A", true).is_empty());
    }
}
