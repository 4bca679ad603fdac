//! Reads `class/dependencies.toml` and `class/CLASS.deps`.

use super::{ClassRule, Dependencies, FILE, Mention};
use crate::finding::{Finding, Line};
use hostwright_model::class::ClassName;
use hostwright_model::diagnostic::Diagnostic;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// So many classes can have dependencies; their chains are followed on the stack.
const RULES_MAX: usize = 4096;

/// A table of the file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    #[serde(default)]
    requires: Vec<Spanned<String>>,
    #[serde(default)]
    conflicts: Vec<Spanned<String>>,
    #[serde(default)]
    after: Vec<Spanned<String>>,
}

impl Dependencies {
    /// Takes over `class/dependencies.toml`.
    pub(crate) fn read_toml(&mut self, text: &str) -> Vec<Diagnostic> {
        let tables: BTreeMap<Spanned<String>, RuleTable> = match toml::from_str(text) {
            Ok(tables) => tables,
            Err(error) => return vec![not_toml(text, &error)],
        };
        self.texts.insert(FILE.to_owned(), text.to_owned());
        if tables.len() > RULES_MAX {
            let message = format!("more than {RULES_MAX} classes have dependencies");
            let finding = Finding::error("bad-dependencies", message, "leave some out");
            return vec![finding.at_file(FILE)];
        }
        let mut found = Vec::new();
        for (name, table) in tables {
            let mut mentions = |names: &[Spanned<String>]| -> Vec<Mention> {
                names.iter().filter_map(|name| mention(text, name, &mut found)).collect()
            };
            let rule = ClassRule {
                requires: mentions(&table.requires),
                conflicts: mentions(&table.conflicts),
                after: mentions(&table.after),
            };
            if let Some(owner) = mention(text, &name, &mut found) {
                self.merge(owner.class, rule);
            }
        }
        found
    }

    /// Takes over `class/CLASS.deps`.
    pub(crate) fn read_deps(
        &mut self,
        path: &str,
        class: ClassName,
        text: &str,
    ) -> Vec<Diagnostic> {
        self.texts.insert(path.to_owned(), text.to_owned());
        let mut rule = ClassRule::default();
        let mut found = Vec::new();
        for line in Line::all(path, text) {
            let code = line.text.split(['#', ';']).next().unwrap_or_default();
            for word in code.split_whitespace() {
                let (number, column) = (line.number, line.column_of(word));
                match word.parse::<ClassName>() {
                    Ok(class) => {
                        let file = path.to_owned();
                        rule.requires.push(Mention { class, file, line: number, column });
                    }
                    Err(bad) => found.push(bad_name(&bad.to_string()).at_span(line, word)),
                }
            }
        }
        self.merge(class, rule);
        found
    }

    fn merge(&mut self, class: ClassName, rule: ClassRule) {
        let known = self.rules.entry(class).or_default();
        known.requires.extend(rule.requires);
        known.conflicts.extend(rule.conflicts);
        known.after.extend(rule.after);
    }
}

fn bad_name(message: &str) -> Finding {
    Finding::error("bad-class-name", message, "write the name of one class there")
}

/// The class that a text names, if it is one.
fn mention(text: &str, name: &Spanned<String>, found: &mut Vec<Diagnostic>) -> Option<Mention> {
    let span = name.span();
    let quote = usize::from(text[span.start..].starts_with(['"', '\'']));
    let line = line_of(text, span.start);
    let column = line.column_of(&text[span.start + quote..]);
    match name.get_ref().parse() {
        Ok(class) => Some(Mention { class, file: FILE.to_owned(), line: line.number, column }),
        Err(bad) => {
            found.push(bad_name(&format!("{bad}")).at_column(line, column, span.len() as u32));
            None
        }
    }
}

fn not_toml(text: &str, error: &toml::de::Error) -> Diagnostic {
    let cure =
        "write [CLASS] and below it requires, conflicts and after, each with a list of classes";
    let message = error.message().trim().replace('\n', "; ");
    let finding = Finding::error("bad-dependencies", message, cure);
    let span = error.span().unwrap_or_default();
    let line = line_of(text, span.start.min(text.len()));
    let column = line.column_of(&text[span.start.min(text.len())..]);
    finding.at_column(line, column, span.len() as u32)
}

/// The line of a byte of the file.
fn line_of(text: &str, offset: usize) -> Line<'_> {
    let start = text[..offset].rfind('\n').map_or(0, |end| end + 1);
    let number = text[..start].bytes().filter(|byte| *byte == b'\n').count() as u32 + 1;
    let line = text[start..].split('\n').next().unwrap_or_default();
    Line { file: FILE, number, text: line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_give_classes_with_their_places() {
        let mut all = Dependencies::default();
        let text = "# c\n[LVM]\nrequires = [\"BASE\",\n  'DISKS']\nconflicts = [\"RAID\"]\n\n[WEB]\n\
                    after = [\"BASE\"]\n";
        assert_eq!(all.read_toml(text), []);
        let deps = "NET ; and\n# no\n TIME\n";
        let web = "WEB".parse().expect("a class");
        assert_eq!(all.read_deps("class/WEB.deps", web, deps), []);
        let show = |mentions: &[Mention]| {
            let texts = mentions.iter().map(|m| format!("{}@{}:{}", m.class, m.line, m.column));
            texts.collect::<Vec<_>>().join(" ")
        };
        let shown: Vec<String> = all
            .rules
            .iter()
            .map(|(class, rule)| {
                let lists = [&rule.requires, &rule.conflicts, &rule.after].map(|list| show(list));
                format!("{class}: {}", lists.join(" | "))
            })
            .collect();
        let expected =
            ["LVM: BASE@3:14 DISKS@4:4 | RAID@5:15 | ", "WEB: NET@1:1 TIME@3:2 |  | BASE@8:11"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn mistakes_have_their_places() {
        for (text, code, line, column) in [
            ("[A]\nrequire = []\n", "bad-dependencies", 2, 1),
            ("[A]\nrequires = [\n", "bad-dependencies", 2, 13),
            ("[A]\nafter = 'B'\n", "bad-dependencies", 2, 9),
            ("[A]\nafter = ['a b']\n", "bad-class-name", 2, 11),
        ] {
            let found = Dependencies::default().read_toml(text);
            let at = found[0].at.as_ref().expect("a place");
            assert_eq!(
                (found[0].code.as_str(), at.line, at.column),
                (code, line, column),
                "{text}"
            );
        }
    }
}
