//! Variables of a run, each with the place that set it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A value and who set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Var {
    /// The text; the shell knows no other type.
    pub value: String,
    /// A file of the config space (`class/FAIBASE.var`), or `hostwright`, `command line`, `kernel`.
    pub origin: String,
}

/// Variables by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vars(pub BTreeMap<String, Var>);

impl Vars {
    /// Sets `name`, replacing what was there.
    pub fn set(&mut self, name: &str, value: impl Into<String>, origin: &str) {
        let var = Var { value: value.into(), origin: origin.to_owned() };
        self.0.insert(name.to_owned(), var);
    }

    /// The value of `name`; `None` if it is not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|var| var.value.as_str())
    }

    /// Takes over everything in `other`, which wins.
    pub fn extend(&mut self, other: &Vars) {
        self.0.extend(other.0.iter().map(|(name, var)| (name.clone(), var.clone())));
    }
}
