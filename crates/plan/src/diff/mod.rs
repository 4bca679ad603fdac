//! Two plans compared by what they make of a machine: classes, variables, disks, packages, files and
//! code. How the steps are cut and numbered does not matter.

mod parts;

use crate::space::ConfigSpace;
use crate::tree::ConfigTree;
use hostwright_model::plan::{Inputs, Plan};
use hostwright_model::vars::is_secret;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One of two plans with what it was made from.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The files of the space.
    pub tree: &'a ConfigTree,
    /// The space.
    pub space: &'a ConfigSpace,
    /// The machine.
    pub inputs: &'a Inputs,
    /// The plan.
    pub plan: &'a Plan,
}

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlanDiff {
    /// Classes that come, go or change their place.
    pub classes: Vec<Change>,
    /// Variables of the space and the operator.
    pub variables: Vec<Change>,
    /// Tables, volumes and what they hold.
    pub disks: Vec<Change>,
    /// Packages by what is done with them.
    pub packages: Vec<Change>,
    /// Variants that fcopy takes, and their content.
    pub files: Vec<Change>,
    /// Hooks, scripts, tests, answers: what runs, and its content.
    pub scripts: Vec<Change>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about.
    pub what: String,
    /// How it was; `None` if it was not there.
    pub old: Option<String>,
    /// How it is; `None` if it is not there any more.
    pub new: Option<String>,
}

/// What differs between two plans.
pub fn diff(old: Side<'_>, new: Side<'_>) -> PlanDiff {
    let of = |part: fn(Side<'_>) -> BTreeMap<String, String>| changes(&part(old), &part(new));
    PlanDiff {
        classes: parts::classes(old, new),
        variables: of(parts::variables).into_iter().map(without_secrets).collect(),
        disks: of(parts::disks),
        packages: of(parts::packages),
        files: parts::contents(&parts::files(old), &parts::files(new)),
        scripts: parts::contents(&parts::scripts(old), &parts::scripts(new)),
    }
}

/// The change without the values of a secret.
fn without_secrets(mut change: Change) -> Change {
    if is_secret(&change.what) {
        change.old = change.old.map(|_| "a secret".to_owned());
        let word = if change.old.is_some() { "another secret" } else { "a secret" };
        change.new = change.new.map(|_| word.to_owned());
    }
    change
}

fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Change> {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let pairs = names.into_iter().map(|name| (name, old.get(name), new.get(name)));
    let different = pairs.filter(|(_, old, new)| old != new);
    different
        .map(|(name, old, new)| Change { what: name.clone(), old: old.cloned(), new: new.cloned() })
        .collect()
}

impl PlanDiff {
    /// True if nothing differs.
    pub fn is_empty(&self) -> bool {
        self.groups().iter().all(|(_, changes)| changes.is_empty())
    }

    fn groups(&self) -> [(&'static str, &Vec<Change>); 6] {
        [
            ("classes", &self.classes),
            ("variables", &self.variables),
            ("disks", &self.disks),
            ("packages", &self.packages),
            ("files", &self.files),
            ("scripts", &self.scripts),
        ]
    }

    /// As text for people: `+` comes, `-` goes, `~` is otherwise.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (title, changes) in self.groups().into_iter().filter(|(_, c)| !c.is_empty()) {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{title}");
            for change in changes {
                let _ = writeln!(text, "  {}", change.line());
            }
        }
        if text.is_empty() {
            text.push_str("no difference\n");
        }
        text
    }
}

impl Change {
    fn line(&self) -> String {
        let with = |value: &str| match value {
            "" => self.what.clone(),
            value => format!("{}: {value}", self.what),
        };
        match (&self.old, &self.new) {
            (None, Some(new)) => format!("+ {}", with(new)),
            (Some(old), None) => format!("- {}", with(old)),
            (Some(old), Some(new)) => format!("~ {}: {old} → {new}", self.what),
            (None, None) => format!("  {}", self.what),
        }
    }
}
