//! `fcopy` calls in scripts and hooks that name a file of which the space has no variant.

use crate::finding::{Finding, Line};
use crate::space::ConfigSpace;
use crate::tree::ConfigTree;
use hostwright_model::diagnostic::Diagnostic;

/// A warning for each path that a script copies with fcopy and that has no directory in `files/`.
/// Calls whose failure the script expects (`-i`, `-r`, or in a condition) and paths with shell
/// expansions are left alone.
pub(super) fn missing_sources(tree: &ConfigTree, space: &ConfigSpace) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (path, file) in tree.expanded() {
        if !["scripts/", "hooks/"].iter().any(|directory| path.starts_with(directory)) {
            continue;
        }
        let text = file.text();
        for line in Line::all(&path, &text) {
            for source in sources(line.text) {
                if space.files.contains_key(source.trim_start_matches('/')) {
                    continue;
                }
                let message = format!("files{source}/ has no variant for any class");
                let cure = format!("add files{source}/CLASS, or call fcopy with -i");
                let finding = Finding::warning("no-file-variant", message, cure);
                found.push(finding.at_span(line, source));
            }
        }
    }
    found
}

/// The literal absolute paths that a line hands to fcopy.
fn sources(line: &str) -> Vec<&str> {
    let code = line.trim_start();
    let conditional = ["if ", "while ", "until ", "!", "#"];
    if conditional.iter().any(|start| code.starts_with(start)) || line.contains("||") {
        return Vec::new();
    }
    let commands = line.split([';', '&', '|', '(', ')', '{', '}', '`', '#']);
    commands.flat_map(sources_of_command).collect()
}

fn sources_of_command(command: &str) -> Vec<&str> {
    let mut words = command.split_whitespace();
    if words.next() != Some("fcopy") {
        return Vec::new();
    }
    let mut sources = Vec::new();
    for word in words {
        match word.strip_prefix('-') {
            Some(options) if options.contains(['i', 'r', 's', 't', 'F']) => return Vec::new(),
            Some(_) => {}
            None if word.starts_with('/') && !word.contains(['$', '*', '?', '[', '"', '\'']) => {
                sources.push(word.trim_end_matches('/'));
            }
            None => {}
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_that_must_find_something_count() {
        let some: [(&str, &[&str]); 8] = [
            ("    fcopy -M /etc/X11/xorg.conf", &["/etc/X11/xorg.conf"]),
            ("fcopy -m root,root,0644 /etc/a /etc/b; x", &["/etc/a", "/etc/b"]),
            ("ifclass X && fcopy -v /etc/a", &["/etc/a"]),
            ("fcopy -iM /etc/hosts", &[]),
            ("fcopy -r /root", &[]),
            ("fcopy /etc/$x", &[]),
            ("if ! fcopy -Mv /etc/fai/fai.conf; then", &[]),
            ("# fcopy /etc/a", &[]),
        ];
        for (line, expected) in some {
            assert_eq!(sources(line), expected, "{line}");
        }
    }
}
