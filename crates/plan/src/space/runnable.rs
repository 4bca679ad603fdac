//! Files that are run or sourced: their run bit and their first line.

use super::var_file::carriage_return;
use crate::finding::{Finding, Line};
use crate::tree::TreeFile;
use hostwright_model::diagnostic::Diagnostic;

/// How a file is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Started as a program.
    Executed,
    /// Read by the long-lived shell.
    Sourced,
}

impl Use {
    /// FAI sources what ends in `.sh`.
    pub fn of(path: &str) -> Self {
        if path.ends_with(".sh") { Self::Sourced } else { Self::Executed }
    }
}

/// True if the file says which program interprets it.
pub(super) fn has_shebang(file: &TreeFile) -> bool {
    file.content.starts_with(b"#!")
}

/// What keeps FAI from running a file, or from running it as meant.
pub(super) fn findings(path: &str, file: &TreeFile, usage: Use) -> Vec<Diagnostic> {
    let text = file.text();
    let mut found = Vec::new();
    if !file.executable {
        let message = "the file has no run bit, so it is left out";
        let cure = format!("run 'chmod +x {path}', or remove the file");
        found.push(Finding::warning("no-run-bit", message, cure).at_start(path, &text));
    }
    match usage {
        Use::Sourced => {
            let line = Line::all(path, &text).find(|line| line.text.ends_with('\r'));
            found.extend(line.map(carriage_return));
        }
        Use::Executed => found.extend(first_line(path, file, &text)),
    }
    found
}

fn first_line(path: &str, file: &TreeFile, text: &str) -> Option<Diagnostic> {
    if file.content.starts_with(b"\x7fELF") {
        return None;
    }
    let line = Line::all(path, text).next();
    let Some((line, interpreter)) = line.and_then(|l| Some((l, l.text.strip_prefix("#!")?))) else {
        let message = "the file does not say what interprets it";
        let cure = "begin it with a line such as '#!/bin/bash'";
        return Some(Finding::warning("no-shebang", message, cure).at_start(path, text));
    };
    if line.text.ends_with('\r') {
        return Some(carriage_return(line));
    }
    let program = interpreter.split_whitespace().next().unwrap_or_default();
    if program.starts_with('/') {
        return None;
    }
    let message = format!("the kernel cannot start '{program}': it wants an absolute path");
    let cure = "write the whole path, such as '#!/bin/bash'";
    Some(Finding::warning("bad-shebang", message, cure).at_span(line, line.text))
}
