//! `fcopy` and `ftar` calls that name what the space does not have, or what FAI's rule for
//! `fcopy -r` passes over.

use super::shell::{Command, Script, Word};
use super::survey::Survey;
use crate::finding::Finding;
use hostwright_model::diagnostic::Diagnostic;
use std::collections::BTreeSet;

/// What is wrong with the calls of all scripts and hooks. Paths that only a shell could compute and
/// calls whose failure the script expects are left alone.
pub(super) fn findings(survey: &Survey<'_>) -> Vec<Diagnostic> {
    let mut rule = Rule { survey, passed_over: BTreeSet::new(), found: Vec::new() };
    for script in &survey.scripts {
        for command in &script.commands {
            match command.program() {
                Some("fcopy") => rule.fcopy(script, command),
                Some("ftar") => rule.ftar(script, command),
                _ => {}
            }
        }
    }
    rule.found
}

struct Rule<'a> {
    survey: &'a Survey<'a>,
    /// Directories that were reported already.
    passed_over: BTreeSet<&'a str>,
    found: Vec<Diagnostic>,
}

impl<'a> Rule<'a> {
    fn fcopy(&mut self, script: &Script<'_>, command: &Command<'_>) {
        let Some(call) = Call::read(command, "bcCFILmst") else { return };
        for (word, source) in &call.sources {
            if call.has('r') {
                self.recursive(script, *word, source, call.has('i') || command.tolerated);
            } else if !call.has('i') && !command.tolerated {
                self.single(script, *word, source);
            }
        }
    }

    fn single(&mut self, script: &Script<'_>, word: Word<'_>, source: &str) {
        if self.survey.space.files.contains_key(source) {
            return;
        }
        let message = format!("files/{source}/ has no variant for any class");
        let cure = match self.below(source).next() {
            Some(_) => format!("the variants lie deeper: call fcopy -r /{source}"),
            None => format!("add files/{source}/CLASS, or call fcopy with -i"),
        };
        let finding = Finding::warning("no-file-variant", message, cure);
        self.found.push(script.at(finding, word.0));
    }

    fn recursive(&mut self, script: &Script<'_>, word: Word<'_>, source: &str, lenient: bool) {
        let is_leaf = self.survey.space.files.contains_key(source);
        let has_below = self.below(source).next().is_some();
        if !has_below && is_leaf {
            let message = format!(
                "fcopy -r copies what lies below files/{source}/, not its own variants, so it \
                 copies nothing here"
            );
            let cure = "call fcopy without -r";
            let finding = Finding::warning("fcopy-leaf", message, cure);
            self.found.push(script.at(finding, word.0));
        } else if !has_below && !lenient {
            let message = format!("there is nothing below files/{source}/");
            let cure = format!("add files/{source}/FILE/CLASS, or call fcopy with -i");
            let finding = Finding::warning("no-file-variant", message, cure);
            self.found.push(script.at(finding, word.0));
        }
        self.mixed(script, source);
    }

    /// Directories with variants of their own and others below them: FAI takes only the leaves.
    fn mixed(&mut self, script: &Script<'_>, source: &str) {
        let space = self.survey.space;
        let targets: Vec<&'a str> = space.files.keys().map(String::as_str).collect();
        let inside = |target: &&&str| target.starts_with(source);
        for target in targets.iter().filter(inside) {
            let is_source_or_below = target.len() == source.len()
                || source.is_empty()
                || target.as_bytes().get(source.len()) == Some(&b'/');
            let below = format!("{target}/");
            let next = targets.partition_point(|other| *other < below.as_str());
            let is_mixed = targets.get(next).is_some_and(|other| other.starts_with(&below));
            if !is_source_or_below || !is_mixed || !self.passed_over.insert(target) {
                continue;
            }
            let Some(variant) = space.files[*target].values().next() else { continue };
            let path = script.path();
            let message = format!(
                "'fcopy -r' in {path} passes over the variants in this directory, because it has \
                 subdirectories"
            );
            let cure = format!("copy it by itself with 'fcopy /{target}'");
            if !self.is_copied_singly(target) {
                let finding = Finding::warning("fcopy-leaf", message, cure);
                self.found.push(finding.at_file(variant));
            }
        }
    }

