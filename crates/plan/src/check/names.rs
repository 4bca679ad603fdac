//! Classes that nothing defines, and classes that nothing uses.

use super::shell::Script;
use super::survey::{Survey, TextFile};
use crate::finding::{Finding, Line};
use crate::space::{ConfigSpace, distance};
use hostwright_model::diagnostic::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// Classes that FAI or class scripts give without their name being written anywhere: the fixed
/// ones, and Debian's architectures as `dpkg --print-architecture` prints them, in upper case.
const KNOWN: [&str; 13] = [
    "DEFAULT", "LINUX", "LAST", "AMD64", "ARM64", "I386", "ARMHF", "ARMEL", "PPC64EL", "RISCV64",
    "S390X", "MIPS64EL", "LOONG64",
];

/// How many letters of a class name may differ for one to be taken for a misspelling of the other.
const MISSPELLING_MAX: usize = 2;

/// Notes about class names on which the files of a space do not agree. Names with lower case letters
/// are taken for host names.
pub(super) fn findings(survey: &Survey<'_>) -> Vec<Diagnostic> {
    let named = Named::read(survey);
    let owners = owners(survey.space);
    let unnamed: Vec<(&str, &str)> =
        owners.iter().map(|(c, p)| (*c, *p)).filter(|(class, _)| !named.has(class)).collect();
    // Where most classes come from the command line, the space cannot tell who is missing.
    let by_hand = unnamed.len() * 2 > owners.len();
    let mut found = match by_hand {
        true => vec![classes_by_hand(&unnamed)],
        false => unnamed.iter().map(|(class, path)| unnamed_owner(class, path)).collect(),
    };
    found.extend(unnamed_conditions(survey, &named, &owners, by_hand));
    let dependencies = &survey.space.dependencies;
    let is_known = |class: &str| named.has(class) || owners.contains_key(class);
    let unknown = dependencies.mentions().filter(|mention| !is_known(mention.class.as_str()));
    found.extend(unknown.map(|mention| dependencies.unknown(mention)));
    found.extend(unused(survey));
    found.extend(doubled(survey));
    found
}

/// A class that has files and that no class script, hook or profile seems to define.
fn unnamed_owner(class: &str, path: &str) -> Diagnostic {
    let message = format!("nothing in class/ or hooks/ names class {class}");
    let cure = "let a class script print it; until then it has to be given by hand";
    Finding::note("unnamed-class", message, cure).at_file(path)
}

fn classes_by_hand(unnamed: &[(&str, &str)]) -> Diagnostic {
    let names: Vec<&str> = unnamed.iter().map(|(class, _)| *class).collect();
    let message = format!("classes that have to be given by hand: {}", names.join(", "));
    let cure = "give them with --classes, or let a class script print them";
    Finding::note("unnamed-class", message, cure).at_file("class")
}

/// Classes that have no file and that only a condition asks for.
fn unnamed_conditions(
    survey: &Survey<'_>,
    named: &Named<'_>,
    owners: &BTreeMap<&str, &str>,
    by_hand: bool,
) -> Vec<Diagnostic> {
    let note = |class: &str| {
        let near = owners.keys().copied().find(|owner| distance(owner, class) <= MISSPELLING_MAX);
        if by_hand && near.is_none() {
            return None;
        }
        let message =
            format!("nothing in the space defines class {class}, which is asked for here");
        let cure = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "let a class script print it; until then it has to be given by hand".into(),
        };
        Some(Finding::note("unnamed-class", message, cure))
    };
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut is_new = |class| !named.has(class) && !owners.contains_key(class) && seen.insert(class);
    let mut found = Vec::new();
    for file in survey.space.packages.values() {
        for block in &file.blocks {
            let classes = block.condition.classes().into_iter().map(|class| class.as_str());
            for class in classes.filter(|class| is_new(class)) {
                found.extend(note(class).map(|note| file.at_word(note, block.line, class)));
            }
        }
    }
    for (script, word) in survey.scripts.iter().flat_map(asked) {
        if is_new(word) {
            found.extend(note(word).map(|note| script.at(note, word)));
        }
    }
    found
}

