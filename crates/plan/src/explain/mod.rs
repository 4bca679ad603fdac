//! Why something is on a machine: which class brings it, by which file and line, and what would
//! change that.

mod classes;
mod copied;
mod packages;
mod partitions;
mod runs;
mod variables;

use crate::finding::shown;
use crate::space::ConfigSpace;
use crate::tree::{ConfigTree, TreeFile};
use hostwright_model::class::{ClassList, ClassName};
use hostwright_model::diagnostic::Location;
use hostwright_model::facts::Facts;
use hostwright_model::vars::Vars;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A package, as apt names it.
    Package(String),
    /// A file of the target that fcopy copies, `/etc/motd`.
    File(String),
    /// A class.
    Class(String),
    /// A mount point, a logical volume as `GROUP-NAME`, `swap`, or on a known machine a device.
    Partition(String),
    /// A script of class/, scripts/ or tests/, by its path or the end of it.
    Script(String),
    /// A variable.
    Variable(String),
    /// A hook, `partition.FAIBASE`, or all hooks of a task, `partition`.
    Hook(String),
}

/// Whom an explanation is for.
pub struct Asked<'a> {
    tree: BTreeMap<String, &'a TreeFile>,
    space: &'a ConfigSpace,
    /// The classes that were named; `None` to be told of all machines.
    named: Option<&'a ClassList>,
    /// The same with what their dependencies add.
    classes: Option<ClassList>,
    vars: &'a Vars,
    /// What the classes contradict each other in.
    conflicts: Vec<String>,
    machine: Option<&'a Facts>,
}

/// An answer with what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was asked about: `package nginx`.
    pub subject: String,
    /// The answer in one sentence.
    pub answer: String,
    /// What it rests on, in the order in which it counts.
    pub because: Vec<Reason>,
    /// What would change it.
    pub otherwise: Vec<Reason>,
}

/// A part of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// In words.
    pub text: String,
    /// Where the space says so.
    pub at: Option<Location>,
}

/// Answers. What the space does not know is answered, too.
pub fn explain(asked: &Asked<'_>, subject: &Subject) -> Explanation {
    let mut explanation = answer(asked, subject);
    let conflicts = asked.conflicts.iter().map(|conflict| reason(conflict.clone(), None));
    explanation.because.splice(0..0, conflicts);
    explanation
}

fn answer(asked: &Asked<'_>, subject: &Subject) -> Explanation {
    match subject {
        Subject::Package(name) => packages::explain(asked, name),
        Subject::File(path) => copied::explain(asked, path),
        Subject::Class(name) => classes::explain(asked, name),
        Subject::Partition(name) => partitions::explain(asked, name),
        Subject::Script(name) => runs::explain_script(asked, name),
        Subject::Hook(name) => runs::explain_hook(asked, name),
        Subject::Variable(name) => variables::explain(asked, name),
    }
}

impl<'a> Asked<'a> {
    /// For a machine of these classes, or for all if there are none. Dependencies between classes
    /// are applied; where they conflict the classes stay as they are, and every answer says so.
    pub fn new(
        tree: &'a ConfigTree,
        space: &'a ConfigSpace,
        named: Option<&'a ClassList>,
        vars: &'a Vars,
    ) -> Self {
        let mut conflicts = Vec::new();
        let classes = named.map(|named| match space.dependencies.apply(named) {
            Ok(ordered) => ordered.classes,
            Err(found) => {
                conflicts.extend(found.iter().map(ToString::to_string));
                named.clone()
            }
        });
        Self { tree: tree.expanded(), space, named, classes, vars, conflicts, machine: None }
    }

    /// The same on a machine whose disks are known.
    pub fn on(mut self, machine: &'a Facts) -> Self {
        self.machine = Some(machine);
        self
    }

    /// True if the machine has a class; any machine has any.
    fn has(&self, class: &str) -> bool {
        self.classes.as_ref().is_none_or(|classes| classes.contains(class))
    }

    /// Where a class stands in the order of the machine's classes, or of their names.
    fn rank(&self, class: &ClassName) -> usize {
        let position = |classes: &ClassList| classes.iter().position(|known| known == class);
        self.classes.as_ref().and_then(position).unwrap_or_default()
    }

    /// The lines of a file of the space as anybody may see them, numbered from 1.
    fn lines(&self, path: &str) -> Vec<(u32, String)> {
        let text = self.tree.get(path).map(|file| file.text()).unwrap_or_default();
        (1..).zip(text.lines().map(|line| shown(path, line))).collect()
    }

    /// Every line of the files below some directories in which `word` stands by itself, as a reason.
    fn mentions(&self, directories: &[&str], word: &str) -> Vec<Reason> {
        let inside = |path: &&String| directories.iter().any(|start| path.starts_with(start));
        let mut found = Vec::new();
        for path in self.tree.keys().filter(inside) {
            for (line, text) in self.lines(path) {
                let is_comment = text.trim_start().starts_with('#');
                if let Some(at) = position(&text, word).filter(|_| !is_comment) {
                    let column = at as u32 + 1;
                    found.push(reason(text.trim(), place(path, line, column, word.len())));
                }
            }
        }
        found
    }
}

/// The first place where a word stands by itself.
fn position(text: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn place(file: &str, line: u32, column: u32, length: usize) -> Option<Location> {
    Some(Location { file: file.to_owned(), line, column, length: length as u32 })
}

fn whole(file: &str) -> Option<Location> {
    Some(Location::file(file))
}

fn reason(text: impl Into<String>, at: Option<Location>) -> Reason {
    Reason { text: text.into(), at }
}

impl Explanation {
    fn new(subject: String, answer: String) -> Self {
        Self { subject, answer, because: Vec::new(), otherwise: Vec::new() }
    }

    /// As text for people.
    pub fn render(&self) -> String {
        let mut text = format!("{}: {}\n", self.subject, self.answer);
        let all = self.because.iter().chain(&self.otherwise);
        let widths = all.map(|reason| place_of(reason).chars().count());
        let width = widths.filter(|width| *width <= PLACE_COLUMNS_MAX).max().unwrap_or_default();
        for (title, reasons) in [("because", &self.because), ("otherwise", &self.otherwise)] {
            if !reasons.is_empty() {
                let _ = writeln!(text, "\n{title}");
            }
            for reason in reasons {
                let line = format!("  {:<width$}  {}", place_of(reason), reason.text);
                let _ = writeln!(text, "{}", line.trim_end());
            }
        }
        text
    }
}

/// Longer places push their texts aside instead of all others.
const PLACE_COLUMNS_MAX: usize = 48;

fn place_of(reason: &Reason) -> String {
    reason.at.as_ref().map(ToString::to_string).unwrap_or_default()
}
