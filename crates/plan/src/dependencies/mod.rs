//! What classes need of each other: which ones a class requires, which it cannot be together with,
//! and behind which it comes.
//!
//! ```toml
//! # class/dependencies.toml
//! [LVM]
//! requires = ["FAIBASE"]      # is added where it is missing, and comes first
//! conflicts = ["RAID"]        # both on one machine stop the run
//! after = ["DEBIAN"]          # comes behind it, where both are there
//! ```
//!
//! `class/CLASS.deps`, which FAI's `fai-deps` reads, says what CLASS requires, too:
//!
//! ```text
//! file    = { word | comment }            words between blanks and line ends are classes
//! comment = ( "#" | ";" ) up to the end of the line
//! ```

mod order;
mod read;
mod verify;

pub use order::{Brought, Ordered};

use crate::finding::{Finding, Line};
use hostwright_model::class::ClassName;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::plan::Why;
use std::collections::BTreeMap;

/// The file with all three kinds of dependencies.
pub(crate) const FILE: &str = "class/dependencies.toml";

/// What all classes of a space need of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// By the class that has the needs.
    pub rules: BTreeMap<ClassName, ClassRule>,
    /// Texts of the files that say so, for diagnostics.
    texts: BTreeMap<String, String>,
}

/// What one class needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassRule {
    /// Classes that are added, in front of it.
    pub requires: Vec<Mention>,
    /// Classes that it cannot be together with.
    pub conflicts: Vec<Mention>,
    /// Classes behind which it comes, where they are there.
    pub after: Vec<Mention>,
}

/// A class with the place that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The class.
    pub class: ClassName,
    /// The file, relative to the space.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

impl Mention {
    /// The place, as the reason of what follows from it.
    pub fn why(&self) -> Why {
        Why::line(self.file.clone(), self.line, None)
    }
}

impl Dependencies {
    /// True if no class needs anything.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    fn of(&self, class: &ClassName) -> Option<&ClassRule> {
        self.rules.get(class)
    }

    /// A diagnostic about a mention.
    fn at(&self, finding: Finding, mention: &Mention) -> Diagnostic {
        let text = self.texts.get(&mention.file).map_or("", String::as_str);
        let line = Line::all(&mention.file, text).find(|line| line.number == mention.line);
        let line = line.unwrap_or(Line { file: &mention.file, number: mention.line, text: "" });
        finding.at_column(line, mention.column, mention.class.as_str().len() as u32)
    }
}