    fn is_copied_singly(&self, target: &str) -> bool {
        let commands = self.survey.scripts.iter().flat_map(|script| &script.commands);
        let calls = commands.filter(|command| command.program() == Some("fcopy"));
        calls
            .filter_map(|command| Call::read(command, "bcCFILmst"))
            .any(|call| !call.has('r') && call.sources.iter().any(|(_, source)| *source == target))
    }

    fn ftar(&mut self, script: &Script<'_>, command: &Command<'_>) {
        let Some(call) = Call::read(command, "cst") else { return };
        if call.has('i') || command.tolerated {
            return;
        }
        for (word, source) in &call.sources {
            if self.survey.space.files.contains_key(*source) {
                continue;
            }
            let message = format!("files/{source}/ has no archive for any class");
            let cure = format!("add files/{source}/CLASS.tar.xz, or call ftar with -i");
            let finding = Finding::warning("no-file-variant", message, cure);
            self.found.push(script.at(finding, word.0));
        }
    }

    /// Paths with variants below a directory.
    fn below(&self, source: &str) -> impl Iterator<Item = &'a str> {
        let prefix = if source.is_empty() { String::new() } else { format!("{source}/") };
        let from = self.survey.space.files.range(prefix.clone()..);
        from.map(|(path, _)| path.as_str()).take_while(move |path| path.starts_with(&prefix))
    }
}

/// A call of one of FAI's copying tools.
struct Call<'a> {
    options: String,
    /// Each source as written and as a path below `files/`.
    sources: Vec<(Word<'a>, &'a str)>,
}

impl<'a> Call<'a> {
    /// Reads options and literal sources; `with_value` are the letters that take a word. `None` if
    /// the sources are read from elsewhere than `files/` or the command line.
    fn read(command: &Command<'a>, with_value: &str) -> Option<Self> {
        let mut call = Self { options: String::new(), sources: Vec::new() };
        let mut words = command.arguments().iter();
        while let Some(word) = words.next() {
            let Some(letters) = word.0.strip_prefix('-') else {
                let source = word.literal().map(|path| path.trim_start_matches("./"));
                let source = source.map(|path| path.trim_matches('/'));
                call.sources.extend(source.map(|source| (*word, source)));
                continue;
            };
            for (at, letter) in letters.char_indices() {
                call.options.push(letter);
                if with_value.contains(letter) {
                    if at + letter.len_utf8() == letters.len() {
                        words.next();
                    }
                    break;
                }
            }
        }
        let elsewhere = ['s', 'F', 'c', 'C'];
        (!call.options.contains(elsewhere)).then_some(call)
    }

    fn has(&self, letter: char) -> bool {
        self.options.contains(letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(line: &str) -> Vec<String> {
        let script = Script::read("scripts/A/10-x", line);
        let calls = script.commands.iter().filter(|command| command.program() == Some("fcopy"));
        let calls = calls.filter(|command| !command.tolerated);
        let calls = calls.filter_map(|command| Call::read(command, "bcCFILmst"));
        calls.flat_map(|call| call.sources).map(|(_, source)| source.to_owned()).collect()
    }

    #[test]
    fn sources_are_literal_paths_of_calls_that_must_succeed() {
        let some: [(&str, &[&str]); 8] = [
            ("    fcopy -M /etc/X11/xorg.conf", &["etc/X11/xorg.conf"]),
            ("fcopy -m root,root,0644 /etc/a /etc/b; x", &["etc/a", "etc/b"]),
            ("ifclass X && fcopy -v '/etc/a'", &["etc/a"]),
            ("fcopy -s /srv /etc/hosts", &[]),
            ("fcopy -r /root/", &["root"]),
            ("fcopy /etc/$x", &[]),
            ("if ! fcopy -Mv /etc/fai/fai.conf; then", &[]),
            ("# fcopy /etc/a", &[]),
        ];
        for (line, expected) in some {
            assert_eq!(sources(line), expected, "{line}");
        }
    }
}
