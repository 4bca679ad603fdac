//! Applies dependencies to the classes of one machine.

use super::{Dependencies, Mention};
use crate::finding::Finding;
use hostwright_model::class::{ClassList, ClassName};
use hostwright_model::diagnostic::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// Classes with everything that they require, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ordered {
    /// The classes.
    pub classes: ClassList,
    /// The classes that nobody named, each with who requires it.
    pub brought: BTreeMap<ClassName, Brought>,
}

/// Why a class is there that nobody named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// The class that requires it.
    pub by: ClassName,
    /// Where that is said.
    pub mention: Mention,
}

impl Dependencies {
    /// Adds what is required, each class in front of the first that requires it, and moves classes
    /// in front of those that come behind them; otherwise the order stays. Conflicts are errors.
    ///
    /// Cycles, which the check of the space refuses, are cut where they would close.
    pub fn apply(&self, named: &ClassList) -> Result<Ordered, Vec<Diagnostic>> {
        let mut brought = BTreeMap::new();
        let mut all: BTreeSet<ClassName> = named.iter().cloned().collect();
        let mut waiting: Vec<ClassName> = named.iter().cloned().collect();
        while let Some(class) = waiting.pop() {
            for mention in self.of(&class).into_iter().flat_map(|rule| &rule.requires) {
                if all.insert(mention.class.clone()) {
                    let by = Brought { by: class.clone(), mention: mention.clone() };
                    brought.insert(mention.class.clone(), by);
                    waiting.push(mention.class.clone());
                }
            }
        }
        let mut sorter =
            Sorter { dependencies: self, all: &all, visited: BTreeSet::new(), sorted: Vec::new() };
        named.iter().for_each(|class| sorter.visit(class));
        let classes = sorter.sorted.into_iter().collect();
        let ordered = Ordered { classes, brought };
        let conflicts = self.conflicts(&ordered);
        if conflicts.is_empty() { Ok(ordered) } else { Err(conflicts) }
    }

    fn conflicts(&self, ordered: &Ordered) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for class in ordered.classes.iter() {
            for mention in self.of(class).into_iter().flat_map(|rule| &rule.conflicts) {
                if !ordered.classes.contains(mention.class.as_str()) {
                    continue;
                }
                let origin =
                    [class, &mention.class].map(|class| match ordered.brought.get(class) {
                        Some(brought) => format!("; {} requires {class}", brought.by),
                        None => String::new(),
                    });
                let message = format!(
                    "{class} and {} cannot be on one machine, and this one has both{}",
                    mention.class,
                    origin.concat()
                );
                let finding = Finding::error("class-conflict", message, "drop one of them");
                found.push(self.at(finding, mention));
            }
        }
        found
    }
}

/// Sorts depth first: what a class needs comes before it.
struct Sorter<'a> {
    dependencies: &'a Dependencies,
    all: &'a BTreeSet<ClassName>,
    visited: BTreeSet<&'a ClassName>,
    sorted: Vec<ClassName>,
}

impl<'a> Sorter<'a> {
    fn visit(&mut self, class: &ClassName) {
        let Some(class) = self.all.get(class) else { return };
        if !self.visited.insert(class) {
            return;
        }
        if let Some(rule) = self.dependencies.of(class) {
            for earlier in rule.requires.iter().chain(&rule.after) {
                self.visit(&earlier.class);
            }
        }
        self.sorted.push(class.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(rules: &str, named: &str) -> Result<String, String> {
        let mut dependencies = Dependencies::default();
        assert_eq!(dependencies.read_toml(rules), []);
        let ordered = dependencies.apply(&named.parse().expect("classes"));
        let first = |found: Vec<Diagnostic>| found[0].to_string();
        ordered.map(|ordered| ordered.classes.to_string()).map_err(first)
    }

    #[test]
    fn what_is_required_is_added_in_front() {
        let rules = "[WEB]\nrequires = ['NET', 'TLS']\n[TLS]\nrequires = ['TIME']\n";
        assert_eq!(apply(rules, "A WEB LAST").unwrap(), "A NET TIME TLS WEB LAST");
        assert_eq!(apply(rules, "A LAST").unwrap(), "A LAST");
        assert_eq!(apply(rules, "WEB TIME A NET").unwrap(), "NET TIME TLS WEB A");
    }

    #[test]
    fn after_orders_but_adds_nothing() {
        let rules = "[A]\nafter = ['B', 'C']\n";
        assert_eq!(apply(rules, "A D B").unwrap(), "B A D");
        assert_eq!(apply(rules, "D A").unwrap(), "D A");
    }

    #[test]
    fn conflicts_say_who_brought_them() {
        let rules = "[A]\nconflicts = ['B']\n[C]\nrequires = ['B']\n";
        assert_eq!(apply(rules, "A").unwrap(), "A");
        let conflict = apply(rules, "A C").unwrap_err();
        assert!(conflict.contains("C requires B"), "{conflict}");
        assert!(conflict.starts_with("class/dependencies.toml:2:15: error[class-conflict]"));
    }

    #[test]
    fn a_cycle_ends() {
        let rules = "[A]\nrequires = ['B']\n[B]\nrequires = ['A']\n";
        assert_eq!(apply(rules, "A").unwrap(), "B A");
    }
}
