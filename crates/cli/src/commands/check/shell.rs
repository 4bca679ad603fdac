//! bash's opinion of every file that a shell reads.

use crate::faults::Failure;
use hostwright_host::real::RealHost;
use hostwright_host::{Command, Host as _, HostError, Output, Tool};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_plan::{ConfigTree, ShellFile, shell_files, shell_syntax};
use std::thread;

/// Asks on all cores: a space may have hundreds of scripts.
pub fn findings(tree: &ConfigTree) -> Result<Vec<Diagnostic>, Failure> {
    let files = shell_files(tree);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = files.len().div_ceil(cores).max(1);
    let asked: Vec<Result<Vec<Diagnostic>, HostError>> = thread::scope(|scope| {
        let threads: Vec<_> =
            files.chunks(share).map(|files| scope.spawn(move || ask_all(files))).collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended.map(|result| result.expect("invariant: asking bash does not panic")).collect()
    });
    let mut found = Vec::new();
    for answers in asked {
        found.extend(answers?);
    }
    Ok(found)
}

/// Asks about all files at once, and about parts of them only where something is wrong: starting bash
/// takes longer than reading a script.
fn ask_all(files: &[ShellFile]) -> Result<Vec<Diagnostic>, HostError> {
    let mut found = Vec::new();
    let mut open = vec![files];
    while let Some(files) = open.pop() {
        match files {
            [] => {}
            [file] => {
                let output = ask(&file.text)?;
                if output.status != 0 {
                    found.extend(shell_syntax(file, &output.tail.join("\n")));
                }
            }
            _ if is_silent(&ask(&together(files))?) => {}
            _ => {
                let (first, second) = files.split_at(files.len() / 2);
                open.extend([second, first]);
            }
        }
    }
    Ok(found)
}

/// True if bash has nothing against a text. After some mistakes its status is 0 nevertheless.
fn is_silent(output: &Output) -> bool {
    output.status == 0 && output.tail.is_empty()
}

fn ask(text: &str) -> Result<Output, HostError> {
    // Scripts that turn extended patterns on use them in lines that are only parsed here.
    let mut command = Command::new(Tool::Bash).args(["-O", "extglob", "-n"]);
    command.stdin = Some(text.as_bytes().to_vec());
    command.env = vec![("LC_ALL".to_owned(), "C".to_owned())];
    RealHost::default().run(&command, &mut |_, _| {})
}

/// A comment where a file has ended well, and a mistake inside of any quotes that one left open.
const FENCE: &str = "#' ; ) #\" ; ) #` ; )";

/// One text of many: each between words that none can close and open again, so that what one leaves
/// open no other closes.
fn together(files: &[ShellFile]) -> String {
    let mut text = String::new();
    for file in files {
        text.push_str("if :; then f() {\n:\n");
        text.push_str(&file.text);
        text.push('\n');
        text.push_str(FENCE);
        text.push_str("\n}\nfi\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> ShellFile {
        ShellFile { path: path.to_owned(), text: text.to_owned() }
    }

    fn paths(files: &[ShellFile]) -> Vec<String> {
        let found = ask_all(files).unwrap();
        found.into_iter().filter_map(|it| it.at).map(|at| at.file).collect()
    }

    #[test]
    fn a_mistake_is_found_among_many_scripts_and_in_its_own_file() {
        let sound = |number: usize| {
            let text = match number % 5 {
                0 => "",
                1 => "# nothing but this",
                2 => "cat <<EOF\n$(date) it's\nEOF\nexit 0",
                3 => "f() { case $1 in a) echo \"${x:-'}'}\" ;; esac; }\nf a",
                _ => "if [[ $1 == +(a|b) ]]; then return 1; fi\n",
            };
            file(&format!("scripts/A/{number:02}"), text)
        };
        let mut files: Vec<ShellFile> = (10..60).map(sound).collect();
        assert_eq!(paths(&files), Vec::<String>::new());
        files[20].text = "if true; then\n".to_owned();
        files[41].text = "echo )\n".to_owned();
        assert_eq!(paths(&files), ["scripts/A/30", "scripts/A/51"]);
    }

    #[test]
    fn what_one_file_leaves_open_no_other_closes() {
        for (opens, closes) in [
            ("echo 'a\n", "echo b'\n"),
            ("echo \"a\n", "echo b\"\n"),
            ("echo `a\n", "b`\n"),
            ("echo $(a\n", "b)\n"),
            ("if a; then\n", "fi\n"),
            ("{ a\n", "}\n"),
            ("( a\n", ")\n"),
            ("case a in\n", "esac\n"),
            ("while a; do\n", "done\n"),
            ("[[ a\n", "]]\n"),
            ("((a\n", "))\n"),
            ("}\n", "{ a\n"),
        ] {
            let files = [file("A", opens), file("B", closes)];
            assert!(!is_silent(&ask(&together(&files)).unwrap()), "{opens:?} {closes:?}");
            assert!(!paths(&files).is_empty(), "{opens:?} {closes:?}");
        }
    }
}
