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
    if ends_before(&file.text, number) {
        return None;
    }
    let line = Line::all(&file.path, &file.text).find(|line| line.number == number)?;
    let code = line.text.trim();
    Some(finding.at_span(line, code))
}

/// True if the shell has left the script before it comes to a line: bash reads a command at a time,
/// and behind `exit` there may be a program in another language, or an archive.
fn ends_before(text: &str, number: u32) -> bool {
    let is_program = |word: &str| !word.starts_with(['<', '>', '&']) && !is_number(word);
    let ends = |line: &str| {
        let mut words = line.split([' ', '\t', ';']);
        match (words.next(), words.next()) {
            (Some("exit"), _) => true,
            (Some("exec"), Some(word)) => is_program(word),
            _ => false,
        }
    };
    text.lines().take(number as usize - 1).any(ends)
}

/// True for the start of a redirection such as `2>&1`.
fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
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

    #[test]
    fn what_comes_behind_the_end_of_a_script_is_not_for_the_shell() {
        let found = |text: &str| {
            let file = ShellFile { path: "scripts/A/10-x".to_owned(), text: text.to_owned() };
            shell_syntax(&file, "bash: line 3: syntax error near unexpected token `$s'\n").is_some()
        };
        assert!(!found("perl -x $0\nexit $?\nmy ($s) = @_;\n"));
        assert!(!found("# data below\nexec tar x <$0\n(\n"));
        assert!(found("exec 2>&1\n  exit\n(\n"));
        assert!(found("exec >log\nexit_now\n(\n"));
    }
}
