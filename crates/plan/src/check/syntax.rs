//! The shell's own opinion: which files bash can look at, and what its messages mean.
//!
//! Running bash is for whoever calls; here are only the texts.

use super::survey::is_shell;
use crate::finding::{Finding, Line};
use crate::tree::ConfigTree;
use hostwright_model::diagnostic::Diagnostic;

/// A file that a shell will read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellFile {
    /// Relative to the space.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Every file of a space that sh or bash reads, for `bash -n`.
pub fn shell_files(tree: &ConfigTree) -> Vec<ShellFile> {
    let files = tree.expanded().into_iter().map(|(path, file)| (path, file.text()));
    let shell = files.filter(|(path, text)| is_shell(path, text) && !text.contains('\0'));
    shell.map(|(path, text)| ShellFile { path, text }).collect()
}

/// What `bash -n`, which read the file as its standard input, wrote about it.
pub fn shell_syntax(file: &ShellFile, messages: &str) -> Option<Diagnostic> {
    let (number, message) = messages.lines().find_map(|line| {
        let (_, rest) = line.split_once(": line ")?;
        let (number, message) = rest.split_once(": ")?;
        Some((number.parse::<u32>().ok()?, message))
    })?;
    let message = format!("bash cannot read the file: {message}");
    let cure = "mend the syntax; 'bash -n' repeats the message";
    let finding = Finding::error("shell-syntax", message, cure);
    // An unexpected end is behind the last line.
    let last = file.text.lines().count().max(1) as u32;
    let number = number.clamp(1, last);
    let line = Line::all(&file.path, &file.text).find(|line| line.number == number)?;
    let code = line.text.trim();
    Some(finding.at_span(line, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_bash_has_its_line() {
        let text = "if true; then\n  echo\nx\n".to_owned();
        let file = ShellFile { path: "scripts/A/10-x".to_owned(), text };
        let place = |messages: &str| {
            let at = shell_syntax(&file, messages)?.at?;
            Some((at.line, at.column, at.length))
        };
        let end = "bash: line 4: syntax error: unexpected end of file\n";
        assert_eq!(place(end), Some((3, 1, 1)));
        let middle = "bash: line 2: syntax error near unexpected token `x'\nbash: line 2: `x'\n";
        assert_eq!(place(middle), Some((2, 3, 4)));
        assert_eq!(place(""), None);
    }
}
