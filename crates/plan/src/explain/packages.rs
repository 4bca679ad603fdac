//! Why a package is installed, removed, or neither.

use super::{Asked, Explanation, Reason, place, reason};
use crate::packages;
use crate::space::{PackageBlock, PackageFile, PackageWord};
use hostwright_model::class::ClassName;

pub(super) fn explain(asked: &Asked<'_>, name: &str) -> Explanation {
    let mut mentions = mentions(asked, name);
    mentions.sort_by_key(|mention| (asked.rank(mention.class), mention.word.line));
    let mut explanation = Explanation::new(format!("package {name}"), String::new());
    let mut wishes = 0;
    for mention in &mentions {
        match mention.obstacle(asked) {
            None => {
                explanation.because.push(mention.reason(&mention.wish()));
                wishes += 1;
                for line in setters(asked, mention.word, name) {
                    if !explanation.because.contains(&line) {
                        explanation.because.push(line);
                    }
                }
            }
            Some(obstacle) => {
                let text = format!("{}; {obstacle}", mention.wish());
                explanation.otherwise.push(mention.reason(&text));
            }
        }
    }
    explanation.answer = match (explanation.because.is_empty(), mentions.is_empty()) {
        (true, true) => "no file of the space names it; it may still come along with another \
                         package that needs it"
            .to_owned(),
        (true, false) => "not asked for on this machine; it may still come along with another \
                          package"
            .to_owned(),
        (false, _) => answer(asked, name, wishes),
    };
    explanation
}

/// What becomes of the package in the end, or how many places name it.
fn answer(asked: &Asked<'_>, name: &str, count: usize) -> String {
    let Some(classes) = &asked.classes else {
        return format!("{count} {} for it", if count == 1 { "place asks" } else { "places ask" });
    };
    let Ok(groups) = packages::groups(asked.space, classes, asked.vars) else {
        return "asked for, but the packages of these classes cannot be told: 'hostwright plan' \
                says why"
            .to_owned();
    };
    let wanted = groups.iter().flat_map(|group| group.packages.iter().map(move |p| (group, p)));
    let mut answers =
        wanted.filter(|(_, package)| bare(&package.name) == name).map(|(group, p)| {
            let removes = p.name.ends_with('-') && p.name != name;
            match removes {
                true => format!("removed, or kept out ('{}')", p.name),
                false => format!("'PACKAGES {}'", group.action.word()),
            }
        });
    answers.next().unwrap_or_else(|| "asked for through a variable, and not by its name".to_owned())
}

/// A word of a package_config that names the package.
struct Mention<'a> {
    class: &'a ClassName,
    file: &'a PackageFile,
    block: &'a PackageBlock,
    word: &'a PackageWord,
}

fn mentions<'a>(asked: &'a Asked<'_>, name: &str) -> Vec<Mention<'a>> {
    let mut found = Vec::new();
    for (class, file) in &asked.space.packages {
        for block in &file.blocks {
            let words = block.words.iter().filter(|word| names(asked, word, name));
            found.extend(words.map(|word| Mention { class, file, block, word }));
        }
    }
    found
}

/// True if a word, with its variable replaced where it is known, names the package.
fn names(asked: &Asked<'_>, word: &PackageWord, name: &str) -> bool {
    let text = match crate::space::variable(&word.text) {
        Ok(Some((reference, variable))) => match asked.vars.get(variable) {
            Some(value) => word.text.replacen(reference, value, 1),
            None => return !setters(asked, word, name).is_empty(),
        },
        _ => word.text.clone(),
    };
    text.split_whitespace().any(|one| one == name || bare(one) == name)
}

/// Lines below class/ that seem to set the variable in a word, whose value is not known here, to
/// something with the package's name in it.
fn setters(asked: &Asked<'_>, word: &PackageWord, name: &str) -> Vec<Reason> {
    let Ok(Some((_, variable))) = crate::space::variable(&word.text) else { return Vec::new() };
    if asked.vars.get(variable).is_some() {
        return Vec::new();
    }
    let mut lines = asked.mentions(&["class/"], name);
    lines.retain(|line| line.text.contains(&format!("{variable}=")));
    lines
}

/// The name without version, release, architecture and the marks that install or remove.
fn bare(word: &str) -> &str {
    let name = word.split(['=', '/', ':']).next().unwrap_or_default();
    name.strip_suffix('-').unwrap_or(name)
}

impl Mention<'_> {
    fn wish(&self) -> String {
        let Self { class, block, word, .. } = self;
        format!("class {class} asks for 'PACKAGES {} {}'", block.action.word(), word.text)
    }

    /// What keeps it from counting on this machine.
    fn obstacle(&self, asked: &Asked<'_>) -> Option<String> {
        if !asked.has(self.class.as_str()) {
            return Some(format!("the machine does not have class {}", self.class));
        }
        let classes = asked.classes.as_ref()?;
        let holds = self.block.condition.holds(classes);
        (!holds).then(|| format!("its condition '{}' does not hold", self.block.condition))
    }

    fn reason(&self, text: &str) -> Reason {
        let (word, length) = (self.word, self.word.text.len());
        reason(text, place(&self.file.path, word.line, word.column, length))
    }
}