/// The classes that a script hands to `ifclass` by their names.
fn asked<'s, 'a>(script: &'s Script<'a>) -> impl Iterator<Item = (&'s Script<'a>, &'a str)> {
    let calls = script.commands.iter().filter(|command| command.program() == Some("ifclass"));
    let words = calls.flat_map(|command| command.arguments()).filter_map(|word| word.literal());
    let is_class = |word: &&str| {
        let starts_well = word.starts_with(|c: char| c.is_ascii_alphabetic());
        starts_well && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    words.filter(is_class).map(move |word| (script, word))
}

/// Classes with a file that belongs to each.
fn owners(space: &ConfigSpace) -> BTreeMap<&str, &str> {
    let mut classes: BTreeMap<&str, &str> = BTreeMap::new();
    let listed = [&space.scripts, &space.tests, &space.debconf];
    let paths = listed.into_iter().flatten().filter_map(|(c, paths)| Some((c, paths.first()?)));
    let single = space.packages.iter().map(|(c, file)| (c, &file.path));
    let disks = space.disk_configs.iter().map(|(c, file)| (c, &file.path));
    let vars = space.var_files.iter().map(|(c, file)| (c, &file.path));
    let hooks = space.hooks.iter().map(|hook| (&hook.class, &hook.path));
    for (class, path) in paths.chain(single).chain(disks).chain(vars).chain(hooks) {
        classes.entry(class.as_str()).or_insert(path);
    }
    classes
}

/// A note for each class that a host or a profile gets and that nothing in the space looks at.
fn unused(survey: &Survey<'_>) -> Vec<Diagnostic> {
    let definitions = definitions(survey);
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    definitions.iter().for_each(|(_, _, class)| *count.entry(class).or_default() += 1);
    let space = survey.space;
    let mut used: BTreeSet<&str> = owners(space).into_keys().collect();
    used.extend(KNOWN);
    used.extend(space.files.values().flat_map(BTreeMap::keys).map(|class| class.as_str()));
    used.extend(space.base_files.keys().map(|class| class.as_str()));
    used.extend(space.keys.keys().map(|class| class.as_str()));
    used.extend(space.package_archives.keys().map(|class| class.as_str()));
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    for file in survey.texts.iter().filter(|file| !file.path.starts_with("files/")) {
        for word in file.text.split(|c| !is_name(c)) {
            if count.contains_key(word) {
                *words.entry(word).or_default() += 1;
            }
        }
    }
    let mut told = BTreeSet::new();
    let idle = definitions.iter().filter(|(_, _, class)| {
        let is_idle = !used.contains(class) && words.get(class) == count.get(class);
        is_idle && told.insert(*class)
    });
    idle.map(|(line, word, class)| {
        let message = format!("nothing in the space looks at class {class}");
        let cure = "is it misspelt? Else leave it out, or add what it is for";
        Finding::note("unused-class", message, cure).at_span(*line, word)
    })
    .collect()
}

/// Where hosts and profiles are given classes by name: line, word, class.
fn definitions<'s>(survey: &'s Survey<'_>) -> Vec<(Line<'s>, &'s str, &'s str)> {
    let mut found = Vec::new();
    for file in survey.texts.below("class/") {
        let name = &file.path["class/".len()..];
        let is_profile = name.ends_with(".profile");
        if !is_profile && !survey.space.host_classes.contains_key(name) {
            continue;
        }
        for line in Line::all(file.path, &file.text) {
            let words = match is_profile {
                true => line.text.strip_prefix("Classes:").unwrap_or_default(),
                false if line.text.starts_with('#') => "",
                false => line.text,
            };
            found.extend(words.split_whitespace().map(|word| (line, word, word)));
        }
    }
    found
}

/// Classes that the file of a host names twice. FAI would run their hooks and scripts twice.
fn doubled(survey: &Survey<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for host in survey.space.host_classes.values() {
        let Some(file) = survey.texts.below(&host.path).next() else { continue };
        found.extend(doubled_in(file));
    }
    found
}

fn doubled_in(file: &TextFile<'_>) -> Vec<Diagnostic> {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut found = Vec::new();
    for line in Line::all(file.path, &file.text).filter(|line| !line.text.starts_with('#')) {
        for word in line.text.split_whitespace() {
            if let Some(first) = seen.get(word) {
                let message = format!(
                    "class {word} stands in line {first} already; FAI would run its hooks and \
                     scripts twice"
                );
                let finding = Finding::warning("duplicate-class", message, "remove one of them");
                found.push(finding.at_span(line, word));
            }
            seen.entry(word).or_insert(line.number);
        }
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The words of everything that can define a class.
struct Named<'a> {
    words: BTreeSet<&'a str>,
    /// What follows an expansion, `_EFI` of `${c}_EFI`.
    endings: BTreeSet<&'a str>,
    /// What comes in front of one, `DEBIAN_` of `DEBIAN_$suite`.
    beginnings: BTreeSet<&'a str>,
}

impl<'a> Named<'a> {
    fn read(survey: &Survey<'a>) -> Self {
        let mut words: BTreeSet<&str> = KNOWN.into_iter().collect();
        let (mut endings, mut beginnings) = (BTreeSet::new(), BTreeSet::new());
        let texts = survey.texts.below("class/").chain(survey.texts.below("hooks/"));
        let silent = [".var", ".deps", ".toml"];
        let defines = |path: &str| !silent.iter().any(|ending| path.ends_with(ending));
        for file in texts.filter(|file| defines(file.path)) {
            let text: &'a str = &file.text;
            words.extend(text.split(|c| !is_name(c)));
            for (at, _) in text.match_indices('}') {
                let rest = &text[at + 1..];
                let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                endings.insert(&rest[..end]);
            }
            for (at, _) in text.match_indices('$') {
                let before = &text[..at];
                let start = before.rfind(|c| !is_name(c)).map_or(0, |space| space + 1);
                let stem = before.get(start..).unwrap_or_default();
                if stem.len() > 1 && stem.ends_with('_') {
                    beginnings.insert(stem);
                }
            }
        }
        endings.remove("");
        Self { words, endings, beginnings }
    }

    fn has(&self, class: &str) -> bool {
        let composed = |ending: &&str| {
            class.strip_suffix(*ending).is_some_and(|stem| self.words.contains(stem))
        };
        class.contains(|c: char| c.is_ascii_lowercase())
            || self.words.contains(class)
            || self.endings.iter().any(composed)
            || self.beginnings.iter().any(|beginning| class.starts_with(beginning))
    }
}
