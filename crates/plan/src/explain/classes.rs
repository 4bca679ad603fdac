//! Where a class comes from, what it brings, and what asks for it.

use super::{Asked, Explanation, Reason, place, reason, whole};
use hostwright_model::class::ClassName;
use std::collections::BTreeMap;

pub(super) fn explain(asked: &Asked<'_>, name: &str) -> Explanation {
    let mut explanation = Explanation::new(format!("class {name}"), answer(asked, name));
    explanation.because.extend(required_by(asked, name));
    let is_rule = |reason: &Reason| {
        let file = reason.at.as_ref().map_or("", |at| &at.file);
        file.ends_with(".toml") || file.ends_with(".deps")
    };
    let named = asked.mentions(&["class/"], name).into_iter().filter(|reason| !is_rule(reason));
    explanation.because.extend(named);
    if let Ok(class) = name.parse::<ClassName>() {
        explanation.because.extend(brings(asked, &class));
        explanation.otherwise.extend(needs(asked, &class));
    }
    if asked.classes.is_none() && explanation.because.is_empty() {
        explanation.answer = "nothing in the space names it".to_owned();
    }
    explanation
}

fn answer(asked: &Asked<'_>, name: &str) -> String {
    let Some(classes) = &asked.classes else {
        return "what defines it, and what it brings".to_owned();
    };
    let position = classes.iter().position(|class| class.as_str() == name);
    match position {
        None => "the machine does not have it".to_owned(),
        Some(at) => {
            let count = classes.len();
            let by_hand = asked.named.is_some_and(|named| named.contains(name));
            let how = if by_hand { "named" } else { "added because another class requires it" };
            format!("{how}; number {} of {count}, later ones win", at + 1)
        }
    }
}

/// Rules of other classes that add this one.
fn required_by(asked: &Asked<'_>, name: &str) -> Vec<Reason> {
    let mut found = Vec::new();
    for (class, rule) in &asked.space.dependencies.rules {
        for mention in rule.requires.iter().filter(|mention| mention.class.as_str() == name) {
            let at = place(&mention.file, mention.line, mention.column, name.len());
            found.push(reason(format!("class {class} requires it"), at));
        }
    }
    found
}

/// What its own rule says.
fn needs(asked: &Asked<'_>, class: &ClassName) -> Vec<Reason> {
    let Some(rule) = asked.space.dependencies.rules.get(class) else { return Vec::new() };
    let lists = [
        ("it requires", &rule.requires),
        ("it cannot be together with", &rule.conflicts),
        ("it comes behind", &rule.after),
    ];
    let mut found = Vec::new();
    for (what, mentions) in lists {
        for mention in mentions {
            let at =
                place(&mention.file, mention.line, mention.column, mention.class.as_str().len());
            found.push(reason(format!("{what} {}", mention.class), at));
        }
    }
    found
}

/// Every file that counts because of this class.
fn brings(asked: &Asked<'_>, class: &ClassName) -> Vec<Reason> {
    let space = asked.space;
    let mut found = Vec::new();
    let mut one = |path: &str, what: &str| found.push(reason(what, whole(path)));
    space.var_files.get(class).iter().for_each(|file| one(&file.path, "brings variables"));
    space.disk_configs.get(class).iter().for_each(|file| one(&file.path, "brings a disk layout"));
    space.base_files.get(class).iter().for_each(|path| one(path, "brings a base system"));
    if let Some(file) = space.packages.get(class) {
        let count: usize = file.blocks.iter().map(|block| block.words.len()).sum();
        let noun = if count == 1 { "package" } else { "packages" };
        one(&file.path, &format!("brings {count} {noun}"));
    }
    let lists: [(&BTreeMap<ClassName, Vec<String>>, &str); 5] = [
        (&space.debconf, "brings answers for debconf"),
        (&space.keys, "brings a key for apt"),
        (&space.package_archives, "brings a package as a file"),
        (&space.scripts, "brings a script"),
        (&space.tests, "brings a test"),
    ];
    for (by_class, what) in lists {
        by_class.get(class).into_iter().flatten().for_each(|path| one(path, what));
    }
    for hook in space.hooks.iter().filter(|hook| hook.class == *class) {
        one(&hook.path, &format!("brings a hook of {}", hook.phase));
    }
    for variants in space.files.values() {
        variants.get(class).iter().for_each(|path| one(path, "brings a variant of a file"));
    }
    for file in space.packages.values() {
        for block in &file.blocks {
            if block.condition.classes().contains(&class) {
                let text = format!("asked for by 'PACKAGES {} …'", block.action.word());
                found.push(reason(text, place(&file.path, block.line, 1, 0)));
            }
        }
    }
    found.extend(asked.mentions(&["scripts/", "hooks/", "tests/"], class.as_str()));
    found
}
