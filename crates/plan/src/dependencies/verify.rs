//! What is wrong with dependencies whatever machine they are for: cycles and contradictions.

use super::{Dependencies, FILE, Mention};
use crate::finding::Finding;
use hostwright_model::class::ClassName;
use hostwright_model::diagnostic::Diagnostic;
use std::collections::BTreeSet;

/// The class that is always the first, and the one that is always the last.
const ENDS: (&str, &str) = ("DEFAULT", "LAST");

impl Dependencies {
    /// Every cycle and contradiction.
    pub(crate) fn verify(&self) -> Vec<Diagnostic> {
        let mut found = self.misplaced_ends();
        found.extend(self.cycles());
        found.extend(self.contradictions());
        found
    }

    /// Every class that a rule names, with its place.
    pub(crate) fn mentions(&self) -> impl Iterator<Item = &Mention> {
        let rules = self.rules.values();
        rules.flat_map(|rule| rule.requires.iter().chain(&rule.conflicts).chain(&rule.after))
    }

    /// A diagnostic about a class that the rest of the space does not know.
    pub(crate) fn unknown(&self, mention: &Mention) -> Diagnostic {
        let message = format!("nothing in the space knows class {}", mention.class);
        let finding = Finding::warning("unknown-dependency", message, "is it misspelt?");
        self.at(finding, mention)
    }

    fn misplaced_ends(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (class, rule) in &self.rules {
            for mention in rule.requires.iter().chain(&rule.after) {
                let message = if mention.class.as_str() == ENDS.1 {
                    format!("nothing comes behind {}, not even {class}", ENDS.1)
                } else if class.as_str() == ENDS.0 {
                    format!("nothing comes in front of {}, not even {}", ENDS.0, mention.class)
                } else {
                    continue;
                };
                let finding = Finding::error("dependency-cycle", message, "remove the class here");
                found.push(self.at(finding, mention));
            }
        }
        found
    }

    /// A cycle is told once, at the mention that closes it.
    fn cycles(&self) -> Vec<Diagnostic> {
        let mut walk = Walk { dependencies: self, done: BTreeSet::new(), found: Vec::new() };
        for class in self.rules.keys() {
            walk.visit(class, &mut Vec::new());
        }
        walk.found
    }

    fn contradictions(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for class in self.rules.keys() {
            let needed = self.needed_by(class);
            for one in needed.iter().chain([&class]) {
                let conflicts = self.of(one).into_iter().flat_map(|rule| &rule.conflicts);
                for mention in conflicts.filter(|m| needed.contains(&m.class) || m.class == *class)
                {
                    let message = format!(
                        "{class} requires what cannot be together: {one} and {}",
                        mention.class
                    );
                    let cure = "drop the conflict, or one of the requirements";
                    let finding = Finding::error("dependency-contradiction", message, cure);
                    found.push(self.at(finding, mention));
                }
            }
        }
        found
    }

    /// Everything that a class requires, directly or not.
    fn needed_by<'a>(&'a self, class: &'a ClassName) -> BTreeSet<&'a ClassName> {
        let mut needed = BTreeSet::new();
        let mut waiting = vec![class];
        while let Some(class) = waiting.pop() {
            for mention in self.of(class).into_iter().flat_map(|rule| &rule.requires) {
                if needed.insert(&mention.class) {
                    waiting.push(&mention.class);
                }
            }
        }
        needed
    }
}

/// A walk along `requires` and `after`, depth first.
struct Walk<'a> {
    dependencies: &'a Dependencies,
    done: BTreeSet<&'a ClassName>,
    found: Vec<Diagnostic>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, class: &'a ClassName, path: &mut Vec<&'a ClassName>) {
        if self.done.contains(class) {
            return;
        }
        path.push(class);
        let rule = self.dependencies.of(class);
        for mention in rule.into_iter().flat_map(|rule| rule.requires.iter().chain(&rule.after)) {
            match path.iter().position(|known| **known == mention.class) {
                Some(start) => self.report(mention, &path[start..]),
                None => self.visit(&mention.class, path),
            }
        }
        path.pop();
        self.done.insert(class);
    }

    fn report(&mut self, mention: &Mention, circle: &[&ClassName]) {
        let mut names: Vec<&str> = circle.iter().map(|class| class.as_str()).collect();
        names.push(mention.class.as_str());
        let message = format!("classes need each other in a circle: {}", names.join(" → "));
        let cure = "remove one of these dependencies";
        // fai-deps only warns, and so do its files.
        let finding = match mention.file == FILE {
            true => Finding::error("dependency-cycle", message, cure),
            false => Finding::warning("dependency-cycle", message, cure),
        };
        self.found.push(self.dependencies.at(finding, mention));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rules: &str) -> Vec<String> {
        let mut dependencies = Dependencies::default();
        assert_eq!(dependencies.read_toml(rules), []);
        dependencies.verify().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn cycles_are_told_once() {
        let rules = "[A]\nrequires = ['B']\n[B]\nafter = ['C']\n[C]\nrequires = ['A']\n";
        let found = found(rules);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("A → B → C → A"), "{found:?}");
        assert!(found[0].starts_with("class/dependencies.toml:6:14: error[dependency-cycle]"));
    }

    #[test]
    fn contradictions_reach_through_requirements() {
        let rules = "[A]\nrequires = ['B', 'C']\n[B]\nrequires = ['D']\n[C]\nconflicts = ['D']\n";
        let found = found(rules);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("A requires what cannot be together: C and D"), "{found:?}");
    }

    #[test]
    fn the_ends_of_the_list_stay_its_ends() {
        assert_eq!(found("[A]\nafter = ['LAST']\n[DEFAULT]\nrequires = ['A']\n").len(), 2);
        assert_eq!(
            found("[LAST]\nafter = ['A']\n[A]\nafter = ['DEFAULT']\n"),
            Vec::<String>::new()
        );
    }
}
