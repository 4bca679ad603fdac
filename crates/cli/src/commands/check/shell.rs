//! bash's opinion of every file that a shell reads.

use crate::faults::Failure;
use hostwright_host::real::RealHost;
use hostwright_host::{Command, Host as _, HostError, Tool};
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

fn ask_all(files: &[ShellFile]) -> Result<Vec<Diagnostic>, HostError> {
    let mut host = RealHost::default();
    let mut found = Vec::new();
    for file in files {
        // Scripts that turn extended patterns on use them in lines that are only parsed here.
        let mut command = Command::new(Tool::Bash).args(["-O", "extglob", "-n"]);
        command.stdin = Some(file.text.clone().into_bytes());
        command.env = vec![("LC_ALL".to_owned(), "C".to_owned())];
        let output = host.run(&command, &mut |_, _| {})?;
        if output.status != 0 {
            found.extend(shell_syntax(file, &output.tail.join("\n")));
        }
    }
    Ok(found)
}
