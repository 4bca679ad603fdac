//! The command-line reference: the help of each verb, as the program itself prints it.

use anyhow::{Context as _, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// The page, below the workspace.
pub(super) const PAGE: &str = "docs/reference/cli.md";

const PROGRAM: &str = "target/debug/hostwright";
const COLUMNS: &str = "100";

const HEAD: &str = "\
# Command line

Made by `cargo xtask generate` from the program's own help: `hostwright VERB --help`.
";

/// Builds the program and asks it about itself.
pub(super) fn render(root: &Path) -> Result<String> {
    let build = ["build", "--quiet", "--locked", "--package", "hostwright"];
    let status = Command::new("cargo").args(build).current_dir(root).status()?;
    if !status.success() {
        bail!("the program does not build");
    }
    let mut text = HEAD.to_owned();
    describe(&mut Vec::new(), &mut text, &|verbs| help(&root.join(PROGRAM), verbs))?;
    Ok(text)
}

/// Appends a section for a verb and for those below it.
fn describe(
    verbs: &mut Vec<String>,
    page: &mut String,
    help: &dyn Fn(&[String]) -> Result<String>,
) -> Result<()> {
    let text = help(verbs)?;
    let name = [&["hostwright".to_owned()], verbs.as_slice()].concat().join(" ");
    page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", text.trim_end()));
    for verb in verbs_in(&text) {
        verbs.push(verb);
        describe(verbs, page, help)?;
        verbs.pop();
    }
    Ok(())
}

fn help(program: &Path, verbs: &[String]) -> Result<String> {
    // Without the environment, which clap shows, and without a terminal, whose width it would take.
    let output = Command::new(program)
        .args(verbs)
        .arg("--help")
        .env_clear()
        .env("COLUMNS", COLUMNS)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        bail!("'{} {} --help' failed", program.display(), verbs.join(" "));
    }
    let text = String::from_utf8(output.stdout).context("help is text")?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(lines.join("\n"))
}

/// The verbs in the list below `Commands:`, but for `help`.
fn verbs_in(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = lines.take_while(|line| line.starts_with("  "));
    // Lines that are indented further go on with what is said about a verb.
    let entries = list.filter(|line| !line.starts_with("   "));
    let names = entries.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_described_with_those_below_them() {
        let help = |verbs: &[String]| {
            Ok(match verbs {
                [] => "Top\n\nCommands:\n  run    Runs,\n         and more\n  help   Help\n\nOptions:\n  -h",
                [_] => "Run\n\nCommands:\n  list\n",
                _ => "List\n",
            }
            .to_owned())
        };
        let mut page = String::new();
        describe(&mut Vec::new(), &mut page, &help).expect("help");
        let heads: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(heads, ["## hostwright", "## hostwright run", "## hostwright run list"]);
        assert!(page.contains("```text\nList\n```\n"), "{page}");
    }
}
